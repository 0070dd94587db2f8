//! Random trees of all that Linux has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use exporter::tree::{Content, Device, HostDir, HostFile, Inode, InodeId, InodeKind, Meta, Time, Tree};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::{meta, pattern, prose};

/// One step towards a tree: what to add, to which of the directories there are, under which name.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The newest directory if there are not as many.
    parent: usize,
    name: Vec<u8>,
    meta: Meta,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Directory,
    File(usize),
    /// One that compressors make smaller.
    Prose(usize),
    /// Gaps and data, both in bytes.
    Sparse(Vec<(u64, usize)>),
    Link(usize),
    /// So many more names for a file.
    Crowd(usize),
    Other(InodeKind),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = (1..=255u8).prop_map(|byte| if byte == b'/' { b'_' } else { byte });
    prop_oneof![4 => vec(byte.clone(), 1..20), 1 => vec(byte, 200..256)]
        .prop_filter("names of their own", |name| !matches!(name.as_slice(), b"." | b".." | b"lost+found"))
}

/// As acl(5) wants it: entries by tag and id, a mask where there are named ones.
fn acl() -> impl Strategy<Value = Vec<u8>> {
    let ids = || btree_set(0..u32::MAX, 0..4);
    (ids(), ids(), any::<[u8; 4]>()).prop_map(|(users, groups, permissions)| {
        let entry = |tag: u16, permission: u8, id: u32| {
            [&tag.to_le_bytes()[..], &[permission & 7, 0], &id.to_le_bytes()].concat()
        };
        let named =
            |tag, ids: &BTreeSet<u32>| ids.iter().map(|&id| entry(tag, id as u8, id)).collect::<Vec<_>>();
        let [user, group, mask, other] = permissions;
        let mut acl = vec![vec![2, 0, 0, 0], entry(0x01, user, u32::MAX)];
        acl.extend(named(0x02, &users));
        acl.push(entry(0x04, group, u32::MAX));
        acl.extend(named(0x08, &groups));
        if !users.is_empty() || !groups.is_empty() {
            acl.push(entry(0x10, mask, u32::MAX));
        }
        acl.push(entry(0x20, other, u32::MAX));
        acl.concat()
    })
}

/// A permitted and an effective set, both of version 2.
fn capability() -> impl Strategy<Value = Vec<u8>> {
    any::<[u8; 4]>().prop_map(|low| {
        let mut capability = vec![1, 0, 0, 2];
        capability.extend(low);
        capability.resize(20, 0);
        capability
    })
}

fn metadata() -> impl Strategy<Value = Meta> {
    let len = prop_oneof![3 => 0..60usize, 1 => 0..900usize];
    let xattr =
        ("(user|trusted)\\.[a-z]{1,30}", (len, any::<u64>()).prop_map(|(len, salt)| pattern(len, salt)));
    let known = (
        prop::option::weighted(0.2, acl()),
        prop::option::weighted(0.2, acl()),
        prop::option::weighted(0.2, capability()),
    );
    // ext4-view takes the times whose low 32 bits are negative for corrupt.
    let seconds = (0..1i64 << 31, 0..4i64).prop_map(|(low, epoch)| low + (epoch << 32));
    (0..0o10000u16, any::<[u32; 2]>(), seconds, 0..1_000_000_000u32, vec(xattr, 0..4), known).prop_map(
        |(permissions, [uid, gid], seconds, nanoseconds, xattrs, (access, default, capability))| {
            let known = [
                ("system.posix_acl_access", access),
                ("system.posix_acl_default", default),
                ("security.capability", capability),
            ];
            let known = known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            let xattrs = xattrs.into_iter().chain(known);
            Meta {
                permissions,
                uid: uid.min(u32::MAX - 1),
                gid: gid.min(u32::MAX - 1),
                mtime: Time { seconds, nanoseconds },
                xattrs: xattrs.map(|(name, value)| (name.into_bytes().into(), value.into())).collect(),
            }
        },
    )
}

/// ext4-view wants no component of a target to be longer than a name.
fn target() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(1..=255u8, 1..200), 1 => vec(1..=255u8, 200..4096)].prop_map(|mut target| {
        target.iter_mut().skip(1).step_by(200).for_each(|byte| *byte = b'/');
        target
    })
}

