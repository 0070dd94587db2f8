//! The bytes of a volume → what is on it, for `inspect`. No byte of it is trusted.

use std::cell::RefCell;
use std::ops::Range;

use zerocopy::FromBytes;

use super::format::{
    BiosParameterBlock, DirectoryEntry, ENTRY_LEN, Fat32Block, LongEntry, SECTOR_LEN, SIGNATURE, Stamp,
    VolumeBlock,
};
use super::geometry::FatType;
use super::names;
use super::walk::Walk;
use crate::error::{Error, Kind, Result};
use crate::fs::DiskBudget;
use crate::read_at::ReadAt;

/// Largest FAT that is read: that of 16 GiB in clusters of 4 KiB.
const FAT_MAX: u64 = 16 << 20;
/// Largest directory in bytes: its entries are counted in 16 bits.
const DIRECTORY_MAX: usize = 65_536 * ENTRY_LEN;

/// What is on a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The width of its FAT entries.
    pub kind: FatType,
    /// The label in its root directory, or else in its boot sector; empty for none.
    pub label: String,
    /// Serial number, what Linux shows as the UUID `1234-ABCD`.
    pub serial: u32,
    /// Size in bytes.
    pub size: u64,
    /// Bytes in free clusters.
    pub free: u64,
}

/// Read what `volume` says of itself.
///
/// # Errors
/// [`Kind::Corrupt`] if it breaks the format, [`Kind::Unsupported`] if it is larger than a boot partition
/// sensibly is.
pub fn read<V: ReadAt + ?Sized>(volume: &V, budget: &DiskBudget) -> Result<Found> {
    let reader = Reader::open(volume, budget)?;
    let mut found = Found {
        kind: reader.boot.kind,
        label: reader.boot.label.clone(),
        serial: reader.boot.serial,
        size: reader.boot.total_sectors * reader.boot.sector_size,
        free: reader.free_clusters() * reader.boot.cluster_size,
    };
    let root = reader.root_directory()?;
    if let Some(label) = Entries(&root).find(|entry| entry.attr & DirectoryEntry::ATTR_VOLUME_ID != 0) {
        found.label =
            label.short.iter().map(|&byte| char::from(byte)).collect::<String>().trim_end().to_owned();
    }
    Ok(found)
}

/// Paths of the files on `volume`, without a slash at the start, in the order of their names.
///
/// # Errors
/// As [`read`].
pub fn files<V: ReadAt + ?Sized>(volume: &V, budget: &DiskBudget) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let reader = Reader::open(volume, budget)?;
    let mut walk = Walk::new(&reader)?;
    while let Some((path, entry)) = walk.next()? {
        if !entry.is_directory() {
            budget.boot_path(path.len() as u64)?;
            files.push(path);
        }
    }
    Ok(files)
}

/// The bytes of a file without a slash at the start of its path, if there is one and it has no more than `max`. Names have no case.
///
/// # Errors
/// As [`read`].
pub fn read_file<V: ReadAt + ?Sized>(
    volume: &V,
    path: &str,
    max: usize,
    budget: &DiskBudget,
) -> Result<Option<Vec<u8>>> {
    let reader = Reader::open(volume, budget)?;
    let mut walk = Walk::new(&reader)?;
    while let Some((found, entry)) = walk.next()? {
        if entry.is_file_of(max) && found.eq_ignore_ascii_case(path) {
            return reader.text(entry.cluster, u64::from(entry.size)).map(|(bytes, _)| Some(bytes));
        }
    }
    Ok(None)
}

/// The files that are wanted by their paths, which have no slash at the start, and have no more bytes than `max`; in the
/// order of their names.
///
/// # Errors
/// As [`read`]; if all of them have more than may be kept of the disk.
pub fn read_files<V: ReadAt + ?Sized>(
    volume: &V,
    is_wanted: impl Fn(&str) -> bool,
    max: usize,
    budget: &DiskBudget,
) -> Result<Vec<(String, Vec<u8>)>> {
    let (mut files, mut cost) = (Vec::new(), 0);
    let reader = Reader::open(volume, budget)?;
    let mut walk = Walk::new(&reader)?;
    while let Some((path, entry)) = walk.next()? {
        if entry.is_file_of(max) && is_wanted(&path) {
            let more = path.len() as u64 + u64::from(entry.size);
            budget.keep(more)?;
            cost += more;
            let (bytes, _) = reader.text(entry.cluster, u64::from(entry.size))?;
            files.push((path, bytes));
        }
    }
    budget.release(cost);
    Ok(files)
}

