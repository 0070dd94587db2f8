//! What a build says of where its files lie, for the next one to keep to.
//!
//! ```text
//! magic ┊ header │ a record for each inode, by number │ all runs │ all blocks of extent trees
//!       ┊ in one frame of zstd
//! ```
//!
//! Numbers are differences to those before: of what lies in a row they are the same, and packed they are next to nothing.
//! Paths are in it as digests, so that a record has a fixed size, and nobody learns the names of the files from it.

use std::io::Read;

use sha2::{Digest, Sha256};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::alloc::Places;
use super::census::Census;
use super::extent_tree::Run;
use super::format::{EXTENT_BLOCKS_MAX, Ino};
use super::plan::Ext4Plan;
use crate::error::{Error, Kind, Result};
use crate::seed::Uuid;
use crate::tree::Tree;

/// The most bytes of one, packed; a root of 50,000 files has about half a megabyte.
pub const PACKED_MAX: u64 = 64 << 20;
/// The same unpacked: for some seven million files.
const PLAIN_MAX: u64 = 256 << 20;
/// What it begins with.
const MAGIC: [u8; 8] = *b"vmiplace";
/// Of what is written here.
const FORMAT: u32 = 1;
/// As in other containers: more packs no better.
const ZSTD_LEVEL: i32 = 3;
/// What messages call it.
const PLACE: &str = "placement";

/// The begin of a path's SHA-256. Two with the same are kept apart by what follows: no block is given away twice.
pub(super) type PathDigest = [u8; 8];

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    uuid: [u8; 16],

    hash_seed: [u8; 16],

    format: U32,
    blocks: U32,
    inodes_per_group: U32,
    records: U32,

    runs: U32,
    tree_blocks: U32,
}

const _: () = assert!(size_of::<Header>() == 56);

/// An inode. Its runs and blocks come after those of the inodes before it.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Record {
    path: PathDigest,
    /// Less that of the inode before it.
    ino: U32,
    /// The block of attributes; 0 for none.
    xattrs: U32,

    runs: U32,
    tree_blocks: U32,
}

const _: () = assert!(size_of::<Record>() == 24);

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RunRecord {
    logical: U32,
    /// Less the end of the run before it, of whichever inode.
    physical: U32,
    len: U32,
}

const _: () = assert!(size_of::<RunRecord>() == 12);

/// Where an earlier build had its files.
#[derive(Debug)]
pub struct Placement {
    pub(super) blocks: u32,
    pub(super) inodes_per_group: u32,
    uuid: Uuid,
    hash_seed: Uuid,
    /// By path.
    files: Vec<FilePlace>,
    runs: Vec<Run>,
    tree_blocks: Vec<u32>,
}

/// Where one had its inode and its blocks.
#[derive(Debug)]
pub(super) struct FilePlace {
    path: PathDigest,
    pub(super) ino: Ino,
    pub(super) xattrs: u32,
    /// The first of its runs, and of the blocks of its extent tree; and how many.
    runs: (u32, u32),
    tree_blocks: (u32, u32),
}

impl Placement {
    /// Whether bytes begin as a placement does.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// What [`super::Planned::placement`] has made. Nothing in it is believed but that it is there: whoever keeps to it
    /// checks each place.
    ///
    /// # Errors
    /// `Corrupt` for what is no placement, `Unsupported` for one of a later version.
    pub fn read(packed: &[u8]) -> Result<Self> {
        let frame = packed.strip_prefix(&MAGIC).ok_or_else(|| corrupt("is none"))?;
        let plain = unpack(frame).ok_or_else(|| corrupt("was cut or changed"))?;
        let (header, rest) = Header::ref_from_prefix(&plain).map_err(|_| corrupt("ends too early"))?;
        if header.format.get() != FORMAT {
            let message = format!("is of format {}, known is {FORMAT}", header.format);
            return Err(Error::new(Kind::Unsupported, PLACE, message));
        }
        let counts = [header.records, header.runs, header.tree_blocks].map(|count| count.get() as usize);
        let (records, runs, tree_blocks) = sections(rest, counts).ok_or_else(|| corrupt("ends too early"))?;
        let runs = read_runs(runs).ok_or_else(|| corrupt("has an impossible run"))?;
        let tree_blocks: Vec<_> = tree_blocks.iter().map(|block| block.get()).collect();
        let files = read_files(records, &runs, tree_blocks.len());
        let files = files.ok_or_else(|| corrupt("has an impossible inode"))?;
        let [uuid, hash_seed] = [header.uuid, header.hash_seed].map(Uuid);
        if uuid.0 == [0; 16] || tree_blocks.contains(&u32::MAX) {
            return Err(corrupt("is of no file system"));
        }
        let (blocks, inodes_per_group) = (header.blocks.get(), header.inodes_per_group.get());
        Ok(Self { blocks, inodes_per_group, uuid, hash_seed, files, runs, tree_blocks })
    }

    /// The UUID of the file system.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The seed of the hashes that its directories are sorted by.
    pub fn hash_seed(&self) -> Uuid {
        self.hash_seed
    }

    /// What had this path.
    pub(super) fn find(&self, path: &PathDigest) -> Option<&FilePlace> {
        let found = self.files.binary_search_by_key(path, |file| file.path);
        found.ok().map(|at| &self.files[at])
    }

    /// The runs of a file: sorted and apart.
    pub(super) fn runs(&self, file: &FilePlace) -> &[Run] {
        let (first, len) = file.runs;
        &self.runs[first as usize..][..len as usize]
    }

    /// The blocks of its extent tree.
    pub(super) fn tree_blocks(&self, file: &FilePlace) -> impl Iterator<Item = u32> + '_ {
        let (first, len) = file.tree_blocks;
        self.tree_blocks[first as usize..][..len as usize].iter().copied()
    }
}

