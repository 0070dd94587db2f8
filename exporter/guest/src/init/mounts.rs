//! The kernel's file systems, and the root.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

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

const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

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
const LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// Mount the kernel's file systems, but those the initramfs has left mounted.
pub(crate) fn virtual_file_systems() {
    for Virtual { at, kind, flags, data } in VIRTUAL {
        if at.starts_with("/dev/") {
            let _ = fs::create_dir(at);
        }
        let data = std::ffi::CString::new(data).unwrap_or_default();
        match mount(kind, at, kind, flags, Some(&*data)) {
            Ok(()) | Err(Errno::BUSY) => {}
            Err(error) => say(format_args!("{at}: cannot mount {kind}: {error}")),
        }
    }
    for (link, target) in LINKS {
        let _ = symlink(target, link);
    }
}

/// Make the root writable, and show the image's own `/run`: the initramfs has put its own over it.
pub(crate) fn root() {
    let result = mount_remount("/", MountFlags::empty(), "");
    say_error(result.map_err(|error| format!("/: cannot be made writable: {error}")));
    let _ = unmount("/run", UnmountFlags::DETACH);
}

/// Unmount what lies on block devices, the last first, and make the root read-only.
pub(crate) fn release() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let on_devices = mounts.lines().rev().filter_map(|line| {
        let mut fields = line.split(' ');
        let (device, at) = (fields.next()?, fields.next()?);
        (device.starts_with('/') && at != "/").then_some(at)
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
fn unescape(field: &str) -> String {
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
    use super::unescape;

    #[test]
    fn paths_with_blanks_are_read() {
        assert_eq!(unescape(r"/mnt/a\040b\134c"), r"/mnt/a b\c");
    }
}
