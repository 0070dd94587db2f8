//! Extents: byte ranges of an image and where their bytes come from.
//!
//! A layout is a sequence of extents, made while it is gone over: a list of a million files would be larger
//! than what it follows from. Ranges that no extent covers are zero.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::read_at::Shared;
use crate::tree::{Archive, ArchiveFile, Content, HostFile, Joined};

/// `len` bytes at `offset` of an image, and their source.
#[derive(Clone, Debug)]
pub struct Extent {
    /// First byte, from the start of the image the extent belongs to.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
    /// Where the bytes come from.
    pub source: Backing,
}

/// Where the bytes of an extent come from.
#[derive(Clone)]
pub enum Backing {
    /// These bytes; the extent is as long as they are.
    Bytes(Arc<[u8]>),
    /// `len` bytes of a file of the tree, from `offset` of the file on.
    File {
        /// The file; it is opened when its bytes are wanted.
        file: HostFile,
        /// First byte in the file.
        offset: u64,
    },
    /// Bytes of a tar stream, decoded.
    Archive {
        /// The stream.
        archive: Arc<Archive>,
        /// First byte in the decoded stream.
        offset: u64,
    },
    /// Bytes of an image that is there already.
    Image {
        /// The image.
        image: Shared,
        /// First byte in it.
        offset: u64,
    },
    /// Bytes that a layout makes when they are wanted, so that memory does not grow with the image.
    Rendered {
        /// Who makes them.
        by: Arc<dyn Render>,
        /// Which ones: a number that means something to `by`.
        key: u64,
    },
    /// The bytes of other extents, changed when they are wanted.
    Transformed {
        /// All that touch the part, in the order of a content that begins at its own first byte; the first and the last may
        /// reach further, and what none covers is zero.
        of: Arc<[Extent]>,
        /// Who changes them.
        by: Arc<dyn Transform>,
        /// Where the part begins in that content, a multiple of the [`UNIT`].
        at: u64,
    },
}

/// A layout that makes parts of its metadata only when they are written.
pub trait Render: Send + Sync {
    /// Fill `out`, which is exactly the extent's length and zeroed, with the bytes for `key`.
    fn render(&self, key: u64, out: &mut [u8]);
}

/// What changes the bytes of a content, as many for as many, each unit by itself.
pub trait Transform: Send + Sync {
    /// Change `bytes`, which are whole [units](UNIT) from `at` of the content on.
    fn apply(&self, at: u64, bytes: &mut [u8]);
}

/// Bytes of a unit of every [`Transform`]. Chunks of the engine and the places of partitions are multiples of it.
pub const UNIT: u64 = 4096;

/// Extents sorted by offset and apart, the same each time they are gone over.
pub trait Extents: Send + Sync {
    /// Go over all of them.
    fn iter(&self) -> Box<dyn Iterator<Item = Extent> + Send + '_>;

    /// The ranges in bytes of which anything is ever read, sorted: those between them may be whatever they are. `None`: it is
    /// not known, and what no extent covers is to be zero.
    fn used(&self) -> Option<Vec<Range<u64>>> {
        None
    }
}

impl Extents for Vec<Extent> {
    fn iter(&self) -> Box<dyn Iterator<Item = Extent> + Send + '_> {
        Box::new(self.as_slice().iter().cloned())
    }
}

impl<const N: usize> Extents for [Extent; N] {
    fn iter(&self) -> Box<dyn Iterator<Item = Extent> + Send + '_> {
        Box::new(self.as_slice().iter().cloned())
    }
}

/// All of an image that is there already, in pieces; holes that it knows of are left out.
pub struct Whole(pub Shared);

/// Bytes of a piece of a whole image.
const PIECE: u64 = 1 << 20;

impl Extents for Whole {
    fn iter(&self) -> Box<dyn Iterator<Item = Extent> + Send + '_> {
        let mut at = 0;
        Box::new(std::iter::from_fn(move || {
            let Self(image) = self;
            let offset = image.data_from(at) / PIECE * PIECE;
            let offset = offset.max(at);
            let end = (offset / PIECE + 1).saturating_mul(PIECE).min(image.size());
            at = end;
            let source = Backing::Image { image: image.clone(), offset };
            (offset < end).then_some(Extent { offset, len: end.saturating_sub(offset), source })
        }))
    }
}

