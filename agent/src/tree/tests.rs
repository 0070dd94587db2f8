//! Trees that are packed and unpacked, and archives that mean harm.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::*;

fn packed(path: &Path, name: &str) -> Vec<u8> {
    let mut archive = Vec::new();
    pack(path, Some(&name.into()), &mut archive).unwrap();
    archive
}

fn unpacked(archive: &[u8], into: &Path, rights: Rights) -> Result<(), String> {
    let folder = File::open(into).unwrap();
    unpack(&mut &archive[..], folder.as_fd(), rights).map_err(|failure| failure.to_string())
}

fn archive_of(members: &[Member]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for member in members {
        archive::write(&mut bytes, member).unwrap();
        if let Kind::File(len) = member.kind {
            bytes.resize(bytes.len() + len as usize, b'x');
            archive::pad(&mut bytes, len).unwrap();
        }
    }
    archive::end(&mut bytes).unwrap();
    bytes
}

fn member(path: &str, kind: Kind) -> Member {
    Member { path: path.into(), kind, mode: 0o755, mtime: (7, 0), ..Member::default() }
}

/// Every name below a folder with what can be seen of it, links as links.
fn seen(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = match meta.file_type() {
            kind if kind.is_dir() => {
                left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                String::new()
            }
            kind if kind.is_symlink() => format!("{:?}", fs::read_link(&path).unwrap()),
            kind if kind.is_file() => format!("{:?}", fs::read(&path).unwrap()),
            _ => format!("{}", meta.rdev()),
        };
        let name = path.strip_prefix(folder).unwrap().as_os_str().as_bytes().escape_ascii().to_string();
        let (mode, nlink) = (meta.mode(), if meta.is_dir() { 0 } else { meta.nlink() });
        all.push(format!("{name} {mode:o} {nlink} {}:{} {content}", meta.mtime(), meta.mtime_nsec()));
    }
    all.sort();
    all
}

/// A tree with all that can be odd and needs no rights.
fn odd(folder: &Path) {
    let at = |name: &[u8]| folder.join(OsStr::from_bytes(name));
    fs::create_dir_all(at(b"deep/er")).unwrap();
    for name in
        [&b"new\nline"[..], b"\xff\xfe", b"-rf", b" ", &[b'n'; 255], b"deep/er/\xc3\xa4", b"deep/hidden"]
    {
        fs::write(at(name), name).unwrap();
    }
    fs::write(at(b"empty"), b"").unwrap();
    fs::hard_link(at(b"empty"), at(b"deep/again")).unwrap();
    symlink("/etc/passwd", at(b"absolute")).unwrap();
    symlink(OsStr::from_bytes(&[b'l'; 300]), at(b"long")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at(b"fifo"), rustix::fs::FileType::Fifo, 0o640.into(), 0).unwrap();
    let times =
        fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(9, 123_456_789));
    File::options().write(true).open(at(b"-rf")).unwrap().set_times(times).unwrap();
    fs::set_permissions(at(b"deep/er"), Permissions::from_mode(0o555)).unwrap();
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let tree = from.path().join("tree");
    odd(&tree);
    unpacked(&packed(&tree, "tree"), to.path(), Rights::Own).unwrap();
    assert_eq!(seen(&to.path().join("tree")), seen(&tree));
    // Over itself: files give way, folders stay.
    unpacked(&packed(&tree, "tree"), to.path(), Rights::Own).unwrap();
    assert_eq!(seen(&to.path().join("tree")), seen(&tree));
    // A file by another name; and what is no folder is no link either.
    unpacked(&packed(&tree.join("-rf"), "it"), to.path(), Rights::Own).unwrap();
    assert_eq!(fs::read(to.path().join("it")).unwrap(), b"-rf");
    unpacked(&packed(&tree.join("absolute"), "link"), to.path(), Rights::Own).unwrap();
    assert_eq!(fs::read_link(to.path().join("link")).unwrap(), Path::new("/etc/passwd"));
}

#[test]
fn attributes_come_along() {
    let (from, to) = (TempDir::new_in(".").unwrap(), TempDir::new_in(".").unwrap());
    let file = from.path().join("a");
    fs::write(&file, "a").unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::setxattr(&file, "user.odd =\n", b"\0\xff\n", flags).is_err() {
        // No file system for it here; the members of an archive have them in another test.
        return;
    }
    unpacked(&packed(&file, "b"), to.path(), Rights::Own).unwrap();
    let mut value = [0; 9];
    assert_eq!(rustix::fs::getxattr(to.path().join("b"), "user.odd =\n", &mut value[..]), Ok(3));
    assert_eq!(value[..3], *b"\0\xff\n");
}

