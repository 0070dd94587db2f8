//! How much room is enough for what the tools make: more than the least, which nobody but they can know.

use super::Tool;
use crate::tree::{Inode, InodeId, InodeKind, Tree};

/// Bytes of a block, in all of them.
const BLOCK: u64 = 4096;
/// The least that mkfs.xfs makes.
const XFS_MIN: u64 = 300 << 20;
/// Its log, and what each of its groups of blocks keeps for itself.
const XFS_OWN: u64 = 96 << 20;
/// Of its blocks only a quarter may hold inodes (`imaxpct`).
const XFS_PER_INODES: u64 = 4;
/// Chunks of which nothing is used yet, two of them for what is there twice.
const BTRFS_OWN: u64 = 192 << 20;
/// What mkfs.btrfs counts for a name (`PATH_MAX` three times, and a block).
const BTRFS_NAME: u64 = 3 * 4096 + BLOCK;
/// Its chunks of data, and those of metadata, which there are twice.
const BTRFS_DATA: u64 = 8 << 20;
const BTRFS_METADATA: u64 = 32 << 20;

/// What a tree takes, at most.
#[derive(Default)]
struct Count {
    /// Blocks of files, in bytes.
    data: u64,
    /// Inodes and what is kept of them, in bytes.
    inodes: u64,
    /// Entries of directories, attributes and targets, in bytes.
    names: u64,
}

/// Bytes in which there is room for all of `tree`.
pub(super) fn enough(tree: &Tree, tool: Tool) -> u64 {
    let count = Count::of(tree, tool);
    match tool {
        Tool::Xfs => count.in_xfs().max(XFS_MIN),
        Tool::Btrfs => count.in_btrfs().max(guess_of_btrfs(tree)),
        // Its size is that of what was made.
        Tool::Squashfs => 0,
    }
}

/// What mkfs.btrfs takes a folder for (`btrfs_mkfs_size_dir`): each name for a file of its own, holes for data. It makes a file
/// larger that is smaller, and the end of that would not be in the partition.
fn guess_of_btrfs(tree: &Tree) -> u64 {
    let (mut names, mut data) = (1, 0_u64);
    for (_, _, id) in tree.walk() {
        names += 1;
        if let InodeKind::File(content) = &tree.inode(id).kind {
            data = data.saturating_add(content.len()).saturating_add(BLOCK);
        }
    }
    let metadata = (BTRFS_NAME * names).saturating_add(data / 8);
    let chunks = |bytes: u64, first: u64| bytes.div_ceil(first).saturating_sub(1).saturating_mul(first);
    let metadata = chunks(metadata, BTRFS_METADATA).saturating_mul(2);
    chunks(data, BTRFS_DATA).saturating_add(metadata).saturating_add(BTRFS_OWN)
}

impl Count {
    fn of(tree: &Tree, tool: Tool) -> Self {
        let mut count = Self::default();
        let mut seen = vec![false; tree.next_id().0 as usize];
        count.inode(tree.inode(Tree::ROOT), tool);
        for (_, name, id) in tree.walk() {
            // An entry, its place in an index, and the way back from the inode.
            count.names += 3 * (name.len() as u64 + 64);
            let InodeId(index) = id;
            if !std::mem::replace(&mut seen[index as usize], true) {
                count.inode(tree.inode(id), tool);
            }
        }
        count
    }

    fn inode(&mut self, Inode { meta, kind }: &Inode, tool: Tool) {
        let attributes = meta.xattrs.iter().map(|(name, value)| (name.len() + value.len() + 64) as u64);
        let attributes: u64 = attributes.sum();
        match tool {
            // Beside the inode there is a block for attributes, and at least one for a directory.
            Tool::Xfs => {
                self.inodes += 512;
                self.names += if attributes > 0 { (2 * attributes).next_multiple_of(BLOCK) } else { 0 };
                self.names += if matches!(kind, InodeKind::Directory(_)) { 2 * BLOCK } else { 0 };
            }
            // Items in leaves, which may be half full; small files are among them.
            Tool::Btrfs | Tool::Squashfs => {
                self.inodes += 1024;
                self.names += 2 * attributes;
            }
        }
        match kind {
            InodeKind::File(content) => {
                let blocks = content.data_blocks(BLOCK as usize);
                self.data += blocks.iter().map(|blocks| (blocks.end - blocks.start) * BLOCK).sum::<u64>();
                // That of each extent.
                self.names += 256 * blocks.len() as u64;
            }
            InodeKind::Symlink(target) => self.names += (target.len() as u64).next_multiple_of(BLOCK),
            _ => {}
        }
    }

    fn in_xfs(&self) -> u64 {
        let Self { data, inodes, names } = *self;
        let all = data.saturating_add(inodes).saturating_add(2 * names);
        let with_own = all.saturating_add(all / 16).saturating_add(XFS_OWN);
        with_own.max(inodes.saturating_mul(XFS_PER_INODES))
    }

    /// Of metadata there are two copies. What is not in use of data's last chunk is no more than a tenth.
    fn in_btrfs(&self) -> u64 {
        let Self { data, inodes, names } = *self;
        let sums = data / 512;
        let metadata = inodes.saturating_add(names).saturating_add(sums).saturating_mul(2);
        let all = data.saturating_add(2 * metadata);
        all.saturating_add(all / 4).saturating_add(BTRFS_OWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Content;
    use crate::tree::testing::tree;

    #[test]
    fn a_btrfs_has_room_for_what_its_tool_takes_names_and_files_for() {
        let small = tree(&[("/one", "text")]);
        assert!(enough(&small, Tool::Btrfs) < 256 << 20);

        let mut names = tree(&[("/one", "text")]);
        let one = names.lookup("/one").unwrap();
        (0..10_000).for_each(|number| names.link(Tree::ROOT, number.to_string().as_bytes(), one));
        assert!(enough(&names, Tool::Btrfs) > BTRFS_OWN + 2 * (10_000 * BTRFS_NAME - BTRFS_METADATA));

        let mut large = tree(&[("/one", "text")]);
        large.inode_mut(one).kind = InodeKind::File(Content::Bytes(vec![0; 64 << 20].into()));
        (0..100).for_each(|number| large.link(Tree::ROOT, number.to_string().as_bytes(), one));
        assert!(enough(&large, Tool::Btrfs) > 100 * (64 << 20));
    }
}
