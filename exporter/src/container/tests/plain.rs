//! The formats that other hypervisors want: QEMU and our readers must agree.

use super::*;

/// The formats, and what QEMU calls them.
const FORMATS: [(Format, &str); 5] = [
    (Format::Vdi, "vdi"),
    (Format::Vhd, "vpc"),
    (Format::VhdDynamic, "vpc"),
    (Format::Vhdx, "vhdx"),
    (Format::Vmdk, "vmdk"),
];

/// Bytes of the disk in a file whose image has `size`.
fn disk_size(format: Format, size: u64) -> u64 {
    if format == Format::Vhd { size.next_multiple_of(MIB) } else { size }
}

fn disk(scratch: &Scratch, format: Format) -> Target {
    any_target(scratch, format)
}

#[test]
fn qemu_and_our_reader_read_the_image() {
    let scratch = Scratch::new();
    for (format, name) in FORMATS {
        for size in SIZES {
            let extents = extents(size);
            let disk = disk(&scratch, format);
            write_one(RawImage { size, extents: &extents }, &disk, 2);
            let expected = flatten(disk_size(format, size), &extents);
            let raw = scratch.write("expected.raw", &expected);
            accepts("qemu-img", &["compare", "-f", "raw", "-F", name, &raw, shown(&disk)]);
            // A comparison forgives zeroes behind the shorter one.
            let info = accepts("qemu-img", &["info", "-f", name, shown(&disk)]);
            assert!(info.contains(&format!("({} bytes)", expected.len())), "{info}");
            let (told, image) = open(&disk.path).unwrap();
            assert_eq!((told, image.size()), (format, expected.len() as u64), "{name} {size}");
            assert_eq!(identify(&disk.path).unwrap(), (format, Some(expected.len() as u64)));
            let mut bytes = vec![1; expected.len()];
            image.read_at(0, &mut bytes).unwrap();
            assert!(bytes == expected, "{name} {size}");
            let behind = image.read_at(expected.len() as u64 - 1, &mut [0; 2]).unwrap_err();
            assert_eq!(*behind.kind(), Kind::Corrupt);
            // QEMU cannot check a VHD.
            if name != "vpc" {
                let said = accepts("qemu-img", &["check", "-f", name, shown(&disk)]);
                assert!(said.contains("No errors were found"), "{said}");
            }
        }
    }
}

#[test]
fn what_qemu_writes_is_read_in_these_formats() {
    let scratch = Scratch::new();
    let expected = flatten(12 * MIB, &extents(12 * MIB));
    let raw = scratch.write("expected.raw", &expected);
    let variants: [(Format, &[&str]); 9] = [
        (Format::Vdi, &["-O", "vdi"]),
        (Format::Vdi, &["-O", "vdi", "-o", "static=on"]),
        (Format::Vhd, &["-O", "vpc", "-o", "subformat=fixed,force_size=on"]),
        (Format::VhdDynamic, &["-O", "vpc", "-o", "subformat=dynamic,force_size=on"]),
        (Format::Vhdx, &["-O", "vhdx"]),
        (Format::Vhdx, &["-O", "vhdx", "-o", "subformat=fixed,block_size=2M"]),
        (Format::Vmdk, &["-O", "vmdk", "-o", "subformat=streamOptimized"]),
        (Format::Vmdk, &["-O", "vmdk", "-o", "subformat=monolithicSparse"]),
        (Format::Vmdk, &["-O", "vmdk", "-o", "subformat=monolithicSparse,zeroed_grain=on"]),
    ];
    for (format, options) in variants {
        let disk = disk(&scratch, format);
        accepts("qemu-img", &[&["convert", "-f", "raw"], options, &[&raw, shown(&disk)]].concat());
        let (told, image) = open(&disk.path).unwrap();
        assert_eq!((told, image.size()), (format, expected.len() as u64), "{options:?}");
        let mut bytes = vec![1; expected.len()];
        image.read_at(0, &mut bytes).unwrap();
        assert!(bytes == expected, "{options:?}");
    }
}

#[test]
fn zero_blocks_are_not_stored() {
    let scratch = Scratch::new();
    let extents = [Extent::bytes(MIB, vec![0; 5 * MIB as usize]), Extent::bytes(40 * MIB, [1])];
    for (format, name) in FORMATS {
        let disk = disk(&scratch, format);
        write_one(RawImage { size: 1 << 36, extents: &extents }, &disk, 2);
        let metadata = std::fs::metadata(&disk.path).unwrap();
        assert!(metadata.blocks() * 512 <= 3 * MIB, "{name}: {}", metadata.blocks() * 512);
    }
}

