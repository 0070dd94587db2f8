//! Whether the kernel reads the files that are compressed, as far as it tells.

use super::read_kernel::ReadKernel;
use super::resolve::Resolved;
use crate::error::{Error, Kind, Result};
use crate::fs::erofs::Algorithm;
use crate::kernel::Setting;
use crate::spec::Spec;
use crate::spec::layout::Slot;
use crate::tree::Tree;
use crate::tree::kernel::Kernel;

/// A configuration of a kernel is shorter.
const CONFIG_LIMIT: u64 = 4 << 20;

/// What reads the files that an algorithm has compressed: its name, the first release of Linux with it, and its option in
/// a kernel's configuration.
fn reader(algorithm: Algorithm) -> (&'static str, (u32, u32), &'static str) {
    match algorithm {
        // Older ones read extents of one block alone.
        Algorithm::Lz4 => ("lz4", (5, 13), "CONFIG_EROFS_FS_ZIP"),
        Algorithm::Zstd => ("zstd", (6, 10), "CONFIG_EROFS_FS_ZIP_ZSTD"),
    }
}

/// That `kernel` reads what is compressed in the partitions, by its version, and by its configuration if that is there.
///
/// # Errors
/// If it does not: files would be there that nobody can read.
pub(super) fn require<'a>(root: &Tree, kernel: &Kernel, slots: impl Iterator<Item = &'a Slot>) -> Result<()> {
    for slot in slots {
        let Some(algorithm) = slot.compression else { continue };
        let config = configuration(root, kernel)?;
        let is_left_out = |option: &str| config.as_ref().is_some_and(|config| !is_set(config, option));
        if let Some(why) = why_not(algorithm, &kernel.version, is_left_out) {
            return Err(unread(algorithm, slot, &kernel.image, &why));
        }
    }
    Ok(())
}

/// The same of the root of a microVM. Within a uki it is compressed by what the kernel reads, unless something was asked.
///
/// # Errors
/// Those of [`require`].
pub(super) fn settle(layout: &mut Resolved, kernel: &ReadKernel<'_>, spec: &Spec) -> Result<()> {
    let is_asked = spec.layout.partitions.iter().any(|partition| partition.compression.is_some());
    for slot in layout.partitions.iter_mut().map(|named| &mut named.slot) {
        if spec.is_uki() && !is_asked {
            slot.compression = best(kernel);
        }
        let Some(algorithm) = slot.compression else { continue };
        let is_lacking = |setting| matches!(setting, Setting::No | Setting::Module);
        if let Some(why) = why_not_by(kernel, algorithm, is_lacking) {
            return Err(unread(algorithm, slot, kernel.image.place(), &why));
        }
    }
    Ok(())
}

/// What makes the smallest file system that the kernel is known to read.
pub(super) fn best(kernel: &ReadKernel<'_>) -> Option<Algorithm> {
    let known =
        |algorithm: &Algorithm| why_not_by(kernel, *algorithm, |setting| setting != Setting::Yes).is_none();
    [Algorithm::Zstd, Algorithm::Lz4].into_iter().find(known)
}

/// Why this kernel does not read it.
fn why_not_by(
    kernel: &ReadKernel<'_>,
    algorithm: Algorithm,
    does_it_lack: fn(Setting) -> bool,
) -> Option<String> {
    let is_left_out = |option: &str| does_it_lack(kernel.config.option(option.trim_start_matches("CONFIG_")));
    why_not(algorithm, kernel.image.release(), is_left_out)
}

/// Why a kernel of this version does not read it.
fn why_not(algorithm: Algorithm, version: &str, is_left_out: impl Fn(&str) -> bool) -> Option<String> {
    let (_, since, option) = reader(algorithm);
    let (major, minor) = since;
    match release(version) {
        Some(release) if release < since => Some(format!("Linux {major}.{minor} is the first that does")),
        _ if is_left_out(option) => Some(format!("its configuration has no {option}")),
        _ => None,
    }
}

fn unread(algorithm: Algorithm, slot: &Slot, kernel: &str, why: &str) -> Error {
    let (name, ..) = reader(algorithm);
    let message = format!("is compressed by {name}, which {kernel} does not read: {why}");
    let hint = match algorithm {
        Algorithm::Zstd => "compress it by lz4, or take another kernel",
        Algorithm::Lz4 => "leave the compression out, or take another kernel",
    };
    Error::new(Kind::Unsupported, &slot.label, message).with_hint(hint)
}

/// The numbers that a kernel's version begins with.
pub(super) fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(|next: char| !next.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The kernel's configuration, where distributions have it.
fn configuration(root: &Tree, kernel: &Kernel) -> Result<Option<Vec<u8>>> {
    let beside = kernel.modules.as_ref().map(|modules| format!("{modules}/config"));
    for path in beside.into_iter().chain([format!("/boot/config-{}", kernel.version)]) {
        if let Some(config) = root.read(path, CONFIG_LIMIT)? {
            return Ok(Some(config));
        }
    }
    Ok(None)
}

fn is_set(config: &[u8], option: &str) -> bool {
    config.split(|&byte| byte == b'\n').any(|line| line == format!("{option}=y").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Spec, layout};
    use crate::tree::kernel::Origin;
    use crate::tree::testing::tree;

    fn said(version: &str, compression: &str, config: Option<&str>) -> String {
        let partition = format!(r#"{{"type":"srv","filesystem":"erofs","compression":"{compression}"}}"#);
        let layout = format!(r#"{{"preset":"simple","partitions":[{partition}]}}"#);
        let spec = Spec { layout: serde_json::from_str(&layout).unwrap(), ..Spec::default() };
        let kernel = Kernel {
            version: version.to_owned(),
            image: "/boot/vmlinuz".to_owned(),
            initramfs: None,
            modules: None,
            stable: None,
            origin: Origin::Image,
        };
        let path = format!("/boot/config-{version}");
        let files: Vec<_> = config.iter().map(|config| (path.as_str(), *config)).collect();
        let slots = layout::slots(&spec);
        let required = require(&tree(&files), &kernel, slots.iter());
        required.map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn a_kernel_reads_what_its_version_and_its_configuration_say() {
        let (old, new) = ("6.1.0-13-amd64", "6.12.43+deb13-amd64");
        assert_eq!([said(old, "none", None), said(old, "lz4", None), said(new, "zstd", None)], ["fine"; 3]);
        let zstd = "srv: is compressed by zstd, which /boot/vmlinuz does not read";
        assert_eq!(said(old, "zstd", None), format!("{zstd}: Linux 6.10 is the first that does"));
        let lz4 = said("5.10.0-30-amd64", "lz4", None);
        assert!(lz4.ends_with("does not read: Linux 5.13 is the first that does"), "{lz4}");
        let all = "CONFIG_EROFS_FS=m\nCONFIG_EROFS_FS_ZIP=y\nCONFIG_EROFS_FS_ZIP_ZSTD=y\n";
        let some = "CONFIG_EROFS_FS=m\nCONFIG_EROFS_FS_ZIP=y\n# CONFIG_EROFS_FS_ZIP_ZSTD is not set\n";
        assert_eq!([said(new, "zstd", Some(all)), said(new, "lz4", Some(some))], ["fine"; 2]);
        let left_out = format!("{zstd}: its configuration has no CONFIG_EROFS_FS_ZIP_ZSTD");
        assert_eq!(said(new, "zstd", Some(some)), left_out);
        assert_eq!(said("kernel", "zstd", None), "fine");
    }
}
