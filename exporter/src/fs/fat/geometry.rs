//! FAT type, cluster size and the place of each area, from the size of the volume.

use super::format::ENTRY_LEN;

/// The width of a FAT entry. By the specification it follows from the count of clusters alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FatType {
    /// Fewer than 4,085 clusters.
    Fat12,
    /// Fewer than 65,525 clusters.
    Fat16,
    /// From 65,525 clusters on.
    Fat32,
}

impl FatType {
    /// Its name in the boot sector and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fat12 => "FAT12",
            Self::Fat16 => "FAT16",
            Self::Fat32 => "FAT32",
        }
    }

    /// Bits of a FAT entry.
    pub(super) fn bits(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }

    /// The counts of clusters it is used with. They stay 16 clusters away from the specification's
    /// bounds, as it advises, because many drivers are off by a few there.
    fn clusters(self) -> std::ops::RangeInclusive<u64> {
        match self {
            Self::Fat12 => 1..=4_084 - 16,
            Self::Fat16 => 4_085 + 16..=65_524 - 16,
            Self::Fat32 => 65_525 + 16..=0x0fff_fff5 - 16,
        }
    }

    fn reserved_sectors(self) -> u64 {
        match self {
            Self::Fat12 | Self::Fat16 => 1,
            Self::Fat32 => 32,
        }
    }
}

/// Both FATs are written: some firmware insists on two.
pub(super) const FATS: u64 = 2;

/// Root entries of FAT12 and FAT16, unless more are needed.
const ROOT_ENTRIES: u64 = 512;

/// A FAT type with a cluster size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) kind: FatType,
    pub(super) sector_size: u64,
    pub(super) cluster_size: u64,
}

impl Shape {
    /// All there are, the best first: FAT32 before FAT16 before FAT12, clusters of 4 KiB (a page, and the
    /// true sector of most disks), then smaller ones, then larger ones.
    pub(super) fn all(kind: Option<FatType>, sector_size: u32) -> impl Iterator<Item = Self> {
        const CLUSTER_SIZES: [u64; 7] = [4096, 2048, 1024, 512, 8192, 16384, 32768];
        let sector_size = u64::from(sector_size);
        let kinds = [FatType::Fat32, FatType::Fat16, FatType::Fat12];
        let kinds = kinds.into_iter().filter(move |&each| kind.is_none_or(|only| only == each));
        kinds.flat_map(move |kind| {
            let sizes = CLUSTER_SIZES.into_iter().filter(move |&size| size >= sector_size);
            sizes.map(move |cluster_size| Self { kind, sector_size, cluster_size })
        })
    }

    fn sectors_per_cluster(&self) -> u64 {
        self.cluster_size / self.sector_size
    }

    /// Sectors of the fixed root directory with room for `needed` entries; FAT32 has none.
    fn root_sectors(&self, needed: u64) -> u64 {
        match self.kind {
            FatType::Fat32 => 0,
            _ => (needed.max(ROOT_ENTRIES) * ENTRY_LEN as u64).div_ceil(self.sector_size),
        }
    }

    /// Bytes of the smallest volume of this shape with `clusters` and room for `root_entries`.
    pub(super) fn size_for(&self, clusters: u64, root_entries: u64) -> u64 {
        let clusters = clusters.max(*self.kind.clusters().start());
        let fat = ((clusters + 2) * self.kind.bits()).div_ceil(8 * self.sector_size);
        let before = self.kind.reserved_sectors() + FATS * fat + self.root_sectors(root_entries);
        (before + clusters * self.sectors_per_cluster()) * self.sector_size
    }
}

/// Where each area of a volume lies.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub(super) shape: Shape,
    pub(super) total_sectors: u32,
    pub(super) reserved_sectors: u64,
    pub(super) fat_sectors: u64,
    root_sectors: u64,
    /// Clusters 2 to `clusters` + 1 exist.
    pub(super) clusters: u64,
}

impl Geometry {
    /// The volume of that shape in `size` bytes with room for `root_entries`, if it is possible.
    pub(super) fn new(shape: Shape, size: u64, root_entries: u64) -> Option<Self> {
        let total_sectors = u32::try_from(size / shape.sector_size).ok()?;
        let reserved_sectors = shape.kind.reserved_sectors();
        let root_sectors = shape.root_sectors(root_entries);
        let data = u64::from(total_sectors).checked_sub(reserved_sectors + root_sectors)?;
        // The least f with room for an entry of every cluster, of (data - 2 f) / sectors_per_cluster + 2.
        let (bits, per_cluster) = (shape.kind.bits(), shape.sectors_per_cluster());
        let fat_sectors =
            ((data + 2 * per_cluster) * bits).div_ceil(8 * shape.sector_size * per_cluster + FATS * bits);
        let clusters = data.checked_sub(FATS * fat_sectors)? / per_cluster;
        let geometry = Self { shape, total_sectors, reserved_sectors, fat_sectors, root_sectors, clusters };
        let possible =
            shape.kind.clusters().contains(&clusters) && geometry.root_entries() <= u64::from(u16::MAX);
        possible.then_some(geometry)
    }

    /// Entries of the fixed root directory, 0 in FAT32.
    pub(super) fn root_entries(&self) -> u64 {
        self.root_sectors * self.shape.sector_size / ENTRY_LEN as u64
    }

    /// Byte offset of a copy of the FAT.
    pub(super) fn fat_offset(&self, copy: u64) -> u64 {
        (self.reserved_sectors + copy * self.fat_sectors) * self.shape.sector_size
    }

    /// Byte offset of the fixed root directory.
    pub(super) fn root_offset(&self) -> u64 {
        self.fat_offset(FATS)
    }

    /// Byte offset of a cluster; the first is number 2.
    pub(super) fn cluster_offset(&self, cluster: u32) -> u64 {
        let first = self.root_offset() + self.root_sectors * self.shape.sector_size;
        first + u64::from(cluster - 2) * self.shape.cluster_size
    }
}
