//! Tables damaged at exactly one place: what is named, beside what QEMU says of the same file.

use super::*;

/// A disk of 3 MiB in that format, written here, and its bytes.
fn small(scratch: &Scratch, format: Format, compression: Compression) -> Vec<u8> {
    let path = scratch.file("whole.disk");
    let disk = target_at(path, format, compression);
    write_one(RawImage { size: 3 * MIB, extents: &extents(3 * MIB) }, &disk, 2);
    assert_eq!(check(&disk.path).unwrap(), <[&str; 0]>::default(), "{format}");
    std::fs::read(&disk.path).unwrap()
}

/// What is wrong with a file: its problems, or why it cannot be opened.
fn problems(file: &str) -> String {
    check(Path::new(file)).map_or_else(|error| error.to_string(), |problems| problems.join("\n"))
}

fn be64(bytes: &[u8], at: u64) -> u64 {
    u64::from_be_bytes(bytes[at as usize..][..8].try_into().unwrap())
}

fn le64(bytes: &[u8], at: u64) -> u64 {
    u64::from_le_bytes(bytes[at as usize..][..8].try_into().unwrap())
}

fn put(bytes: &mut [u8], at: u64, value: &[u8]) {
    bytes[at as usize..][..value.len()].copy_from_slice(value);
}

/// Whether QEMU finds no fault with a file, and reads all of it.
fn qemu_takes(format: &str, path: &str) -> bool {
    // It cannot check a VHD.
    (format == "vpc" || tool("qemu-img", &["check", "-f", format, path]).0)
        && tool("qemu-img", &["convert", "-f", format, "-O", "raw", path, &format!("{path}.raw")]).0
}

const COPIED: u64 = 1 << 63;

#[test]
fn tables_of_a_qcow2_are_as_qemu_wants_them() {
    let scratch = Scratch::new();
    let whole = small(&scratch, Format::Qcow2, Compression::None);
    let l1 = be64(&whole, 40);
    let l2 = be64(&whole, l1) & !COPIED;
    let [first, second] = [be64(&whole, l2), be64(&whole, l2 + 8)];
    let refcounts = be64(&whole, be64(&whole, 48));
    let count_of = |entry: u64| refcounts + 2 * ((entry & !COPIED) >> 16);
    for (at, value, expected) in [
        (l1, (l2 + 512) | COPIED, "qcow2: L2 table 0 begins at byte "),
        (l1, l2 | COPIED | 4, "qcow2: L1 entry 0 has bits that mean nothing"),
        (l1, l2, "qcow2: the reference count of L2 table 0 is 1, which is wrong"),
        (l1, COPIED | 1 << 40, "qcow2: L2 table 0 lies at byte 1099511627776, outside of the file"),
        (l2, first + 512, "qcow2: cluster 0 lies at byte "),
        (l2, first | 1 << 60, "qcow2: the L2 entry of cluster 0 has bits that mean nothing"),
        (l2, COPIED | 1 << 40, "qcow2: cluster 0 lies at byte 1099511627776, outside of the file"),
        (l2, second, "qcow2: cluster 1 lies at byte "),
        (l2 + 8 * 40, l2 | COPIED | 1, "where something else is"),
        // Of a part of the disk that no cluster lies in.
        (
            be64(&whole, 48) + 8 * 4887,
            2,
            "qcow2: entry 4887 of the refcount table has bits that mean nothing",
        ),
        (
            be64(&whole, 48) + 8 * 4887,
            1 << 60,
            "qcow2: refcount block 4887 lies at byte 1152921504606846976, outside",
        ),
        (40, l1 + 512, "begin inside a cluster"),
        (48, be64(&whole, 48) + 512, "begin inside a cluster"),
    ] {
        let mut bytes = whole.clone();
        put(&mut bytes, at, &value.to_be_bytes());
        let path = scratch.write("broken.qcow2", &bytes);
        let found = problems(&path);
        assert!(found.contains(expected), "{expected}: {found}");
        assert!(!qemu_takes("qcow2", &path), "{expected}");
    }
    for (entry, count) in [(first, 0_u16), (first, 2), (l2, 0)] {
        let mut bytes = whole.clone();
        put(&mut bytes, count_of(entry), &count.to_be_bytes());
        let path = scratch.write("broken.qcow2", &bytes);
        let found = problems(&path);
        assert!(found.contains(&format!(" is {count}, which is wrong")), "{found}");
        assert!(!qemu_takes("qcow2", &path), "{count}");
    }
}

