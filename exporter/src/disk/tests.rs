//! The partition table against sgdisk and sfdisk, and the reader against broken tables.

mod sizes;

use super::gpt::{self, Copy};
use super::*;
use crate::error::Kind;
use crate::extent::Extent;
use crate::fs::{Layout, fat};
use crate::seed::Seed;
use crate::testing::{Scratch, accepts, flatten, tool};
use crate::tree::{Meta, Time, Tree};

const MIB: u64 = 1 << 20;

fn request(kind: crate::seed::Uuid, name: &str, size: u64) -> Request {
    Request { kind, name: name.to_owned(), guid: Seed::new(b"test").uuid(name), attributes: 0, size }
}

fn three() -> Vec<Request> {
    let mut root = request(kinds::ROOT_X86_64, "root", 3 * MIB + 5);
    root.attributes = kinds::GROW_FILE_SYSTEM;
    vec![request(kinds::BIOS_BOOT, "bios", 1), request(kinds::ESP, "EFI system ★", 5 * MIB), root]
}

fn disk(size: u64, sector_size: u32) -> Disk {
    let mut boot_code = [0; gpt::BOOT_CODE_LEN];
    boot_code[..2].copy_from_slice(&[0xeb, 0x63]);
    Disk { size, sector_size, guid: Seed::new(b"test").uuid("disk"), boot_code }
}

fn image(size: u64, sector_size: u32) -> (DiskLayout, Vec<u8>) {
    let placed = place(&three(), size).unwrap();
    let content =
        |at: &Placed| Layout { size: at.size, extents: Box::new([Extent::bytes(0, at.name.as_bytes())]) };
    let contents = placed.into_iter().map(|at| (at.clone(), content(&at))).collect();
    let layout = DiskLayout::new(&disk(size, sector_size), contents).unwrap();
    let bytes = flatten(layout.size, &layout);
    (layout, bytes)
}

/// sgdisk succeeds whatever it finds, and repairs in memory what it can before it counts.
fn sgdisk_accepts(path: &str) -> bool {
    let (_, said) = tool("sgdisk", &["-v", path]);
    let warned = ["Caution", "Warning", "invalid"].iter().any(|word| said.contains(word));
    said.contains("No problems found") && !warned
}

/// sfdisk verifies whichever copy of the table is whole and only warns of the other.
fn sfdisk_accepts(path: &str) -> bool {
    let (ok, said) = tool("sfdisk", &["--verify", path]);
    let warned = ["corrupt", "mismatch", "invalid"].iter().any(|word| said.contains(word));
    ok && said.contains("Using 3 out of 128 partitions") && !warned
}

#[test]
fn sgdisk_and_sfdisk_accept_the_table() {
    let scratch = Scratch::new();
    for size in [minimum_size(&three()), 32 * MIB, 32 * MIB + 512 * 7] {
        let path = scratch.write("disk", &image(size, 512).1);
        assert!(sgdisk_accepts(&path));
        assert!(sfdisk_accepts(&path));
    }
}

#[test]
fn sfdisk_lists_what_was_asked() {
    let scratch = Scratch::new();
    let path = scratch.write("disk", &image(32 * MIB, 512).1);
    let listed: serde_json::Value = serde_json::from_str(&accepts("sfdisk", &["-J", &path])).unwrap();
    let table = &listed["partitiontable"];
    let upper = |id: crate::seed::Uuid| id.to_string().to_uppercase();
    assert_eq!(table["id"], upper(Seed::new(b"test").uuid("disk")));
    assert_eq!(table["sectorsize"], 512);
    for (index, asked) in three().iter().enumerate() {
        let partition = &table["partitions"][index];
        assert_eq!(partition["type"], upper(asked.kind));
        assert_eq!(partition["uuid"], upper(asked.guid));
        assert_eq!(partition["name"], asked.name);
        assert!(partition["size"].as_u64().unwrap() * 512 >= asked.size);
    }
    assert_eq!(table["partitions"][2]["attrs"], "GUID:59");
    assert_eq!(table["partitions"][2]["start"], 8 * 2048 - 2048);
}

#[test]
fn checkers_reject_a_flipped_byte() {
    let scratch = Scratch::new();
    let (_, whole) = image(32 * MIB, 512);
    for flipped in [512 + 60, 1024 + 60, whole.len() - 512 * 33 + 60, whole.len() - 512 + 60] {
        let mut bytes = whole.clone();
        bytes[flipped] ^= 1;
        let path = scratch.write("disk", &bytes);
        assert!(!sgdisk_accepts(&path));
        let primary = flipped < whole.len() / 2;
        assert!(!(primary && sfdisk_accepts(&path)), "sfdisk looks at the primary");
    }
}

/// A loop device, taken down when dropped.
struct Loop(String);

