//! Compressed streams: the standard tools must unpack them to the image, and notice damage.

use std::process::{Command, Stdio};

use super::*;

/// The formats, and the tool that unpacks each.
const FORMATS: [(Format, &str); 2] = [(Format::RawZst, "zstd"), (Format::RawGz, "gzip")];

/// Whether what `program -dc` makes of `packed` is `expected`.
fn unpacks_to(program: &str, packed: &str, expected: &str) -> bool {
    let mut unpack = Command::new(program).args(["-dcq", packed]).stdout(Stdio::piped()).spawn().unwrap();
    let compare =
        Command::new("cmp").args(["-s", "-", expected]).stdin(unpack.stdout.take().unwrap()).status();
    unpack.wait().unwrap().success() && compare.unwrap().success()
}

#[test]
fn the_tools_unpack_the_image() {
    let scratch = Scratch::new();
    for (format, program) in FORMATS {
        for size in SIZES {
            let extents = extents(size);
            let disk = any_target(&scratch, format);
            write_one(RawImage { size, extents: &extents }, &disk, 2);
            let expected = scratch.write("expected.raw", &flatten(size, &extents));
            accepts(program, &["-tq", shown(&disk)]);
            assert!(unpacks_to(program, shown(&disk), &expected), "{format} {size}");
        }
        let disk = any_target(&scratch, format);
        let other = scratch.write("other.raw", &[0; 512]);
        assert!(!unpacks_to(program, shown(&disk), &other), "{format}");
    }
}

#[test]
fn damage_to_a_stream_is_found() {
    let scratch = Scratch::new();
    for (format, program) in FORMATS {
        let disk = any_target(&scratch, format);
        write_one(RawImage { size: 3 * MIB, extents: &extents(3 * MIB) }, &disk, 2);
        let whole = std::fs::read(&disk.path).unwrap();
        let name = format!("broken{}", format.suffix());
        for flipped in [0, 40, whole.len() / 2, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[flipped] ^= 1;
            assert!(!tool(program, &["-tq", &scratch.write(&name, &bytes)]).0, "{format} {flipped}");
        }
        for cut in [10, whole.len() / 2, whole.len() - 1] {
            assert!(!tool(program, &["-tq", &scratch.write(&name, &whole[..cut])]).0, "{format} {cut}");
        }
    }
}

#[test]
fn frames_say_their_size_and_have_a_checksum() {
    let scratch = Scratch::new();
    let disk = any_target(&scratch, Format::RawZst);
    write_one(RawImage { size: 12 * MIB, extents: &extents(12 * MIB) }, &disk, 2);
    let said = accepts("zstd", &["-lv", shown(&disk)]);
    for expected in ["# Zstandard Frames: 12", "12.0 MiB (12582912 B)", "Check: XXH64"] {
        assert!(said.contains(expected), "{said}");
    }
    let bytes = std::fs::read(&disk.path).unwrap();
    let plain =
        accepts("zstd", &["-lv", &scratch.write("plain.zst", &zstd::bulk::compress(b"disk", 1).unwrap())]);
    assert!(bytes.len() < MIB as usize && !plain.contains("Check: XXH64"), "{plain}");
}

#[test]
fn members_name_neither_time_nor_system() {
    let scratch = Scratch::new();
    let disk = any_target(&scratch, Format::RawGz);
    write_one(RawImage { size: MIB, extents: &extents(MIB) }, &disk, 2);
    let bytes = std::fs::read(&disk.path).unwrap();
    // Flags and time, none; the ninth byte tells the effort, the tenth the system.
    assert_eq!((&bytes[3..8], bytes[9]), (&[0; 5][..], 255));
}

#[test]
fn a_large_disk_with_little_on_it_is_a_small_stream() {
    let scratch = Scratch::new();
    let size = 20 << 30;
    let extents =
        [Extent::bytes(5, text(700)), Extent::bytes(12 << 30, noise(MIB)), Extent::bytes(size - 7, text(7))];
    for (format, largest) in [(Format::RawZst, 3 * MIB), (Format::RawGz, 27 * MIB)] {
        let disk = any_target(&scratch, format);
        write_one(RawImage { size, extents: &extents }, &disk, 2);
        let len = std::fs::metadata(&disk.path).unwrap().len();
        assert!(len <= largest, "{format}: {len}");
    }
}

