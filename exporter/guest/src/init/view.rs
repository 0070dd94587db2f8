//! What a confined service sees of the machine: what a container of docker's sees, and so no block devices, no kernel settings
//! that it could change, and nothing that tells of the kernel's memory.
//!
//! ```text
//! process 1, agent                           /dev of the kernel     /proc  /sys     all as they are
//! service, its checks, programs of a host    /dev of a few nodes    /proc  /sys     parts read-only, parts hidden
//! ```
//!
//! The second is a mount namespace, made once, which every process enters that becomes a program. The files are the same in both.
//! But for single devices nothing is mounted there with nodes that work: of those that a program makes, which docker's
//! capabilities let it, none can be opened.
//!
//! Sources: docker's lists (`daemon/pkg/oci/defaults.go` of moby 28) and "Default Devices" of the OCI runtime specification.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{process, thread};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::grow::device::in_file;
use crate::init::mounts::{self, LINKS, SAFE};

/// A link to what process 1 holds the namespace by, in a `/dev` that is not seen from within. A mount would hold it as well, but
/// kernels from 6.18 on refuse that one now and then: they compare numbers of namespaces, and each processor gives its own.
const NAMESPACE: &str = "/dev/vmimage-view";
/// Held by process 1.
static HELD: Mutex<Option<File>> = Mutex::new(None);
/// What this thread sees, and what it has open.
const MOUNTS: &str = "/proc/thread-self/mounts";
const OPEN: &str = "/proc/thread-self/fd";

const NODES: [&str; 7] = ["null", "zero", "full", "random", "urandom", "tty", "console"];
/// Of `/dev` too, where something is mounted there.
const FOLDERS: [&str; 3] = ["pts", "shm", "mqueue"];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
const HIDDEN: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// Make it, as process 1, of what is mounted by now. `terminal`: the device that the service has as its terminal.
pub(crate) fn make(terminal: Option<&Path>) -> Result<(), String> {
    let terminal = terminal.map(Path::to_owned);
    // Of a thread alone: the others of process 1 see what they saw.
    let made = thread::spawn(move || furnish(terminal.as_deref())).join();
    let namespace = made.unwrap_or_else(|_| Err("its view cannot be made".to_owned()))?;
    let held = format!("/proc/{}/fd/{}", process::id(), namespace.as_raw_fd());
    let _ = fs::remove_file(NAMESPACE);
    symlink(held, NAMESPACE).map_err(in_file(Path::new(NAMESPACE)))?;
    *held_by_this_process() = Some(namespace);
    Ok(())
}

fn held_by_this_process() -> MutexGuard<'static, Option<File>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Enter it, as a process that becomes a program.
pub(crate) fn enter() -> Result<(), String> {
    use std::os::fd::AsFd;
    let path = Path::new(NAMESPACE);
    let namespace = File::open(path).map_err(in_file(path))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount)).map_err(in_file(path))
}

/// Give it up, when no program is left: what is mounted there cannot be unmounted.
pub(crate) fn leave() {
    let _ = fs::remove_file(NAMESPACE);
    *held_by_this_process() = None;
}

/// In a namespace that begins here, of this thread.
fn furnish(terminal: Option<&Path>) -> Result<File, String> {
    begin().map_err(|error| format!("no mount namespace: {error}"))?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(in_file(Path::new("/")))?;
    let mounts = fs::read_to_string(MOUNTS).map_err(in_file(Path::new(MOUNTS)))?;
    for (at, flags) in narrowed(&mounts) {
        match mount_remount(&*at, flags, "") {
            // Another one lies over it.
            Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) if at != "/" => {}
            result => result.map_err(in_file(Path::new(&at)))?,
        }
    }
    devices(terminal)?;
    READ_ONLY.iter().try_for_each(|at| read_only(at).map_err(in_file(Path::new(at))))?;
    HIDDEN.iter().try_for_each(|at| hide(at).map_err(in_file(Path::new(at))))?;
    let own = Path::new("/proc/thread-self/ns/mnt");
    File::open(own).map_err(in_file(own))
}

#[expect(deprecated, reason = "what is not safe about it are open files, which stay shared with these flags")]
fn begin() -> Result<(), Errno> {
    rustix::thread::unshare(UnshareFlags::NEWNS)
}

/// What is mounted outside of `/dev`, each with the flags that it gets: those that it has, without nodes that work, and in `/sys`
/// read-only.
fn narrowed(mounts: &str) -> impl Iterator<Item = (String, MountFlags)> {
    mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (at, options) = (mounts::unescape(fields.next()?), fields.nth(1)?);
        let is_in = |folder: &str| {
            at.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if is_in("/dev") {
            return None;
        }
        let has = |word: &str, flag| {
            if options.split(',').any(|option| option == word) { flag } else { MountFlags::empty() }
        };
        let kept = has("ro", MountFlags::RDONLY)
            | has("nosuid", MountFlags::NOSUID)
            | has("noexec", MountFlags::NOEXEC);
        let fixed = if is_in("/sys") { MountFlags::RDONLY } else { MountFlags::empty() };
        Some((at, MountFlags::BIND | MountFlags::NODEV | kept | fixed))
    })
}