#[test]
fn identity_is_the_targets() {
    let scratch = Scratch::new();
    for (format, name) in FORMATS {
        let first = disk(&scratch, format);
        let read = |id| {
            let disk = Target { id, ..first.clone() };
            write_one(RawImage { size: MIB, extents: &Vec::new() }, &disk, 1);
            std::fs::read(&disk.path).unwrap()
        };
        let other = Seed::new(b"other").uuid("disk file");
        assert!(read(first.id) == read(first.id) && read(first.id) != read(other), "{name}");
    }
}

/// A disk of 3 MiB and its bytes.
fn small(scratch: &Scratch, format: Format) -> (Target, Vec<u8>) {
    let disk = disk(scratch, format);
    write_one(RawImage { size: 3 * MIB, extents: &extents(3 * MIB) }, &disk, 2);
    let bytes = std::fs::read(&disk.path).unwrap();
    (disk, bytes)
}

#[test]
fn both_geometries_of_a_vdi_name_the_size_of_a_sector() {
    let scratch = Scratch::new();
    let (disk, whole) = small(&scratch, Format::Vdi);
    let u32_at = |at: usize| u32::from_le_bytes(whole[at..at + 4].try_into().unwrap());
    // A header of 400 bytes has the second one, at byte 0x1c8.
    assert_eq!((u32_at(72), u32_at(360), u32_at(0x1d4)), (400, 512, 512));
    // The UUIDs of creation and modification, and no parent.
    let id = disk.id.to_guid_bytes();
    assert!([&whole[392..408], &whole[408..424]].iter().all(|uuid| *uuid == id));
    assert_eq!(whole[424..456], [0; 32]);
}

#[test]
fn damage_to_a_vdi_is_found() {
    let scratch = Scratch::new();
    let (_, whole) = small(&scratch, Format::Vdi);
    let raw = scratch.write("expected.raw", &flatten(3 * MIB, &extents(3 * MIB)));
    for (at, check) in [(512, false), (388, false), (MIB as usize + 20, true)] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        let path = scratch.write("broken.vdi", &bytes);
        assert_eq!(tool("qemu-img", &["check", "-f", "vdi", &path]).0, check, "byte {at}");
        let same = tool("qemu-img", &["compare", "-f", "raw", "-F", "vdi", &raw, &path]).0;
        assert_eq!(same, at == 388, "byte {at}");
    }
}

#[test]
fn the_readers_take_any_bytes() {
    let scratch = Scratch::new();
    for (format, name) in FORMATS {
        let (_, whole) = small(&scratch, format);
        let read = |bytes: &[u8]| {
            let file = scratch.write("any.disk", bytes);
            let (_, image) = open(Path::new(&file))?;
            image.read_at(0, &mut vec![0; image.size().min(3 * MIB) as usize])
        };
        let structures = [0..600, 64 * KIB as usize..64 * KIB as usize + 100, whole.len() - 600..whole.len()];
        for at in structures.into_iter().flatten().step_by(3) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x81;
            // Some of these bytes mean nothing for reading; none may cause a panic.
            let _ = read(&bytes);
        }
        for cut in [0, 68, 100, 511, 513, whole.len() / 2] {
            let _ = read(&whole[..cut]);
        }
        assert!(read(&whole).is_ok(), "{name}");
    }
}

#[test]
fn a_vhd_is_the_raw_disk_and_a_footer_with_a_checksum() {
    let scratch = Scratch::new();
    let (_, whole) = small(&scratch, Format::Vhd);
    assert_eq!(whole.len() as u64, 3 * MIB + 512);
    assert!(whole[..3 * MIB as usize] == flatten(3 * MIB, &extents(3 * MIB)));
    assert_eq!("vpc".parse(), Ok(Format::Vhd));
    for at in 8..512 {
        let mut bytes = whole.clone();
        bytes[3 * MIB as usize + at] ^= 1;
        let path = scratch.write("broken.vhd", &bytes);
        assert_eq!(*open(Path::new(&path)).err().unwrap().kind(), Kind::Corrupt, "byte {at}");
    }
    // The disk is larger than the file.
    let path = scratch.write("cut.vhd", &whole[MIB as usize..]);
    assert_eq!(*open(Path::new(&path)).err().unwrap().kind(), Kind::Corrupt);
}

#[test]
fn a_dynamic_vhd_marks_the_half_blocks_it_has() {
    let scratch = Scratch::new();
    let extents = [Extent::bytes(3 * MIB, text(700)), Extent::bytes(8 * MIB, text(2 * MIB))];
    let disk = disk(&scratch, Format::VhdDynamic);
    write_one(RawImage { size: 64 * MIB, extents: &extents }, &disk, 2);
    let whole = std::fs::read(&disk.path).unwrap();
    let raw = scratch.write("expected.raw", &flatten(64 * MIB, &extents));
    // Copy of the footer, header, one sector of table.
    let first = 512 + 1024 + 512;
    let bitmap = |at: usize| [whole[at], whole[at + 255], whole[at + 256], whole[at + 511]];
    assert_eq!(bitmap(first), [0, 0, 0xff, 0xff]);
    assert_eq!(bitmap(first + 512 + (2 << 20)), [0xff; 4]);
    assert_eq!(whole.len(), first + 2 * (512 + (2 << 20)) + 512);
    assert!(whole[..512] == whole[whole.len() - 512..]);
    // What is damaged is the header, a table entry, and a byte of the disk.
    for (at, is_read) in [(512, false), (1536 + 7, true), (first + 512 + (1 << 20), true)] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        let path = scratch.write("broken.vhd", &bytes);
        assert!(!tool("qemu-img", &["compare", "-f", "raw", "-F", "vpc", &raw, &path]).0, "byte {at}");
        assert_eq!(open(Path::new(&path)).is_ok(), is_read, "byte {at}");
    }
}

