//! The superblock of dm-verity in front of the tree of hashes, as `veritysetup` reads it (cryptsetup's wiki, DMVerity; the hash
//! format is that of the kernel's admin-guide/device-mapper/verity).
//!
//! It is signed by nobody. What of it goes into the table is checked against the partitions; what is another than was built
//! gives other digests, which is what the root hash is for.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::tree;

/// Bytes of a block, of data as of hashes: no other size is read.
pub(super) const BLOCK: usize = 4096;
/// What it begins with.
const SIGNATURE: &[u8; 8] = b"verity\0\0";
const VERSION: u32 = 1;
/// The salt goes in front of what is hashed (0: behind it, as in Chrome OS).
const NORMAL: u32 = 1;
const ALGORITHM: &[u8] = b"sha256";

/// `struct verity_sb`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    signature: [u8; 8],
    version: U32,
    hash_type: U32,

    uuid: [u8; 16],

    /// Its name, with zeroes behind it.
    algorithm: [u8; 32],

    data_block_size: U32,
    hash_block_size: U32,
    data_blocks: U64,

    salt_size: U16,
    pad1: [u8; 6],
    salt: [u8; 256],
    pad2: [u8; 168],
}

const _: () = assert!(size_of::<Raw>() == 512);
const _: () = assert!(std::mem::offset_of!(Raw, data_blocks) == 72 && std::mem::offset_of!(Raw, salt) == 88);

/// A superblock whose data and tree fit their partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) uuid: [u8; 16],
    /// At least one.
    pub(super) data_blocks: u64,
    /// At most 256 bytes.
    pub(super) salt: Vec<u8>,
}

/// The bytes that there are for data, and for hashes from their superblock on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) data: u64,
    pub(super) hashes: u64,
}

impl Room {
    /// Of devices of this size, where the superblock lies at `offset`; of one device that is both, behind the data.
    ///
    /// # Errors
    /// If no block is there.
    pub(super) fn new(data: u64, hashes: u64, offset: u64, are_one: bool) -> Result<Self, String> {
        let behind = hashes.checked_sub(offset).filter(|behind| *behind >= BLOCK as u64);
        let behind = behind.ok_or_else(|| {
            format!("verity: hashes at byte {offset} of {hashes}: they were cut off, or hash-offset= is of another root")
        })?;
        Ok(Self { data: if are_one { offset } else { data }, hashes: behind })
    }
}

impl Superblock {
    /// The first bytes of a partition of this size with hashes.
    ///
    /// # Errors
    /// What is not of the one format that is known here, or does not fit.
    pub(super) fn parse(bytes: &[u8], room: &Room) -> Result<Self, String> {
        let (raw, _) = Raw::read_from_prefix(bytes).map_err(|_| "ends within the superblock of verity")?;
        if raw.signature != *SIGNATURE {
            return Err("has no superblock of verity: it is another partition, or was altered".to_owned());
        }
        let known = |what: &str, found: u32, expected: u32| match found == expected {
            true => Ok(()),
            false => Err(format!("verity: {what} is {found}, and {expected} is known")),
        };
        known("the version", raw.version.get(), VERSION)?;
        known("the type of its hashes", raw.hash_type.get(), NORMAL)?;
        known("the size of its data's blocks", raw.data_block_size.get(), BLOCK as u32)?;
        known("the size of its blocks", raw.hash_block_size.get(), BLOCK as u32)?;
        let name = raw.algorithm.split(|&byte| byte == 0).next().unwrap_or_default();
        if name != ALGORITHM {
            return Err(format!(
                "verity: the digest is {:?}, and sha256 is known",
                String::from_utf8_lossy(name)
            ));
        }
        let salt = raw.salt.get(..raw.salt_size.get().into());
        let salt =
            salt.ok_or_else(|| format!("verity: a salt of {} bytes, 256 are the most", raw.salt_size))?;
        let found = Self { uuid: raw.uuid, data_blocks: raw.data_blocks.get(), salt: salt.to_vec() };
        found.fits(room).map(|()| found)
    }

    /// Data first: with as many as there is room for, no sum of the tree is too large for its number.
    fn fits(&self, room: &Room) -> Result<(), String> {
        let blocks = |bytes: u64| bytes / BLOCK as u64;
        let (data, room_of_data) = (self.data_blocks, blocks(room.data));
        if data == 0 || data > room_of_data {
            return Err(format!(
                "verity: {data} blocks of data, and the partition of the root has {room_of_data}"
            ));
        }
        let (needed, there) = (1 + self.tree_blocks(), blocks(room.hashes));
        if needed > there {
            return Err(format!("verity: a tree of {needed} blocks, and the partition has {there}"));
        }
        Ok(())
    }

    /// The blocks of the tree, which begins behind the superblock's own.
    pub(super) fn tree_blocks(&self) -> u64 {
        tree::levels(self.data_blocks).sum()
    }

    /// Whether there is a block above the data.
    pub(super) fn has_tree(&self) -> bool {
        self.data_blocks > 1
    }

