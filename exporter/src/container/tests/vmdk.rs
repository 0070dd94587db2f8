//! VMDK streams, read from front to end as an importer does, and by a reader that is not ours.

use std::io::Read;

use super::*;

const SECTOR: usize = 512;

fn disk(scratch: &Scratch) -> Target {
    target(scratch, "disk.vmdk", Compression::Zlib)
}

/// A disk with several grain tables, one of them empty, and its bytes.
fn stream(scratch: &Scratch) -> (Vec<u8>, Vec<u8>) {
    let size = 130 * MIB + 3 * KIB;
    let mut extents = extents(20 * MIB);
    extents.push(Extent::bytes(31 * MIB, text(2 * MIB)));
    extents.push(Extent::bytes(100 * MIB - 5, noise(MIB)));
    extents.push(Extent::bytes(size - 2 * KIB, text(2 * KIB)));
    let disk = disk(scratch);
    write_one(RawImage { size, extents: &extents }, &disk, 3);
    (std::fs::read(&disk.path).unwrap(), flatten(size, &extents))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

#[test]
fn an_importer_can_read_it_from_front_to_end() {
    let scratch = Scratch::new();
    let (file, expected) = stream(&scratch);
    let mut image = vec![0; expected.len().next_multiple_of(64 << 10)];
    let mut at = u64_at(&file, 64) as usize * SECTOR;
    let (mut last_lba, mut grains, mut tables, mut directory) = (None, Vec::new(), Vec::new(), 0);
    loop {
        let (value, size, kind) = (u64_at(&file, at), u32_at(&file, at + 8), u32_at(&file, at + 12));
        if size > 0 {
            assert!(last_lba < Some(value), "grains are in the order of the disk");
            last_lba = Some(value);
            let mut inflate = flate2::read::ZlibDecoder::new(&file[at + 12..][..size as usize]);
            inflate.read_exact(&mut image[value as usize * SECTOR..][..64 << 10]).unwrap();
            grains.push((at / SECTOR) as u32);
            at += (12 + size as usize).next_multiple_of(SECTOR);
            continue;
        }
        at += SECTOR;
        let metadata = &file[at..at + value as usize * SECTOR];
        match kind {
            0 => break,
            1 => {
                tables.push((at / SECTOR) as u32);
                let entries: Vec<_> = metadata.chunks(4).map(|entry| u32_at(entry, 0)).collect();
                assert_eq!(entries.len(), 512);
                let stored: Vec<_> = entries.into_iter().filter(|&sector| sector != 0).collect();
                assert_eq!(stored, grains);
                grains.clear();
            }
            2 => {
                directory = at / SECTOR;
                let entries: Vec<_> = metadata[..5 * 4].chunks(4).map(|entry| u32_at(entry, 0)).collect();
                assert_eq!(entries, [tables[0], tables[1], 0, tables[2], tables[3]]);
            }
            3 => assert_eq!((&metadata[..56], u64_at(metadata, 56)), (&file[..56], directory as u64)),
            _ => panic!("a marker of kind {kind}"),
        }
        at += metadata.len();
    }
    assert_eq!((at, grains.len(), tables.len()), (file.len(), 0, 4));
    assert!(image[..expected.len()] == expected);
    assert_eq!(u64_at(&file, 56), u64::MAX, "the directory is at the end");
}

#[test]
fn the_header_and_the_descriptor_are_those_of_vmware() {
    let scratch = Scratch::new();
    let (file, expected) = stream(&scratch);
    let capacity = (expected.len() / SECTOR) as u64;
    assert_eq!((u32_at(&file, 4), u32_at(&file, 8)), (3, 0x3_0001));
    assert_eq!([12, 20, 28, 36].map(|at| u64_at(&file, at)), [capacity, 128, 1, 20]);
    let descriptor = String::from_utf8(file[SECTOR..21 * SECTOR].to_vec()).unwrap();
    let lines: Vec<_> = descriptor.trim_end_matches('\0').lines().collect();
    for line in [
        "createType=\"streamOptimized\"",
        "parentCID=ffffffff",
        &format!("RW {capacity} SPARSE \"disk.vmdk\""),
        "ddb.adapterType = \"lsilogic\"",
        "ddb.geometry.cylinders = \"17\"",
        // VirtualBox finds what it has registered by these.
        &format!("ddb.uuid.image = \"{}\"", disk(&scratch).id),
        &format!("ddb.uuid.modification = \"{}\"", disk(&scratch).id),
        "ddb.uuid.parent = \"00000000-0000-0000-0000-000000000000\"",
        "ddb.uuid.parentmodification = \"00000000-0000-0000-0000-000000000000\"",
    ] {
        assert!(lines.contains(&line), "{line} is missing:\n{descriptor}");
    }
    let value = |key: &str| lines.iter().find_map(|line| line.strip_prefix(key)).unwrap();
    let long = value("ddb.longContentID = ").trim_matches('"');
    assert_eq!((long.len(), &long[24..]), (32, value("CID=")));
}

#[test]
fn a_reader_that_is_not_ours_reads_the_same() {
    let scratch = Scratch::new();
    let (file, expected) = stream(&scratch);
    let read = |file: &[u8]| {
        let mut bytes = Vec::new();
        ::vmdk::VmdkReader::open(std::io::Cursor::new(file)).unwrap().read_to_end(&mut bytes).map(|_| bytes)
    };
    assert!(read(&file).unwrap() == expected);
    let mut broken = file.clone();
    broken[128 * SECTOR + 100] ^= 1;
    assert!(!read(&broken).is_ok_and(|bytes| bytes == expected));
}

#[test]
fn damage_to_a_vmdk_is_found() {
    let scratch = Scratch::new();
    let (file, expected) = stream(&scratch);
    let raw = scratch.write("expected.raw", &expected);
    let footer = file.len() - 2 * SECTOR;
    let directory = u64_at(&file, footer + 56) as usize * SECTOR;
    let table = u32_at(&file, directory) as usize * SECTOR;
    let grain = 128 * SECTOR;
    // The markers of the footer and of the end, each by its size and its type.
    let markers = [footer - SECTOR + 8, footer - SECTOR + 12, footer + SECTOR, footer + SECTOR + 12];
    // The magic, and the end of lines; the footer, its directory, where grains begin, a table; a grain's marker and data.
    let ours = [73, footer, footer + 56, footer + 70, directory, table + 4, grain, grain + 12, grain + 200];
    // QEMU looks neither at the ends of lines nor at the place in the disk.
    let qemu = [0, footer, footer + 56, footer + 70, directory, table + 4, grain + 12, grain + 200];
    let broken = |at: usize| {
        let mut bytes = file.clone();
        bytes[at] ^= 1;
        scratch.write("broken.vmdk", &bytes)
    };
    let longer = scratch.write("longer.vmdk", &[&file[..], b"x"].concat());
    assert_eq!(*open(Path::new(&longer)).err().unwrap().kind(), Kind::Corrupt);
    assert!(!tool("qemu-img", &["check", "-f", "vmdk", &longer]).0);
    // The descriptor ends at its first zero, for all who read it as a text of C.
    let mut cut = file.clone();
    cut[SECTOR + 30] = 0;
    let cut = scratch.write("cut.vmdk", &cut);
    assert!(open(Path::new(&cut)).is_err());
    assert!(!tool("qemu-img", &["check", "-f", "vmdk", &cut]).0);
    for at in ours.into_iter().chain(markers) {
        let read = open(Path::new(&broken(at)))
            .and_then(|(_, image)| image.read_at(0, &mut vec![0; expected.len()]));
        assert_eq!(*read.unwrap_err().kind(), Kind::Corrupt, "byte {at}");
    }
    for at in qemu.into_iter().chain(markers) {
        let path = broken(at);
        assert!(!tool("qemu-img", &["compare", "-f", "raw", "-F", "vmdk", &raw, &path]).0, "byte {at}");
    }
}

#[test]
fn what_is_more_than_one_sparse_file_is_refused() {
    let scratch = Scratch::new();
    let raw = scratch.write("small.raw", &text(MIB));
    let path = scratch.file("disk.vmdk");
    let shown = path.to_str().unwrap();
    accepts("qemu-img", &["convert", "-f", "raw", "-O", "vmdk", &raw, shown]);
    assert!(open(&path).is_ok());
    let child = scratch.file("child.vmdk");
    accepts("qemu-img", &["create", "-f", "vmdk", "-F", "vmdk", "-b", shown, child.to_str().unwrap()]);
    assert_eq!(*open(&child).err().unwrap().kind(), Kind::Unsupported);
    let split = ["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"];
    accepts("qemu-img", &[&split[..], &[&raw, shown]].concat());
    let extent = scratch.file("disk-s001.vmdk");
    assert_eq!(*open(&extent).err().unwrap().kind(), Kind::Unsupported);
}