#[test]
fn what_points_into_a_cluster_is_not_read() {
    let scratch = Scratch::new();
    let whole = small(&scratch, Format::Qcow2, Compression::None);
    let l1 = be64(&whole, 40);
    let l2 = be64(&whole, l1) & !COPIED;
    for at in [l1, l2] {
        let mut bytes = whole.clone();
        put(&mut bytes, at, &(be64(&whole, at) + 512).to_be_bytes());
        let path = scratch.write("broken.qcow2", &bytes);
        let read = open(Path::new(&path)).unwrap().1.read_at(0, &mut [0; 512]);
        assert_eq!(*read.unwrap_err().kind(), Kind::Corrupt);
    }
}

#[test]
fn compressed_clusters_are_counted_too() {
    let scratch = Scratch::new();
    for compression in [Compression::Zlib, Compression::Zstd] {
        let whole = small(&scratch, Format::Qcow2, compression);
        let l2 = be64(&whole, be64(&whole, 40)) & !COPIED;
        for (value, expected) in [
            (be64(&whole, l2) | COPIED, "cluster 0 is compressed, and its reference count is not"),
            (1 << 62 | 1 << 40, "cluster 0 lies at byte 1099511627776, outside of the file"),
            (1 << 62 | l2, "where something else is"),
        ] {
            let mut bytes = whole.clone();
            put(&mut bytes, l2, &value.to_be_bytes());
            let path = scratch.write("broken.qcow2", &bytes);
            let found = problems(&path);
            assert!(found.contains(expected), "{compression} {expected}: {found}");
            assert!(!qemu_takes("qcow2", &path), "{compression} {expected}");
        }
    }
}

#[test]
fn a_qcow2_that_qemu_made_has_no_problem() {
    let scratch = Scratch::new();
    let raw = scratch.write("expected.raw", &flatten(12 * MIB, &extents(12 * MIB)));
    let path = scratch.file("disk.qcow2");
    let shown = path.to_str().unwrap();
    for options in [
        &["-o", "compat=0.10"][..],
        &["-c", "-o", "cluster_size=512"],
        &["-c", "-o", "compression_type=zstd,cluster_size=2M"],
        &["-o", "refcount_bits=1"],
        &["-o", "refcount_bits=64,lazy_refcounts=on"],
        &["-o", "preallocation=metadata"],
    ] {
        accepts("qemu-img", &[&["convert", "-f", "raw", "-O", "qcow2"], options, &[&raw, shown]].concat());
        assert_eq!(check(&path).unwrap(), <[&str; 0]>::default(), "{options:?}");
        if !options.contains(&"refcount_bits=1") {
            // Clusters that a snapshot shares have a count of two.
            accepts("qemu-img", &["snapshot", "-c", "one", shown]);
            assert_eq!(check(&path).unwrap(), <[&str; 0]>::default(), "{options:?}, snapshot");
        }
    }
}

#[test]
fn tables_larger_than_their_file_take_no_memory() {
    let scratch = Scratch::new();
    let whole = small(&scratch, Format::Qcow2, Compression::None);
    for (at, value, expected) in [
        (36, 1_u32 << 22, "the file ends before its L1 table"),
        (36, u32::MAX, "the L1 table does not fit the size of the image"),
        (56, u32::MAX, "the size of the reference counts is impossible"),
        (96, 7, "the size of the reference counts is impossible"),
    ] {
        let mut bytes = whole.clone();
        put(&mut bytes, at, &value.to_be_bytes());
        let path = scratch.write("broken.qcow2", &bytes);
        let error = open(Path::new(&path)).err().unwrap();
        assert_eq!(error.to_string(), format!("qcow2: {expected}"));
        assert!(!qemu_takes("qcow2", &path), "{expected}");
    }
}

/// Where the BAT of a VHDX that is written here begins.
const BAT: u64 = 3 * MIB;

