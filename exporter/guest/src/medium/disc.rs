//! The medium that is a disc or a USB stick: the block device with an ISO 9660 whose tree has the file `/vmimage/UUID`.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::Host;
use super::disks::{self, Block};
use super::words::FOLDER;
use crate::grow::device::Device;

/// Where it is mounted.
pub(super) const AT: &str = "/medium";
/// How long it may take to appear: USB sticks and drives that have to spin up take their time.
const PATIENCE: Duration = Duration::from_secs(30);
/// A disc that is put in comes without a new device.
const LOOK: Duration = Duration::from_secs(1);
/// The identifier of a volume descriptor, in the first of them (ECMA-119, 8.1.2).
const DESCRIPTOR: u64 = 16 * 2048;
const CD001: &[u8] = b"CD001";

/// Mount it, as soon as it is there.
///
/// # Errors
/// If it does not come, with what is there.
pub(super) fn mount_it(id: &str, host: &mut Host) -> Result<(), String> {
    host.modules.load("isofs");
    fs::create_dir_all(AT).map_err(|error| format!("{AT}: {error}"))?;
    let start = Instant::now();
    loop {
        let blocks = disks::list(Path::new(disks::SYS));
        if find(&blocks, |path| is_disc(path) && mounts(path, id)).is_some() {
            return Ok(());
        }
        let left = PATIENCE.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(absent(id, &blocks));
        }
        if let Some(alias) = host.devices.next(left.min(LOOK)).and_then(|device| device.modalias) {
            host.modules.load(&alias);
        }
    }
}

/// The first that is it: optical drives before all else, since the very same bytes may lie on a disk.
fn find(blocks: &[Block], mut is_it: impl FnMut(&Path) -> bool) -> Option<PathBuf> {
    let (optical, others): (Vec<_>, Vec<_>) = blocks.iter().partition(|block| block.is_optical());
    let mut paths = optical.into_iter().chain(others).map(|block| &block.path);
    paths.find(|path| is_it(path)).cloned()
}

/// Whether there is an ISO 9660 on a device. A drive without a disc cannot be read.
fn is_disc(path: &Path) -> bool {
    let mut bytes = [0; 5];
    let read = File::open(path).and_then(|device| device.read_exact_at(&mut bytes, DESCRIPTOR + 1));
    read.is_ok() && bytes == CD001
}

/// Mount a device, and leave it mounted if it is the one.
fn mounts(path: &Path, id: &str) -> bool {
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
    if mount(path, AT, "iso9660", flags, None).is_err() {
        return false;
    }
    let is_it = Path::new(AT).join(FOLDER).join(id).exists();
    if !is_it {
        let _ = unmount(AT, UnmountFlags::DETACH);
    }
    is_it
}

/// The disk that it is on.
pub(super) fn disk() -> Result<PathBuf, String> {
    let device = Device::of(Path::new(AT))?.ok_or_else(|| format!("{AT}: no medium is mounted there"))?;
    Ok(device.partition()?.map_or(device.path, |partition| partition.disk.path))
}

fn absent(id: &str, blocks: &[Block]) -> String {
    let there: Vec<_> = blocks.iter().filter(|block| block.number.is_none()).map(Block::show).collect();
    let there = if there.is_empty() { "nothing".to_owned() } else { there.join(", ") };
    format!(
        "the medium {id} is not there; there is {there}\nhint: is it still in its drive or port? has the initramfs a driver \
         for that?"
    )
}

#[cfg(test)]
mod tests {
    use super::disks::testing::machine;
    use super::*;

    #[test]
    fn the_medium_is_looked_for_on_every_device() {
        let sys = machine(&[("sda", 4, ""), ("sda/sda1", 4, ""), ("sdb", 4, ""), ("sr0", 4, "")]);
        let blocks = disks::list(sys.path());
        let mut asked = Vec::new();
        let found = find(&blocks, |path| {
            asked.push(path.display().to_string());
            path.ends_with("sdb")
        });
        assert_eq!(found, Some("/dev/sdb".into()));
        assert_eq!(asked, ["/dev/sr0", "/dev/sda", "/dev/sda1", "/dev/sdb"]);
        assert_eq!(find(&blocks, |_| false), None);
        let error = absent("5b1c", &blocks);
        assert!(error.starts_with("the medium 5b1c is not there; there is /dev/sda ("), "{error}");
    }

    #[test]
    fn an_iso_9660_is_told_by_its_first_descriptor() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(!is_disc(file.path()));
        file.as_file().write_all_at(b"\x01CD001\x01", DESCRIPTOR).unwrap();
        assert!(is_disc(file.path()));
        file.as_file().write_all_at(b"NSR02", DESCRIPTOR + 1).unwrap();
        assert!(!is_disc(file.path()));
        assert!(!is_disc(Path::new("/nonexistent")));
    }
}
