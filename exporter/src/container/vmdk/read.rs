//! A VMDK file → the bytes of the disk, for `inspect`. The file is not trusted.

use zerocopy::{FromZeros, IntoBytes};

use super::format::{EMPTY, GTES_PER_GT, GrainMarker, Header, MetadataMarker, SECTOR, ZEROED};
use crate::container::blocks::read_blocks;
use crate::container::cache::Cache;
use crate::container::check::Findings;
use crate::error::{Error, Kind, Result};
use crate::read_at::{ReadAt, check_range};

/// Sectors of a grain that is read: 64 KiB is the largest that anyone writes.
const GRAIN_SECTORS: std::ops::RangeInclusive<u64> = 1..=128;
/// Sectors of the longest descriptor that is read.
const DESCRIPTOR_MAX: u64 = 128;

/// Whether a file begins as a VMDK does.
pub(in crate::container) fn is_vmdk<F: ReadAt + ?Sized>(file: &F) -> bool {
    let mut magic = [0; 4];
    file.read_at(0, &mut magic).is_ok_and(|()| magic == Header::MAGIC)
}

/// The disk in a VMDK file.
pub(in crate::container) struct Reader<F> {
    file: F,
    header: Header,
    unpacked: Cache,
}

impl<F: ReadAt> Reader<F> {
    /// Read the header and the footer.
    ///
    /// # Errors
    /// [`Kind::Corrupt`], and [`Kind::Unsupported`] for what is not read here.
    pub(in crate::container) fn new(file: F) -> Result<Self> {
        let mut header = read_header(&file, 0)?;
        if header.gd_offset.get() == Header::GD_AT_END {
            header = read_footer(&file)?;
        }
        check_supported(&header)?;
        check_descriptor(&file, &header)?;
        let grain_size = header.grain_size.get();
        if !GRAIN_SECTORS.contains(&grain_size)
            || !grain_size.is_power_of_two()
            || u64::from(header.num_gtes_per_gt.get()) != GTES_PER_GT
        {
            return Err(corrupt("the size of a grain or a grain table is impossible"));
        }
        let directory = header.capacity.get().div_ceil(grain_size * GTES_PER_GT).saturating_mul(4);
        let directory_end = header.gd_offset.get().saturating_mul(SECTOR).saturating_add(directory);
        if directory_end > file.size() || header.capacity.get() > u64::MAX / SECTOR {
            return Err(corrupt("the grain directory does not fit the size of the disk"));
        }
        if header.over_head.get().checked_mul(SECTOR).is_none_or(|first_grain| first_grain > file.size()) {
            return Err(corrupt("its grains begin behind the end of the file"));
        }
        let unpacked = Cache::of_unpacked(grain_size * SECTOR, file.size());
        Ok(Self { file, header, unpacked })
    }

    /// What is wrong with the directory and the tables: all of them are read.
    pub(in crate::container) fn check(&self) -> Vec<String> {
        let mut findings = Findings::of(&self.file, SECTOR);
        let sectors = |sector: u64, len: u64| sector * SECTOR..sector * SECTOR + len;
        let tables = self.size().div_ceil(self.grain_len() * GTES_PER_GT);
        findings.takes("the header", 0..SECTOR);
        findings.takes("the grain directory", sectors(self.header.gd_offset.get(), 4 * tables));
        for table in 0..tables {
            if findings.is_full() {
                break;
            }
            match self.entry(self.header.gd_offset.get(), table) {
                Ok(EMPTY) => {}
                Ok(sector) => {
                    let place = sectors(sector.into(), 4 * GTES_PER_GT);
                    // One that is read twice might be read without end.
                    if findings.takes(format_args!("grain table {table}"), place) {
                        self.check_table(table, &mut findings);
                    }
                }
                Err(error) => findings.problem(error.message()),
            }
        }
        findings.named("vmdk")
    }

    fn check_table(&self, table: u64, findings: &mut Findings) {
        // How long a compressed grain is only its marker tells, which is read when the grain is.
        let len = if self.has_flag(Header::COMPRESSED) { SECTOR } else { self.grain_len() };
        for grain in table * GTES_PER_GT..(table + 1) * GTES_PER_GT {
            match self.locate(grain) {
                Ok(None) => {}
                Ok(Some(start)) => {
                    findings.takes(format_args!("grain {grain}"), start..start + len);
                }
                Err(error) => findings.problem(error.message()),
            }
        }
    }

    fn grain_len(&self) -> u64 {
        self.header.grain_size.get() * SECTOR
    }

    fn has_flag(&self, flag: u32) -> bool {
        self.header.flags.get() & flag != 0
    }

    /// Byte offset in the file of a grain, `None` if it is zero.
    fn locate(&self, grain: u64) -> Result<Option<u64>> {
        let table = self.entry(self.header.gd_offset.get(), grain / GTES_PER_GT)?;
        if table == EMPTY {
            return Ok(None);
        }
        Ok(match self.entry(table.into(), grain % GTES_PER_GT)? {
            EMPTY => None,
            ZEROED if self.has_flag(Header::ZEROED_GRAINS) => None,
            sector => Some(u64::from(sector) * SECTOR),
        })
    }

    /// An entry of the directory or table at `sector`.
    fn entry(&self, sector: u64, index: u64) -> Result<u32> {
        let mut entry = [0; 4];
        self.file.read_at(sector * SECTOR + 4 * index, &mut entry)?;
        Ok(u32::from_le_bytes(entry))
    }