#[test]
fn a_differencing_vhd_is_refused() {
    let scratch = Scratch::new();
    let (_, mut bytes) = small(&scratch, Format::VhdDynamic);
    let footer = bytes.len() - 512;
    bytes[footer + 63] += 1;
    // The checksum is the complement of a sum.
    bytes[footer + 67] -= 1;
    let path = scratch.write("child.vhd", &bytes);
    assert_eq!(*open(Path::new(&path)).err().unwrap().kind(), Kind::Unsupported);
}

#[test]
fn disks_larger_than_qemu_reads_are_refused() {
    let scratch = Scratch::new();
    let largest = [
        (Format::Vhd, "vpc", 2040 << 30),
        (Format::VhdDynamic, "vpc", 2040 << 30),
        (Format::Vdi, "vdi", 1 << 40),
        (Format::Vhdx, "vhdx", 4 << 40),
        (Format::Vmdk, "vmdk", 62 << 40),
    ];
    for (format, name, largest) in largest {
        let disk = disk(&scratch, format);
        write_one(RawImage { size: largest, extents: &Vec::new() }, &disk, 1);
        accepts("qemu-img", &["info", "-f", name, shown(&disk)]);
        for size in [(1 << 49) + 1, u64::MAX] {
            let written =
                write(RawImage { size, extents: &Vec::new() }, std::slice::from_ref(&disk), &run(1));
            assert_eq!(*written.unwrap_err().kind(), Kind::Unsupported, "{name} {size}");
        }
    }
}

#[test]
fn damage_to_a_vhdx_is_found() {
    let scratch = Scratch::new();
    let (_, whole) = small(&scratch, Format::Vhdx);
    let kib = |at: usize| at << 10;
    let broken = |flipped: &[usize]| {
        let mut bytes = whole.clone();
        flipped.iter().for_each(|&at| bytes[at] ^= 1);
        let path = scratch.write("broken.vhdx", &bytes);
        let kind = open(Path::new(&path)).err().map(|error| error.kind().clone());
        (kind, tool("qemu-img", &["check", "-f", "vhdx", &path]).0)
    };
    // One header may be damaged, both may not; neither may the two region tables.
    assert_eq!(broken(&[kib(64) + 20]), (None, true));
    assert_eq!(broken(&[kib(64) + 20, kib(128) + 20]), (Some(Kind::Corrupt), false));
    assert_eq!(broken(&[kib(192) + 20, kib(256) + 20]), (Some(Kind::Corrupt), false));
    assert_eq!(broken(&[kib(2048)]), (Some(Kind::Corrupt), false));
    // The table without a checksum: the first block is where the second is.
    let raw = scratch.write("expected.raw", &flatten(3 * MIB, &extents(3 * MIB)));
    let mut bytes = whole.clone();
    bytes[kib(3072) + 2] ^= 1 << 4;
    let path = scratch.write("broken.vhdx", &bytes);
    assert!(!tool("qemu-img", &["compare", "-f", "raw", "-F", "vhdx", &raw, &path]).0);
}

#[test]
fn a_vhdx_has_entries_for_bitmaps_in_between() {
    let scratch = Scratch::new();
    let disk = disk(&scratch, Format::Vhdx);
    let offsets = [0, 4095 * MIB, 4096 * MIB, 8191 * MIB + 5, 8192 * MIB];
    let extents = offsets.map(|offset| Extent::bytes(offset, text(700)));
    write_one(RawImage { size: 8193 * MIB + 512, extents: &extents }, &disk, 2);
    accepts("qemu-img", &["check", "-f", "vhdx", shown(&disk)]);
    for offset in offsets {
        let mut bytes = [1; 700];
        open(&disk.path).unwrap().1.read_at(offset, &mut bytes).unwrap();
        assert!(bytes[..] == text(700), "{offset}");
        for (behind, byte) in [(699, text(700)[699]), (700, 0)] {
            let read = format!("read -P {byte} {} 1", offset + behind);
            let told = accepts("qemu-io", &["-r", "-f", "vhdx", "-c", &read, shown(&disk)]);
            assert!(told.starts_with("read 1/1 bytes"), "{offset}: {told}");
        }
    }
}
