//! The size is that of the content, and the bytes are the same whoever writes them.

use exporter::error::Kind as ErrorKind;
use exporter::tree::{Content, HostDir, HostFile, Inode, InodeKind, Tree};

use crate::fsck::sample;
use crate::support::{CREATED, Image, MIB, Mount, dir, draft, empty_tree, file, meta};

#[test]
fn a_block_less_is_not_enough_and_more_is_not_used() {
    let draft = draft(sample());
    let size = draft.size();
    let error = draft.plan(size - 1).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NoSpace { needed: size, available: size - 1 });
    let contents = draft.plan(size + MIB).unwrap();
    assert_eq!(contents.size, size + MIB);
    let end = contents.extents.iter().map(|extent| extent.end()).max();
    assert!(end.is_some_and(|end| end <= size && end > size - 4096), "{end:?} of {size}");
    let image = Image::written("erofs", &contents);
    image.assert_clean();
    Mount::new(&image, "ro");
}

#[test]
fn small_files_take_little_more_than_their_bytes() {
    let mut tree = empty_tree();
    let directory = dir(&mut tree, Tree::ROOT, b"d");
    let mut bytes = 0;
    for number in 0..20_000usize {
        let len = ((number * 0x9e37_79b9) >> 16) % 4000;
        let id = file(&mut tree, directory, number.to_string().as_bytes(), vec![1; len]);
        tree.inode_mut(id).meta.mtime = CREATED;
        bytes += len as u64 + 32 + 17;
    }
    let size = draft(tree).size();
    assert!(size < bytes * 11 / 10, "{size} for {bytes}");
}

#[test]
fn the_largest_file_systems_can_be_planned() {
    let mut tree = empty_tree();
    let root = HostDir::open(std::env::temp_dir().as_path()).unwrap();
    let len = (16 << 40) - 16 * 4096;
    let kind = InodeKind::File(Content::Host(HostFile::new(root, b"none", len, None)));
    tree.insert(Tree::ROOT, b"large", Inode { meta: meta(0o644), kind });
    let draft = draft(tree);
    assert_eq!(draft.size(), len + 2 * 4096);
}
