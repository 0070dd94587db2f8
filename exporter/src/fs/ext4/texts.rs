//! Changes in the texts of a file system that is there, which keep their length. Nothing is trusted.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::format::Ino;
use super::lookup::text;
use super::volume::{Extent, InodeOnDisk, Volume, unsupported};
use crate::error::Result;
use crate::fs::DiskBudget;
use crate::limits;
use crate::patches::Patches;
use crate::read_at::ReadAt;
use crate::tree::escape;

/// What gives a text another one of the same length, if it does.
pub(crate) type Edit<'a> = dyn Fn(&[u8]) -> Option<Vec<u8>> + 'a;

/// Edit the texts in some folders of the root, and in the root itself what lies in no folder. Returns what to
/// change, and the paths of the files that are changed.
pub(crate) fn edit_texts<V: ReadAt + ?Sized>(
    volume: &V,
    folders: &[&str],
    edit: &Edit<'_>,
    budget: &DiskBudget,
) -> Result<(Patches, Vec<String>)> {
    let volume = Volume::open(volume, budget)?;
    let (mut patches, mut edited) = (Patches::default(), Vec::new());
    let mut seen = HashSet::new();
    let mut todo = vec![(String::new(), Ino::ROOT)];
    while let Some((path, ino)) = todo.pop() {
        budget.release(path.len() as u64);
        let inode = volume.inode(ino)?;
        if !seen.insert(ino) {
            continue;
        }
        if inode.is_directory() {
            let wanted =
                |name: &[u8]| path.is_empty().then(|| folders.iter().any(|folder| folder.as_bytes() == name));
            volume.entries(&inode, &mut |name, ino| {
                if wanted(name).unwrap_or(true) || !volume.inode(ino)?.is_directory() {
                    let separator = if path.is_empty() { "" } else { "/" };
                    todo.push((keep(format!("{path}{separator}{}", escape(name)), budget)?, ino));
                }
                Ok(ControlFlow::Continue(()))
            })?;
        } else if let Some(text) = text(&volume, &inode, limits::TEXT as usize)?
            && let Some(new_text) = edit(&text)
        {
            put(&volume, &inode, &text, &new_text, &mut patches)?;
            edited.push(keep(path, budget)?);
        }
    }
    edited.sort();
    Ok((patches, edited))
}

/// The path, which is kept from now on.
fn keep(path: String, budget: &DiskBudget) -> Result<String> {
    if path.len() > limits::PATH {
        return Err(unsupported(format!("a path is longer than {} bytes", limits::PATH)));
    }
    budget.keep(path.len() as u64)?;
    Ok(path)
}

fn put<V: ReadAt + ?Sized>(
    volume: &Volume<'_, V>,
    inode: &InodeOnDisk,
    text: &[u8],
    new_text: &[u8],
    patches: &mut Patches,
) -> Result<()> {
    // What lies in an inode is under its checksum, and such file systems get no other UUID.
    for extent in volume.extents(inode) {
        let extent = extent?;
        let place = extent.physical.saturating_mul(volume.block_size());
        let part = |text: &[u8]| part_of(text, &extent, volume.block_size());
        let (old, new) = (part(text), part(new_text));
        if extent.is_written && old != new {
            volume.budget().keep(new.len() as u64)?;
            patches.put(place, new);
        }
    }
    Ok(())
}

/// The bytes of a text that lie in an extent.
fn part_of(text: &[u8], extent: &Extent, block_size: u64) -> Vec<u8> {
    let start = extent.logical.saturating_mul(block_size).min(text.len() as u64);
    let end = start.saturating_add(extent.blocks.saturating_mul(block_size)).min(text.len() as u64);
    text.get(start as usize..end as usize).unwrap_or_default().to_vec()
}
