//! The block devices of the machine, as sysfs describes them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::grow::device::SYSFS_SECTOR;

/// Where they are.
pub(crate) const SYS: &str = "/sys";
/// What is no device of the machine, but of the kernel; and floppy disks, which take minutes to say that they are none.
const NO_HARDWARE: [&str; 5] = ["loop", "ram", "zram", "nbd", "fd"];

/// A block device: a disk, or a partition of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) path: PathBuf,
    /// The disk that it is a part of, or itself.
    pub(crate) disk: PathBuf,
    /// `None`: a whole disk.
    pub(crate) number: Option<u32>,
    pub(crate) bytes: u64,
    /// What its maker calls it; of a partition nothing.
    pub(crate) model: String,
}

/// Those that have something in them, each disk before its partitions.
pub(crate) fn list(sys: &Path) -> Vec<Block> {
    let entries = fs::read_dir(sys.join("class/block")).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries.filter_map(|entry| Block::read(&entry.path())).collect();
    found.sort_by_key(|block| (block.disk.clone(), block.number));
    found
}

impl Block {
    fn read(link: &Path) -> Option<Self> {
        let name = link.file_name()?.to_str()?;
        let is_hardware = !NO_HARDWARE.iter().any(|kind| is_of(name, kind));
        // The link leads to its place in the machine.
        let place = fs::canonicalize(link).ok().filter(|_| is_hardware)?;
        let number = text(&place.join("partition")).and_then(|text| text.parse().ok());
        let disk = if number.is_some() { place.parent()? } else { &place };
        let bytes = text(&place.join("size"))?.parse::<u64>().ok()?.checked_mul(SYSFS_SECTOR)?;
        let model = text(&place.join("device/model")).unwrap_or_default();
        let block = Self { path: path(&place)?, disk: path(disk)?, number, bytes, model };
        (bytes > 0).then_some(block)
    }

    pub(crate) fn is_optical(&self) -> bool {
        self.path.to_string_lossy().starts_with("/dev/sr")
    }

    /// For a person: `/dev/sda (Samsung SSD 980, 931.5 GiB)`.
    pub(crate) fn show(&self) -> String {
        let blank = if self.model.is_empty() { "" } else { ", " };
        format!("{} ({}{blank}{})", self.path.display(), self.model, show_size(self.bytes))
    }
}

/// The disks themselves, for a person; optical drives are none.
pub(crate) fn show_disks(blocks: &[Block]) -> String {
    let disks = blocks.iter().filter(|block| block.number.is_none() && !block.is_optical());
    let shown: Vec<_> = disks.map(Block::show).collect();
    match shown.is_empty() {
        true => "this machine has no disk, or the initramfs no driver for it".to_owned(),
        false => format!("the disks of this machine are {}", shown.join(", ")),
    }
}

/// `loop0` is of `loop`, `loopback` is not.
fn is_of(name: &str, kind: &str) -> bool {
    name.strip_prefix(kind).is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// A slash in a name is `!` in sysfs.
fn path(place: &Path) -> Option<PathBuf> {
    Some(Path::new("/dev").join(place.file_name()?.to_str()?.replace('!', "/")))
}

fn text(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// Bytes in the unit a person would use.
pub(crate) fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A machine with these devices: places below `/sys/devices`, sizes in sectors of 512 bytes, models.
    pub(crate) fn machine(devices: &[(&str, u64, &str)]) -> tempfile::TempDir {
        let sys = tempfile::tempdir().unwrap();
        fs::create_dir_all(sys.path().join("class/block")).unwrap();
        for (place, sectors, model) in devices {
            let folder = sys.path().join("devices").join(place);
            fs::create_dir_all(folder.join("device")).unwrap();
            fs::write(folder.join("size"), format!("{sectors}\n")).unwrap();
            fs::write(folder.join("device/model"), format!("{model}  \n")).unwrap();
            let name = place.rsplit('/').next().unwrap();
            if place.contains('/') {
                let number = name.trim_start_matches(|c: char| !c.is_ascii_digit());
                fs::write(folder.join("partition"), format!("{number}\n")).unwrap();
            }
            std::os::unix::fs::symlink(folder, sys.path().join("class/block").join(name)).unwrap();
        }
        sys
    }
}

#[cfg(test)]
mod tests {
    use super::testing::machine;
    use super::*;

    #[test]
    fn disks_are_listed_with_their_partitions() {
        let sys = machine(&[
            ("sdb", 2048, "USB"),
            ("sda/sda2", 4, ""),
            ("sda", 1 << 21, "Disk 1"),
            ("sda/sda10", 4, ""),
            ("loop0", 8, ""),
            ("sdc", 0, "card reader"),
            ("sr0", 9, "DVD"),
            ("cciss!c0d0", 8, "RAID"),
        ]);
        let found = list(sys.path());
        let paths: Vec<_> = found.iter().map(|block| block.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["/dev/cciss/c0d0", "/dev/sda", "/dev/sda2", "/dev/sda10", "/dev/sdb", "/dev/sr0"]);
        assert_eq!((found[2].number, found[2].disk.as_path()), (Some(2), Path::new("/dev/sda")));
        assert_eq!(found[1].show(), "/dev/sda (Disk 1, 1.0 GiB)");
        let said = show_disks(&found);
        assert!(
            said.contains("/dev/sdb (USB, 1.0 MiB)") && !said.contains("sr0") && !said.contains("sda2"),
            "{said}"
        );
        assert!(show_disks(&[]).contains("no disk"));
        assert!(list(Path::new("/nonexistent")).is_empty());
    }
}