fn corrupt(message: &str) -> Error {
    Error::new(Kind::Corrupt, PLACE, message)
}

/// `None` for what is no zstd, or too much.
fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let decoder = zstd::Decoder::with_buffer(packed).ok()?;
    let len = decoder.take(PLAIN_MAX + 1).read_to_end(&mut plain).ok()?;
    (packed.len() as u64 <= PACKED_MAX && len as u64 <= PLAIN_MAX).then_some(plain)
}

/// So many records, runs and blocks, and nothing behind them.
fn sections(bytes: &[u8], [records, runs, blocks]: [usize; 3]) -> Option<(&[Record], &[RunRecord], &[U32])> {
    let (records, rest) = <[Record]>::ref_from_prefix_with_elems(bytes, records).ok()?;
    let (runs, rest) = <[RunRecord]>::ref_from_prefix_with_elems(rest, runs).ok()?;
    Some((records, runs, <[U32]>::ref_from_bytes_with_elems(rest, blocks).ok()?))
}

/// `None` if one is too long or goes beyond the last number.
fn read_runs(records: &[RunRecord]) -> Option<Vec<Run>> {
    let mut end = 0u32;
    let run = |record: &RunRecord| {
        let (logical, len) = (record.logical.get(), record.len.get());
        let physical = end.wrapping_add(record.physical.get());
        end = physical.checked_add(len)?;
        logical.checked_add(len).filter(|_| (1..=EXTENT_BLOCKS_MAX).contains(&len))?;
        Some(Run { logical, physical, len })
    };
    records.iter().map(run).collect()
}

/// By path, the first of those that have the same. `None` if one has runs that are not there or not in a row.
fn read_files(records: &[Record], runs: &[Run], tree_blocks: usize) -> Option<Vec<FilePlace>> {
    let (mut ino, mut run, mut block) = (0u32, 0u32, 0u32);
    let mut files = Vec::with_capacity(records.len());
    for record in records {
        ino = ino.wrapping_add(record.ino.get());
        let own = (run, record.runs.get());
        let own_blocks = (block, record.tree_blocks.get());
        run = run.checked_add(own.1)?;
        block = block.checked_add(own_blocks.1)?;
        let row = runs.get(own.0 as usize..run as usize)?;
        let is_sorted = row.windows(2).all(|pair| pair[0].logical + pair[0].len <= pair[1].logical);
        if !is_sorted || block as usize > tree_blocks || record.xattrs.get() == u32::MAX {
            return None;
        }
        let xattrs = record.xattrs.get();
        files.push(FilePlace {
            path: record.path,
            ino: Ino(ino),
            xattrs,
            runs: own,
            tree_blocks: own_blocks,
        });
    }
    files.sort_by_key(|file| file.path);
    files.dedup_by_key(|file| file.path);
    Some(files)
}

/// The digests of the paths of all nodes; of one with several, of the first.
pub(super) fn paths(tree: &Tree, census: &Census) -> Vec<PathDigest> {
    let mut digests = vec![PathDigest::default(); census.nodes.len()];
    let index = |id| census.index(census.number(id)).expect("the number of a node");
    for (parent, name, id) in tree.walk() {
        let (above, at) = (digests[index(parent)], index(id));
        if digests[at] == PathDigest::default() {
            let digest = Sha256::new().chain_update(above).chain_update(name).finalize();
            digests[at].copy_from_slice(&digest[..size_of::<PathDigest>()]);
        }
    }
    digests
}

/// Where `plan` has all of its tree.
pub(super) fn write(plan: &Ext4Plan) -> Result<Vec<u8>> {
    let paths = paths(&plan.tree, &plan.census);
    let number = |index: &usize| plan.census.number(plan.census.nodes[*index].id).0;
    let mut order: Vec<_> = (0..paths.len()).collect();
    order.sort_by_key(number);
    let (mut records, mut runs, mut tree_blocks) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ino, mut end) = (0, 0u32);
    for index in order {
        let blocks = match &plan.allocation.places {
            Places::Kept(places) => &places[index],
            Places::Swept(_) => &plan.blocks(index),
        };
        records.push(Record {
            path: paths[index],
            ino: U32::new(number(&index) - ino),
            xattrs: U32::new(blocks.xattrs),
            runs: U32::new(blocks.tree.runs.len() as u32),
            tree_blocks: U32::new(blocks.tree.blocks.len() as u32),
        });
        ino = number(&index);
        for run in &blocks.tree.runs {
            let physical = U32::new(run.physical.wrapping_sub(end));
            runs.push(RunRecord { logical: U32::new(run.logical), physical, len: U32::new(run.len) });
            end = run.physical + run.len;
        }
        tree_blocks.extend(blocks.tree.blocks.iter().copied().map(U32::new));
    }
    let header = Header {
        format: U32::new(FORMAT),
        blocks: U32::new(plan.geometry.blocks),
        inodes_per_group: U32::new(plan.geometry.inodes_per_group),
        records: U32::new(records.len() as u32),
        runs: U32::new(runs.len() as u32),
        tree_blocks: U32::new(tree_blocks.len() as u32),
        uuid: plan.options.uuid.0,
        hash_seed: plan.options.hash_seed.0,
    };
    let plain = [header.as_bytes(), records.as_bytes(), runs.as_bytes(), tree_blocks.as_bytes()].concat();
    pack(&plain).map_err(|error| Error::io(PLACE, "cannot be packed", error))
}

fn pack(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packer = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
    packer.include_checksum(true)?;
    Ok([&MAGIC, &*packer.compress(plain)?].concat())
}
