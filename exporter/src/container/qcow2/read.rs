//! A qcow2 file → the bytes of the image, for `inspect`. The file is not trusted.

use std::mem::offset_of;

use zerocopy::FromBytes;
use zerocopy::byteorder::big_endian::U64;

use super::format::{
    COMPRESSED, Header, L1_MAX, OFFSET, REFCOUNT_ORDER_MAX, REFCOUNT_ORDER_V2, REFCOUNT_TABLE_MAX, SECTOR,
    ZERO, compressed_offset_bits,
};
use crate::container::blocks::read_blocks;
use crate::container::cache::Cache;
use crate::error::{Error, Kind, Result};
use crate::read_at::{ReadAt, Shared, check_range};

/// Whether a file begins as a qcow2 does.
pub fn is_qcow2<F: ReadAt + ?Sized>(file: &F) -> bool {
    let mut magic = [0; 4];
    file.read_at(0, &mut magic).is_ok_and(|()| u32::from_be_bytes(magic) == Header::MAGIC)
}

/// The size of the image in a file that begins as a qcow2 does, whatever else it needs to be read.
pub fn virtual_size<F: ReadAt + ?Sized>(file: &F) -> Option<u64> {
    let mut size = [0; 8];
    let is_read = is_qcow2(file) && file.read_at(offset_of!(Header, size) as u64, &mut size).is_ok();
    is_read.then(|| u64::from_be_bytes(size))
}

/// The image in a qcow2 file.
pub struct Reader<F> {
    pub(super) file: F,
    pub(super) header: Header,
    pub(super) l1: Vec<U64>,
    unpacked: Cache,
    /// What has the clusters that are not in the file.
    backing: Option<Shared>,
}

/// What an L2 entry says of a cluster.
pub(super) enum Mapping {
    /// Nothing: it is as in the backing file, or else zero.
    Absent,
    Zero,
    Plain(u64),
    Packed {
        offset: u64,
        len: u64,
    },
}

impl<F: ReadAt> Reader<F> {
    /// Read the header and the L1 table.
    ///
    /// # Errors
    /// [`Kind::Corrupt`], and [`Kind::Unsupported`] for what is not read here: a backing file as well, since who names
    /// a disk has not asked for any other file to be read.
    pub fn new(file: F) -> Result<Self> {
        let reader = Self::tables(file)?;
        match reader.header.backing_file_offset.get() {
            0 => Ok(reader),
            _ => {
                Err(unsupported("backing files")
                    .with_hint("make a whole disk of it: qemu-img convert -O qcow2"))
            }
        }
    }

    /// The image over `backing`, which has what the file has not.
    pub(super) fn over(file: F, backing: Shared) -> Result<Self> {
        Ok(Self { backing: Some(backing), ..Self::tables(file)? })
    }

    /// The image as far as the file has it.
    pub(in crate::container) fn tables(file: F) -> Result<Self> {
        let header = read_header(&file)?;
        check_supported(&header)?;
        check_tables(&header, file.size())?;
        let mut l1 = vec![0; header.l1_size.get() as usize * 8];
        file.read_at(header.l1_table_offset.get(), &mut l1)?;
        let l1 = l1.as_chunks().0.iter().map(|&entry| U64::from_bytes(entry)).collect();
        let unpacked = Cache::of_unpacked(1 << header.cluster_bits.get(), file.size());
        Ok(Self { file, header, l1, unpacked, backing: None })
    }

    fn cluster_bits(&self) -> u32 {
        self.header.cluster_bits.get()
    }

