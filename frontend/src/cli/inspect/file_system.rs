//! Which file system a partition holds, and what it says of itself.

use std::mem::offset_of;

use exporter::error::show_size;
use exporter::fs::fat;
use exporter::read_at::ReadAt;
use exporter::seed::Uuid;
use exporter::{Error, Kind, Result};
use serde::Serialize;
use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// A file system.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct FileSystem {
    /// Its name, as mount(8) knows it.
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uuid: Option<String>,
    /// In bytes; smaller than the partition if it is yet to grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    /// In bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) free: Option<u64>,
}

/// What only the name is told of: offset and bytes of the magic.
const MAGICS: [(u64, &[u8], &str); 6] = [
    (0, b"XFSB", "xfs"),
    (0, b"hsqs", "squashfs"),
    (0, b"LUKS\xba\xbe", "crypto_LUKS"),
    (1024, b"\xe2\xe1\xf5\xe0", "erofs"),
    (4086, b"SWAPSPACE2", "swap"),
    (0x1_0040, b"_BHRfS_M", "btrfs"),
];

impl FileSystem {
    /// What is on `volume`, and if it is FAT its files; `must_be_fat` takes anything else for damage.
    pub(super) fn probe<V: ReadAt + ?Sized>(
        volume: &V,
        must_be_fat: bool,
    ) -> Result<Option<(Self, Vec<String>)>> {
        if must_be_fat || looks_like_fat(volume) {
            let found = fat::read(volume)?;
            let files = found.files.clone();
            return Ok(Some((Self::of_fat(&found), files)));
        }
        let known = match Superblock::read(volume)? {
            Some(superblock) => Some(superblock.describe()),
            None => MAGICS
                .into_iter()
                .find(|(offset, magic, _)| has_bytes(volume, *offset, magic))
                .map(|(_, _, kind)| Self { kind, label: String::new(), uuid: None, size: None, free: None }),
        };
        Ok(known.map(|file_system| (file_system, Vec::new())))
    }

    fn of_fat(found: &fat::Found) -> Self {
        Self {
            kind: "vfat",
            label: found.label.clone(),
            uuid: Some(format!("{:04X}-{:04X}", found.serial >> 16, found.serial & 0xffff)),
            size: Some(found.size),
            free: Some(found.free),
        }
    }
}

fn has_bytes<V: ReadAt + ?Sized>(volume: &V, offset: u64, bytes: &[u8]) -> bool {
    let mut found = vec![0; bytes.len()];
    volume.read_at(offset, &mut found).is_ok() && found == bytes
}

/// Boot sectors of other kinds end in the same signature, so the type's name is asked for too.
fn looks_like_fat<V: ReadAt + ?Sized>(volume: &V) -> bool {
    has_bytes(volume, 510, &[0x55, 0xaa]) && (has_bytes(volume, 54, b"FAT") || has_bytes(volume, 82, b"FAT"))
}

/// The fields of an ext2, ext3 or ext4 superblock that are shown
/// (<https://docs.kernel.org/filesystems/ext4/super.html>).
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Superblock {
    s_inodes_count: U32,
    s_blocks_count_lo: U32,
    s_r_blocks_count_lo: U32,
    s_free_blocks_count_lo: U32,

    s_free_inodes_count: U32,
    s_first_data_block: U32,
    s_log_block_size: U32,
    s_log_cluster_size: U32,

    s_blocks_per_group: U32,
    groups_and_times: [u8; 20],
    s_magic: U16,
    state_and_checks: [u8; 34],
    s_feature_compat: U32,
    s_feature_incompat: U32,
    s_feature_ro_compat: U32,
    s_uuid: [u8; 16],
    s_volume_name: [u8; 16],
    mounts_and_journal: [u8; 200],
    s_blocks_count_hi: U32,
    s_r_blocks_count_hi: U32,
    s_free_blocks_count_hi: U32,
}
const _: () = assert!(offset_of!(Superblock, s_blocks_per_group) == 0x20);
const _: () = assert!(offset_of!(Superblock, s_magic) == 0x38);
const _: () = assert!(offset_of!(Superblock, s_uuid) == 0x68);
const _: () = assert!(offset_of!(Superblock, s_blocks_count_hi) == 0x150);
const _: () = assert!(size_of::<Superblock>() == 0x15c);

impl Superblock {
    const OFFSET: u64 = 1024;
    const MAGIC: u16 = 0xef53;
    const COMPAT_HAS_JOURNAL: u32 = 0x4;
    const INCOMPAT_EXTENTS: u32 = 0x40;
    const INCOMPAT_64BIT: u32 = 0x80;
    /// The least mke2fs makes, and the largest block there is: 1024 << 6.
    const MIN_BLOCKS_PER_GROUP: u32 = 256;
    const MAX_LOG_BLOCK_SIZE: u32 = 6;

    /// The superblock, if there is one.
    ///
    /// Its size is checked, because readers keep something in memory for each group it speaks of.
    fn read<V: ReadAt + ?Sized>(volume: &V) -> Result<Option<Self>> {
        let mut bytes = [0; size_of::<Self>()];
        if volume.size() < Self::OFFSET + bytes.len() as u64 {
            return Ok(None);
        }
        volume.read_at(Self::OFFSET, &mut bytes)?;
        let superblock: Self = zerocopy::transmute!(bytes);
        if superblock.s_magic.get() != Self::MAGIC {
            return Ok(None);
        }
        let corrupt = |message: String| Err(Error::new(Kind::Corrupt, "superblock", message));
        let possible = superblock.s_log_block_size.get() <= Self::MAX_LOG_BLOCK_SIZE
            && superblock.s_blocks_per_group.get() >= Self::MIN_BLOCKS_PER_GROUP;
        match superblock.bytes(superblock.s_blocks_count_lo, superblock.s_blocks_count_hi) {
            Some(size) if possible && size <= volume.size() => Ok(Some(superblock)),
            Some(size) if possible => {
                let (size, place) = (show_size(size), show_size(volume.size()));
                corrupt(format!("a file system of {size} is in {place}"))
            }
            _ => corrupt("the sizes in it are impossible".into()),
        }
    }

    /// A count of blocks in bytes.
    fn bytes(&self, low: U32, high: U32) -> Option<u64> {
        let wide = self.s_feature_incompat.get() & Self::INCOMPAT_64BIT != 0;
        let high = if wide { u64::from(high.get()) << 32 } else { 0 };
        (high | u64::from(low.get())).checked_mul(1024_u64.checked_shl(self.s_log_block_size.get())?)
    }

    fn describe(&self) -> FileSystem {
        let has = |features: U32, feature| features.get() & feature != 0;
        let kind = match () {
            () if has(self.s_feature_incompat, Self::INCOMPAT_EXTENTS) => "ext4",
            () if has(self.s_feature_compat, Self::COMPAT_HAS_JOURNAL) => "ext3",
            () => "ext2",
        };
        let label = self.s_volume_name.split(|&byte| byte == 0).next().unwrap_or_default();
        FileSystem {
            kind,
            label: String::from_utf8_lossy(label).into_owned(),
            uuid: Some(Uuid(self.s_uuid).to_string()),
            size: self.bytes(self.s_blocks_count_lo, self.s_blocks_count_hi),
            free: self.bytes(self.s_free_blocks_count_lo, self.s_free_blocks_count_hi),
        }
    }
}

/// True if the volume is ext2, ext3 or ext4 and fits its partition.
pub(super) fn is_ext<V: ReadAt + ?Sized>(volume: &V) -> bool {
    Superblock::read(volume).is_ok_and(|superblock| superblock.is_some())
}
