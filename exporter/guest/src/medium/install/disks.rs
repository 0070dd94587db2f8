//! The disks of the machine, as sysfs describes them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::grow::device::SYSFS_SECTOR;

/// How disks are connected, as `disk.transport` has it.
pub(super) const TRANSPORTS: [&str; 6] = ["nvme", "sata", "usb", "virtio", "scsi", "mmc"];
/// What is a block device with hardware, but no disk: optical drives, floppies, what an eMMC has beside its disk.
const OTHERS: [&str; 2] = ["sr", "fd"];
const PARTS_OF_EMMC: [&str; 3] = ["boot0", "boot1", "rpmb"];

/// Where the kernel tells of them; tests have their own.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// `/sys`
    pub(super) sys: PathBuf,
    /// `/dev`
    pub(super) dev: PathBuf,
    /// `/proc/self/mountinfo`
    pub(super) mounts: PathBuf,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    /// `sda`
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Bytes of a sector.
    pub(super) sector: u64,
    pub(super) model: String,
    pub(super) serial: String,
    pub(super) transport: &'static str,
    pub(super) is_read_only: bool,
    /// Whether it, or a part of it, is mounted, or something else is made of it.
    pub(super) is_used: bool,
}

impl Default for Places {
    fn default() -> Self {
        Self { sys: "/sys".into(), dev: "/dev".into(), mounts: "/proc/self/mountinfo".into() }
    }
}

/// All that have something in them, in the order of their names.
pub(super) fn list(places: &Places) -> Vec<Disk> {
    let folder = places.sys.join("block");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mounts = fs::read_to_string(&places.mounts).unwrap_or_default();
    let mut disks: Vec<_> = entries.filter_map(|entry| disk(&entry.path(), &places.dev, &mounts)).collect();
    // sdb before sdaa.
    disks.sort_by(|one, other| (one.name.len(), &one.name).cmp(&(other.name.len(), &other.name)));
    disks
}

fn disk(folder: &Path, dev: &Path, mounts: &str) -> Option<Disk> {
    let name = folder.file_name()?.to_str()?.to_owned();
    let is_other = OTHERS.iter().any(|other| name.starts_with(other))
        || PARTS_OF_EMMC.iter().any(|part| name.starts_with("mmcblk") && name.ends_with(part));
    // Loops, memory and what is made of disks have none.
    let number = |attribute: &str| text(&folder.join(attribute)).parse::<u64>().ok();
    // Of an NVMe disk with several ways to it, each of them.
    let is_hidden = number("hidden") == Some(1);
    if is_other || is_hidden || !folder.join("device").exists() {
        return None;
    }
    let bytes = number("size")?.checked_mul(SYSFS_SECTOR).filter(|bytes| *bytes > 0)?;
    let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    Some(Disk {
        path: dev.join(name.replace('!', "/")),
        bytes,
        sector: number("queue/logical_block_size").unwrap_or(SYSFS_SECTOR),
        model: first(folder, &["device/model", "device/name"]),
        serial: serial(folder),
        transport: transport(&name, &real),
        is_read_only: number("ro") == Some(1),
        is_used: is_used(folder, mounts),
        name,
    })
}

fn transport(name: &str, real: &Path) -> &'static str {
    let path = real.to_string_lossy();
    let has = |part: &str| path.split('/').any(|folder| folder.starts_with(part));
    match () {
        () if name.starts_with("nvme") => "nvme",
        () if name.starts_with("mmcblk") => "mmc",
        () if has("usb") => "usb",
        () if has("virtio") => "virtio",
        () if has("ata") => "sata",
        () => "scsi",
    }
}

/// As it says itself, or by the page of SCSI for it (SPC-5, 7.7.17: four bytes, and then the text).
fn serial(folder: &Path) -> String {
    let said = first(folder, &["serial", "device/serial"]);
    match fs::read(folder.join("device/vpd_pg80")) {
        Ok(page) if said.is_empty() => clean(&String::from_utf8_lossy(page.get(4..).unwrap_or_default())),
        _ => said,
    }
}

