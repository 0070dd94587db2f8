//! Random trees: whatever they are, e2fsck is content and the kernel gives them back.

use std::collections::BTreeMap;

use exporter::tree::{Content, Device, Inode, InodeId, Kind, Meta, Time, Tree};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::dump;
use crate::support::{Image, MIB, Mount, meta, pattern};

/// One step: what to add, to which of the directories there are, under which name.
#[derive(Clone, Debug)]
struct Step {
    parent: usize,
    name: Vec<u8>,
    meta: Meta,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Directory,
    File(usize),
    Link(usize),
    Other(Kind),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("not in names", |byte| !b"/\0".contains(byte));
    prop_oneof![4 => vec(byte.clone(), 1..20), 1 => vec(byte, 200..256)]
        .prop_filter("names of their own", |name| !matches!(name.as_slice(), b"." | b".." | b"lost+found"))
}

fn metadata() -> impl Strategy<Value = Meta> {
    let xattr = ("(user|trusted)\\.[a-z]{1,30}", vec(any::<u8>(), 0..200));
    let seconds = -0x8000_0000i64..0x3_8000_0000;
    (0..0o10000u16, any::<[u32; 2]>(), seconds, 0..1_000_000_000u32, vec(xattr, 0..4)).prop_map(
        |(permissions, [uid, gid], seconds, nanoseconds, xattrs)| Meta {
            permissions,
            uid: uid.min(u32::MAX - 1),
            gid: gid.min(u32::MAX - 1),
            mtime: Time { seconds, nanoseconds },
            xattrs: xattrs
                .into_iter()
                .map(|(name, value)| (name.into_bytes().into(), value.into()))
                .collect(),
        },
    )
}

fn what() -> impl Strategy<Value = What> {
    let device = (0..4096u32, 0..(1u32 << 20)).prop_map(|(major, minor)| Device { major, minor });
    prop_oneof![
        2 => Just(What::Directory),
        3 => (0..50_000usize).prop_map(What::File),
        1 => any::<usize>().prop_map(What::Link),
        1 => vec(1..=255u8, 1..200).prop_map(|target| What::Other(Kind::Symlink(target.into()))),
        1 => device.prop_map(|device| What::Other(Kind::CharDevice(device))),
        1 => Just(What::Other(Kind::Fifo)),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    let step = (any::<usize>(), name(), metadata(), what()).prop_map(|(parent, name, meta, what)| Step {
        parent,
        name,
        meta,
        what,
    });
    vec(step, 0..300).prop_map(build)
}

fn build(steps: Vec<Step>) -> Tree {
    let mut tree = Tree::new(meta(0o755));
    let mut directories = vec![Tree::ROOT];
    let mut files: Vec<InodeId> = Vec::new();
    for (salt, Step { parent, name, meta, what }) in (0..).zip(steps) {
        let parent = directories[parent % directories.len()];
        if tree.entries(parent).is_some_and(|entries| entries.contains_key(name.as_slice())) {
            continue;
        }
        let kind = match what {
            What::Directory => Kind::Directory(BTreeMap::new()),
            What::File(len) => Kind::File(Content::Bytes(pattern(len, salt).into())),
            What::Link(_) if files.is_empty() => continue,
            What::Link(file) => {
                tree.link(parent, &name, files[file % files.len()]);
                continue;
            }
            What::Other(kind) => kind,
        };
        let is_directory = matches!(kind, Kind::Directory(_));
        // The kernel gives user attributes only to files and directories.
        let mut meta = meta;
        if !is_directory && !matches!(kind, Kind::File(_)) {
            meta.xattrs.retain(|name, _| name.starts_with(b"trusted."));
        }
        let id = tree.insert(parent, &name, Inode { meta, kind });
        if is_directory { &mut directories } else { &mut files }.push(id);
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_trees_come_back(tree in tree()) {
        let expected = dump::of_tree(&tree);
        let image = Image::of(tree, 32 * MIB);
        let mount = Mount::new(&image, "ro");
        prop_assert_eq!(dump::of_mount(mount.path()), expected);
    }
}
