//! Chunks → a qcow2 file.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{U16, U32, U64};

use super::Base;
use super::format::{COMPRESSED, COPIED, Header, L1_MAX, SECTOR, ZERO, compressed_offset_bits};
use crate::codec::{Codecs, Coding, Lent};
use crate::container::Compression;
use crate::container::place::Place;
use crate::engine::{CHUNK, Chunk, Piece, RawImage, Sink, Stored, is_zero};
use crate::error::{Error, Kind, Result, show_size};

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Entries of an L2 table, and of a cluster of any table of 64-bit entries.
const ENTRIES: u64 = CLUSTER / 8;
/// Entries of a refcount block, 16 bits each.
const COUNTS: u64 = CLUSTER / 2;
const REFCOUNT_ORDER: u32 = 4;
/// A cluster is stored plain unless compression saves a sector at least.
const PACKED_MAX: usize = (CLUSTER - SECTOR) as usize;

/// Writes a qcow2 disk.
pub(in crate::container) struct Writer<P> {
    size: u64,
    compression: Compression,
    base: Option<Base>,
    /// `None`: they will lie behind the clusters.
    tables: Option<Tables>,
    codecs: Codecs,
    clusters: Mutex<Clusters>,
    place: P,
}

/// Where the tables lie, in clusters; in front they are large enough for whatever the image may need.
#[derive(Clone, Copy)]
struct Tables {
    l1_entries: u64,
    l1: u64,
    refcount_table: u64,
    refcount_blocks: u64,
    end: u64,
}

impl Tables {
    fn in_front(image: RawImage<'_>) -> Self {
        let guest_clusters = image.size.div_ceil(CLUSTER);
        let spanned = image.extents.iter().filter(|extent| extent.len > 0);
        let spanned: u64 =
            spanned.map(|extent| extent.end().div_ceil(CLUSTER) - extent.offset / CLUSTER).sum();
        let data = spanned.min(guest_clusters);
        Self::at(1, image.size, data + data.min(l1_entries(image.size)))
    }

    /// From cluster `l1` on, of a disk of `size` bytes, with `more` clusters behind them.
    fn at(l1: u64, size: u64, more: u64) -> Self {
        let l1_entries = l1_entries(size);
        let refcount_table = l1 + l1_entries.div_ceil(ENTRIES).max(1);
        // The blocks count themselves too: grow them until they count everything.
        let (mut blocks, mut table) = (1, 1);
        loop {
            let all = refcount_table + table + blocks + more;
            let needed = (all.div_ceil(COUNTS), blocks.div_ceil(ENTRIES));
            if needed <= (blocks, table) {
                break;
            }
            (blocks, table) = (needed.0.max(blocks), needed.1.max(table));
        }
        let refcount_blocks = refcount_table + table;
        Self { l1_entries, l1, refcount_table, refcount_blocks, end: refcount_blocks + blocks }
    }
}

/// Entries of the L1 table of a disk of `size` bytes.
fn l1_entries(size: u64) -> u64 {
    size.div_ceil(CLUSTER).div_ceil(ENTRIES)
}

/// The clusters of the file that are in use so far.
struct Clusters {
    /// Reference counts from cluster 0 on; its length is the next free cluster.
    counts: Vec<u16>,
    /// Where the next compressed cluster of the guest may start: behind the last one.
    packed_end: u64,
    /// L2 tables that are not empty, by their place in the L1 table, ascending.
    l2: Vec<(u64, Vec<U64>)>,
    /// Up to which byte of the disk the base was compared.
    compared: u64,
}

impl Clusters {
    /// With nothing but the header.
    fn new() -> Self {
        Self { counts: vec![1], packed_end: 0, l2: Vec::new(), compared: 0 }
    }

    /// Take the places of the tables, which begin at the first free one.
    fn reserve(&mut self, tables: &Tables) {
        self.counts.resize(tables.refcount_blocks as usize, 1);
        self.counts.resize(tables.end as usize, 0);
    }

    fn next_offset(&self) -> u64 {
        self.counts.len() as u64 * CLUSTER
    }

    fn allocate_plain(&mut self) -> u64 {
        let offset = self.next_offset();
        self.counts.push(1);
        offset
    }

    /// A place for `len` bytes, each of whose clusters counts one reference more.
    fn allocate_packed(&mut self, len: u64) -> u64 {
        let room = self.packed_end.next_multiple_of(CLUSTER) - self.packed_end;
        let can_grow = self.packed_end + room == self.next_offset();
        if len > room && !can_grow {
            self.packed_end = self.next_offset();
        }
        let start = self.packed_end;
        self.packed_end += len;
        while self.next_offset() < self.packed_end {
            self.counts.push(0);
        }
        let touched = (start / CLUSTER) as usize..=((self.packed_end - 1) / CLUSTER) as usize;
        self.counts[touched].iter_mut().for_each(|count| *count += 1);
        start
    }

