//! Partitions wanted → partitions placed → the whole disk as extents. Pure.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use super::mbr::{self, BOOT_CODE_LEN};
use super::{PartitionId, PartitionKind, TableKind, gpt, kinds};
use crate::engine::RawImage;
use crate::error::{Error, Kind, Result, show_size};
use crate::extent::{Extent, Extents};
use crate::fs::Contents;
use crate::hint::{Hint, Setting};
use crate::seed::Uuid;

/// Partitions start and end on multiples of this many bytes: 1 MiB suits every flash page and RAID stripe. The first
/// and the last unit of a disk are in no partition.
pub const ALIGNMENT: u64 = 1 << 20;

/// The disk as a whole.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Size in bytes, a multiple of the sector size.
    pub size: u64,
    /// Bytes per sector: 512 or 4096.
    pub sector_size: u32,
    /// The kind of its table.
    pub table: TableKind,
    /// Identity of the disk.
    pub guid: Uuid,
    /// What a BIOS runs.
    pub boot: BootCode,
}

/// What a BIOS runs; zeroes if it has nothing to run.
#[derive(Clone, Debug)]
pub struct BootCode {
    /// In the first sector.
    pub first: [u8; BOOT_CODE_LEN],
    /// Behind that, up to the first partition: of an MBR alone, in a GPT there are the entries.
    pub behind: Arc<[u8]>,
}

impl Default for BootCode {
    fn default() -> Self {
        Self { first: [0; BOOT_CODE_LEN], behind: Arc::default() }
    }
}

/// A partition that is wanted.
#[derive(Clone, Debug)]
pub struct Unplaced {
    /// Type.
    pub kind: PartitionKind,
    /// Name, up to 36 UTF-16 units; an MBR has none.
    pub name: String,
    /// Identity of the partition.
    pub id: PartitionId,
    /// Attribute bits.
    pub attributes: u64,
    /// Least size in bytes.
    pub least: u64,
    /// Largest size in bytes, if there is one; in mebibytes, of which the last that is begun counts for a partition
    /// that needs it.
    pub most: Option<u64>,
    /// Its share of the disk beside those of others: none, and it has its least size.
    pub weight: u32,
}

/// A partition that has its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Number from 1 on.
    pub number: u32,
    /// First byte on the disk.
    pub start: u64,
    /// Size in bytes.
    pub size: u64,
    /// Type.
    pub kind: PartitionKind,
    /// Identity of the partition.
    pub id: PartitionId,
    /// Attribute bits.
    pub attributes: u64,
    /// Name.
    pub name: String,
}

impl Placed {
    /// One past the last byte.
    pub fn end(&self) -> u64 {
        self.start + self.size
    }

    /// First sector, as boot code and FAT boot sectors want it.
    pub fn first_lba(&self, sector_size: u32) -> u64 {
        self.start / u64::from(sector_size)
    }
}

/// The size in bytes of the smallest disk that holds `requests`.
pub fn minimum_size(requests: &[Unplaced]) -> u64 {
    requests.iter().map(least_units).fold(2, u64::saturating_add).saturating_mul(ALIGNMENT)
}

/// Give each partition its place on a disk of `disk_size` bytes, in order.
///
/// # Errors
/// [`Kind::NoSpace`] if they don't fit.
pub fn place(requests: &[Unplaced], disk_size: u64) -> Result<Vec<Placed>> {
    let needed = minimum_size(requests);
    if needed > disk_size {
        let message = format!(
            "the partitions need a disk of {}, this one has {}: {} bytes too few",
            show_size(needed),
            show_size(disk_size),
            needed - disk_size
        );
        return Err(Error::new(Kind::NoSpace { needed, available: disk_size }, "disk", message));
    }
    let mut start = ALIGNMENT;
    let sizes = share(requests, disk_size / ALIGNMENT - 2).into_iter().map(|units| units * ALIGNMENT);
    let placed = (1..).zip(requests).zip(sizes).map(|((number, request), size)| {
        start += size;
        Placed {
            number,
            start: start - size,
            size,
            kind: request.kind,
            id: request.id,
            attributes: request.attributes,
            name: request.name.clone(),
        }
    });
    Ok(placed.collect())
}

