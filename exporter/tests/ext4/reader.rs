//! Readers find what went in: the `ext4-view` crate, and our own of the superblock.

use exporter::fs::ext4;
use exporter::tree::{Content, Kind, Tree};
use ext4_view::{Ext4, PathBuf};

use crate::fsck::sample;
use crate::support::{Image, MIB, options};

#[test]
fn ext4_view_reads_every_path() {
    let tree = sample();
    let image = Image::of(tree.clone(), 64 * MIB);
    let view = Ext4::load_from_path(image.path()).unwrap();
    let mut paths = std::collections::BTreeMap::from([(Tree::ROOT, PathBuf::new("/"))]);
    let mut seen = 0;
    for (parent, name, id) in tree.walk() {
        let path = paths[&parent].join(name);
        paths.insert(id, path.clone());
        let inode = tree.inode(id);
        let metadata = view.symlink_metadata(&path).unwrap();
        assert_eq!(metadata.mode() & 0o7777, inode.meta.permissions, "{path:?}");
        assert_eq!((metadata.uid(), metadata.gid()), (inode.meta.uid, inode.meta.gid), "{path:?}");
        match &inode.kind {
            Kind::Directory(entries) => {
                // `.` and `..` are among them.
                assert_eq!(view.read_dir(&path).unwrap().count(), entries.len() + 2, "{path:?}");
            }
            Kind::File(Content::Bytes(bytes)) => assert!(view.read(&path).unwrap() == **bytes, "{path:?}"),
            Kind::Symlink(target) => assert_eq!(view.read_link(&path).unwrap().as_ref(), &**target),
            _ => assert_eq!(metadata.len(), 0),
        }
        seen += 1;
    }
    assert!(seen > 3000);
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
