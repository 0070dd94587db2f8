//! What is in an inode: the bytes of a file, the target of a link, extended attributes.

use super::{InodeOnDisk, Volume, corrupt, unsupported};
use crate::error::Result;
use crate::fs::ext4::format::Ino;
use crate::fs::ext4::{sums, xattr};
use crate::limits;
use crate::read_at::ReadAt;
use crate::tree::Xattrs;

/// Bytes of content that are read at once.
const CHUNK: u64 = 1 << 20;

/// Where the extended attributes of an inode are.
pub(in crate::fs::ext4) struct Attributes {
    /// Behind the fields of the inode, without the magic; empty for none.
    pub(in crate::fs::ext4) inode: Vec<u8>,
    /// A block of its own.
    pub(in crate::fs::ext4) block: Option<Vec<u8>>,
}

impl<V: ReadAt + ?Sized> Volume<'_, V> {
    /// Hands the bytes of a file to `data`, with the place of each piece in the file, ascending; between them are
    /// holes.
    pub(in crate::fs::ext4) fn content(
        &self,
        inode: &InodeOnDisk,
        data: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        self.refuse_encrypted(inode)?;
        if inode.is_inline() {
            return data(0, &self.inline_content(inode)?);
        }
        let mut buffer = Vec::new();
        for extent in self.extents(inode) {
            let extent = extent?;
            let start = extent.logical * self.block_size();
            let end = inode.size().min(start.saturating_add(extent.blocks * self.block_size()));
            if start >= end {
                break;
            }
            let place = extent.physical * self.block_size();
            for at in (start..end).step_by(CHUNK as usize).filter(|_| extent.is_written) {
                buffer.resize((end - at).min(CHUNK) as usize, 0);
                self.read_at(place + (at - start), &mut buffer)?;
                data(at, &buffer)?;
            }
        }
        Ok(())
    }

    /// The content of a small file as a whole, if it is as long as the inode says and not longer than `max`.
    pub(in crate::fs::ext4) fn whole_content(&self, inode: &InodeOnDisk, max: usize) -> Result<Vec<u8>> {
        let len = usize::try_from(inode.size()).ok().filter(|len| *len <= max);
        let too_long = || corrupt(format!("it is longer than {max} bytes"));
        let mut content = vec![0; len.ok_or_else(too_long)?];
        self.content(inode, &mut |at, bytes| {
            let place = content.get_mut(at as usize..).unwrap_or_default();
            place.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            Ok(())
        })?;
        Ok(content)
    }

    /// The first bytes lie in `i_block`, the rest in an attribute.
    fn inline_content(&self, inode: &InodeOnDisk) -> Result<Vec<u8>> {
        let attributes = self.attributes(inode)?;
        let more = xattr::inline_data(&attributes)?.unwrap_or_default();
        let mut content = [inode.fields().i_block.as_slice(), more].concat();
        if content.len() as u64 <= inode.size() {
            return Ok(content);
        }
        content.truncate(inode.size() as usize);
        Ok(content)
    }

    /// What a symbolic link holds: a short one in the place of the extents.
    pub(in crate::fs::ext4) fn symlink_target(&self, inode: &InodeOnDisk) -> Result<Vec<u8>> {
        let i_block = &inode.fields().i_block;
        let is_fast = inode.size() < i_block.len() as u64 && !inode.has_extents();
        match i_block.get(..inode.size() as usize).filter(|_| is_fast) {
            Some(target) => {
                self.refuse_encrypted(inode)?;
                Ok(target.to_vec())
            }
            None => self.whole_content(inode, limits::PATH),
        }
    }

    /// All extended attributes of an inode, but for what is content.
    pub(in crate::fs::ext4) fn xattrs(&self, inode: &InodeOnDisk) -> Result<Xattrs> {
        xattr::read(&self.attributes(inode)?, &|ino, len| self.attribute_value(ino, len))
    }

    /// A value in an inode of its own.
    fn attribute_value(&self, ino: Ino, len: usize) -> Result<Vec<u8>> {
        let value = self.whole_content(&self.inode(ino)?, xattr::VALUE_MAX)?;
        match value.len() == len {
            true => Ok(value),
            false => Err(corrupt("the value of an extended attribute is not as long as it should be")),
        }
    }

    /// The bytes that hold the extended attributes of an inode.
    pub(super) fn attributes(&self, inode: &InodeOnDisk) -> Result<Attributes> {
        let block = match inode.attributes_block() {
            0 => None,
            place => {
                let block = self.block(place)?;
                let sum = self.sum.map(|sum| sums::attributes(&block, place, sum)).transpose()?;
                sums::check(&block, sum, "a block of extended attributes")?;
                Some(block)
            }
        };
        Ok(Attributes { inode: inode.attributes().to_vec(), block })
    }

    /// Without the key there are neither names nor contents.
    pub(super) fn refuse_encrypted(&self, inode: &InodeOnDisk) -> Result<()> {
        match inode.is_encrypted() {
            true => Err(unsupported(format!("inode {} is encrypted, which is not read", inode.ino().0))),
            false => Ok(()),
        }
    }
}
