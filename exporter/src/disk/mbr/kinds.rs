//! Types of partitions: a byte stands for what is in it more than for what it is for.

use crate::disk::kinds;
use crate::fs::FileSystem;
use crate::seed::Uuid;

/// FAT32, addressed by sectors.
const FAT32: u8 = 0x0c;
const SWAP: u8 = 0x82;
/// Any file system of Linux.
const LINUX: u8 = 0x83;
/// Extended boot loader partition (Boot Loader Specification).
const XBOOTLDR: u8 = 0xea;
/// EFI system partition (UEFI 5.2.2).
const ESP: u8 = 0xef;
/// Partitions with tables of their own.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];

/// The byte for a partition of this type of a GPT, if there is one.
pub fn kind(guid: Uuid, file_system: Option<FileSystem>) -> Option<u8> {
    match guid {
        kinds::ESP => Some(ESP),
        kinds::XBOOTLDR => Some(XBOOTLDR),
        kinds::SWAP => Some(SWAP),
        kinds::BIOS_BOOT => None,
        _ if kinds::name(guid).is_none() => None,
        _ if file_system == Some(FileSystem::Vfat) => Some(FAT32),
        _ => Some(LINUX),
    }
}

/// The type of a GPT that a byte stands for.
pub fn guid(kind: u8) -> Option<Uuid> {
    match kind {
        ESP => Some(kinds::ESP),
        XBOOTLDR => Some(kinds::XBOOTLDR),
        SWAP => Some(kinds::SWAP),
        LINUX => Some(kinds::LINUX_GENERIC),
        _ => None,
    }
}

/// Whether there are partitions in it.
pub fn is_extended(kind: u8) -> bool {
    EXTENDED.contains(&kind)
}
