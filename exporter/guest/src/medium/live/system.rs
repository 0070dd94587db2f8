//! The tree of the live system: the medium's root and what belongs to it, each under an overlay of memory.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount as mount_device, unmount};

use super::super::fstab::{self, Entry, inside};
use super::root::Root;
use crate::early::overlay::{look_like, mount_overlay};
use crate::grow::device::{Device, in_file};
use crate::init::console::say_error;
use crate::init::initramfs::mount::SYSROOT;
use crate::init::initramfs::root::{Root as Named, partition_id, variable};
use crate::init::initramfs::superblock::Superblock;
use crate::init::modules::Modules;

/// Where what is below the overlays is mounted, and the memory that is above; both are taken from sight in the end.
const LOWER: &str = "/lower";
const UPPER: &str = "/upper";
const FSTAB: &str = "etc/fstab";
/// What a live system has no use for: it is not started from there.
const NOT_MOUNTED: [&str; 3] = ["/", "/boot/efi", "/efi"];

/// Mount it at [`SYSROOT`].
pub(super) fn mount(root: &Root, modules: &mut Modules) -> Result<(), String> {
    modules.load("overlay");
    fs::create_dir_all(UPPER).map_err(in_file(Path::new(UPPER)))?;
    mount_device("tmpfs", UPPER, "tmpfs", MountFlags::empty(), Some(c"mode=755"))
        .map_err(in_file(Path::new(UPPER)))?;
    cover(0, &root.device, &root.kind, Path::new(SYSROOT), modules)?;
    let table = Path::new(SYSROOT).join(FSTAB);
    let text = fs::read_to_string(&table).unwrap_or_default();
    // Those that lie in others behind them.
    for (number, (entry, device)) in of_the_disk(&fstab::parse(&text), root).iter().enumerate() {
        let at = inside(Path::new(SYSROOT), &entry.at)?;
        let kind = Superblock::read(device).map_or(&*entry.kind, |known| known.kind);
        // A system that lacks a part of itself is none.
        cover(number + 1, device, kind, &at, modules)?;
    }
    if table.exists() {
        fs::write(&table, fstab::without_disks(&text)).map_err(in_file(&table))?;
    }
    say_error(unmount(UPPER, UnmountFlags::DETACH).map_err(in_file(Path::new(UPPER))));
    Ok(())
}

/// An overlay of the memory over a device, mounted at `at`.
fn cover(number: usize, device: &Path, kind: &str, at: &Path, modules: &mut Modules) -> Result<(), String> {
    let lower = PathBuf::from(format!("{LOWER}{number}"));
    let [upper, work] = ["", ".work"].map(|what| Path::new(UPPER).join(format!("{number}{what}")));
    for folder in [&lower, &upper, &work] {
        fs::create_dir_all(folder).map_err(in_file(folder))?;
    }
    fs::create_dir_all(at).map_err(in_file(at))?;
    modules.load(kind);
    if kind == "vfat" {
        // No overlay takes one.
        return mount_device(device, at, kind, MountFlags::RDONLY, None).map_err(in_file(device));
    }
    // The machine may have a disk with the same UUID.
    let options = if kind == "xfs" { c"nouuid" } else { c"" };
    mount_device(device, &lower, kind, MountFlags::RDONLY, Some(options))
        .map_err(|error| format!("{}: cannot be mounted as {kind}: {error}", device.display()))?;
    look_like(&upper, &lower).map_err(in_file(&lower))?;
    mount_overlay(&lower.to_string_lossy(), &upper, &work, "", at)?;
    unmount(&lower, UnmountFlags::DETACH).map_err(in_file(&lower))
}

/// What of the table is on other partitions of the medium's disk, with their devices.
fn of_the_disk(entries: &[Entry], root: &Root) -> Vec<(Entry, PathBuf)> {
    let partitions = root.disk.as_deref().map(partitions).unwrap_or_default();
    let wanted = entries.iter().filter(|entry| is_part(entry));
    let mut found: Vec<_> = wanted
        .filter_map(|entry| {
            let named = Named::parse(&entry.spec).ok()?;
            let device =
                partitions.iter().find(|device| **device != root.device && is_named(device, &named))?;
            Some((entry.clone(), device.clone()))
        })
        .collect();
    found.sort_by(|one, other| one.0.at.cmp(&other.0.at));
    found
}

/// Whether the system is not whole without it.
fn is_part(entry: &Entry) -> bool {
    let is_place = entry.at.starts_with('/') && !NOT_MOUNTED.contains(&&*entry.at);
    is_place && entry.is_on_disk() && !entry.has("noauto") && !entry.at.split('/').any(|part| part == "..")
}

/// The partitions of a loop device.
fn partitions(disk: &Path) -> Vec<PathBuf> {
    let device = Device::named(disk.file_name().unwrap_or_default());
    let Ok(device) = device else { return Vec::new() };
    (1..=128).filter_map(|number| device.child(number).ok()).map(|partition| partition.path).collect()
}

