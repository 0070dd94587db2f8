//! What files lack to be a machine: why something has to be installed on them.

use std::fmt;

use super::{first, own_initramfs};
use crate::error::Result;
use crate::spec::{Init, Profile, Spec};
use crate::tree::{Tree, kernel};

/// What a machine lacks before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// A kernel with its initramfs.
    Kernel,
    /// An init.
    Init,
}

impl fmt::Display for Lack {
    /// As it is said of files: "has no init".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "has no kernel with an initramfs",
            Self::Init => "has no init",
        })
    }
}

/// What a machine of these files would lack; `None`, if they boot as they are.
///
/// # Errors
/// If there are more kernels than anybody has.
pub fn lacks(root: &Tree, spec: &Spec) -> Result<Option<Lack>> {
    let needs_init = spec.init != Init::Vmimage && spec.profile != Profile::Microvm;
    let has_kernel = match own_initramfs::is_asked(spec) {
        // That is made for whichever there is.
        true => spec.kernel_file.is_some() || !kernel::all(root)?.is_empty(),
        false => kernel::any_boots(root)?,
    };
    Ok(match has_kernel {
        false => Some(Lack::Kernel),
        true => (needs_init && !first::has_init(root, spec)).then_some(Lack::Init),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Initramfs;
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
        let ours = |spec: Spec, paths: &[&str]| {
            let files: Vec<_> = paths.iter().map(|path| (*path, "")).collect();
            super::lacks(&tree(&files), &spec).unwrap()
        };
        let own = || Spec { initramfs: Initramfs::Vmimage, ..Spec::default() };
        let microvm = || Spec { profile: Profile::Microvm, ..Spec::default() };
        assert_eq!(ours(own(), &["/boot/vmlinuz-virt", "/sbin/init"]), None);
        assert_eq!(ours(own(), &["/boot/vmlinuz-virt"]), Some(Lack::Init));
        assert_eq!(ours(microvm(), &["/boot/vmlinuz-virt"]), None);
        assert_eq!(ours(microvm(), &["/app"]), Some(Lack::Kernel));
    }
}
