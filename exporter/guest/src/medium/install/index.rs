//! `disk.index`, as the index of an update has it: what each block of 64 KiB is. It is read a page at a time, so that a disk of
//! terabytes takes no more memory than a small one.
//!
//! ```text
//! first:     page ▶ page ▶ …   its lengths are checked, its digest is taken, and that of each page is kept
//! later:     page ▶ page ▶ …   is what it was, or the medium lies
//! ```

use std::io::Read;
use std::ops::Range;

use sha2::{Digest, Sha256};
use zerocopy::FromBytes;

use super::image::Image;
use crate::update::index::{BLOCK, ENTRY, Entry, FRAME_MAX};
use crate::update::source::Source;
use crate::update::sums::{Sha, sha};

/// Blocks of a page: 256 MiB of the disk.
const PAGE: u64 = 4096;
/// Bytes of an index that is kept as a whole, from a server that has no ranges: that of a disk of 116 GiB.
const ALL_MAX: u64 = 64 << 20;

/// What is kept of it.
#[derive(Debug)]
pub(super) struct Index<'a> {
    image: &'a Image,
    pages: Vec<Page>,
    /// Bytes of all frames.
    frames: u64,
    /// All of it, if no part of it can be had alone.
    all: Option<Vec<u8>>,
    /// The digest of a block of zeroes, and of the last one if that is of zeroes.
    zeroes: [Sha; 2],
}

#[derive(Debug)]
struct Page {
    sha: Sha,
    /// Where its first frame begins in the file.
    frames: u64,
}

/// Some blocks, one after the other.
#[derive(Debug)]
pub(super) struct Blocks {
    /// The number of the first.
    pub(super) first: u64,
    pub(super) blocks: Vec<Block>,
}

/// What is known of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) sha: Sha,
    pub(super) is_zero: bool,
    /// Where it lies on the disk, in bytes.
    pub(super) place: Range<u64>,
    /// Where its frame lies in the file.
    pub(super) frame: Range<u64>,
}

impl<'a> Index<'a> {
    /// Reads all of it.
    ///
    /// # Errors
    /// If it is none of this disk, or another one than the medium says.
    pub(super) fn read(image: &'a Image, source: &mut dyn Source) -> Result<Self, String> {
        let last = (image.bytes % BLOCK as u64) as usize;
        let zeroes = [BLOCK, last].map(|len| sha(&[0; BLOCK][..len]));
        let mut index = Self { image, pages: Vec::new(), frames: 0, all: None, zeroes };
        let (mut digest, mut kept) = (Sha256::new(), Vec::new());
        let len = index.len() * ENTRY as u64;
        let is_kept = !source.has_ranges();
        if is_kept && len > ALL_MAX {
            return Err(format!(
                "{}: has {len} bytes, which a server without ranges cannot give in parts\nhint: take a server that knows \
                 ranges: nginx, or vmimage serve pxe",
                image.index
            ));
        }
        let mut reader = source.open(&image.index, 0..len)?;
        for first in (0..index.len()).step_by(PAGE as usize) {
            let bytes = index.bytes(first, &mut *reader)?;
            digest.update(&bytes);
            if is_kept {
                kept.extend_from_slice(&bytes);
            }
            index.pages.push(Page { sha: sha(&bytes), frames: index.frames });
            let blocks = index.blocks(first, &bytes, index.frames)?;
            index.frames = blocks.blocks.last().map_or(index.frames, |block| block.frame.end);
        }
        drop(reader);
        index.all = is_kept.then_some(kept);
        match image.index_sha {
            Some(expected) if Sha::from(digest.finalize()) != expected => Err(format!(
                "{}: is not the one that medium.json names\nhint: the medium is damaged, or has files of two builds: make \
                 it anew",
                image.index
            )),
            _ => Ok(index),
        }
    }

    /// How many pages there are.
    pub(super) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The blocks of a page, read once more; from `source`, if it has ranges.
    ///
    /// # Errors
    /// If it cannot be read, or is not what it was.
    pub(super) fn page(&self, page: usize, source: Option<&mut dyn Source>) -> Result<Blocks, String> {
        let name = &self.image.index;
        let known = self.pages.get(page).ok_or_else(|| format!("{name}: has no page {page}"))?;
        let first = page as u64 * PAGE;
        let place = first * ENTRY as u64..self.len().min(first + PAGE) * ENTRY as u64;
        let bytes = match source {
            Some(source) if self.all.is_none() => self.bytes(first, &mut *source.open(name, place)?)?,
            _ => {
                let all = self.all.as_deref().unwrap_or_default();
                all.get(place.start as usize..place.end as usize).unwrap_or_default().to_vec()
            }
        };
        match sha(&bytes) == known.sha {
            true => self.blocks(first, &bytes, known.frames),
            false => Err(format!(
                "{name}: is another one than before\nhint: somebody changes the medium while it is read"
            )),
        }
    }

