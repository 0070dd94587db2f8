//! What the tests share beside trees: options, images and the tools that judge them.

use std::process::Command;
use std::sync::Arc;

use exporter::fs::erofs::{Draft, Options};
use exporter::seed::Uuid;
use exporter::tree::{Time, Tree};

pub(crate) use crate::trees::*;

pub(crate) const CREATED: Time = Time { seconds: 1_700_000_000, nanoseconds: 5 };

pub(crate) fn options() -> Options {
    let uuid = Uuid::from_text("0f5c9a52-9d0c-4a0e-8d3e-6a1f0e7f4b11");
    Options { label: "vmimage-root".to_owned(), uuid, created: CREATED }
}

impl Image {
    /// The file system of `tree`, written out and checked.
    pub(crate) fn of(tree: Tree) -> Self {
        let draft = Draft::new(&Arc::new(tree), &options()).expect("the tree can be held");
        let image = Self::written("erofs", &draft.plan(draft.size()).unwrap());
        image.assert_clean();
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
