//! The entries of a directory, one after the other. Hash trees look like unused entries to those who don't use them.

use std::mem::size_of;
use std::ops::ControlFlow;

use zerocopy::FromBytes;

use super::{InodeOnDisk, Volume, corrupt};
use crate::error::Result;
use crate::fs::ext4::format::{DirEntry2, Ino};
use crate::fs::ext4::{sums, xattr};
use crate::read_at::ReadAt;

/// What takes the entries: names and inodes, until it breaks off.
pub(in crate::fs::ext4) type Visit<'a> = dyn FnMut(&[u8], Ino) -> Result<ControlFlow<()>> + 'a;

/// Bytes of `i_block` with the number of the parent, in front of the entries of a directory that lies in its inode.
const INLINE_PARENT: usize = 4;

impl<V: ReadAt + ?Sized> Volume<'_, V> {
    /// Hands the entries of a directory but `.` and `..` to `visit`.
    pub(in crate::fs::ext4) fn entries(&self, inode: &InodeOnDisk, visit: &mut Visit<'_>) -> Result<()> {
        self.refuse_encrypted(inode)?;
        if inode.is_inline() {
            let attributes = self.attributes(inode)?;
            let more = xattr::inline_data(&attributes)?.unwrap_or_default();
            let first = inode.fields().i_block.get(INLINE_PARENT..).unwrap_or_default();
            return match self.visit_block(first, visit)? {
                ControlFlow::Continue(()) => self.visit_block(more, visit).map(drop),
                ControlFlow::Break(()) => Ok(()),
            };
        }
        let blocks = inode.size().div_ceil(self.block_size());
        for extent in self.extents(inode) {
            let extent = extent?;
            for number in (0..extent.blocks).filter(|_| extent.is_written) {
                if extent.logical + number >= blocks {
                    return Ok(());
                }
                let block = self.directory_block(inode, extent.logical + number, extent.physical + number)?;
                if self.visit_block(&block, visit)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn directory_block(&self, inode: &InodeOnDisk, logical: u64, physical: u64) -> Result<Vec<u8>> {
        let bytes = self.block(physical)?;
        let is_root = inode.is_indexed() && logical == 0;
        let sum = self.inode_sum(inode).map(|sum| sums::directory_block(&bytes, is_root, sum)).transpose()?;
        sums::check(&bytes, sum, "a directory")?;
        Ok(bytes)
    }

    fn visit_block(&self, block: &[u8], visit: &mut Visit<'_>) -> Result<ControlFlow<()>> {
        let broken = || corrupt("a directory has entries of impossible length");
        let mut rest = block;
        while !rest.is_empty() {
            let (entry, after) = DirEntry2::read_from_prefix(rest).map_err(|_| broken())?;
            let len = record_len(entry.rec_len.get(), block.len());
            let name = after.get(..usize::from(entry.name_len)).ok_or_else(broken)?;
            if len < size_of::<DirEntry2>() + name.len() {
                return Err(broken());
            }
            rest = rest.get(len..).ok_or_else(broken)?;
            if entry.inode.get() == 0 || name == b"." || name == b".." {
                continue;
            }
            if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
                return Err(corrupt("a directory has an impossible name"));
            }
            self.budget.entries(1)?;
            if visit(name, Ino(entry.inode.get()))?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Lengths are multiples of four; the two bits that are free are the upper ones of blocks of 64 KiB.
fn record_len(stored: u16, block: usize) -> usize {
    match stored {
        0 | u16::MAX => block,
        len => usize::from(len & !3) | usize::from(len & 3) << 16,
    }
}