fn what() -> impl Strategy<Value = What> {
    let device = || (0..4096u32, 0..(1u32 << 20)).prop_map(|(major, minor)| Device { major, minor });
    prop_oneof![
        4 => Just(What::Directory),
        6 => (0..50_000usize).prop_map(What::File),
        2 => (0..400_000usize).prop_map(What::Prose),
        // More than four extents need a tree of their own; up to what a few leaves hold.
        1 => vec((0..30_000u64, 1..9000usize), 1..12).prop_map(What::Sparse),
        1 => vec((8192..10_000u64, 1..2usize), 300..800).prop_map(What::Sparse),
        2 => any::<usize>().prop_map(What::Link),
        1 => (100..1500usize).prop_map(What::Crowd),
        2 => target().prop_map(|target| What::Other(InodeKind::Symlink(target.into()))),
        1 => device().prop_map(|device| What::Other(InodeKind::CharDevice(device))),
        1 => device().prop_map(|device| What::Other(InodeKind::BlockDevice(device))),
        1 => Just(What::Other(InodeKind::Fifo)),
        1 => Just(What::Other(InodeKind::Socket)),
    ]
}

/// All steps to one.
pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let parent = prop_oneof![1 => any::<u16>().prop_map(usize::from), 1 => Just(usize::MAX)];
    let step = (parent, name(), metadata(), what());
    vec(step.prop_map(|(parent, name, meta, what)| Step { parent, name, meta, what }), 0..120)
}

/// Keep of the attributes what the kernel lets this kind of inode have.
fn allow(meta: &mut Meta, kind: &InodeKind) {
    let (is_directory, is_file) =
        (matches!(kind, InodeKind::Directory(_)), matches!(kind, InodeKind::File(_)));
    let is_symlink = matches!(kind, InodeKind::Symlink(_));
    meta.xattrs.retain(|name, _| match &**name {
        b"system.posix_acl_default" => is_directory,
        b"system.posix_acl_access" => !is_symlink,
        b"security.capability" => is_file,
        name => name.starts_with(b"trusted.") || is_directory || is_file,
    });
}

/// The tree of `steps`, the contents of its sparse files in `host`.
pub(crate) fn build(steps: Vec<Step>, host: &Path) -> Tree {
    let root = HostDir::open(host).unwrap();
    let mut tree = Tree::new(meta(0o755));
    let mut directories = vec![Tree::ROOT];
    let mut files: Vec<InodeId> = Vec::new();
    for (salt, Step { parent, name, mut meta, what }) in (0..).zip(steps) {
        let newest = directories.len() - 1;
        let parent = directories[if parent == usize::MAX { newest } else { parent % directories.len() }];
        if tree.entries(parent).is_some_and(|entries| entries.contains_key(name.as_slice())) {
            continue;
        }
        let kind = match what {
            What::Directory => InodeKind::Directory(BTreeMap::new()),
            What::File(len) => InodeKind::File(Content::Bytes(pattern(len, salt).into())),
            What::Prose(len) => InodeKind::File(Content::Bytes(prose(len, salt).into())),
            What::Sparse(pieces) => InodeKind::File(sparse(&root, host, salt, &pieces)),
            What::Link(_) | What::Crowd(_) if files.is_empty() => continue,
            What::Link(file) => {
                tree.link(parent, &name, files[file % files.len()]);
                continue;
            }
            What::Crowd(names) => {
                for number in 0..names {
                    tree.link(parent, format!("{salt} {number:x<40}").as_bytes(), files[0]);
                }
                continue;
            }
            What::Other(kind) => kind,
        };
        let is_directory = matches!(kind, InodeKind::Directory(_));
        allow(&mut meta, &kind);
        let id = tree.insert(parent, &name, Inode { meta, kind });
        if is_directory { &mut directories } else { &mut files }.push(id);
    }
    tree
}

fn sparse(root: &Arc<HostDir>, host: &Path, salt: u64, pieces: &[(u64, usize)]) -> Content {
    let name = salt.to_string();
    let file = File::create(host.join(&name)).unwrap();
    let (mut end, mut ranges) = (0, Vec::new());
    for &(gap, len) in pieces {
        let start = end + gap;
        end = start + len as u64;
        file.write_all_at(&pattern(len, salt), start).unwrap();
        match ranges.last_mut() {
            Some(std::ops::Range { end: last, .. }) if *last == start => *last = end,
            _ => ranges.push(start..end),
        }
    }
    // A hole at the end too.
    let len = end + salt * 1000;
    file.set_len(len).unwrap();
    Content::Host(HostFile::new(root.clone(), name.as_bytes(), len, Some(ranges.into())))
}

/// An image takes long: no failure is made small for hours.
pub(crate) fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, max_shrink_iters: 100, ..ProptestConfig::default() }
}
