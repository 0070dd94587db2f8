//! A partition that has its content, and is written later → its root hash, and the hash partition beside it.
//!
//! The boot loader lies in front of the root and names the root hash, and a disk may be a stream. So the root is gone over
//! once before it is written: its digests go into a file without a name, which the hash partition is then made of.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use zerocopy::IntoBytes;

use super::format::Superblock;
use super::{BLOCK, DIGEST, Salt, Tree, digest, tree_len};
use crate::engine::{self, Chunk, RawImage, Run, Sink, Stored, is_zero};
use crate::error::{Error, Kind, Result};
use crate::extent::{Backing, Extent, Extents};
use crate::fs::Contents;
use crate::read_at::{ReadAt, check_range};
use crate::seed::Uuid;

/// The digest that all of a partition follows from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RootHash(pub [u8; DIGEST]);

impl RootHash {
    /// As long as any other; it stands for one that is not known yet.
    pub const UNKNOWN: Self = Self([0; DIGEST]);

    /// The UUIDs that the partitions of the data and of the hashes have of it, by which whoever knows it finds them
    /// (Discoverable Partitions Specification, "Verity").
    pub fn partitions(self) -> [Uuid; 2] {
        let (halves, _) = self.0.as_chunks::<16>();
        [Uuid(halves[0]), Uuid(halves[1])]
    }
}

impl fmt::Display for RootHash {
    /// In hexadecimal, as `roothash=` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Data with its hashes.
#[derive(Debug)]
pub struct Sealed {
    /// What whoever starts it has to know.
    pub root_hash: RootHash,
    /// What is in the hash partition.
    pub hashes: Contents,
}

impl Sealed {
    /// The data with its hashes behind it, as one content, which is checked by whoever knows where that data ends.
    pub fn behind(self, data: Contents) -> Contents {
        let (at, hashes) = (data.size, self.hashes);
        let size = at + hashes.size;
        Contents { size, extents: Box::new(Joined { data: data.extents, hashes: hashes.extents, at }) }
    }
}

/// Hashes behind their data.
struct Joined {
    data: Box<dyn Extents>,
    hashes: Box<dyn Extents>,
    /// Where they begin.
    at: u64,
}

impl Extents for Joined {
    fn iter(&self) -> Box<dyn Iterator<Item = Extent> + Send + '_> {
        let hashes = self.hashes.iter().map(|extent| extent.shifted(self.at));
        Box::new(self.data.iter().chain(hashes))
    }
}

/// Bytes of the hash partition of `len` bytes of data, which are whole blocks.
pub fn partition_len(len: u64) -> u64 {
    BLOCK as u64 + tree_len(len.div_ceil(BLOCK as u64))
}

/// Bytes of `len` bytes of data with their hashes behind them.
pub fn joined_len(len: u64) -> u64 {
    len.checked_next_multiple_of(BLOCK as u64).unwrap_or(len).saturating_add(partition_len(len))
}

/// The most bytes of data, in whole blocks, that have room in `size` bytes with their hashes behind them.
pub fn data_len(size: u64) -> u64 {
    let (mut fitting, mut too_many) = (0, size / BLOCK as u64 + 1);
    while too_many - fitting > 1 {
        let between = fitting + (too_many - fitting) / 2;
        if joined_len(between * BLOCK as u64) <= size {
            fitting = between;
        } else {
            too_many = between;
        }
    }
    fitting * BLOCK as u64
}

/// Hash `data`: its blocks and the zeroes in it, whether an extent covers them or not. The digests lie in a file without a
/// name in the folder of `run`.
///
/// # Errors
/// If it is not of whole blocks, cannot be read, or the digests cannot be kept.
pub fn seal(data: &Contents, salt: &Salt, uuid: Uuid, run: &Run<'_>) -> Result<Sealed> {
    let Contents { size, extents } = data;
    if *size == 0 || !size.is_multiple_of(BLOCK as u64) {
        let message = format!("{size} bytes are not of whole blocks of {BLOCK}");
        return Err(Error::new(Kind::Input, "verity", message));
    }
    let blocks = size / BLOCK as u64;
    let spill = Spill::new(run, tree_len(blocks))?;
    let mut write = |block: &[u8], at| spill.write(block, at);
    let hashes = Hashes::new(blocks, salt, &mut write);
    engine::run(RawImage { size: *size, extents: &**extents }, &[&hashes], run)?;
    let root_hash = RootHash(hashes.close()?);
    let hashes = spill.behind(&Superblock::new(blocks, salt, uuid));
    Ok(Sealed { root_hash, hashes })
}

