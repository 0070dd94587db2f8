//! The partition table against sgdisk and sfdisk, and the reader against broken tables.

mod mbr;
mod sizes;

use super::gpt::{self, Copy};
use super::*;
use crate::error::Kind;
use crate::extent::Extent;
use crate::fs::{Contents, fat};
use crate::seed::Seed;
use crate::testing::{Scratch, accepts, flatten, tool};
use crate::tree::{Meta, Time, Tree};

const MIB: u64 = 1 << 20;

/// A root has the rest.
fn request(kind: crate::seed::Uuid, name: &str, least: u64) -> Unplaced {
    let (id, weight) = (Seed::new(b"test").uuid(name).into(), kinds::is_root(kind).into());
    let (kind, name) = (kind.into(), name.to_owned());
    Unplaced { kind, name, id, attributes: 0, least, most: None, weight }
}

fn three() -> Vec<Unplaced> {
    let mut root = request(kinds::ROOT_X86_64, "root", 3 * MIB + 5);
    root.attributes = kinds::GROW_FILE_SYSTEM;
    vec![request(kinds::BIOS_BOOT, "bios", 1), request(kinds::ESP, "EFI system ★", 5 * MIB), root]
}

fn disk(size: u64, sector_size: u32) -> Disk {
    let mut boot = BootCode::default();
    boot.first[..2].copy_from_slice(&[0xeb, 0x63]);
    Disk { size, sector_size, table: TableKind::Gpt, guid: Seed::new(b"test").uuid("disk"), boot }
}

