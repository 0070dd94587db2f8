//! The sectors that hold structure: boot sectors, FAT, directories.

use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::{U16, U32};

use super::Options;
use super::format::{
    BiosParameterBlock, DirectoryEntry, Fat32Block, FsInfo, LongEntry, SECTOR_LEN, SIGNATURE, Stamp,
    VolumeBlock,
};
use super::geometry::{FATS, FatType, Geometry};
use super::names::{DOT, DOT_DOT, EntryName, ShortName};
use super::plan::Clusters;
use super::volume::{Body, Volume};
use crate::extent::Extent;

/// Sectors of FAT32's reserved area: FSInfo, and the copy of the boot sector with FSInfo behind it.
const FS_INFO_SECTOR: u16 = 1;
const BACKUP_SECTOR: u16 = 6;

/// The boot sector; in FAT32 also FSInfo and the copies of both.
pub(super) fn boot_sectors(
    geometry: &Geometry,
    options: &Options,
    label: Option<ShortName>,
    clusters: &Clusters,
) -> Vec<Extent> {
    let boot = boot_sector(geometry, options, label);
    if geometry.shape.kind != FatType::Fat32 {
        return vec![Extent::bytes(0, boot)];
    }
    let used = u64::from(clusters.next - 2);
    let fs_info = FsInfo {
        fsi_lead_sig: FsInfo::LEAD_SIG.into(),
        fsi_reserved1: [0; 480],
        fsi_struc_sig: FsInfo::STRUC_SIG.into(),
        fsi_free_count: ((geometry.clusters - used) as u32).into(),
        fsi_nxt_free: clusters.next.into(),
        fsi_reserved2: [0; 12],
        fsi_trail_sig: FsInfo::TRAIL_SIG.into(),
    };
    let sector = |number: u16| u64::from(number) * geometry.shape.sector_size;
    let pair = [(0, boot.as_slice()), (FS_INFO_SECTOR, fs_info.as_bytes())];
    let both = [0, BACKUP_SECTOR].into_iter().flat_map(|base| pair.map(|(at, bytes)| (base + at, bytes)));
    both.map(|(at, bytes)| Extent::bytes(sector(at), bytes)).collect()
}

fn boot_sector(geometry: &Geometry, options: &Options, label: Option<ShortName>) -> Vec<u8> {
    let shape = geometry.shape;
    let is_fat32 = shape.kind == FatType::Fat32;
    let small = |value: u64| U16::new(u16::try_from(value).unwrap_or(0));
    let total16 = if is_fat32 { U16::ZERO } else { small(geometry.total_sectors.into()) };
    let block = BiosParameterBlock {
        // A jump over the blocks, as drivers expect it; there is no boot code behind them.
        bs_jmp_boot: [0xeb, if is_fat32 { 0x58 } else { 0x3c }, 0x90],
        bs_oem_name: BiosParameterBlock::OEM_NAME,
        bpb_byts_per_sec: small(shape.sector_size),
        bpb_sec_per_clus: (shape.cluster_size / shape.sector_size) as u8,
        bpb_rsvd_sec_cnt: small(geometry.reserved_sectors),
        bpb_num_fats: FATS as u8,
        bpb_root_ent_cnt: small(geometry.root_entries()),
        bpb_tot_sec16: total16,
        bpb_media: BiosParameterBlock::FIXED_DISK,
        bpb_fatsz16: if is_fat32 { U16::ZERO } else { small(geometry.fat_sectors) },
        bpb_sec_per_trk: 63.into(),
        bpb_num_heads: 255.into(),
        bpb_hidd_sec: U32::new(options.hidden_sectors as u32),
        bpb_tot_sec32: U32::new(if total16 == 0 { geometry.total_sectors } else { 0 }),
    };
    let fat32_block = Fat32Block {
        bpb_fatsz32: U32::new(geometry.fat_sectors as u32),
        bpb_ext_flags: U16::ZERO,
        bpb_fs_ver: U16::ZERO,
        bpb_root_clus: 2.into(),
        bpb_fs_info: FS_INFO_SECTOR.into(),
        bpb_bk_boot_sec: BACKUP_SECTOR.into(),
        bpb_reserved: [0; 12],
    };
    let mut bs_fil_sys_type = [b' '; 8];
    bs_fil_sys_type[..5].copy_from_slice(shape.kind.name().as_bytes());
    let volume_block = VolumeBlock {
        bs_drv_num: VolumeBlock::FIRST_DISK,
        bs_reserved1: 0,
        bs_boot_sig: VolumeBlock::PRESENT,
        bs_vol_id: options.serial.into(),
        bs_vol_lab: label.unwrap_or(*b"NO NAME    "),
        bs_fil_sys_type,
    };
    let middle = if is_fat32 { fat32_block.as_bytes() } else { &[] };
    let mut sector = [block.as_bytes(), middle, volume_block.as_bytes()].concat();
    sector.resize(SECTOR_LEN - SIGNATURE.len(), 0);
    sector.extend(SIGNATURE);
    sector
}

