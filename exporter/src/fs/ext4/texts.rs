//! Texts in a file system that is there, and changes in them that keep their length. Nothing is trusted.

use std::collections::HashSet;

use super::format::Ino;
use super::volume::{InodeOnDisk, Volume};
use crate::clone::TEXT_MAX;
use crate::clone::patches::Patches;
use crate::error::Result;
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
) -> Result<(Patches, Vec<String>)> {
    let volume = Volume::open(volume)?;
    let (mut patches, mut edited) = (Patches::default(), Vec::new());
    let mut seen = HashSet::new();
    let mut todo = vec![(String::new(), Ino::ROOT)];
    while let Some((path, ino)) = todo.pop() {
        let inode = volume.inode(ino)?;
        if !seen.insert(ino) {
            continue;
        }
        if inode.is_directory() {
            let wanted =
                |name: &[u8]| path.is_empty().then(|| folders.iter().any(|folder| folder.as_bytes() == name));
            for (name, ino) in volume.entries(&inode)? {
                if wanted(&name).unwrap_or(true) || !volume.inode(ino)?.is_directory() {
                    let separator = if path.is_empty() { "" } else { "/" };
                    todo.push((format!("{path}{separator}{}", escape(&name)), ino));
                }
            }
        } else if let Some(text) = read(&volume, &inode)?
            && let Some(new_text) = edit(&text)
        {
            put(&volume, &inode, &text, new_text, &mut patches)?;
            edited.push(path);
        }
    }
    edited.sort();
    Ok((patches, edited))
}

/// The text of a file, by its path without links; `None` if there is no such file, or it is too large.
pub(crate) fn read_text<V: ReadAt + ?Sized>(volume: &V, path: &str) -> Result<Option<Vec<u8>>> {
    let volume = Volume::open(volume)?;
    let mut inode = volume.inode(Ino::ROOT)?;
    for name in path.split('/') {
        if !inode.is_directory() {
            return Ok(None);
        }
        let entries = volume.entries(&inode)?;
        match entries.iter().find(|(entry, _)| entry == name.as_bytes()) {
            Some((_, ino)) => inode = volume.inode(*ino)?,
            None => return Ok(None),
        }
    }
    read(&volume, &inode)
}

fn read<V: ReadAt + ?Sized>(volume: &Volume<'_, V>, inode: &InodeOnDisk) -> Result<Option<Vec<u8>>> {
    if inode.file_type() != InodeOnDisk::REGULAR || inode.size() > TEXT_MAX {
        return Ok(None);
    }
    let mut text = vec![0; inode.size() as usize];
    for_each_part(volume, inode, |place, range| volume.read_at(place, &mut text[range]))?;
    Ok(Some(text))
}

fn put<V: ReadAt + ?Sized>(
    volume: &Volume<'_, V>,
    inode: &InodeOnDisk,
    text: &[u8],
    new_text: Vec<u8>,
    patches: &mut Patches,
) -> Result<()> {
    for_each_part(volume, inode, |place, range| {
        if text[range.clone()] != new_text[range.clone()] {
            patches.put(place, new_text[range].to_vec());
        }
        Ok(())
    })
}

/// The parts of a file: their places on the volume, and which bytes of the file they are.
fn for_each_part<V: ReadAt + ?Sized>(
    volume: &Volume<'_, V>,
    inode: &InodeOnDisk,
    mut part: impl FnMut(u64, std::ops::Range<usize>) -> Result<()>,
) -> Result<()> {
    for extent in volume.extents(inode)?.iter().filter(|extent| extent.is_written) {
        let start = extent.logical * volume.block_size();
        let end = inode.size().min(start + extent.blocks * volume.block_size());
        if start < end {
            part(extent.physical.saturating_mul(volume.block_size()), start as usize..end as usize)?;
        }
    }
    Ok(())
}
