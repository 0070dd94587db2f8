//! The structures on disk, with the specifications' field names. Sections are those of ECMA-119, where nothing else is said.

use std::mem::offset_of;

use zerocopy::byteorder::{big_endian, little_endian};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a block, which is a sector of a disc.
pub(super) const BLOCK: u64 = 2048;
/// The block of the primary volume descriptor, behind the system area (6.2.1).
pub(super) const FIRST_DESCRIPTOR: u32 = 16;

/// 7.2.3: a number in both orders of its bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Both16 {
    little: little_endian::U16,
    big: big_endian::U16,
}

impl From<u16> for Both16 {
    fn from(value: u16) -> Self {
        Self { little: value.into(), big: value.into() }
    }
}

/// 7.3.3: a number in both orders of its bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Both32 {
    little: little_endian::U32,
    big: big_endian::U32,
}

impl From<u32> for Both32 {
    fn from(value: u32) -> Self {
        Self { little: value.into(), big: value.into() }
    }
}

/// What every volume descriptor begins with (8.1).
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DescriptorHeader {
    pub(super) volume_descriptor_type: u8,
    pub(super) standard_identifier: [u8; 5],
    pub(super) volume_descriptor_version: u8,
}

impl DescriptorHeader {
    const BOOT_RECORD: u8 = 0;
    const PRIMARY: u8 = 1;
    const TERMINATOR: u8 = 255;

    fn new(volume_descriptor_type: u8) -> Self {
        Self { volume_descriptor_type, standard_identifier: *b"CD001", volume_descriptor_version: 1 }
    }

    pub(super) fn primary() -> Self {
        Self::new(Self::PRIMARY)
    }

    pub(super) fn boot_record() -> Self {
        Self::new(Self::BOOT_RECORD)
    }

    /// The whole of a terminator (8.3), the rest of which is zero.
    pub(super) fn terminator() -> Self {
        Self::new(Self::TERMINATOR)
    }
}

/// Primary volume descriptor (8.4).
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct PrimaryDescriptor {
    pub(super) header: DescriptorHeader,
    pub(super) unused_1: u8,
    pub(super) system_identifier: [u8; 32],
    pub(super) volume_identifier: [u8; 32],
    pub(super) unused_2: [u8; 8],
    /// In blocks.
    pub(super) volume_space_size: Both32,
    pub(super) unused_3: [u8; 32],
    pub(super) volume_set_size: Both16,
    pub(super) volume_sequence_number: Both16,
    pub(super) logical_block_size: Both16,
    /// In bytes.
    pub(super) path_table_size: Both32,
    pub(super) type_l_path_table: little_endian::U32,
    pub(super) optional_type_l_path_table: little_endian::U32,
    pub(super) type_m_path_table: big_endian::U32,
    pub(super) optional_type_m_path_table: big_endian::U32,
    pub(super) root: DirectoryRecord,
    /// Zero, as in the root's own first record.
    pub(super) root_identifier: u8,
    pub(super) volume_set_identifier: [u8; 128],
    pub(super) publisher_identifier: [u8; 128],
    pub(super) data_preparer_identifier: [u8; 128],
    pub(super) application_identifier: [u8; 128],
    pub(super) copyright_file_identifier: [u8; 37],
    pub(super) abstract_file_identifier: [u8; 37],
    pub(super) bibliographic_file_identifier: [u8; 37],
    pub(super) volume_creation: [u8; 17],
    pub(super) volume_modification: [u8; 17],
    pub(super) volume_expiration: [u8; 17],
    pub(super) volume_effective: [u8; 17],
    pub(super) file_structure_version: u8,
    pub(super) reserved_1: u8,
    pub(super) application_use: [u8; 512],
    pub(super) reserved_2: [u8; 653],
}

const _: () = assert!(size_of::<PrimaryDescriptor>() as u64 == BLOCK);
const _: () = assert!(offset_of!(PrimaryDescriptor, volume_space_size) == 80);
const _: () = assert!(offset_of!(PrimaryDescriptor, type_l_path_table) == 140);
const _: () = assert!(offset_of!(PrimaryDescriptor, root) == 156);
const _: () = assert!(offset_of!(PrimaryDescriptor, volume_creation) == 813);
const _: () = assert!(offset_of!(PrimaryDescriptor, application_use) == 883);

/// Boot record (8.2), as "El Torito" figure 7 has it.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct BootRecord {
    pub(super) header: DescriptorHeader,
    pub(super) boot_system_identifier: [u8; 32],
    pub(super) unused: [u8; 32],
    /// The block of the boot catalogue.
    pub(super) boot_catalog: little_endian::U32,
    pub(super) unused_2: [u8; 1973],
}

