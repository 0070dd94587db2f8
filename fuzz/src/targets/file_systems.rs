//! Partition tables and file systems, in memory.

use std::sync::Arc;

use exporter::disk::gpt::{self, Partition, Table};
use exporter::disk::kinds;
use exporter::disk::mbr::{self, BOOT_CODE_LEN};
use exporter::export::{self, Export};
use exporter::extent::{Backing, Extent};
use exporter::fs::{DiskBudget, ext4, fat};
use exporter::read_at::ReadAt;
use exporter::seed::Uuid;
use exporter::tree::Time;
use exporter::{Error, Kind};
use sha2::{Digest, Sha256};

use super::{told, tree};
use crate::{Target, repair};

pub(super) const GPT: Target = Target {
    name: "gpt",
    seeds: partition_tables,
    words: &[b"EFI PART", b"\x55\xaa", b"\xee", &[0xff; 8], &[0; 16]],
    grain: 128,
    repair: repair::gpt,
    run: |disk| {
        let table = gpt::read(disk).map_err(told)?.table;
        // What cannot be written is refused by the writer, as the table of a disk that has other entries.
        let Ok(table_again) = gpt::encode(&table, &[0; BOOT_CODE_LEN]) else { return Ok(()) };
        let mut again = vec![0; disk.len()];
        table_again.iter().for_each(|extent| place(&mut again, extent));
        assert_eq!(gpt::read(&again[..]).map(|found| found.table).ok(), Some(table), "it comes back");
        Ok(())
    },
};

pub(super) const MBR: Target = Target {
    name: "mbr",
    seeds: || vec![mbr_disk()],
    words: &[b"\x55\xaa", b"\xee", b"\x80", b"\x0f", &[0xff; 8], &[0; 16]],
    grain: 16,
    repair: repair::nothing,
    run: |disk| {
        let table = mbr::read(disk).ok_or("none")?;
        let mut again = vec![0; disk.len()];
        place(&mut again, &mbr::encode(&table, &[0; BOOT_CODE_LEN], &[]).map_err(told)?);
        assert_eq!(mbr::read(&again[..]), Some(table), "it comes back");
        Ok(())
    },
};

pub(super) const FAT: Target = Target {
    name: "fat",
    seeds: fat_volumes,
    words: &[
        b"FAT32   ",
        b"FAT16   ",
        b"RRaA",
        b"rrAa",
        b"\xff\xff\xff\x0f",
        b"\xf8\xff\xff\x0f",
        b".          ",
        b"..         ",
        b"\x0f",
        b"\xe5",
        b"\x41",
    ],
    grain: 32,
    repair: repair::nothing,
    run: |volume| {
        let budget = DiskBudget::new(volume.len() as u64);
        fat::read(volume, &budget).map_err(told)?;
        let files = fat::files(volume, &budget).map_err(told)?;
        assert!(files.iter().all(|file| !file.is_empty()));
        fat::tree_digest(volume, &budget).map(drop).map_err(told)
    },
};

pub(super) const EXT4: Target = Target {
    name: "ext4",
    seeds: ext4_volumes,
    words: &[
        b"\x53\xef",
        b"\x0a\xf3",
        b"\0\0\x02\xea",
        b"\xff\xff\xff\xff",
        b"\x0c\0\x01\x02.",
        b"..",
        b"security.",
        b"\x02\0\0\0",
    ],
    grain: 256,
    repair: repair::ext4,
    run: |volume| {
        ext4::read(volume).map_err(told)?.ok_or("no file system")?;
        let budget = DiskBudget::new(volume.len() as u64);
        ext4::tree_digest(volume, &budget).map(drop).map_err(told)
    },
};