#[test]
fn states_that_a_vhdx_does_not_know_are_named() {
    let scratch = Scratch::new();
    let whole = small(&scratch, Format::Vhdx, Compression::None);
    let entry = le64(&whole, BAT) & !7;
    // QEMU takes 5 for what a draft of the format meant by it.
    for (state, ours, qemu) in [
        (0, true, true),
        (1, true, true),
        (2, true, true),
        (3, true, true),
        (4, false, false),
        (5, false, true),
        (6, true, true),
        (7, false, false),
    ] {
        let mut bytes = whole.clone();
        put(&mut bytes, BAT, &(entry | state).to_le_bytes());
        let path = scratch.write("broken.vhdx", &bytes);
        assert_eq!(problems(&path).is_empty(), ours, "{state}: {}", problems(&path));
        let read = open(Path::new(&path)).unwrap().1.read_at(0, &mut [0; 512]);
        assert_eq!(read.is_ok(), ours, "{state}");
        assert_eq!(qemu_takes("vhdx", &path), qemu, "{state}");
    }
}

#[test]
fn places_of_a_vhdx_are_taken_once() {
    let scratch = Scratch::new();
    let whole = small(&scratch, Format::Vhdx, Compression::None);
    for (value, expected, qemu) in [
        // QEMU does not look for blocks in the headers,
        (6, "block 0 lies at byte 0, where something else is", true),
        (BAT | 6, "block 0 lies at byte 3145728, where something else is", false),
        (1 << 40 | 6, "block 0 lies at byte 1099511627776, outside of the file", false),
        // and at each block alone.
        (le64(&whole, BAT + 8), "block 1 lies at byte ", true),
    ] {
        let mut bytes = whole.clone();
        put(&mut bytes, BAT, &value.to_le_bytes());
        let path = scratch.write("broken.vhdx", &bytes);
        let found = problems(&path);
        assert!(found.contains(expected), "{expected}: {found}");
        assert_eq!(qemu_takes("vhdx", &path), qemu, "{expected}");
    }
}

/// `bytes` with the CRC-32C of the structure at `at` made right.
fn resealed(mut bytes: Vec<u8>, at: u64, len: u64) -> Vec<u8> {
    put(&mut bytes, at + 4, &[0; 4]);
    let sum = crc32c::crc32c(&bytes[at as usize..(at + len) as usize]);
    put(&mut bytes, at + 4, &sum.to_le_bytes());
    bytes
}

#[test]
fn headers_and_regions_of_a_vhdx_are_those_of_the_specification() {
    let scratch = Scratch::new();
    let whole = small(&scratch, Format::Vhdx, Compression::None);
    let changed = |changes: &[(u64, &[u8])]| {
        let mut bytes = whole.clone();
        for (at, value) in changes {
            // In both copies.
            [0, 64 * KIB].iter().for_each(|copy| put(&mut bytes, 192 * KIB + copy + at, value));
        }
        let bytes = resealed(resealed(bytes, 192 * KIB, 64 * KIB), 256 * KIB, 64 * KIB);
        scratch.write("broken.vhdx", &bytes)
    };
    let bat = 16 + 16;
    let second_bat = &whole[192 * 1024 + 16..][..32];
    // QEMU takes regions at any byte, and what is behind the end of the file for zeroes.
    let unaligned = "does not begin and end at whole mebibytes";
    let outside = "does not fit the size of the disk";
    for (changes, expected) in [
        (&[(bat, &(BAT + 512).to_le_bytes()[..])][..], unaligned),
        (&[(bat, &(2 * MIB).to_le_bytes()[..])], "a region lies at byte 2097152, where something else is"),
        (&[(bat, &(1_u64 << 40).to_le_bytes()[..])], outside),
        (&[(16, &[7; 16][..])], "a region that has to be understood"),
        (&[(8, &2048_u32.to_le_bytes()[..])], "has more entries than it has room for"),
        (&[(8, &3_u32.to_le_bytes()[..]), (16 + 64, second_bat)], " is there twice"),
    ] {
        let path = changed(changes);
        let found = problems(&path);
        assert!(found.contains(expected), "{expected}: {found}");
        let is_taken = [unaligned, outside].contains(&expected);
        assert_eq!(qemu_takes("vhdx", &path), is_taken, "{expected}");
    }
    for (at, expected, qemu) in [
        (192 * KIB + 20, "vhdx: the first region table is damaged, the second was read", false),
        (256 * KIB + 20, "vhdx: the second region table is damaged", true),
    ] {
        let mut bytes = whole.clone();
        bytes[at as usize] ^= 1;
        let path = scratch.write("broken.vhdx", &bytes);
        assert_eq!((problems(&path).as_str(), qemu_takes("vhdx", &path)), (expected, qemu));
    }
    // Two headers of the same number.
    let mut bytes = whole.clone();
    put(&mut bytes, 128 * KIB + 8, &whole[64 * 1024 + 8..][..8]);
    put(&mut bytes, 128 * KIB + 16, &[7; 16]);
    let path = scratch.write("broken.vhdx", &resealed(bytes, 128 * KIB, 4 * KIB));
    assert_eq!(problems(&path), "vhdx: two headers that differ have the same number");
    assert!(!qemu_takes("vhdx", &path));
}

