//! What a file system of the family says of itself, for those who look at a disk. Nothing is trusted.

use zerocopy::little_endian::U32;

use super::format::{EXT4_SUPER_MAGIC, SUPERBLOCK_OFFSET, Superblock, compat, incompat};
use crate::error::{Error, Kind, Result, show_size};
use crate::read_at::ReadAt;
use crate::seed::Uuid;

/// The least blocks in a group that mke2fs makes.
const MIN_BLOCKS_PER_GROUP: u32 = 256;
/// Blocks of 64 KiB, the largest there are: 1024 << 6.
const MAX_LOG_BLOCK_SIZE: u32 = 6;

/// What the superblock of a volume says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `ext2`, `ext3` or `ext4`, by its features.
    pub kind: &'static str,
    /// Volume label; empty for none.
    pub label: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// Size in bytes, not more than the volume has.
    pub size: u64,
    /// Bytes in free blocks; [`None`] for a count that cannot be.
    pub free: Option<u64>,
    /// Whether it was not unmounted: what changed last is in its journal alone.
    pub needs_recovery: bool,
}

/// Read the superblock of `volume`; [`None`] if there is none.
///
/// # Errors
/// [`Kind::Corrupt`] for impossible sizes.
pub fn read<V: ReadAt + ?Sized>(volume: &V) -> Result<Option<Found>> {
    let mut bytes = [0; size_of::<Superblock>()];
    if volume.size() < SUPERBLOCK_OFFSET + bytes.len() as u64 {
        return Ok(None);
    }
    volume.read_at(SUPERBLOCK_OFFSET, &mut bytes)?;
    let superblock: Superblock = zerocopy::transmute!(bytes);
    if superblock.s_magic.get() != EXT4_SUPER_MAGIC {
        return Ok(None);
    }
    let corrupt = |message: String| Err(Error::new(Kind::Corrupt, "superblock", message));
    let possible = superblock.s_log_block_size.get() <= MAX_LOG_BLOCK_SIZE
        && superblock.s_blocks_per_group.get() >= MIN_BLOCKS_PER_GROUP;
    match superblock.bytes_of(superblock.s_blocks_count_lo, superblock.s_blocks_count_hi) {
        Some(size) if possible && size <= volume.size() => Ok(Some(superblock.describe(size))),
        Some(size) if possible => {
            let (size, place) = (show_size(size), show_size(volume.size()));
            corrupt(format!("a file system of {size} is in {place}"))
        }
        _ => corrupt("the sizes in it are impossible".into()),
    }
}

impl Superblock {
    /// A count of blocks in bytes.
    fn bytes_of(&self, low: U32, high: U32) -> Option<u64> {
        let wide = self.s_feature_incompat.get() & incompat::SIXTY_FOUR_BIT != 0;
        let high = if wide { u64::from(high.get()) << 32 } else { 0 };
        (high | u64::from(low.get())).checked_mul(1024_u64.checked_shl(self.s_log_block_size.get())?)
    }

    fn describe(&self, size: u64) -> Found {
        let has = |features: U32, feature| features.get() & feature != 0;
        let kind = match () {
            () if has(self.s_feature_incompat, incompat::EXTENTS) => "ext4",
            () if has(self.s_feature_compat, compat::HAS_JOURNAL) => "ext3",
            () => "ext2",
        };
        let label = self.s_volume_name.split(|&byte| byte == 0).next().unwrap_or_default();
        Found {
            kind,
            label: String::from_utf8_lossy(label).into_owned(),
            uuid: Uuid(self.s_uuid),
            size,
            free: self.bytes_of(self.s_free_blocks_count_lo, self.s_free_blocks_count_hi),
            needs_recovery: has(self.s_feature_incompat, incompat::RECOVER),
        }
    }
}
