//! The root of live mode over the network: the whole tree of the machine as one file system that is only read.

use std::sync::Arc;

use super::Machine;
use crate::assemble::draft::no_tools;
use crate::assemble::resolve::Resolved;
use crate::engine::Run;
use crate::error::Result;
use crate::fs::erofs::{self, Algorithm};
use crate::fs::external::{self, Job, Mkfs, Tool};
use crate::fs::{Contents, FileSystem};
use crate::tree::Tree;

/// The label of the file system.
const LABEL: &str = "root";
/// A size is a multiple of this: a block of every file system that is made.
const BLOCK: u64 = 4096;

/// A root that only has to be written.
pub(super) enum LiveRoot {
    Erofs(erofs::Draft),
    Squashfs(external::Draft),
}

/// What it is: squashfs where the root of the disk is one, else erofs.
pub(super) fn file_system(layout: &Resolved) -> FileSystem {
    match layout.root.file_system {
        FileSystem::Squashfs => FileSystem::Squashfs,
        _ => FileSystem::Erofs,
    }
}

impl LiveRoot {
    /// That of `tree`, compressed as an erofs if the kernel reads that.
    ///
    /// # Errors
    /// What it cannot hold, and if it is a squashfs and there are no tools.
    pub(super) fn new(
        machine: &Machine<'_>,
        compression: Option<Algorithm>,
        tree: &Tree,
        mkfs: Option<&Arc<dyn Mkfs>>,
        run: &Run<'_>,
    ) -> Result<Self> {
        let (uuid, created) = (machine.seed.uuid("medium root"), machine.time);
        let label = LABEL.to_owned();
        match file_system(machine.layout) {
            FileSystem::Squashfs => {
                let mkfs = mkfs.ok_or_else(|| no_tools(LABEL, Tool::Squashfs))?;
                let job = Job { tool: Tool::Squashfs, label, uuid, size: 0, sector_size: 512, created };
                Ok(Self::Squashfs(external::Draft::new(tree.clone(), job, Arc::clone(mkfs))?))
            }
            _ => {
                let options = erofs::Options { label, uuid, created, compression };
                Ok(Self::Erofs(erofs::Draft::new(&Arc::new(tree.clone()), &options, run)?))
            }
        }
    }

    pub(super) fn file_system(&self) -> FileSystem {
        match self {
            Self::Erofs(_) => FileSystem::Erofs,
            Self::Squashfs(_) => FileSystem::Squashfs,
        }
    }

    /// Where its bytes lie; they are the same each time.
    ///
    /// # Errors
    /// If it is larger than its file system can be.
    pub(super) fn contents(&self) -> Result<Contents> {
        match self {
            Self::Erofs(draft) => draft.plan(self.size()),
            Self::Squashfs(draft) => draft.plan(self.size()),
        }
    }

    /// Its bytes.
    pub(super) fn size(&self) -> u64 {
        let least = match self {
            Self::Erofs(draft) => draft.size(),
            Self::Squashfs(draft) => draft.minimum_size(),
        };
        least.next_multiple_of(BLOCK)
    }
}
