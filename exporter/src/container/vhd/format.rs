//! The footer and the geometry in it, with the specification's field names.

use std::mem::{offset_of, size_of};

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub(super) const SECTOR: u64 = 512;

/// Section "Hard Disk Footer Format".
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
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
    pub(super) const SIZE: u64 = size_of::<Self>() as u64;

    /// The one's complement of the sum of all bytes but the checksum's own.
    pub(super) fn computed_checksum(&self) -> u32 {
        let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
        !(sum(self.as_bytes()) - sum(self.checksum.as_bytes()))
    }
}

const _: () = assert!(size_of::<Footer>() == 512);
const _: () = assert!(offset_of!(Footer, current_size) == 48);
const _: () = assert!(offset_of!(Footer, disk_geometry) == 56);
const _: () = assert!(offset_of!(Footer, checksum) == 64);
const _: () = assert!(offset_of!(Footer, unique_id) == 68);
const _: () = assert!(offset_of!(Footer, saved_state) == 84);

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
