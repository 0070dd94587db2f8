//! Random trees: whatever they are, e2fsck is content and the kernel gives them back.

use std::collections::BTreeMap;
use std::path::Path;

use exporter::fs::ext4;
use exporter::tree::{Content, Device, HostDir, HostFile, Inode, InodeId, Kind, Meta, Time, Tree};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::dump;
use crate::support::{Image, MIB, Mount, empty_tree, file, meta, node, options, pattern};

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
    let byte = (1..=255u8).prop_map(|byte| if byte == b'/' { b'_' } else { byte });
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

/// Many small files and one that takes a share of the size.
fn crowd(files: usize, host: &Path, len: u64) -> Tree {
    std::fs::File::create(host.join("data")).unwrap().set_len(len).unwrap();
    let content = HostFile::new(HostDir::open(host).unwrap(), b"data", len, None);
    let mut tree = empty_tree();
    node(&mut tree, Tree::ROOT, b"data", Kind::File(Content::Host(content)));
    for number in 0..files {
        file(&mut tree, Tree::ROOT, number.to_string().as_bytes(), [1]);
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_size_is_clean_or_too_small(blocks in 1000..400_000u64, files in 0..2000usize, share in 0..90u64) {
        let host = tempfile::tempdir().unwrap();
        let tree = crowd(files, host.path(), blocks * 4096 / 100 * share);
        let minimum = ext4::minimum_size(&tree.clone().into(), &options(0)).unwrap();
        if blocks * 4096 >= minimum {
            Image::of(tree, blocks * 4096);
        } else {
            let refused = ext4::plan(&tree.into(), &options(blocks * 4096));
            prop_assert!(refused.is_err());
        }
    }
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