    pub(super) fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits()
    }

    /// Entries of an L2 table.
    pub(super) fn l2_len(&self) -> u64 {
        self.cluster_size() / 8
    }

    /// Where in the file an L2 table lies, if there is one.
    pub(super) fn l2_table(&self, index: u64) -> Result<Option<u64>> {
        let entry = usize::try_from(index).ok().and_then(|index| self.l1.get(index));
        match entry.map_or(0, |entry| entry.get() & OFFSET) {
            0 => Ok(None),
            offset if offset.is_multiple_of(self.cluster_size()) => Ok(Some(offset)),
            offset => Err(corrupt(format!("L2 table {index} begins at byte {offset}, inside a cluster"))),
        }
    }

    /// The entry of a cluster in the L2 table at `table`.
    pub(super) fn l2_entry(&self, table: u64, cluster: u64) -> Result<u64> {
        let mut entry = [0; 8];
        self.file.read_at(table + 8 * (cluster % self.l2_len()), &mut entry)?;
        Ok(u64::from_be_bytes(entry))
    }

    /// What the entry of a cluster says.
    pub(super) fn decode(&self, cluster: u64, entry: u64) -> Result<Mapping> {
        if entry & COMPRESSED != 0 {
            let offset_bits = compressed_offset_bits(self.cluster_bits());
            let offset = entry & ((1 << offset_bits) - 1);
            let sectors = ((entry & (COMPRESSED - 1)) >> offset_bits) + 1;
            return Ok(Mapping::Packed { offset, len: sectors * SECTOR - offset % SECTOR });
        }
        let offset = entry & OFFSET;
        if !offset.is_multiple_of(self.cluster_size()) {
            return Err(corrupt(format!("cluster {cluster} lies at byte {offset}, inside a cluster")));
        }
        if entry & ZERO != 0 && self.header.version.get() < 3 {
            return Err(corrupt(format!(
                "cluster {cluster} is marked as zero, which version 2 does not know"
            )));
        }
        Ok(match offset {
            _ if entry & ZERO != 0 => Mapping::Zero,
            0 => Mapping::Absent,
            offset => Mapping::Plain(offset),
        })
    }

    fn mapping(&self, cluster: u64) -> Result<Mapping> {
        match self.l2_table(cluster / self.l2_len())? {
            None => Ok(Mapping::Absent),
            Some(table) => self.decode(cluster, self.l2_entry(table, cluster)?),
        }
    }

    /// Fill `out` with bytes of one cluster, from `skip` on.
    fn read_cluster(&self, cluster: u64, skip: u64, out: &mut [u8]) -> Result<()> {
        match (self.mapping(cluster)?, &self.backing) {
            (Mapping::Absent, Some(backing)) => {
                read_padded(&**backing, cluster * self.cluster_size() + skip, out)
            }
            (Mapping::Absent | Mapping::Zero, _) => {
                out.fill(0);
                Ok(())
            }
            (Mapping::Plain(offset), _) => self.file.read_at(offset + skip, out),
            (Mapping::Packed { offset, len }, _) => {
                self.unpacked.read(cluster, skip, out, || self.unpack(offset, len))
            }
        }
    }

    fn unpack(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        // The last sector may reach behind the end of the file.
        let len = len.min(self.file.size().saturating_sub(offset));
        let mut packed = vec![0; len as usize];
        self.file.read_at(offset, &mut packed)?;
        let mut unpacked = vec![0; self.cluster_size() as usize];
        let len = match self.header.compression_type {
            Header::ZSTD => unpack_zstd(&packed, &mut unpacked),
            _ => libdeflater::Decompressor::new().deflate_decompress(&packed, &mut unpacked).ok(),
        };
        len.filter(|&len| len == unpacked.len())
            .map(|_| unpacked)
            .ok_or_else(|| corrupt(format!("the compressed cluster at {offset} is damaged")))
    }
}

/// The frame at the start of `packed`: what follows it belongs to the next cluster. At once and not as a stream, whose
/// window might be larger than the cluster, as the frame pleases.
fn unpack_zstd(packed: &[u8], out: &mut [u8]) -> Option<usize> {
    let len = zstd::zstd_safe::find_frame_compressed_size(packed).ok()?;
    zstd::zstd_safe::decompress(out, packed.get(..len)?).ok()
}

impl<F: ReadAt> ReadAt for Reader<F> {
    fn size(&self) -> u64 {
        self.header.size.get()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        check_range(self, offset, out.len())?;
        read_blocks(self.cluster_size(), offset, out, |cluster, skip, part| {
            self.read_cluster(cluster, skip, part)
        })
    }

    fn data_from(&self, offset: u64) -> u64 {
        let mut at = offset;
        while at < self.size() {
            let cluster = at / self.cluster_size();
            let table = cluster / self.l2_len();
            let (mapping, behind) = match self.l2_table(table) {
                Ok(None) => (Ok(Mapping::Absent), (table + 1).saturating_mul(self.l2_len())),
                _ => (self.mapping(cluster), cluster + 1),
            };
            let behind = behind.saturating_mul(self.cluster_size());
            let data = match (mapping, &self.backing) {
                (Ok(Mapping::Absent), Some(backing)) => {
                    let data = backing.data_from(at);
                    if data < backing.size() { data } else { behind }
                }
                (Ok(Mapping::Absent | Mapping::Zero), _) => behind,
                // What is wrong is found by who reads it.
                (Ok(Mapping::Plain(_) | Mapping::Packed { .. }) | Err(_), _) => at,
            };
            if data < behind {
                return data.max(at).min(self.size());
            }
            at = behind;
        }
        self.size()
    }

