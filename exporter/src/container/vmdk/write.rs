//! Chunks → a VMDK stream.

use std::sync::{Mutex, MutexGuard, PoisonError};

use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::{U32, U64};

use super::format::{EMPTY, GTES_PER_GT, GrainMarker, Header, MetadataMarker, SECTOR};
use crate::codec::{Codecs, Coding};
use crate::container::place::Place;
use crate::engine::{Chunk, Piece, Sink, Stored};
use crate::error::{Error, Kind, Result, show_size};
use crate::seed::Uuid;

/// Sectors of a grain.
const GRAIN_SECTORS: u64 = 128;
const GRAIN: u64 = GRAIN_SECTORS * SECTOR;
/// Bytes of the disk that a grain table covers.
const TABLE_SPAN: u64 = GTES_PER_GT * GRAIN;
const DESCRIPTOR_OFFSET: u64 = 1;
const DESCRIPTOR_SIZE: u64 = 20;
/// The first grain lies where a grain would, as VirtualBox and VMware have it.
const OVER_HEAD: u64 = GRAIN_SECTORS;
/// The largest disk of vSphere.
const SIZE_MAX: u64 = 62 << 40;

/// Writes a streamOptimized VMDK: every offset is behind the one before.
pub(in crate::container) struct Writer<P> {
    capacity: u64,
    codecs: Codecs,
    stream: Mutex<Stream>,
    place: P,
}

impl<P: Place> Writer<P> {
    /// A disk of `size` bytes, rounded up to whole sectors. Writes what is in front of the grains.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] if VMware has no disks as large.
    pub(in crate::container) fn new(size: u64, id: Uuid, place: P) -> Result<Self> {
        if size > SIZE_MAX {
            let message =
                format!("{} is more than the {} of the largest disk", show_size(size), show_size(SIZE_MAX));
            return Err(Error::new(Kind::Unsupported, "vmdk", message));
        }
        let capacity = size.div_ceil(SECTOR);
        let stream = Mutex::new(Stream::new(size.div_ceil(TABLE_SPAN)));
        place.write_at(header(capacity, Header::GD_AT_END).as_bytes(), 0)?;
        place.write_at(descriptor(capacity, id).as_bytes(), DESCRIPTOR_OFFSET * SECTOR)?;
        Ok(Self { capacity, codecs: Codecs::new(Coding::Zlib), stream, place })
    }

    /// Where it writes.
    pub(in crate::container) fn place(&self) -> &P {
        &self.place
    }

    /// Bytes of the disk that are stored so far, before compression.
    pub(in crate::container) fn populated(&self) -> u64 {
        self.stream().grains * GRAIN
    }

    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Place> Sink for Writer<P> {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let mut codec = self.codecs.lend()?;
        for plain in chunk.blocks(GRAIN as usize) {
            let start = stored.packed.len();
            stored.packed.resize(start + size_of::<GrainMarker>(), 0);
            let bound = codec.bound(GRAIN as usize);
            let data = codec.pack(&chunk.padded()[plain.clone()], bound, &mut stored.packed);
            let data = data.expect("zlib never needs more than its bound");
            let lba = (chunk.offset + plain.start as u64) / SECTOR;
            let marker = GrainMarker { lba: lba.into(), size: U32::new(data.len() as u32) };
            stored.packed[start..data.start].copy_from_slice(marker.as_bytes());
            let end = data.end.next_multiple_of(SECTOR as usize);
            stored.packed.resize(end, 0);
            stored.pieces.push(Piece { packed: Some(start..end), ..Piece::plain(plain) });
        }
        Ok(())
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        let mut stream = self.stream();
        // A chunk lies within one table, so that only the table of those before can be complete.
        let table = stream.open_table(chunk.offset / TABLE_SPAN)?;
        stream.grains += stored.pieces.len() as u64;
        for piece in &mut stored.pieces {
            let grain = (chunk.offset + piece.plain.start as u64) / GRAIN;
            let sector = stream.allocate(piece.len() as u64)?;
            stream.entries[(grain % GTES_PER_GT) as usize] = sector.into();
            piece.at = u64::from(sector) * SECTOR;
        }
        if let Some((sector, table)) = table {
            let start = stored.packed.len();
            stored.packed.extend(table);
            let packed = Some(start..stored.packed.len());
            let at = u64::from(sector) * SECTOR;
            stored.pieces.insert(0, Piece { packed, at, ..Piece::plain(0..0) });
        }
        stored.writes(chunk).try_for_each(|(at, bytes)| self.place.write_at(bytes, at))
    }

    fn finish(&self) -> Result<()> {
        let mut stream = self.stream();
        let mut end = Vec::new();
        let start = stream.next;
        if let Some((_, table)) = stream.close_table()? {
            end.extend(table);
        }
        let directory = metadata(MetadataMarker::GRAIN_DIRECTORY, stream.directory.as_bytes());
        let gd_offset = u64::from(stream.allocate(directory.len() as u64)?) + 1;
        end.extend(directory);
        end.extend(metadata(MetadataMarker::FOOTER, header(self.capacity, gd_offset).as_bytes()));
        end.extend(metadata(MetadataMarker::END_OF_STREAM, &[]));
        self.place.write_at(&end, start * SECTOR)?;
        self.place.set_len(start * SECTOR + end.len() as u64)
    }
}