pub(super) fn corrupt(message: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, "FAT volume", message)
}

/// What the boot sector says, checked: every area lies inside the volume.
struct BootSector {
    kind: FatType,
    sector_size: u64,
    cluster_size: u64,
    total_sectors: u64,
    fat_offset: u64,
    root_offset: u64,
    root_len: u64,
    data_offset: u64,
    clusters: u64,
    root_cluster: u32,
    label: String,
    serial: u32,
}

impl BootSector {
    fn read<V: ReadAt + ?Sized>(volume: &V) -> Result<Self> {
        let mut sector = [0; SECTOR_LEN];
        volume.read_at(0, &mut sector)?;
        if sector[SECTOR_LEN - 2..] != SIGNATURE {
            return Err(corrupt("the boot sector has no signature"));
        }
        let short = || corrupt("the boot sector is too short");
        let (common, rest) = BiosParameterBlock::ref_from_prefix(&sector).map_err(|_| short())?;
        let (fat32, after_fat32) = Fat32Block::ref_from_prefix(rest).map_err(|_| short())?;
        // FAT32 alone says 0 here, by the specification's own way of telling them apart.
        let is_fat32 = common.bpb_fatsz16.get() == 0;
        let (identity, _) =
            VolumeBlock::ref_from_prefix(if is_fat32 { after_fat32 } else { rest }).map_err(|_| short())?;
        Self::check(common, is_fat32.then_some(fat32), identity, volume.size())
    }

    fn check(
        common: &BiosParameterBlock,
        fat32: Option<&Fat32Block>,
        identity: &VolumeBlock,
        size: u64,
    ) -> Result<Self> {
        let sector_size = u64::from(common.bpb_byts_per_sec.get());
        let per_cluster = u64::from(common.bpb_sec_per_clus);
        if !sector_size.is_power_of_two()
            || !(512..=4096).contains(&sector_size)
            || !per_cluster.is_power_of_two()
        {
            return Err(corrupt("the boot sector has an impossible sector or cluster size"));
        }
        let total_sectors = match common.bpb_tot_sec16.get() {
            0 => u64::from(common.bpb_tot_sec32.get()),
            sectors => u64::from(sectors),
        };
        let fat_sectors = match fat32 {
            Some(fat32) => u64::from(fat32.bpb_fatsz32.get()),
            None => u64::from(common.bpb_fatsz16.get()),
        };
        let root_len = u64::from(common.bpb_root_ent_cnt.get()) * ENTRY_LEN as u64;
        let fat_start = u64::from(common.bpb_rsvd_sec_cnt.get());
        let root_start = fat_start + u64::from(common.bpb_num_fats) * fat_sectors;
        let data_start = root_start + root_len.div_ceil(sector_size);
        if total_sectors * sector_size > size || data_start > total_sectors || common.bpb_num_fats == 0 {
            return Err(corrupt("the boot sector describes areas outside the volume"));
        }
        let clusters = (total_sectors - data_start) / per_cluster;
        let kind = match clusters {
            _ if fat32.is_some() => FatType::Fat32,
            0..4085 => FatType::Fat12,
            _ => FatType::Fat16,
        };
        if (clusters + 2) * kind.bits() > fat_sectors * sector_size * 8 {
            return Err(corrupt("the allocation table is too short for the clusters"));
        }
        let has_identity = identity.bs_boot_sig == VolumeBlock::PRESENT;
        let label = String::from_utf8_lossy(&identity.bs_vol_lab).trim_end().to_owned();
        Ok(Self {
            kind,
            sector_size,
            cluster_size: per_cluster * sector_size,
            total_sectors,
            fat_offset: fat_start * sector_size,
            root_offset: root_start * sector_size,
            root_len,
            data_offset: data_start * sector_size,
            clusters,
            root_cluster: fat32.map_or(0, |fat32| fat32.bpb_root_clus.get()),
            label: if has_identity && label != "NO NAME" { label } else { String::new() },
            serial: if has_identity { identity.bs_vol_id.get() } else { 0 },
        })
    }
}

