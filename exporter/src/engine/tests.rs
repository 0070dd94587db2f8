//! The engine: what it gives to sinks, in which order, and which error it reports.

use std::fs::File;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::error::Kind;
use crate::extent::{Backing, Extent, Extents, Render, Transform, UNIT};
use crate::testing::Scratch;
use crate::tree::{self, Content, HostDir, HostFile, scan};

const MIB: u64 = CHUNK as u64;

/// A sink that keeps what it was given.
#[derive(Default)]
struct Recorder {
    encoded: AtomicU64,
    /// Offsets in the order of commits, and the bytes.
    committed: Mutex<Vec<(u64, Vec<u8>)>>,
    fails_at: Option<u64>,
}

impl Sink for Recorder {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        assert!(stored.pieces.is_empty() && stored.packed.is_empty());
        stored.pieces.push(Piece::plain(0..1));
        self.encoded.fetch_add(1, Ordering::Relaxed);
        match self.fails_at {
            Some(offset) if chunk.offset >= offset => {
                // Later chunks fail sooner.
                std::thread::sleep(std::time::Duration::from_millis(
                    20u64.saturating_sub(chunk.offset / MIB),
                ));
                Err(Error::new(Kind::Input, chunk.offset.to_string(), "fails"))
            }
            _ => Ok(()),
        }
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        assert_eq!(stored.pieces.len(), 1);
        let mut committed = self.committed.try_lock().expect("commits never come two at once");
        committed.push((chunk.offset, chunk.bytes().to_vec()));
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }
}

fn run_on(image: RawImage<'_>, sink: &Recorder, threads: usize) -> Result<()> {
    run(image, &[sink], &Run::silent(NonZeroUsize::new(threads).unwrap()))
}

/// The committed chunks as one image.
fn assembled(sink: Recorder, size: u64) -> Vec<u8> {
    let mut image = vec![0; size as usize];
    let committed = sink.committed.into_inner().unwrap();
    assert!(committed.is_sorted_by(|a, b| a.0 < b.0));
    for (offset, bytes) in committed {
        image[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
    }
    image
}

/// Renders its key over and over.
struct Counter;

impl Render for Counter {
    fn render(&self, key: u64, out: &mut [u8]) {
        assert!(out.iter().all(|&byte| byte == 0));
        out.iter_mut().enumerate().for_each(|(index, byte)| *byte = (key + index as u64) as u8);
    }
}

fn rendered(offset: u64, len: u64, key: u64) -> Extent {
    Extent { offset, len, source: Backing::Rendered { by: Arc::new(Counter), key } }
}

fn host_file(directory: &Path, name: &str, len: u64) -> HostFile {
    HostFile::new(HostDir::open(directory).unwrap(), name.as_bytes(), len, None)
}

fn from_file(offset: u64, file: &HostFile, skip: u64, len: u64) -> Extent {
    Extent { offset, len, source: Backing::File { file: file.clone(), offset: skip } }
}

#[test]
fn every_source_arrives_whatever_the_edges() {
    let scratch = Scratch::new();
    let content: Vec<u8> = (0..3 * MIB).map(|n| (n % 251) as u8 + 1).collect();
    scratch.write("file", &content);
    let file = host_file(scratch.path(), "file", 3 * MIB);
    let size = 9 * MIB + 300;
    let extents = [
        Extent::bytes(10, [1, 2, 3]),
        Extent::bytes(13, []),
        rendered(13, 100, 5),
        from_file(MIB - 7, &file, 9, 2 * MIB),
        rendered(4 * MIB - 3, MIB + 6, 77),
        Extent::bytes(6 * MIB, vec![0; 100]),
        from_file(9 * MIB + 200, &file, 3 * MIB - 100, 100),
    ];
    let mut expected = vec![0; size as usize];
    let mut put =
        |offset: u64, bytes: &[u8]| expected[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    let counted = |key: u64, len: u64| (0..len).map(|n| (key + n) as u8).collect::<Vec<_>>();
    put(10, &[1, 2, 3]);
    put(13, &counted(5, 100));
    put(MIB - 7, &content[9..9 + 2 * MIB as usize]);
    put(4 * MIB - 3, &counted(77, MIB + 6));
    put(9 * MIB + 200, &content[3 * MIB as usize - 100..]);
    for threads in [1, 2, 8] {
        let sink = Recorder::default();
        run_on(RawImage { size, extents: &extents }, &sink, threads).unwrap();
        assert_eq!(sink.encoded.load(Ordering::Relaxed), 7, "zero chunks and gaps reach no sink");
        assert!(assembled(sink, size) == expected, "{threads}");
    }
}

#[test]
fn a_huge_gap_costs_nothing() {
    let extents = [Extent::bytes(3, [1]), Extent::bytes((1 << 60) + 5, [2])];
    let sink = Recorder::default();
    run_on(RawImage { size: 1 << 61, extents: &extents }, &sink, 2).unwrap();
    let offsets: Vec<_> = sink.committed.into_inner().unwrap().iter().map(|chunk| chunk.0).collect();
    assert_eq!(offsets, [0, 1 << 60]);
}

#[test]
fn an_empty_image_is_nothing() {
    for size in [0, MIB] {
        let sink = Recorder::default();
        run_on(RawImage { size, extents: &Vec::new() }, &sink, 3).unwrap();
        assert!(sink.committed.into_inner().unwrap().is_empty());
    }
}

#[test]
fn progress_rises_to_the_total() {
    let extents: Vec<_> = (0..20).map(|n| rendered(n * 2 * MIB, MIB + 5, n)).collect();
    let seen = Mutex::new(Vec::new());
    let note = |progress| seen.lock().unwrap().push(progress);
    let sink = Recorder::default();
    let threads = NonZeroUsize::new(4).unwrap();
    run(
        RawImage { size: 40 * MIB, extents: &extents },
        &[&sink],
        &Run { progress: &note, ..Run::silent(threads) },
    )
    .unwrap();
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted_by_key(|progress| progress.done));
    let total = 20 * (MIB + 5);
    assert_eq!(*seen.last().unwrap(), Progress { done: total, total });
}

#[test]
fn a_run_that_is_stopped_ends_with_an_error() {
    // More chunks than are in flight at any of these numbers of threads.
    let extents: Vec<_> = (0..100).map(|chunk| rendered(chunk * MIB, MIB, chunk)).collect();
    for threads in [1, 2, 8] {
        let sink = Recorder::default();
        let stop = AtomicBool::new(false);
        let progress = |progress: Progress| stop.store(progress.done >= 5 * MIB, Ordering::Relaxed);
        let run_stopped =
            Run { progress: &progress, stop: &stop, ..Run::silent(NonZeroUsize::new(threads).unwrap()) };
        let error = run(RawImage { size: 100 * MIB, extents: &extents }, &[&sink], &run_stopped).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (&Kind::Interrupted, "interrupted"));
        assert!(sink.encoded.load(Ordering::Relaxed) < 100, "the others stop");
    }
}

