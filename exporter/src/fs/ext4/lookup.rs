//! A file by its path, as a program on the machine would find it: links are followed, but never out of the file
//! system.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::format::Ino;
use super::volume::{InodeOnDisk, Volume};
use crate::error::Result;
use crate::fs::DiskBudget;
use crate::limits;
use crate::read_at::ReadAt;

/// The text of a file, by its path; `None` if there is no such file, or it is larger than `max`. A file system that
/// was not unmounted is read as it is, without its journal.
///
/// # Errors
/// `Unsupported` for features that are not read, `Corrupt` if what leads to the file breaks the format.
pub fn read_text<V: ReadAt + ?Sized>(
    volume: &V,
    path: &str,
    max: usize,
    budget: &DiskBudget,
) -> Result<Option<Vec<u8>>> {
    let volume = Volume::open_as_it_is(volume, budget)?;
    match find(&volume, path)? {
        Some(inode) => text(&volume, &inode, max),
        None => Ok(None),
    }
}

/// What is in a regular file that is not larger than `max`.
pub(super) fn text<V: ReadAt + ?Sized>(
    volume: &Volume<'_, V>,
    inode: &InodeOnDisk,
    max: usize,
) -> Result<Option<Vec<u8>>> {
    match inode.file_type() == InodeOnDisk::REGULAR && inode.size() <= max as u64 {
        true => volume.whole_content(inode, max).map(Some),
        false => Ok(None),
    }
}

fn find<V: ReadAt + ?Sized>(volume: &Volume<'_, V>, path: &str) -> Result<Option<InodeOnDisk>> {
    // The directories from the root to where the next name is looked for: `..` leads back.
    let mut above = vec![];
    let mut at = volume.inode(Ino::ROOT)?;
    let mut left: VecDeque<Vec<u8>> = names(path.as_bytes()).collect();
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == b".." {
            at = above.pop().unwrap_or(at);
            continue;
        }
        let Some(ino) = entry(volume, &at, &name)? else { return Ok(None) };
        let next = volume.inode(ino)?;
        if next.file_type() != InodeOnDisk::SYMLINK {
            above.push(std::mem::replace(&mut at, next));
            continue;
        }
        let target = volume.symlink_target(&next)?;
        links += 1;
        let len = target.len() + left.iter().map(Vec::len).sum::<usize>();
        if links > limits::SYMLINKS || len > limits::PATH {
            return Ok(None);
        }
        if target.starts_with(b"/") {
            at = above.drain(..).next().unwrap_or(at);
        }
        names(&target).rev().for_each(|name| left.push_front(name));
    }
    Ok(Some(at))
}

/// The names in a path that lead anywhere.
fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> + '_ {
    path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).map(<[u8]>::to_vec)
}

fn entry<V: ReadAt + ?Sized>(
    volume: &Volume<'_, V>,
    directory: &InodeOnDisk,
    wanted: &[u8],
) -> Result<Option<Ino>> {
    let mut found = None;
    if directory.is_directory() {
        volume.entries(directory, &mut |name, ino| {
            Ok(match name == wanted {
                true => {
                    found = Some(ino);
                    ControlFlow::Break(())
                }
                false => ControlFlow::Continue(()),
            })
        })?;
    }
    Ok(found)
}
