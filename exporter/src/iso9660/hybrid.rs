//! The volume as a disk: what a machine sees of it on a USB stick.
//!
//! ```text
//! sector 0     1     2 … 33      64                                                             -33      -1
//! ┌─────┬─────┬─────────┬──────┬──────────────────────────────────────┬─────┬─────────────┬─────────┬─────┐
//! │ MBR │ GPT │ entries │      │ partition 1: descriptors to files     │ ESP │ for readers │ entries │ GPT │
//! └─────┴─────┴─────────┴──────┴──────────────────────────────────────┴─────┴─────────────┴─────────┴─────┘
//! ```
//!
//! Partition 1 keeps others from making one where the files lie. It is no file system: what is mounted is the disk.

use super::Volume;
use super::place::Place;
use crate::disk::gpt::{self, Partition, Table};
use crate::disk::{kinds, mbr::BOOT_CODE_LEN};
use crate::error::Result;
use crate::extent::Extent;
use crate::fs::iso9660::format::{BLOCK, FIRST_DESCRIPTOR};
use crate::seed::Seed;

const SECTOR: u64 = 512;
/// Blocks behind the files: drives that have written a disc track at once cannot read its last ones, nor what is before
/// them where a reader asks for more than it needs. As many as mkisofs leaves (`-pad`).
const PADDING: u64 = 150;
/// Blocks of the backup of the GPT: 32 sectors of entries and one of the header.
const BACKUP: u64 = (33 * SECTOR).div_ceil(BLOCK);

/// The blocks of a volume whose files end before this one.
pub(super) fn blocks(end_of_files: u64) -> u64 {
    end_of_files + PADDING + BACKUP
}

/// Both ends of a disk of so many blocks, of which the files but for the ESP end before `end_of_data`.
pub(super) fn encode(
    volume: &Volume,
    blocks: u64,
    end_of_data: u64,
    esp: Option<Place>,
    boot_code: &[u8; BOOT_CODE_LEN],
) -> Result<[Extent; 2]> {
    let seed = Seed::new(&volume.id.0);
    let sectors_of = |block: u64| block * (BLOCK / SECTOR);
    let data = Partition {
        number: 1,
        kind: kinds::LINUX_GENERIC,
        guid: seed.uuid("data of the medium"),
        first_lba: sectors_of(FIRST_DESCRIPTOR.into()),
        last_lba: sectors_of(end_of_data) - 1,
        attributes: kinds::READ_ONLY | kinds::NO_AUTO,
        name: "ISO 9660".to_owned(),
    };
    let esp = esp.map(|place| Partition {
        number: 2,
        kind: kinds::ESP,
        guid: seed.uuid("ESP of the medium"),
        first_lba: place.start() / SECTOR,
        last_lba: (place.start() + place.len).div_ceil(SECTOR) - 1,
        attributes: 0,
        name: "ESP".to_owned(),
    });
    let partitions = std::iter::once(data).chain(esp).collect();
    let sector_size = SECTOR as u32;
    let table = Table { disk_guid: volume.id, sector_size, sectors: sectors_of(blocks), partitions };
    gpt::encode_active(&table, boot_code)
}
