//! File systems that their own tools make: XFS, btrfs and squashfs.
//!
//! ```text
//! tree ─check─▶ tree that they carry ─make─▶ folder ─tool─▶ image ─▶ contents
//!                                   └──── Mkfs, outside of this library ────┘
//! ```
//!
//! This library runs no programs: it says by a [`Job`] what is to be made, and takes the bytes. What a tool would leave
//! out or change without a word is refused here, with its path (`carry`). One that is only read is made before partitions
//! have their places, since it is as large as it becomes; the others are made as large as their partitions.

mod carry;
mod room;

use std::sync::Arc;

use super::{Contents, FileSystem, no_space};
use crate::error::Result;
use crate::extent::Extent;
use crate::seed::Uuid;
use crate::tree::{Content, Time, Tree};

/// Who has the tools.
pub trait Mkfs: Send + Sync {
    /// The file system that `job` asks for, with the files of `tree`.
    ///
    /// # Errors
    /// What the tool says.
    fn make(&self, tree: &Tree, job: &Job) -> Result<Content>;
}

/// Which tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `mkfs.xfs`.
    Xfs,
    /// `mkfs.btrfs`.
    Btrfs,
    /// `mksquashfs`.
    Squashfs,
}

/// What a file system is to be, beside its tree.
#[derive(Clone, Debug)]
pub struct Job {
    /// Who makes it.
    pub tool: Tool,
    /// Its label; a squashfs has none.
    pub label: String,
    /// What it is found by; a squashfs has none.
    pub uuid: Uuid,
    /// In bytes; 0 for one that is as large as its files.
    pub size: u64,
    /// Bytes per sector of the disk.
    pub sector_size: u32,
    /// When it was made; a [`Draft`] lets it be no earlier than any of its files.
    pub created: Time,
}

impl Tool {
    /// What it makes.
    pub fn file_system(self) -> FileSystem {
        match self {
            Self::Xfs => FileSystem::Xfs,
            Self::Btrfs => FileSystem::Btrfs,
            Self::Squashfs => FileSystem::Squashfs,
        }
    }

    /// Its program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Xfs => "mkfs.xfs",
            Self::Btrfs => "mkfs.btrfs",
            Self::Squashfs => "mksquashfs",
        }
    }

    fn name(self) -> &'static str {
        self.file_system().name()
    }
}

/// A tree that a tool carries.
pub struct Draft {
    tree: Tree,
    job: Job,
    mkfs: Arc<dyn Mkfs>,
    /// That of one whose size is known by making it.
    made: Option<Content>,
}

impl Draft {
    /// Look at all of `tree`; make what is only read.
    ///
    /// # Errors
    /// `Input` names the path that the tool does not carry; those of the tool.
    pub fn new(tree: Tree, job: Job, mkfs: Arc<dyn Mkfs>) -> Result<Self> {
        carry::check(&tree, job.tool)?;
        let job = Job { created: job.created.max(latest(&tree)), ..job };
        let made = match job.tool {
            Tool::Squashfs => Some(mkfs.make(&tree, &job)?),
            Tool::Xfs | Tool::Btrfs => None,
        };
        Ok(Self { tree, job, mkfs, made })
    }

    /// The size in bytes that is enough: the least one of a squashfs, and what has room for the worst of the others.
    pub fn minimum_size(&self) -> u64 {
        match &self.made {
            Some(image) => image.len(),
            None => room::enough(&self.tree, self.job.tool),
        }
    }

    /// The file system in `size` bytes.
    ///
    /// # Errors
    /// `NoSpace` if they are fewer than [`minimum_size`](Self::minimum_size); those of the tool.
    pub fn plan(&self, size: u64) -> Result<Contents> {
        let minimum = self.minimum_size();
        if size < minimum {
            return Err(no_space(self.job.tool.name(), minimum, size));
        }
        let image = match &self.made {
            Some(image) => image.clone(),
            None => self.mkfs.make(&self.tree, &Job { size, ..self.job.clone() })?,
        };
        Ok(Contents { size, extents: Box::new(Extent::of_content(&image, 0)) })
    }
}

fn latest(tree: &Tree) -> Time {
    let below = tree.walk().map(|(_, _, id)| id);
    std::iter::once(Tree::ROOT).chain(below).map(|id| tree.inode(id).meta.mtime).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::error::Kind;
    use crate::tree::testing::tree;

    /// Notes the sizes that it is asked for; makes ten bytes of what has none.
    #[derive(Default)]
    struct Noting(Mutex<Vec<u64>>);

    impl Mkfs for Noting {
        fn make(&self, _: &Tree, job: &Job) -> Result<Content> {
            self.0.lock().unwrap().push(job.size);
            Ok(Content::Bytes(vec![7; job.size.max(10) as usize].into()))
        }
    }

    fn draft(tool: Tool, mkfs: &Arc<Noting>) -> Draft {
        let created = Time::default();
        let job = Job { tool, label: String::new(), uuid: Uuid([1; 16]), size: 0, sector_size: 512, created };
        Draft::new(tree(&[("/etc/os", "text")]), job, Arc::<Noting>::clone(mkfs)).unwrap()
    }

    #[test]
    fn what_is_only_read_is_made_once_and_the_others_as_large_as_their_partitions() {
        let mkfs = Arc::new(Noting::default());
        let squashfs = draft(Tool::Squashfs, &mkfs);
        assert_eq!(squashfs.minimum_size(), 10);
        let contents = squashfs.plan(1 << 20).unwrap();
        let extents: Vec<_> = contents.extents.iter().map(|extent| (extent.offset, extent.len)).collect();
        assert_eq!((contents.size, extents), (1 << 20, vec![(0, 10)]));
        assert_eq!(*mkfs.0.lock().unwrap(), [0]);

        let xfs = draft(Tool::Xfs, &mkfs);
        let minimum = xfs.minimum_size();
        assert!(minimum >= 300 << 20, "{minimum}");
        assert_eq!(xfs.plan(minimum).unwrap().size, minimum);
        assert_eq!(*mkfs.0.lock().unwrap(), [0, minimum]);
        let error = xfs.plan(minimum - 1).unwrap_err();
        assert_eq!(*error.kind(), Kind::NoSpace { needed: minimum, available: minimum - 1 });
    }
}
