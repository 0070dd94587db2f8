//! The boot catalogue of "El Torito": one block that says what a BIOS loads, and what UEFI takes for its system partition.

use zerocopy::IntoBytes;

use super::place::Place;
use crate::fs::iso9660::format::{BLOCK, BootEntry, SectionHeader, ValidationEntry};

const X86: u8 = 0;
const UEFI: u8 = 0xef;
/// What a BIOS loads of an image, in sectors of 512 bytes: all of cdboot.img, which loads the rest. BIOSes want no more.
const LOADED: u16 = 4;

/// That of a volume with these images, of which it has one.
pub(super) fn encode(bios: Option<Place>, esp: Option<Place>) -> Vec<u8> {
    let platform = if bios.is_some() { X86 } else { UEFI };
    let mut bytes = validation(platform).as_bytes().to_vec();
    bios.iter().for_each(|place| bytes.extend_from_slice(entry(place.block(), LOADED).as_bytes()));
    if bios.is_some() && esp.is_some() {
        let header_indicator = SectionHeader::FINAL;
        let header =
            SectionHeader { header_indicator, platform_id: UEFI, entries: 1.into(), id_string: [0; 28] };
        bytes.extend_from_slice(header.as_bytes());
    }
    esp.iter().for_each(|place| bytes.extend_from_slice(entry(place.block(), sectors(place.len)).as_bytes()));
    bytes.resize(BLOCK as usize, 0);
    bytes
}

fn validation(platform_id: u8) -> ValidationEntry {
    let header_id = ValidationEntry::HEADER_ID;
    let (reserved, id_string, key) = ([0; 2], [0; 24], ValidationEntry::KEY);
    ValidationEntry { header_id, platform_id, reserved, id_string, checksum: 0.into(), key }.seal()
}

fn entry(block: u32, sectors: u16) -> BootEntry {
    BootEntry {
        boot_indicator: BootEntry::BOOTABLE,
        boot_media_type: 0,
        load_segment: 0.into(),
        system_type: 0,
        unused: 0,
        sector_count: sectors.into(),
        load_rba: block.into(),
        vendor: [0; 20],
    }
}

/// UEFI 13.3.2.1: a partition whose length cannot be said ends where the disc does, and is said to have none.
fn sectors(len: u64) -> u16 {
    u16::try_from(len.div_ceil(512)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_first_entry_make_zero() {
        let bytes = encode(Some(Place::default()), Some(Place { len: 1 << 20, ..Place::default() }));
        let words = bytes[..32].as_chunks::<2>().0.iter().map(|word| u16::from_le_bytes(*word));
        assert_eq!(words.fold(0, u16::wrapping_add), 0);
        assert_eq!((bytes[1], bytes[32], bytes[64], bytes[65], bytes[96]), (X86, 0x88, 0x91, UEFI, 0x88));
        assert_eq!(bytes[102..104], 2048u16.to_le_bytes());
        let uefi = encode(None, Some(Place::default()));
        assert_eq!((uefi[1], uefi[32], uefi[64]), (UEFI, 0x88, 0));
    }

    #[test]
    fn a_partition_beyond_16_bits_of_sectors_has_no_length() {
        assert_eq!((sectors(512), sectors(513)), (1, 2));
        assert_eq!((sectors(65_535 * 512), sectors(65_535 * 512 + 1)), (65_535, 0));
    }
}
