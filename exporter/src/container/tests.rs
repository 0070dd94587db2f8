//! Disk files against qemu-img and our own readers, and outputs that must not be left behind.

use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use proptest::prelude::*;

mod base;
mod containerdisk;
mod damage;
mod folder;
mod iso;
mod medium;
mod microvm;
mod ovf;
mod placement;
mod plain;
mod rauc;
mod sparse;
mod streams;
mod update;
mod vmdk;

use super::*;
use crate::codec::{Codecs, Coding};
use crate::engine::{RawImage, Run};
use crate::extent::Extent;
use crate::seed::Seed;
use crate::testing::{Scratch, accepts, flatten, tool};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn run(threads: usize) -> Run<'static> {
    Run::silent(NonZeroUsize::new(threads).unwrap())
}

/// Bytes without a pattern that a compressor could find.
fn noise(len: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..len.div_ceil(8)).flat_map(|_| next()).take(len as usize).collect()
}

fn text(len: u64) -> Vec<u8> {
    (0..)
        .flat_map(|n: u64| format!("line {} of a text that shrinks\n", n * n).into_bytes())
        .take(len as usize)
        .collect()
}

/// Data that shrinks, data that does not, zeroes, gaps, and edges across clusters and chunks.
fn extents(size: u64) -> Vec<Extent> {
    let mut extents = Vec::new();
    let mut add = |offset: u64, mut bytes: Vec<u8>| {
        bytes.truncate(size.saturating_sub(offset) as usize);
        extents.extend((!bytes.is_empty()).then(|| Extent::bytes(offset, bytes)));
    };
    add(0, text(700));
    add(64 * KIB + 5, noise(10));
    add(200 * KIB, text(900 * KIB));
    add(1100 * KIB, noise(70 * KIB));
    add(1170 * KIB, text(66 * KIB));
    add(1300 * KIB, noise(200 * KIB));
    add(2 * MIB, vec![0; 300 * KIB as usize]);
    add(5 * MIB - 100, text(3 * MIB));
    add(9 * MIB, vec![7; 64 * KIB as usize]);
    add(size.saturating_sub(100).max(10 * MIB), text(100));
    extents
}

const SIZES: [u64; 5] = [512, 64 * KIB, 3 * MIB + 512, 12 * MIB, 700 * MIB + 40 * KIB];

fn write_one(image: RawImage<'_>, target: &Target, threads: usize) {
    write(image, std::slice::from_ref(target), &run(threads)).unwrap();
}

fn target(scratch: &Scratch, name: &str, compression: Compression) -> Target {
    let path = scratch.file(name);
    let format = Format::from_path(&path).unwrap();
    target_at(path, format, compression)
}

/// A target of any format, with its usual compression.
fn any_target(scratch: &Scratch, format: Format) -> Target {
    let path = scratch.file(&format!("disk{}", format.suffix()));
    target_at(path, format, format.default_compression())
}

fn target_at(path: PathBuf, format: Format, compression: Compression) -> Target {
    let id = Seed::new(b"test").uuid("disk file");
    let appliance = Appliance { name: "Test disk".into(), ..Appliance::default() };
    let bundle = (format == Format::Rauc).then(rauc::signed);
    Target {
        path,
        format,
        compression,
        id,
        appliance,
        update: Some(Update { bundle, ..update::kiosk(MIB..11 * MIB + 8192) }),
        base: None,
        microvm: Some(Arc::new(microvm::web())),
        medium: format.is_medium().then(|| Arc::new(medium::web(12 * MIB))),
        placement: Some(b"vmiplace, and where all lies"[..].into()),
        sparse: false,
    }
}

/// The bytes of a file, or of the files of a folder by their names.
fn contents(path: &Path) -> Vec<(String, Vec<u8>)> {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    if path.is_file() {
        return vec![(name(path), std::fs::read(path).unwrap())];
    }
    let files = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut contents: Vec<_> = files.map(|file| (name(&file), std::fs::read(file).unwrap())).collect();
    contents.sort();
    contents
}

fn shown(target: &Target) -> &str {
    target.path.to_str().unwrap()
}

