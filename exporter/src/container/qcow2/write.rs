//! Chunks → a qcow2 file.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{U16, U32, U64};

use super::Base;
use super::clusters::{CLUSTER, CLUSTER_BITS, COUNTS, Clusters, Tables, l1_entries};
use super::format::{COMPRESSED, COPIED, Header, L1_MAX, SECTOR, ZERO, compressed_offset_bits};
use crate::codec::{Codecs, Coding, Lent};
use crate::container::Compression;
use crate::container::place::Place;
use crate::engine::{CHUNK, Chunk, Piece, RawImage, Sink, Stored, is_zero};
use crate::error::{Error, Kind, Result, show_size};

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

    /// Where the tables lie: in front, or behind all that is there.
    fn place_tables(&self, clusters: &mut Clusters, size: u64) -> Tables {
        self.tables.unwrap_or_else(|| {
            let tables = Tables::at(clusters.counts.len() as u64, size, 0);
            clusters.reserve(&tables);
            tables
        })
    }

    /// Write the tables of a disk that has nothing of its own; its first bytes are what `named` makes of its header.
    ///
    /// # Errors
    /// Those of the place.
    pub(super) fn complete_over(&self, named: impl FnOnce(Header) -> Vec<u8>) -> Result<()> {
        let mut clusters = self.clusters();
        let tables = self.place_tables(&mut clusters, self.size);
        self.write_l1(&tables, &[])?;
        self.write_counts(&mut clusters, &tables)?;
        self.place.set_len(clusters.next_offset())?;
        self.place.write_at(&named(self.header(self.size, &tables)), 0)
    }

    /// Mark as zero what the base has up to the byte `end` where the disk has nothing.
    fn hide_base(&self, clusters: &mut Clusters, end: u64) -> Result<()> {
        let Some(base) = &self.base else { return Ok(()) };
        let end = end.min(base.size());
        let mut below = vec![0; CLUSTER as usize];
        let mut at = clusters.compared;
        while at < end {
            if clusters.base_data <= at {
                clusters.base_data = base.data_from(at) / CLUSTER * CLUSTER;
            }
            at = at.max(clusters.base_data);
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
        self.base.iter().try_for_each(|base| base.check_size(size))?;
        let mut clusters = self.clusters();
        self.hide_base(&mut clusters, size)?;
        let places = self.write_l2(&mut clusters)?;
        let tables = self.place_tables(&mut clusters, size);
        self.write_l1(&tables, &places)?;
        self.write_counts(&mut clusters, &tables)?;
        self.place.set_len(clusters.next_offset())?;
        let header = self.header(size, &tables);
        match &self.base {
            None => self.place.write_at(header.as_bytes(), 0),
            Some(base) => {
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
