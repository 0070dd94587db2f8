//! GRUB on BIOS without `grub-install`: where boot.img and core.img go and which bytes change.
//!
//! Offsets: GRUB's `include/grub/i386/pc/boot.h` (boot.img) and the block list at the end of
//! `diskboot.img`, which is the first sector of core.img (`struct grub_pc_bios_boot_blocklist`).

use std::sync::Arc;

use super::files::BiosImages;
use crate::error::{Error, Kind, Result};

/// `GRUB_BOOT_MACHINE_KERNEL_SECTOR`: u64, the LBA of core.img's first sector.
const KERNEL_SECTOR: usize = 0x5c;
/// `GRUB_BOOT_MACHINE_DRIVE_CHECK`: a jump; two NOPs make boot.img trust the BIOS's drive number only
/// where it is a hard disk's, the work-around grub-setup applies to disks.
const DRIVE_CHECK: usize = 0x66;
/// The first block-list entry of diskboot.img: u64 start LBA, u16 length, u16 segment.
const BLOCK_LIST_START: usize = 0x1f4;
/// Boot code ends where the disk signature and the partition table begin.
const BOOT_CODE: usize = 440;
/// Bytes of one BIOS sector; BIOS boots from nothing else.
const SECTOR: usize = 512;

/// boot.img and core.img, patched for one place on the disk.
#[derive(Debug)]
pub struct BiosBoot {
    /// For bytes 0 to 439 of the disk.
    pub mbr_code: [u8; BOOT_CODE],
    /// For the sectors that are named in it.
    pub core: Arc<[u8]>,
}

impl BiosBoot {
    /// Patch the images for a core at `lba`, where there are `room` bytes for it: in a BIOS boot partition, or in front of
    /// the first partition of an MBR.
    #[expect(clippy::indexing_slicing, reason = "the lengths of both images are checked first")]
    pub fn new(images: &BiosImages, lba: u64, room: u64) -> Result<Self> {
        let (boot_image, core_image) = (&images.boot, &images.core);
        let wrong = |name: &str, why: String| Err(Error::new(Kind::Input, name, why));
        if boot_image.len() != SECTOR || boot_image[0x1fe..] != [0x55, 0xaa] {
            return wrong("boot.img", "not a boot sector: 512 bytes that end in 55 aa are wanted".into());
        }
        if core_image.len() <= SECTOR || core_image[BLOCK_LIST_START + 8..BLOCK_LIST_START + 10] == [0, 0] {
            return wrong("core.img", "does not start with GRUB's diskboot image".into());
        }
        if core_image.len() as u64 > room {
            return wrong("core.img", format!("{} bytes, and there is room for {room}", core_image.len()));
        }
        let mut mbr_code = [0; BOOT_CODE];
        mbr_code.copy_from_slice(&boot_image[..BOOT_CODE]);
        mbr_code[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&lba.to_le_bytes());
        mbr_code[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0x90, 0x90]);
        let mut core = core_image.to_vec();
        core[BLOCK_LIST_START..BLOCK_LIST_START + 8].copy_from_slice(&(lba + 1).to_le_bytes());
        Ok(Self { mbr_code, core: core.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> BiosImages {
        let mut boot = vec![0; SECTOR];
        boot[0x1fe..].copy_from_slice(&[0x55, 0xaa]);
        boot[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0xeb, 0x05]);
        let mut core = vec![0; 3 * SECTOR];
        core[BLOCK_LIST_START + 8] = 2;
        BiosImages { boot: boot.into(), core: core.into(), modules: Vec::new() }
    }

    #[test]
    fn only_the_addresses_change() {
        let images = images();
        let bios = BiosBoot::new(&images, 2048, 1 << 20).unwrap();
        assert_eq!(bios.mbr_code[KERNEL_SECTOR..KERNEL_SECTOR + 8], 2048u64.to_le_bytes());
        assert_eq!(bios.mbr_code[DRIVE_CHECK..DRIVE_CHECK + 2], [0x90, 0x90]);
        assert_eq!(bios.core[BLOCK_LIST_START..BLOCK_LIST_START + 8], 2049u64.to_le_bytes());
        let changed = bios.core.iter().zip(images.core.iter()).filter(|(new, old)| new != old).count();
        assert_eq!(changed, 2);
    }

    #[test]
    fn what_is_no_grub_image_is_refused() {
        let good = images();
        let cut = BiosImages { boot: good.boot[..511].into(), ..good.clone() };
        let blank = BiosImages { core: vec![0; 1024].into(), ..good.clone() };
        assert!(BiosBoot::new(&cut, 2048, 1 << 20).is_err());
        assert!(BiosBoot::new(&blank, 2048, 1 << 20).is_err());
        assert!(BiosBoot::new(&good, 2048, 1024).is_err());
    }
}