#[test]
fn a_dynamic_vhd_without_its_footer_is_read_by_the_copy() {
    let scratch = Scratch::new();
    let whole = small(&scratch, Format::VhdDynamic, Compression::None);
    let expected = flatten(3 * MIB, &extents(3 * MIB));
    let end = whole.len() as u64 - 512;
    let by_copy = "vhd: the footer is damaged, its copy at the start of the file was read";
    let by_footer = "vhd: the copy of the footer at the start of the file is damaged";
    // QEMU looks at the copy alone.
    for (at, problem, qemu) in
        [(end, by_copy, true), (end + 70, by_copy, true), (0, by_footer, false), (70, by_footer, false)]
    {
        let mut bytes = whole.clone();
        bytes[at as usize] ^= 1;
        let path = scratch.write("broken.vhd", &bytes);
        assert_eq!((problems(&path).as_str(), qemu_takes("vpc", &path)), (problem, qemu), "byte {at}");
        let (format, image) = open(Path::new(&path)).unwrap();
        let mut read = vec![1; expected.len()];
        image.read_at(0, &mut read).unwrap();
        assert!(format == Format::VhdDynamic && read == expected, "byte {at}");
    }
    // The checksum of either may be wrong, not of both.
    let mut bytes = whole.clone();
    [70, end + 70].iter().for_each(|&at| bytes[at as usize] ^= 1);
    let path = scratch.write("broken.vhd", &bytes);
    assert_eq!(problems(&path), "vhd: the checksum of the footer is wrong");
    assert!(!qemu_takes("vpc", &path));
    // Nothing but the copy is left.
    let path = scratch.write("cut.vhd", &whole[..whole.len() - 512]);
    assert_eq!(problems(&path), by_copy);
}

#[test]
fn places_of_a_vhd_are_taken_once() {
    let scratch = Scratch::new();
    let whole = small(&scratch, Format::VhdDynamic, Compression::None);
    for (value, expected, qemu) in [
        (0_u32, "vhd: block 0 lies at byte 0, where something else is", true),
        (1 << 30, "vhd: block 0 lies at byte 549755813888, outside of the file", false),
        (4 + 1, "vhd: block 0 lies at byte 2560, where something else is", true),
    ] {
        let mut bytes = whole.clone();
        put(&mut bytes, 1536, &value.to_be_bytes());
        let path = scratch.write("broken.vhd", &bytes);
        let found = problems(&path);
        assert!(found.contains(expected), "{expected}: {found}");
        assert_eq!(qemu_takes("vpc", &path), qemu, "{expected}");
    }
}

#[test]
fn places_of_a_vdi_are_taken_once() {
    let scratch = Scratch::new();
    let whole = small(&scratch, Format::Vdi, Compression::None);
    for (at, value, expected) in [
        (512, 1_u32, "vdi: block 1 lies at byte 2097152, where something else is"),
        (512, 4, "vdi: block 0 is said to be number 4 in the file, of fewer"),
        (388, 1, "vdi: 2 blocks are in the file, and 1 by its header"),
        (340, 513, "vdi: the block map or the blocks begin inside a sector"),
        (344, (MIB + 1) as u32, "vdi: the block map or the blocks begin inside a sector"),
        (360, 4096, "vdi: sectors of other than 512 bytes cannot be read"),
        (384, u32::MAX, "vdi: the file ends before its block map"),
    ] {
        let mut bytes = whole.clone();
        put(&mut bytes, at, &value.to_le_bytes());
        let path = scratch.write("broken.vdi", &bytes);
        let found = problems(&path);
        assert!(found.contains(expected), "{expected}: {found}");
        assert!(!qemu_takes("vdi", &path), "{expected}");
    }
}

