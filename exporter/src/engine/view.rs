//! Reading a planned image at any offset, without writing it.
//!
//! ```text
//! offset ─▶ the extents there ─▶ bytes in memory · a file of the tree · an image
//!                              ├▶ a tar: where it lies, or out of a temporary file that has it decoded
//!                              └▶ what a layout renders, of which the last is kept
//! ```
//!
//! Memory is that of the list of extents, about one for each file as the tree has it, and of what is kept. A compressed tar
//! is decoded when something of it is wanted for the first time, once, into a file without a name.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::RawImage;
use super::fill::{check_unchanged, fill, read};
use crate::error::{Error, Result};
use crate::extent::{Backing, Extent, Render, UNIT};
use crate::limits::BLOCKS_KEPT;
use crate::read_at::{ReadAt, check_range};
use crate::tree::{Archive, Compression, HostFile, Section};

/// Between two extents that are nearer to each other than this, no hole is told of.
const HOLE_MIN: u64 = 64 << 10;
/// Files of the tree that are open at a time.
const FILES: u64 = 64;

/// A planned image, read where its bytes come from. What has changed there since it was planned is an error.
pub struct View {
    size: u64,
    /// Sorted and apart.
    extents: Vec<Extent>,
    /// What they cover, but for small gaps.
    data: Vec<Range<u64>>,
    /// Compressed tars, by where they are in memory.
    streams: HashMap<usize, Stream>,
    files: Recent<HostFile, File>,
    /// By the offset of its extent.
    rendered: Recent<u64, Vec<u8>>,
    spool: PathBuf,
}

/// A compressed tar.
#[derive(Default)]
struct Stream {
    /// Bytes of it that the image has a use for.
    end: u64,
    decoded: Mutex<Option<Section>>,
}

impl View {
    /// Of `image`; large temporary files go into the folder `spool`.
    pub fn new(image: RawImage<'_>, spool: &Path) -> Self {
        let (mut streams, mut data) = (HashMap::<usize, Stream>::new(), Vec::<Range<u64>>::new());
        let mut extents = Vec::new();
        for extent in image.extents.iter().filter(|extent| extent.len > 0) {
            note_streams(&extent, &mut streams);
            match data.last_mut().filter(|last| extent.offset - last.end < HOLE_MIN) {
                Some(last) => last.end = extent.end(),
                None => data.push(extent.offset..extent.end()),
            }
            extents.push(extent);
        }
        extents.shrink_to_fit();
        Self {
            size: image.size,
            extents,
            data,
            streams,
            files: Recent::new(FILES),
            rendered: Recent::new(BLOCKS_KEPT),
            spool: spool.to_owned(),
        }
    }

    /// Fill `out` with the bytes of one extent from `skip` on.
    fn fill_part(&self, extent: &Extent, skip: u64, out: &mut [u8]) -> Result<()> {
        match &extent.source {
            Backing::Bytes(bytes) => out.copy_from_slice(&bytes[skip as usize..][..out.len()]),
            Backing::File { file, offset } => self.read_file(file, offset + skip, out)?,
            Backing::Archive { archive, offset } => self.read_archive(archive, offset + skip, out)?,
            Backing::Image { image, offset } => image.read_at(offset + skip, out)?,
            Backing::Rendered { by, key } => {
                let rendered =
                    self.rendered.get(&extent.offset, extent.len, || Ok(render(&**by, *key, extent.len)))?;
                out.copy_from_slice(&rendered[skip as usize..][..out.len()]);
            }
            Backing::Transformed { of, by, at } => {
                let start = extent.offset - at;
                let of: Vec<_> = of.iter().map(|extent| extent.clone().shifted(start)).collect();
                let from = skip - skip % UNIT;
                let until = (skip + out.len() as u64).next_multiple_of(UNIT).min(extent.len);
                let mut units = vec![0; (until - from) as usize];
                fill(extent.offset + from, &mut units, &of, |extent, skip, part| {
                    self.fill_part(extent, skip, part)
                })?;
                by.apply(at + from, &mut units);
                out.copy_from_slice(&units[(skip - from) as usize..][..out.len()]);
            }
        }
        Ok(())
    }

