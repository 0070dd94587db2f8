//! An image as blocks, one after the other: of bytes that are read, or by the index of an update.

use std::ops::{Range, RangeInclusive};
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::container::update::{self, BLOCK, Entry};
use crate::engine::is_zero;
use crate::error::{Error, Kind, Result};
use crate::read_at::Shared;

/// Bytes of a block: a power of two of these.
pub const BLOCK_SIZES: RangeInclusive<usize> = 512..=PART;
/// Bytes that are read at once.
const PART: usize = 1 << 20;

/// An image, or parts of one.
#[derive(Clone)]
pub struct Blocks(Listing);

#[derive(Clone)]
enum Listing {
    Image { image: Shared, ranges: Vec<Range<u64>>, block_size: usize },
    Update { blocks: update::Blocks },
}

impl Blocks {
    /// The `ranges` of an image, each cut into blocks from its start on; the last of each may be shorter.
    ///
    /// # Errors
    /// [`Kind::Input`] for a block that is no power of two, or not one of the [`BLOCK_SIZES`].
    pub fn of_image(
        image: &Shared,
        ranges: impl IntoIterator<Item = Range<u64>>,
        block_size: usize,
    ) -> Result<Self> {
        if !block_size.is_power_of_two() || !BLOCK_SIZES.contains(&block_size) {
            let message = "a block has a power of two of bytes, from 512 to 1 MiB";
            return Err(Error::new(Kind::Input, "block size", message));
        }
        let ranges = ranges.into_iter().collect();
        Ok(Self(Listing::Image { image: image.clone(), ranges, block_size }))
    }

    /// Those of the root of an update.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for blocks of another size than updates have.
    pub fn of_update(blocks: update::Blocks, block_size: usize) -> Result<Self> {
        if block_size != BLOCK {
            let message = format!("blocks of an update have {BLOCK} bytes, and {block_size} are asked for");
            return Err(Error::new(Kind::Unsupported, "block size", message)
                .with_hint("leave it out, or name the disks that the updates were built with"));
        }
        Ok(Self(Listing::Update { blocks }))
    }

    /// Bytes of all blocks.
    pub fn size(&self) -> u64 {
        match &self.0 {
            Listing::Image { ranges, .. } => ranges.iter().map(|range| range.end - range.start).sum(),
            Listing::Update { blocks } => blocks.plain_bytes(),
        }
    }

    /// Whether it is known by an index, which says nothing of what a partition has behind the file system.
    pub fn is_update(&self) -> bool {
        matches!(self.0, Listing::Update { .. })
    }

    /// Only the first `size` bytes of an image that is one range.
    #[must_use]
    pub fn cut(mut self, size: u64) -> Self {
        if let Listing::Image { ranges, .. } = &mut self.0
            && let [range] = &mut ranges[..]
        {
            range.end = range.end.min(range.start.saturating_add(size));
        }
        self
    }
}

/// A block.
pub(super) struct Block<'a> {
    /// Bytes, unpacked.
    pub(super) len: usize,
    pub(super) what: What<'a>,
}

/// What is known of a block.
pub(super) enum What<'a> {
    /// It is a hole.
    Zero,
    Bytes(&'a [u8]),
    /// By an index, with the bytes of its frame.
    Listed {
        sha256: [u8; 32],
        frame_len: u64,
    },
}

impl Block<'_> {
    pub(super) fn is_zero(&self) -> bool {
        match self.what {
            What::Zero => true,
            What::Bytes(bytes) => is_zero(bytes),
            What::Listed { sha256, .. } => sha256 == digest_of_zeroes(self.len),
        }
    }

    pub(super) fn digest(&self) -> [u8; 32] {
        match self.what {
            What::Zero => digest_of_zeroes(self.len),
            What::Bytes(bytes) => Sha256::digest(bytes).into(),
            What::Listed { sha256, .. } => sha256,
        }
    }

    /// Whether both have the same bytes; only what is known by its digest alone is hashed for that.
    pub(super) fn is_same(&self, other: &Block<'_>) -> bool {
        if self.len != other.len {
            return false;
        }
        match (&self.what, &other.what) {
            (What::Zero, _) => other.is_zero(),
            (_, What::Zero) => self.is_zero(),
            (What::Bytes(one), What::Bytes(other)) => one == other,
            _ => self.digest() == other.digest(),
        }
    }
}

/// The digest of so many zeroes; that of whole blocks, of which there are many, is made once.
fn digest_of_zeroes(len: usize) -> [u8; 32] {
    static OF_BLOCK: LazyLock<[u8; 32]> = LazyLock::new(|| Sha256::digest([0; BLOCK]).into());
    if len == BLOCK { *OF_BLOCK } else { Sha256::digest(vec![0; len]).into() }
}

/// Goes over blocks from the first to the last.
pub(super) enum Cursor {
    Image(ImageCursor),
    Update(Box<dyn Iterator<Item = Result<(Entry, usize)>>>),
}

impl Cursor {
    pub(super) fn new(blocks: &Blocks) -> Result<Self> {
        Ok(match &blocks.0 {
            Listing::Image { image, ranges, block_size } => Self::Image(ImageCursor {
                image: image.clone(),
                ranges: ranges.iter().rev().cloned().collect(),
                block_size: *block_size,
                hole: 0..0,
                part: Vec::new(),
                used: 0,
            }),
            Listing::Update { blocks } => Self::Update(Box::new(blocks.entries()?)),
        })
    }

    /// The next block, whose bytes are there until the one behind it is asked for.
    pub(super) fn next(&mut self) -> Result<Option<Block<'_>>> {
        match self {
            Self::Image(cursor) => cursor.next(),
            Self::Update(entries) => {
                let Some((entry, len)) = entries.next().transpose()? else { return Ok(None) };
                let what = What::Listed { sha256: entry.sha256, frame_len: u64::from(entry.frame_len.get()) };
                Ok(Some(Block { len, what }))
            }
        }
    }
}

pub(super) struct ImageCursor {
    image: Shared,
    /// What was not read yet, the next range last; none is empty once it was looked at.
    ranges: Vec<Range<u64>>,
    block_size: usize,
    /// The hole that was found last: to look for its end anew at each block would take as long as it has blocks.
    hole: Range<u64>,
    /// What was read last, and how much of it was handed out.
    part: Vec<u8>,
    used: usize,
}

impl ImageCursor {
    fn next(&mut self) -> Result<Option<Block<'_>>> {
        if self.used == self.part.len() {
            while self.ranges.pop_if(|range| range.is_empty()).is_some() {}
            let Some(range) = self.ranges.last_mut() else { return Ok(None) };
            let left = range.end - range.start;
            let next = left.min(self.block_size as u64);
            if !self.hole.contains(&range.start) {
                self.hole = range.start..self.image.data_from(range.start);
            }
            if self.hole.end >= range.start + next {
                range.start += next;
                return Ok(Some(Block { len: next as usize, what: What::Zero }));
            }
            self.part.resize(left.min(PART as u64) as usize, 0);
            self.image.read_at(range.start, &mut self.part)?;
            range.start += self.part.len() as u64;
            self.used = 0;
        }
        let start = self.used;
        self.used = self.part.len().min(start + self.block_size);
        let bytes = &self.part[start..self.used];
        Ok(Some(Block { len: bytes.len(), what: What::Bytes(bytes) }))
    }
}