    /// Fill `out` with bytes of one grain, from `skip` on.
    fn read_grain(&self, grain: u64, skip: u64, out: &mut [u8]) -> Result<()> {
        match self.locate(grain)? {
            None => out.fill(0),
            Some(offset) if self.has_flag(Header::COMPRESSED) => {
                return self.unpacked.read(grain, skip, out, || self.unpack(grain, offset));
            }
            Some(offset) => self.file.read_at(offset + skip, out)?,
        }
        Ok(())
    }

    /// The compressed grain at `offset`, up to the end of the disk at least.
    fn unpack(&self, grain: u64, offset: u64) -> Result<Vec<u8>> {
        let mut marker = GrainMarker::new_zeroed();
        self.file.read_at(offset, marker.as_mut_bytes())?;
        let (len, size) = (self.grain_len(), u64::from(marker.size.get()));
        let damaged = || corrupt(format!("the grain at {offset} is damaged"));
        // No compressor makes twice as much of anything.
        if marker.lba.get() != grain * self.header.grain_size.get() || size > 2 * len {
            return Err(damaged());
        }
        let mut packed = vec![0; size as usize];
        self.file.read_at(offset + size_of::<GrainMarker>() as u64, &mut packed)?;
        let mut unpacked = vec![0; len as usize];
        let needed = len.min(self.size() - grain * len) as usize;
        match libdeflater::Decompressor::new().zlib_decompress(&packed, &mut unpacked) {
            Ok(read) if read >= needed => Ok(unpacked),
            _ => Err(damaged()),
        }
    }
}

impl<F: ReadAt> ReadAt for Reader<F> {
    fn size(&self) -> u64 {
        self.header.capacity.get() * SECTOR
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        check_range(self, offset, out.len())?;
        read_blocks(self.grain_len(), offset, out, |grain, skip, part| self.read_grain(grain, skip, part))
    }
}

fn read_header<F: ReadAt>(file: &F, offset: u64) -> Result<Header> {
    let mut header = Header::new_zeroed();
    file.read_at(offset, header.as_mut_bytes())?;
    if header.magic_number != Header::MAGIC {
        return Err(corrupt(format!("the header at {offset} is not that of a VMDK")));
    }
    let has_end_lines = header.flags.get() & Header::VALID_NEWLINE != 0;
    if has_end_lines && header.end_line_chars != Header::END_LINE_CHARS {
        return Err(corrupt("the file was changed by a transfer as text"));
    }
    Ok(header)
}

/// The header at the end of a stream, between its marker and the one that ends the stream.
fn read_footer<F: ReadAt>(file: &F) -> Result<Header> {
    let missing = || corrupt("the footer is missing");
    if !file.size().is_multiple_of(SECTOR) {
        return Err(corrupt("the file ends inside a sector"));
    }
    let start = file.size().checked_sub(3 * SECTOR).ok_or_else(missing)?;
    let marker = |at: u64| {
        let mut marker = MetadataMarker::new_zeroed();
        file.read_at(at, marker.as_mut_bytes()).map(|()| marker)
    };
    let (before, after) = (marker(start)?, marker(start + 2 * SECTOR)?);
    if !before.is_of(MetadataMarker::FOOTER)
        || !after.is_of(MetadataMarker::END_OF_STREAM)
        || after.num_sectors.get() != 0
    {
        return Err(missing());
    }
    read_header(file, start + SECTOR)
}

fn check_supported(header: &Header) -> Result<()> {
    let flags = header.flags.get();
    let markers = Header::COMPRESSED | Header::EMBEDDED_LBA;
    let is_compressed = flags & markers == markers;
    let unsupported = [
        (!(1..=Header::VERSION).contains(&header.version.get()), "versions above 3"),
        (flags & Header::INCOMPATIBLE & !markers != 0, "its incompatible features"),
        (flags & markers != 0 && !is_compressed, "compressed grains without markers"),
        (is_compressed && header.compress_algorithm.get() != Header::DEFLATE, "its compression"),
    ];
    match unsupported.iter().find(|(is_so, _)| *is_so) {
        Some((_, what)) => Err(unsupported_error(what)),
        None => Ok(()),
    }
}

/// That the descriptor is of a disk in this file alone.
fn check_descriptor<F: ReadAt>(file: &F, header: &Header) -> Result<()> {
    let len = header.descriptor_size.get().min(DESCRIPTOR_MAX) * SECTOR;
    let mut text = vec![0; len as usize];
    file.read_at(header.descriptor_offset.get().saturating_mul(SECTOR), &mut text)?;
    // Padded with zeroes: readers in C see nothing behind the first.
    let text = String::from_utf8_lossy(text.split(|&byte| byte == 0).next().unwrap_or_default());
    let value = |key: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once('='));
        let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case(key))?;
        Some(value.trim().trim_matches('"').to_ascii_lowercase())
    };
    if !matches!(value("createType").as_deref(), Some("streamoptimized" | "monolithicsparse")) {
        return Err(unsupported_error("disks of several files"));
    }
    if value("CID").is_none_or(|id| u32::from_str_radix(&id, 16).is_err()) {
        return Err(corrupt("the descriptor has no content ID"));
    }
    match value("parentCID").as_deref() {
        None | Some("ffffffff") => Ok(()),
        Some(_) => Err(unsupported_error("disks with a parent")),
    }
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, "vmdk", message)
}

fn unsupported_error(what: &str) -> Error {
    Error::new(Kind::Unsupported, "vmdk", format!("{what} cannot be read"))
}
