//! Random layers: what they come to is what a real directory becomes when they are applied to it one
//! after the other, as the OCI specification says.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, utimensat};
use tempfile::TempDir;

use crate::support::{Layout, Stored, dump, read_for, scan};

/// A member of a layer, as it may be asked for; one that makes no sense where it comes is left out.
#[derive(Clone, Debug)]
struct Member {
    path: String,
    what: What,
    owner: u32,
    time: i64,
    note: Option<u8>,
}

#[derive(Clone, Debug)]
enum What {
    Directory,
    File(usize),
    Symlink,
    HardLink(String),
    Whiteout,
    Opaque,
}

fn path() -> impl Strategy<Value = String> {
    vec("[a-c]", 1..4).prop_map(|names| names.join("/"))
}

fn member() -> impl Strategy<Value = Member> {
    let what = prop_oneof![
        3 => Just(What::Directory),
        4 => (0..2000usize).prop_map(What::File),
        1 => Just(What::Symlink),
        2 => path().prop_map(What::HardLink),
        2 => Just(What::Whiteout),
        1 => Just(What::Opaque),
    ];
    (path(), what, 0..3u32, 0..1000i64, proptest::option::of(any::<u8>()))
        .prop_map(|(path, what, owner, time, note)| Member { path, what, owner, time, note })
}

/// The directory that the layers are applied to.
struct Model {
    root: TempDir,
    /// Times that directories are to have in the end, after all that is done in them.
    times: BTreeMap<PathBuf, i64>,
}

impl Model {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        fs::set_permissions(root.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        Self { root, times: BTreeMap::new() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
    }

    fn remove(&mut self, path: &Path) {
        if self.is_directory(path) {
            fs::remove_dir_all(path).unwrap();
        } else {
            let _ = fs::remove_file(path);
        }
        self.times.retain(|known, _| !known.starts_with(path));
    }

    /// Apply a layer and give it as a tar.
    fn apply(&mut self, members: &[Member]) -> Vec<u8> {
        for Member { path, what, .. } in members {
            let path = self.at(path);
            match what {
                What::Whiteout => self.remove(&path),
                What::Opaque if self.is_directory(&path) => {
                    let below: Vec<_> =
                        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
                    below.iter().for_each(|path| self.remove(path));
                }
                _ => {}
            }
        }
        let mut builder = tar::Builder::new(Vec::new());
        for member in members {
            if self.add(member) {
                append(&mut builder, member);
            }
        }
        builder.into_inner().unwrap()
    }

    /// Whether the member makes sense, and was added.
    fn add(&mut self, member: &Member) -> bool {
        let Member { path, what, owner, time, note } = member;
        let at = self.at(path);
        let above: Vec<_> = at.ancestors().skip(1).take_while(|above| *above != self.root.path()).collect();
        let is_blocked = |above: &&&Path| above.symlink_metadata().is_ok() && !self.is_directory(above);
        match what {
            What::Whiteout | What::Opaque => return true,
            _ if above.iter().any(|path| is_blocked(&path)) => return false,
            What::HardLink(target) => {
                let target = self.at(target);
                if target.symlink_metadata().is_err() || self.is_directory(&target) || target.starts_with(&at)
                {
                    return false;
                }
            }
            _ => {}
        }
        let missing: Vec<_> =
            above.iter().rev().filter(|path| !path.exists()).map(|path| path.to_path_buf()).collect();
        for path in missing {
            fs::create_dir(&path).unwrap();
            self.times.insert(path, *time);
        }
        if !matches!(what, What::Directory) || !self.is_directory(&at) {
            self.remove(&at);
        }
        match what {
            What::Directory => {
                fs::create_dir_all(&at).unwrap();
                let _ = rustix::fs::removexattr(&at, "user.note");
                self.times.insert(at.clone(), *time);
            }
            What::File(len) => fs::write(&at, content(*len)).unwrap(),
            What::Symlink => symlink("nowhere", &at).unwrap(),
            What::HardLink(target) => {
                fs::hard_link(self.at(target), &at).unwrap();
                return true;
            }
            What::Whiteout | What::Opaque => unreachable!(),
        }
        if let (Some(note), false) = (note, matches!(what, What::Symlink)) {
            rustix::fs::setxattr(&at, "user.note", &[*note, b'\n'], XattrFlags::empty()).unwrap();
        }
        std::os::unix::fs::lchown(&at, Some(*owner), Some(*owner)).unwrap();
        set_time(&at, *time);
        true
    }

    fn finish(self) -> TempDir {
        for (path, time) in &self.times {
            set_time(path, *time);
        }
        self.root
    }
}

fn set_time(path: &Path, seconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + len) as u8).collect()
}

