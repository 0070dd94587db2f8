//! Extended attributes: as many as fit behind the inode's fields, the rest in one block.
//!
//! ```text
//! inode  ┌ magic │ entry name │ entry name │ 0 … free … │ value │ value ┐   offsets from the first entry
//! block  ┌ header (32)        │ entry name │ 0 … free … │ value │ value ┐   offsets from the block's start
//! ```
//!
//! See [attributes.rst](https://docs.kernel.org/filesystems/ext4/attributes.html). The kernel looks
//! entries of a block up in order of name index, name length and name.

mod read;

use std::borrow::Cow;
use std::mem::size_of;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromZeros, IntoBytes};

use super::acl;
use super::csum::Crc32c;
use super::format::{BLOCK_SIZE, XATTR_MAGIC, XATTRS_IN_INODE, XattrEntry, XattrHeader};
use crate::tree::Xattrs;
pub(super) use read::{VALUE_MAX, inline_data, read};

/// The end of the list of entries.
const END: usize = 4;
/// Bytes for entries and values in an inode.
const INODE_ROOM: usize = XATTRS_IN_INODE - size_of::<u32>() - END;
/// Bytes for entries and values in a block.
const BLOCK_ROOM: usize = BLOCK_SIZE - size_of::<XattrHeader>() - END;

/// Names that begin with one of these are stored as a number (`e_name_index`) and the rest.
const PREFIXES: [(&[u8], u8); 4] = [(b"user.", 1), (b"trusted.", 4), (b"security.", 6), (b"system.", 7)];
const ACL_ACCESS: (&[u8], u8) = (b"system.posix_acl_access", 2);
const ACL_DEFAULT: (&[u8], u8) = (b"system.posix_acl_default", 3);
/// ext4 keeps the content of small files under this name when `inline_data` is on.
const INLINE_DATA: &[u8] = b"system.data";

/// Why attributes cannot be stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The name has no prefix that ext4 knows, or is too short or too long.
    Name(String),
    /// The value of this name is no POSIX ACL.
    Acl(String),
    /// They take more than an inode and a block.
    TooLarge,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(f, "ext4 cannot store an extended attribute named {name}"),
            Self::Acl(name) => write!(f, "the extended attribute {name} is not a valid ACL"),
            Self::TooLarge => {
                write!(f, "the extended attributes don't fit the inode and one block of {BLOCK_SIZE} bytes")
            }
        }
    }
}

/// One attribute as it is stored. The order of the fields is the order in a block.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Attribute<'a> {
    index: u8,
    name_len: usize,
    name: &'a [u8],
    value: Cow<'a, [u8]>,
}

/// The attributes of one inode, each in its place.
pub(super) struct Placed<'a> {
    inode: Vec<Attribute<'a>>,
    block: Vec<Attribute<'a>>,
}

impl<'a> Placed<'a> {
    /// The place of each of `xattrs`: in their order, those that still fit go to the inode.
    pub(super) fn new(xattrs: &'a Xattrs) -> Result<Self, Reason> {
        let mut attributes =
            xattrs.iter().map(|(name, value)| Attribute::new(name, value)).collect::<Result<Vec<_>, _>>()?;
        attributes.sort();
        let mut room = INODE_ROOM;
        let (inode, block): (Vec<_>, Vec<_>) = attributes.into_iter().partition(|attribute| {
            let fits = attribute.size() <= room;
            room -= if fits { attribute.size() } else { 0 };
            fits
        });
        if block.iter().map(Attribute::size).sum::<usize>() > BLOCK_ROOM {
            return Err(Reason::TooLarge);
        }
        Ok(Self { inode, block })
    }

    /// Whether a block is needed.
    pub(super) fn needs_block(&self) -> bool {
        !self.block.is_empty()
    }

    /// Fill the room behind an inode's fields.
    pub(super) fn render_inode(&self, out: &mut [u8; XATTRS_IN_INODE]) {
        if self.inode.is_empty() {
            return;
        }
        let (magic, area) = out.split_at_mut(size_of::<u32>());
        magic.copy_from_slice(&XATTR_MAGIC.to_le_bytes());
        // Entries in an inode are not shared, so nobody needs their hashes.
        write_attributes(&self.inode, area, 0, |_| 0);
    }

    /// Fill the block that lies at `block`.
    pub(super) fn render_block(&self, block: u32, file_system: Crc32c, out: &mut [u8]) {
        write_attributes(&self.block, out, size_of::<XattrHeader>(), |attribute| attribute.hash());
        let mut header = XattrHeader::new_zeroed();
        header.h_magic = U32::new(XATTR_MAGIC);
        header.h_refcount = U32::new(1);
        header.h_blocks = U32::new(1);
        let hashes = self.block.iter().map(Attribute::hash);
        header.h_hash = U32::new(hashes.fold(0, |hash: u32, entry| hash.rotate_left(16) ^ entry));
        out[..size_of::<XattrHeader>()].copy_from_slice(header.as_bytes());
        let sum = file_system.with(&u64::from(block).to_le_bytes()).with(out);
        header.h_checksum = U32::new(sum.value());
        out[..size_of::<XattrHeader>()].copy_from_slice(header.as_bytes());
    }
}

