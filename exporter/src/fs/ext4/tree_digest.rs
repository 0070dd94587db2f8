//! One number for all that a file system holds: the same for the same tree, by whatever way it got there.
//!
//! It is the SHA-256 of the tree's text form ([`crate::tree`]'s dump, with the hash of every content and without
//! holes), so it covers the names in byte order, types, permissions, owners, times to the nanosecond, devices,
//! targets, hard links, extended attributes and contents. An empty `lost+found` in the root is left out: mke2fs and
//! this crate add one to every tree.

use sha2::{Digest, Sha256};

use super::walk::walk;
use crate::error::Result;
use crate::fs::DiskBudget;
use crate::fs::files::{FileContent, FileKind, Met, Step};
use crate::read_at::ReadAt;
use crate::tree::{Line, What, escape};

/// The SHA-256 of everything in the file system on `volume`.
///
/// # Errors
/// `Unsupported` for a file system that was not unmounted, for features and files that are not read, and for more
/// bytes, holes too, than `budget` has; `Corrupt` if it breaks the format.
pub fn tree_digest<V: ReadAt + ?Sized>(volume: &V, budget: &DiskBudget) -> Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    walk(volume, budget, &mut |met| {
        hasher.update(line(met, budget)?);
        Ok(Step::Into)
    })?;
    Ok(hasher.finalize().into())
}

fn line(met: &Met<'_>, budget: &DiskBudget) -> Result<String> {
    let path = &shown(met.path);
    let what = match met.kind {
        FileKind::Link { first, .. } => return Ok(format!("{path} = {}\n", shown(first))),
        FileKind::Directory => What::Directory,
        FileKind::File { len, content } => {
            What::File { len, data: None, sha256: Some(hash(len, content, budget)?) }
        }
        FileKind::Symlink(target) => What::Symlink(target),
        FileKind::Fifo => What::Fifo,
        FileKind::Socket => What::Socket,
        FileKind::CharDevice(device) => What::CharDevice(device),
        FileKind::BlockDevice(device) => What::BlockDevice(device),
    };
    Ok(Line { path, meta: met.meta, what }.to_string())
}

/// With each of its names escaped, as the dump has it.
fn shown(path: &[u8]) -> String {
    format!("/{}", escape(path))
}

/// The hash of a file's bytes, holes as zeros.
fn hash(len: u64, content: &dyn FileContent, budget: &DiskBudget) -> Result<[u8; 32]> {
    let (mut hasher, mut done) = (Sha256::new(), 0);
    content.data(&mut |at, bytes| {
        hole(at - done, &mut hasher, budget)?;
        hasher.update(bytes);
        done = at + bytes.len() as u64;
        Ok(())
    })?;
    hole(len.saturating_sub(done), &mut hasher, budget)?;
    Ok(hasher.finalize().into())
}

fn hole(len: u64, hasher: &mut Sha256, budget: &DiskBudget) -> Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    budget.read(len)?;
    let mut left = len;
    while left > 0 {
        let part = ZEROS.get(..left as usize).unwrap_or(&ZEROS);
        hasher.update(part);
        left -= part.len() as u64;
    }
    Ok(())
}
