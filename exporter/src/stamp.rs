//! Whether a file is still what it was when it was looked at.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// What changes when a file is written to, or another one takes its place. The time is that of its last change (ctime), which
/// nobody can set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    file: (u64, u64),
    len: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// Of a file that is like this now.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}