#[test]
fn the_error_at_the_lowest_offset_is_reported() {
    // More chunks than are in flight at any of these numbers of threads.
    let extents: Vec<_> = (0..100).map(|chunk| rendered(chunk * MIB, MIB, chunk)).collect();
    for threads in [1, 2, 8] {
        let sink = Recorder { fails_at: Some(5 * MIB), ..Recorder::default() };
        let error = run_on(RawImage { size: 30 * MIB, extents: &extents }, &sink, threads).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: fails", 5 * MIB));
        assert!(sink.encoded.load(Ordering::Relaxed) < 100, "the others stop");
    }
}

#[test]
fn a_file_that_changed_is_named() {
    let scratch = Scratch::new();
    let message = |planned: u64, now: &[u8]| {
        scratch.write("file", now);
        let file = host_file(scratch.path(), "file", planned);
        let extents = [from_file(0, &file, 0, planned)];
        let error = run_on(RawImage { size: MIB, extents: &extents }, &Recorder::default(), 2).unwrap_err();
        assert!(error.hint().is_some());
        error.to_string()
    };
    assert_eq!(
        message(100, &[1; 60]),
        "/file: the file changed while it was read, from 100 bytes to 60 bytes"
    );
    assert_eq!(
        message(100, &[1; 160]),
        "/file: the file changed while it was read, from 100 bytes to 160 bytes"
    );
}

#[test]
fn a_file_rewritten_with_as_many_bytes_is_noticed() {
    let scratch = Scratch::new();
    scratch.write("file", b"before");
    let root = HostDir::open(scratch.path()).unwrap();
    let scanned = scan(&root, NonZeroUsize::MIN, &mut |_| {}).unwrap();
    let tree::InodeKind::File(Content::Host(file)) = &scanned.inode(scanned.lookup("/file").unwrap()).kind
    else {
        panic!("a file was scanned")
    };
    let extents = [from_file(0, file, 0, 6)];
    let image = RawImage { size: MIB, extents: &extents };
    run_on(image, &Recorder::default(), 2).unwrap();
    // The clock of the file system ticks some hundred times a second.
    std::thread::sleep(std::time::Duration::from_millis(30));
    scratch.write("file", b"behind");
    let error = run_on(image, &Recorder::default(), 2).unwrap_err();
    assert_eq!(error.to_string(), "/file: the file changed while it was read");
    assert!(error.hint().is_some());
}

