//! The root, mounted as the kernel would: read-only unless the command line says `rw`.

use std::ffi::CString;
use std::fs;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use super::superblock::Superblock;
use crate::init::modules::Modules;
use crate::init::words::Words;

/// Where it is while this program runs.
pub(crate) const SYSROOT: &str = "/sysroot";

/// Options of every file system, which mount(2) takes as flags; without a flag: those that say what is so anyway.
const OPTIONS: [(&str, MountFlags); 12] = [
    ("defaults", MountFlags::empty()),
    ("ro", MountFlags::RDONLY),
    ("rw", MountFlags::empty()),
    ("noatime", MountFlags::NOATIME),
    ("nodiratime", MountFlags::NODIRATIME),
    ("relatime", MountFlags::RELATIME),
    ("strictatime", MountFlags::STRICTATIME),
    ("lazytime", MountFlags::LAZYTIME),
    ("nodev", MountFlags::NODEV),
    ("nosuid", MountFlags::NOSUID),
    ("noexec", MountFlags::NOEXEC),
    ("sync", MountFlags::SYNCHRONOUS),
];

/// Mount `device` at [`SYSROOT`].
pub(super) fn root(device: &Path, words: &Words, modules: &mut Modules) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: cannot be mounted: {error}", device.display());
    let (mut flags, data) = options(words.value("rootflags").unwrap_or_default());
    if words.last_of("ro", "rw") != Some("rw") {
        flags |= MountFlags::RDONLY;
    }
    let data = CString::new(data).map_err(|error| failed(&error))?;
    let found = || Superblock::read(device).map(|found| found.kind);
    let kinds = words.value("rootfstype").or_else(found).ok_or_else(|| {
        failed(&"no ext4, erofs, xfs, btrfs or squashfs is on it: another is named by rootfstype=")
    })?;
    fs::create_dir_all(SYSROOT).map_err(|error| format!("{SYSROOT}: {error}"))?;
    let mut last = Errno::INVAL;
    for kind in kinds.split(',') {
        modules.load(kind);
        let mounted = |flags| mount(device, SYSROOT, kind, flags, Some(&*data));
        let done = mounted(flags).or_else(|error| match error {
            // A device that is only read.
            Errno::ACCESS | Errno::ROFS => mounted(flags | MountFlags::RDONLY),
            error => Err(error),
        });
        match done {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    let hint =
        if last == Errno::NODEV { ": the kernel has no driver, nor the initramfs its module" } else { "" };
    Err(failed(&format_args!("as {kinds}: {last}{hint}")))
}

/// Options of mount(8) as flags and what is the file system's own.
pub(crate) fn options(text: &str) -> (MountFlags, String) {
    let (mut flags, mut own) = (MountFlags::empty(), Vec::new());
    for option in text.split(',').filter(|option| !option.is_empty()) {
        match OPTIONS.iter().find(|(name, _)| *name == option) {
            Some((_, flag)) => flags |= *flag,
            None => own.push(option),
        }
    }
    (flags, own.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_flags_or_the_file_systems() {
        let (flags, own) = options("noatime,errors=remount-ro,,nodev,subvol=@");
        assert_eq!((flags, &*own), (MountFlags::NOATIME | MountFlags::NODEV, "errors=remount-ro,subvol=@"));
        assert_eq!(options(""), (MountFlags::empty(), String::new()));
        assert_eq!(options("rw,defaults"), (MountFlags::empty(), String::new()));
    }
}