fn append(builder: &mut tar::Builder<Vec<u8>>, member: &Member) {
    let Member { path, what, owner, time, note } = member;
    let mut header = tar::Header::new_ustar();
    header.set_uid((*owner).into());
    header.set_gid((*owner).into());
    header.set_mtime(*time as u64);
    header.set_mode(0o644);
    header.set_size(0);
    if let (Some(note), What::Directory | What::File(_)) = (note, what) {
        let value = [*note, b'\n'];
        builder.append_pax_extensions([("SCHILY.xattr.user.note", &value[..])]).unwrap();
    }
    let empty = |builder: &mut tar::Builder<Vec<u8>>, header: &mut tar::Header, path: String| {
        builder.append_data(header, path, &[][..]).unwrap();
    };
    match what {
        What::Directory => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            empty(builder, &mut header, format!("{path}/"));
        }
        What::File(len) => {
            header.set_size(*len as u64);
            builder.append_data(&mut header, path, &content(*len)[..]).unwrap();
        }
        What::Symlink => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            builder.append_link(&mut header, path, "nowhere").unwrap();
        }
        What::HardLink(target) => {
            header.set_entry_type(tar::EntryType::Link);
            builder.append_link(&mut header, path, target).unwrap();
        }
        What::Whiteout => {
            let (directory, name) = path.rsplit_once('/').unwrap_or((".", path));
            empty(builder, &mut header, format!("{directory}/.wh.{name}"));
        }
        What::Opaque => empty(builder, &mut header, format!("{path}/.wh..wh..opq")),
    }
}

/// What the layers come to, here and in the model.
fn both(layers: &[Vec<Member>], stored: Stored, threads: usize) -> (String, String) {
    let mut model = Model::new();
    let tars: Vec<_> = layers.iter().map(|members| model.apply(members)).collect();
    let tree = read_for(&Layout::of(&tars, stored).input(), "amd64", threads).unwrap().tree;
    let root = model.finish();
    chown(root.path(), Some(0), Some(0)).unwrap();
    let without_root = |dump: String| dump.split_once('\n').unwrap().1.to_owned();
    (without_root(dump(&tree)), without_root(dump(&scan(root.path()))))
}

#[test]
fn the_model_and_the_tree_can_differ() {
    let member = |path: &str, what| Member { path: path.into(), what, owner: 0, time: 1, note: None };
    let layer = vec![member("a/b", What::File(1)), member("c", What::HardLink("a/b".into()))];
    let (tree, model) = both(&[layer.clone(), vec![member("a", What::Whiteout)]], Stored::Plain, 1);
    assert_eq!(tree, model);
    let (other, _) = both(&[layer], Stored::Plain, 1);
    assert_ne!(other, model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn layers_are_applied_as_to_a_directory(
        layers in vec(vec(member(), 0..12), 1..5),
        stored in prop_oneof![Just(Stored::Plain), Just(Stored::Gzip), Just(Stored::Zstd)],
        threads in 1..4usize,
    ) {
        let (tree, model) = both(&layers, stored, threads);
        prop_assert_eq!(tree, model);
    }
}