/// All files of a disk that is one file system, as a tar: whatever it holds, the tar is one that is read, or there is an error.
pub(super) const EXPORT: Target = Target {
    name: "export",
    seeds: ext4_volumes,
    words: EXT4.words,
    grain: 256,
    repair: repair::ext4,
    run: |volume| {
        let budget = DiskBudget::new(volume.len() as u64);
        let machine = export::find(Arc::new(Bytes(volume.to_vec())), None, &budget).map_err(told)?;
        let mut tar = Vec::new();
        let export = Export { machine: &machine, budget: &budget, is_layer: false };
        // A sparse file may be as large as anything: what it has is written, and its holes are not.
        let mut room = 64_u64 << 20;
        export
            .write_tar(&mut tar, &mut |bytes| {
                room = room.checked_sub(bytes).ok_or_else(|| Error::new(Kind::Interrupted, "", "enough"))?;
                Ok(())
            })
            .map_err(told)?;
        let mut archive = tar::Archive::new(&*tar);
        for entry in archive.entries().map_err(told)? {
            assert!(entry.is_ok(), "what was written is read");
        }
        Ok(())
    },
};

/// A disk in memory.
struct Bytes(Vec<u8>);

impl ReadAt for Bytes {
    fn size(&self) -> u64 {
        self.0[..].size()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> exporter::Result<()> {
        self.0[..].read_at(offset, out)
    }
}

/// What a placement begins with, in front of the frame that the bytes are packed in.
const PLACEMENT_MAGIC: &[u8] = b"vmiplace";

/// Unpacked: whatever it says, nothing of the file system that keeps to it lies on anything else.
pub(super) const PLACEMENT: Target = Target {
    name: "placement",
    seeds: || placement().into_iter().collect(),
    words: &[&[0; 4], &[1, 0, 0, 0], &[0xff; 4], &[0, 0x80, 0, 0], &[0; 8]],
    grain: 24,
    repair: repair::nothing,
    run: |plain| {
        let packed = [PLACEMENT_MAGIC, &zstd::bulk::compress(plain, 1).map_err(told)?].concat();
        let previous = ext4::Placement::read(&packed).map_err(told)?;
        let mut draft = ext4::Draft::new(&Arc::new(tree::small()), &tree::ext4_options()).map_err(told)?;
        draft.keep(&previous)?;
        let size = draft.kept_size().filter(|size| *size <= 64 << 20).ok_or("larger than it has time for")?;
        let contents = draft.lay_out(size).map_err(told)?.contents();
        let mut end = 0;
        for extent in contents.extents.iter() {
            assert!(extent.offset >= end && extent.end() <= size, "{extent:?} begins before {end}");
            end = extent.end();
        }
        Ok(())
    },
};

/// That of a small tree, if zstd and the file system are what they were.
fn placement() -> Option<Vec<u8>> {
    let draft = ext4::Draft::new(&Arc::new(tree::small()), &tree::ext4_options()).ok()?;
    let packed = draft.lay_out(16 << 20).ok()?.placement().ok()?;
    zstd::decode_all(packed.strip_prefix(PLACEMENT_MAGIC)?).ok()
}

/// The first byte is the number of the partition, the second the MiB that the disk is larger, as far as all of it is
/// held in memory here.
pub(super) const GROWTH: Target = Target {
    name: "growth",
    seeds: || {
        let numbered = |mut table: Vec<u8>| {
            (table[0], table[1]) = (2, 4);
            table
        };
        partition_tables().into_iter().take(1).chain([mbr_disk()]).map(numbered).collect()
    },
    words: &[b"EFI PART", b"\x55\xaa", b"\xee", &[0xff; 8], &[0; 16], b"\x53\xef"],
    grain: 128,
    repair: repair::gpt,
    run: |disk| {
        let _ = guest::fuzz::ext4_size(disk.get(1024..1024 + 0x154).unwrap_or_default());
        let [number, more, ..] = disk else { return Err("nothing".to_owned()) };
        let size = (disk.len() as u64).saturating_add(u64::from(*more % 64) << 20);
        let writes = guest::fuzz::grow(disk, 512, (*number).into(), size)?;
        let mut grown = disk.to_vec();
        grown.resize(usize::try_from(size).map_err(told)?, 0);
        for (at, bytes) in writes {
            grown[at as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        let again = guest::fuzz::grow(&grown, 512, (*number).into(), size);
        assert_eq!(again.err().as_deref(), Some("IsWhole"), "it grows once");
        let reads = |disk: &[u8]| gpt::read(disk).is_ok_and(|found| found.copy == gpt::Copy::Primary);
        assert!(!reads(disk) || reads(&grown), "a whole table stays one");
        Ok(())
    },
};

/// The bytes of two partitions, of a root and of the tree of hashes over it, and the superblock in front of the tree.
pub(super) const VERITY: Target = Target {
    name: "verity",
    seeds: || vec![verity_superblock(300, 32), verity_superblock(1, 0)],
    words: &[b"verity\0\0", b"sha256\0", &[0, 16, 0, 0], &[1, 0, 0, 0], &[0, 1], &[0xff; 8], &[0; 8]],
    grain: 8,
    repair: repair::nothing,
    run: |input| {
        let number = |at: usize| {
            let bytes = input.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u64::from_le_bytes).ok_or("no partitions")
        };
        let (data, hashes) = (number(0)?, number(8)?);
        guest::fuzz::verity(input.get(16..).unwrap_or_default(), data, hashes)
    },
};

/// That of a root of so many blocks, with a salt, behind the sizes of partitions that are as large as they need.
fn verity_superblock(blocks: u64, salt: u16) -> Vec<u8> {
    let mut bytes = vec![0; 16 + 512];
    for (at, field) in [
        (0, &(blocks << 12).to_le_bytes()[..]),
        (8, &(5_u64 << 12).to_le_bytes()),
        (16, b"verity\0\0\x01\0\0\0\x01\0\0\0"),
        (16 + 32, b"sha256"),
        (16 + 64, &4096_u32.to_le_bytes()),
        (16 + 68, &4096_u32.to_le_bytes()),
        (16 + 72, &blocks.to_le_bytes()),
        (16 + 80, &salt.to_le_bytes()),
    ] {
        bytes[at..at + field.len()].copy_from_slice(field);
    }
    bytes
}

/// What the installer reads of a medium: the first block of its disk, how long the index is, that, and what the medium says of itself.
pub(super) const INSTALL_MEDIUM: Target = Target {
    name: "install-medium",
    seeds: || {
        partition_tables().into_iter().take(1).chain([mbr_disk()]).map(|disk| installed(&disk)).collect()
    },
    words: &[
        b"EFI PART",
        b"\x55\xaa",
        b"\xee",
        &[0xff; 8],
        &[0; 16],
        b"\"bytes\":",
        b"18446744073709551615",
        b"true",
        b"4096",
    ],
    grain: 4,
    repair: |input| {
        repair::gpt(input);
        if let Some((disk, rest)) = input.split_at_mut_checked(INSTALLED)
            && let Some(digest) = rest.get_mut(2..34)
        {
            digest.copy_from_slice(&Sha256::digest(disk));
        }
    },
    run: guest::fuzz::install_medium,
};

/// Bytes of a block.
const INSTALLED: usize = 64 << 10;

/// A medium with the first block of this disk, and fifteen others that nobody reads.
fn installed(disk: &[u8]) -> Vec<u8> {
    let mut first = disk.to_vec();
    first.resize(INSTALLED, 0);
    let entry = |digest: &[u8]| [digest, &(INSTALLED as u32).to_le_bytes()].concat();
    let index = [entry(&Sha256::digest(&first)), entry(&[7; 32]).repeat(15)].concat();
    let text = "{\"version\":1,\"id\":\"x\",\"name\":\"web\",\"disk\":{\"file\":\"disk.raw\",\"bytes\":1048576,\"packed\":false,\
                \"index\":\"disk.index\",\"sector_size\":512}}";
    [&first[..], &(index.len() as u16).to_le_bytes(), &index, text.as_bytes()].concat()
}

/// Of disks of both sizes of sectors.
pub(crate) fn partition_tables() -> Vec<Vec<u8>> {
    let table = |sector_size: u32, bytes: usize| {
        let sectors = (bytes as u64) / u64::from(sector_size);
        let first = gpt::first_usable_lba(sector_size);
        let kinds = [kinds::ESP, kinds::ROOT_X86_64];
        let partition = |(index, kind): (usize, Uuid)| Partition {
            number: index as u32 + 1,
            kind,
            guid: Uuid([index as u8 + 1; 16]),
            first_lba: first + 8 * index as u64,
            last_lba: first + 8 * index as u64 + 7,
            attributes: 1 << 59,
            name: "root".to_owned(),
        };
        let partitions = kinds.into_iter().enumerate().map(partition).collect();
        let table = Table { disk_guid: Uuid([9; 16]), sector_size, sectors, partitions };
        let mut disk = vec![0; bytes];
        let extents = gpt::encode(&table, &[0; BOOT_CODE_LEN]).expect("the partitions fit the disk");
        extents.iter().for_each(|extent| place(&mut disk, extent));
        disk
    };
    vec![table(512, 1 << 20), table(4096, 1 << 20)]
}

fn mbr_disk() -> Vec<u8> {
    let partition = |number: u32| mbr::Partition {
        number,
        kind: 0x83,
        first_lba: 8 * number,
        sectors: 8,
        is_active: number == 1,
    };
    let table = mbr::Table { signature: 9, partitions: [1, 2].map(partition).to_vec() };
    let mut disk = vec![0; 1 << 20];
    place(&mut disk, &mbr::encode(&table, &[0; BOOT_CODE_LEN], &[]).expect("the partitions fit the disk"));
    disk
}

fn place(disk: &mut [u8], extent: &Extent) {
    if let Backing::Bytes(bytes) = &extent.source {
        disk[extent.offset as usize..][..bytes.len()].copy_from_slice(bytes);
    }
}

/// FAT12, FAT16 and FAT32 are told apart by their size alone.
fn fat_volumes() -> Vec<Vec<u8>> {
    let volume = |kind, size| {
        let options = fat::Options {
            label: "ESP".to_owned(),
            serial: 7,
            size,
            sector_size: 512,
            hidden_sectors: 0,
            modified: Time { seconds: 1_700_000_000, nanoseconds: 0 },
            kind: Some(kind),
        };
        let layout = fat::plan(&fat_tree(), &options).expect("the files fit");
        tree::bytes(&layout).expect("there is room for it")
    };
    vec![volume(fat::FatType::Fat12, 1 << 20), volume(fat::FatType::Fat16, 5 << 20)]
}

/// As an EFI system partition has them.
pub(super) fn fat_tree() -> exporter::tree::Tree {
    use exporter::tree::{Content, Inode, InodeKind, Meta, Tree, Xattrs};
    let meta = || Meta {
        permissions: 0o755,
        uid: 0,
        gid: 0,
        mtime: Time { seconds: 1_700_000_000, nanoseconds: 0 },
        xattrs: Xattrs::new(),
    };
    let mut tree = Tree::new(meta());
    let mut folder = Tree::ROOT;
    for name in [&b"EFI"[..], b"BOOT"] {
        folder =
            tree.insert(folder, name, Inode { meta: meta(), kind: InodeKind::Directory(Default::default()) });
    }
    for name in [&b"BOOTX64.EFI"[..], b"a long name with lower case.txt"] {
        tree.insert(
            folder,
            name,
            Inode { meta: meta(), kind: InodeKind::File(Content::Bytes([7; 3000][..].into())) },
        );
    }
    tree
}

pub(crate) fn ext4_volumes() -> Vec<Vec<u8>> {
    let volume =
        |more| tree::bytes(&tree::ext4(tree::small(), more).expect("the tree fits")).expect("there is room");
    vec![volume(0), volume(1 << 20)]
}
