//! GRUB for a BIOS: one image that starts from a disc, and a core in it that starts from a disk too.
//!
//! ```text
//! disc: the BIOS loads ─▶ cdboot.img (2048 bytes) ─▶ reads on from the next block, past diskboot.img ─▶ GRUB
//! disk: boot.img in the MBR ─▶ reads the first sector of core.img, diskboot.img ─▶ reads on from the next sector ─▶ GRUB
//! ```
//!
//! As `grub-mkimage -O i386-pc-eltorito` puts them together, and as libisofs patches them for `-boot-info-table`,
//! `--grub2-boot-info` and `--grub2-mbr`: GRUB's `cdboot.S`, `diskboot.S` and `boot.S`.

use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::U32;

use super::Bios;
use crate::boot::BiosBoot;
use crate::disk::mbr::BOOT_CODE_LEN;
use crate::error::{Error, Kind, Result};
use crate::fs::iso9660::format::{BLOCK, BootInfo, FIRST_DESCRIPTOR};

/// Sectors that a BIOS counts in, in a block.
const SECTORS: u64 = BLOCK / 512;

/// Bytes of the image.
pub(super) fn size(bios: &Bios) -> u64 {
    (bios.cdboot.len() + bios.images.core.len()) as u64
}

/// Both patched for an image that begins at `block`: what goes into the MBR, and the image.
///
/// # Errors
/// [`Kind::Input`] for what is no image of GRUB.
pub(super) fn patched(bios: &Bios, block: u32) -> Result<([u8; BOOT_CODE_LEN], Vec<u8>)> {
    if bios.cdboot.len() as u64 != BLOCK {
        let message = format!("is of {} bytes, and GRUB's has {BLOCK}", bios.cdboot.len());
        return Err(Error::new(Kind::Input, "cdboot.img", message));
    }
    let core = (u64::from(block) + 1) * SECTORS;
    let boot = BiosBoot::new(&bios.images, core, bios.images.core.len() as u64)?;
    let mut image = [&*bios.cdboot, &*boot.core].concat();
    let info = boot_info(&image, block);
    image[BootInfo::OFFSET..BootInfo::END].copy_from_slice(info.as_bytes());
    Ok((boot.mbr_code, image))
}

fn boot_info(image: &[u8], block: u32) -> BootInfo {
    let (words, rest) = image[BootInfo::END..].as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let checksum =
        words.iter().chain([&last]).fold(0, |sum: u32, word| sum.wrapping_add(u32::from_le_bytes(*word)));
    BootInfo {
        primary_descriptor: FIRST_DESCRIPTOR.into(),
        file: block.into(),
        length: U32::new(image.len() as u32),
        checksum: checksum.into(),
        reserved: [0; 40],
    }
}
