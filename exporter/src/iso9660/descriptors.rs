//! The descriptors at block 16: what the volume is, what it starts by, and that no others follow.

use zerocopy::IntoBytes;

use super::dates::{Stamp, UNSPECIFIED};
use super::directory::Records;
use super::names;
use crate::fs::iso9660::format::{BLOCK, BootRecord, Both16, DescriptorHeader, PrimaryDescriptor};

/// How many blocks they take, with one for what starts from the volume or without.
pub(super) fn blocks(is_bootable: bool) -> u64 {
    2 + u64::from(is_bootable)
}

/// Those of a volume of so many blocks with this name, and with the block of its boot catalogue, if it has one.
pub(super) fn encode(
    name: &str,
    blocks: u32,
    records: &Records<'_>,
    stamp: Stamp,
    catalog: Option<u32>,
) -> Vec<u8> {
    let mut bytes = primary(name, blocks, records, stamp).as_bytes().to_vec();
    catalog.iter().for_each(|block| bytes.extend_from_slice(boot_record(*block).as_bytes()));
    bytes.extend_from_slice(DescriptorHeader::terminator().as_bytes());
    bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
    bytes
}

fn primary(name: &str, blocks: u32, records: &Records<'_>, stamp: Stamp) -> PrimaryDescriptor {
    let [little, big] = records.places.path_tables;
    let table_len = records.path_tables()[0].len() as u32;
    PrimaryDescriptor {
        header: DescriptorHeader::primary(),
        unused_1: 0,
        system_identifier: padded("LINUX"),
        volume_identifier: padded(&names::label(name)),
        unused_2: [0; 8],
        volume_space_size: blocks.into(),
        unused_3: [0; 32],
        volume_set_size: Both16::from(1),
        volume_sequence_number: Both16::from(1),
        logical_block_size: Both16::from(BLOCK as u16),
        path_table_size: table_len.into(),
        type_l_path_table: little.into(),
        optional_type_l_path_table: 0.into(),
        type_m_path_table: big.into(),
        optional_type_m_path_table: 0.into(),
        root: records.root(),
        root_identifier: 0,
        volume_set_identifier: padded(""),
        publisher_identifier: padded(""),
        data_preparer_identifier: padded(""),
        application_identifier: padded("VMIMAGE"),
        copyright_file_identifier: padded(""),
        abstract_file_identifier: padded(""),
        bibliographic_file_identifier: padded(""),
        volume_creation: stamp.long(),
        volume_modification: stamp.long(),
        volume_expiration: UNSPECIFIED,
        volume_effective: UNSPECIFIED,
        file_structure_version: 1,
        reserved_1: 0,
        application_use: [0; 512],
        reserved_2: [0; 653],
    }
}

fn boot_record(boot_catalog: u32) -> BootRecord {
    let mut boot_system_identifier = [0; 32];
    boot_system_identifier
        .iter_mut()
        .zip(*b"EL TORITO SPECIFICATION")
        .for_each(|(place, byte)| *place = byte);
    BootRecord {
        header: DescriptorHeader::boot_record(),
        boot_system_identifier,
        unused: [0; 32],
        boot_catalog: boot_catalog.into(),
        unused_2: [0; 1973],
    }
}

/// A text with spaces behind it.
fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut padded = [b' '; N];
    padded.iter_mut().zip(text.bytes()).for_each(|(place, byte)| *place = byte);
    padded
}
