use std::io::Write;
use std::sync::Arc;

use super::*;
use crate::tree::{Content, InodeKind};

fn archive(bytes: &[u8]) -> Arc<Archive> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Archive::new("test".into(), 0, Section::whole(file).unwrap(), &Arc::new(Decoders::new(u64::MAX))).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn every_compression_gives_the_same_bytes_and_only_going_back_starts_again() {
    let bytes = pattern(300_000);
    let members = [gzip(&bytes[..100_000]), gzip(&bytes[100_000..])].concat();
    for (stored, restarts) in
        [(bytes.clone(), 0), (members, 1), (zstd::encode_all(&bytes[..], 1).unwrap(), 1)]
    {
        let archive = archive(&stored);
        let mut out = [0; 1000];
        for offset in [0, 1000, 99_500, 299_000, 5] {
            archive.read_at(offset, &mut out).unwrap();
            assert_eq!(out, bytes[offset as usize..][..1000]);
        }
        assert_eq!(archive.restarts(), restarts);
        assert!(archive.read_at(299_001, &mut out).is_err());
        archive.read_at(7, &mut out).unwrap();
        assert_eq!(out, bytes[7..1007], "it can be read after an error");
    }
}

#[test]
fn foreign_compressions_are_named() {
    for (magic, name) in [(&b"\xfd7zXZ\0"[..], "xz"), (b"BZh91AY&SY", "bzip2")] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(magic).unwrap();
        let error = Archive::new(
            "f.tar".into(),
            0,
            Section::whole(file).unwrap(),
            &Arc::new(Decoders::new(u64::MAX)),
        )
        .unwrap_err();
        assert!(error.to_string().contains(&format!("it is compressed with {name}, only")), "{error}");
    }
}

#[test]
fn turns_come_in_the_order_they_were_taken() {
    let archive = archive(&gzip(&pattern(10)));
    let order = Mutex::new(Vec::new());
    let turns: Vec<_> = (0..20).map(|number| (number, archive.turn().unwrap())).collect();
    std::thread::scope(|scope| {
        for (number, turn) in turns.into_iter().rev() {
            let order = &order;
            scope.spawn(move || {
                // Every third never waits: it failed before.
                if number % 3 != 0 {
                    turn.wait();
                    order.lock().unwrap().push(number);
                }
            });
        }
    });
    assert!(order.into_inner().unwrap().is_sorted());
}

#[test]
fn a_sparse_file_has_zeros_between_its_pieces() {
    let archive = archive(&pattern(100));
    let piece = |start, len, offset| Piece { start, len, offset };
    let pieces = [piece(10, 5, 50), piece(15, 5, 55), piece(30, 10, 60)];
    let file = ArchiveFile::sparse(archive, 50, pieces.into());
    let mut expected = [0; 50];
    expected[10..20].copy_from_slice(&pattern(100)[50..60]);
    expected[30..40].copy_from_slice(&pattern(100)[60..70]);
    let mut whole = [7; 50];
    file.read_at(0, &mut whole).unwrap();
    assert_eq!(whole, expected[..]);
    let mut part = [7; 7];
    file.read_at(28, &mut part).unwrap();
    assert_eq!(part, expected[28..35]);
    assert_eq!(file.data_ranges(), [10..20, 30..40]);
    let extents: Vec<_> = file.extents(12..35, 1000).map(|extent| (extent.offset, extent.len)).collect();
    assert_eq!(extents, [(1000, 3), (1003, 5), (1018, 5)]);
}

#[test]
fn a_file_in_an_archive_takes_no_more_room_than_a_directory() {
    assert_eq!((size_of::<ArchiveFile>(), size_of::<Content>(), size_of::<InodeKind>()), (24, 32, 32));
}

/// A stream of zstd with a window of this size.
fn zstd_with_window(log: u32, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(log).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn detect(stored: &[u8]) -> std::io::Result<Compression> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(stored).unwrap();
    Compression::detect(&Section::whole(file).unwrap())
}

#[test]
fn a_decoder_takes_the_window_that_its_first_frame_has_and_no_more() {
    let bytes = pattern(1000);
    let skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc";
    for (log, allowed) in [(10, 25), (25, 25), (26, 27), (27, 27)] {
        let stored = zstd_with_window(log, &bytes);
        for stored in [stored.clone(), [&skippable[..], &stored].concat()] {
            assert_eq!(detect(&stored).unwrap(), Compression::Zstd { window_log: allowed });
            let mut out = vec![0; 1000];
            archive(&stored).read_at(0, &mut out).unwrap();
            assert!(out == bytes, "{log}");
        }
    }
    let error = detect(&zstd_with_window(28, &bytes)).unwrap_err().to_string();
    assert!(error.starts_with("it is compressed with a window of 256 MiB, 128 MiB can be read"), "{error}");
    // Of one segment, the window is the content: of 300 bytes, and of a terabyte.
    assert!(detect(&zstd::bulk::compress(&pattern(300), 1).unwrap()).is_ok());
    assert!(detect(b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\x01\0\0").is_err());
    // A later frame may have the usual window, but not what only few may have at once.
    let frames = [zstd_with_window(10, &bytes), zstd_with_window(27, &bytes)].concat();
    assert!(archive(&frames).read_at(1000, &mut [0; 1000]).is_err());
}

#[test]
fn the_windows_of_all_archives_have_a_limit_and_none_is_left_out() {
    let decoders = Arc::new(Decoders::new(u64::MAX));
    let stored = zstd_with_window(25, &pattern(2000));
    let archives: Vec<_> = (0..20)
        .map(|order| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&stored).unwrap();
            Archive::new("test".into(), order, Section::whole(file).unwrap(), &decoders).unwrap()
        })
        .collect();
    for (offset, restarts) in [(0, 0), (1000, 0), (500, 4)] {
        for archive in archives.iter().rev() {
            let mut out = [0; 10];
            archive.read_at(offset, &mut out).unwrap();
            assert_eq!(out, pattern(2000)[offset as usize..][..10]);
            assert!(decoders.used() <= crate::limits::WINDOWS, "{}", decoders.used());
        }
        // Only who still has a decoder sees that it has to go back.
        let all: u64 = archives.iter().map(|archive| archive.restarts()).sum();
        assert!(all <= restarts, "{offset}: {all}");
    }
    std::thread::scope(|scope| {
        for archive in &archives {
            scope.spawn(|| (0..50).for_each(|at| archive.read_at(at * 20, &mut [0; 20]).unwrap()));
        }
    });
    assert!(decoders.used() <= crate::limits::WINDOWS);
    let room = decoders.room(crate::limits::WINDOWS);
    assert_eq!(decoders.used(), crate::limits::WINDOWS, "those that are idle give way");
    drop(room);
    assert_eq!(decoders.used(), 0);
}

#[test]
fn going_back_again_and_again_comes_to_an_end() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&gzip(&pattern(10_000))).unwrap();
    let section = Section::whole(file).unwrap();
    let archive = Archive::new("test".into(), 0, section, &Arc::new(Decoders::new(100_000))).unwrap();
    let reads = (0..1000).take_while(|_| archive.read_at(9000, &mut [0; 1000]).is_ok()).count();
    assert_eq!(reads, 10);
    let error = archive.read_at(9000, &mut [0; 1000]).unwrap_err().to_string();
    assert!(error.contains("more than 100000 bytes decoded, again and again, which is the limit"), "{error}");
}
