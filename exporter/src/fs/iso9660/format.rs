//! The structures on disk, with the specifications' field names. Sections are those of ECMA-119, where nothing else is said.

use std::mem::offset_of;

use zerocopy::byteorder::{big_endian, little_endian};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a block, which is a sector of a disc.
pub(crate) const BLOCK: u64 = 2048;
/// The block of the primary volume descriptor, behind the system area (6.2.1).
pub(crate) const FIRST_DESCRIPTOR: u32 = 16;

/// 7.2.3: a number in both orders of its bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Both16 {
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
pub(crate) struct Both32 {
    little: little_endian::U32,
    big: big_endian::U32,
}

impl Both32 {
    /// The number, of which readers take the half that is in their order.
    pub(crate) fn get(self) -> u32 {
        self.little.get()
    }
}

impl From<u32> for Both32 {
    fn from(value: u32) -> Self {
        Self { little: value.into(), big: value.into() }
    }
}

/// What every volume descriptor begins with (8.1).
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct DescriptorHeader {
    pub(crate) volume_descriptor_type: u8,
    pub(crate) standard_identifier: [u8; 5],
    pub(crate) volume_descriptor_version: u8,
}

impl DescriptorHeader {
    /// Whether it is that of a primary descriptor.
    pub(crate) fn is_primary(&self) -> bool {
        self.volume_descriptor_type == Self::PRIMARY && self.standard_identifier == *b"CD001"
    }

    const BOOT_RECORD: u8 = 0;
    const PRIMARY: u8 = 1;
    const TERMINATOR: u8 = 255;

    fn new(volume_descriptor_type: u8) -> Self {
        Self { volume_descriptor_type, standard_identifier: *b"CD001", volume_descriptor_version: 1 }
    }

    pub(crate) fn primary() -> Self {
        Self::new(Self::PRIMARY)
    }

    pub(crate) fn boot_record() -> Self {
        Self::new(Self::BOOT_RECORD)
    }

    /// The whole of a terminator (8.3), the rest of which is zero.
    pub(crate) fn terminator() -> Self {
        Self::new(Self::TERMINATOR)
    }
}

/// Primary volume descriptor (8.4).
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct PrimaryDescriptor {
    pub(crate) header: DescriptorHeader,
    pub(crate) unused_1: u8,
    pub(crate) system_identifier: [u8; 32],
    pub(crate) volume_identifier: [u8; 32],
    pub(crate) unused_2: [u8; 8],
    /// In blocks.
    pub(crate) volume_space_size: Both32,
    pub(crate) unused_3: [u8; 32],
    pub(crate) volume_set_size: Both16,
    pub(crate) volume_sequence_number: Both16,
    pub(crate) logical_block_size: Both16,
    /// In bytes.
    pub(crate) path_table_size: Both32,
    pub(crate) type_l_path_table: little_endian::U32,
    pub(crate) optional_type_l_path_table: little_endian::U32,
    pub(crate) type_m_path_table: big_endian::U32,
    pub(crate) optional_type_m_path_table: big_endian::U32,
    pub(crate) root: DirectoryRecord,
    /// Zero, as in the root's own first record.
    pub(crate) root_identifier: u8,
    pub(crate) volume_set_identifier: [u8; 128],
    pub(crate) publisher_identifier: [u8; 128],
    pub(crate) data_preparer_identifier: [u8; 128],
    pub(crate) application_identifier: [u8; 128],
    pub(crate) copyright_file_identifier: [u8; 37],
    pub(crate) abstract_file_identifier: [u8; 37],
    pub(crate) bibliographic_file_identifier: [u8; 37],
    pub(crate) volume_creation: [u8; 17],
    pub(crate) volume_modification: [u8; 17],
    pub(crate) volume_expiration: [u8; 17],
    pub(crate) volume_effective: [u8; 17],
    pub(crate) file_structure_version: u8,
    pub(crate) reserved_1: u8,
    pub(crate) application_use: [u8; 512],
    pub(crate) reserved_2: [u8; 653],
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
pub(crate) struct BootRecord {
    pub(crate) header: DescriptorHeader,
    pub(crate) boot_system_identifier: [u8; 32],
    pub(crate) unused: [u8; 32],
    /// The block of the boot catalogue.
    pub(crate) boot_catalog: little_endian::U32,
    pub(crate) unused_2: [u8; 1973],
}

const _: () = assert!(size_of::<BootRecord>() as u64 == BLOCK);
const _: () = assert!(offset_of!(BootRecord, boot_catalog) == 0x47);

/// Directory record (9.1); its identifier, a byte that makes that even, and what systems use follow.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct DirectoryRecord {
    pub(crate) length: u8,
    pub(crate) extended_attribute_length: u8,
    pub(crate) extent: Both32,
    /// In bytes.
    pub(crate) data_length: Both32,
    pub(crate) recorded: [u8; 7],
    pub(crate) flags: u8,
    pub(crate) file_unit_size: u8,
    pub(crate) interleave_gap_size: u8,
    pub(crate) volume_sequence_number: Both16,
    pub(crate) identifier_length: u8,
}