/// The first copy of the allocation table, as far as there are clusters.
fn read_fat<V: ReadAt + ?Sized>(volume: &V, boot: &BootSector, budget: &DiskBudget) -> Result<Vec<u8>> {
    let len = ((boot.clusters + 2) * boot.kind.bits()).div_ceil(8);
    if len > FAT_MAX {
        return Err(Error::new(
            Kind::Unsupported,
            "FAT volume",
            "the allocation table is larger than 16 MiB",
        ));
    }
    budget.read(len)?;
    let mut fat = vec![0; len as usize];
    volume.read_at(boot.fat_offset, &mut fat)?;
    Ok(fat)
}

/// A volume whose boot sector is sound.
pub(super) struct Reader<'a, V: ?Sized> {
    volume: &'a V,
    budget: &'a DiskBudget,
    boot: BootSector,
    fat: Vec<u8>,
    /// A bit for each cluster that was met. One belongs to one file or directory, once: no chain leads to itself,
    /// and no directory contains itself.
    met: RefCell<Vec<u8>>,
}

impl<'a, V: ReadAt + ?Sized> Reader<'a, V> {
    pub(super) fn open(volume: &'a V, budget: &'a DiskBudget) -> Result<Self> {
        let boot = BootSector::read(volume)?;
        let fat = read_fat(volume, &boot, budget)?;
        // Not longer than the table.
        let met = RefCell::new(vec![0; ((boot.clusters + 2).div_ceil(8)) as usize]);
        Ok(Self { volume, budget, boot, fat, met })
    }

    fn meet(&self, cluster: u32) -> Result<()> {
        let twice = || corrupt(format!("cluster {cluster} is in use twice"));
        let mut met = self.met.borrow_mut();
        let (byte, bit) = (met.get_mut(cluster as usize / 8).ok_or_else(twice)?, 1 << (cluster % 8));
        if *byte & bit != 0 {
            return Err(twice());
        }
        *byte |= bit;
        Ok(())
    }

    /// What this and other volumes of the disk may cost.
    pub(super) fn budget(&self) -> &'a DiskBudget {
        self.budget
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.budget.read(out.len() as u64)?;
        self.volume.read_at(offset, out)
    }

    /// Where a cluster that exists lies.
    fn place(&self, cluster: u32) -> u64 {
        self.boot.data_offset + u64::from(cluster - 2) * self.boot.cluster_size
    }

    /// The entry of a cluster that exists.
    fn fat_entry(&self, cluster: u32) -> u32 {
        let bit = u64::from(cluster) * self.boot.kind.bits();
        let byte = |index: u64| u32::from(self.fat.get(index as usize).copied().unwrap_or(0));
        let at = bit / 8;
        match self.boot.kind {
            FatType::Fat12 if bit.is_multiple_of(8) => byte(at) | (byte(at + 1) & 0xf) << 8,
            FatType::Fat12 => byte(at) >> 4 | byte(at + 1) << 4,
            FatType::Fat16 => byte(at) | byte(at + 1) << 8,
            // The upper four bits are reserved.
            FatType::Fat32 => byte(at) | byte(at + 1) << 8 | byte(at + 2) << 16 | (byte(at + 3) & 0xf) << 24,
        }
    }

    fn exists(&self, cluster: u32) -> bool {
        (2..self.boot.clusters + 2).contains(&u64::from(cluster))
    }

    fn free_clusters(&self) -> u64 {
        let last = u32::try_from(self.boot.clusters + 1).unwrap_or(u32::MAX);
        (2..=last).filter(|&cluster| self.fat_entry(cluster) == 0).count() as u64
    }

    /// The bytes of the root directory.
    pub(super) fn root_directory(&self) -> Result<Vec<u8>> {
        if self.boot.kind == FatType::Fat32 {
            return self.directory(self.boot.root_cluster);
        }
        let mut bytes = vec![0; self.boot.root_len as usize];
        self.read_at(self.boot.root_offset, &mut bytes)?;
        Ok(bytes)
    }

    /// The bytes of a directory from its first cluster on.
    pub(super) fn directory(&self, first: u32) -> Result<Vec<u8>> {
        let (mut bytes, mut cluster) = (Vec::new(), first);
        while self.exists(cluster) {
            self.meet(cluster)?;
            if bytes.len() >= DIRECTORY_MAX {
                return Err(corrupt("a directory has more than 65,536 entries"));
            }
            let mut part = vec![0; self.boot.cluster_size as usize];
            self.read_at(self.place(cluster), &mut part)?;
            bytes.append(&mut part);
            cluster = self.fat_entry(cluster);
        }
        Ok(bytes)
    }

    /// Hand the first `len` bytes from a cluster on to `emit`, piece by piece.
    pub(super) fn content(&self, first: u32, len: u64, emit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut bytes = Vec::new();
        self.for_each_place(first, len, &mut |place| {
            bytes.resize((place.end - place.start) as usize, 0);
            self.read_at(place.start, &mut bytes)?;
            emit(&bytes);
            Ok(())
        })
    }

    /// The first `len` bytes from a cluster on, and where they lie, in their order.
    pub(super) fn text(&self, first: u32, len: u64) -> Result<(Vec<u8>, Vec<Range<u64>>)> {
        let (mut text, mut places) = (vec![0; len as usize], Vec::new());
        let mut left = text.as_mut_slice();
        self.for_each_place(first, len, &mut |place| {
            let (part, after) = std::mem::take(&mut left).split_at_mut((place.end - place.start) as usize);
            left = after;
            self.read_at(place.start, part)?;
            places.push(place);
            Ok(())
        })?;
        Ok((text, places))
    }

    fn for_each_place(
        &self,
        first: u32,
        len: u64,
        with: &mut dyn FnMut(Range<u64>) -> Result<()>,
    ) -> Result<()> {
        let (mut left, mut cluster) = (len, first);
        while left > 0 {
            if !self.exists(cluster) {
                return Err(corrupt("a file ends before its last byte"));
            }
            self.meet(cluster)?;
            let part = left.min(self.boot.cluster_size);
            let start = self.place(cluster);
            with(start..start + part)?;
            left -= part;
            cluster = self.fat_entry(cluster);
        }
        Ok(())
    }
}

