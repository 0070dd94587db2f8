//! Another reader, the `ext4-view` crate, finds what went in.

use exporter::tree::{Content, Kind, Tree};
use ext4_view::{Ext4, PathBuf};

use crate::fsck::sample;
use crate::support::{Image, MIB};

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