impl DirectoryRecord {
    /// 9.1.6: it is a directory.
    pub(crate) const DIRECTORY: u8 = 1 << 1;
    /// 9.1.6: the file goes on in the next record.
    pub(crate) const MULTI_EXTENT: u8 = 1 << 7;
}

const _: () = assert!(size_of::<DirectoryRecord>() == 33);
const _: () = assert!(offset_of!(DirectoryRecord, flags) == 25);

/// Path table record (9.4) of type L; its identifier, and a byte that makes that even, follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct PathTableRecordL {
    pub(crate) identifier_length: u8,
    pub(crate) extended_attribute_length: u8,
    pub(crate) extent: little_endian::U32,
    /// The number of the record of the directory that it lies in, from 1 on.
    pub(crate) parent: little_endian::U16,
}

/// The same of type M.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct PathTableRecordM {
    pub(crate) identifier_length: u8,
    pub(crate) extended_attribute_length: u8,
    pub(crate) extent: big_endian::U32,
    pub(crate) parent: big_endian::U16,
}

const _: () = assert!(size_of::<PathTableRecordL>() == 8 && size_of::<PathTableRecordM>() == 8);

/// Validation entry of a boot catalogue, "El Torito" 2.1.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct ValidationEntry {
    pub(crate) header_id: u8,
    pub(crate) platform_id: u8,
    pub(crate) reserved: [u8; 2],
    pub(crate) id_string: [u8; 24],
    /// Makes the sum of the entry's words zero.
    pub(crate) checksum: little_endian::U16,
    pub(crate) key: [u8; 2],
}

impl ValidationEntry {
    pub(crate) const HEADER_ID: u8 = 1;
    pub(crate) const KEY: [u8; 2] = [0x55, 0xaa];

    /// The same entry with its checksum.
    pub(crate) fn seal(self) -> Self {
        let blank = Self { checksum: 0.into(), ..self };
        let words = blank.as_bytes().as_chunks::<2>().0.iter();
        let sum = words.map(|word| u16::from_le_bytes(*word)).fold(0, u16::wrapping_add);
        Self { checksum: sum.wrapping_neg().into(), ..blank }
    }
}

/// Initial entry, "El Torito" 2.2, and section entry, 2.4: one boot image without emulation.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct BootEntry {
    pub(crate) boot_indicator: u8,
    pub(crate) boot_media_type: u8,
    pub(crate) load_segment: little_endian::U16,
    pub(crate) system_type: u8,
    pub(crate) unused: u8,
    /// Of 512 bytes.
    pub(crate) sector_count: little_endian::U16,
    /// A block.
    pub(crate) load_rba: little_endian::U32,
    pub(crate) vendor: [u8; 20],
}

impl BootEntry {
    pub(crate) const BOOTABLE: u8 = 0x88;
}

/// Section header, "El Torito" 2.3.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct SectionHeader {
    pub(crate) header_indicator: u8,
    pub(crate) platform_id: u8,
    pub(crate) entries: little_endian::U16,
    pub(crate) id_string: [u8; 28],
}

impl SectionHeader {
    /// No other section follows.
    pub(crate) const FINAL: u8 = 0x91;
}

const _: () = assert!(size_of::<ValidationEntry>() == 32 && offset_of!(ValidationEntry, checksum) == 28);
const _: () = assert!(size_of::<BootEntry>() == 32 && offset_of!(BootEntry, load_rba) == 8);
const _: () = assert!(size_of::<SectionHeader>() == 32);

/// What a boot image is told of its place: the table of mkisofs' `-boot-info-table`, which GRUB's `cdboot.S` reads.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct BootInfo {
    pub(crate) primary_descriptor: little_endian::U32,
    pub(crate) file: little_endian::U32,
    /// In bytes.
    pub(crate) length: little_endian::U32,
    /// The sum of the image's words of 32 bits behind this table.
    pub(crate) checksum: little_endian::U32,
    pub(crate) reserved: [u8; 40],
}

impl BootInfo {
    /// Where it lies in the image.
    pub(crate) const OFFSET: usize = 8;
    /// One past its end.
    pub(crate) const END: usize = Self::OFFSET + size_of::<Self>();
}

const _: () = assert!(BootInfo::END == 64);
