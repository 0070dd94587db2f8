//! `EFI_LOAD_OPTION` (UEFI 2.10, section 3.1.3), with the path of a program on a partition (section 10.3).
//!
//! ```text
//! attributes │ length of the path │ description, a zero │ hard drive │ file │ end
//! ```

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{Immutable, IntoBytes, KnownLayout, Unaligned};

use super::super::closing::Partition;

/// `LOAD_OPTION_ACTIVE`: it is one of those that are tried.
const ACTIVE: u32 = 1;
/// What a description and a path have at most here.
const TEXT_MAX: usize = 255;

/// What every node begins with (UEFI 2.10, table 10.1).
#[derive(Clone, Copy, Debug, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Node {
    r#type: u8,
    sub_type: u8,
    /// Of the node with these four bytes.
    length: U16,
}

/// A partition (UEFI 2.10, table 10.51).
#[derive(Clone, Copy, Debug, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct HardDrive {
    node: Node,
    partition_number: U32,
    /// Blocks.
    partition_start: U64,
    partition_size: U64,
    /// That of the partition in the table.
    partition_signature: [u8; 16],
    partition_format: u8,
    signature_type: u8,
}

const _: () = assert!(size_of::<Node>() == 4);
const _: () = assert!(size_of::<HardDrive>() == 42);

const MEDIA: u8 = 4;
const HARD_DRIVE: u8 = 1;
const FILE_PATH: u8 = 4;
const FORMAT_GPT: u8 = 2;
const SIGNATURE_GUID: u8 = 2;
const END: Node = Node { r#type: 0x7f, sub_type: 0xff, length: U16::new(4) };

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::medium::install) struct LoadOption {
    /// For a person.
    pub(super) label: String,
    path: Vec<u8>,
}

impl LoadOption {
    /// That of a program on a partition; `None`: the partition is none of a GPT, or the texts are none of a firmware's.
    pub(in crate::medium::install) fn new(label: &str, partition: &Partition, loader: &str) -> Option<Self> {
        let is_text = |text: &str| {
            !text.is_empty() && text.encode_utf16().count() <= TEXT_MAX && !text.chars().any(char::is_control)
        };
        if !is_text(label) || !is_text(loader) {
            return None;
        }
        let Partition { number, place, id, sector } = partition;
        let node = |sub_type: u8, length: usize| {
            Some(Node { r#type: MEDIA, sub_type, length: u16::try_from(length).ok()?.into() })
        };
        let drive = HardDrive {
            node: node(HARD_DRIVE, size_of::<HardDrive>())?,
            partition_number: (*number).into(),
            partition_start: place.start.checked_div(*sector)?.into(),
            partition_size: place.end.checked_sub(place.start)?.checked_div(*sector)?.into(),
            partition_signature: (*id)?,
            partition_format: FORMAT_GPT,
            signature_type: SIGNATURE_GUID,
        };
        let file = utf16(loader);
        let mut path = drive.as_bytes().to_vec();
        path.extend(node(FILE_PATH, size_of::<Node>() + file.len())?.as_bytes());
        path.extend(file);
        path.extend(END.as_bytes());
        Some(Self { label: label.to_owned(), path })
    }

    /// The value of the variable.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = U32::new(ACTIVE).as_bytes().to_vec();
        // Two texts of at most 255 letters.
        bytes.extend(U16::new(self.path.len() as u16).as_bytes());
        bytes.extend(utf16(&self.label));
        bytes.extend(&self.path);
        bytes
    }
}

/// With a zero at its end.
fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As efibootmgr writes `-d /dev/sda -p 1 -l \EFI\a.efi -L ab` (efivar's dump of it).
    #[test]
    fn an_entry_is_what_the_specification_says() {
        let partition =
            Partition { number: 1, place: 0x800 * 512..0x1800 * 512, id: Some([0x11; 16]), sector: 512 };
        let bytes = LoadOption::new("ab", &partition, "\\EFI\\a.efi").unwrap().bytes();
        let mut expected = vec![1, 0, 0, 0, 42 + 4 + 22 + 4, 0, b'a', 0, b'b', 0, 0, 0];
        expected.extend([4, 1, 42, 0, 1, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0]);
        expected.extend([0x11; 16]);
        expected.extend([2, 2, 4, 4, 26, 0]);
        expected.extend("\\EFI\\a.efi\0".bytes().flat_map(|byte| [byte, 0]));
        expected.extend([0x7f, 0xff, 4, 0]);
        assert_eq!(bytes, expected);
        let large = Partition { sector: 4096, ..partition.clone() };
        assert_ne!(LoadOption::new("ab", &large, "\\EFI\\a.efi").unwrap().bytes(), expected);
    }

    #[test]
    fn what_no_firmware_can_start_is_none() {
        let partition = Partition { number: 1, place: 0..512, id: Some([1; 16]), sector: 512 };
        let long = "x".repeat(256);
        for (label, loader) in [("", "\\a"), ("a", ""), (&*long, "\\a"), ("a", &*long), ("a\n", "\\a")] {
            assert_eq!(LoadOption::new(label, &partition, loader), None);
        }
        let mbr = Partition { id: None, ..partition.clone() };
        assert_eq!(LoadOption::new("a", &mbr, "\\a"), None);
        assert_eq!(LoadOption::new("a", &Partition { sector: 0, ..partition }, "\\a"), None);
    }
}