fn is_used(folder: &Path, mounts: &str) -> bool {
    let parts = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let parts = parts.filter(|path| path.join("partition").exists());
    std::iter::once(folder.to_owned()).chain(parts).any(|part| {
        let number = text(&part.join("dev"));
        let is_mounted =
            !number.is_empty() && mounts.lines().any(|line| line.split(' ').nth(2) == Some(&number));
        let has_holders =
            fs::read_dir(part.join("holders")).is_ok_and(|mut holders| holders.next().is_some());
        is_mounted || has_holders
    })
}

/// The first attribute that says something.
fn first(folder: &Path, attributes: &[&str]) -> String {
    let texts = attributes.iter().map(|attribute| text(&folder.join(attribute)));
    texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

fn text(path: &Path) -> String {
    fs::read(path).map(|bytes| clean(&String::from_utf8_lossy(&bytes))).unwrap_or_default()
}

/// A line of a console: devices say what they like.
fn clean(text: &str) -> String {
    text.trim_matches(['\0', ' ', '\n']).chars().filter(|letter| !letter.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::Machine;
    use super::*;

    #[test]
    fn disks_are_what_the_kernel_says_of_them() {
        let machine = Machine::new();
        machine.disk("sdb", 1 << 30).set("device/model", "QEMU HARDDISK   \n").set("dev", "8:16\n");
        machine.disk("sdb", 1 << 30).set("device/vpd_pg80", "\0\x01\0\x02S4\0");
        machine.disk("sdaa", 1 << 30);
        machine
            .disk("nvme0n1", 1 << 40)
            .set("device/serial", "N1\n")
            .set("queue/logical_block_size", "4096\n");
        machine.disk("mmcblk0", 8 << 30).set("device/name", "DG4008\n").set("ro", "1\n");
        for name in ["loop0", "sr0", "zram0", "mmcblk0boot0", "fd0"] {
            machine.disk(name, 1 << 20);
        }
        machine.remove("block/loop0/device");
        machine.remove("block/zram0/device");
        machine.disk("sdc", 0);
        machine.disk("nvme0c0n1", 1 << 40).set("hidden", "1\n");
        machine.mounted("28 1 8:17 / /medium ro - iso9660 /dev/sdb1 ro");
        let sdb = machine.disk("sdb", 1 << 30);
        sdb.set("sdb1/partition", "1\n").set("sdb1/dev", "8:17\n");
        let disks = list(&machine.places());
        let names: Vec<_> = disks.iter().map(|disk| &*disk.name).collect();
        assert_eq!(names, ["sdb", "sdaa", "mmcblk0", "nvme0n1"]);
        let sdb = &disks[0];
        assert_eq!((&*sdb.model, &*sdb.serial, sdb.sector, sdb.is_used), ("QEMU HARDDISK", "S4", 512, true));
        assert!(!disks[1].is_used && disks[2].is_read_only);
        assert_eq!((disks[2].transport, &*disks[2].model), ("mmc", "DG4008"));
        assert_eq!((disks[3].transport, &*disks[3].serial, disks[3].sector), ("nvme", "N1", 4096));
    }

    #[test]
    fn what_is_made_of_a_disk_uses_it() {
        let machine = Machine::new();
        machine.disk("sda", 1 << 30).set("sda2/partition", "2\n").set("sda2/holders/dm-0", "");
        assert!(list(&machine.places())[0].is_used);
    }

    #[test]
    fn a_transport_is_told_by_the_way_to_the_disk() {
        for (name, path, transport) in [
            ("sda", "/sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda", "sata"),
            ("sda", "/sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/block/sda", "usb"),
            ("vda", "/sys/devices/pci0000:00/0000:00:04.0/virtio1/block/vda", "virtio"),
            ("sda", "/sys/devices/pci0000:00/0000:03:00.0/host0/target0:2:0/0:2:0:0/block/sda", "scsi"),
            ("nvme0n1", "/sys/devices/pci0000:00/0000:00:05.0/nvme/nvme0/nvme0n1", "nvme"),
        ] {
            assert_eq!(super::transport(name, Path::new(path)), transport, "{path}");
            assert!(TRANSPORTS.contains(&transport));
        }
    }
}
