//! The kernel's file systems, and the root.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statfs, statvfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use crate::init::console::{say, say_error};

/// A file system of the kernel.
struct Virtual {
    at: &'static str,
    kind: &'static str,
    flags: MountFlags,
    data: &'static str,
}

/// What is mounted, as this process sees it (proc_pid_mounts(5)).
const MOUNTS: &str = "/proc/self/mounts";
/// File systems in memory, and those that nobody can write to (statfs(2)).
const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;
const RAMFS_MAGIC: rustix::fs::FsWord = 0x8584_58f6;
const EROFS_MAGIC: rustix::fs::FsWord = 0xe0f5_e1e2;
const SQUASHFS_MAGIC: rustix::fs::FsWord = 0x7371_7368;

/// For what has no programs and no devices.
pub(crate) const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// In their order: each may lie in one before. Those a kernel has not are left out.
const VIRTUAL: [Virtual; 7] = [
    Virtual { at: "/proc", kind: "proc", flags: SAFE, data: "" },
    Virtual { at: "/sys", kind: "sysfs", flags: SAFE, data: "" },
    Virtual { at: "/dev", kind: "devtmpfs", flags: MountFlags::NOSUID, data: "mode=755" },
    Virtual {
        at: "/dev/pts",
        kind: "devpts",
        flags: MountFlags::NOSUID,
        data: "gid=5,mode=620,ptmxmode=666",
    },
    Virtual {
        at: "/dev/shm",
        kind: "tmpfs",
        flags: MountFlags::NOSUID.union(MountFlags::NODEV),
        data: "mode=1777",
    },
    Virtual { at: "/dev/mqueue", kind: "mqueue", flags: SAFE, data: "" },
    Virtual { at: "/sys/fs/cgroup", kind: "cgroup2", flags: SAFE, data: "nsdelegate" },
];

/// What every program expects in `/dev` and the kernel does not put there.
pub(crate) const LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

impl Virtual {
    /// Mount it, unless the initramfs has left it mounted.
    fn mount(&self) {
        let Self { at, kind, flags, data } = *self;
        if at.starts_with("/dev/") {
            let _ = fs::create_dir(at);
        }
        if is_mounted(Path::new(at)) {
            return;
        }
        let data = std::ffi::CString::new(data).unwrap_or_default();
        match mount(kind, at, kind, flags, Some(&*data)) {
            Ok(()) | Err(Errno::BUSY) => {}
            // The kernel does not have it, nor a place for it.
            Err(Errno::NODEV) => {}
            Err(Errno::NOENT) if at.starts_with("/sys/") => {}
            Err(error) => say(format_args!("{at}: cannot mount {kind}: {error}")),
        }
    }
}

/// Whether something is mounted at a directory in another: it is of another file system.
pub(crate) fn is_mounted(at: &Path) -> bool {
    let device = |path: &Path| rustix::fs::stat(path).map(|status| status.st_dev);
    let parent = at.parent().map(device);
    matches!((parent, device(at)), (Some(Ok(parent)), Ok(at)) if parent != at)
}

/// Mount those that tell what else is mounted, and where the console is; an init mounts the others as it wants them.
pub(crate) fn needed_first() {
    VIRTUAL.iter().filter(|each| matches!(each.at, "/proc" | "/dev")).for_each(Virtual::mount);
}

/// Mount one of them.
pub(crate) fn needed(at: &str) {
    VIRTUAL.iter().filter(|each| each.at == at).for_each(Virtual::mount);
}

/// A tmpfs at `/run`, unless the initramfs has left one: an init of a distribution takes it for its own.
pub(crate) fn run_in_memory() -> Result<(), String> {
    if is_one_of("/run", &[TMPFS_MAGIC]) {
        return Ok(());
    }
    let flags = MountFlags::NOSUID.union(MountFlags::NODEV);
    mount("tmpfs", "/run", "tmpfs", flags, Some(c"mode=755"))
        .map_err(|error| format!("/run: cannot mount a tmpfs: {error}"))
}

/// Whether what is at `path` is on no disk.
pub(crate) fn is_in_memory(path: &str) -> bool {
    is_one_of(path, &[TMPFS_MAGIC, RAMFS_MAGIC])
}

