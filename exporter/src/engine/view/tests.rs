//! A view has the bytes that the engine would write, or an error where their source has changed.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::container::{Compression as Packed, Format, Target, write};
use crate::engine::Run;
use crate::seed::Seed;
use crate::testing::Scratch;
use crate::tree::{Decoders, HostDir};

const MIB: u64 = 1 << 20;

fn pattern(len: u64, salt: u64) -> Vec<u8> {
    (0..len).map(|n| ((n ^ salt).wrapping_mul(2_654_435_761) >> 24) as u8 | 1).collect()
}

/// Counts how often it renders.
#[derive(Default)]
struct Counted(AtomicU64);

impl Render for Counted {
    fn render(&self, key: u64, out: &mut [u8]) {
        assert!(out.iter().all(|byte| *byte == 0));
        self.0.fetch_add(1, Ordering::Relaxed);
        out.iter_mut().zip(0..).for_each(|(byte, at): (_, u64)| *byte = (key + at) as u8);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn archive(scratch: &Scratch, name: &str, stored: &[u8]) -> Arc<Archive> {
    scratch.write(name, stored);
    let file = File::open(scratch.file(name)).unwrap();
    let decoders = Arc::new(Decoders::new(u64::MAX));
    Archive::new(name.into(), 0, Section::whole(file).unwrap(), &decoders).unwrap()
}

/// A file of the tree, as it is found by a scan.
fn file(scratch: &Scratch, name: &str, bytes: &[u8]) -> HostFile {
    let folder = scratch.file(&format!("{name}.d"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(name), bytes).unwrap();
    let root = HostDir::open(&folder).unwrap();
    let tree = crate::tree::scan(&root, std::num::NonZeroUsize::MIN, &mut |_| {}).unwrap();
    let id = tree.resolve(name).unwrap();
    match &tree.inode(id).kind {
        crate::tree::InodeKind::File(crate::tree::Content::Host(file)) => file.clone(),
        other => panic!("{other:?}"),
    }
}

/// All kinds of sources, with gaps between them.
fn extents(scratch: &Scratch, by: &Arc<Counted>) -> Vec<Extent> {
    let host = file(scratch, "host", &pattern(300_000, 1));
    let plain = archive(scratch, "plain.tar", &pattern(100_000, 2));
    let packed = archive(scratch, "packed.tar.gz", &gzip(&pattern(2_500_000, 3)));
    let image: Arc<[u8]> = pattern(5000, 4).into();
    let extent = |offset, len, source| Extent { offset, len, source };
    let rendered = |offset, len, key| {
        extent(offset, len, Backing::Rendered { by: Arc::clone(by) as Arc<dyn Render>, key })
    };
    vec![
        Extent::bytes(10, [1, 2, 3]),
        Extent::bytes(13, []),
        extent(4096, 200_000, Backing::File { file: host, offset: 1000 }),
        extent(MIB, 90_000, Backing::Archive { archive: plain, offset: 5000 }),
        // Not in the order in which they lie in the stream.
        extent(2 * MIB, MIB, Backing::Archive { archive: Arc::clone(&packed), offset: 1_000_000 }),
        extent(3 * MIB, 500_000, Backing::Archive { archive: packed, offset: 7 }),
        rendered(4 * MIB, 300_000, 5),
        rendered(5 * MIB, 2 * MIB, 9),
        extent(7 * MIB, 4000, Backing::Image { image: Arc::new(Slice(image)), offset: 1000 }),
    ]
}

struct Slice(Arc<[u8]>);

impl ReadAt for Slice {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.0.read_at(offset, out)
    }
}

const SIZE: u64 = 9 * MIB + 512;

/// The image as it is written.
fn written(scratch: &Scratch, extents: &Vec<Extent>) -> Vec<u8> {
    let id = Seed::new(b"test").uuid("disk");
    let target = Target::new(scratch.file("written.raw"), Format::Raw, Packed::None, id);
    let run = Run::silent(std::num::NonZeroUsize::MIN);
    write(RawImage { size: SIZE, extents }, std::slice::from_ref(&target), &run).unwrap();
    std::fs::read(&target.path).unwrap()
}

#[test]
fn it_has_the_bytes_that_are_written_wherever_it_is_read() {
    let scratch = Scratch::new();
    let counted = Arc::new(Counted::default());
    let extents = extents(&scratch, &counted);
    let expected = written(&scratch, &extents);
    let before = counted.0.load(Ordering::Relaxed);
    let view = View::new(RawImage { size: SIZE, extents: &extents }, scratch.path());
    for (len, step) in [(1 << 16, 61_000), (300, 5003), (3 * MIB, MIB), (SIZE, SIZE)] {
        for offset in (0..SIZE.div_ceil(step)).rev().map(|number| number * step) {
            let len = len.min(SIZE - offset);
            let mut out = vec![0x55; len as usize];
            view.read_at(offset, &mut out).unwrap();
            assert!(out == expected[offset as usize..][..len as usize], "{len} bytes at {offset}");
        }
    }
    assert_eq!(counted.0.load(Ordering::Relaxed) - before, 2, "each is rendered once");
    assert!(view.read_at(SIZE - 1, &mut [0; 2]).is_err());
    assert!(view.read_at(u64::MAX, &mut [0; 2]).is_err());
}

#[test]
fn holes_are_zero_and_large_ones_are_known() {
    let scratch = Scratch::new();
    let extents = extents(&scratch, &Arc::default());
    let expected = written(&scratch, &extents);
    let view = View::new(RawImage { size: SIZE, extents: &extents }, scratch.path());
    let (mut at, mut holes) = (0, Vec::new());
    while at < SIZE {
        let hole = view.hole_from(at, SIZE);
        let data = view.data_from(hole);
        assert!(expected[hole as usize..data as usize].iter().all(|byte| *byte == 0));
        holes.push((hole, data));
        at = data.max(at + 1);
    }
    assert_eq!(holes[0], (0, 10));
    assert!(holes.contains(&(204_096, MIB)) && holes.contains(&(7 * MIB + 4000, SIZE)), "{holes:?}");
    assert_eq!(view.hole_from(2 * MIB, 2 * MIB + 5), 2 * MIB + 5);
    assert_eq!(view.data_from(SIZE), SIZE);
}

#[test]
fn a_source_that_changes_is_an_error() {
    let scratch = Scratch::new();
    let extents = extents(&scratch, &Arc::default());
    let view = View::new(RawImage { size: SIZE, extents: &extents }, scratch.path());
    let read = |offset| view.read_at(offset, &mut [0; 100]);
    // A decoded stream is in a file of its own by then.
    let places = [("host.d/host", 5000), ("plain.tar", MIB)];
    assert!([5000, MIB, 2 * MIB].into_iter().all(|offset| read(offset).is_ok()));
    for (name, offset) in places {
        let file = OpenOptions::new().write(true).open(scratch.file(name)).unwrap();
        // As long as before, somewhere else in the file, and with the time of before.
        let modified = file.metadata().unwrap().modified().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        file.write_all_at(b"changed", 50_000).unwrap();
        file.set_modified(modified).unwrap();
        let error = read(offset).unwrap_err();
        assert!(error.to_string().contains("changed while it was read"), "{error}");
    }
    assert!(read(2 * MIB).is_ok() && read(10).is_ok());
}

#[test]
fn a_compressed_source_that_changes_before_it_is_decoded_is_an_error() {
    let scratch = Scratch::new();
    let extents = extents(&scratch, &Arc::default());
    let view = View::new(RawImage { size: SIZE, extents: &extents }, scratch.path());
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::write(scratch.file("packed.tar.gz"), gzip(&pattern(2_500_000, 99))).unwrap();
    assert!(view.read_at(2 * MIB, &mut [0; 100]).is_err());
}
