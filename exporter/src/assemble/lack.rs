//! What files lack to be a machine: why something has to be installed on them.

use std::fmt;

use super::first;
use crate::error::Result;
use crate::spec::{Init, Initramfs, Profile, Spec};
use crate::tree::{Tree, kernel};

/// What a machine lacks before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// A kernel with its initramfs.
    Kernel,
    /// A kernel at all, where the initramfs is vmimage's own.
    Image,
    /// An init.
    Init,
}

impl fmt::Display for Lack {
    /// As it is said of files: "has no init".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "has no kernel with an initramfs",
            Self::Image => "has no kernel",
            Self::Init => "has no init",
        })
    }
}

/// What a machine of these files would lack; `None`, if they boot as they are.
///
/// # Errors
/// If there are more kernels than anybody has.
pub fn lacks(root: &Tree, spec: &Spec) -> Result<Option<Lack>> {
    let is_microvm = spec.profile == Profile::Microvm;
    let kernel = match spec.initramfs() {
        _ if spec.kernel_file.is_some() => None,
        Initramfs::Distro if !is_microvm => (!kernel::any_boots(root)?).then_some(Lack::Kernel),
        Initramfs::Distro | Initramfs::Vmimage => kernel::all(root)?.is_empty().then_some(Lack::Image),
    };
    let needs_init = spec.init != Init::Vmimage && !is_microvm;
    let init = || (needs_init && !first::has_init(root, spec)).then_some(Lack::Init);
    Ok(kernel.or_else(init))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::layout::Source;
    use crate::tree::testing::tree;

    #[test]
    fn what_boots_as_it_is_lacks_nothing() {
        let lacks_with = |init: Init, paths: &[&str], cmdline: &str| {
            let files: Vec<_> = paths.iter().map(|path| (*path, "")).collect();
            lacks(&tree(&files), &Spec { init, cmdline: cmdline.into(), ..Spec::default() }).unwrap()
        };
        let lacks = |paths: &[&str], cmdline: &str| lacks_with(Init::Auto, paths, cmdline);
        let kernel = ["/boot/vmlinuz-virt", "/boot/initramfs-virt"];
        assert_eq!(lacks(&[&kernel[..], &["/sbin/init"]].concat(), ""), None);
        assert_eq!(lacks(&kernel, "quiet init=/app"), None);
        assert_eq!(lacks(&kernel, "quiet"), Some(Lack::Init));
        assert_eq!(lacks_with(Init::Vmimage, &kernel, ""), None);
        assert_eq!(lacks_with(Init::Distro, &kernel, ""), Some(Lack::Init));
        assert_eq!(lacks(&["/boot/vmlinuz-virt", "/sbin/init"], ""), Some(Lack::Kernel));
    }

    #[test]
    fn an_initramfs_of_vmimages_own_is_made_for_any_kernel() {
        let file = Some(Source::Path("bzImage".into()));
        let microvm = Spec { profile: Profile::Microvm, ..Spec::default() };
        let machine = Spec { initramfs: Some(Initramfs::Vmimage), ..Spec::default() };
        let lacks = |paths: &[&str], spec: &Spec| {
            let files: Vec<_> = paths.iter().map(|path| (*path, "")).collect();
            lacks(&tree(&files), spec).unwrap()
        };
        assert_eq!(lacks(&["/boot/vmlinuz-virt"], &microvm), None);
        assert_eq!(lacks(&["/app"], &microvm), Some(Lack::Image));
        assert_eq!(lacks(&["/app"], &Spec { kernel_file: file, ..microvm }), None);
        assert_eq!(lacks(&["/boot/vmlinuz-virt", "/sbin/init"], &machine), None);
        assert_eq!(lacks(&["/boot/vmlinuz-virt"], &machine), Some(Lack::Init));
        assert_eq!(lacks(&["/sbin/init"], &machine), Some(Lack::Image));
    }
}
