//! Which file system is on a volume, told by its first bytes.

use super::ext4;
use crate::error::Result;
use crate::read_at::ReadAt;

/// What only the name is told of: offset and bytes of the magic.
const MAGICS: [(u64, &[u8], &str); 7] = [
    (0, b"XFSB", "xfs"),
    (0, b"hsqs", "squashfs"),
    (0, b"verity\0\0", "DM_verity_hash"),
    (0, b"LUKS\xba\xbe", "crypto_LUKS"),
    (1024, b"\xe2\xe1\xf5\xe0", "erofs"),
    (4086, b"SWAPSPACE2", "swap"),
    (0x1_0040, b"_BHRfS_M", "btrfs"),
];

/// Its name for mount(8), if it is one that is known.
///
/// # Errors
/// `Corrupt` for the superblock of an ext4 that cannot be.
pub fn kind<V: ReadAt + ?Sized>(volume: &V) -> Result<Option<&'static str>> {
    if looks_like_fat(volume) {
        return Ok(Some("vfat"));
    }
    Ok(ext4::read(volume)?.map(|found| found.kind).or_else(|| by_magic(volume)))
}

/// The name of one of which no more is read.
pub fn by_magic<V: ReadAt + ?Sized>(volume: &V) -> Option<&'static str> {
    let known = MAGICS.into_iter().find(|(offset, magic, _)| has_bytes(volume, *offset, magic));
    known.map(|(_, _, kind)| kind)
}

/// Boot sectors of other kinds end in the same signature, so the type's name is asked for too.
pub fn looks_like_fat<V: ReadAt + ?Sized>(volume: &V) -> bool {
    has_bytes(volume, 510, &[0x55, 0xaa]) && (has_bytes(volume, 54, b"FAT") || has_bytes(volume, 82, b"FAT"))
}

fn has_bytes<V: ReadAt + ?Sized>(volume: &V, offset: u64, bytes: &[u8]) -> bool {
    let mut found = vec![0; bytes.len()];
    volume.read_at(offset, &mut found).is_ok() && found == bytes
}
