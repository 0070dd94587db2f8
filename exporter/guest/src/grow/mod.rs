//! Grow the root partition and its ext4 to the disk, while mounted.
//!
//! ```text
//! / ─stat─▶ device number ─/sys/dev/block─▶ partition, disk
//! GPT: backup to the end of the disk, last partition to the last usable block ─BLKPG─▶ kernel
//! ext4 ─EXT4_IOC_RESIZE_FS─▶ the whole partition
//! ```
//!
//! It does nothing a second time. What it does not know (another partition table, another file system, a
//! root that is not the last partition) it leaves alone and says so; only what fails is an error.

mod blkpg;
mod device;
mod ext4;
mod gpt;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::ioctl_blksszget;

use device::{Device, Partition, in_file};
use gpt::{Growth, Refusal, Table};

/// Grow what is mounted at `root`. Returns what was done, for the console.
///
/// # Errors
/// What failed, with the file it failed on.
pub fn grow(root: &Path) -> Result<String, String> {
    let Some(device) = Device::of(root)? else {
        return Ok(format!("{}: not on a block device, left alone", root.display()));
    };
    let name = device.path.display();
    if !ext4::is_mounted_at(root)? {
        return Ok(format!("{name}: not ext4, left alone"));
    }
    let before = ext4::size(&device)?.bytes();
    let refusal = match device.partition()? {
        Some(partition) => grow_partition(&partition)?,
        None => None,
    };
    ext4::grow(root, &device)?;
    let after = ext4::size(&device)?.bytes();
    Ok(match (after > before, refusal) {
        (true, _) => format!("{name}: {} -> {}", show_size(before), show_size(after)),
        (false, Some(reason)) => format!("{name}: {}, left alone: {reason}", show_size(after)),
        (false, None) => format!("{name}: {}, nothing to do", show_size(after)),
    })
}

/// Returns why the partition was left alone, if it was.
fn grow_partition(partition: &Partition) -> Result<Option<&'static str>, String> {
    let disk = &partition.disk.path;
    let file = File::options().read(true).write(true).open(disk).map_err(in_file(disk))?;
    let block = ioctl_blksszget(&file).map_err(in_file(disk))?;
    let read = |at, len| {
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, at).map(|()| bytes).map_err(in_file(disk))
    };
    let size = partition.disk.size()?;
    let growth = match Table::read(block.into(), read)?.and_then(|table| table.grow(partition.number, size)) {
        Ok(growth) if growth.start == partition.start => growth,
        Ok(_) => return Ok(Some("the kernel knows another partition table")),
        Err(Refusal::IsWhole) => return Ok(None),
        Err(Refusal::LeftAlone(reason)) => return Ok(Some(reason)),
    };
    write(&file, &growth).map_err(in_file(disk))?;
    blkpg::resize_partition(&file, partition.number, growth.start, growth.len).map_err(in_file(disk))?;
    Ok(None)
}

/// Each write is on the disk before the next one starts.
fn write(file: &File, growth: &Growth) -> std::io::Result<()> {
    for (at, bytes) in &growth.writes {
        file.write_all_at(bytes, *at)?;
        file.sync_data()?;
    }
    Ok(())
}

/// Bytes in the unit a person would use.
fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}
