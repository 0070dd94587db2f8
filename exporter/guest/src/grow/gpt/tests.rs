use super::*;

const MIB: u64 = 1 << 20;

#[test]
fn an_identity_is_written_as_the_kernel_does() {
    let unique_partition_guid =
        [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
    let entry = Entry { unique_partition_guid, ..Entry::read_from_bytes(&[0; 128]).unwrap() };
    assert_eq!(entry.id(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
}

/// A disk with these partitions (first and last block), in the order of their numbers.
fn disk(block: u64, size: u64, partitions: &[(u64, u64)]) -> Vec<u8> {
    let mut disk = vec![0; size as usize];
    let mut entries = vec![0; 128 * 128];
    let mut name = [U16::default(); 36];
    name.iter_mut().zip("root-a".encode_utf16()).for_each(|(to, unit)| *to = unit.into());
    for (index, (first, last)) in partitions.iter().enumerate() {
        let entry = Entry {
            partition_type_guid: [1; 16],
            unique_partition_guid: [2; 16],
            starting_lba: (*first).into(),
            ending_lba: (*last).into(),
            attributes: 0.into(),
            partition_name: name,
        };
        entries[index * 128..][..128].copy_from_slice(entry.as_bytes());
    }
    let blocks = size / block;
    let entries_blocks = 128 * 128 / block;
    let header = Header {
        signature: *b"EFI PART",
        revision: 0x10000.into(),
        header_size: 92.into(),
        header_crc32: 0.into(),
        reserved: 0.into(),
        my_lba: 1.into(),
        alternate_lba: (blocks - 1).into(),
        first_usable_lba: (2 + entries_blocks).into(),
        last_usable_lba: (blocks - entries_blocks - 2).into(),
        disk_guid: [3; 16],
        partition_entry_lba: 2.into(),
        number_of_partition_entries: 128.into(),
        size_of_partition_entry: 128.into(),
        partition_entry_array_crc32: crc32fast::hash(&entries).into(),
    };
    disk[MBR_TYPE] = GPT_PROTECTIVE;
    disk[block as usize..][..92].copy_from_slice(header.seal().as_bytes());
    disk[2 * block as usize..][..entries.len()].copy_from_slice(&entries);
    disk
}

fn grow(block: u64, disk: &[u8], number: u32, size: u64) -> Result<Growth, Refusal> {
    let read = |at: u64, len: usize| {
        Ok(disk.get(at as usize..).and_then(|rest| rest.get(..len)).unwrap_or_default().to_vec())
    };
    Table::read(block, read).unwrap().and_then(|table| table.grow(number, size))
}

fn apply(disk: &mut Vec<u8>, growth: &Growth, size: u64) {
    disk.resize(size as usize, 0);
    for (at, bytes) in &growth.writes {
        disk[*at as usize..][..bytes.len()].copy_from_slice(bytes);
    }
}

#[test]
fn partitions_have_their_numbers_and_names() {
    let disk = disk(512, 8 * MIB, &[(2048, 4095), (4096, 6143)]);
    let read = |at: u64, len: usize| Ok(disk[at as usize..][..len].to_vec());
    let table = Table::read(512, read).unwrap().unwrap();
    let named: Vec<_> = table.entries().map(|(number, entry)| (number, entry.name())).collect();
    assert_eq!(named, [(1, "root-a".to_owned()), (2, "root-a".to_owned())]);
    assert!(table.entries().all(|(_, entry)| entry.partition_type_guid == [1; 16]));
}

#[test]
fn the_last_partition_grows_once() {
    let mut disk = disk(512, 8 * MIB, &[(2048, 4095), (4096, 6143)]);
    let growth = grow(512, &disk, 2, 64 * MIB).unwrap();
    // The last MiB holds the backup.
    assert_eq!((growth.start, growth.len), (2 * MIB, 61 * MIB));
    apply(&mut disk, &growth, 64 * MIB);
    assert_eq!(grow(512, &disk, 2, 64 * MIB), Err(Refusal::IsWhole));
    assert_eq!(disk[MBR_SIZE_IN_LBA..][..4], (64 * 2048 - 1_u32).to_le_bytes());
    let backup = Header::read_from_bytes(&disk[(64 * MIB - 512) as usize..][..92]).unwrap();
    assert_eq!(backup.header_crc32, backup.crc32());
    assert_eq!((backup.my_lba.get(), backup.alternate_lba.get()), (64 * 2048 - 1, 1));
}

/// What Linux sees of a disk: where its partitions end.
fn ends(block: u64, disk: &[u8]) -> Vec<u64> {
    let read = |at: u64, len: usize| Ok(disk[at as usize..][..len].to_vec());
    let table = Table::read(block, read).unwrap().unwrap();
    assert!(table.entries().all(|(_, entry)| table.header.first_usable_lba <= entry.starting_lba));
    assert!(
        table.header.partition_entry_lba.get() + table.entries_blocks()
            <= table.header.first_usable_lba.get()
    );
    table.entries().map(|(_, entry)| entry.ending_lba.get()).collect()
}

/// A sector is written or it is not; a write of many is cut between any two, whichever comes first.
#[test]
fn the_first_table_is_whole_wherever_its_growth_is_cut() {
    const SIZE: u64 = 6 * MIB;
    for (block, is_forward) in [(512, true), (512, false), (4096, true)] {
        let mib = MIB / block;
        let mut old = disk(block, 4 * MIB, &[(mib, 2 * mib - 1), (2 * mib, 3 * mib - 1)]);
        let mut whole = old.clone();
        apply(&mut whole, &grow(block, &old, 2, SIZE).unwrap(), SIZE);
        assert_eq!(ends(block, &whole), [2 * mib - 1, 5 * mib - 1]);
        old.resize(SIZE as usize, 0);
        let mut cut = old.clone();
        for (at, bytes) in grow(block, &old, 2, SIZE).unwrap().writes {
            let sectors = (at..).step_by(block as usize).zip(bytes.chunks(block as usize));
            let mut sectors: Vec<_> = sectors.collect();
            if !is_forward {
                sectors.reverse();
            }
            for (at, sector) in sectors {
                cut[at as usize..][..sector.len()].copy_from_slice(sector);
                let end = ends(block, &cut)[1];
                assert!([3 * mib - 1, 5 * mib - 1].contains(&end), "{at}: {end}");
                let mut next = cut.clone();
                match grow(block, &cut, 2, SIZE) {
                    Ok(growth) => apply(&mut next, &growth, SIZE),
                    Err(refusal) => assert_eq!(refusal, Refusal::IsWhole),
                }
                // What lies between the entries and the first partition is nobody's.
                let behind = (2 * block + 128 * 128) as usize;
                assert!(next[..behind] == whole[..behind] && next[MIB as usize..] == whole[MIB as usize..]);
            }
        }
        assert!(cut == whole);
    }
}

fn labels(disk: &[u8]) -> Vec<String> {
    let read = |at: u64, len: usize| Ok(disk[at as usize..][..len].to_vec());
    let table = Table::read(512, read).unwrap().unwrap();
    table.entries().map(|(_, entry)| entry.name()).collect()
}

fn relabel(disk: &[u8], number: u32, label: &str) -> Result<Vec<(u64, Vec<u8>)>, Refusal> {
    let read = |at: u64, len: usize| Ok(disk[at as usize..][..len].to_vec());
    Table::read(512, read).unwrap().unwrap().relabel(number, label)
}

/// Also where a growth was cut before, at any write of it.
#[test]
fn the_first_table_is_whole_wherever_a_new_label_is_cut() {
    let mut new = disk(512, 4 * MIB, &[(2048, 4095), (4096, 6143)]);
    let mut starts = vec![new.clone()];
    new.resize(6 * MIB as usize, 0);
    for (at, bytes) in grow(512, &new, 2, 6 * MIB).unwrap().writes {
        new[at as usize..][..bytes.len()].copy_from_slice(&bytes);
        starts.push(new.clone());
    }
    for (start, is_forward) in starts.iter().flat_map(|start| [(start, true), (start, false)]) {
        let (mut cut, before) = (start.clone(), ends(512, start));
        for (at, bytes) in relabel(start, 1, "kiosk_1.4.0").unwrap() {
            let mut sectors: Vec<_> = (at..).step_by(512).zip(bytes.chunks(512)).collect();
            if !is_forward {
                sectors.reverse();
            }
            for (at, sector) in sectors {
                cut[at as usize..][..sector.len()].copy_from_slice(sector);
                let seen = labels(&cut);
                assert!(["root-a", "kiosk_1.4.0"].contains(&&*seen[0]) && seen[1] == "root-a", "{at}");
                assert_eq!(ends(512, &cut), before);
                let mut again = cut.clone();
                for (at, bytes) in relabel(&cut, 1, "_empty").unwrap() {
                    again[at as usize..][..bytes.len()].copy_from_slice(&bytes);
                }
                assert_eq!(labels(&again), ["_empty", "root-a"]);
            }
        }
        assert_eq!(labels(&cut), ["kiosk_1.4.0", "root-a"]);
        let header = Header::read_from_bytes(&cut[512..604]).unwrap();
        let backup = header.alternate_lba.get() as usize * 512;
        let backup = Header::read_from_bytes(&cut[backup..][..92]).unwrap();
        assert_eq!(backup.header_crc32, backup.crc32());
        assert_eq!(backup.partition_entry_array_crc32, header.partition_entry_array_crc32);
    }
}

#[test]
fn a_label_that_cannot_be_written_safely_is_refused() {
    let with_room = disk(512, 8 * MIB, &[(2048, 4095)]);
    assert!(relabel(&with_room, 1, &"x".repeat(36)).is_ok());
    assert!(relabel(&with_room, 1, &"x".repeat(37)).is_err());
    assert_eq!(relabel(&with_room, 2, "x"), Err(Refusal::LeftAlone("not in the partition table")));
    assert_eq!(relabel(&with_room, 0, "x"), Err(Refusal::LeftAlone("not in the partition table")));
    assert!(relabel(&disk(512, 8 * MIB, &[(40, 4095)]), 1, "x").is_err());
}

/// A disk that has become larger again while its table was behind its place.
#[test]
fn what_was_cut_is_put_in_its_place_on_a_disk_of_any_size() {
    let mut disk = disk(512, 8 * MIB, &[(2048, 4095)]);
    let mut growth = grow(512, &disk, 1, 16 * MIB).unwrap();
    growth.writes.truncate(5);
    apply(&mut disk, &growth, 16 * MIB);
    for size in [16, 32] {
        let mut disk = disk.clone();
        let growth = grow(512, &disk, 1, size * MIB).unwrap();
        apply(&mut disk, &growth, size * MIB);
        assert_eq!(ends(512, &disk), [(size - 1) * 2048 - 1]);
        assert_eq!(grow(512, &disk, 1, size * MIB), Err(Refusal::IsWhole));
    }
    // It was larger.
    assert_eq!(grow(512, &disk, 1, 12 * MIB), Err(Refusal::IsWhole));
}

#[test]
fn entries_without_room_behind_them_are_written_in_their_place() {
    let mut disk = disk(512, 8 * MIB, &[(40, 4095)]);
    let growth = grow(512, &disk, 1, 16 * MIB).unwrap();
    assert_eq!(growth.writes.len(), 5);
    apply(&mut disk, &growth, 16 * MIB);
    assert_eq!(ends(512, &disk), [15 * 2048 - 1]);
}

#[test]
fn numbers_need_not_be_in_the_order_of_the_disk() {
    let disk = disk(512, 8 * MIB, &[(4096, 6143), (2048, 4095)]);
    assert!(grow(512, &disk, 1, 64 * MIB).is_ok());
    assert_eq!(grow(512, &disk, 2, 64 * MIB), Err(Refusal::LeftAlone("not the last partition of the disk")));
}

#[test]
fn blocks_may_be_larger() {
    let disk = disk(4096, 8 * MIB, &[(256, 511), (512, 767)]);
    let growth = grow(4096, &disk, 2, 64 * MIB).unwrap();
    assert_eq!((growth.start, growth.len), (2 * MIB, 61 * MIB));
    assert_eq!(growth.writes[1].0, 64 * MIB - 4096);
}

#[test]
fn nothing_shrinks() {
    let disk = disk(512, 8 * MIB, &[(2048, 8 * 2048 - 35)]);
    assert_eq!(grow(512, &disk, 1, 8 * MIB), Err(Refusal::IsWhole));
    assert_eq!(grow(512, &disk, 1, 4 * MIB), Err(Refusal::IsWhole));
    assert!(matches!(grow(512, &disk, 1, 512), Err(Refusal::LeftAlone(_))));
}

#[test]
fn a_partition_that_starts_after_its_end_is_left_alone() {
    let reason = Refusal::LeftAlone("the partition starts after its end");
    for (first, last) in [(1 << 20, 4095), (u64::MAX, 0), (200 * 2048, 4095), (4096, 4095)] {
        assert_eq!(grow(512, &disk(512, 8 * MIB, &[(first, last)]), 1, 64 * MIB), Err(reason.clone()));
    }
    for (first, last) in [(u64::MAX, u64::MAX), (0, u64::MAX), (200 * 2048, 300 * 2048)] {
        let grown = grow(512, &disk(512, 8 * MIB, &[(first, last)]), 1, 64 * MIB);
        assert_eq!(grown, Err(Refusal::IsWhole), "{first}");
    }
    assert_eq!(grow(512, &disk(512, 8 * MIB, &[(4096, 4096)]), 1, 64 * MIB).unwrap().len, 61 * MIB);
}

#[test]
fn a_damaged_table_is_left_alone() {
    let whole = disk(512, 8 * MIB, &[(2048, 4095)]);
    assert!(matches!(grow(512, &[0; 4096], 1, MIB), Err(Refusal::LeftAlone("no GUID partition table"))));
    assert!(matches!(grow(512, &[], 1, MIB), Err(Refusal::LeftAlone("no GUID partition table"))));
    assert!(matches!(grow(512, &whole, 2, 64 * MIB), Err(Refusal::LeftAlone("not in the partition table"))));
    assert!(matches!(grow(512, &whole, 0, 64 * MIB), Err(Refusal::LeftAlone("not in the partition table"))));
    for at in (512..604).chain(1024..1024 + 48) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        assert!(matches!(grow(512, &damaged, 1, 64 * MIB), Err(Refusal::LeftAlone(_))), "byte {at}");
    }
}
