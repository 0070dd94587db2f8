//! The structures on disk, with the specification's field names.

use std::mem::{offset_of, size_of};

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::date::{civil_date, day_number};
use crate::tree::Time;

/// Bytes of a boot sector and of an FSInfo sector that hold something, whatever the sector size.
pub(super) const SECTOR_LEN: usize = 512;
/// The last two bytes of a boot sector.
pub(super) const SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// Bytes of a directory entry of either kind.
pub(super) const ENTRY_LEN: usize = size_of::<DirectoryEntry>();

/// The start of every boot sector, section "Boot Sector and BPB".
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct BiosParameterBlock {
    pub(super) bs_jmp_boot: [u8; 3],
    pub(super) bs_oem_name: [u8; 8],
    pub(super) bpb_byts_per_sec: U16,
    pub(super) bpb_sec_per_clus: u8,
    pub(super) bpb_rsvd_sec_cnt: U16,

    pub(super) bpb_num_fats: u8,
    pub(super) bpb_root_ent_cnt: U16,
    pub(super) bpb_tot_sec16: U16,
    pub(super) bpb_media: u8,
    pub(super) bpb_fatsz16: U16,
    pub(super) bpb_sec_per_trk: U16,
    pub(super) bpb_num_heads: U16,
    pub(super) bpb_hidd_sec: U32,
    pub(super) bpb_tot_sec32: U32,
}

impl BiosParameterBlock {
    /// The name the specification recommends, since drivers have looked at it.
    pub(super) const OEM_NAME: [u8; 8] = *b"MSWIN4.1";
    /// A disk that stays in its drive; also the low byte of FAT entry 0.
    pub(super) const FIXED_DISK: u8 = 0xf8;
}

const _: () = assert!(size_of::<BiosParameterBlock>() == 36);
const _: () = assert!(offset_of!(BiosParameterBlock, bpb_num_fats) == 16);
const _: () = assert!(offset_of!(BiosParameterBlock, bpb_tot_sec32) == 32);

/// What only FAT32 has behind it.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Fat32Block {
    pub(super) bpb_fatsz32: U32,
    pub(super) bpb_ext_flags: U16,
    pub(super) bpb_fs_ver: U16,
    pub(super) bpb_root_clus: U32,
    pub(super) bpb_fs_info: U16,
    pub(super) bpb_bk_boot_sec: U16,
    pub(super) bpb_reserved: [u8; 12],
}

const _: () = assert!(size_of::<Fat32Block>() == 64 - 36);

/// What ends the block in every type.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct VolumeBlock {
    pub(super) bs_drv_num: u8,
    pub(super) bs_reserved1: u8,
    pub(super) bs_boot_sig: u8,
    pub(super) bs_vol_id: U32,
    pub(super) bs_vol_lab: [u8; 11],
    pub(super) bs_fil_sys_type: [u8; 8],
}

impl VolumeBlock {
    /// `bs_boot_sig`: the three fields after it are there.
    pub(super) const PRESENT: u8 = 0x29;
    /// `bs_drv_num` of a disk.
    pub(super) const FIRST_DISK: u8 = 0x80;
}

const _: () = assert!(size_of::<VolumeBlock>() == 26);

/// FSInfo sector, FAT32 only.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct FsInfo {
    pub(super) fsi_lead_sig: U32,
    pub(super) fsi_reserved1: [u8; 480],
    pub(super) fsi_struc_sig: U32,
    pub(super) fsi_free_count: U32,
    pub(super) fsi_nxt_free: U32,
    pub(super) fsi_reserved2: [u8; 12],
    pub(super) fsi_trail_sig: U32,
}

impl FsInfo {
    pub(super) const LEAD_SIG: u32 = 0x4161_5252;
    pub(super) const STRUC_SIG: u32 = 0x6141_7272;
    pub(super) const TRAIL_SIG: u32 = 0xaa55_0000;
}

const _: () = assert!(size_of::<FsInfo>() == SECTOR_LEN);
const _: () = assert!(offset_of!(FsInfo, fsi_struc_sig) == 484);