impl fmt::Debug for dyn Extents + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::File { file, offset } => write!(f, "File({:?} + {offset})", file.path()),
            Self::Archive { archive, offset } => write!(f, "Archive({:?} + {offset})", archive.shown()),
            Self::Image { offset, .. } => write!(f, "Image({offset})"),
            Self::Rendered { key, .. } => write!(f, "Rendered({key:#x})"),
            Self::Transformed { of, at, .. } => write!(f, "Transformed({} at {at})", of.len()),
        }
    }
}

impl Extent {
    /// An extent of literal bytes.
    pub fn bytes(offset: u64, bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { offset, len: bytes.len() as u64, source: Backing::Bytes(bytes) }
    }

    /// A whole file from `offset` on; holes give none.
    pub(crate) fn of_content(content: &Content, offset: u64) -> Vec<Self> {
        match content {
            Content::Bytes(bytes) => vec![Self::bytes(offset, Arc::clone(bytes))],
            Content::Host(file) => {
                let extent = |range: Range<u64>| Self {
                    offset: offset + range.start,
                    len: range.end - range.start,
                    source: Backing::File { file: file.clone(), offset: range.start },
                };
                file.data_ranges().into_iter().map(extent).collect()
            }
            Content::Archive(file) => file.extents(0..file.len(), offset).collect(),
            Content::Joined(files) => Self::of_joined(files, 0..files.len(), offset),
        }
    }

    /// `range` of a file from `offset` on, as it is read: holes of an archive's file give none, those of others zeroes.
    pub(crate) fn of_range(content: &Content, range: Range<u64>, offset: u64) -> Vec<Self> {
        let len = range.end - range.start;
        let source = match content {
            Content::Archive(file) => return file.extents(range, offset).collect(),
            Content::Joined(files) => return Self::of_joined(files, range, offset),
            Content::Host(file) => Backing::File { file: file.clone(), offset: range.start },
            Content::Bytes(bytes) if len == content.len() => Backing::Bytes(Arc::clone(bytes)),
            Content::Bytes(bytes) => Backing::Bytes(bytes[range.start as usize..range.end as usize].into()),
        };
        vec![Self { offset, len, source }]
    }

    fn of_joined(files: &Joined, range: Range<u64>, offset: u64) -> Vec<Self> {
        let extents = files.within(range).flat_map(|(at, range, part)| match range == (0..part.len()) {
            true => Self::of_content(part, offset + at),
            false => Self::of_range(part, range, offset + at),
        });
        extents.collect()
    }

    /// One past the last byte.
    pub fn end(&self) -> u64 {
        self.offset + self.len
    }

    /// What of it lies in `range` of the image. What is rendered is so if it is cut.
    pub(crate) fn within(self, range: &Range<u64>) -> Option<Self> {
        let (start, end) = (self.offset.max(range.start), self.end().min(range.end));
        if start >= end || (start, end) == (self.offset, self.end()) {
            return (start < end).then_some(self);
        }
        let (skip, len) = (start - self.offset, end - start);
        let cut = |bytes: &[u8]| Backing::Bytes(bytes[skip as usize..(skip + len) as usize].into());
        let source = match self.source {
            Backing::Bytes(bytes) => cut(&bytes),
            Backing::Rendered { by, key } => {
                let mut bytes = vec![0; self.len as usize];
                by.render(key, &mut bytes);
                cut(&bytes)
            }
            Backing::File { file, offset } => Backing::File { file, offset: offset + skip },
            Backing::Archive { archive, offset } => Backing::Archive { archive, offset: offset + skip },
            Backing::Image { image, offset } => Backing::Image { image, offset: offset + skip },
            Backing::Transformed { of, by, at } => {
                debug_assert!(skip % UNIT == 0, "what is transformed is cut between units");
                Backing::Transformed { of, by, at: at + skip }
            }
        };
        Some(Self { offset: start, len, source })
    }

    /// The same extent `by` bytes further on: a partition's layout placed on the disk.
    #[must_use]
    pub fn shifted(mut self, by: u64) -> Self {
        self.offset += by;
        self
    }
}

impl ArchiveFile {
    /// `range` of the file as extents of an image, its first byte at `offset`; holes give none.
    pub(crate) fn extents(&self, range: Range<u64>, offset: u64) -> impl Iterator<Item = Extent> + '_ {
        self.pieces().filter_map(move |piece| {
            let start = piece.start.max(range.start);
            let end = (piece.start + piece.len).min(range.end);
            let source = Backing::Archive {
                archive: Arc::clone(self.archive()),
                offset: piece.offset + (start - piece.start),
            };
            (start < end).then(|| Extent { offset: offset + (start - range.start), len: end - start, source })
        })
    }
}
