//! Trees, copied in and out.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;

use agent::message::Text;
use agent::tree::Rights;
use rustix::fs::{CWD, FileType, XattrFlags, mknodat, setxattr};

use crate::support::Agent;

/// Every name below a folder with all that a copy keeps.
fn seen(folder: &Path) -> Vec<String> {
    let (mut all, mut left) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let mut xattr = [0; 99];
        let content = match meta.file_type() {
            kind if kind.is_dir() => {
                left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                String::new()
            }
            kind if kind.is_symlink() => format!("{:?}", fs::read_link(&path).unwrap()),
            kind if kind.is_file() => {
                let len = rustix::fs::getxattr(&path, "user.odd", &mut xattr[..]).unwrap_or_default();
                format!("{} {:?}", fs::read(&path).unwrap().escape_ascii(), &xattr[..len])
            }
            _ => meta.rdev().to_string(),
        };
        let name = path.strip_prefix(folder).unwrap().as_os_str().as_bytes().escape_ascii().to_string();
        let owner = (meta.uid(), meta.gid(), if meta.is_dir() { 0 } else { meta.nlink() });
        all.push(format!(
            "{name} {:o} {owner:?} {}.{} {content}",
            meta.mode(),
            meta.mtime(),
            meta.mtime_nsec()
        ));
    }
    all.sort();
    all
}

/// A tree with all that can be odd.
fn odd(folder: &Path) {
    let at = |name: &[u8]| folder.join(OsStr::from_bytes(name));
    fs::create_dir_all(at(b"deep/er")).unwrap();
    for name in [&b"new\nline"[..], b"\xff\xfe", b"-rf", b" ", b"*", &[b'n'; 255], b"deep/er/\xc3\xa4"] {
        fs::write(at(name), name).unwrap();
    }
    fs::write(at(b"large"), vec![b'x'; 300_001]).unwrap();
    fs::hard_link(at(b"-rf"), at(b"deep/again")).unwrap();
    symlink("/etc/passwd", at(b"absolute")).unwrap();
    symlink(OsStr::from_bytes(b"../\xff"), at(b"deep/odd")).unwrap();
    mknodat(CWD, at(b"fifo"), FileType::Fifo, 0o640.into(), 0).unwrap();
    chown(at(b" "), Some(1234), Some(70_000)).unwrap();
    lchown(at(b"absolute"), Some(7), Some(8)).unwrap();
    fs::set_permissions(at(b"*"), Permissions::from_mode(0o4711)).unwrap();
    // Where the file system has none, the copy has none.
    let _ = setxattr(at(b"large"), "user.odd", b"\0\n=", XattrFlags::empty());
    fs::set_permissions(at(b"deep/er"), Permissions::from_mode(0o1511)).unwrap();
}

#[test]
fn a_tree_with_odd_names_is_the_same_there_and_back() {
    let scratch = tempfile::tempdir_in("/var/tmp").unwrap();
    let at = |name: &str| scratch.path().join(name);
    for folder in ["tree", "machine", "back"] {
        fs::create_dir(at(folder)).unwrap();
    }
    odd(&at("tree"));
    let agent = Agent::start();
    let host = agent.host();
    let name = Text(OsStr::from_bytes(b"co\xffpy").to_owned());
    host.copy_in(&at("tree"), &at("machine"), Some(&name)).unwrap();
    let copy = at("machine").join(&name.0);
    assert_eq!(seen(&copy), seen(&at("tree")));
    host.copy_out(&copy, &at("back"), Some(&"tree".into()), Rights::All).unwrap();
    assert_eq!(seen(&at("back/tree")), seen(&at("tree")));
    // By its own name, a single file, and over what is there.
    host.copy_in(&at("tree/large"), &at("machine"), None).unwrap();
    host.copy_in(&at("tree/large"), &at("machine"), None).unwrap();
    assert_eq!(fs::read(at("machine/large")).unwrap().len(), 300_001);
}

#[test]
fn what_cannot_be_copied_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let agent = Agent::start();
    let host = agent.host();
    fs::write(scratch.path().join("file"), vec![0; 1 << 20]).unwrap();
    let into = |to: &str| host.copy_in(&scratch.path().join("file"), to, None).unwrap_err();
    assert!(into("/no/such").starts_with("/no/such: No such file"), "{}", into("/no/such"));
    let full = into("/proc/sys/kernel");
    assert!(full.starts_with("file: "), "{full}");
    let out = |from: &str| host.copy_out(from, scratch.path(), None, Rights::Own).unwrap_err();
    assert!(out("/no/such").starts_with("/no/such: No such file"), "{}", out("/no/such"));
    let missing = host.copy_in(Path::new("/no/such"), "/tmp", None).unwrap_err();
    assert!(missing.starts_with("/no/such: No such file"), "{missing}");
    // On the host, a folder stands in the way.
    fs::create_dir(scratch.path().join("passwd")).unwrap();
    assert_eq!(out("/etc/passwd"), "passwd: is a folder already");
    // And all goes on.
    host.copy_out("/etc/hostname", scratch.path(), None, Rights::Own).unwrap();
}