#[test]
fn a_file_that_vanished_or_became_a_link_is_named() {
    let scratch = Scratch::new();
    scratch.write("other", &[1; 10]);
    std::os::unix::fs::symlink("other", scratch.file("link")).unwrap();
    for name in ["gone", "link"] {
        let file = host_file(scratch.path(), name, 10);
        let extents = [from_file(0, &file, 0, 10)];
        let error = run_on(RawImage { size: MIB, extents: &extents }, &Recorder::default(), 2).unwrap_err();
        assert!(error.to_string().starts_with(&format!("/{name}: cannot open the file: ")), "{error}");
    }
}

#[test]
fn memory_stays_bounded_by_the_window() {
    // The first chunk is slow: the others may run ahead of it by the window, no further.
    struct Slow(AtomicU64);
    impl Sink for Slow {
        fn encode(&self, chunk: &Chunk<'_>, _: &mut Stored) -> Result<()> {
            if chunk.offset == 0 {
                std::thread::sleep(std::time::Duration::from_millis(100));
                assert!(self.0.load(Ordering::SeqCst) < 2 * WINDOW);
            }
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
        fn commit(&self, _: &Chunk<'_>, _: &mut Stored) -> Result<()> {
            Ok(())
        }
        fn finish(&self) -> Result<()> {
            Ok(())
        }
    }
    let extents: Vec<_> = (0..50).map(|n| Extent::bytes(n * MIB, [1])).collect();
    let sink = Slow(AtomicU64::new(0));
    let threads = NonZeroUsize::new(2).unwrap();
    run(RawImage { size: 50 * MIB, extents: &extents }, &[&sink], &Run::silent(threads)).unwrap();
    assert_eq!(sink.0.into_inner(), 50);
}

#[test]
#[should_panic]
fn a_panic_ends_the_run() {
    struct Panics;
    impl Render for Panics {
        fn render(&self, _: u64, _: &mut [u8]) {
            panic!("a layout that is wrong");
        }
    }
    let mut extents: Vec<_> = (1..50).map(|n| Extent::bytes(n * MIB, [1])).collect();
    extents
        .insert(0, Extent { offset: 0, len: 1, source: Backing::Rendered { by: Arc::new(Panics), key: 0 } });
    let _ = run_on(RawImage { size: 50 * MIB, extents: &extents }, &Recorder::default(), 3);
}

/// Would share every byte of every file.
#[derive(Default)]
struct Sharer(Recorder);

impl Sink for Sharer {
    fn encode(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        self.0.encode(chunk, stored)
    }

    fn commit(&self, chunk: &Chunk<'_>, stored: &mut Stored) -> Result<()> {
        self.0.commit(chunk, stored)
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }

    fn share(&self, _: &File, _: u64, _: u64, len: u64) -> Range<u64> {
        0..len
    }
}

/// Every byte plus where it lies.
struct Adds;

impl Transform for Adds {
    fn apply(&self, at: u64, bytes: &mut [u8]) {
        assert!(at.is_multiple_of(UNIT) && (bytes.len() as u64).is_multiple_of(UNIT));
        (at..).zip(bytes).for_each(|(at, byte)| *byte = byte.wrapping_add((at % 97) as u8));
    }
}

#[test]
fn what_is_transformed_comes_from_every_source_and_is_never_shared() {
    let scratch = Scratch::new();
    let content: Vec<u8> = (0..3 * MIB).map(|n| (n % 251) as u8 + 1).collect();
    scratch.write("file", &content);
    let file = host_file(scratch.path(), "file", 3 * MIB);
    let plain =
        [Extent::bytes(100, [9; 50]), from_file(8192, &file, 5, 2 * MIB), rendered(3 * MIB - 5, 10, 40)];
    let size = 4 * MIB;
    let sink = Recorder::default();
    run_on(RawImage { size, extents: &plain }, &sink, 1).unwrap();
    let plain_image = assembled(sink, size);
    let start = 2 * MIB;
    let part = |at: u64, len: u64| {
        let touches = |extent: &Extent| extent.offset < at + len && extent.end() > at;
        let of: Vec<_> = plain.iter().filter(touches).collect();
        let source = Backing::Transformed { of: of.into(), by: Arc::new(Adds), at };
        Extent { offset: start + at, len, source }
    };
    let parts = [part(0, 4096), part(4096, 3 * MIB - 4096), part(3 * MIB, MIB)];
    for threads in [1, 4] {
        let (sink, image) = (Sharer::default(), RawImage { size: start + size, extents: &parts });
        run(image, &[&sink], &Run::silent(NonZeroUsize::new(threads).unwrap())).unwrap();
        let mut image = assembled(sink.0, start + size);
        let changed = image.split_off(start as usize);
        let expected: Vec<_> =
            (0u64..).zip(&plain_image).map(|(at, byte)| byte.wrapping_add((at % 97) as u8)).collect();
        assert!(changed == expected && image.iter().all(|byte| *byte == 0), "{threads}");
    }
}