/// Hashes the blocks that it is given, and those in between, which are zero.
struct Hashes<'a> {
    salt: &'a Salt,
    /// The digest of a block of zeroes.
    zero: [u8; DIGEST],
    /// Blocks of data.
    blocks: u64,
    grown: Mutex<Grown<'a>>,
}

struct Grown<'a> {
    tree: Tree<'a>,
    /// Blocks that are in it.
    done: u64,
}

impl<'a> Hashes<'a> {
    fn new(
        blocks: u64,
        salt: &'a Salt,
        write: &'a mut (dyn FnMut(&[u8], u64) -> Result<()> + Send + 'a),
    ) -> Self {
        let grown = Mutex::new(Grown { tree: Tree::new(blocks, salt, write), done: 0 });
        Self { salt, zero: digest(salt, &[0; BLOCK]), blocks, grown }
    }

    fn close(self) -> Result<[u8; DIGEST]> {
        let Self { zero, blocks, grown, .. } = self;
        let mut grown = grown.into_inner().unwrap_or_else(PoisonError::into_inner);
        grown.zeroes(blocks, &zero)?;
        grown.tree.finish()
    }
}

impl Grown<'_> {
    /// Have zeroes up to this block.
    fn zeroes(&mut self, end: u64, zero: &[u8; DIGEST]) -> Result<()> {
        (self.done..end).try_for_each(|_| self.tree.push(zero))?;
        self.done = self.done.max(end);
        Ok(())
    }
}

impl Sink for Hashes<'_> {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let of = |block: &[u8]| if is_zero(block) { self.zero } else { digest(self.salt, block) };
        stored.packed.extend(chunk.bytes().chunks_exact(BLOCK).flat_map(of));
        Ok(())
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let mut grown = self.grown.lock().unwrap_or_else(PoisonError::into_inner);
        grown.zeroes(chunk.offset / BLOCK as u64, &self.zero)?;
        let (digests, _) = stored.packed.as_chunks::<DIGEST>();
        digests.iter().try_for_each(|digest| grown.tree.push(digest))?;
        grown.done += digests.len() as u64;
        Ok(())
    }

    /// The tree is [closed](Hashes::close) by whoever wants its root.
    fn finish(&self) -> Result<()> {
        Ok(())
    }
}

/// The tree, until it is written.
struct Spill {
    file: File,
    /// Where it lies, for messages.
    place: String,
    /// Bytes of it.
    len: u64,
}

impl Spill {
    fn new(run: &Run<'_>, len: u64) -> Result<Self> {
        let place = run.spool.display().to_string();
        let made = tempfile::tempfile_in(run.spool);
        let file = made.map_err(|error| Error::io(&place, "cannot make a temporary file", error))?;
        Ok(Self { file, place, len })
    }

    fn write(&self, block: &[u8], at: u64) -> Result<()> {
        let written = self.file.write_all_at(block, at);
        written.map_err(|error| Error::io(&self.place, "cannot write the temporary file", error))
    }

    /// The partition of it.
    fn behind(self, superblock: &Superblock) -> Contents {
        let (at, len) = (BLOCK as u64, self.len);
        let tree = Backing::Image { image: Arc::new(self), offset: 0 };
        let tree = (len > 0).then_some(Extent { offset: at, len, source: tree });
        let extents: Vec<_> = std::iter::once(Extent::bytes(0, superblock.as_bytes())).chain(tree).collect();
        Contents { size: at + len, extents: Box::new(extents) }
    }
}

impl ReadAt for Spill {
    fn size(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        check_range(self, offset, out.len())?;
        let read = self.file.read_exact_at(out, offset);
        read.map_err(|error| Error::io(&self.place, "cannot read the temporary file again", error))
    }
}