/// A `/dev` of these few, each mounted by itself.
fn devices(terminal: Option<&Path>) -> Result<(), String> {
    let dev = Path::new("/dev");
    let mounted = FOLDERS.iter().map(|name| dev.join(name)).filter(|path| mounts::is_mounted(path));
    let nodes = NODES.iter().map(|name| dev.join(name)).chain(terminal.map(Path::to_owned));
    // Opened, for they have no name under another `/dev`.
    let kept: Vec<_> = nodes.chain(mounted).filter_map(|path| Some((place(&path)?, path))).collect();
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", dev, "tmpfs", flags, Some(c"mode=755")).map_err(in_file(dev))?;
    for (place, path) in kept {
        let held = format!("{OPEN}/{}", place.as_raw_fd());
        let is_folder = fs::metadata(&held).is_ok_and(|it| it.is_dir());
        let made = if is_folder { fs::create_dir(&path) } else { File::create(&path).map(drop) };
        made.map_err(in_file(&path))?;
        mount_bind(held, &path).map_err(in_file(&path))?;
    }
    LINKS
        .iter()
        .chain(&[("/dev/ptmx", "pts/ptmx")])
        .try_for_each(|(link, target)| symlink(target, link).map_err(in_file(Path::new(link))))
}

fn place(path: &Path) -> Option<OwnedFd> {
    open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// One that this kernel has not is left alone.
fn read_only(at: &str) -> Result<(), Errno> {
    match mount_bind(at, at) {
        Err(Errno::NOENT) => Ok(()),
        result => result.and_then(|()| mount_remount(at, MountFlags::BIND | MountFlags::RDONLY | SAFE, "")),
    }
}

/// The same: of a folder nothing is left, and of a file its name.
fn hide(at: &str) -> std::io::Result<()> {
    match fs::metadata(at) {
        Ok(found) if found.is_dir() => Ok(mount("tmpfs", at, "tmpfs", MountFlags::RDONLY | SAFE, None)?),
        Ok(_) => Ok(mount_bind("/dev/null", at)?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rustix::fs::{CWD, FileType, makedev, mknodat};

    use super::*;

    #[test]
    fn mounts_lose_their_nodes_and_keep_what_they_were() {
        let mounts = "/dev/vda / ext4 rw,noatime 0 0\nproc /proc proc rw,nosuid,nodev,noexec,relatime 0 0\n\
            sysfs /sys sysfs rw,nosuid 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\ndevtmpfs /dev devtmpfs rw 0 0\n\
            tmpfs /dev/shm tmpfs rw 0 0\nsrc /my\\040src virtiofs ro 0 0\n/dev/vdb /devices ext4 rw 0 0\n/dev/vdc /system ext4 rw 0 0\nbroken\n";
        let (own, ro, nosuid) =
            (MountFlags::BIND | MountFlags::NODEV, MountFlags::RDONLY, MountFlags::NOSUID);
        let expected = [
            ("/", own),
            ("/proc", own | nosuid | MountFlags::NOEXEC),
            ("/sys", own | nosuid | ro),
            ("/sys/fs/cgroup", own | ro),
            ("/my src", own | ro),
            ("/devices", own),
            ("/system", own),
        ];
        let found: Vec<_> = narrowed(mounts).collect();
        assert_eq!(found, expected.map(|(at, flags)| (at.to_owned(), flags)));
    }

    #[test]
    fn without_one_nothing_is_entered() {
        let error = enter().unwrap_err();
        assert!(error.starts_with("/dev/vmimage-view: "), "{error}");
    }

    /// By root, who alone may make a view.
    #[test]
    fn a_service_sees_a_few_devices_and_changes_nothing_of_the_kernel() {
        let folder = tempfile::tempdir().unwrap();
        let (disk, path) = (folder.path().join("disk"), folder.path().to_owned());
        let seen = thread::spawn(move || {
            // In a namespace of its own, which is that of process 1 here.
            begin().unwrap();
            mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
            make(None).unwrap();
            enter().unwrap();
            let names =
                fs::read_dir("/dev").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let names: Vec<_> = names.filter(|name| !FOLDERS.contains(&&**name)).collect();
            File::options().write(true).open("/dev/null").unwrap().write_all(b"gone").unwrap();
            // Written by the service, and there for all.
            fs::write(path.join("file"), "of the service").unwrap();
            // One that root may make, as a container's may, and open outside.
            mknodat(CWD, &disk, FileType::CharacterDevice, Mode::RUSR, makedev(1, 5)).unwrap();
            mknodat(CWD, "/dev/mine", FileType::CharacterDevice, Mode::RUSR, makedev(1, 5)).unwrap();
            let refused =
                [File::open(&disk), File::open("/dev/mine")].map(|opened| opened.unwrap_err().kind());
            let hostname = fs::write("/proc/sys/kernel/hostname", "other").unwrap_err().kind();
            let hidden = HIDDEN.iter().filter(|at| Path::new(at).is_file());
            assert!(hidden.into_iter().all(|at| fs::read(at).unwrap().is_empty()));
            (names, refused, hostname)
        });
        let seen = seen.join();
        leave();
        let (mut names, refused, hostname) = seen.unwrap();
        names.sort();
        let links = ["fd", "ptmx", "stderr", "stdin", "stdout"];
        let mut expected: Vec<_> = NODES
            .iter()
            .chain(&links)
            .filter(|name| Path::new("/dev").join(name).exists() || links.contains(name))
            .collect();
        expected.sort();
        assert_eq!(
            names.iter().map(String::as_str).collect::<Vec<_>>(),
            expected.into_iter().copied().collect::<Vec<_>>()
        );
        assert_eq!((refused, hostname), ([ErrorKind::PermissionDenied; 2], ErrorKind::ReadOnlyFilesystem));
        // Outside all is as it was.
        assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"of the service");
        assert!(File::open(folder.path().join("disk")).is_ok() && !Path::new("/dev/mine").exists());
    }
}