fn is_one_of(path: &str, kinds: &[rustix::fs::FsWord]) -> bool {
    statfs(path).is_ok_and(|mounted| kinds.contains(&mounted.f_type))
}

/// Mount the kernel's file systems, but those the initramfs has left mounted.
pub(crate) fn virtual_file_systems() {
    VIRTUAL.iter().for_each(Virtual::mount);
    for (link, target) in LINKS {
        let _ = symlink(target, link);
    }
}

/// Make the root writable, if it can be.
pub(crate) fn root() {
    // An initramfs may have mounted it so.
    let is_writable = statvfs("/").is_ok_and(|it| !it.f_flag.contains(StatVfsMountFlags::RDONLY));
    if is_writable || is_one_of("/", &[EROFS_MAGIC, SQUASHFS_MAGIC]) {
        return;
    }
    let result = mount_remount("/", MountFlags::empty(), "");
    say_error(result.map_err(|error| format!("/: cannot be made writable: {error}")));
}

/// Show the image's own `/run`: the initramfs has put a tmpfs over it.
pub(crate) fn run() {
    if is_one_of("/run", &[TMPFS_MAGIC]) {
        let _ = unmount("/run", UnmountFlags::DETACH);
    }
}

/// Where something is mounted in the root, each place after what it lies in; what lies in others of them is not there.
pub(crate) fn below_root() -> Result<Vec<String>, String> {
    let mounts = fs::read_to_string(MOUNTS).map_err(|error| format!("{MOUNTS}: {error}"))?;
    Ok(outermost(&mounts))
}

fn outermost(mounts: &str) -> Vec<String> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(unescape);
    let points: BTreeSet<_> = points.filter(|point| point != "/").collect();
    let lies_in =
        |point: &str, other: &str| point.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
    points.iter().filter(|point| !points.iter().any(|other| lies_in(point, other))).cloned().collect()
}

/// Unmount what lies on block devices, the last first, and make the root read-only.
pub(crate) fn release() {
    let mounts = fs::read_to_string(MOUNTS).unwrap_or_default();
    let on_devices = mounts.lines().rev().filter_map(|line| {
        let mut fields = line.split(' ');
        let (device, at) = (fields.next()?, fields.next()?);
        // What lies on one holds it, too.
        ((device.starts_with('/') || device == "overlay") && at != "/").then_some(at)
    });
    for at in on_devices {
        let at = unescape(at);
        say_error(
            unmount(&*at, UnmountFlags::empty()).map_err(|error| format!("{at}: cannot unmount: {error}")),
        );
    }
    let result = mount_remount("/", MountFlags::RDONLY, "");
    say_error(result.map_err(|error| format!("/: cannot be made read-only: {error}")));
}

/// A path of proc_pid_mounts(5): blanks and backslashes are octal.
pub(crate) fn unescape(field: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(field.to_owned(), |text, (code, character)| text.replace(code, character))
}

/// Write a setting of the kernel; one that this kernel has not is left alone.
pub(crate) fn set(path: &str, value: &str) {
    if Path::new(path).exists() {
        say_error(fs::write(path, value).map_err(|error| format!("{path}: {error}")));
    }
}

#[cfg(test)]
mod tests {
    use super::{is_mounted, outermost, unescape};

    #[test]
    fn what_is_mounted_is_not_mounted_again() {
        assert!(is_mounted("/proc".as_ref()));
        for not in ["/proc/self/fd", "/", "/nonexistent"] {
            assert!(!is_mounted(not.as_ref()), "{not}");
        }
    }

    #[test]
    fn what_is_mounted_in_the_root_moves_with_all_that_lies_in_it() {
        let mounts = "rootfs / rootfs rw 0 0\n/dev/vda3 / ext4 ro 0 0\ndevtmpfs /dev devtmpfs rw 0 0\n\
            devpts /dev/pts devpts rw 0 0\n/dev/vda4 /my\\040usr ext4 ro 0 0\ntmpfs /devices tmpfs rw 0 0\n\
            tmpfs /dev devtmpfs rw 0 0\n";
        assert_eq!(outermost(mounts), ["/dev", "/devices", "/my usr"]);
    }

    #[test]
    fn paths_with_blanks_are_read() {
        assert_eq!(unescape(r"/mnt/a\040b\134c"), r"/mnt/a b\c");
    }
}
