//! Directories of every size, and names of every kind.

use std::process::Command;

use exporter::tree::{InodeId, Tree};

use crate::random::assert_comes_back;
use crate::support::{Image, MIB, Mount, dir, empty_tree, file, run};

/// A directory of `count` names of `len` bytes, all of them links of a few files.
fn filled(tree: &mut Tree, count: usize, len: usize) -> InodeId {
    let directory = dir(tree, Tree::ROOT, b"filled");
    let mut target = InodeId(0);
    for number in 0..count {
        let name = format!("{number:x>len$}").into_bytes();
        if number % 60_000 == 0 {
            target = file(tree, directory, &name, []);
        } else {
            tree.link(directory, &name, target);
        }
    }
    directory
}

#[test]
fn directories_around_one_block_are_found_by_name() {
    // 12 bytes each beside 36 of `.`, `..` and the checksum: 338 are the last to fit one block.
    for count in [0, 1, 338, 339, 340, 1000] {
        let mut tree = empty_tree();
        filled(&mut tree, count, 4);
        let image = Image::of(tree, 32 * MIB);
        let flags = image.debugfs("stat /filled");
        assert_eq!(flags.contains("Flags: 0x81000"), count > 338, "{count} entries: {flags}");
        let mount = Mount::new(&image, "ro");
        for number in 0..count {
            let name = mount.path().join("filled").join(format!("{number:x>4}"));
            assert!(name.exists(), "{name:?}");
        }
    }
}

#[test]
fn two_hundred_thousand_entries_have_two_levels() {
    let mut tree = empty_tree();
    filled(&mut tree, 200_000, 16);
    let image = Image::of(tree, 64 * MIB);
    let dump = image.debugfs("htree_dump /filled");
    assert!(
        dump.contains("Indirect levels: 1") && dump.contains("Number of entries (limit): 510"),
        "{dump:.2000}"
    );
    let mount = Mount::new(&image, "ro");
    let filled = mount.path().join("filled");
    assert_eq!(filled.read_dir().unwrap().count(), 200_000);
    for number in (0..200_000).step_by(7) {
        let name = filled.join(format!("{number:x>16}"));
        assert!(name.exists(), "{name:?}");
    }
    assert!(!filled.join("not there").exists());
}

#[test]
fn the_longest_names_and_bytes_that_are_no_text_come_back() {
    let mut tree = empty_tree();
    let directory = filled(&mut tree, 9000, 255);
    file(&mut tree, directory, &[0xff; 255], []);
    for byte in (1..=255).filter(|byte| !b"/.".contains(byte)) {
        file(&mut tree, Tree::ROOT, &[byte], [byte]);
    }
    // Two levels of nodes; ext4-view looks every name up through them.
    assert_comes_back(tree, 64 * MIB);
}

#[test]
fn more_subdirectories_than_links_are_not_counted() {
    let mut tree = empty_tree();
    let directory = dir(&mut tree, Tree::ROOT, b"filled");
    for number in 0..65_010 {
        dir(&mut tree, directory, number.to_string().as_bytes());
    }
    let image = Image::of(tree, 512 * MIB);
    let stat = image.debugfs("stat /filled");
    assert!(stat.contains("Links: 1 "), "{stat}");
}

#[test]
fn a_lost_and_found_of_the_tree_is_kept() {
    let mut tree = empty_tree();
    let own = dir(&mut tree, Tree::ROOT, b"lost+found");
    tree.inode_mut(own).meta.permissions = 0o711;
    file(&mut tree, own, b"#12", *b"lost");
    let image = Image::of(tree, 32 * MIB);
    let mount = Mount::new(&image, "ro");
    let listing = run(Command::new("ls").args(["-la"]).arg(mount.path().join("lost+found")));
    assert!(listing.contains("drwx--x--x") && listing.contains("#12"), "{listing}");
}

/// Pairs of numbers whose names, filled up to 255 bytes with `x`, have the same hash under the seed of
/// `support::options`.
const COLLIDING: [[u32; 2]; 16] = [
    [7159, 252_565],
    [13_308, 242_899],
    [26_599, 43_944],
    [294_178, 350_176],
    [303_874, 392_877],
    [124_257, 410_509],
    [197_731, 360_682],
    [90_254, 417_045],
    [117_062, 336_556],
    [101_336, 301_582],
    [138_724, 387_397],
    [166_153, 176_858],
    [53_188, 184_650],
    [178_527, 260_399],
    [178_641, 198_301],
    [215_217, 325_608],
];

#[test]
fn names_of_one_hash_are_found_across_two_leaves() {
    // A leaf has room for 15 such names, so a pair is torn apart.
    let mut tree = empty_tree();
    let directory = dir(&mut tree, Tree::ROOT, b"filled");
    for number in COLLIDING.concat() {
        file(&mut tree, directory, format!("{number:x>255}").as_bytes(), []);
    }
    let image = Image::of(tree, 32 * MIB);
    let dump = image.debugfs("htree_dump /filled");
    let mut hashes = dump.lines().filter_map(|line| line.strip_prefix("Entry #")).map(|line| {
        let hash = line.split_once("Hash 0x").unwrap().1;
        u32::from_str_radix(&hash[..8], 16).unwrap()
    });
    assert!(hashes.any(|hash| hash & 1 == 1), "{dump:.500}");
    let mount = Mount::new(&image, "ro");
    for number in COLLIDING.concat() {
        let name = mount.path().join("filled").join(format!("{number:x>255}"));
        assert!(name.exists(), "{name:?}");
    }
}
