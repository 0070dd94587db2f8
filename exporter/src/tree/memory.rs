//! About how much memory a tree takes, and what of it nothing leads to any more.

use super::{Content, Inode, InodeId, InodeKind, Piece, Tree, Xattrs};

/// An inode and the entry that names it, without the name.
pub(crate) const ENTRY: u64 = 128;
/// What a directory has for its first entries.
pub(crate) const DIRECTORY: u64 = 320;
/// An attribute without name and value.
const XATTR: u64 = 96;

impl Xattrs {
    /// Bytes of memory they take.
    pub(crate) fn memory(&self) -> u64 {
        self.iter().map(|(name, value)| XATTR + (name.len() + value.len()) as u64).sum()
    }
}

impl Content {
    /// Bytes of memory it takes.
    pub(crate) fn memory(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Archive(file) => (file.sparse_pieces() * size_of::<Piece>()) as u64,
            Self::Host(_) => 0,
            Self::Joined(files) => files.memory(),
        }
    }
}

impl Inode {
    fn memory(&self) -> u64 {
        let kind = match &self.kind {
            InodeKind::Directory(entries) => {
                DIRECTORY + entries.keys().map(|name| ENTRY + name.len() as u64).sum::<u64>()
            }
            InodeKind::File(content) => content.memory(),
            InodeKind::Symlink(target) => target.len() as u64,
            InodeKind::Fifo | InodeKind::Socket | InodeKind::CharDevice(_) | InodeKind::BlockDevice(_) => 0,
        };
        kind + self.meta.xattrs.memory()
    }
}

impl Tree {
    /// Bytes of memory it takes.
    pub(crate) fn memory(&self) -> u64 {
        self.inodes.iter().map(Inode::memory).sum()
    }

    /// Drop the inodes that no name leads to. The others get new numbers in the same order: what has `first` or a
    /// higher one has the returned one or a higher one afterwards.
    pub(crate) fn sweep(&mut self, first: InodeId) -> InodeId {
        let mut is_reached = vec![false; self.inodes.len()];
        for id in self.walk().map(|(.., id)| id).chain([Self::ROOT]) {
            is_reached[id.0 as usize] = true;
        }
        let mut next = 0;
        let mut numbers: Vec<u32> = Vec::with_capacity(is_reached.len() + 1);
        for &is_reached in &is_reached {
            numbers.push(next);
            next += u32::from(is_reached);
        }
        numbers.push(next);
        let mut keeps = is_reached.into_iter();
        self.inodes.retain(|_| keeps.next().unwrap_or(true));
        for inode in &mut self.inodes {
            if let InodeKind::Directory(entries) = &mut inode.kind {
                entries.values_mut().for_each(|id| id.0 = numbers[id.0 as usize]);
            }
        }
        InodeId(numbers.get(first.0 as usize).copied().unwrap_or(next))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::super::{Detail, Editor, Time};
    use super::*;

    #[test]
    fn what_has_no_name_is_dropped_and_nothing_else() {
        let mut tree = tree(&[("/a", "a"), ("/d/b", "b"), ("/d/e/c", "c"), ("/z", "-> d/b")]);
        let linked = tree.lookup("/d/b").unwrap();
        tree.link(Tree::ROOT, b"second", linked);
        let mut editor = Editor::new(&mut tree, Time::default());
        editor.remove("/d/e");
        editor.write_file("/a", *b"new", 0o644).unwrap();
        let (before, all) = (tree.dump(Detail::default()).unwrap(), tree.next_id());
        let last = tree.sweep(InodeId(all.0 - 1));
        // The directory e, its file, and the old file.
        assert_eq!(tree.next_id().0, all.0 - 3);
        assert_eq!(tree.lookup("/a"), Some(last));
        assert_eq!(tree.dump(Detail::default()).unwrap(), before);
        assert_eq!(tree.sweep(tree.next_id()), tree.next_id(), "a second time there is nothing to drop");
    }

    #[test]
    fn memory_is_that_of_names_attributes_and_contents() {
        let of = |files: &[(&str, &str)]| tree(files).memory();
        assert_eq!(of(&[("/name", "content")]) - of(&[]), ENTRY + 4 + 7);
        assert_eq!(of(&[("/link", "-> target")]) - of(&[]), ENTRY + 4 + 6);
        assert_eq!(of(&[("/a/b", "")]) - of(&[]), DIRECTORY + 2 * (ENTRY + 1));
        let mut attributed = tree(&[("/a", "")]);
        let id = attributed.lookup("/a").unwrap();
        attributed.inode_mut(id).meta.xattrs.insert((*b"user.a").into(), (*b"value").into());
        assert_eq!(attributed.memory() - of(&[("/a", "")]), XATTR + 6 + 5);
    }
}