const _: () = assert!(size_of::<BootRecord>() as u64 == BLOCK);
const _: () = assert!(offset_of!(BootRecord, boot_catalog) == 0x47);

/// Directory record (9.1); its identifier, a byte that makes that even, and what systems use follow.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DirectoryRecord {
    pub(super) length: u8,
    pub(super) extended_attribute_length: u8,
    pub(super) extent: Both32,
    /// In bytes.
    pub(super) data_length: Both32,
    pub(super) recorded: [u8; 7],
    pub(super) flags: u8,
    pub(super) file_unit_size: u8,
    pub(super) interleave_gap_size: u8,
    pub(super) volume_sequence_number: Both16,
    pub(super) identifier_length: u8,
}

impl DirectoryRecord {
    /// 9.1.6: it is a directory.
    pub(super) const DIRECTORY: u8 = 1 << 1;
    /// 9.1.6: the file goes on in the next record.
    pub(super) const MULTI_EXTENT: u8 = 1 << 7;
}

const _: () = assert!(size_of::<DirectoryRecord>() == 33);
const _: () = assert!(offset_of!(DirectoryRecord, flags) == 25);

/// Path table record (9.4) of type L; its identifier, and a byte that makes that even, follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct PathTableRecordL {
    pub(super) identifier_length: u8,
    pub(super) extended_attribute_length: u8,
    pub(super) extent: little_endian::U32,
    /// The number of the record of the directory that it lies in, from 1 on.
    pub(super) parent: little_endian::U16,
}

/// The same of type M.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct PathTableRecordM {
    pub(super) identifier_length: u8,
    pub(super) extended_attribute_length: u8,
    pub(super) extent: big_endian::U32,
    pub(super) parent: big_endian::U16,
}

const _: () = assert!(size_of::<PathTableRecordL>() == 8 && size_of::<PathTableRecordM>() == 8);

/// Validation entry of a boot catalogue, "El Torito" 2.1.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ValidationEntry {
    pub(super) header_id: u8,
    pub(super) platform_id: u8,
    pub(super) reserved: [u8; 2],
    pub(super) id_string: [u8; 24],
    /// Makes the sum of the entry's words zero.
    pub(super) checksum: little_endian::U16,
    pub(super) key: [u8; 2],
}

impl ValidationEntry {
    pub(super) const HEADER_ID: u8 = 1;
    pub(super) const KEY: [u8; 2] = [0x55, 0xaa];

    /// The same entry with its checksum.
    pub(super) fn seal(self) -> Self {
        let blank = Self { checksum: 0.into(), ..self };
        let words = blank.as_bytes().as_chunks::<2>().0.iter();
        let sum = words.map(|word| u16::from_le_bytes(*word)).fold(0, u16::wrapping_add);
        Self { checksum: sum.wrapping_neg().into(), ..blank }
    }
}

/// Initial entry, "El Torito" 2.2, and section entry, 2.4: one boot image without emulation.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct BootEntry {
    pub(super) boot_indicator: u8,
    pub(super) boot_media_type: u8,
    pub(super) load_segment: little_endian::U16,
    pub(super) system_type: u8,
    pub(super) unused: u8,
    /// Of 512 bytes.
    pub(super) sector_count: little_endian::U16,
    /// A block.
    pub(super) load_rba: little_endian::U32,
    pub(super) vendor: [u8; 20],
}

impl BootEntry {
    pub(super) const BOOTABLE: u8 = 0x88;
}

/// Section header, "El Torito" 2.3.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SectionHeader {
    pub(super) header_indicator: u8,
    pub(super) platform_id: u8,
    pub(super) entries: little_endian::U16,
    pub(super) id_string: [u8; 28],
}

impl SectionHeader {
    /// No other section follows.
    pub(super) const FINAL: u8 = 0x91;
}

const _: () = assert!(size_of::<ValidationEntry>() == 32 && offset_of!(ValidationEntry, checksum) == 28);
const _: () = assert!(size_of::<BootEntry>() == 32 && offset_of!(BootEntry, load_rba) == 8);
const _: () = assert!(size_of::<SectionHeader>() == 32);

/// What a boot image is told of its place: the table of mkisofs' `-boot-info-table`, which GRUB's `cdboot.S` reads.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct BootInfo {
    pub(super) primary_descriptor: little_endian::U32,
    pub(super) file: little_endian::U32,
    /// In bytes.
    pub(super) length: little_endian::U32,
    /// The sum of the image's words of 32 bits behind this table.
    pub(super) checksum: little_endian::U32,
    pub(super) reserved: [u8; 40],
}

impl BootInfo {
    /// Where it lies in the image.
    pub(super) const OFFSET: usize = 8;
    /// One past its end.
    pub(super) const END: usize = Self::OFFSET + size_of::<Self>();
}

const _: () = assert!(BootInfo::END == 64);
