//! What a BIOS would start: code in the first sector, and the rest of the boot loader in the BIOS boot partition, or behind
//! an MBR.

use exporter::disk::mbr::{self, BOOT_CODE_LEN};
use exporter::disk::{Table, kinds};
use exporter::read_at::ReadAt;

/// The boot loader's name, if both parts are there.
pub(super) fn boot_loader<D: ReadAt + ?Sized>(disk: &D, table: &Table) -> Option<&'static str> {
    let mut code = [0; BOOT_CODE_LEN];
    disk.read_at(0, &mut code).ok()?;
    let mut core = [0; 512];
    disk.read_at(core_offset(table)?, &mut core).ok()?;
    if code.iter().all(|&byte| byte == 0) || core.iter().all(|&byte| byte == 0) {
        return None;
    }
    // GRUB's boot.img carries its name to print it when it fails.
    Some(if code.windows(4).any(|window| window == b"GRUB") { "GRUB" } else { "unknown" })
}

fn core_offset(table: &Table) -> Option<u64> {
    match table {
        Table::Gpt(_) => {
            let mut partitions = table.partitions().into_iter();
            partitions.find(|placed| placed.kind.guid() == Some(kinds::BIOS_BOOT)).map(|placed| placed.start)
        }
        Table::Mbr(_) => Some(mbr::SECTOR_SIZE.into()),
    }
}
