//! Extended attributes: those that more than one inode has lie once in an area of their own, the others behind the inode.
//!
//! ```text
//! inode ┌ header (12) │ id │ id │ entry name value │ entry name value ┐   each entry at a multiple of 4
//! area  ┌ entry name value │ entry name value …                           ids count its words of 4 bytes
//! ```

use std::collections::{BTreeMap, HashMap};
use std::mem::size_of;

use zerocopy::little_endian::U16;
use zerocopy::{FromZeros, IntoBytes};

use super::format::{NAME_MAX, XattrEntry, XattrHeader};
use crate::error::show_size;
use crate::tree::{InodeId, Tree, Xattrs, posix_acl};

/// Names that begin with one of these are stored as a number (`e_name_index`) and the rest.
const PREFIXES: [(&[u8], u8); 3] = [(b"user.", 1), (b"trusted.", 4), (b"security.", 6)];
/// Names that are a number alone.
const ACLS: [(&[u8], u8); 2] = [(b"system.posix_acl_access", 2), (b"system.posix_acl_default", 3)];
/// What ids and offsets count.
const WORD: usize = 4;
/// Bytes of one inode's attributes: `i_xattr_icount` has 16 bits, and the header is one of the words that it counts.
const LEN_MAX: usize = size_of::<XattrHeader>() + (u16::MAX as usize - 1) * WORD;

/// The attributes that several inodes have.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Entries, and where each lies in the area.
    ids: BTreeMap<Vec<u8>, u32>,
}

impl Shared {
    /// Those of `inodes`, in the order of their bytes.
    pub(super) fn new(tree: &Tree, inodes: impl Iterator<Item = InodeId>) -> Self {
        let mut counts: HashMap<(&[u8], &[u8]), u32> = HashMap::new();
        for id in inodes {
            for (name, value) in &tree.inode(id).meta.xattrs {
                *counts.entry((name, value)).or_default() += 1;
            }
        }
        let several = counts.into_iter().filter(|&(_, count)| count > 1);
        // What cannot be stored is refused where its inode is known.
        let entries = several.filter_map(|((name, value), _)| encode(name, value).ok());
        let mut ids: BTreeMap<_, _> = entries.map(|entry| (entry, 0)).collect();
        let mut next = 0;
        for (entry, id) in &mut ids {
            *id = next;
            next += (entry.len() / WORD) as u32;
        }
        Self { ids }
    }

    /// The area.
    pub(super) fn area(&self) -> Vec<u8> {
        self.ids.keys().flatten().copied().collect()
    }
}

/// The attributes of one inode.
#[derive(Debug)]
pub(super) struct Attributes {
    shared: Vec<u32>,
    own: Vec<u8>,
}

impl Attributes {
    /// `xattrs`; an error says why they cannot be stored.
    pub(super) fn new(xattrs: &Xattrs, shared: &Shared) -> Result<Self, String> {
        let mut attributes = Self { shared: Vec::new(), own: Vec::new() };
        for (name, value) in xattrs {
            let entry = encode(name, value)?;
            match shared.ids.get(&entry) {
                // `h_shared_count` has 8 bits.
                Some(&id) if attributes.shared.len() < usize::from(u8::MAX) => attributes.shared.push(id),
                _ => attributes.own.extend(entry),
            }
        }
        if attributes.len() > LEN_MAX {
            let (len, max) = (show_size(attributes.len() as u64), show_size(LEN_MAX as u64));
            return Err(format!("the extended attributes take {len}, erofs allows {max}"));
        }
        Ok(attributes)
    }

    /// Bytes that they take behind the inode.
    pub(super) fn len(&self) -> usize {
        let words = self.shared.len() * WORD + self.own.len();
        if words == 0 { 0 } else { size_of::<XattrHeader>() + words }
    }

    /// `i_xattr_icount`: words, the header as one.
    pub(super) fn count(&self) -> u16 {
        match self.len().checked_sub(size_of::<XattrHeader>()) {
            None => 0,
            Some(words) => (words / WORD + 1) as u16,
        }
    }

    /// Fill `out`, which is as long as they are.
    pub(super) fn render(&self, out: &mut [u8]) {
        if out.is_empty() {
            return;
        }
        let mut header = XattrHeader::new_zeroed();
        header.h_shared_count = self.shared.len() as u8;
        let (head, rest) = out.split_at_mut(size_of::<XattrHeader>());
        head.copy_from_slice(header.as_bytes());
        let (ids, own) = rest.split_at_mut(self.shared.len() * WORD);
        for (place, id) in ids.chunks_exact_mut(WORD).zip(&self.shared) {
            place.copy_from_slice(&id.to_le_bytes());
        }
        own.copy_from_slice(&self.own);
    }
}