#[test]
fn qemu_accepts_every_qcow2_and_reads_the_same() {
    let scratch = Scratch::new();
    for size in SIZES {
        let extents = extents(size);
        let image = RawImage { size, extents: &extents };
        let raw = scratch.write("expected.raw", &flatten(size, &extents));
        for &compression in Compression::ALL {
            let disk = target(&scratch, "disk.qcow2", compression);
            write_one(image, &disk, 2);
            let said = accepts("qemu-img", &["check", shown(&disk)]);
            assert!(said.contains("No errors were found"), "{said}");
            accepts("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &raw, shown(&disk)]);
        }
    }
}

#[test]
fn the_same_bytes_at_every_number_of_threads() {
    let scratch = Scratch::new();
    let extents = extents(12 * MIB);
    for &format in Format::ALL {
        let size = (12 * MIB).next_multiple_of(format.size_unit());
        for &compression in format.compressions() {
            let disk = Target { compression, ..any_target(&scratch, format) };
            let bytes = [1, 2, 8].map(|threads| {
                write_one(RawImage { size, extents: &extents }, &disk, threads);
                contents(&disk.path)
            });
            assert!(bytes[0] == bytes[1] && bytes[0] == bytes[2], "{format} {compression:?}");
        }
    }
}

#[test]
fn what_is_written_reads_back() {
    let scratch = Scratch::new();
    let size = 12 * MIB + 512;
    let extents = extents(size);
    let expected = flatten(size, &extents);
    for &compression in Format::Qcow2.compressions() {
        let disk = target(&scratch, "disk.qcow2", compression);
        write_one(RawImage { size, extents: &extents }, &disk, 2);
        let (format, image) = open(&disk.path).unwrap();
        assert_eq!((format, image.size()), (Format::Qcow2, size));
        let mut bytes = vec![1; size as usize];
        image.read_at(0, &mut bytes).unwrap();
        assert!(bytes == expected, "{compression:?}");
        assert_eq!(*image.read_at(size - 1, &mut [0; 2]).unwrap_err().kind(), Kind::Corrupt);
    }
}

/// Lines in which most of what repeats is further back than 4 KiB: any of 1024, in no order.
fn far_repeats(len: u64) -> Vec<u8> {
    let lines = noise(1024 * 40);
    let random = noise(len);
    let line = |random: &[u8]| usize::from(random[0]) << 2 | usize::from(random[1]) & 3;
    random
        .chunks_exact(2)
        .flat_map(|random| &lines[line(random) * 40..][..40])
        .copied()
        .take(len as usize)
        .collect()
}

/// Inflates the first file to the second with a window of 4 KiB. It takes one byte at a time: what is further
/// back than the byte before can then only come from the window.
const INFLATE: &str = r#"
import sys, zlib
packed, plain = (open(path, "rb").read() for path in sys.argv[1:])
inflater, out = zlib.decompressobj(-12), b""
for _ in plain:
    out += inflater.decompress(packed, 1)
    packed = inflater.unconsumed_tail
assert out == plain
"#;

#[test]
fn strict_deflate_is_inflated_with_a_window_of_4_kib() {
    let scratch = Scratch::new();
    let plain = far_repeats(64 * KIB);
    let expected = scratch.write("plain", &plain);
    let inflate = |packed: &[u8]| {
        let packed = scratch.write("packed", packed);
        tool("python3", &["-c", INFLATE, &packed, &expected])
    };
    let packed = |coding, plain: &[u8]| {
        let mut packed = Vec::new();
        let codecs = Codecs::new(coding);
        codecs.lend().unwrap().pack(plain, 2 * plain.len(), &mut packed).unwrap();
        packed
    };
    let strict = packed(Coding::StrictDeflate, &plain);
    let usual = packed(Coding::Deflate, &plain);
    let (ok, said) = inflate(&strict);
    assert!(ok, "{said}");
    let (ok, said) = inflate(&usual);
    assert!(!ok && said.contains("too far back"), "{said}");
    assert!(usual.len() < strict.len() && strict.len() < plain.len(), "{} {}", usual.len(), strict.len());
}

#[test]
fn qemu_reads_what_would_take_a_larger_window() {
    let scratch = Scratch::new();
    let plain = far_repeats(MIB);
    let raw = scratch.write("expected.raw", &plain);
    let sizes = [Compression::Zlib, Compression::ZlibStrict].map(|compression| {
        let disk = target(&scratch, "disk.qcow2", compression);
        write_one(RawImage { size: MIB, extents: &[Extent::bytes(0, plain.clone())] }, &disk, 2);
        accepts("qemu-img", &["check", shown(&disk)]);
        accepts("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &raw, shown(&disk)]);
        std::fs::metadata(&disk.path).unwrap().len()
    });
    assert!(sizes[0] < sizes[1], "{sizes:?}");
}

#[test]
fn what_qemu_writes_is_read() {
    let scratch = Scratch::new();
    let expected = flatten(3 * MIB, &extents(3 * MIB));
    let raw = scratch.write("expected.raw", &expected);
    let path = scratch.file("disk.qcow2");
    let shown = path.to_str().unwrap();
    let variants: [&[&str]; 5] = [
        &["-o", "compat=0.10"],
        &["-c"],
        &["-c", "-o", "compression_type=zstd"],
        &["-c", "-o", "cluster_size=4096"],
        &["-o", "cluster_size=2M,lazy_refcounts=on"],
    ];
    for options in variants {
        accepts("qemu-img", &[&["convert", "-f", "raw", "-O", "qcow2"], options, &[&raw, shown]].concat());
        let mut bytes = vec![1; expected.len()];
        open(&path).unwrap().1.read_at(0, &mut bytes).unwrap();
        assert!(bytes == expected, "{options:?}");
    }
    accepts("qemu-img", &["create", "-f", "qcow2", "-F", "raw", "-b", &raw, shown]);
    assert_eq!(*open(&path).err().unwrap().kind(), Kind::Unsupported);
}

#[test]
fn a_flipped_byte_is_found() {
    let scratch = Scratch::new();
    let size = 12 * MIB;
    let extents = extents(size);
    let raw = scratch.write("expected.raw", &flatten(size, &extents));
    let disk = target(&scratch, "disk.qcow2", Compression::Zstd);
    write_one(RawImage { size, extents: &extents }, &disk, 2);
    let whole = std::fs::read(&disk.path).unwrap();
    let l1_entry = 64 * KIB as usize + 6;
    let refcount = 3 * 64 * KIB as usize + 1;
    for flipped in [l1_entry, refcount] {
        let mut bytes = whole.clone();
        bytes[flipped] ^= 1;
        let path = scratch.write("broken.qcow2", &bytes);
        assert!(!tool("qemu-img", &["check", &path]).0, "byte {flipped}");
    }
    let mut bytes = whole.clone();
    bytes[4 * 64 * KIB as usize + 20] ^= 0xff;
    let path = scratch.write("broken.qcow2", &bytes);
    assert!(!tool("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &raw, &path]).0);
}

#[test]
fn the_reader_takes_any_bytes() {
    let scratch = Scratch::new();
    let extents = extents(3 * MIB);
    let disk = target(&scratch, "disk.qcow2", Compression::Zlib);
    write_one(RawImage { size: 3 * MIB, extents: &extents }, &disk, 2);
    let whole = std::fs::read(&disk.path).unwrap();
    let read = |bytes: &[u8]| {
        let file = scratch.write("any.qcow2", bytes);
        let (_, image) = open(Path::new(&file))?;
        image.read_at(0, &mut vec![0; image.size().min(3 * MIB) as usize])
    };
    for cut in [4, 50, 72, 104, 70_000, 300_000] {
        assert!(read(&whole[..cut]).is_err(), "{cut}");
    }
    for at in (4..112).chain(64 * KIB as usize..64 * KIB as usize + 8) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x81;
        // Some of these bytes mean nothing for reading; none may cause a panic.
        let _ = read(&bytes);
    }
}

#[test]
fn zeroes_are_holes() {
    let scratch = Scratch::new();
    let extents = [Extent::bytes(0, [1]), Extent::bytes(40 * MIB, vec![0; 5 * MIB as usize])];
    let raw = target(&scratch, "disk.raw", Compression::None);
    let qcow2 = target(&scratch, "disk.qcow2", Compression::None);
    let image = RawImage { size: 1 << 40, extents: &extents };
    write(image, &[raw.clone(), qcow2.clone()], &run(2)).unwrap();
    let raw = std::fs::metadata(&raw.path).unwrap();
    assert_eq!(raw.len(), 1 << 40);
    assert!(raw.blocks() * 512 <= 128 * KIB);
    assert!(std::fs::metadata(&qcow2.path).unwrap().len() <= 8 * 64 * KIB);
}

#[test]
fn several_targets_come_from_one_pass() {
    let scratch = Scratch::new();
    let size = 12 * MIB;
    let extents = extents(size);
    let raw = target(&scratch, "disk.img", Compression::None);
    let qcow2 = target(&scratch, "disk.qcow2", Compression::Zstd);
    write(RawImage { size, extents: &extents }, &[raw.clone(), qcow2.clone()], &run(2)).unwrap();
    assert!(std::fs::read(&raw.path).unwrap() == flatten(size, &extents));
    accepts("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", shown(&raw), shown(&qcow2)]);
}

#[test]
fn formats_go_by_name_and_extension() {
    for &format in Format::ALL {
        assert_eq!(format.name().parse(), Ok(format));
        let told = Format::from_path(Path::new(&format!("disk{}", format.suffix())));
        let is_file = !format.is_folder();
        assert_eq!(told.map(Format::suffix), is_file.then(|| format.suffix()), "{format}");
    }
    assert_eq!(Format::from_path(Path::new("a/DISK.IMG")), Some(Format::Raw));
    assert_eq!(Format::from_path(Path::new("a.qcow2/disk")), None);
    for &compression in Compression::ALL {
        assert_eq!(compression.name().parse(), Ok(compression));
    }
    assert!("floppy".parse::<Format>().unwrap_err().starts_with("one of raw, qcow2"));
}

#[test]
fn a_raw_disk_is_the_image() {
    let scratch = Scratch::new();
    for size in [512, 64 * KIB, 3 * MIB + 512, 12 * MIB] {
        let extents = extents(size);
        let disk = target(&scratch, "disk.raw", Compression::None);
        write_one(RawImage { size, extents: &extents }, &disk, 3);
        assert!(std::fs::read(&disk.path).unwrap() == flatten(size, &extents), "{size}");
        assert_eq!(open(&disk.path).unwrap().0, Format::Raw);
    }
}

#[test]
fn a_qcow2_larger_than_qemu_reads_is_refused() {
    let scratch = Scratch::new();
    let disk = target(&scratch, "disk.qcow2", Compression::None);
    for (size, possible) in [(2 << 50, true), ((2 << 50) + 512, false), (u64::MAX, false)] {
        let written = write(RawImage { size, extents: &Vec::new() }, std::slice::from_ref(&disk), &run(1));
        let kind = written.map_err(|error| error.kind().clone());
        assert_eq!(kind, if possible { Ok(()) } else { Err(Kind::Unsupported) }, "{size}");
    }
    accepts("qemu-img", &["check", shown(&disk)]);
}

#[test]
fn a_compression_that_a_format_lacks_is_refused() {
    let scratch = Scratch::new();
    for &format in Format::ALL {
        for compression in Compression::ALL.iter().filter(|other| !format.compressions().contains(other)) {
            let disk = Target { compression: *compression, ..any_target(&scratch, format) };
            let error = write(RawImage { size: 512, extents: &Vec::new() }, &[disk], &run(1)).unwrap_err();
            assert_eq!(*error.kind(), Kind::Unsupported, "{format}");
            assert!(
                error.hint().unwrap().to_string().ends_with(format.compressions().last().unwrap().name())
            );
            assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
        }
    }
}

#[test]
fn a_pipe_gets_the_same_bytes_as_a_file() {
    let scratch = Scratch::new();
    let extents = extents(12 * MIB);
    for &format in Format::ALL {
        let size = (12 * MIB).next_multiple_of(format.size_unit());
        let image = RawImage { size, extents: &extents };
        let disk = any_target(&scratch, format);
        let mut piped = Vec::new();
        let streamed = stream(image, &disk, &mut piped, &run(3));
        if format.streams() {
            streamed.unwrap();
            write_one(image, &disk, 2);
            assert!(piped == std::fs::read(&disk.path).unwrap(), "{format}");
        } else {
            assert_eq!(*streamed.unwrap_err().kind(), Kind::Unsupported);
            assert!(piped.is_empty());
        }
    }
}

fn names(scratch: &Scratch) -> Vec<String> {
    let entries = std::fs::read_dir(scratch.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_appears_only_when_it_is_complete() {
    let scratch = Scratch::new();
    let path = scratch.file("disk.raw");
    std::fs::write(&path, "old").unwrap();
    let output = Output::create(&path).unwrap();
    output.write_at(b"new", 0).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(names(&scratch).len(), 2);
    drop(output);
    assert_eq!(names(&scratch), ["disk.raw"]);
    let output = Output::create(&path).unwrap();
    output.write_at(b"new", 0).unwrap();
    output.persist().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
    assert_eq!(names(&scratch), ["disk.raw"]);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0);
}

#[test]
fn leftovers_of_killed_runs_are_removed_and_running_ones_are_not() {
    let scratch = Scratch::new();
    scratch.write(".disk.raw.vmimage-0123456789abcdef.tmp", b"left");
    scratch.write(".other.raw.vmimage-0123456789abcdef.tmp", b"left");
    let running = Output::create(&scratch.file("disk.raw")).unwrap();
    let second = Output::create(&scratch.file("disk.raw")).unwrap();
    assert_eq!(names(&scratch).len(), 3);
    running.persist().unwrap();
    drop(second);
    assert_eq!(names(&scratch), [".other.raw.vmimage-0123456789abcdef.tmp", "disk.raw"]);
}

#[test]
fn a_symlink_stays_and_its_target_is_replaced() {
    let scratch = Scratch::new();
    scratch.write("target.raw", b"old");
    std::os::unix::fs::symlink("target.raw", scratch.file("link.raw")).unwrap();
    let output = Output::create(&scratch.file("link.raw")).unwrap();
    output.write_at(b"new", 0).unwrap();
    output.persist().unwrap();
    assert!(scratch.file("link.raw").is_symlink());
    assert_eq!(std::fs::read(scratch.file("target.raw")).unwrap(), b"new");
}

#[test]
fn impossible_destinations_say_what_to_do() {
    let scratch = Scratch::new();
    let refused = |path: &Path| {
        let error = Output::create(path).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        (error.kind().clone(), error.to_string().replace(scratch.path().to_str().unwrap(), "DIR"))
    };
    let expected = (Kind::Input, "DIR: the destination is a directory".to_owned());
    assert_eq!(refused(scratch.path()), expected);
    let expected = (Kind::NotFound, "DIR/no/disk.raw: the directory DIR/no does not exist".to_owned());
    assert_eq!(refused(&scratch.file("no/disk.raw")), expected);
    let expected = (Kind::Input, "/dev/null: the destination is not a regular file".to_owned());
    assert_eq!(refused(Path::new("/dev/null")), expected);
}

#[test]
fn a_full_disk_is_reported_and_leaves_nothing() {
    let scratch = Scratch::new();
    let small = SmallDisk::mount(&scratch);
    let disk = Target { path: small.0.join("disk.raw"), ..target(&scratch, "disk.raw", Compression::None) };
    let extents = [Extent::bytes(0, noise(2 * MIB))];
    let error = write(RawImage { size: 2 * MIB, extents: &extents }, &[disk], &run(2)).unwrap_err();
    assert!(error.to_string().contains("cannot write the file: No space left"), "{error}");
    assert!(error.hint().unwrap().to_string().starts_with("free some space"));
    assert_eq!(std::fs::read_dir(&small.0).unwrap().count(), 0);
}

/// A file system of 1 MiB in memory, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(scratch: &Scratch) -> Self {
        let at = scratch.file("small");
        std::fs::create_dir(&at).unwrap();
        accepts("mount", &["-t", "tmpfs", "-o", "size=1m", "none", at.to_str().unwrap()]);
        Self(at)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        tool("umount", &[self.0.to_str().unwrap()]);
    }
}

/// Extents with gaps between them: zeroes, text or noise.
fn any_extents() -> impl Strategy<Value = Vec<Extent>> {
    let part = (0..300 * KIB, 1..200 * KIB, 0..3);
    proptest::collection::vec(part, 0..20).prop_map(|parts| {
        let mut end = 0;
        let extent = |(gap, len, kind): (u64, u64, i32)| {
            // Many a gap is none, many an edge is that of a cluster.
            let offset = if gap < 100 * KIB { end } else { end + gap / (4 * KIB) * (4 * KIB) };
            end = offset + len;
            Extent::bytes(offset, [vec![0; len as usize], text(len), noise(len)][kind as usize].clone())
        };
        parts.into_iter().map(extent).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_image_reads_the_same_in_qemu(
        extents in any_extents(),
        compression in proptest::sample::select(Compression::ALL),
        threads in 1usize..5,
    ) {
        let scratch = Scratch::new();
        let size = extents.last().map_or(0, Extent::end).next_multiple_of(512) + 512;
        let expected = flatten(size, &extents);
        let raw = scratch.write("expected.raw", &expected);
        let disk = target(&scratch, "disk.qcow2", compression);
        write_one(RawImage { size, extents: &extents }, &disk, threads);
        accepts("qemu-img", &["check", shown(&disk)]);
        accepts("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &raw, shown(&disk)]);
        let mut bytes = vec![1; size as usize];
        open(&disk.path).unwrap().1.read_at(0, &mut bytes).unwrap();
        prop_assert!(bytes == expected);
    }
}