fn image(size: u64, sector_size: u32) -> (DiskLayout, Vec<u8>) {
    let placed = place(&three(), size).unwrap();
    let content =
        |at: &Placed| Contents { size: at.size, extents: Box::new([Extent::bytes(0, at.name.as_bytes())]) };
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
        assert_eq!(partition["type"], asked.kind.to_string().to_uppercase());
        assert_eq!(partition["uuid"], asked.id.to_string().to_uppercase());
        assert_eq!(partition["name"], asked.name);
        assert!(partition["size"].as_u64().unwrap() * 512 >= asked.least);
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
            let (number, name, kind) = (read.number, &read.name, PartitionKind::from(read.kind));
            assert_eq!((number, name, kind), (placed.number, &placed.name, placed.kind));
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

/// The bytes of a copy of the table, from its header's sector on, with `change` made to header and entries, sealed.
fn reseal(bytes: &mut [u8], lba: usize, change: impl Fn(&mut [u8], &mut [u8])) {
    let at = lba * 512;
    let entries_at = u64::from_le_bytes(bytes[at + 72..at + 80].try_into().unwrap()) as usize * 512;
    let mut entries = bytes[entries_at..entries_at + 128 * 128].to_vec();
    let mut header = bytes[at..at + 92].to_vec();
    change(&mut header, &mut entries);
    header[88..92].copy_from_slice(&crc32fast::hash(&entries).to_le_bytes());
    header[16..20].fill(0);
    let sum = crc32fast::hash(&header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    bytes[entries_at..entries_at + entries.len()].copy_from_slice(&entries);
    bytes[at..at + 92].copy_from_slice(&header);
}

fn set(at: usize, value: u64) -> impl Fn(&mut [u8]) {
    move |bytes| bytes[at..at + 8].copy_from_slice(&value.to_le_bytes())
}

/// What is wrong with a table, beside sgdisk's opinion.
fn problems(bytes: &[u8]) -> Vec<String> {
    let problems = gpt::check(bytes, &gpt::read(bytes).unwrap());
    let path = Scratch::new();
    assert_eq!(sgdisk_accepts(&path.write("disk", bytes)), problems.is_empty(), "{problems:?}");
    problems
}

#[test]
fn a_backup_that_is_no_longer_there_is_named() {
    let (_, whole) = image(32 * MIB, 512);
    assert_eq!(problems(&whole), <[&str; 0]>::default());
    let last = whole.len() / 512 - 1;
    for (zeroes, expected) in [
        (last * 512..whole.len(), "the backup partition table is broken: there is no GUID partition table"),
        (
            (last - 32) * 512..whole.len(),
            "the backup partition table is broken: there is no GUID partition table",
        ),
        (
            last * 512 + 60..last * 512 + 61,
            "the backup partition table is broken: the checksum of the header does not match",
        ),
        (
            (last - 32) * 512..last * 512,
            "the backup partition table is broken: the checksum of the entries does not match",
        ),
    ] {
        let mut bytes = whole.clone();
        bytes[zeroes].fill(0);
        assert_eq!(problems(&bytes), [expected]);
    }
    let enlarged = [&whole[..], &vec![0; MIB as usize]].concat();
    let expected = format!("the backup partition table lies at sector {last}, not at the end of the disk");
    assert_eq!(problems(&enlarged), [expected]);
    let mut broken = whole.clone();
    broken[512] = 0;
    assert_eq!(problems(&broken), ["the primary partition table is broken, the backup was read"]);
}

#[test]
fn tables_that_differ_are_named() {
    let (_, whole) = image(32 * MIB, 512);
    let last = whole.len() / 512 - 1;
    let differ = "the primary partition table and its backup differ";
    for (lba, expected, change) in [
        (last, differ, &(|header: &mut [u8], _: &mut [u8]| header[56] ^= 1) as &dyn Fn(&mut [u8], &mut [u8])),
        (last, differ, &|_, entries| entries[32] ^= 1),
        (last, differ, &|header, _| set(48, 3000)(header)),
        (1, "the primary partition table and its backup do not point at each other", &|header, _| {
            set(32, 3000)(header);
        }),
    ] {
        let mut bytes = whole.clone();
        reseal(&mut bytes, lba, change);
        assert_eq!(gpt::check(&bytes[..], &gpt::read(&bytes[..]).unwrap()), [expected]);
        assert!(!sgdisk_accepts(&Scratch::new().write("disk", &bytes)));
    }
}

#[test]
fn partitions_over_each_other_are_named() {
    let (_, whole) = image(32 * MIB, 512);
    let last = whole.len() / 512 - 1;
    let moved = |at: usize, lba: u64| {
        let mut bytes = whole.clone();
        [1, last].iter().for_each(|&copy| reseal(&mut bytes, copy, |_, entries| set(at, lba)(entries)));
        bytes
    };
    let (end, start) = (40, 32);
    for (at, lba, expected) in [
        (end, 5000, &["partitions 1 and 2 overlap"][..]),
        (end, last as u64 - 40, &["partitions 1 and 2 overlap", "partitions 1 and 3 overlap"]),
        (128 + start, 2048, &["partitions 1 and 2 overlap"]),
        (start, 10, &["partition 1 lies where the partition table is"]),
        (2 * 128 + end, last as u64 - 3, &["partition 3 lies where the partition table is"]),
    ] {
        assert_eq!(problems(&moved(at, lba)), expected, "{at}");
    }
}

#[test]
fn firmware_sees_no_table_without_its_mbr() {
    let (_, whole) = image(32 * MIB, 512);
    for at in [450, 510] {
        let mut bytes = whole.clone();
        bytes[at] = 0;
        let found = gpt::check(&bytes[..], &gpt::read(&bytes[..]).unwrap());
        assert_eq!(found, ["the protective MBR is missing: firmware sees no partition table"]);
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
    let said = "disk: the partitions need a disk of 12 MiB, this one has 12.0 MiB: 1 bytes too few";
    assert_eq!(error.to_string(), said);

    let placed = place(&three(), needed).unwrap().remove(0);
    let content = Contents { size: MIB + 1, extents: Box::new(Vec::new()) };
    let error = DiskLayout::new(&disk(needed, 512), vec![(placed, content)]).unwrap_err();
    assert_eq!(*error.kind(), Kind::NoSpace { needed: MIB + 1, available: MIB });
}

#[test]
fn the_disk_is_shared_by_weight_and_each_has_what_it_needs() {
    for (wanted, mib, expected) in [
        (&[(1, 0), (1, 1), (1, 2)][..], 33, &[1, 10, 20][..]),
        // What division leaves is the last one's.
        (&[(1, 1), (1, 1), (1, 1)], 13, &[3, 3, 5]),
        // 20 are more than a half, and the others share the rest.
        (&[(20, 1), (3, 1), (3, 3)], 42, &[20, 5, 15]),
        (&[(20, 1), (6, 1), (3, 3)], 38, &[20, 6, 10]),
        (&[(4, 0), (5, 0)], 40, &[4, 5]),
        (&[(4, u32::MAX), (5, u32::MAX)], 11, &[4, 5]),
    ] {
        let requests: Vec<_> = wanted
            .iter()
            .map(|&(least, weight)| Unplaced { weight, ..request(kinds::SRV, "x", least * MIB) })
            .collect();
        let placed = place(&requests, mib * MIB).unwrap();
        let sizes: Vec<_> = placed.iter().map(|placed| placed.size / MIB).collect();
        assert_eq!(sizes, expected, "{wanted:?}");
        assert!(placed.windows(2).all(|pair| pair[0].end() == pair[1].start));
        assert!(placed[0].start == MIB && placed.last().unwrap().end() <= (mib - 1) * MIB);
    }
}

#[test]
fn impossible_tables_are_refused() {
    let kind_of = |disk: &Disk, name: &str| {
        let placed = place(&[request(kinds::ESP, name, MIB)], 8 * MIB).unwrap().remove(0);
        let contents = vec![(placed, Contents { size: 0, extents: Box::new(Vec::new()) })];
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
