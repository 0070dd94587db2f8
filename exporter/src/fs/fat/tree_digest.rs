//! One number for all files of a volume, as [`ext4::tree_digest`](crate::fs::ext4::tree_digest) has it for ext4.
//!
//! What FAT does not have is zero: owners, permissions, the time of the root. Times are to two seconds.

use sha2::{Digest, Sha256};

use super::read::{Listed, Reader};
use super::walk::Walk;
use crate::error::Result;
use crate::fs::DiskBudget;
use crate::read_at::ReadAt;
use crate::tree::{Line, Meta, What, escape};

/// The SHA-256 of all files and directories on `volume`.
///
/// # Errors
/// As [`read`](super::read), and `Unsupported` for more bytes than `budget` has.
pub fn tree_digest<V: ReadAt + ?Sized>(volume: &V, budget: &DiskBudget) -> Result<[u8; 32]> {
    let reader = Reader::open(volume, budget)?;
    let mut hasher = Sha256::new();
    hasher.update(Line { path: "/", meta: &Meta::default(), what: What::Directory }.to_string());
    let mut walk = Walk::new(&reader)?;
    while let Some((path, entry)) = walk.next()? {
        hasher.update(line(&reader, &format!("/{}", escape(path.as_bytes())), &entry)?);
    }
    Ok(hasher.finalize().into())
}

fn line<V: ReadAt + ?Sized>(reader: &Reader<'_, V>, path: &str, entry: &Listed) -> Result<String> {
    let what = match entry.is_directory() {
        true => What::Directory,
        false => {
            let (len, mut hasher) = (u64::from(entry.size), Sha256::new());
            reader.content(entry.cluster, len, &mut |bytes| hasher.update(bytes))?;
            What::File { len, data: None, sha256: Some(hasher.finalize().into()) }
        }
    };
    let meta = Meta { mtime: entry.modified.time(), ..Meta::default() };
    Ok(Line { path, meta: &meta, what }.to_string())
}
