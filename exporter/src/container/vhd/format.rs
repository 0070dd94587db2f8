//! The footer and the geometry in it, with the specification's field names.

use std::mem::{offset_of, size_of};

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::seed::Uuid;

pub(super) const SECTOR: u64 = 512;

/// Section "Hard Disk Footer Format".
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Footer {
    pub(super) cookie: [u8; 8],
    pub(super) features: U32,
    pub(super) file_format_version: U32,
    /// Of the next structure; all ones in a fixed disk.
    pub(super) data_offset: U64,
    /// Seconds since the start of the year 2000.
    pub(super) time_stamp: U32,
    pub(super) creator_application: [u8; 4],
    pub(super) creator_version: U32,
    pub(super) creator_host_os: [u8; 4],
    pub(super) original_size: U64,
    pub(super) current_size: U64,
    pub(super) disk_geometry: Geometry,
    pub(super) disk_type: U32,
    pub(super) checksum: U32,
    pub(super) unique_id: [u8; 16],
    pub(super) saved_state: u8,
    pub(super) reserved: [u8; 427],
}

/// Cylinders, heads and sectors per track.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Geometry {
    pub(super) cylinders: U16,
    pub(super) heads: u8,
    pub(super) sectors_per_track: u8,
}

impl Footer {
    pub(super) const COOKIE: [u8; 8] = *b"conectix";
    /// Feature: a bit that is always set.
    pub(super) const RESERVED_FEATURE: u32 = 2;
    pub(super) const VERSION: u32 = 0x0001_0000;
    pub(super) const FIXED: u32 = 2;
    pub(super) const DYNAMIC: u32 = 3;
    pub(super) const SIZE: u64 = size_of::<Self>() as u64;

    /// The footer of a disk of `size` bytes and that type; `data_offset` is its dynamic header's, or all
    /// ones.
    pub(super) fn new(size: u64, id: Uuid, disk_type: u32, data_offset: u64) -> Self {
        let mut footer = Self {
            cookie: Self::COOKIE,
            features: Self::RESERVED_FEATURE.into(),
            file_format_version: Self::VERSION.into(),
            data_offset: data_offset.into(),
            time_stamp: U32::ZERO,
            // QEMU takes the size from `current_size` only if it knows the creator as one that means it;
            // else it takes the geometry's, which is smaller. This name is its own for such disks.
            creator_application: *b"qem2",
            creator_version: Self::VERSION.into(),
            creator_host_os: *b"Wi2k",
            original_size: size.into(),
            current_size: size.into(),
            disk_geometry: Geometry::of(size),
            disk_type: disk_type.into(),
            checksum: U32::ZERO,
            unique_id: id.0,
            saved_state: 0,
            reserved: [0; 427],
        };
        footer.checksum = footer.computed_checksum().into();
        footer
    }

    fn computed_checksum(&self) -> u32 {
        checksum(self.as_bytes(), self.checksum)
    }

    /// Whether it is a footer and its checksum is right.
    pub(super) fn is_whole(&self) -> bool {
        self.cookie == Self::COOKIE && self.checksum.get() == self.computed_checksum()
    }
}

/// The one's complement of the sum of all bytes but the checksum's own.
fn checksum(structure: &[u8], own: U32) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    !(sum(structure) - sum(own.as_bytes()))
}

const _: () = assert!(size_of::<Footer>() == 512);
const _: () = assert!(offset_of!(Footer, current_size) == 48);
const _: () = assert!(offset_of!(Footer, disk_geometry) == 56);
const _: () = assert!(offset_of!(Footer, checksum) == 64);
const _: () = assert!(offset_of!(Footer, unique_id) == 68);
const _: () = assert!(offset_of!(Footer, saved_state) == 84);

/// Section "Dynamic Disk Header Format". The parent is that of differencing disks.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct DynamicHeader {
    pub(super) cookie: [u8; 8],
    /// Of the next structure; there is none.
    pub(super) data_offset: U64,

    pub(super) table_offset: U64,
    pub(super) header_version: U32,
    pub(super) max_table_entries: U32,

    pub(super) block_size: U32,
    pub(super) checksum: U32,
    pub(super) parent_unique_id: [u8; 16],
    pub(super) parent_time_stamp: U32,
    pub(super) reserved: [u8; 4],
    pub(super) parent_unicode_name: [u8; 512],
    pub(super) parent_locator_entries: [[u8; 24]; 8],
    pub(super) reserved_2: [u8; 256],
}

impl DynamicHeader {
    pub(super) const COOKIE: [u8; 8] = *b"cxsparse";
    pub(super) const VERSION: u32 = 0x0001_0000;
    pub(super) const SIZE: u64 = size_of::<Self>() as u64;

    pub(super) fn computed_checksum(&self) -> u32 {
        checksum(self.as_bytes(), self.checksum)
    }
}

const _: () = assert!(size_of::<DynamicHeader>() == 1024);
const _: () = assert!(offset_of!(DynamicHeader, table_offset) == 16);
const _: () = assert!(offset_of!(DynamicHeader, checksum) == 36);
const _: () = assert!(offset_of!(DynamicHeader, parent_unicode_name) == 64);

impl Geometry {
    /// Appendix "CHS Calculation": the largest geometry within a disk of `size` bytes.
    pub(super) fn of(size: u64) -> Self {
        let sectors = (size / SECTOR).min(65_535 * 16 * 255);
        let (sectors_per_track, heads) =
            if sectors < 65_535 * 16 * 63 { Self::of_small(sectors) } else { (255, 16) };
        let cylinders = U16::new((sectors / sectors_per_track / heads) as u16);
        Self { cylinders, heads: heads as u8, sectors_per_track: sectors_per_track as u8 }
    }

    /// Sectors per track and heads: the first of three that keeps the cylinders below 1024.
    fn of_small(sectors: u64) -> (u64, u64) {
        let heads = (sectors / 17).div_ceil(1024).max(4);
        if heads <= 16 && sectors / 17 < heads * 1024 {
            return (17, heads);
        }
        if sectors / 31 < 16 * 1024 { (31, 16) } else { (63, 16) }
    }
}

#[cfg(test)]
mod tests {
    use super::Geometry;

    #[test]
    fn geometries_are_those_of_the_specification() {
        let of = |mebibytes: u64| {
            let found = Geometry::of(mebibytes << 20);
            (found.cylinders.get(), found.heads, found.sectors_per_track)
        };
        assert_eq!(of(1), (30, 4, 17));
        assert_eq!(of(40), (963, 5, 17));
        assert_eq!(of(200), (825, 16, 31));
        assert_eq!(of(500), (1015, 16, 63));
        assert_eq!(of(1 << 10), (2080, 16, 63));
        assert_eq!(of(100 << 10), (51_400, 16, 255));
        assert_eq!(of(2 << 20), (65_535, 16, 255));
    }
}
