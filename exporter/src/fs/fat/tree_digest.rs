//! One number for all files of a volume, as [`ext4::tree_digest`](crate::fs::ext4::tree_digest) has it for ext4.
//!
//! What FAT does not have is zero: owners, permissions, the time of the root. Times are to two seconds.

use sha2::{Digest, Sha256};

use super::read::{DEPTH_MAX, ENTRIES_MAX, Entries, Listed, Reader, corrupt};
use crate::error::Result;
use crate::read_at::ReadAt;
use crate::tree::{Line, Meta, What, escape};

/// The SHA-256 of all files and directories on `volume`.
///
/// # Errors
/// As [`read`](super::read).
pub fn tree_digest<V: ReadAt + ?Sized>(volume: &V) -> Result<[u8; 32]> {
    let reader = Reader::open(volume)?;
    let mut digest = TreeDigest { reader, hasher: Sha256::new(), seen: 0 };
    digest.hasher.update(Line { path: "/", meta: &Meta::default(), what: What::Directory }.to_string());
    let root = digest.reader.root_directory()?;
    digest.directory(&root, "", 0)?;
    Ok(digest.hasher.finalize().into())
}

struct TreeDigest<'a, V: ?Sized> {
    reader: Reader<'a, V>,
    hasher: Sha256,
    /// Entries that were met.
    seen: usize,
}

impl<V: ReadAt + ?Sized> TreeDigest<'_, V> {
    fn directory(&mut self, bytes: &[u8], path: &str, depth: usize) -> Result<()> {
        let mut entries: Vec<_> = Entries(bytes).filter(Listed::is_named).collect();
        self.seen += entries.len();
        if self.seen > ENTRIES_MAX || depth > DEPTH_MAX {
            return Err(corrupt("the directories have no end"));
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        for entry in entries {
            let path = format!("{path}/{}", escape(entry.name.as_bytes()));
            self.entry(&entry, &path)?;
            if entry.is_directory() {
                let bytes = self.reader.directory(entry.cluster)?;
                self.directory(&bytes, &path, depth + 1)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Listed, path: &str) -> Result<()> {
        let what = match entry.is_directory() {
            true => What::Directory,
            false => {
                let (len, mut hasher) = (u64::from(entry.size), Sha256::new());
                self.reader.content(entry.cluster, len, &mut |bytes| hasher.update(bytes))?;
                What::File { len, data: None, sha256: Some(hasher.finalize().into()) }
            }
        };
        let meta = Meta { mtime: entry.modified.time(), ..Meta::default() };
        self.hasher.update(Line { path, meta: &meta, what }.to_string());
        Ok(())
    }
}
