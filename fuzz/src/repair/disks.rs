//! The checksums of disk formats that have some.

use super::{number, put};

/// Headers and region tables of a VHDX (MS-VHDX 2.2.2, 2.2.3): CRC-32C in the four bytes from 4 on.
pub(crate) fn vhdx(bytes: &mut [u8]) {
    for (at, len) in [(64 << 10, 4 << 10), (128 << 10, 4 << 10), (192 << 10, 64 << 10), (256 << 10, 64 << 10)]
    {
        put(bytes, at + 4, &[0; 4]);
        if let Some(structure) = bytes.get(at..at + len) {
            let sum = crc32c::crc32c(structure);
            put(bytes, at + 4, &sum.to_le_bytes());
        }
    }
}

/// The footer of a VHD, its copy at the front, and the header of a dynamic one: the complement of the sum of all
/// bytes but its own.
pub(crate) fn vhd(bytes: &mut [u8]) {
    for at in [0, bytes.len().saturating_sub(512)] {
        if bytes.get(at..at + 8) == Some(b"conectix") {
            complement(bytes, at, 512, 64);
        }
    }
    // Its offset is big endian.
    let offset = number(bytes, 16, 8).map(u64::swap_bytes).and_then(|offset| usize::try_from(offset).ok());
    if let Some(at) = offset.filter(|at| bytes.get(*at..at.saturating_add(8)) == Some(b"cxsparse")) {
        complement(bytes, at, 1024, 36);
    }
}

fn complement(bytes: &mut [u8], at: usize, len: usize, own: usize) {
    put(bytes, at + own, &[0; 4]);
    if let Some(structure) = at.checked_add(len).and_then(|end| bytes.get(at..end)) {
        let sum = !structure.iter().fold(0_u32, |sum, &byte| sum.wrapping_add(byte.into()));
        put(bytes, at + own, &sum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exporter::container::Format;

    #[test]
    fn damaged_headers_are_whole_again() {
        let whole = |format| crate::targets::disk_files(format).remove(0);
        let mut damaged = whole(Format::Vhdx);
        let before = damaged.clone();
        [(64 << 10) + 5, (192 << 10) + 5].into_iter().for_each(|at: usize| damaged[at] ^= 1);
        vhdx(&mut damaged);
        assert!(damaged == before);

        let mut damaged = whole(Format::VhdDynamic);
        let before = damaged.clone();
        let last = damaged.len() - 512;
        [64, last + 64, 512 + 36].into_iter().for_each(|at| damaged[at] ^= 1);
        vhd(&mut damaged);
        assert!(damaged == before);
    }
}