impl Loop {
    fn new(path: &str, sector_size: u32) -> Self {
        let sector_size = sector_size.to_string();
        Self(accepts("losetup", &["--find", "--show", "--sector-size", &sector_size, path]).trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        tool("losetup", &["--detach", &self.0]);
    }
}

#[test]
fn the_table_reads_back() {
    for sector_size in [512, 4096] {
        let (layout, bytes) = image(32 * MIB, sector_size);
        let found = gpt::read(&bytes[..]).unwrap();
        assert_eq!(found.copy, Copy::Primary);
        assert_eq!(found.table.sector_size, sector_size);
        for (read, placed) in found.table.partitions.iter().zip(&layout.partitions) {
            assert_eq!((read.number, &read.name, read.kind), (placed.number, &placed.name, placed.kind));
            assert_eq!(read.first_lba, placed.first_lba(sector_size));
            assert_eq!((read.last_lba + 1) * u64::from(sector_size), placed.end());
        }
    }
}

#[test]
fn the_backup_stands_in_for_a_broken_primary() {
    for sector_size in [512, 4096] {
        let (_, whole) = image(32 * MIB, sector_size);
        let sector = sector_size as usize;
        for broken in [sector, sector + 17, 2 * sector + 3] {
            let mut bytes = whole.clone();
            bytes[broken] ^= 0x40;
            let found = gpt::read(&bytes[..]).unwrap();
            assert_eq!(found.copy, Copy::Backup);
            assert_eq!(found.table, gpt::read(&whole[..]).unwrap().table);

            let last = bytes.len() - sector;
            bytes[last + 60] ^= 1;
            assert_eq!(*gpt::read(&bytes[..]).unwrap_err().kind(), Kind::Corrupt);
        }
    }
}

#[test]
fn the_reader_takes_any_bytes() {
    for len in [0, 1, 511, 512, 1024, 4096, 70_000] {
        assert_eq!(*gpt::read(&vec![0xa5; len][..]).unwrap_err().kind(), Kind::Corrupt);
    }
}

#[test]
fn boot_code_and_contents_lie_in_their_places() {
    let (layout, bytes) = image(32 * MIB, 512);
    assert_eq!(bytes[..2], [0xeb, 0x63]);
    assert_eq!(bytes[510..512], [0x55, 0xaa]);
    for partition in &layout.partitions {
        assert!(bytes[partition.start as usize..].starts_with(partition.name.as_bytes()));
    }
    assert_eq!(layout.partitions.last().unwrap().end(), 31 * MIB);
}

#[test]
fn a_fat_volume_is_found_in_its_partition() {
    let placed = place(&[request(kinds::ESP, "esp", 3 * MIB)], 6 * MIB).unwrap().remove(0);
    let options = fat::Options {
        label: "ESP".into(),
        serial: 1,
        size: placed.size,
        sector_size: 512,
        hidden_sectors: placed.first_lba(512),
        modified: Time::default(),
        kind: None,
    };
    let volume = fat::plan(&Tree::new(Meta::default()), &options).unwrap();
    let start = placed.start;
    let layout = DiskLayout::new(&disk(6 * MIB, 512), vec![(placed, volume)]).unwrap();
    let scratch = Scratch::new();
    let path = scratch.write("disk", &flatten(layout.size, &layout));
    assert!(sgdisk_accepts(&path));
    let said = accepts("minfo", &["-i", &format!("{path}@@{start}"), "::"]);
    assert!(said.contains("hidden sectors: 2048"), "{said}");
}

#[test]
fn what_does_not_fit_says_so_in_numbers() {
    let needed = minimum_size(&three());
    assert_eq!(needed, (1 + 1 + 5 + 4 + 1) * MIB);
    let error = place(&three(), needed - 1).unwrap_err();
    assert_eq!(*error.kind(), Kind::NoSpace { needed, available: needed - 1 });
    assert_eq!(error.to_string(), "disk: the partitions need a disk of 12 MiB, this one has 12.0 MiB");

    let placed = place(&three(), needed).unwrap().remove(0);
    let content = Layout { size: MIB + 1, extents: Box::new(Vec::new()) };
    let error = DiskLayout::new(&disk(needed, 512), vec![(placed, content)]).unwrap_err();
    assert_eq!(*error.kind(), Kind::NoSpace { needed: MIB + 1, available: MIB });
}

#[test]
fn impossible_tables_are_refused() {
    let kind_of = |disk: &Disk, name: &str| {
        let placed = place(&[request(kinds::ESP, name, MIB)], 8 * MIB).unwrap().remove(0);
        let contents = vec![(placed, Layout { size: 0, extents: Box::new(Vec::new()) })];
        DiskLayout::new(disk, contents).map(|_| ()).map_err(|error| error.kind().clone())
    };
    assert_eq!(kind_of(&disk(8 * MIB, 512), &"x".repeat(36)), Ok(()));
    assert_eq!(kind_of(&disk(8 * MIB, 512), &"x".repeat(37)), Err(Kind::Input));
    assert_eq!(kind_of(&disk(8 * MIB + 1, 512), "x"), Err(Kind::Input));
    assert_eq!(kind_of(&disk(8 * MIB, 1024), "x"), Err(Kind::Input));
    assert_eq!(kind_of(&disk(2 * MIB, 512), "x"), Err(Kind::Input));
}

#[test]
fn every_kind_has_one_name() {
    for (kind, name) in kinds::NAMES {
        assert_eq!(kinds::parse(name), Some(*kind));
        assert_eq!(kinds::name(*kind), Some(*name));
    }
}
