//! The disk in an ISO, found by what every reader of one knows.

use super::*;
use crate::fs::Contents;
use crate::iso9660::{self, Boot, Entry, Volume};
use crate::testing::write_sparse;
use crate::tree::Time;

const SIZE: u64 = 5 * MIB + 512;
const DISK: &str = "vmimage/disk.raw";

/// An ISO with a file at this path, which is a disk of `size` bytes.
fn iso(scratch: &Scratch, path: &str, size: u64, extents: Vec<Extent>) -> PathBuf {
    let id = Seed::new(b"iso").uuid("medium");
    let volume = Volume { name: "web".to_owned(), id, time: Time::default() };
    let content = Contents { size, extents: Box::new(extents) };
    let other = Contents { size: 3, extents: Box::new([Extent::bytes(0, *b"abc")]) };
    let entries = vec![
        Entry { path: "vmimage/a".to_owned(), content: other },
        Entry { path: path.to_owned(), content },
    ];
    let layout = iso9660::plan(&volume, entries, Boot::default()).unwrap();
    let file = scratch.path().join("web.iso");
    write_sparse(&file, layout.size, &layout);
    file
}

#[test]
fn the_disk_in_a_medium_is_read_as_any_other() {
    let scratch = Scratch::new();
    let path = iso(&scratch, DISK, SIZE, extents(SIZE));
    let (format, disk) = open(&path).unwrap();
    assert_eq!((format, disk.size()), (Format::Iso, SIZE));
    let mut bytes = vec![0; SIZE as usize];
    disk.read_at(0, &mut bytes).unwrap();
    assert_eq!(bytes, flatten(SIZE, &extents(SIZE)));
    assert!(disk.read_at(SIZE - 1, &mut [0; 2]).is_err());
    assert_eq!(identify(&path).unwrap(), (Format::Iso, Some(SIZE)));
    assert!(check(&path).unwrap().is_empty());
}

#[test]
fn a_disk_of_more_than_4_gib_is_one_whose_holes_are_known() {
    let scratch = Scratch::new();
    let size = (9 << 30) + 512;
    let path = iso(&scratch, DISK, size, vec![Extent::bytes(size - 512, vec![7; 512])]);
    let (_, disk) = open(&path).unwrap();
    assert_eq!(disk.size(), size);
    assert!(disk.data_from(MIB) > size - MIB);
    let mut last = [0; 2];
    disk.read_at(size - 2, &mut last).unwrap();
    assert_eq!(last, [7; 2]);
}

#[test]
fn another_iso_is_told_what_it_lacks() {
    let scratch = Scratch::new();
    for name in ["vmimage/disk", "disk.raw", "vmimage/disk.raw/disk.raw"] {
        let path = iso(&scratch, name, SIZE, extents(SIZE));
        let error = open(&path).map(drop).unwrap_err();
        assert_eq!(error.kind(), &Kind::NotFound, "{name}");
        assert!(
            error.to_string().ends_with("is an ISO, and has no disk in it that vmimage has made"),
            "{error}"
        );
        assert_eq!(identify(&path).unwrap(), (Format::Iso, None));
    }
    // What has no descriptor is what it was.
    let raw = scratch.write("raw", &noise(64 * KIB));
    assert_eq!(identify(Path::new(&raw)).unwrap(), (Format::Raw, Some(64 * KIB)));
}

/// Each byte of the directories in turn: an error, or a disk that lies in the file.
#[test]
fn a_broken_volume_ends_in_an_error_and_no_panic() {
    let scratch = Scratch::new();
    let path = iso(&scratch, DISK, SIZE, extents(SIZE));
    let good = std::fs::read(&path).unwrap();
    let mut bytes = good.clone();
    let mut found = [0, 0];
    for at in 16 * 2048..30 * 2048 {
        for value in [0, 0xff, good[at] ^ 1] {
            bytes[at] = value;
            let disk = super::super::iso::disk(&&bytes[..]);
            assert!(!matches!(&disk, Ok(Some(disk)) if disk.end > good.len() as u64), "{at}: {disk:?}");
            found[usize::from(matches!(disk, Ok(Some(_))))] += 1;
        }
        bytes[at] = good[at];
    }
    assert!(found.iter().all(|times| *times > 100), "{found:?}");
    let cut = scratch.write("cut.iso", &good[..good.len() / 2]);
    assert_eq!(open(Path::new(&cut)).map(drop).unwrap_err().kind(), &Kind::Corrupt);
}