/// Short directory entry, section "FAT Directory Structure".
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct DirectoryEntry {
    pub(super) dir_name: [u8; 11],
    pub(super) dir_attr: u8,
    pub(super) dir_nt_res: u8,
    pub(super) dir_crt_time_tenth: u8,
    pub(super) dir_crt_time: U16,

    pub(super) dir_crt_date: U16,
    pub(super) dir_lst_acc_date: U16,
    pub(super) dir_fst_clus_hi: U16,
    pub(super) dir_wrt_time: U16,
    pub(super) dir_wrt_date: U16,
    pub(super) dir_fst_clus_lo: U16,
    pub(super) dir_file_size: U32,
}

impl DirectoryEntry {
    pub(super) const ATTR_VOLUME_ID: u8 = 0x08;
    pub(super) const ATTR_DIRECTORY: u8 = 0x10;
    pub(super) const ATTR_ARCHIVE: u8 = 0x20;

    /// An entry whose three times are `stamp`; `cluster` 0 for what has no content.
    pub(super) fn new(dir_name: [u8; 11], dir_attr: u8, stamp: Stamp, cluster: u32, size: u32) -> Self {
        Self {
            dir_name,
            dir_attr,
            dir_nt_res: 0,
            dir_crt_time_tenth: 0,
            dir_crt_time: stamp.time.into(),
            dir_crt_date: stamp.date.into(),
            dir_lst_acc_date: stamp.date.into(),
            dir_fst_clus_hi: ((cluster >> 16) as u16).into(),
            dir_wrt_time: stamp.time.into(),
            dir_wrt_date: stamp.date.into(),
            dir_fst_clus_lo: (cluster as u16).into(),
            dir_file_size: size.into(),
        }
    }
}

const _: () = assert!(size_of::<DirectoryEntry>() == 32);
const _: () = assert!(offset_of!(DirectoryEntry, dir_wrt_time) == 22);

/// Long directory entry, section "FAT Long Directory Entries".
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct LongEntry {
    pub(super) ldir_ord: u8,
    pub(super) ldir_name1: [U16; 5],
    pub(super) ldir_attr: u8,
    pub(super) ldir_type: u8,
    pub(super) ldir_chksum: u8,
    pub(super) ldir_name2: [U16; 6],
    pub(super) ldir_fst_clus_lo: U16,
    pub(super) ldir_name3: [U16; 2],
}

impl LongEntry {
    /// Set in `ldir_ord` of the entry that holds the end of the name.
    pub(super) const LAST_LONG_ENTRY: u8 = 0x40;
    pub(super) const ATTR_LONG_NAME: u8 = 0x0f;
    /// UTF-16 units in one entry.
    pub(super) const UNITS: usize = 13;
}

const _: () = assert!(size_of::<LongEntry>() == 32);
const _: () = assert!(offset_of!(LongEntry, ldir_name3) == 28);

/// A time as a directory entry holds it, section "Date and Time Formats".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) date: u16,
    pub(super) time: u16,
}

impl Stamp {
    /// 1980-01-01 00:00:00 and 2107-12-31 23:59:58, in seconds since 1970.
    const RANGE: (i64, i64) = (315_532_800, 4_354_819_198);

    /// The nearest time FAT can say, to two seconds.
    pub(super) fn new(time: Time) -> Self {
        let seconds = time.seconds.clamp(Self::RANGE.0, Self::RANGE.1) as u64;
        let (year, month, day) = civil_date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        Self {
            date: ((year - 1980) << 9 | month << 5 | day) as u16,
            time: (hour << 11 | minute << 5 | (second / 2)) as u16,
        }
    }
}

impl Stamp {
    /// The time it says, as if there were no time zones: FAT has none.
    pub(super) fn time(self) -> Time {
        let [year, month, day] = [self.date >> 9, self.date >> 5 & 0xf, self.date & 0x1f].map(i64::from);
        let [hour, minute, second] =
            [self.time >> 11, self.time >> 5 & 0x3f, self.time & 0x1f].map(i64::from);
        let days = day_number(year + 1980, month, day);
        Time { seconds: ((days * 24 + hour) * 60 + minute) * 60 + second * 2, nanoseconds: 0 }
    }
}