    fn map(&mut self, guest_cluster: u64, entry: u64) {
        let table = guest_cluster / ENTRIES;
        if self.l2.last().is_none_or(|(last, _)| *last != table) {
            self.l2.push((table, vec![U64::ZERO; ENTRIES as usize]));
        }
        if let Some((_, entries)) = self.l2.last_mut() {
            entries[(guest_cluster % ENTRIES) as usize] = entry.into();
        }
    }
}

impl<P: Place> Writer<P> {
    /// A disk for `image`, whose extents bound the size of the tables.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] if no qcow2 that QEMU reads can be as large.
    pub(in crate::container) fn new(image: RawImage<'_>, compression: Compression, place: P) -> Result<Self> {
        check_size(image.size)?;
        let tables = Tables::in_front(image);
        let mut clusters = Clusters::new();
        clusters.reserve(&tables);
        Ok(Self {
            size: image.size,
            compression,
            base: None,
            tables: Some(tables),
            codecs: Codecs::new(coding(compression)),
            clusters: Mutex::new(clusters),
            place,
        })
    }

    /// A disk of `size` bytes that has what differs from `base` alone.
    ///
    /// # Errors
    /// [`Kind::Input`] if the base is larger, and those of [`new`](Self::new).
    pub(in crate::container) fn over(
        base: Base,
        size: u64,
        compression: Compression,
        place: P,
    ) -> Result<Self> {
        base.check_size(size)?;
        Self::arriving(base, size, compression, place)
    }

    /// The same of a disk whose size is known at the end, by [`complete`](Self::complete).
    pub(super) fn arriving(base: Base, size: u64, compression: Compression, place: P) -> Result<Self> {
        check_size(size)?;
        Ok(Self {
            size,
            compression,
            base: Some(base),
            tables: None,
            codecs: Codecs::new(coding(compression)),
            clusters: Mutex::new(Clusters::new()),
            place,
        })
    }

    /// Where it writes to.
    pub(in crate::container) fn place(&self) -> &P {
        &self.place
    }

    fn clusters(&self) -> MutexGuard<'_, Clusters> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn header(&self, size: u64, tables: &Tables) -> Header {
        let (compression_type, incompatible_features) = match self.compression {
            Compression::None | Compression::Zlib | Compression::ZlibStrict => (Header::ZLIB, 0),
            Compression::Zstd => (Header::ZSTD, Header::COMPRESSION_TYPE),
        };
        Header {
            magic: Header::MAGIC.into(),
            version: 3.into(),
            backing_file_offset: U64::ZERO,
            backing_file_size: U32::ZERO,
            cluster_bits: CLUSTER_BITS.into(),
            size: size.into(),
            crypt_method: U32::ZERO,
            l1_size: U32::new(tables.l1_entries as u32),
            l1_table_offset: (tables.l1 * CLUSTER).into(),
            refcount_table_offset: (tables.refcount_table * CLUSTER).into(),
            refcount_table_clusters: U32::new((tables.refcount_blocks - tables.refcount_table) as u32),
            nb_snapshots: U32::ZERO,
            snapshots_offset: U64::ZERO,
            incompatible_features: incompatible_features.into(),
            compatible_features: U64::ZERO,
            autoclear_features: U64::ZERO,
            refcount_order: REFCOUNT_ORDER.into(),
            header_length: U32::new(Header::SIZE as u32),
            compression_type,
            padding: [0; 7],
        }
    }

    /// Write the L2 tables behind the clusters; where each lies is what the L1 table has of it.
    fn write_l2(&self, clusters: &mut Clusters) -> Result<Vec<(u64, u64)>> {
        let mut places = Vec::new();
        for (table, entries) in std::mem::take(&mut clusters.l2) {
            let offset = clusters.allocate_plain();
            self.place.write_at(entries.as_bytes(), offset)?;
            places.push((table, offset));
        }
        Ok(places)
    }

    fn write_l1(&self, tables: &Tables, places: &[(u64, u64)]) -> Result<()> {
        let mut l1 = vec![U64::ZERO; tables.l1_entries as usize];
        for &(table, offset) in places {
            l1[table as usize] = (offset | COPIED).into();
        }
        self.place.write_at(l1.as_bytes(), tables.l1 * CLUSTER)
    }

    /// Write the reference counts; the blocks that turn out not to be needed stay free.
    fn write_counts(&self, clusters: &mut Clusters, tables: &Tables) -> Result<()> {
        let first = tables.refcount_blocks;
        let blocks = (clusters.counts.len() as u64).div_ceil(COUNTS);
        clusters.counts[first as usize..(first + blocks) as usize].fill(1);
        let table: Vec<U64> = (first..first + blocks).map(|block| (block * CLUSTER).into()).collect();
        self.place.write_at(table.as_bytes(), tables.refcount_table * CLUSTER)?;
        let counts: Vec<U16> = clusters.counts.iter().map(|&count| count.into()).collect();
        self.place.write_at(counts.as_bytes(), first * CLUSTER)
    }

    /// Mark as zero what the base has up to the byte `end` where the disk has nothing.
    fn hide_base(&self, clusters: &mut Clusters, end: u64) -> Result<()> {
        let Some(base) = &self.base else { return Ok(()) };
        let end = end.min(base.size());
        let mut below = vec![0; CLUSTER as usize];
        let mut at = clusters.compared;
        while at < end {
            at = at.max(base.data_from(at) / CLUSTER * CLUSTER);
            if at >= end {
                break;
            }
            base.read_at(at, &mut below)?;
            if !is_zero(&below) {
                clusters.map(at / CLUSTER, ZERO);
            }
            at += CLUSTER;
        }
        Ok(())
    }

    /// Store what a cluster has, packed if that is shorter.
    fn encode_cluster(codec: &mut Lent<'_>, chunk: &Chunk<'_>, plain: Range<usize>, stored: &mut Stored) {
        let packed = codec.pack(&chunk.padded()[plain.clone()], PACKED_MAX, &mut stored.packed);
        stored.pieces.push(Piece { packed, ..Piece::plain(plain) });
    }

    /// Store the clusters that differ from the base; one of zeroes is a piece without bytes.
    fn encode_over(&self, base: &Base, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let mut codec = self.codecs.lend()?;
        let mut below = vec![0; CHUNK];
        base.read_at(chunk.offset, &mut below)?;
        for start in (0..chunk.bytes().len()).step_by(CLUSTER as usize) {
            let plain = start..start + CLUSTER as usize;
            let bytes = &chunk.padded()[plain.clone()];
            match bytes == &below[plain.clone()] {
                true => {}
                false if is_zero(bytes) => stored.pieces.push(Piece::plain(start..start)),
                false => Self::encode_cluster(&mut codec, chunk, plain, stored),
            }
        }
        Ok(())
    }

    /// Write all tables of a disk that turned out to have `size` bytes.
    ///
    /// # Errors
    /// Those of [`over`](Self::over), and if the base is not what it was.
    pub(super) fn complete(&self, size: u64) -> Result<()> {
        check_size(size)?;
        let mut clusters = self.clusters();
        self.hide_base(&mut clusters, size)?;
        let places = self.write_l2(&mut clusters)?;
        let tables = self.tables.unwrap_or_else(|| {
            let tables = Tables::at(clusters.counts.len() as u64, size, 0);
            clusters.reserve(&tables);
            tables
        });
        self.write_l1(&tables, &places)?;
        self.write_counts(&mut clusters, &tables)?;
        self.place.set_len(clusters.next_offset())?;
        let header = self.header(size, &tables);
        match &self.base {
            None => self.place.write_at(header.as_bytes(), 0),
            Some(base) => {
                base.check_size(size)?;
                base.check_unchanged()?;
                self.place.write_at(&base.named_in(header), 0)
            }
        }
    }
}

