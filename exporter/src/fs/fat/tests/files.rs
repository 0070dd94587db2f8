//! Files that are read all at once.

use super::*;
use crate::fs::files::Step;

const KIB_64: usize = 1 << 16;

fn entries(count: usize, bytes: &[u8]) -> Tree {
    let mut tree = Tree::new(Meta::default());
    let loader = directory(&mut tree, Tree::ROOT, "loader");
    let folder = directory(&mut tree, loader, "entries");
    for number in 0..count {
        file(&mut tree, folder, &format!("kiosk{number:04}-A+3-0.conf"), bytes);
    }
    file(&mut tree, folder, "too large.conf", &pattern(KIB_64 + 1));
    file(&mut tree, Tree::ROOT, "other.conf", b"");
    tree
}

fn is_entry(path: &str) -> bool {
    path.starts_with("loader/entries/")
}

#[test]
fn a_thousand_are_read_in_the_order_of_their_names() {
    let volume = image(&entries(1000, b"version 1\n"), &options(40 * MIB));
    let files = read_files(&volume[..], is_entry, KIB_64, &budget()).unwrap();
    assert_eq!(files.len(), 1000);
    assert!(files.is_sorted() && files.iter().all(|(_, bytes)| bytes == b"version 1\n"));
    assert_eq!(files[999].0, "loader/entries/kiosk0999-A+3-0.conf");
}

#[test]
fn more_than_may_be_kept_is_not_read() {
    let volume = image(&entries(900, &pattern(KIB_64)), &options(80 * MIB));
    let failed = read_files(&volume[..], is_entry, KIB_64, &DiskBudget::new(0)).unwrap_err();
    assert!(failed.to_string().contains("of names and changes"), "{failed}");
    // What was read before is kept by nobody.
    let (volume, budget) = (image(&entries(400, &pattern(KIB_64)), &options(80 * MIB)), DiskBudget::new(0));
    for _ in 0..2 {
        assert_eq!(read_files(&volume[..], is_entry, KIB_64, &budget).unwrap().len(), 400);
    }
}

/// A path that leads out of the volume is seen in what `inspect` shows, and given to nobody who writes files.
#[test]
fn a_name_that_leads_elsewhere_is_told_to_nobody() {
    let long = |name: &str| -> Vec<u8> { name.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    for (name, is_possible) in
        [("a+b", true), ("..b", true), ("..\0", false), (".\0\0", false), ("a/b", false)]
    {
        let mut tree = Tree::new(Meta::default());
        file(&mut tree, Tree::ROOT, "a+b", b"");
        let mut volume = image(&tree, &options(2 * MIB));
        let at = volume.windows(6).position(|window| window == long("a+b")).unwrap();
        volume[at..at + 6].copy_from_slice(&long(name));
        let walked = walk(&volume[..], &budget(), &mut |_| Ok(Step::Into));
        assert_eq!(walked.is_ok(), is_possible, "{name:?}");
        if let Err(error) = walked {
            assert_eq!(error.to_string(), "FAT volume: a directory has an impossible name");
        }
        assert_eq!(files(&volume[..], &budget()).unwrap(), [name.trim_end_matches('\0')]);
    }
}

#[test]
fn a_name_may_be_no_text() {
    let mut volume = image(&entries(1, b"version 1\n"), &options(2 * MIB));
    // The first letters of the long name, which become half of a character each.
    let long: Vec<_> = "kiosk".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let at = volume.windows(long.len()).position(|window| window == long).unwrap();
    volume[at..at + long.len()].copy_from_slice(&[0x00, 0xd8].repeat(5));
    let files = read_files(&volume[..], is_entry, KIB_64, &budget()).unwrap();
    assert_eq!(files[0].0, format!("loader/entries/{}0000-A+3-0.conf", "\u{fffd}".repeat(5)));
}
