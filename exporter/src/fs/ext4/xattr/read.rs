//! Extended attributes as they lie in an inode and in a block, made by anybody: nothing is trusted.

use std::mem::size_of;

use zerocopy::FromBytes;

use super::{ACL_ACCESS, ACL_DEFAULT, PREFIXES};
use crate::error::{Error, Kind, Result};
use crate::fs::ext4::acl;
use crate::fs::ext4::format::{XATTR_MAGIC, XattrEntry, XattrHeader};
use crate::fs::ext4::volume::{Attributes, corrupt};
use crate::tree::Xattrs;

/// All attributes of an inode.
pub(in crate::fs::ext4) fn read(attributes: &Attributes) -> Result<Xattrs> {
    let mut xattrs = Xattrs::new();
    read_area(&attributes.inode, 0, &mut xattrs)?;
    if let Some(block) = &attributes.block {
        match XattrHeader::read_from_prefix(block) {
            Ok((header, _)) if header.h_magic.get() == XATTR_MAGIC => {}
            _ => return Err(corrupt("a block of extended attributes has no header")),
        }
        read_area(block, size_of::<XattrHeader>(), &mut xattrs)?;
    }
    Ok(xattrs)
}

/// Entries from `start` of `area` on; their values lie anywhere in it.
fn read_area(area: &[u8], start: usize, xattrs: &mut Xattrs) -> Result<()> {
    let broken = || corrupt("extended attributes lie outside of their place");
    let mut rest = area.get(start..).unwrap_or_default();
    // Four zero bytes end the list.
    while rest.first_chunk().is_some_and(|word| *word != [0; 4]) {
        let (entry, after) = XattrEntry::read_from_prefix(rest).map_err(|_| broken())?;
        let len = usize::from(entry.e_name_len);
        let name = after.get(..len).ok_or_else(broken)?;
        if entry.e_value_inum.get() != 0 {
            let message = "an extended attribute lies in an inode of its own";
            return Err(Error::new(Kind::Unsupported, "ext4", message));
        }
        let value = match entry.e_value_size.get() as usize {
            0 => &[],
            size => {
                let at = usize::from(entry.e_value_offs.get());
                area.get(at..).and_then(|from| from.get(..size)).ok_or_else(broken)?
            }
        };
        let (name, value) = attribute(entry.e_name_index, name, value)?;
        xattrs.insert(name.into(), value.into());
        rest = after.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}

/// Name and value as `getxattr` has them.
fn attribute(index: u8, name: &[u8], value: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    for (full_name, of) in [ACL_ACCESS, ACL_DEFAULT] {
        if index == of {
            let value = acl::from_disk(value).ok_or_else(|| corrupt("an ACL is broken"))?;
            return Ok((full_name.to_vec(), value));
        }
    }
    let unknown =
        || Error::new(Kind::Unsupported, "ext4", format!("attributes of index {index} are not read"));
    let (prefix, _) = PREFIXES.iter().find(|(_, of)| *of == index).ok_or_else(unknown)?;
    Ok(([prefix, name].concat(), value.to_vec()))
}