    /// Looked at after it was read: whoever writes changes its time first.
    fn read_file(&self, file: &HostFile, offset: u64, out: &mut [u8]) -> Result<()> {
        let opened = self.files.get(file, 1, || file.open())?;
        read(&opened, file, offset, out)?;
        check_unchanged(file, &opened)
    }

    fn read_archive(&self, archive: &Arc<Archive>, offset: u64, out: &mut [u8]) -> Result<()> {
        let Some(stream) = self.streams.get(&key(archive)) else {
            archive.read_at(offset, out)?;
            return archive.check_unchanged();
        };
        let mut decoded = stream.decoded.lock().unwrap_or_else(PoisonError::into_inner);
        let section = match &*decoded {
            Some(section) => section.clone(),
            None => decoded.insert(archive.decoded(stream.end, &self.spool)?).clone(),
        };
        drop(decoded);
        let read = section.read_exact_at(offset, out);
        read.map_err(|error| Error::io(archive.shown(), "cannot read its temporary file", error))
    }
}

/// Add the compressed tars that an extent is read from, and how far.
fn note_streams(extent: &Extent, streams: &mut HashMap<usize, Stream>) {
    match &extent.source {
        Backing::Archive { archive, offset } if archive.compression() != Compression::None => {
            let stream = streams.entry(key(archive)).or_default();
            stream.end = stream.end.max(offset + extent.len);
        }
        Backing::Transformed { of, .. } => of.iter().for_each(|extent| note_streams(extent, streams)),
        _ => {}
    }
}

/// What stands for an archive: extents keep it where it is for as long as there is a view.
fn key(archive: &Arc<Archive>) -> usize {
    Arc::as_ptr(archive).addr()
}

fn render(by: &dyn Render, key: u64, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    by.render(key, &mut bytes);
    bytes
}

impl ReadAt for View {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        check_range(self, offset, out.len())?;
        let end = offset + out.len() as u64;
        let first = self.extents.partition_point(|extent| extent.end() <= offset);
        let touching = self.extents[first..].iter().take_while(|extent| extent.offset < end);
        fill(offset, out, touching, |extent, skip, part| self.fill_part(extent, skip, part))
    }

    fn data_from(&self, offset: u64) -> u64 {
        let next = self.data.partition_point(|range| range.end <= offset);
        self.data.get(next).map_or(self.size, |range| range.start.max(offset))
    }

    fn hole_from(&self, offset: u64, until: u64) -> u64 {
        let at = self.data.partition_point(|range| range.end <= offset);
        let inside = self.data.get(at).filter(|range| range.start <= offset);
        inside.map_or(offset, |range| range.end).min(until)
    }
}

/// What was made last, for who wants it again: as much as has room.
struct Recent<K, V> {
    room: u64,
    /// With what each takes; the one used last is last.
    kept: Mutex<VecDeque<(K, u64, Arc<V>)>>,
}

impl<K: Clone + PartialEq, V> Recent<K, V> {
    fn new(room: u64) -> Self {
        Self { room, kept: Mutex::default() }
    }

    /// What belongs to `key`; if it is not kept, `make` makes it, which takes `weight`. One at a time, so that there is never
    /// more in memory than what is kept.
    fn get(&self, key: &K, weight: u64, make: impl FnOnce() -> Result<V>) -> Result<Arc<V>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().rposition(|(other, ..)| other == key).and_then(|at| kept.remove(at));
        let found = match found {
            Some(found) => found,
            None => {
                while !kept.is_empty()
                    && kept.iter().map(|(_, weight, _)| weight).sum::<u64>() + weight > self.room
                {
                    kept.pop_front();
                }
                (key.clone(), weight, Arc::new(make()?))
            }
        };
        let value = Arc::clone(&found.2);
        kept.push_back(found);
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
