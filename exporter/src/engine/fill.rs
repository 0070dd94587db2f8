//! Extents → bytes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use super::{CHUNK, Sink};
use crate::error::{Error, Kind, Result, show_size};
use crate::extent::{Backing, Extent, Render};
use crate::tree::HostFile;

/// Makes bytes of extents; keeps the file of the last one open, and what was rendered of the last one that lies in
/// several chunks, since the next part is often asked next.
pub(super) struct Filler<'a> {
    /// Who may share the bytes of files instead.
    sharer: Option<&'a dyn Sink>,
    open: Option<(HostFile, File)>,
    rendered: Rendered,
    /// The same of what is larger than a chunk: all workers have parts of it, and it is in memory once.
    large: &'a Mutex<Rendered>,
}

/// The bytes of a rendered extent.
#[derive(Default)]
pub(super) struct Rendered {
    /// Of the extent.
    offset: Option<u64>,
    bytes: Vec<u8>,
}

impl Rendered {
    /// Fill `out` with the bytes of `extent` from `skip` on.
    fn copy(&mut self, extent: &Extent, (by, key): (&dyn Render, u64), skip: u64, out: &mut [u8]) {
        if self.offset != Some(extent.offset) {
            self.bytes.clear();
            self.bytes.resize(extent.len as usize, 0);
            by.render(key, &mut self.bytes);
            self.offset = Some(extent.offset);
        }
        out.copy_from_slice(&self.bytes[skip as usize..][..out.len()]);
    }
}

impl<'a> Filler<'a> {
    pub(super) fn new(sharer: Option<&'a dyn Sink>, large: &'a Mutex<Rendered>) -> Self {
        Self { sharer, open: None, rendered: Rendered::default(), large }
    }

    /// Fill `out` with the bytes of the image from `offset` on; `extents` are all that touch it.
    pub(super) fn fill(&mut self, offset: u64, out: &mut [u8], extents: &[Extent]) -> Result<()> {
        fill(offset, out, extents, |extent, skip, part| self.fill_part(extent, skip, part))
    }

    /// Fill `out` with the bytes of one extent from `skip` on.
    fn fill_part(&mut self, extent: &Extent, skip: u64, out: &mut [u8]) -> Result<()> {
        match &extent.source {
            Backing::Bytes(bytes) => out.copy_from_slice(&bytes[skip as usize..][..out.len()]),
            Backing::File { file, offset } => {
                self.fill_from(file, offset + skip, extent.offset + skip, out)?
            }
            Backing::Archive { archive, offset } => archive.read_at(offset + skip, out)?,
            Backing::Image { image, offset } => image.read_at(offset + skip, out)?,
            Backing::Rendered { by, key } if out.len() as u64 == extent.len => {
                out.fill(0);
                by.render(*key, out);
            }
            Backing::Rendered { by, key } if extent.len > CHUNK as u64 => {
                let mut large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
                large.copy(extent, (&**by, *key), skip, out);
            }
            Backing::Rendered { by, key } => self.rendered.copy(extent, (&**by, *key), skip, out),
            Backing::Transformed { of, by, at } => {
                // Where the content that is changed begins in the image, in which no byte of it lies as it is.
                let start = extent.offset - at;
                let of: Vec<_> = of.iter().map(|extent| extent.clone().shifted(start)).collect();
                self.fill_unshared(extent.offset + skip, out, &of)?;
                by.apply(at + skip, out);
            }
        }
        Ok(())
    }

    /// The same as [`fill`](Self::fill), with bytes that are changed before anybody takes them.
    fn fill_unshared(&mut self, offset: u64, out: &mut [u8], extents: &[Extent]) -> Result<()> {
        let sharer = self.sharer.take();
        let filled = self.fill(offset, out, extents);
        self.sharer = sharer;
        filled
    }

    /// Fill `out`, which is what the image has at `at`, with the bytes of a file from `offset` on; with
    /// zeroes where they are shared.
    fn fill_from(&mut self, file: &HostFile, offset: u64, at: u64, out: &mut [u8]) -> Result<()> {
        let sharer = self.sharer;
        let opened = self.open(file)?;
        let shared = sharer.map_or(0..0, |sink| sink.share(opened, offset, at, out.len() as u64));
        let (front, rest) = out.split_at_mut(shared.start as usize);
        let (middle, back) = rest.split_at_mut((shared.end - shared.start) as usize);
        read(opened, file, offset, front)?;
        middle.fill(0);
        read(opened, file, offset + shared.end, back)
    }

    fn open(&mut self, file: &HostFile) -> Result<&File> {
        let is_open = self.open.as_ref().is_some_and(|(open, _)| open == file);
        if !is_open {
            let opened = file.open()?;
            check_unchanged(file, &opened)?;
            self.open = Some((file.clone(), opened));
        }
        let (_, opened) = self.open.as_ref().expect("the file was opened above");
        Ok(opened)
    }
}

/// Fill `out` with the bytes of an image from `offset` on: `fill_part` has those of one extent from some byte on, and what
/// none of `extents` covers is zero.
pub(super) fn fill<'e>(
    offset: u64,
    out: &mut [u8],
    extents: impl IntoIterator<Item = &'e Extent>,
    mut fill_part: impl FnMut(&Extent, u64, &mut [u8]) -> Result<()>,
) -> Result<()> {
    let end = offset + out.len() as u64;
    let mut filled = 0;
    for extent in extents {
        let from = extent.offset.max(offset);
        let to = extent.end().min(end);
        if from >= to {
            continue;
        }
        let (start, stop) = ((from - offset) as usize, (to - offset) as usize);
        out[filled..start].fill(0);
        fill_part(extent, from - extent.offset, &mut out[start..stop])?;
        filled = stop;
    }
    out[filled..].fill(0);
    Ok(())
}

/// That a file is still what it was when the image was planned.
pub(super) fn check_unchanged(planned: &HostFile, opened: &File) -> Result<()> {
    let now =
        opened.metadata().map_err(|error| Error::io(planned.path(), "cannot look at the file", error))?;
    if planned.is_unchanged(&now) {
        return Ok(());
    }
    Err(changed(planned, if now.is_file() { now.len() } else { 0 }))
}

pub(super) fn read(opened: &File, planned: &HostFile, offset: u64, out: &mut [u8]) -> Result<()> {
    opened.read_exact_at(out, offset).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => changed(planned, opened.metadata().map_or(0, |now| now.len())),
        _ => Error::io(planned.path(), "cannot read the file", error),
    })
}

fn changed(planned: &HostFile, now: u64) -> Error {
    let (was, now) = (show_size(planned.len()), show_size(now));
    let how = if was == now { String::new() } else { format!(", from {was} to {now}") };
    Error::new(Kind::Input, planned.path(), format!("the file changed while it was read{how}"))
        .with_hint("build again while nothing writes to these files")
}