/// What is in the file so far.
struct Stream {
    /// The next free sector.
    next: u64,
    /// Grains that are stored.
    grains: u64,
    /// Where each grain table lies.
    directory: Vec<U32>,
    /// The number of the grain table that is not written yet, and its entries.
    open: Option<u64>,
    entries: Vec<U32>,
}

impl Stream {
    fn new(tables: u64) -> Self {
        let entries = vec![U32::new(EMPTY); GTES_PER_GT as usize];
        Self {
            next: OVER_HEAD,
            grains: 0,
            directory: vec![U32::new(EMPTY); tables as usize],
            open: None,
            entries,
        }
    }

    /// The sector where `len` bytes go, a multiple of the sector.
    fn allocate(&mut self, len: u64) -> Result<u32> {
        let sector = u32::try_from(self.next)
            .map_err(|_| Error::new(Kind::Unsupported, "vmdk", "the file would be larger than 2 TiB"))?;
        self.next += len / SECTOR;
        Ok(sector)
    }

    /// Start a grain table; returns the one before, if it is complete with that, to be written.
    fn open_table(&mut self, table: u64) -> Result<Option<(u32, Vec<u8>)>> {
        let complete = if self.open == Some(table) { None } else { self.close_table()? };
        self.open = Some(table);
        Ok(complete)
    }

    /// The sector and the bytes, marker included, of the grain table that is not written yet.
    fn close_table(&mut self) -> Result<Option<(u32, Vec<u8>)>> {
        let Some(table) = self.open.take() else { return Ok(None) };
        let bytes = metadata(MetadataMarker::GRAIN_TABLE, self.entries.as_bytes());
        self.entries.fill(U32::new(EMPTY));
        let sector = self.allocate(bytes.len() as u64)?;
        self.directory[table as usize] = (sector + 1).into();
        Ok(Some((sector, bytes)))
    }
}

/// Metadata behind its marker, in whole sectors.
fn metadata(type_: u32, bytes: &[u8]) -> Vec<u8> {
    let sectors = (bytes.len() as u64).div_ceil(SECTOR);
    let mut whole = MetadataMarker::new(type_, sectors).as_bytes().to_vec();
    whole.extend(bytes);
    whole.resize(MetadataMarker::SIZE + (sectors * SECTOR) as usize, 0);
    whole
}

fn header(capacity: u64, gd_offset: u64) -> Header {
    Header {
        magic_number: Header::MAGIC,
        version: Header::VERSION.into(),
        flags: (Header::VALID_NEWLINE | Header::COMPRESSED | Header::EMBEDDED_LBA).into(),
        capacity: capacity.into(),
        grain_size: GRAIN_SECTORS.into(),
        descriptor_offset: DESCRIPTOR_OFFSET.into(),
        descriptor_size: DESCRIPTOR_SIZE.into(),
        num_gtes_per_gt: U32::new(GTES_PER_GT as u32),
        rgd_offset: U64::ZERO,
        gd_offset: gd_offset.into(),
        over_head: OVER_HEAD.into(),
        unclean_shutdown: 0,
        end_line_chars: Header::END_LINE_CHARS,
        compress_algorithm: Header::DEFLATE.into(),
        pad: [0; 433],
    }
}

/// Section "The Descriptor File". The geometry is that of disks above 4 GB, which nothing but a BIOS
/// reads; toolsInstallType 4 and the version stand for guests that bring tools of their own. The UUIDs are for
/// VirtualBox, which makes others each time it opens a disk without and then finds that they do not match.
fn descriptor(capacity: u64, id: Uuid) -> String {
    const HEADS: u64 = 255;
    const SECTORS: u64 = 63;
    let word = |at: usize| u32::from_be_bytes([id.0[at], id.0[at + 1], id.0[at + 2], id.0[at + 3]]);
    // The part of the UUID with its variant: never ffffffff, which would be no parent.
    let cid = word(8);
    let (long_1, long_2, long_3) = (word(0), word(4), word(12));
    let none = Uuid([0; 16]);
    let cylinders = capacity.div_ceil(HEADS * SECTORS).min(65535);
    format!(
        r#"# Disk DescriptorFile
version=1
encoding="UTF-8"
CID={cid:08x}
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RW {capacity} SPARSE "disk.vmdk"

# The Disk Data Base
#DDB

ddb.uuid.image = "{id}"
ddb.uuid.modification = "{id}"
ddb.uuid.parent = "{none}"
ddb.uuid.parentmodification = "{none}"
ddb.longContentID = "{long_1:08x}{long_2:08x}{long_3:08x}{cid:08x}"
ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "{cylinders}"
ddb.geometry.heads = "{HEADS}"
ddb.geometry.sectors = "{SECTORS}"
ddb.adapterType = "lsilogic"
ddb.toolsInstallType = "4"
ddb.toolsVersion = "2147483647"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_ends_where_offsets_do() {
        let mut stream = Stream::new(1);
        stream.next = u64::from(u32::MAX);
        assert_eq!(stream.allocate(GRAIN).unwrap(), u32::MAX);
        let error = stream.allocate(GRAIN).unwrap_err();
        assert_eq!(error.to_string(), "vmdk: the file would be larger than 2 TiB");
    }
}