/// One file, directory or label.
pub(super) struct Listed {
    short: names::ShortName,
    pub(super) name: String,
    attr: u8,
    pub(super) cluster: u32,
    /// In bytes; of a directory nothing.
    pub(super) size: u32,
    pub(super) modified: Stamp,
}

/// Goes through the entries of a directory.
pub(super) struct Entries<'a>(pub(super) &'a [u8]);

impl Iterator for Entries<'_> {
    type Item = Listed;

    fn next(&mut self) -> Option<Listed> {
        // The entries of a long name come before the short one, its end first.
        let mut long = Vec::new();
        loop {
            let (entry, rest) = DirectoryEntry::ref_from_prefix(self.0).ok()?;
            let (part, _) = LongEntry::ref_from_prefix(self.0).ok()?;
            self.0 = rest;
            match entry.dir_name[0] {
                END => return None,
                DELETED => long.clear(),
                _ if entry.dir_attr & LongEntry::ATTR_LONG_NAME == LongEntry::ATTR_LONG_NAME => {
                    if part.ldir_ord & LongEntry::LAST_LONG_ENTRY != 0 || long.len() > names::LONG_MAX {
                        long.clear();
                    }
                    let units = part.ldir_name1.iter().chain(&part.ldir_name2).chain(&part.ldir_name3);
                    let units = units.map(|unit| unit.get()).take_while(|&unit| unit != 0);
                    long.splice(0..0, units);
                }
                _ => return Some(Listed::new(entry, &long)),
            }
        }
    }
}

/// First byte of the entry after the last one, and of an entry that is no more.
const END: u8 = 0x00;
const DELETED: u8 = 0xe5;
/// `dir_nt_res`: the base or the extension of the name is shown in lower case.
const LOWER_BASE: u8 = 0x08;
const LOWER_EXTENSION: u8 = 0x10;

impl Listed {
    fn new(entry: &DirectoryEntry, long: &[u16]) -> Self {
        let mut short = entry.dir_name;
        if entry.dir_nt_res & LOWER_BASE != 0 {
            short[..8].make_ascii_lowercase();
        }
        if entry.dir_nt_res & LOWER_EXTENSION != 0 {
            short[8..].make_ascii_lowercase();
        }
        let name = match long {
            [] => names::shown(&short),
            long => String::from_utf16_lossy(long),
        };
        let cluster = u32::from(entry.dir_fst_clus_hi.get()) << 16 | u32::from(entry.dir_fst_clus_lo.get());
        let modified = Stamp { date: entry.dir_wrt_date.get(), time: entry.dir_wrt_time.get() };
        Self {
            short: entry.dir_name,
            name,
            attr: entry.dir_attr,
            cluster,
            size: entry.dir_file_size.get(),
            modified,
        }
    }