/// Units of [`ALIGNMENT`].
fn least_units(request: &Unplaced) -> u64 {
    request.least.max(1).div_ceil(ALIGNMENT)
}

/// The same of the largest size, which is never less than the least.
fn most_units(request: &Unplaced) -> u64 {
    request.most.map_or(u64::MAX, |most| most / ALIGNMENT).max(least_units(request))
}

/// How many of `units` each has, which are enough for all. What those without a weight leave is shared by the weights of
/// the others, as by `Weight=` of repart.d(5), but each has what it needs and no more than it may.
///
/// In each round all have their share or the nearest that they may have. Where that comes to more than there is, those
/// that were given more than their share keep it, else those that were given less; the others share what is left.
fn share(requests: &[Unplaced], units: u64) -> Vec<u64> {
    let mut sizes: Vec<_> = requests.iter().map(least_units).collect();
    let weight = |at: usize| u128::from(requests[at].weight);
    let mut sharing: Vec<_> = (0..requests.len()).filter(|&at| weight(at) > 0).collect();
    let mut room = sharing.iter().fold(units - sizes.iter().sum::<u64>(), |room, &at| room + sizes[at]);
    while !sharing.is_empty() {
        let weights: u128 = sharing.iter().map(|&at| weight(at)).sum();
        let part = |at: usize| (u128::from(room) * weight(at) / weights) as u64;
        let given = |at: usize| part(at).clamp(least_units(&requests[at]), most_units(&requests[at]));
        let parts: u64 = sharing.iter().map(|&at| part(at)).sum();
        let sum = sharing.iter().map(|&at| given(at)).fold(0, u64::saturating_add);
        let keeps = |at: usize| match sum.cmp(&parts) {
            Ordering::Greater => given(at) > part(at),
            Ordering::Less => given(at) < part(at),
            Ordering::Equal => true,
        };
        let (kept, others): (Vec<usize>, Vec<usize>) = sharing.into_iter().partition(|&at| keeps(at));
        kept.iter().for_each(|&at| sizes[at] = given(at));
        room -= kept.iter().map(|&at| sizes[at]).sum::<u64>();
        sharing = others;
        if sharing.is_empty() {
            // What division leaves.
            let last = kept.into_iter().rfind(|&at| most_units(&requests[at]) - sizes[at] >= room);
            last.into_iter().for_each(|last| sizes[last] += room);
        }
    }
    sizes
}

/// The whole disk: where every byte of it comes from.
#[derive(Debug)]
pub struct DiskLayout {
    /// Size in bytes.
    pub size: u64,
    /// Bytes per sector.
    pub sector_size: u32,
    /// The partitions, in order.
    pub partitions: Vec<Placed>,
    /// What is in each of them.
    contents: Vec<Contents>,
    /// The partition table, if there is one: at the front, and of a GPT at the back.
    table: [Option<Extent>; 2],
}

impl DiskLayout {
    /// The disk with these contents in these partitions. A partition larger than its content is zero
    /// behind it.
    ///
    /// # Errors
    /// [`Kind::NoSpace`] if a content is larger than its partition, [`Kind::Input`] if the table cannot
    /// say what is asked (a name too long, a size that is no multiple of the sector).
    pub fn new(disk: &Disk, contents: Vec<(Placed, Contents)>) -> Result<Self> {
        let (front, back) = encode_table(disk, &contents)?;
        for (placed, content) in &contents {
            if content.size > placed.size {
                let (needed, available) = (content.size, placed.size);
                let message =
                    format!("{} does not fit a partition of {}", show_size(needed), show_size(available));
                return Err(Error::new(Kind::NoSpace { needed, available }, &placed.name, message));
            }
        }
        let (partitions, contents) = contents.into_iter().unzip();
        let table = [Some(front), back];
        Ok(Self { size: disk.size, sector_size: disk.sector_size, partitions, contents, table })
    }