    fn hole_from(&self, offset: u64, until: u64) -> u64 {
        let mut at = offset;
        while at < until && self.data_from(at) == at {
            at = (at / self.cluster_size() + 1).saturating_mul(self.cluster_size());
        }
        at.min(until)
    }
}

/// Fill `out` with the bytes of `image` from `offset` on, with zeroes for those behind its end: a backing file may be
/// shorter than what lies over it.
pub(super) fn read_padded<I: ReadAt + ?Sized>(image: &I, offset: u64, out: &mut [u8]) -> Result<()> {
    let left = image.size().saturating_sub(offset).min(out.len() as u64);
    let (inside, behind) = out.split_at_mut(left as usize);
    behind.fill(0);
    if inside.is_empty() { Ok(()) } else { image.read_at(offset, inside) }
}

pub(super) fn read_header<F: ReadAt>(file: &F) -> Result<Header> {
    let mut bytes = [0; Header::SIZE];
    let len = Header::SIZE.min(file.size() as usize);
    file.read_at(0, &mut bytes[..len])?;
    let mut header = Header::read_from_bytes(&bytes).map_err(|_| corrupt("the header is cut off"))?;
    if header.magic.get() != Header::MAGIC || len < Header::SIZE_V2 {
        return Err(corrupt("the header is not that of a qcow2"));
    }
    if header.version.get() < 3 {
        header.incompatible_features = U64::ZERO;
        header.refcount_order = REFCOUNT_ORDER_V2.into();
    }
    if header.incompatible_features.get() & Header::COMPRESSION_TYPE == 0 {
        header.compression_type = Header::ZLIB;
    }
    Ok(header)
}

fn check_supported(header: &Header) -> Result<()> {
    let unknown = header.incompatible_features.get() & !(Header::DIRTY | Header::COMPRESSION_TYPE);
    let needs = [
        (!matches!(header.version.get(), 2 | 3), "versions other than 2 and 3"),
        (header.crypt_method.get() != 0, "encryption"),
        (unknown & Header::EXTERNAL_DATA != 0, "external data files"),
        (unknown != 0, "its incompatible features"),
        (header.compression_type > Header::ZSTD, "its compression"),
    ];
    if let Some((_, what)) = needs.iter().find(|(is_so, _)| *is_so) {
        return Err(unsupported(what));
    }
    if !(9..=21).contains(&header.cluster_bits.get()) {
        return Err(corrupt("the cluster size is impossible"));
    }
    Ok(())
}

/// That the tables which the header names begin at clusters, lie in the file, and are as long as they may be: of
/// QEMU's limits, and not longer than memory for what is not there.
fn check_tables(header: &Header, file_len: u64) -> Result<()> {
    let cluster_bits = header.cluster_bits.get();
    let l1_entries = u64::from(header.l1_size.get());
    let mapped = u128::from(l1_entries) << (2 * cluster_bits - 3);
    if l1_entries > L1_MAX || u128::from(header.size.get()) > mapped {
        return Err(corrupt("the L1 table does not fit the size of the image"));
    }
    let [l1, refcounts] = [header.l1_table_offset.get(), header.refcount_table_offset.get()];
    if ![l1, refcounts].iter().all(|offset| offset.is_multiple_of(1 << cluster_bits)) {
        return Err(corrupt("the L1 table or the reference counts begin inside a cluster"));
    }
    if l1.checked_add(8 * l1_entries).is_none_or(|end| end > file_len) {
        return Err(corrupt("the file ends before its L1 table"));
    }
    let refcounts_len = u64::from(header.refcount_table_clusters.get()) << cluster_bits;
    if refcounts_len > REFCOUNT_TABLE_MAX || header.refcount_order.get() > REFCOUNT_ORDER_MAX {
        return Err(corrupt("the size of the reference counts is impossible"));
    }
    Ok(())
}

fn unsupported(what: &str) -> Error {
    Error::new(Kind::Unsupported, "qcow2", format!("{what} cannot be read"))
}

pub(super) fn corrupt(message: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, "qcow2", message)
}
