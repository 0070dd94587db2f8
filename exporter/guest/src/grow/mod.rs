//! Grow a partition and its file system to the disk, while mounted: that of the root, or whichever it is told.
//!
//! ```text
//! mount point ─stat, mountinfo─▶ device number ─/sys/dev/block─▶ partition, disk
//! a LUKS volume: what it lies in; the mapping follows by its key file, or at the next boot
//! GPT: backup to the end of the disk, last partition to the last usable block ─BLKPG─▶ kernel
//! MBR: last partition to the end of the disk ─BLKPG─▶ kernel
//! ext4 ─EXT4_IOC_RESIZE_FS─┐ the first room, before anything can fill it;
//! xfs ─XFS_IOC_FSGROWFSDATA┼▶ then step by step to the whole partition, beside the services
//! btrfs ─BTRFS_IOC_RESIZE──┘
//! ```
//!
//! Of an ext4 the kernel adds block groups a few at a time, each in a transaction: terabytes take it minutes, which no
//! boot should wait for.
//!
//! It does nothing a second time. What it does not know (another partition table, another file system, a
//! partition that is not the last) it leaves alone and says so; only what fails is an error.

pub(crate) mod blkpg;
mod btrfs;
mod crypt;
pub(crate) mod device;
pub(crate) mod ext4;
pub(crate) mod file_system;
pub(crate) mod gpt;
mod mbr;
pub(crate) mod table;
mod xfs;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::ioctl_blksszget;
use rustix::process::nice;

use crate::init::words::{LIVE, Words};
use crypt::Volume;
use device::{Device, Partition, in_file};
use file_system::FileSystem;
use table::{Growth, Refusal};

/// What a machine gets before it goes on booting, beyond what it has: more than a boot writes, and less than a
/// second even in emulation.
const FIRST_ROOM: u64 = 32 << 30;
/// The most that is added in one step: nothing stops the kernel in the middle of one, as a shutdown wants to.
const STEP_MAX: u64 = 256 << 30;

/// Why a LUKS volume stays smaller than its partition, for now.
const NEXT_BOOT: &str = "its passphrase is needed, and asked for at the next boot";

/// How long somebody else may hold the boot who grows the same file system, and how long the rest.
const PATIENCE: Duration = Duration::from_secs(30);
const PATIENCE_FOR_REST: Duration = Duration::from_secs(3600);

/// What the first part has done.
#[derive(Debug)]
pub struct Begun {
    /// For the console.
    pub done: String,
    /// Whether there is more to do: [`go_on`].
    pub goes_on: bool,
    /// Whether somebody should know: it has grown, or a partition does not.
    pub is_news: bool,
}

/// Grow the partition of what is mounted at `mount_point`, and its file system to a first room.
///
/// # Errors
/// What failed, with the file it failed on.
pub fn begin(mount_point: &Path) -> Result<Begun, String> {
    let nothing = |done| Ok(Begun { done, goes_on: false, is_news: false });
    if Words::read().is_live() {
        return nothing(LIVE.to_owned());
    }
    let Some(device) = Device::of(mount_point)? else {
        return nothing(format!("{}: not on a block device, left alone", mount_point.display()));
    };
    let name = device.path.display();
    let Some(file_system) = FileSystem::at(mount_point)? else {
        return nothing(format!("{name}: not ext4, xfs or btrfs, left alone"));
    };
    let before = file_system.size(mount_point, &device)?;
    let volume = Volume::of(&device)?;
    let refusal = match volume.as_ref().map_or(&device, |volume| &volume.below).partition()? {
        Some(partition) => grow_partition(&partition)?,
        None => None,
    };
    let is_behind = volume.map(|volume| volume.grow(&device)).transpose()? == Some(false);
    let refusal = refusal.or(is_behind.then_some(NEXT_BOOT));
    let (whole, first) = (device.size()?, before.saturating_add(FIRST_ROOM));
    file_system.grow(mount_point, &device, first, PATIENCE)?;
    let after = file_system.size(mount_point, &device)?;
    let (goes_on, is_news) = (first < whole, after > before || refusal.is_some());
    let done = match (after > before, refusal) {
        (true, _) if goes_on => {
            format!("{}, on to {} in the background", show_growth(&device, before, after), show_size(whole))
        }
        (true, _) => show_growth(&device, before, after),
        (false, Some(reason)) => format!("{name}: {}, left alone: {reason}", show_size(after)),
        (false, None) => format!("{name}: {}, nothing to do", show_size(after)),
    };
    Ok(Begun { done, goes_on, is_news })
}

/// Grow the file system mounted at `mount_point` to its device, after all who have something better to do. Returns
/// what was done, for the console.
///
/// # Errors
/// What failed, with the file it failed on.
pub fn go_on(mount_point: &Path) -> Result<String, String> {
    if Words::read().is_live() {
        return Ok(LIVE.to_owned());
    }
    // Growing is as right at any priority.
    let _ = nice(19);
    let device = Device::of(mount_point)?
        .ok_or_else(|| format!("{}: not on a block device", mount_point.display()))?;
    let file_system = FileSystem::at(mount_point)?
        .ok_or_else(|| format!("{}: not ext4, xfs or btrfs", device.path.display()))?;
    let (before, whole) = (file_system.size(mount_point, &device)?, device.size()?);
    let mut size = before;
    loop {
        file_system.grow(mount_point, &device, next_step(size, whole), PATIENCE_FOR_REST)?;
        let after = file_system.size(mount_point, &device)?;
        // What is left may be too little for a block group.
        if after == size {
            return Ok(show_growth(&device, before, after));
        }
        size = after;
    }
}

/// The size after the next step from `size` to `whole`: twice as much, within bounds.
fn next_step(size: u64, whole: u64) -> u64 {
    size.saturating_add(size.clamp(FIRST_ROOM, STEP_MAX)).min(whole)
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
    let growth = match table::grow(block.into(), partition.number, size, read)? {
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

fn show_growth(device: &Device, before: u64, after: u64) -> String {
    format!("{}: {} -> {}", device.path.display(), show_size(before), show_size(after))
}

/// Bytes in the unit a person would use.
fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let unit = (bytes.max(1).ilog2() / 10).clamp(1, UNITS.len() as u32);
    // Of floating point the program would have to know how it is written.
    let tenths = ((bytes >> (10 * (unit - 1))) * 10 + 512) >> 10;
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit as usize - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn steps_double_up_to_what_a_shutdown_can_wait_for() {
        let steps = |mut size: u64, whole: u64| {
            std::iter::from_fn(move || {
                size = Some(next_step(size, whole)).filter(|next| *next > size)?;
                Some(size / GIB)
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(steps(GIB, 20 * GIB), [20]);
        assert_eq!(steps(33 * GIB, 1000 * GIB), [66, 132, 264, 520, 776, 1000]);
        assert!(steps(7 * GIB, 7 * GIB).is_empty());
        assert!(steps(8 * GIB, 7 * GIB).is_empty());
        let largest = steps(33 * GIB, 64 << 40);
        assert_eq!(largest.last(), Some(&65536));
        assert!(largest.windows(2).all(|pair| pair[1] - pair[0] <= 256) && largest.len() < 300);
    }
}
