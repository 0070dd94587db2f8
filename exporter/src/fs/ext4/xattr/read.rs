//! Extended attributes as they lie in an inode and in a block, made by anybody: nothing is trusted.

use std::mem::size_of;

use zerocopy::FromBytes;

use super::{ACL_ACCESS, ACL_DEFAULT, INLINE_DATA, PREFIXES};
use crate::error::{Error, Kind, Result};
use crate::fs::ext4::acl;
use crate::fs::ext4::format::{Ino, XATTR_MAGIC, XattrEntry, XattrHeader};
use crate::fs::ext4::volume::{Attributes, corrupt};
use crate::tree::Xattrs;

/// The longest value (`XATTR_SIZE_MAX`).
pub(in crate::fs::ext4) const VALUE_MAX: usize = 64 << 10;
/// Bytes of values of one inode that lie in inodes of their own: as many as its names can be (`XATTR_LIST_MAX`),
/// and more than any program stores.
const VALUES_MAX: usize = 1 << 20;

/// What gives the value that lies in an inode of its own, and its length.
type ValueOf<'a> = dyn Fn(Ino, usize) -> Result<Vec<u8>> + 'a;

/// All attributes of an inode.
pub(in crate::fs::ext4) fn read(attributes: &Attributes, value_of: &ValueOf<'_>) -> Result<Xattrs> {
    let mut xattrs = Xattrs::new();
    let mut apart = 0;
    for attribute in areas(attributes)?.into_iter().flat_map(|(area, start)| entries(area, start)) {
        let attribute = attribute?;
        if attribute.is_inline_data() {
            continue;
        }
        let value = match attribute.place {
            Place::Here(value) => value.to_vec(),
            Place::Inode(ino, len) => {
                apart += len;
                if len > VALUE_MAX || apart > VALUES_MAX {
                    return Err(corrupt("extended attributes are larger than Linux has them"));
                }
                value_of(ino, len)?
            }
        };
        let (name, value) = named(attribute.index, attribute.name, value)?;
        xattrs.insert(name.into(), value.into());
    }
    Ok(xattrs)
}

/// What lies in an attribute of the content of a file.
pub(in crate::fs::ext4) fn inline_data(attributes: &Attributes) -> Result<Option<&[u8]>> {
    for attribute in entries(&attributes.inode, 0) {
        match attribute? {
            attribute @ Attribute { place: Place::Here(value), .. } if attribute.is_inline_data() => {
                return Ok(Some(value));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// The areas that there are, and where their entries begin.
fn areas(attributes: &Attributes) -> Result<Vec<(&[u8], usize)>> {
    let mut areas = vec![(attributes.inode.as_slice(), 0)];
    if let Some(block) = &attributes.block {
        match XattrHeader::read_from_prefix(block) {
            Ok((header, _)) if header.h_magic.get() == XATTR_MAGIC => {}
            _ => return Err(corrupt("a block of extended attributes has no header")),
        }
        areas.push((block, size_of::<XattrHeader>()));
    }
    Ok(areas)
}

/// An attribute as it is stored.
struct Attribute<'a> {
    index: u8,
    name: &'a [u8],
    place: Place<'a>,
}

/// Where a value is.
enum Place<'a> {
    Here(&'a [u8]),
    /// In an inode of its own, with its length.
    Inode(Ino, usize),
}

impl Attribute<'_> {
    fn is_inline_data(&self) -> bool {
        let prefix = PREFIXES.iter().find(|(_, index)| *index == self.index).map(|(prefix, _)| *prefix);
        prefix.and_then(|prefix| INLINE_DATA.strip_prefix(prefix)) == Some(self.name)
    }
}

/// Entries from `start` of `area` on; their values lie anywhere in it, but not over each other.
fn entries(area: &[u8], start: usize) -> impl Iterator<Item = Result<Attribute<'_>>> {
    let mut rest = area.get(start..).unwrap_or_default();
    let mut room = area.len();
    std::iter::from_fn(move || {
        // Four zero bytes end the list.
        rest.first_chunk().filter(|word| **word != [0; 4])?;
        let (attribute, after) = match entry(area, rest) {
            Some((attribute, after)) if attribute.len_here() <= room => (attribute, after),
            _ => {
                rest = &[];
                return Some(Err(corrupt("extended attributes lie outside of their place")));
            }
        };
        room -= attribute.len_here();
        rest = after;
        Some(Ok(attribute))
    })
}

impl Attribute<'_> {
    fn len_here(&self) -> usize {
        match self.place {
            Place::Here(value) => value.len(),
            Place::Inode(..) => 0,
        }
    }
}

/// The first entry of `list`, and what follows it.
fn entry<'a>(area: &'a [u8], list: &'a [u8]) -> Option<(Attribute<'a>, &'a [u8])> {
    let (entry, after) = XattrEntry::read_from_prefix(list).ok()?;
    let len = usize::from(entry.e_name_len);
    let name = after.get(..len)?;
    let size = entry.e_value_size.get() as usize;
    let place = match (entry.e_value_inum.get(), size) {
        (0, 0) => Place::Here(&[]),
        (0, size) => Place::Here(area.get(usize::from(entry.e_value_offs.get())..)?.get(..size)?),
        (ino, size) => Place::Inode(Ino(ino), size),
    };
    let attribute = Attribute { index: entry.e_name_index, name, place };
    Some((attribute, after.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

/// Name and value as `getxattr` has them.
fn named(index: u8, name: &[u8], value: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>)> {
    for (full_name, of) in [ACL_ACCESS, ACL_DEFAULT] {
        if index == of {
            let value = acl::from_disk(&value).ok_or_else(|| corrupt("an ACL is broken"))?;
            return Ok((full_name.to_vec(), value));
        }
    }
    let unknown =
        || Error::new(Kind::Unsupported, "ext4", format!("attributes of index {index} are not read"));
    let (prefix, _) = PREFIXES.iter().find(|(_, of)| *of == index).ok_or_else(unknown)?;
    Ok(([prefix, name].concat(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(area: &[u8]) -> Result<Xattrs> {
        read(&Attributes { inode: area.to_vec(), block: None }, &|_, _| Ok(Vec::new()))
    }

    /// An entry of one letter in `user.`, whose value is `size` bytes from `at` on.
    fn entry(name: u8, at: u8, size: u8) -> Vec<u8> {
        [&[1, 1, at, 0, 0, 0, 0, 0, size, 0, 0, 0, 0, 0, 0, 0, name, 0, 0, 0][..]].concat()
    }

    #[test]
    fn values_do_not_lie_over_each_other_more_often_than_there_is_room() {
        let area = [entry(b'a', 0, 4), entry(b'b', 20, 4), vec![0; 4]].concat();
        let names: Vec<_> = of(&area).unwrap().keys().map(|name| name.to_vec()).collect();
        assert_eq!(names, [b"user.a", b"user.b"]);
        let same: Vec<u8> = (b'a'..=b'z').flat_map(|name| entry(name, 0, 200)).chain([0; 4]).collect();
        assert!(of(&same).is_err());
        assert!(of(&entry(b'a', 21, 4)).is_err(), "outside");
    }
}