/// The entries of a directory.
pub(super) fn encode_directory(
    volume: &Volume<'_>,
    node: usize,
    clusters: &Clusters,
    label: Option<ShortName>,
    stamp: Stamp,
) -> Vec<u8> {
    let directory =
        |name, cluster| DirectoryEntry::new(name, DirectoryEntry::ATTR_DIRECTORY, stamp, cluster, 0);
    let mut bytes = Vec::with_capacity(volume.len(node) as usize);
    if node == Volume::ROOT {
        let label =
            label.map(|label| DirectoryEntry::new(label, DirectoryEntry::ATTR_VOLUME_ID, stamp, 0, 0));
        bytes.extend(label.iter().flat_map(|entry| entry.as_bytes()));
    } else {
        let parent = volume.nodes[node].parent;
        // The root is cluster 0 here, even where FAT32 keeps it in another.
        let parent_cluster = if parent == Volume::ROOT { 0 } else { clusters.first[parent] };
        bytes.extend_from_slice(directory(DOT, clusters.first[node]).as_bytes());
        bytes.extend_from_slice(directory(DOT_DOT, parent_cluster).as_bytes());
    }
    let Body::Directory(children) = &volume.nodes[node].body else { return bytes };
    for &child in children {
        let Some(name) = &volume.nodes[child].entry else { continue };
        let entry = match &volume.nodes[child].body {
            Body::Directory(_) => directory(name.short, clusters.first[child]),
            Body::File(content) => {
                let (cluster, size) = (clusters.first[child], content.len() as u32);
                DirectoryEntry::new(name.short, DirectoryEntry::ATTR_ARCHIVE, stamp, cluster, size)
            }
        };
        encode_long_name(name, &mut bytes);
        bytes.extend_from_slice(entry.as_bytes());
    }
    bytes
}

/// The entries of a long name: the end of the name first, each bound to the short name by its checksum.
fn encode_long_name(name: &EntryName, bytes: &mut Vec<u8>) {
    let checksum = name.short.iter().fold(0u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte));
    for (index, part) in name.long.chunks(LongEntry::UNITS).enumerate().rev() {
        // One zero ends a name that does not fill its last entry, ones fill the rest.
        let mut units = [U16::new(0xffff); LongEntry::UNITS];
        units.iter_mut().zip(part.iter().chain([&0])).for_each(|(place, &unit)| *place = unit.into());
        let is_last = (index + 1) * LongEntry::UNITS >= name.long.len();
        let entry = LongEntry {
            ldir_ord: (index + 1) as u8 | if is_last { LongEntry::LAST_LONG_ENTRY } else { 0 },
            ldir_name1: std::array::from_fn(|at| units[at]),
            ldir_attr: LongEntry::ATTR_LONG_NAME,
            ldir_type: 0,
            ldir_chksum: checksum,
            ldir_name2: std::array::from_fn(|at| units[5 + at]),
            ldir_fst_clus_lo: U16::ZERO,
            ldir_name3: std::array::from_fn(|at| units[11 + at]),
        };
        bytes.extend_from_slice(entry.as_bytes());
    }
}

/// The used part of the FAT; the rest is zero, which is free.
pub(super) fn encode_fat(clusters: &Clusters, kind: FatType) -> Vec<u8> {
    const END: u32 = 0x0fff_ffff;
    let media = END - 0xff + u32::from(BiosParameterBlock::FIXED_DISK);
    let mut entries = vec![media, END];
    for &length in &clusters.chains {
        let first = entries.len() as u32;
        entries.extend(first + 1..first + length);
        entries.push(END);
    }
    match kind {
        FatType::Fat12 => pack_12_bits(&entries),
        FatType::Fat16 => entries.iter().flat_map(|&entry| (entry as u16).to_le_bytes()).collect(),
        FatType::Fat32 => entries.iter().flat_map(|&entry| entry.to_le_bytes()).collect(),
    }
}

/// Two entries to three bytes, the low bits first.
fn pack_12_bits(entries: &[u32]) -> Vec<u8> {
    let pair = |pair: &[u32]| {
        let (low, high) = (pair[0] & 0xfff, pair.get(1).unwrap_or(&0) & 0xfff);
        let [a, b, c, _] = (low | high << 12).to_le_bytes();
        [a, b, c]
    };
    let mut bytes: Vec<u8> = entries.chunks(2).flat_map(pair).collect();
    bytes.truncate((entries.len() * 12).div_ceil(8));
    bytes
}