/// Whether a device is what a table calls so.
fn is_named(device: &Path, named: &Named) -> bool {
    let superblock = || Superblock::read(device);
    match named {
        Named::Uuid(id) => superblock().is_some_and(|known| known.id() == *id),
        Named::Label(label) => superblock().is_some_and(|known| known.label == *label),
        Named::PartUuid(id) => partition_id(device).is_some_and(|known| known == *id),
        Named::PartLabel(label) => variable(device, "PARTNAME").is_some_and(|known| known == *label),
        Named::Device(_) | Named::File(_) => false,
    }
}

/// Have nobody configure the card that the root comes over, by the address of its hardware: udev gives it another name.
pub(super) fn keep_card(mac: &str) -> Result<(), String> {
    for (file, text) in unmanaged(mac) {
        let path = Path::new(SYSROOT).join(file);
        // Only for who is there.
        let Some(folder) = path.parent().filter(|folder| folder.parent().is_some_and(Path::exists)) else {
            continue;
        };
        fs::create_dir_all(folder).map_err(in_file(folder))?;
        fs::write(&path, text).map_err(in_file(&path))?;
    }
    Ok(())
}

/// As systemd.network(5) and NetworkManager.conf(5) have it.
fn unmanaged(mac: &str) -> [(&'static str, String); 2] {
    [
        (
            "etc/systemd/network/00-vmimage-root.network",
            format!("[Match]\nMACAddress={mac}\n\n[Link]\nUnmanaged=yes\n"),
        ),
        (
            "etc/NetworkManager/conf.d/vmimage-root.conf",
            format!("[device-vmimage-root]\nmatch-device=mac:{mac}\nmanaged=0\n"),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Disk, is_inside};
    use super::*;

    #[test]
    fn a_live_system_is_all_that_it_is_made_of() {
        let text = "/dev/root / ext4\nUUID=1 /usr ext4\nPARTLABEL=var /var ext4\nUUID=2 /boot/efi vfat\nUUID=3 none swap\n\
            UUID=4 /data xfs noauto\ntmpfs /tmp tmpfs\nUUID=5 /../x ext4\n";
        let entries = fstab::parse(text);
        let parts: Vec<_> = entries.iter().filter(|entry| is_part(entry)).map(|entry| &*entry.at).collect();
        assert_eq!(parts, ["/usr", "/var"]);
        // Without the medium's disk nothing is taken for one of its partitions, whatever the machine has.
        let root = Root { device: "/dev/loop0".into(), kind: "erofs".into(), disk: None, is_lazy: false };
        assert!(of_the_disk(&entries, &root).is_empty());
    }

    const ROOT: &str = "5b1c0a4e-9d2f-4e3b-8a76-0123456789ab";
    const USR: &str = "5b1c0a4e-9d2f-4e3b-8a76-0123456789ac";

    #[test]
    fn a_live_system_is_written_to_and_its_disk_is_not() {
        if !is_inside("medium::live::system::tests::a_live_system_is_written_to_and_its_disk_is_not") {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let table = format!(
            "/dev/root / ext4\nUUID={USR} /usr ext4 defaults 0 2\nUUID=1 /data xfs\ntmpfs /x tmpfs\n"
        );
        let root = [("etc/fstab", &*table), ("etc/hostname", "web"), ("usr/hidden", "")];
        let disk = Disk::new(folder.path(), &[(ROOT, &root), (USR, &[("bin/sh", "a shell")])]).read_only();
        let before = fs::read(&disk.file).unwrap();
        let found = disk.partition(1).path;
        let root =
            Root { device: found, kind: "ext4".into(), disk: Some(disk.device.clone()), is_lazy: false };
        mount(&root, &mut Modules::none()).unwrap();

        let in_root = |path: &str| Path::new(SYSROOT).join(path);
        assert_eq!(fs::read_to_string(in_root("etc/hostname")).unwrap(), "web");
        assert_eq!(fs::read_to_string(in_root("usr/bin/sh")).unwrap(), "a shell");
        assert!(!in_root("usr/hidden").exists());
        let left: Vec<_> = fstab::parse(&fs::read_to_string(in_root("etc/fstab")).unwrap());
        assert_eq!(left.iter().map(|entry| &*entry.at).collect::<Vec<_>>(), ["/x"]);
        fs::write(in_root("etc/hostname"), "live").unwrap();
        fs::remove_file(in_root("usr/bin/sh")).unwrap();
        assert_eq!(fs::read(&disk.file).unwrap(), before);
        // Nothing but the system is seen any more.
        assert_eq!(fs::read_dir(UPPER).unwrap().count() + fs::read_dir("/lower0").unwrap().count(), 0);
    }

    #[test]
    fn a_table_that_names_a_device_means_none_of_the_mediums() {
        assert!(!is_named(Path::new("/dev/null"), &Named::parse("/dev/sda2").unwrap()));
        assert!(!is_named(Path::new("/nonexistent"), &Named::parse("UUID=1").unwrap()));
    }

    #[test]
    fn the_card_of_the_root_is_left_alone() {
        let [(_, networkd), (_, manager)] = unmanaged("52:54:00:12:34:56");
        assert!(networkd.contains("MACAddress=52:54:00:12:34:56\n") && networkd.contains("Unmanaged=yes"));
        assert!(manager.contains("mac:52:54:00:12:34:56\n") && manager.contains("managed=0"));
    }
}
