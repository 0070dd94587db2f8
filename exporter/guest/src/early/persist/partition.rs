//! The partition of what is kept: found on the disk with the root, checked, and mounted.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount as mount_at};

use crate::grow::device::Device;
use crate::grow::ext4;
use crate::grow::file_system::once_free;
use crate::init::console::say;
use crate::init::modules::Modules;

/// How long the partitions of a disk may come one after the other, of which the root is one.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where programs for disks lie.
const FOLDERS: [&str; 2] = ["/sbin", "/usr/sbin"];
/// What a mount takes; for checksums, the kernel asks modprobe until Linux 6.14.
const DRIVERS: [&str; 2] = ["crc32c", "ext4"];
/// Of the exit codes of fsck(8), a sum up to 15: errors are left.
const ERRORS_LEFT: i32 = 4;
const SUM_MAX: i32 = 15;

/// The one with this label, on no other disk: others may have one as well.
pub(super) fn find(label: &str) -> Result<Device, String> {
    let root = Device::of(Path::new("/"))?.ok_or("the root is on no block device")?.below()?;
    let disk = root.partition()?.ok_or("the root is on no partition")?.disk;
    let found = once_free(PATIENCE, || disk.labelled(label))?;
    found.ok_or_else(|| format!("{}: no partition has the label {label}", disk.path.display()))
}

/// Repair what can be repaired without a person, by the image's own program.
pub(super) fn check(device: &Device) -> Result<(), String> {
    match program("e2fsck") {
        Some(program) => repair(&program, &device.path),
        None => {
            if ext4::has_errors(device)? {
                let device = device.path.display();
                say(format_args!("{device}: has errors, and the image has no e2fsck to repair them"));
            }
            Ok(())
        }
    }
}

fn repair(program: &str, device: &Path) -> Result<(), String> {
    // Whoever cannot be started says nothing of the disk.
    let Ok(output) = Command::new(program).arg("-p").arg(device).output() else { return Ok(()) };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).trim().replace('\n', "; ");
    let code = output.status.code().unwrap_or_default();
    if code <= SUM_MAX && code & ERRORS_LEFT != 0 {
        return Err(format!("{}: {program} -p cannot repair it ({code}): {said}", device.display()));
    }
    if code != 0 {
        // Repaired; or it could not do its work, as one older than the file system cannot: the kernel may know it.
        say(format_args!("{program} -p ({code}): {said}"));
    }
    Ok(())
}

/// Errors that the kernel meets make it read-only, before there are more.
pub(super) fn mount(device: &Device, at: &Path) -> Result<(), String> {
    let mounted = || mount_at(&device.path, at, "ext4", MountFlags::empty(), Some(c"errors=remount-ro"));
    let mounted = mounted().or_else(|error| match error {
        // No driver, and the image has no modprobe for the kernel to run.
        Errno::NODEV => {
            let mut modules = Modules::read();
            DRIVERS.iter().for_each(|name| modules.load(name));
            mounted()
        }
        error => Err(error),
    });
    mounted.map_err(|error| format!("{}: cannot be mounted: {error}", device.path.display()))
}

/// An empty file system in place of one that nobody can repair.
pub(super) fn make_anew(device: &Device, label: &str) -> Result<(), String> {
    let path = device.path.display();
    let program = program("mkfs.ext4").ok_or_else(|| format!("{path}: the image has no mkfs.ext4"))?;
    let made = Command::new(&program).args(["-q", "-F", "-L", label]).arg(&device.path).status();
    match made {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{path}: {program}: {status}")),
        Err(error) => Err(format!("{path}: {program}: {error}")),
    }
}

/// A program for disks that the image has.
pub(super) fn program(name: &str) -> Option<String> {
    FOLDERS.into_iter().map(|folder| format!("{folder}/{name}")).find(|path| Path::new(path).exists())
}