fn check_size(size: u64) -> Result<()> {
    if l1_entries(size) <= L1_MAX {
        return Ok(());
    }
    let message = format!("{} is more than the 2 PiB of the largest disk", show_size(size));
    Err(Error::new(Kind::Unsupported, "qcow2", message))
}

fn coding(compression: Compression) -> Coding {
    match compression {
        Compression::None => Coding::Plain,
        Compression::Zstd => Coding::Zstd,
        Compression::Zlib => Coding::Deflate,
        Compression::ZlibStrict => Coding::StrictDeflate,
    }
}

impl<P: Place> Sink for Writer<P> {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        if let Some(base) = &self.base {
            return self.encode_over(base, chunk, stored);
        }
        let mut codec = self.codecs.lend()?;
        chunk
            .blocks(CLUSTER as usize)
            .for_each(|plain| Self::encode_cluster(&mut codec, chunk, plain, stored));
        Ok(())
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let mut clusters = self.clusters();
        self.hide_base(&mut clusters, chunk.offset)?;
        clusters.compared = chunk.offset + CHUNK as u64;
        for piece in &mut stored.pieces {
            let guest_cluster = (chunk.offset + piece.plain.start as u64) / CLUSTER;
            let entry = if piece.is_empty() {
                ZERO
            } else if piece.packed.is_some() {
                piece.at = clusters.allocate_packed(piece.len() as u64);
                let more_sectors = (piece.at + piece.len() as u64 - 1) / SECTOR - piece.at / SECTOR;
                COMPRESSED | more_sectors << compressed_offset_bits(CLUSTER_BITS) | piece.at
            } else {
                piece.at = clusters.allocate_plain();
                COPIED | piece.at
            };
            clusters.map(guest_cluster, entry);
        }
        stored.pieces.retain(|piece| !piece.is_empty());
        stored.writes(chunk).try_for_each(|(at, bytes)| self.place.write_at(bytes, at))
    }

    fn finish(&self) -> Result<()> {
        self.complete(self.size)
    }
}
