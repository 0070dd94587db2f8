//! What is pushed as a layer: read where it lies, once to know its digest and once to be sent.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use exporter::container::containerdisk;
use exporter::container::image::Blob;
use exporter::container::update;
use exporter::engine::Progress;
use sha2::{Digest, Sha256};

use super::disk::Disk;
use super::folder::UpdateFolder;
use super::medium::{self, MediumFolder};
use crate::base::{Error, Result};
use crate::source::registry::Content;

const BUFFER: usize = 1 << 20;

/// What a layer is made of.
pub(super) enum Sent {
    Disk(Disk),
    Update(UpdateFolder),
    Medium(MediumFolder),
}

impl Sent {
    /// What an image says that it has in its layer.
    pub(super) fn content(&self) -> &'static str {
        match self {
            Self::Disk(_) => containerdisk::CONTENT,
            Self::Update(_) => update::CONTENT,
            Self::Medium(_) => medium::CONTENT,
        }
    }

    /// When it was changed, in seconds since 1970.
    pub(super) fn changed(&self) -> i64 {
        match self {
            Self::Disk(disk) => disk.changed,
            Self::Update(update) => update.changed,
            Self::Medium(medium) => medium.changed,
        }
    }

    /// What messages call it.
    fn shown(&self) -> &str {
        match self {
            Self::Disk(disk) => &disk.shown,
            Self::Update(update) => &update.shown,
            Self::Medium(medium) => &medium.shown,
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::Disk(disk) => disk.size(),
            Self::Update(update) => update.archive.size(),
            Self::Medium(medium) => medium.archive.size(),
        }
    }

    fn reader(&self) -> Box<dyn Read + '_> {
        match self {
            Self::Disk(disk) => Box::new(disk.reader()),
            Self::Update(update) => Box::new(update.archive.reader()),
            Self::Medium(medium) => Box::new(medium.archive.reader()),
        }
    }
}

/// A layer, and what it comes from.
pub(super) struct SentLayer {
    pub(super) source: Sent,
    pub(super) blob: Blob,
}

impl SentLayer {
    /// Read all of it to know its digest.
    pub(super) fn new(source: Sent, progress: &dyn Fn(Progress)) -> Result<Self> {
        let total = source.size();
        let mut digest = Sha256::new();
        let mut done = 0;
        let mut buffer = vec![0; BUFFER];
        let mut reader = source.reader();
        loop {
            let len = match reader.read(&mut buffer).map_err(|error| unreadable(source.shown(), error))? {
                0 => break,
                len => len,
            };
            digest.update(&buffer[..len]);
            done += len as u64;
            progress(Progress { done: done.min(total), total });
        }
        drop(reader);
        Ok(Self { source, blob: Blob { digest: format!("sha256:{:x}", digest.finalize()), size: total } })
    }
}

impl Content for SentLayer {
    fn open(&self) -> Box<dyn Read + '_> {
        self.source.reader()
    }
}

/// A part of a file, from front to end.
pub(super) struct Section<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl<'a> Section<'a> {
    pub(super) fn new(file: &'a File, range: Range<u64>) -> Self {
        Self { file, at: range.start, end: range.end }
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = (self.end - self.at).min(buffer.len() as u64) as usize;
        match self.file.read_at(&mut buffer[..len], self.at)? {
            // Somebody else has cut it.
            0 if len > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            len => {
                self.at += len as u64;
                Ok(len)
            }
        }
    }
}

pub(super) fn unreadable(shown: &str, error: io::Error) -> Error {
    Error::user(format!("{shown}: cannot be read")).because(error)
}