    /// The digest of a block.
    pub(super) fn digest(&self, block: &[u8]) -> [u8; 32] {
        tree::digest(&self.salt, block)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const SALT: [u8; 32] = [0x5a; 32];
    const ROOM: Room = Room { data: 300 << 12, hashes: 5 << 12 };

    /// The bytes of one over so many blocks.
    pub(in super::super) fn superblock(data_blocks: u64) -> Vec<u8> {
        raw(data_blocks).as_bytes().to_vec()
    }

    fn raw(data_blocks: u64) -> Raw {
        let padded = |text: &[u8]| std::array::from_fn(|at| text.get(at).copied().unwrap_or_default());
        Raw {
            signature: *SIGNATURE,
            version: VERSION.into(),
            hash_type: NORMAL.into(),
            uuid: [7; 16],
            algorithm: padded(ALGORITHM),
            data_block_size: (BLOCK as u32).into(),
            hash_block_size: (BLOCK as u32).into(),
            data_blocks: data_blocks.into(),
            salt_size: 32.into(),
            pad1: [0; 6],
            salt: std::array::from_fn(|at| SALT.get(at).copied().unwrap_or_default()),
            pad2: [0; 168],
        }
    }

    fn parse(raw: Raw) -> Result<Superblock, String> {
        Superblock::parse(raw.as_bytes(), &ROOM)
    }

    #[test]
    fn a_superblock_says_what_the_tree_is_over() {
        let found = parse(raw(300)).unwrap();
        assert_eq!(found, Superblock { uuid: [7; 16], data_blocks: 300, salt: SALT.to_vec() });
        // Three blocks for 300 digests, and one for those of the three.
        assert_eq!((found.tree_blocks(), found.has_tree()), (4, true));
        let one = parse(raw(1)).unwrap();
        assert_eq!((one.tree_blocks(), one.has_tree()), (0, false));
        assert!(parse(Raw { salt_size: 0.into(), ..raw(2) }).unwrap().salt.is_empty());
        assert_eq!(parse(Raw { salt_size: 256.into(), ..raw(2) }).unwrap().salt.len(), 256);
    }

    #[test]
    fn what_is_of_another_format_is_named() {
        let mut md5 = [0; 32];
        md5[..3].copy_from_slice(b"md5");
        for (raw, said) in [
            (Raw { signature: *b"verity\0\x01", ..raw(2) }, "has no superblock of verity"),
            (Raw { version: 2.into(), ..raw(2) }, "the version is 2, and 1 is known"),
            (Raw { hash_type: 0.into(), ..raw(2) }, "the type of its hashes is 0"),
            (Raw { data_block_size: 512.into(), ..raw(2) }, "the size of its data's blocks is 512"),
            (Raw { hash_block_size: u32::MAX.into(), ..raw(2) }, "the size of its blocks is 4294967295"),
            (Raw { algorithm: md5, ..raw(2) }, "the digest is \"md5\", and sha256 is known"),
            (Raw { algorithm: [0; 32], ..raw(2) }, "the digest is \"\""),
            (Raw { salt_size: 257.into(), ..raw(2) }, "a salt of 257 bytes, 256 are the most"),
        ] {
            let error = parse(raw).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        for len in [0, 8, 511] {
            let error = Superblock::parse(&superblock(2)[..len], &ROOM).unwrap_err();
            assert!(error.starts_with("ends within"), "{error}");
        }
    }

    #[test]
    fn what_does_not_fit_its_partition_is_named() {
        for blocks in [0, 301, u64::MAX, u64::MAX / 4096 + 2] {
            let error = parse(raw(blocks)).unwrap_err();
            assert!(error.contains("the partition of the root has 300"), "{error}");
        }
        let small = Room { hashes: (5 << 12) - 1, ..ROOM };
        let error = Superblock::parse(&superblock(300), &small).unwrap_err();
        assert_eq!(error, "verity: a tree of 5 blocks, and the partition has 4");
        // The largest that a disk can have.
        let all = Room { data: u64::MAX, hashes: u64::MAX };
        assert!(Superblock::parse(&superblock(u64::MAX >> 12), &all).is_ok());
    }

    #[test]
    fn of_one_device_the_data_ends_where_the_hashes_begin() {
        assert_eq!(Room::new(9 << 12, 7 << 12, 0, false), Ok(Room { data: 9 << 12, hashes: 7 << 12 }));
        assert_eq!(Room::new(9 << 12, 7 << 12, 4096, false), Ok(Room { data: 9 << 12, hashes: 6 << 12 }));
        let behind = Room::new(9 << 12, 9 << 12, 7 << 12, true).unwrap();
        assert_eq!(behind, Room { data: 7 << 12, hashes: 2 << 12 });
        assert!(Superblock::parse(&superblock(7), &behind).is_ok());
        assert!(Superblock::parse(&superblock(8), &behind).unwrap_err().contains("8 blocks of data"));
        for len in [4096, 8192, 8192 + 4095] {
            let cut = Room::new(len, len, 8192, true).unwrap_err();
            assert!(
                cut.starts_with(&format!("verity: hashes at byte 8192 of {len}: they were cut off")),
                "{cut}"
            );
        }
        // A root and its hashes on one device without a word of where these begin.
        assert!(Superblock::parse(&superblock(1), &Room::new(4096, 8192, 0, true).unwrap()).is_err());
    }

    /// A superblock of another program's.
    #[test]
    fn what_veritysetup_has_made_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let [data, hashes] = ["data", "hashes"].map(|name| folder.path().join(name));
        std::fs::write(&data, vec![9; 300 << 12]).unwrap();
        std::fs::write(&hashes, "").unwrap();
        let made = std::process::Command::new("veritysetup")
            .args(["format", "--salt", &"5a".repeat(32), "--uuid", "07070707-0707-0707-0707-070707070707"])
            .args([&data, &hashes])
            .output()
            .unwrap();
        let said = String::from_utf8(made.stdout).unwrap();
        let root_hash = said.lines().find_map(|line| line.strip_prefix("Root hash:")).unwrap().trim();
        let bytes = std::fs::read(&hashes).unwrap();
        let found = Superblock::parse(&bytes, &ROOM).unwrap();
        assert_eq!(found, parse(raw(300)).unwrap());
        assert_eq!(bytes.len() as u64, (1 + found.tree_blocks()) << 12);
        let digest: String =
            found.digest(&bytes[BLOCK..2 * BLOCK]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, root_hash);
    }
}