/// Entries from `start` of `area` on, values from its end backwards.
fn write_attributes(attributes: &[Attribute], area: &mut [u8], start: usize, hash: fn(&Attribute) -> u32) {
    let (mut at, mut value_at) = (start, area.len());
    for attribute in attributes {
        let value = &attribute.value;
        value_at -= value.len().next_multiple_of(4);
        area[value_at..][..value.len()].copy_from_slice(value);
        let entry = XattrEntry {
            e_name_len: attribute.name.len() as u8,
            e_name_index: attribute.index,
            e_value_offs: U16::new(if value.is_empty() { 0 } else { value_at as u16 }),
            e_value_inum: U32::ZERO,
            e_value_size: U32::new(value.len() as u32),
            e_hash: U32::new(hash(attribute)),
        };
        area[at..][..size_of::<XattrEntry>()].copy_from_slice(entry.as_bytes());
        area[at + size_of::<XattrEntry>()..][..attribute.name.len()].copy_from_slice(attribute.name);
        at += attribute.entry_size();
    }
}

impl<'a> Attribute<'a> {
    fn new(full_name: &'a [u8], value: &'a [u8]) -> Result<Self, Reason> {
        let shown = || String::from_utf8_lossy(full_name).escape_debug().to_string();
        for (name, index) in [ACL_ACCESS, ACL_DEFAULT] {
            if full_name == name {
                let value = acl::to_disk(value).ok_or_else(|| Reason::Acl(shown()))?;
                return Ok(Self { index, name_len: 0, name: &[], value: value.into() });
            }
        }
        let (name, index) = PREFIXES
            .iter()
            .find_map(|(prefix, index)| Some((full_name.strip_prefix(*prefix)?, *index)))
            .filter(|(name, _)| {
                (1..=255).contains(&name.len()) && !name.contains(&0) && full_name != INLINE_DATA
            })
            .ok_or_else(|| Reason::Name(shown()))?;
        Ok(Self { index, name_len: name.len(), name, value: value.into() })
    }

    fn entry_size(&self) -> usize {
        size_of::<XattrEntry>() + self.name.len().next_multiple_of(4)
    }

    fn size(&self) -> usize {
        self.entry_size() + self.value.len().next_multiple_of(4)
    }

    /// The hash of an entry of a block (`e_hash`): over the name's bytes, then the value's words.
    fn hash(&self) -> u32 {
        let name = self.name.iter().fold(0u32, |hash, &byte| hash.rotate_left(5) ^ u32::from(byte));
        self.value.chunks(4).fold(name, |hash, chunk| {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            hash.rotate_left(16) ^ u32::from_le_bytes(word)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xattrs(pairs: &[(&str, usize)]) -> Xattrs {
        pairs.iter().map(|&(name, len)| (name.as_bytes().into(), vec![7; len].into())).collect()
    }

    #[test]
    fn small_ones_stay_in_the_inode() {
        assert!(!Placed::new(&xattrs(&[("security.capability", 20)])).unwrap().needs_block());
        let filled = [("user.abcd", INODE_ROOM - 20)];
        assert!(!Placed::new(&xattrs(&filled)).unwrap().needs_block());
        let one_more = [("user.abcd", INODE_ROOM - 19)];
        assert!(Placed::new(&xattrs(&one_more)).unwrap().needs_block());
    }

    #[test]
    fn a_block_takes_what_it_can_and_no_more() {
        assert!(Placed::new(&xattrs(&[("user.abcd", BLOCK_ROOM - 20)])).is_ok());
        let too_large = Placed::new(&xattrs(&[("user.abcd", BLOCK_ROOM - 19)])).err();
        assert_eq!(too_large, Some(Reason::TooLarge));
    }

    #[test]
    fn names_ext4_has_no_place_for_are_refused() {
        for name in ["nothing", "user.", "system.data", "com.apple.quarantine", "user.a\0b"] {
            let reason = Placed::new(&xattrs(&[(name, 1)])).err();
            assert!(matches!(reason, Some(Reason::Name(_))), "{name:?}");
        }
        let long = format!("user.{}", "n".repeat(256));
        assert!(Placed::new(&xattrs(&[(&long, 1)])).is_err());
        assert!(matches!(Placed::new(&xattrs(&[("system.posix_acl_access", 3)])), Err(Reason::Acl(_))));
    }
}
