//! MBRs against sfdisk, partx and blkid, and what is no MBR against the reader.

use super::super::mbr;
use super::*;
use crate::seed::Uuid;

const DISK: Uuid = Uuid::from_text("01234567-89ab-4def-8123-456789abcdef");

/// Where the partitions of the table begin.
const RECORDS: usize = 446;

fn requests() -> Vec<Unplaced> {
    let parts =
        [(0xef, "esp", 5 * MIB, 0), (0x82, "swap", MIB, 0), (0x83, "root", 3 * MIB, kinds::LEGACY_BOOT)];
    let request = |(number, (kind, name, least, attributes)): (u32, (u8, &str, u64, u64))| Unplaced {
        kind: PartitionKind::Byte(kind),
        name: name.to_owned(),
        id: PartitionId::Numbered { signature: mbr::signature(DISK), number },
        attributes,
        least,
        most: None,
        weight: u32::from(name == "root"),
    };
    (1..).zip(parts).map(request).collect()
}

fn image(size: u64, behind: usize) -> (DiskLayout, Vec<u8>) {
    let placed = place(&requests(), size).unwrap();
    let empty = |at: Placed| (at.clone(), Contents { size: at.size, extents: Box::new(Vec::new()) });
    let mut boot = BootCode::default();
    boot.first[..2].copy_from_slice(&[0xeb, 0x63]);
    boot.behind = vec![0xcc; behind].into();
    let disk = Disk { size, sector_size: 512, table: TableKind::Mbr, guid: DISK, boot };
    let layout = DiskLayout::new(&disk, placed.into_iter().map(empty).collect()).unwrap();
    let bytes = flatten(layout.size, &layout);
    (layout, bytes)
}

#[test]
fn foreign_tools_list_what_was_asked() {
    let scratch = Scratch::new();
    let (layout, bytes) = image(32 * MIB, 100_000);
    let path = scratch.write("disk", &bytes);
    let listed: serde_json::Value = serde_json::from_str(&accepts("sfdisk", &["-J", &path])).unwrap();
    let table = &listed["partitiontable"];
    assert_eq!((&table["label"], &table["id"]), (&"dos".into(), &"0x01234567".into()));
    for (placed, kind) in layout.partitions.iter().zip(["ef", "82", "83"]) {
        let partition = &table["partitions"][placed.number as usize - 1];
        assert_eq!(partition["type"], kind);
        assert_eq!(partition["start"].as_u64().unwrap() * 512, placed.start);
        assert_eq!(partition["size"].as_u64().unwrap() * 512, placed.size);
        assert_eq!(partition["bootable"].as_bool().unwrap_or(false), kind == "83");
    }
    let ids = accepts("partx", &["--show", "--noheadings", "--output", "UUID", &path]);
    assert_eq!(ids.split_whitespace().collect::<Vec<_>>(), ["01234567-01", "01234567-02", "01234567-03"]);
    let said = accepts("blkid", &["-p", "-o", "export", &path]);
    assert!(said.contains("PTTYPE=dos") && said.contains("PTUUID=01234567"), "{said}");
    let verified = accepts("sfdisk", &["--verify", &path]);
    assert!(!verified.contains("overlap") && !verified.contains("beyond"), "{verified}");
}

#[test]
fn boot_code_lies_in_front_of_the_partitions_and_nowhere_else() {
    let (layout, bytes) = image(32 * MIB, 100_000);
    assert_eq!((&bytes[..2], &bytes[510..512]), (&[0xeb, 0x63][..], &[0x55, 0xaa][..]));
    assert!(bytes[512..100_512].iter().all(|byte| *byte == 0xcc));
    assert!(bytes[100_512..layout.partitions[0].start as usize].iter().all(|byte| *byte == 0));
    let full = (MIB - 512) as usize;
    image(32 * MIB, full);
    let table = mbr::Table {
        signature: 1,
        partitions: vec![mbr::Partition {
            number: 1,
            kind: 0x83,
            first_lba: 2048,
            sectors: 2048,
            is_active: false,
        }],
    };
    let encode = |behind: usize| mbr::encode(&table, &[0; mbr::BOOT_CODE_LEN], &vec![1; behind]).is_ok();
    assert!(encode(full) && !encode(full + 1));
}

#[test]
fn the_table_reads_back() {
    let (layout, bytes) = image(32 * MIB, 0);
    let table = read(&bytes[..]).unwrap();
    assert_eq!((table.kind(), &*table.disk_id()), (TableKind::Mbr, "01234567"));
    let unnamed = layout.partitions.iter().map(|placed| Placed { name: String::new(), ..placed.clone() });
    assert_eq!(table.partitions(), unnamed.collect::<Vec<_>>());
    assert_eq!(table.check(&bytes[..]), [""; 0]);
    let kinds: Vec<_> = table.partitions().iter().map(|placed| placed.kind.name()).collect();
    assert_eq!(kinds, [Some("esp"), Some("swap"), Some("linux-generic")]);
}

/// Boot sectors of file systems end in the same two bytes, and a GPT whose header is broken is none either.
#[test]
fn what_contradicts_itself_is_no_table() {
    let (_, whole) = image(32 * MIB, 0);
    let no_table = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        assert_eq!(*read(&bytes[..]).unwrap_err().kind(), Kind::Corrupt);
    };
    no_table(&|bytes| bytes[510] = 0);
    no_table(&|bytes| bytes[RECORDS] = 0x12);
    no_table(&|bytes| bytes[RECORDS + 4] = 0xee);
    no_table(&|bytes| bytes[RECORDS..510].fill(0));
    // Over the table, over another one, nothing, beyond the disk.
    no_table(&|bytes| bytes[RECORDS + 8..RECORDS + 12].fill(0));
    no_table(&|bytes| bytes[RECORDS + 14] = 1);
    no_table(&|bytes| bytes[RECORDS + 12..RECORDS + 16].fill(0));
    no_table(&|bytes| bytes.truncate(8 << 20));
    assert!(read(&whole[..]).is_ok());
    for len in [0, 1, 511, 512] {
        assert!(read(&vec![0xa5; len][..]).is_err());
    }
}

#[test]
fn no_partition_reaches_beyond_two_tebibytes() {
    let layout = |size: u64| {
        let placed = place(&requests(), size).unwrap();
        let empty = |at: Placed| (at.clone(), Contents { size: at.size, extents: Box::new(Vec::new()) });
        let boot = BootCode::default();
        let disk = Disk { size, sector_size: 512, table: TableKind::Mbr, guid: DISK, boot };
        DiskLayout::new(&disk, placed.into_iter().map(empty).collect())
    };
    assert!(layout(mbr::LIMIT + MIB).is_ok(), "the last MiB is in no partition");
    let error = layout(mbr::LIMIT + 2 * MIB).unwrap_err();
    assert!(error.to_string().starts_with("root: ends at ") && error.hint().is_some(), "{error}");
}