#[test]
fn nothing_gets_out_of_the_folder() {
    let outside = TempDir::new().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "unharmed").unwrap();
    let (out, file) = (outside.path().to_str().unwrap(), || Kind::File(3));
    let link = |to: &str| Kind::Symlink(to.into());
    let attacks: [(&str, Vec<Member>); 8] = [
        ("..", vec![member("../victim", file())]),
        ("within", vec![member("a/../../victim", file())]),
        ("through a link", vec![member("l", link(out)), member("l/victim", file())]),
        ("through a relative one", vec![member("l", link("..")), member("l/x", file())]),
        ("a folder that is a link", vec![member("l", link(out)), member("l", Kind::Folder)]),
        ("a link to there", vec![member("h", Kind::Hardlink("../victim".into()))]),
        ("a link by a link", vec![member("l", link(out)), member("h", Kind::Hardlink("l/victim".into()))]),
        ("an absolute link", vec![member("h", Kind::Hardlink(victim.to_str().unwrap().into()))]),
    ];
    for (name, members) in attacks {
        let inside = outside.path().join("inside");
        fs::create_dir_all(&inside).unwrap();
        let error = unpacked(&archive_of(&members), &inside, Rights::Own).unwrap_err();
        assert!(!error.is_empty(), "{name}");
        assert_eq!(fs::read(&victim).unwrap(), b"unharmed", "{name}");
        assert_eq!(fs::metadata(&victim).unwrap().nlink(), 1, "{name}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 2, "{name}");
        fs::remove_dir_all(&inside).unwrap();
    }
    // A link in the place of a file goes, and what it led to stays.
    let inside = outside.path().join("inside");
    fs::create_dir(&inside).unwrap();
    symlink(&victim, inside.join("l")).unwrap();
    unpacked(&archive_of(&[member("/l", file())]), &inside, Rights::Own).unwrap();
    assert_eq!(fs::read(inside.join("l")).unwrap(), b"xxx");
    assert_eq!(fs::read(&victim).unwrap(), b"unharmed");
}

#[test]
fn rights_are_not_given_to_who_has_none() {
    let to = TempDir::new().unwrap();
    let powerful = Member { mode: 0o6755, uid: 12345, ..member("a", Kind::File(3)) };
    unpacked(&archive_of(&[powerful]), to.path(), Rights::Own).unwrap();
    let meta = fs::metadata(to.path().join("a")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o755, fs::metadata(to.path()).unwrap().uid()));
    let device = archive_of(&[member("d", Kind::Device(false, 1, 3))]);
    assert!(unpacked(&device, to.path(), Rights::Own).is_err());
    assert!(!to.path().join("d").exists());
}

#[test]
fn an_archive_without_its_end_is_none() {
    let to = TempDir::new().unwrap();
    let whole = archive_of(&[member("a", Kind::Folder), member("a/b", Kind::File(600))]);
    for len in (0..whole.len() - 1024).step_by(256) {
        assert!(unpacked(&whole[..len], to.path(), Rights::Own).is_err(), "{len} bytes");
    }
    let deep: Vec<_> =
        (1..DEPTH_MAX + 3).map(|depth| member(&vec!["d"; depth].join("/"), Kind::Folder)).collect();
    assert!(unpacked(&archive_of(&deep), to.path(), Rights::Own).unwrap_err().contains("within one another"));
}

#[test]
fn an_archive_has_no_other_name_than_was_asked_for() {
    let into = TempDir::new().unwrap();
    let folder = File::open(into.path()).unwrap();
    for (name, is_right) in [("nginx", true), ("nginx/conf", true), (".bashrc", false), ("nginx2", false)] {
        let archive = archive_of(&[member("nginx", Kind::Folder), member(name, Kind::File(3))]);
        let archive = if name == "nginx" { archive_of(&[member(name, Kind::Folder)]) } else { archive };
        let done = unpack_named(&mut &archive[..], folder.as_fd(), Rights::Own, b"nginx");
        assert_eq!(done.is_ok(), is_right, "{name}");
        assert_eq!(into.path().join(name).exists(), is_right, "{name}");
    }
}