/// An attribute as it is stored, filled up to whole words.
fn encode(full_name: &[u8], value: &[u8]) -> Result<Vec<u8>, String> {
    let shown = || String::from_utf8_lossy(full_name).escape_debug().to_string();
    let (index, name) = split(full_name)
        .ok_or_else(|| format!("erofs cannot store an extended attribute named {}", shown()))?;
    if name.is_empty() && posix_acl::entries(value).is_none() {
        return Err(format!("the extended attribute {} is not a valid ACL", shown()));
    }
    let Ok(len) = u16::try_from(value.len()) else {
        let (len, max) = (value.len(), u16::MAX);
        return Err(format!("the extended attribute {} has {len} bytes, erofs allows {max}", shown()));
    };
    let head = XattrEntry { e_name_len: name.len() as u8, e_name_index: index, e_value_size: U16::new(len) };
    let mut entry = [head.as_bytes(), name, value].concat();
    entry.resize(entry.len().next_multiple_of(WORD), 0);
    Ok(entry)
}

/// The number of a name, and what of it is stored beside.
fn split(full_name: &[u8]) -> Option<(u8, &[u8])> {
    if let Some(&(name, index)) = ACLS.iter().find(|(name, _)| *name == full_name) {
        return Some((index, &full_name[name.len()..]));
    }
    let mut known =
        PREFIXES.iter().filter_map(|&(prefix, index)| Some((index, full_name.strip_prefix(prefix)?)));
    known.next().filter(|(_, name)| (1..=NAME_MAX).contains(&name.len()) && !name.contains(&0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Inode, InodeKind, Meta};

    fn xattrs(attributes: &[(&str, usize)]) -> Xattrs {
        attributes.iter().map(|&(name, len)| (name.as_bytes().into(), vec![7; len].into())).collect()
    }

    /// What several files with these attributes share.
    fn shared(files: &[&Xattrs]) -> Shared {
        let mut tree = Tree::new(Meta::default());
        let ids: Vec<_> = files
            .iter()
            .map(|xattrs| {
                let meta = Meta { xattrs: (*xattrs).clone(), ..Meta::default() };
                tree.add(Inode { meta, kind: InodeKind::Fifo })
            })
            .collect();
        Shared::new(&tree, ids.into_iter())
    }

    #[test]
    fn what_two_inodes_have_is_stored_once() {
        let (one, other) = (xattrs(&[("user.a", 3), ("user.b", 9)]), xattrs(&[("user.b", 9)]));
        let shared = shared(&[&one, &other]);
        assert_eq!(shared.area(), [&[1, 1, 9, 0, b'b'][..], &[7; 9], &[0; 2]].concat());
        let attributes = Attributes::new(&one, &shared).unwrap();
        assert_eq!((attributes.len(), attributes.count()), (12 + 4 + 8, 4));
        let mut out = [0; 24];
        attributes.render(&mut out);
        assert_eq!(
            out,
            *[&[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &[1, 1, 3, 0, b'a', 7, 7, 7]].concat()
        );
    }

    #[test]
    fn no_attributes_take_no_room() {
        let attributes = Attributes::new(&xattrs(&[]), &Shared::default()).unwrap();
        assert_eq!((attributes.len(), attributes.count()), (0, 0));
    }

    #[test]
    fn beyond_255_shared_ones_the_others_are_the_inodes_own() {
        let names: Vec<_> = (0..300).map(|number| format!("user.{number}")).collect();
        let many = xattrs(&names.iter().map(|name| (name.as_str(), 1)).collect::<Vec<_>>());
        let attributes = Attributes::new(&many, &shared(&[&many, &many])).unwrap();
        assert_eq!(attributes.shared.len(), 255);
        assert_eq!(attributes.own.len(), 45 * 8);
    }

    #[test]
    fn as_many_as_the_count_has_bits_for_and_no_more() {
        // Three of 65,540 bytes with head and name leave 65,516.
        let of_len = |last: usize| {
            let all = [("user.0", 65_535), ("user.1", 65_535), ("user.2", 65_535), ("user.3", last)];
            Attributes::new(&xattrs(&all), &Shared::default())
        };
        let rest = LEN_MAX - size_of::<XattrHeader>() - 3 * 65_540 - 5;
        assert_eq!(of_len(rest).unwrap().count(), u16::MAX);
        assert!(of_len(rest + 1).unwrap_err().ends_with("erofs allows 256 KiB"));
    }

    #[test]
    fn only_what_the_kernel_finds_again_is_stored() {
        for (name, len, part) in [
            ("user.", 1, "named user."),
            ("system.nfs4_acl", 1, "named system.nfs4_acl"),
            ("system.posix_acl_access", 5, "is not a valid ACL"),
            ("user.large", 65_536, "has 65536 bytes, erofs allows 65535"),
        ] {
            let said = Attributes::new(&xattrs(&[(name, len)]), &Shared::default()).unwrap_err();
            assert!(said.contains(part), "{said}");
        }
        assert!(Attributes::new(&xattrs(&[("user.large", 65_535)]), &Shared::default()).is_ok());
    }
}
