//! A qcow2 file → the bytes of the image, for `inspect`. The file is not trusted.

use std::io::Read;
use std::mem::offset_of;

use zerocopy::FromBytes;
use zerocopy::byteorder::big_endian::U64;

use super::format::{COMPRESSED, Header, L1_MAX, OFFSET, SECTOR, ZERO, compressed_offset_bits};
use crate::container::blocks::read_blocks;
use crate::error::{Error, Kind, Result};
use crate::read_at::{ReadAt, check_range};

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
    file: F,
    size: u64,
    cluster_bits: u32,
    l1: Vec<U64>,
    is_zstd: bool,
}

/// What an L2 entry says of a cluster.
enum Mapping {
    Zero,
    Plain(u64),
    Packed { offset: u64, len: u64 },
}

impl<F: ReadAt> Reader<F> {
    /// Read the header and the L1 table.
    ///
    /// # Errors
    /// [`Kind::Corrupt`], and [`Kind::Unsupported`] for what is not read here.
    pub fn new(file: F) -> Result<Self> {
        let header = read_header(&file)?;
        check_supported(&header)?;
        let (size, cluster_bits) = (header.size.get(), header.cluster_bits.get());
        let l1_entries = u64::from(header.l1_size.get());
        let mapped = u128::from(l1_entries) << (2 * cluster_bits - 3);
        if l1_entries > L1_MAX || u128::from(size) > mapped {
            return Err(corrupt("the L1 table does not fit the size of the image"));
        }
        let mut l1 = vec![0; l1_entries as usize * 8];
        file.read_at(header.l1_table_offset.get(), &mut l1)?;
        let l1 = l1.as_chunks().0.iter().map(|&entry| U64::from_bytes(entry)).collect();
        let is_zstd = header.compression_type == Header::ZSTD;
        Ok(Self { file, size, cluster_bits, l1, is_zstd })
    }

    fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    fn mapping(&self, cluster: u64) -> Result<Mapping> {
        let entries_bits = self.cluster_bits - 3;
        let l1_entry = self.l1.get((cluster >> entries_bits) as usize).map_or(0, |entry| entry.get());
        let l2_offset = l1_entry & OFFSET;
        if l2_offset == 0 {
            return Ok(Mapping::Zero);
        }
        let mut entry = [0; 8];
        self.file.read_at(l2_offset + 8 * (cluster % (1 << entries_bits)), &mut entry)?;
        let entry = u64::from_be_bytes(entry);
        if entry & COMPRESSED != 0 {
            let offset_bits = compressed_offset_bits(self.cluster_bits);
            let offset = entry & ((1 << offset_bits) - 1);
            let sectors = ((entry & (COMPRESSED - 1)) >> offset_bits) + 1;
            return Ok(Mapping::Packed { offset, len: sectors * SECTOR - offset % SECTOR });
        }
        Ok(if entry & ZERO != 0 || entry & OFFSET == 0 {
            Mapping::Zero
        } else {
            Mapping::Plain(entry & OFFSET)
        })
    }

    /// Fill `out` with bytes of one cluster, from `skip` on.
    fn read_cluster(&self, cluster: u64, skip: u64, out: &mut [u8]) -> Result<()> {
        match self.mapping(cluster)? {
            Mapping::Zero => out.fill(0),
            Mapping::Plain(offset) => self.file.read_at(offset + skip, out)?,
            Mapping::Packed { offset, len } => {
                let unpacked = self.unpack(offset, len)?;
                out.copy_from_slice(&unpacked[skip as usize..][..out.len()]);
            }
        }
        Ok(())
    }

    fn unpack(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        // The last sector may reach behind the end of the file.
        let len = len.min(self.file.size().saturating_sub(offset));
        let mut packed = vec![0; len as usize];
        self.file.read_at(offset, &mut packed)?;
        let mut unpacked = vec![0; self.cluster_size() as usize];
        let whole =
            if self.is_zstd { unpack_zstd(&packed, &mut unpacked) } else { inflate(&packed, &mut unpacked) };
        whole
            .then_some(unpacked)
            .ok_or_else(|| corrupt(format!("the compressed cluster at {offset} is damaged")))
    }
}

fn unpack_zstd(packed: &[u8], out: &mut [u8]) -> bool {
    // What follows the frame belongs to the next cluster.
    zstd::stream::read::Decoder::with_buffer(packed)
        .is_ok_and(|decoder| decoder.single_frame().read_exact(out).is_ok())
}

fn inflate(packed: &[u8], out: &mut [u8]) -> bool {
    libdeflater::Decompressor::new().deflate_decompress(packed, out).is_ok_and(|len| len == out.len())
}

impl<F: ReadAt> ReadAt for Reader<F> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        check_range(self, offset, out.len())?;
        read_blocks(self.cluster_size(), offset, out, |cluster, skip, part| {
            self.read_cluster(cluster, skip, part)
        })
    }
}

fn read_header<F: ReadAt>(file: &F) -> Result<Header> {
    let mut bytes = [0; Header::SIZE];
    let len = Header::SIZE.min(file.size() as usize);
    file.read_at(0, &mut bytes[..len])?;
    let mut header = Header::read_from_bytes(&bytes).map_err(|_| corrupt("the header is cut off"))?;
    if header.magic.get() != Header::MAGIC || len < Header::SIZE_V2 {
        return Err(corrupt("the header is not that of a qcow2"));
    }
    if header.version.get() < 3 {
        header.incompatible_features = U64::ZERO;
    }
    if header.incompatible_features.get() & Header::COMPRESSION_TYPE == 0 {
        header.compression_type = Header::ZLIB;
    }
    Ok(header)
}

fn check_supported(header: &Header) -> Result<()> {
    let unknown = header.incompatible_features.get() & !(Header::DIRTY | Header::COMPRESSION_TYPE);
    let unsupported = [
        (!matches!(header.version.get(), 2 | 3), "versions other than 2 and 3"),
        (header.backing_file_offset.get() != 0, "backing files"),
        (header.crypt_method.get() != 0, "encryption"),
        (unknown != 0, "its incompatible features"),
        (header.compression_type > Header::ZSTD, "its compression"),
    ];
    if let Some((_, what)) = unsupported.iter().find(|(is_so, _)| *is_so) {
        return Err(Error::new(Kind::Unsupported, "qcow2", format!("{what} can't be read")));
    }
    if !(9..=21).contains(&header.cluster_bits.get()) {
        return Err(corrupt("the cluster size is impossible"));
    }
    Ok(())
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, "qcow2", message)
}
