//! What the tests share beside trees: options, images and the tools that judge them.

use std::num::NonZeroUsize;
use std::process::Command;
use std::sync::Arc;

use exporter::engine::Run;
use exporter::error::Kind;
use exporter::fs::Contents;
use exporter::fs::erofs::{Algorithm, Draft, Options};
use exporter::seed::Uuid;
use exporter::tree::{Time, Tree};

pub(crate) use crate::trees::*;

pub(crate) const CREATED: Time = Time { seconds: 1_700_000_000, nanoseconds: 5 };

/// The name of the file system in what is said.
pub(crate) const NAME: &str = "erofs";

/// What is compressed by nothing, and by each algorithm.
pub(crate) const COMPRESSIONS: [Option<Algorithm>; 3] = [None, Some(Algorithm::Lz4), Some(Algorithm::Zstd)];

pub(crate) fn options() -> Options {
    let uuid = Uuid::from_text("0f5c9a52-9d0c-4a0e-8d3e-6a1f0e7f4b11");
    Options { label: "vmimage-root".to_owned(), uuid, created: CREATED, compression: None }
}

/// What is said of a tree that the file system cannot hold.
pub(crate) fn refusal(tree: Tree) -> String {
    refusal_with(tree, &options())
}

pub(crate) fn refusal_with(tree: Tree, options: &Options) -> String {
    let error = Draft::new(&Arc::new(tree), options, &run_by(1)).err().expect("it is refused");
    assert_eq!(*error.kind(), Kind::Input, "{error}");
    error.to_string()
}

/// A run with so many threads.
pub(crate) fn run_by(threads: usize) -> Run<'static> {
    Run::silent(NonZeroUsize::new(threads).unwrap())
}

pub(crate) fn draft(tree: Tree) -> Draft {
    packed_draft(&Arc::new(tree), None, 1)
}

pub(crate) fn packed_draft(tree: &Arc<Tree>, compression: Option<Algorithm>, threads: usize) -> Draft {
    let options = Options { compression, ..options() };
    Draft::new(tree, &options, &run_by(threads)).expect("the tree can be held")
}

/// The file system of a tree, planned anew.
pub(crate) fn planned(tree: Tree) -> Contents {
    let draft = draft(tree);
    draft.plan(draft.size()).unwrap()
}

impl Image {
    /// The file system of `tree`, written out and checked.
    pub(crate) fn of(tree: Tree) -> Self {
        Self::packed(&Arc::new(tree), None)
    }

    /// The same, compressed; fsck.erofs before 1.8 knows no zstd.
    pub(crate) fn packed(tree: &Arc<Tree>, compression: Option<Algorithm>) -> Self {
        let draft = packed_draft(tree, compression, 2);
        let image = Self::written("erofs", &draft.plan(draft.size()).unwrap());
        if compression != Some(Algorithm::Zstd) {
            image.assert_clean();
        }
        image
    }

    /// What fsck.erofs has to say; of a wrong superblock it says so and still succeeds.
    pub(crate) fn fsck(&self) -> Result<(), String> {
        let output = Command::new("fsck.erofs")
            .args(["-d3", "--extract"])
            .arg(self.path())
            .output()
            .expect("fsck.erofs runs");
        let said = text(&output);
        if output.status.success() && said.contains("No errors found") { Ok(()) } else { Err(said) }
    }

    pub(crate) fn assert_clean(&self) {
        self.fsck().unwrap();
    }

    /// What dump.erofs prints.
    pub(crate) fn dump(&self, arguments: &[&str]) -> String {
        run(Command::new("dump.erofs").args(arguments).arg(self.path()))
    }
}