#[test]
fn a_stream_is_told_but_not_opened() {
    let scratch = Scratch::new();
    for (format, program) in FORMATS {
        let disk = any_target(&scratch, format);
        write_one(RawImage { size: MIB, extents: &extents(MIB) }, &disk, 1);
        assert_eq!(identify(&disk.path).unwrap(), (format, None));
        let error = open(&disk.path).err().unwrap();
        assert_eq!(*error.kind(), Kind::Unsupported);
        assert!(error.hint().unwrap().to_string().ends_with(shown(&disk)), "{program}");
        for cut in [0, 2, 5, 30] {
            let bytes = &std::fs::read(&disk.path).unwrap()[..cut];
            let _ = identify(Path::new(&scratch.write("any.disk", bytes)));
        }
    }
}

#[test]
fn extensions_of_two_parts_are_formats() {
    for (name, format) in [
        ("web.raw.zst", Format::RawZst),
        ("web.IMG.zst", Format::RawZst),
        ("web.img.gz", Format::RawGz),
        ("web.raw.gz", Format::RawGz),
        ("web.tar.gz", Format::Gce),
        ("web.vhd", Format::Vhd),
    ] {
        assert_eq!(Format::from_path(Path::new(name)), Some(format), "{name}");
    }
    for name in ["web.zst", "raw.gz", ".raw.zst", "web.gz"] {
        assert_eq!(Format::from_path(Path::new(name)), None, "{name}");
    }
}

#[test]
fn google_takes_one_member_with_the_disk() {
    let scratch = Scratch::new();
    let extents = extents(12 * MIB);
    let disk = any_target(&scratch, Format::Gce);
    write_one(RawImage { size: 1 << 30, extents: &extents }, &disk, 2);
    accepts("gzip", &["-tq", shown(&disk)]);
    let listed = accepts("tar", &["--numeric-owner", "--utc", "-tvzf", shown(&disk)]);
    assert_eq!(listed.trim_end(), "-rw-r--r-- 0/0      1073741824 1970-01-01 00:00 disk.raw");
    let directory = scratch.path().to_str().unwrap();
    accepts("tar", &["-C", directory, "-xzf", shown(&disk)]);
    let raw = target(&scratch, "expected.raw", Compression::None);
    write_one(RawImage { size: 1 << 30, extents: &extents }, &raw, 2);
    accepts("cmp", &[shown(&raw), &format!("{directory}/disk.raw")]);
    assert_eq!(identify(&disk.path).unwrap(), (Format::Gce, Some(1 << 30)));
    assert_eq!(*open(&disk.path).err().unwrap().kind(), Kind::Unsupported);
    let mut bytes = std::fs::read(&disk.path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    assert!(!tool("tar", &["-tzf", &scratch.write("broken.tar.gz", &bytes)]).0);
}

#[test]
fn google_takes_whole_gibibytes() {
    let scratch = Scratch::new();
    let disk = any_target(&scratch, Format::Gce);
    let refused = write(RawImage { size: 12 * MIB, extents: &[] }, std::slice::from_ref(&disk), &run(1));
    let error = refused.unwrap_err();
    assert!(error.to_string().ends_with("a gce disk is a multiple of 1 GiB large"), "{error}");
    assert_eq!(error.hint(), Some(&"make the disk 1073741824 bytes large".into()));
}

#[test]
#[ignore = "long: make matrix"]
fn google_takes_more_than_the_octal_digits_of_a_header() {
    let scratch = Scratch::new();
    let disk = any_target(&scratch, Format::Gce);
    write_one(RawImage { size: 10 << 30, extents: &[] }, &disk, 2);
    assert!(accepts("tar", &["-tvzf", shown(&disk)]).contains(" 10737418240 "));
    assert_eq!(identify(&disk.path).unwrap(), (Format::Gce, Some(10 << 30)));
}

#[test]
fn an_archive_with_holes_is_told_by_the_size_of_its_disk() {
    let scratch = Scratch::new();
    let raw = std::fs::File::create(scratch.file("disk.raw")).unwrap();
    raw.set_len(1 << 30).unwrap();
    let path = scratch.file("disk.tar.gz");
    let directory = scratch.path().to_str().unwrap();
    accepts("tar", &["--format=oldgnu", "-C", directory, "-Sczf", path.to_str().unwrap(), "disk.raw"]);
    assert_eq!(identify(&path).unwrap(), (Format::Gce, Some(1 << 30)));
    // Any other archive is just something in gzip.
    accepts("tar", &["-C", directory, "-czf", path.to_str().unwrap(), "--transform=s/raw/img/", "disk.raw"]);
    assert_eq!(identify(&path).unwrap(), (Format::RawGz, None));
}