    /// Whether it is a file or directory, and neither the label nor `.` or `..`.
    pub(super) fn is_named(&self) -> bool {
        let is_label = self.attr & DirectoryEntry::ATTR_VOLUME_ID != 0;
        !is_label && self.short != names::DOT && self.short != names::DOT_DOT
    }

    pub(super) fn is_directory(&self) -> bool {
        self.attr & DirectoryEntry::ATTR_DIRECTORY != 0
    }

    /// Whether it is a file of at most so many bytes.
    fn is_file_of(&self, max: usize) -> bool {
        !self.is_directory() && self.size as usize <= max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::fat::tree_digest;
    use crate::testing::{Scratch, accepts};

    fn budget() -> DiskBudget {
        DiskBudget::new(16 << 20)
    }

    /// A volume of `size` made by mkfs.fat and filled by mtools.
    fn volume(bits: &str, size: u64) -> Vec<u8> {
        let scratch = Scratch::new();
        let image = scratch.write("esp", &[]);
        std::fs::OpenOptions::new().write(true).open(&image).unwrap().set_len(size).unwrap();
        accepts("mkfs.fat", &["-F", bits, "-n", "MYESP", "-i", "1234abcd", &image]);
        accepts("mmd", &["-i", &image, "::/EFI", "::/EFI/BOOT", "::/loader"]);
        let file = scratch.write("file", &[7; 100_000]);
        for name in ["EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grub.cfg", "loader/A rather long name ★.conf"] {
            accepts("mcopy", &["-i", &image, &file, &format!("::/{name}")]);
        }
        std::fs::read(image).unwrap()
    }

    #[test]
    fn volumes_of_another_maker_are_read() {
        for (bits, kind, size) in [
            ("12", FatType::Fat12, 4 << 20),
            ("16", FatType::Fat16, 32 << 20),
            ("32", FatType::Fat32, 64 << 20),
        ] {
            let found = read(&volume(bits, size)[..], &budget()).unwrap();
            assert_eq!((found.kind, found.serial, found.label.as_str()), (kind, 0x1234_abcd, "MYESP"));
            assert_eq!(
                files(&volume(bits, size)[..], &budget()).unwrap(),
                ["EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grub.cfg", "loader/A rather long name ★.conf"]
            );
            assert_eq!(found.size, size);
            assert!(found.free < size - 300_000 && found.free > size / 2, "{}", found.free);
        }
    }

    #[test]
    fn no_damage_does_more_than_an_error() {
        let whole = volume("16", 16 << 20);
        for (at, value) in [(12, 0), (13, 0), (13, 3), (16, 0), (20, 0xff), (22, 1), (23, 0xff), (510, 0)] {
            let mut broken = whole.clone();
            broken[at] = value;
            assert!(read(&broken[..], &budget()).is_err(), "{value:#x} at {at}");
        }
        for len in [0, 511, 512, 4096, 1 << 20] {
            assert!(read(&whole[..len], &budget()).is_err());
        }
        // Any byte of the boot sector, the table and the root directory may be anything.
        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize
        };
        let mut image = whole.clone();
        for _ in 0..2000 {
            let places: Vec<usize> =
                (0..1 + random() % 8).map(|_| random() % [64, 4096, 64 << 10][random() % 3]).collect();
            places.iter().for_each(|&at| image[at] = random() as u8);
            let _ = (files(&image[..], &budget()), tree_digest(&image[..], &budget()));
            places.iter().for_each(|&at| image[at] = whole[at]);
        }
    }

    #[test]
    fn a_directory_that_contains_itself_ends() {
        let mut looped = volume("16", 16 << 20);
        let at = looped.windows(11).position(|window| window == b"EFI        ").unwrap();
        let first = u16::from_le_bytes([looped[at + 26], looped[at + 27]]);
        let boot = looped.windows(11).position(|window| window == b"BOOT       ").unwrap();
        looped[boot + 26..boot + 28].copy_from_slice(&first.to_le_bytes());
        let twice = format!("FAT volume: cluster {first} is in use twice");
        assert_eq!(files(&looped[..], &budget()).unwrap_err().to_string(), twice);

        // A chain whose only cluster comes after itself.
        let mut chained = volume("16", 16 << 20);
        let fat = usize::from(u16::from_le_bytes([chained[14], chained[15]])) * 512;
        let entry = fat + usize::from(first) * 2;
        chained[entry..entry + 2].copy_from_slice(&first.to_le_bytes());
        assert_eq!(files(&chained[..], &budget()).unwrap_err().to_string(), twice);
    }
}