    /// How many blocks there are.
    pub(super) fn len(&self) -> u64 {
        self.image.bytes.div_ceil(BLOCK as u64)
    }

    /// Bytes of all frames.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// The bytes of the page that begins with block `first`.
    fn bytes(&self, first: u64, reader: &mut dyn Read) -> Result<Vec<u8>, String> {
        let count = PAGE.min(self.len() - first) as usize;
        let mut bytes = vec![0; count * ENTRY];
        reader.read_exact(&mut bytes).map_err(|error| format!("{}: {error}", self.image.index))?;
        Ok(bytes)
    }

    fn blocks(&self, first: u64, bytes: &[u8], frames: u64) -> Result<Blocks, String> {
        let entries = bytes.chunks_exact(ENTRY).filter_map(|bytes| Entry::read_from_bytes(bytes).ok());
        let mut frames = frames;
        let blocks = (first..).zip(entries).map(|(number, entry)| {
            let start = number * BLOCK as u64;
            let place = start..self.image.bytes.min(start + BLOCK as u64);
            let plain = place.end - place.start;
            let len = u64::from(entry.frame_len.get());
            let is_possible = match self.image.is_packed {
                true => (1..=FRAME_MAX as u64).contains(&len),
                false => len == plain,
            };
            if !is_possible {
                let name = &self.image.index;
                return Err(format!("{name}: block {number} has {plain} bytes, and a frame of {len}"));
            }
            let frame = frames..frames + len;
            frames = frame.end;
            let is_zero = entry.sha256 == self.zeroes[usize::from(plain < BLOCK as u64)];
            Ok(Block { sha: entry.sha256, is_zero, place, frame })
        });
        Ok(Blocks { first, blocks: blocks.collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Medium;
    use super::*;
    use crate::update::source::open_folder;

    #[test]
    fn a_page_is_what_it_was_or_the_medium_lies() {
        let bytes = vec![7; 16 * BLOCK];
        let medium = Medium::new(&bytes, true);
        let image = medium.image();
        let index = Index::read(&image, &mut *medium.source()).unwrap();
        let blocks = index.page(0, Some(&mut *medium.source())).unwrap();
        assert_eq!((blocks.first, blocks.blocks.len()), (0, 16));
        assert_eq!(blocks.blocks[2].place, 2 * BLOCK as u64..3 * BLOCK as u64);
        assert_eq!(index.pages(), 1);
        medium.change("disk.index", |bytes| bytes[40] ^= 1);
        let said = index.page(0, Some(&mut *medium.source())).unwrap_err();
        assert!(said.contains("is another one than before"), "{said}");
        let said = Index::read(&image, &mut *medium.source()).unwrap_err();
        assert!(said.contains("is not the one that medium.json names"), "{said}");
    }

    #[test]
    fn pages_follow_one_another() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = PAGE + 2;
        let mut bytes = Vec::new();
        for number in 0..blocks {
            bytes.extend(sha(&number.to_le_bytes()));
            bytes.extend(9_u32.to_le_bytes());
        }
        std::fs::write(folder.path().join("disk.index"), bytes).unwrap();
        let image = Image {
            file: "disk.zst".to_owned(),
            index: "disk.index".to_owned(),
            bytes: blocks * BLOCK as u64,
            is_packed: true,
            index_sha: None,
            sector: 512,
        };
        let mut source = open_folder(folder.path());
        let index = Index::read(&image, &mut *source).unwrap();
        assert_eq!(index.page(0, Some(&mut *source)).unwrap().blocks.len() as u64, PAGE);
        let last = index.page(1, Some(&mut *source)).unwrap();
        assert_eq!((last.first, last.blocks.len()), (PAGE, 2));
        assert_eq!(last.blocks[1].frame, (PAGE + 1) * 9..(PAGE + 2) * 9);
        assert!(index.page(2, Some(&mut *source)).is_err());
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let bytes = vec![7; 16 * BLOCK];
        for (is_packed, len, is_right) in [
            (true, 1_u32, true),
            (true, FRAME_MAX as u32, true),
            (true, 0, false),
            (true, FRAME_MAX as u32 + 1, false),
            (true, u32::MAX, false),
            (false, BLOCK as u32, true),
            (false, BLOCK as u32 - 1, false),
        ] {
            let medium = Medium::new(&bytes, is_packed);
            medium.change("disk.index", |bytes| bytes[32..36].copy_from_slice(&len.to_le_bytes()));
            let image = Image { index_sha: None, ..medium.image() };
            let read = Index::read(&image, &mut *medium.source());
            assert_eq!(read.is_ok(), is_right, "{len}: {read:?}");
        }
        let medium = Medium::new(&bytes, false);
        medium.change("disk.index", |bytes| bytes.truncate(16 * ENTRY - 1));
        let said = Index::read(&medium.image(), &mut *medium.source()).unwrap_err();
        assert!(said.contains("cut short"), "{said}");
    }
}
