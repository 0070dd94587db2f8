//! What the tests of several modules share: running checkers, and images small enough for memory.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::extent::{Backing, Extent, Extents};

/// Run a checker that must exist: whether it was content, and all it said.
pub(crate) fn tool(program: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} must be installed: {error}"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Run a checker that must be content.
#[track_caller]
pub(crate) fn accepts(program: &str, args: &[&str]) -> String {
    let (ok, said) = tool(program, args);
    assert!(ok, "{program} {args:?}:\n{said}");
    said
}

/// The image as one vector, of extents that lie in memory.
pub(crate) fn flatten(size: u64, extents: &dyn Extents) -> Vec<u8> {
    let mut image = vec![0; size as usize];
    for extent in extents.iter() {
        let out = &mut image[extent.offset as usize..extent.end() as usize];
        match &extent.source {
            Backing::Bytes(bytes) => out.copy_from_slice(bytes),
            Backing::Rendered { by, key } => by.render(*key, out),
            Backing::Image { image, offset } => image.read_at(*offset, out).unwrap(),
            Backing::Transformed { of, by, at } => {
                let (start, end) = (*at as usize, (at + extent.len) as usize);
                let reach = of.iter().map(Extent::end).fold(end as u64, u64::max);
                out.copy_from_slice(&flatten(reach, &of.to_vec())[start..end]);
                by.apply(*at, out);
            }
            Backing::File { .. } | Backing::Archive { .. } => panic!("expected an extent in memory"),
        }
    }
    image
}

/// Write an image of extents that lie in memory to a file; what no extent covers is a hole.
pub(crate) fn write_sparse(path: &Path, size: u64, extents: &dyn Extents) {
    let file = std::fs::File::create(path).unwrap();
    file.set_len(size).unwrap();
    for extent in extents.iter() {
        let bytes = flatten(extent.len, &[Extent { offset: 0, ..extent.clone() }]);
        file.write_all_at(&bytes, extent.offset).unwrap();
    }
}

/// A directory of its own for a test, and paths in it.
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Write `bytes` to a file and give its path as text.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.file(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}
