//! What a BIOS would start: code in the MBR, and the rest of the boot loader in the BIOS boot partition.

use exporter::disk::gpt::{BOOT_CODE_LEN, Table};
use exporter::disk::kinds;
use exporter::read_at::ReadAt;

/// The boot loader's name, if both parts are there.
pub(super) fn boot_loader<D: ReadAt + ?Sized>(disk: &D, table: &Table) -> Option<&'static str> {
    let partition = table.partitions.iter().find(|partition| partition.kind == kinds::BIOS_BOOT)?;
    let mut code = [0; BOOT_CODE_LEN];
    disk.read_at(0, &mut code).ok()?;
    let mut core = [0; 512];
    disk.read_at(partition.first_lba.checked_mul(u64::from(table.sector_size))?, &mut core).ok()?;
    if code.iter().all(|&byte| byte == 0) || core.iter().all(|&byte| byte == 0) {
        return None;
    }
    // GRUB's boot.img carries its name to print it when it fails.
    Some(if code.windows(4).any(|window| window == b"GRUB") { "GRUB" } else { "unknown" })
}