#[test]
fn places_of_a_vmdk_are_taken_once() {
    let scratch = Scratch::new();
    let raw = scratch.write("expected.raw", &flatten(70 * MIB, &extents(70 * MIB)));
    let path = scratch.file("whole.vmdk");
    for subformat in ["subformat=monolithicSparse", "subformat=streamOptimized"] {
        let options = ["convert", "-f", "raw", "-O", "vmdk", "-o", subformat];
        accepts("qemu-img", &[&options[..], &[&raw, path.to_str().unwrap()]].concat());
        assert_eq!(check(&path).unwrap(), <[&str; 0]>::default(), "{subformat}");
        let whole = std::fs::read(&path).unwrap();
        let directory = match le64(&whole, 56) {
            u64::MAX => le64(&whole, whole.len() as u64 - 1024 + 56),
            sector => sector,
        } * 512;
        let u32_at = |at: u64| u32::from_le_bytes(whole[at as usize..][..4].try_into().unwrap());
        let table = u64::from(u32_at(directory)) * 512;
        for (at, value, expected) in [
            (directory, u32::MAX, "vmdk: grain table 0 lies at byte 2199023255040, outside of the file"),
            (directory + 4, u32_at(directory), "vmdk: grain table 1 lies at byte "),
            (table, u32::MAX, "vmdk: grain 0 lies at byte 2199023255040, outside of the file"),
            (table + 4, u32_at(table), "vmdk: grain 1 lies at byte "),
        ] {
            let mut bytes = whole.clone();
            put(&mut bytes, at, &value.to_le_bytes());
            let found = problems(&scratch.write("broken.vmdk", &bytes));
            assert!(found.contains(expected), "{subformat} {expected}: {found}");
        }
    }
}

/// 4,096 L2 tables, each the first: what is read of them is one.
#[test]
fn a_table_that_is_there_many_times_is_read_once() {
    let scratch = Scratch::new();
    let mut bytes = small(&scratch, Format::Qcow2, Compression::None);
    let l1 = be64(&bytes, 40);
    let entry = be64(&bytes, l1);
    put(&mut bytes, 24, &(4096_u64 << 29).to_be_bytes());
    put(&mut bytes, 36, &4096_u32.to_be_bytes());
    (0..4096).for_each(|index| put(&mut bytes, l1 + 8 * index, &entry.to_be_bytes()));
    let problems = check(Path::new(&scratch.write("many.qcow2", &bytes))).unwrap();
    assert_eq!(problems.len(), crate::limits::TABLE_PROBLEMS);
    assert!(problems.iter().all(|problem| problem.starts_with("qcow2: L2 table ")), "{problems:?}");
}

#[test]
fn every_archive_is_checked_inside() {
    let scratch = Scratch::new();
    for format in [Format::ContainerDisk, Format::Ova] {
        let whole = small(&scratch, format, format.default_compression());
        let magic = if format == Format::Ova { &b"KDMV"[..] } else { &b"QFI\xfb"[..] };
        let start = whole.windows(4).position(|window| window == magic).unwrap() as u64;
        let mut bytes = whole.clone();
        let expected = if format == Format::Ova {
            // The footer's directory: its table lies where the header is.
            let footer = bytes.windows(4).rposition(|window| window == magic).unwrap() as u64;
            let directory = start + 512 * le64(&bytes, footer + 56);
            put(&mut bytes, directory, &0x0100_0000_u32.to_le_bytes());
            "vmdk: "
        } else {
            let l1 = start + be64(&bytes, start + 40);
            let entry = be64(&bytes, l1) + 512;
            put(&mut bytes, l1, &entry.to_be_bytes());
            "qcow2: L2 table 0 begins at byte "
        };
        let found = problems(&scratch.write("broken.disk", &bytes));
        assert!(found.starts_with(expected), "{format}: {found}");
    }
}
