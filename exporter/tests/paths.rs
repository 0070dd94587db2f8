//! Paths in a tree lead where Linux leads them below a root (`openat2` with `RESOLVE_IN_ROOT`).

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::symlink;
use std::path::Path;

use exporter::tree::{HostDir, InodeKind, scan};
use proptest::prelude::*;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, openat2, symlinkat};

/// `a/b/c` of few names, `.` and `..`, perhaps absolute.
fn path() -> impl Strategy<Value = String> {
    let names = prop::collection::vec(prop::sample::select(&["a", "b", "c", "d", "..", "."][..]), 1..5);
    (any::<bool>(), names)
        .prop_map(|(absolute, names)| format!("{}{}", if absolute { "/" } else { "" }, names.join("/")))
}

/// Make what can be made; of the rest the later ones give way. Nothing is made through a link, since
/// that would lead to this machine.
fn make(root: &Path, entries: &[(String, Option<String>)]) {
    let directories = entries.iter().filter(|(_, target)| target.is_none());
    for (path, _) in directories {
        fs::create_dir_all(root.join(below(path))).unwrap();
    }
    let root = HostDir::open(root).unwrap();
    for (path, target) in entries {
        let (path, Some(target)) = (below(path), target) else { continue };
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", &path));
        if let Ok(parent) = root.open_below(parent.as_bytes(), OFlags::PATH | OFlags::DIRECTORY) {
            let _ = symlinkat(&**target, parent, name);
        }
    }
}

/// The path with names only, so that it stays below the root.
fn below(path: &str) -> String {
    path.trim_start_matches('/').replace("..", "d").replace('.', "a")
}

/// The inode number that Linux finds.
fn linux(root: &Path, path: &str) -> Option<u64> {
    let root =
        openat2(CWD, root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty(), ResolveFlags::empty()).unwrap();
    let found = openat2(&root, path, OFlags::PATH, Mode::empty(), ResolveFlags::IN_ROOT).ok()?;
    Some(fstat(found).unwrap().st_ino)
}

/// Every directory holds a file with its own inode number, by which it is known in the tree.
fn mark(directory: &Path) {
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(directory).unwrap());
    for entry in fs::read_dir(directory)
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().unwrap().is_dir())
    {
        mark(&entry.path());
    }
    fs::write(directory.join("inode"), inode.to_string()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn linux_finds_the_same(
        entries in prop::collection::vec((path(), prop::option::of(path())), 1..12),
        paths in prop::collection::vec(path(), 20),
    ) {
        let directory = tempfile::tempdir().unwrap();
        // What links with `..` lead to must not depend on where the test runs.
        let root = directory.path().join("root");
        fs::create_dir(&root).unwrap();
        make(&root, &entries);
        mark(&root);
        let tree = scan(&HostDir::open(&root).unwrap(), NonZeroUsize::MIN, &mut |_| ()).unwrap();
        for path in paths {
            let found = tree.resolve(&path);
            let inode = found.map(|id| {
                let entries = tree.entries(id).expect("there are only directories and links");
                let InodeKind::File(content) = &tree.inode(entries[&b"inode"[..]]).kind else { panic!("a directory without mark") };
                let mut text = String::new();
                std::io::Read::read_to_string(&mut content.reader().unwrap(), &mut text).unwrap();
                text.parse::<u64>().unwrap()
            });
            prop_assert_eq!(inode, linux(&root, &path), "{}", path);
        }
    }
}

/// The comparison above must be able to fail: plain resolution leaves the root.
#[test]
fn linux_without_a_root_finds_something_else() {
    let directory = tempfile::tempdir().unwrap();
    symlink("/", directory.path().join("a")).unwrap();
    let plain = std::os::unix::fs::MetadataExt::ino(&fs::metadata(directory.path().join("a")).unwrap());
    assert_ne!(linux(directory.path(), "a"), Some(plain));
}
