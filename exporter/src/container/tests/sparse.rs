//! Streams of sparse files: what is made of them is the file itself, byte for byte and hole for hole.

use std::io::{self, ErrorKind};

use super::*;
use crate::container::sparse::{EXTENSION, data_runs, unpack};
use crate::report::Made;

/// The formats whose files can have zeroes in them.
const FORMATS: [Format; 6] =
    [Format::Raw, Format::Qcow2, Format::Vdi, Format::Vhd, Format::VhdDynamic, Format::Vhdx];

fn disk(scratch: &Scratch, format: Format, sparse: bool) -> Target {
    let extension = if sparse { EXTENSION } else { "" };
    let path = scratch.file(&format!("disk{}{extension}", format.suffix()));
    Target { sparse, ..target_at(path, format, Compression::None) }
}

/// The file that a stream stands for, made in a file of that name.
fn made(scratch: &Scratch, stream: &[u8]) -> io::Result<PathBuf> {
    let path = scratch.file("made");
    let output = Output::create(&path).unwrap();
    let len = unpack(stream, |at, bytes| {
        output.write_at(bytes, at).unwrap();
        io::Result::Ok(())
    })?;
    output.set_len(len).unwrap();
    output.persist().unwrap();
    Ok(path)
}

#[test]
fn every_format_comes_out_as_it_is_written_at_once() {
    let scratch = Scratch::new();
    for format in FORMATS {
        for size in SIZES.map(|size| size.next_multiple_of(format.size_unit())) {
            let extents = extents(size);
            let image = RawImage { size, extents: &extents };
            let [whole, sparse] = [false, true].map(|sparse| disk(&scratch, format, sparse));
            // Both in one pass, as a build makes its files.
            write(image, &[whole.clone(), sparse.clone()], &run(2)).unwrap();
            let stream = std::fs::read(&sparse.path).unwrap();
            let made = made(&scratch, &stream).unwrap();
            accepts("cmp", &[shown(&whole), made.to_str().unwrap()]);
            let blocks = |path: &Path| std::fs::metadata(path).unwrap().blocks();
            assert!(blocks(&made) <= blocks(&whole.path), "{format} {size}: a hole was filled");
            // Only little but the data is sent.
            assert!((stream.len() as u64) < blocks(&made) * 512 + 64 * KIB, "{format} {size}");

            let [whole, sparse] = [whole, sparse].map(|target| Made::read(&target).unwrap());
            assert_eq!((whole.name, whole.size), (sparse.name, sparse.size));
        }
    }
}

#[test]
fn a_format_that_streams_comes_in_order() {
    let scratch = Scratch::new();
    for format in FORMATS.into_iter().filter(|format| format.streams()) {
        let sparse = disk(&scratch, format, true);
        let size = 12 * MIB;
        write_one(RawImage { size, extents: &extents(size) }, &sparse, 2);
        let mut end = 0;
        let len = unpack(&*std::fs::read(&sparse.path).unwrap(), |at, bytes| {
            assert!(at >= end, "{format}: {at} comes after {end}");
            end = at + bytes.len() as u64;
            io::Result::Ok(())
        });
        assert!(len.unwrap() >= end);
    }
}

/// A stream with these records.
fn stream(records: &[(u64, &[u8])]) -> Vec<u8> {
    let mut stream = b"vmimage sparse 1".to_vec();
    for (at, bytes) in records {
        stream.extend(at.to_le_bytes());
        stream.extend((bytes.len() as u64).to_le_bytes());
        stream.extend(*bytes);
    }
    stream
}

#[test]
fn a_later_record_counts() {
    let scratch = Scratch::new();
    for (records, expected) in [
        (&[(0, &b"abc"[..]), (1, b"X"), (5, b"")][..], &b"aXc\0\0"[..]),
        (&[(2, b"x"), (0, b"\0\0\0"), (3, b"")], b"\0\0\0"),
        (&[(0, b"")], b""),
        (&[(4, b"")], b"\0\0\0\0"),
    ] {
        assert_eq!(std::fs::read(made(&scratch, &stream(records)).unwrap()).unwrap(), expected);
    }
}

#[test]
fn streams_that_are_none_are_refused() {
    let scratch = Scratch::new();
    let whole = stream(&[(0, b"abc"), (5, b"")]);
    for (stream, kind, part) in [
        (b"QFI\xfb and so on, a disk".to_vec(), ErrorKind::InvalidData, "does not begin as one"),
        (stream(&[(3, b"abc"), (5, b"")]), ErrorKind::InvalidData, "behind the end of its file"),
        (stream(&[(u64::MAX, b"abc")]), ErrorKind::InvalidData, "behind the end of any disk"),
        (stream(&[(64 << 40, b"abc")]), ErrorKind::InvalidData, "behind the end of any disk"),
        (stream(&[(1 << 62, b"")]), ErrorKind::InvalidData, "behind the end of any disk"),
        ([&whole[..], b"x"].concat(), ErrorKind::InvalidData, "goes on behind its end"),
    ] {
        let error = made(&scratch, &stream).unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(part), "{error}");
    }
    for cut in 0..whole.len() {
        let error = made(&scratch, &whole[..cut]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{cut}");
    }
    assert!(made(&scratch, &whole).is_ok());
}

#[test]
fn a_length_that_is_a_lie_costs_no_memory() {
    let mut stream = stream(&[]);
    stream.extend(0_u64.to_le_bytes());
    stream.extend((64_u64 << 40).to_le_bytes());
    stream.extend([7; 100]);
    let error = unpack(&*stream, |_, bytes| panic!("{} bytes of nothing", bytes.len()));
    assert_eq!(error.map_err(|error: io::Error| error.kind()), Err(ErrorKind::UnexpectedEof));
}

#[test]
fn a_stream_cannot_be_read_again() {
    let scratch = Scratch::new();
    let disk = Target { sparse: true, ..any_target(&scratch, Format::ContainerDisk) };
    let error =
        write(RawImage { size: MIB, extents: &extents(MIB) }, &[disk], &run(1)).unwrap_err().to_string();
    assert!(error.contains("a stream cannot be read again"), "{error}");
    assert!(std::fs::read_dir(scratch.path()).unwrap().next().is_none(), "nothing is left");
}

proptest! {
    #[test]
    fn runs_hold_all_that_is_not_zero(
        offset in 0_u64..20_000,
        pieces in proptest::collection::vec((0_usize..9000, prop::bool::ANY), 0..8),
    ) {
        let bytes: Vec<u8> =
            pieces.iter().flat_map(|&(len, is_data)| vec![u8::from(is_data); len]).collect();
        let mut found = vec![0; bytes.len()];
        let mut end = offset;
        for (at, run) in data_runs(offset, &bytes) {
            prop_assert!(at == offset || (at > end && at % 4096 == 0), "a run begins with a block of the file");
            end = at + run.len() as u64;
            prop_assert!(end % 4096 == 0 || end == offset + bytes.len() as u64);
            found[(at - offset) as usize..][..run.len()].copy_from_slice(run);
        }
        prop_assert!(found == bytes);
    }
}