    /// No disk but one content, which begins at the first byte: `placed` says what it is.
    pub fn bare(placed: Placed, content: Contents) -> Self {
        let (size, table) = (placed.size, [None, None]);
        Self { size, sector_size: mbr::SECTOR_SIZE, partitions: vec![placed], contents: vec![content], table }
    }

    /// Where the content of a partition, by its number, lies on the disk, in bytes.
    pub fn content(&self, number: u32) -> Option<Range<u64>> {
        let mut partitions = self.partitions.iter().zip(&self.contents);
        let (placed, content) = partitions.find(|(placed, _)| placed.number == number)?;
        Some(placed.start..placed.start + content.size)
    }

    /// The disk as the engine takes it.
    pub fn image(&self) -> RawImage<'_> {
        RawImage { size: self.size, extents: self }
    }
}

impl Extents for DiskLayout {
    fn iter(&self) -> Box<dyn Iterator<Item = Extent> + Send + '_> {
        let [front, back] = self.table.clone();
        let partitions = self.partitions.iter().zip(&self.contents);
        let contents = partitions
            .flat_map(|(placed, content)| content.extents.iter().map(|extent| extent.shifted(placed.start)));
        Box::new(front.into_iter().chain(contents).chain(back))
    }
}

fn encode_table(disk: &Disk, contents: &[(Placed, Contents)]) -> Result<(Extent, Option<Extent>)> {
    let sector = u64::from(disk.sector_size);
    if sector == 0 || !disk.size.is_multiple_of(sector) {
        let message = format!("{} bytes are not a multiple of the sector size {sector}", disk.size);
        return Err(Error::new(Kind::Input, "disk", message));
    }
    let placed = contents.iter().map(|(placed, _)| placed);
    match disk.table {
        TableKind::Gpt => {
            let partitions = placed.map(|placed| placed.in_gpt(sector)).collect::<Result<_>>()?;
            let (disk_guid, sector_size) = (disk.guid, disk.sector_size);
            let table = gpt::Table { disk_guid, sector_size, sectors: disk.size / sector, partitions };
            let [front, back] = gpt::encode(&table, &disk.boot.first)?;
            Ok((front, Some(back)))
        }
        TableKind::Mbr => {
            let partitions = placed.map(Placed::in_mbr).collect::<Result<_>>()?;
            let table = mbr::Table { signature: mbr::signature(disk.guid), partitions };
            Ok((mbr::encode(&table, &disk.boot.first, &disk.boot.behind)?, None))
        }
    }
}

impl Placed {
    fn in_gpt(&self, sector: u64) -> Result<gpt::Partition> {
        let (PartitionKind::Guid(kind), PartitionId::Guid(guid)) = (self.kind, self.id) else {
            return Err(Error::new(Kind::Input, &self.name, "has no GUIDs, which a GPT has of each"));
        };
        Ok(gpt::Partition {
            number: self.number,
            kind,
            guid,
            first_lba: self.start / sector,
            last_lba: (self.end() / sector).saturating_sub(1),
            attributes: self.attributes,
            name: self.name.clone(),
        })
    }

    fn in_mbr(&self) -> Result<mbr::Partition> {
        let PartitionKind::Byte(kind) = self.kind else {
            let message = format!("is of the type {}, which an MBR has not", self.kind);
            return Err(Error::new(Kind::Input, &self.name, message));
        };
        if self.end() > mbr::LIMIT {
            let message = format!("ends at {}, and an MBR reaches to 2 TiB", show_size(self.end()));
            return Err(Error::new(Kind::Unsupported, &self.name, message)
                .with_hint(Hint::from("ask for ").set(Setting::Table, "gpt")));
        }
        let sectors = |bytes: u64| (bytes / u64::from(mbr::SECTOR_SIZE)) as u32;
        Ok(mbr::Partition {
            number: self.number,
            kind,
            first_lba: sectors(self.start),
            sectors: sectors(self.size),
            is_active: self.attributes & kinds::LEGACY_BOOT != 0,
        })
    }
}
