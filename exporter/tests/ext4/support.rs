//! What the tests share beside trees: options, images and the tools that judge them.

use std::process::{Command, Output};
use std::sync::Arc;

use exporter::error::Kind;
use exporter::fs::ext4::{self, Options};
use exporter::fs::{Contents, DiskBudget};
use exporter::seed::Uuid;
use exporter::tree::{Time, Tree};

pub(crate) use crate::trees::*;

/// What reading an image of a few megabytes may cost.
pub(crate) fn budget() -> DiskBudget {
    DiskBudget::new(8 * MIB)
}

pub(crate) fn options(size: u64) -> Options {
    Options {
        label: "vmimage-root".to_owned(),
        uuid: Uuid::from_text("0f5c9a52-9d0c-4a0e-8d3e-6a1f0e7f4b11"),
        hash_seed: Uuid::from_text("7a1e2d90-35e8-4d0b-9d53-1f4fd2a6d4c2"),
        size,
        created: Time { seconds: 1_700_000_000, nanoseconds: 0 },
        reserved_percent: 5,
    }
}

/// The name of the file system in what is said.
pub(crate) const NAME: &str = "ext4";

/// What is said of a tree that the file system cannot hold.
pub(crate) fn refusal(tree: Tree) -> String {
    refusal_with(tree, &options(32 * MIB))
}

pub(crate) fn refusal_with(tree: Tree, options: &Options) -> String {
    let error = ext4::plan(&Arc::new(tree), options).unwrap_err();
    assert_eq!(*error.kind(), Kind::Input, "{error}");
    error.to_string()
}

/// The file system of a tree, planned anew.
pub(crate) fn planned(tree: Tree) -> Contents {
    ext4::plan(&Arc::new(tree), &options(GIB)).unwrap()
}

impl Image {
    /// The file system of `tree`, written out and checked.
    pub(crate) fn of(tree: Tree, size: u64) -> Self {
        let image = Self::unchecked(tree, size);
        image.assert_clean();
        image
    }

    pub(crate) fn unchecked(tree: Tree, size: u64) -> Self {
        Self::written("ext4", &ext4::plan(&Arc::new(tree), &options(size)).expect("the tree fits"))
    }

    pub(crate) fn fsck(&self) -> Output {
        Command::new("e2fsck").arg("-fn").arg(self.path()).output().expect("e2fsck runs")
    }

    pub(crate) fn assert_clean(&self) {
        let output = self.fsck();
        assert!(output.status.success(), "e2fsck: {}", text(&output));
    }

    /// What one command of debugfs prints.
    pub(crate) fn debugfs(&self, request: &str) -> String {
        run(Command::new("debugfs").args(["-R", request]).arg(self.path()))
    }
}
