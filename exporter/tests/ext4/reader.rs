//! Readers find what went in: debugfs, the `ext4-view` crate, the kernel, and our own of the superblock.

use std::os::unix::fs::FileExt;

use exporter::fs::ext4;
use exporter::tree::Tree;

use crate::debugfs::of_debugfs;
use crate::dump::{lines_of_tree, of_mount, of_tree, text};
use crate::fsck::{number_after, sample};
use crate::random::assert_comes_back;
use crate::support::{Image, MIB, Mount, dir, empty_tree, file, options};
use crate::view::{known, of_view};

#[test]
fn one_of_everything_comes_back() {
    assert_comes_back(sample(), 64 * MIB);
}

#[test]
fn a_deep_directory_comes_back() {
    let mut tree = empty_tree();
    let mut at = Tree::ROOT;
    for level in 0..400u32 {
        at = dir(&mut tree, at, level.to_string().as_bytes());
    }
    file(&mut tree, at, b"bottom", *b"deep");
    assert_comes_back(tree, 32 * MIB);
}

/// Which of debugfs, ext4-view and the kernel see the tree in the image.
fn who_sees(tree: &Tree, image: &Image) -> [bool; 3] {
    let expected = of_tree(tree);
    let view = of_view(image).is_ok_and(|found| found == known(lines_of_tree(tree)));
    let mount = Mount::new(image, "ro");
    [of_debugfs(image) == expected, view, of_mount(mount.path()) == expected]
}

#[test]
fn every_reader_sees_a_flipped_byte_of_content() {
    let tree = sample();
    let image = Image::of(sample(), 64 * MIB);
    let block = |path: &str| number_after(&image.debugfs(&format!("bmap {path} 0")), "") * 4096;
    for offset in [block("/etc/big") + 77, block("/etc/hostname"), block("/slow") + 3] {
        let mut byte = [0];
        image.file().read_exact_at(&mut byte, offset).unwrap();
        image.file().write_all_at(&[byte[0] ^ 1], offset).unwrap();
        // Contents have no checksum.
        image.assert_clean();
        assert_eq!(who_sees(&tree, &image), [false; 3], "byte {offset}");
        image.file().write_all_at(&byte, offset).unwrap();
    }
    assert_eq!(who_sees(&tree, &image), [true; 3]);
}

#[test]
fn every_difference_of_a_tree_is_seen() {
    let lines = text(&lines_of_tree(&sample()));
    let changes: [fn(&mut Tree); 4] = [
        |tree| tree.inode_mut(Tree::ROOT).meta.mtime.nanoseconds += 1,
        |tree| tree.inode_mut(Tree::ROOT).meta.gid = 1,
        |tree| _ = tree.inode_mut(Tree::ROOT).meta.xattrs.insert(b"user.x"[..].into(), [].into()),
        |tree| _ = dir(tree, Tree::ROOT, b"new"),
    ];
    for change in changes {
        let mut tree = sample();
        change(&mut tree);
        assert_ne!(of_tree(&tree), lines);
    }
}

#[test]
fn the_superblock_says_what_was_asked() {
    let image = std::fs::read(Image::of(sample(), 64 * MIB).path()).unwrap();
    let found = ext4::read(&image[..]).unwrap().unwrap();
    let asked = options(64 * MIB);
    assert_eq!(
        (found.kind, &found.label, found.uuid, found.size),
        ("ext4", &asked.label, asked.uuid, asked.size)
    );
    assert!(found.free.is_some_and(|free| free > 0 && free < asked.size));
    // A volume without one, and one that is smaller than its file system.
    assert_eq!(ext4::read(&[0; 4096][..]).unwrap(), None);
    assert!(ext4::read(&image[..32 << 20]).is_err());
}
