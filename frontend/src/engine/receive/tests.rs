//! Streams as BuildKit sends them, and streams nobody should send.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use tar::{Builder, Header};
use tempfile::TempDir;

use super::*;

struct Place {
    dir: TempDir,
    destination: Destination,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let destination = Destination::new(&dir.path().join("web.qcow2")).unwrap();
        Self { dir, destination }
    }

    /// The names in the directory after the stream was received and, if all was well, renamed.
    fn receive(&self, stream: &[u8]) -> Result<Vec<String>, String> {
        let result = receive(stream, &self.destination).map_err(|failure| match failure {
            Failure::EndedEarly(error) => format!("early: {error}"),
            Failure::Refused(error) => format!("refused: {error}"),
        });
        let result = result.map(|arrived| rename(arrived, &self.destination).unwrap());
        let mut names: Vec<String> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        if result.is_err() {
            assert_eq!(names, Vec::<String>::new(), "nothing is left after a failure");
        }
        result.map(|_| names)
    }
}

/// An entry with any name whatever: the crate's own setters refuse some.
fn entry(name: &str, kind: EntryType, len: u64) -> Header {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o600);
    header.set_size(len);
    header.set_cksum();
    header
}

fn archive(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, bytes) in entries {
        builder.append(&entry(name, *kind, bytes.len() as u64), *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

const FILE: EntryType = EntryType::Regular;

#[test]
fn one_disk_gets_the_name() {
    let place = Place::new();
    let stream = archive(&[("./", EntryType::Directory, b""), ("./disk.qcow2", FILE, b"a disk")]);
    assert_eq!(place.receive(&stream).unwrap(), ["web.qcow2"]);
    assert_eq!(fs::read(place.dir.path().join("web.qcow2")).unwrap(), b"a disk");
}

#[test]
fn several_platforms_get_names_of_their_own() {
    let place = Place::new();
    let stream = archive(&[
        ("linux_amd64/", EntryType::Directory, b""),
        ("linux_amd64/disk.qcow2", FILE, b"1"),
        ("linux_arm_v7/disk.qcow2", FILE, b"2"),
    ]);
    assert_eq!(place.receive(&stream).unwrap(), ["web-linux-amd64.qcow2", "web-linux-arm-v7.qcow2"]);
}

#[test]
fn zeros_become_holes_and_the_bytes_stay_the_same() {
    let place = Place::new();
    let mut disk = vec![0; (8 << 20) + 123];
    disk[0] = 1;
    disk[(2 << 20) - 1..(2 << 20) + 2].fill(2);
    disk[(5 << 20) + 4096..(5 << 20) + 9000].fill(3);
    place.receive(&archive(&[("disk.qcow2", FILE, &disk)])).unwrap();
    let path = place.dir.path().join("web.qcow2");
    assert!(fs::read(&path).unwrap() == disk);
    let stored = fs::metadata(&path).unwrap().blocks() * 512;
    assert_eq!(stored, (1 + 2 + 2) * 4096);
}

#[test]
fn an_older_disk_is_replaced_only_by_a_whole_one() {
    let place = Place::new();
    let path = place.dir.path().join("web.qcow2");
    fs::write(&path, "old").unwrap();
    let stream = archive(&[("disk.qcow2", FILE, &[7; 5000])]);
    assert!(receive(&stream[..3000], &place.destination).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(place.receive(&stream).unwrap(), ["web.qcow2"]);
    assert_eq!(fs::read(&path).unwrap(), [7; 5000]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o600, 0o600);
}

#[test]
fn what_is_not_a_disk_is_refused() {
    for (entries, part) in [
        (&[("/etc/passwd", FILE, &b"x"[..])][..], "\"/etc/passwd\" leads out of it"),
        (&[("../disk.qcow2", FILE, b"x")], "leads out of it"),
        (&[("linux_amd64/../../disk", FILE, b"x")], "leads out of it"),
        (&[("a/b/disk.qcow2", FILE, b"x")], "is not where a disk belongs"),
        (&[("etc/passwd", FILE, b"x")], "is not where a disk belongs"),
        (&[("usr/share/", EntryType::Directory, b"")], "is not where a disk belongs"),
        (&[("disk", EntryType::Symlink, b"")], "is neither a file nor a directory"),
        (&[("disk", EntryType::Link, b"")], "is neither a file nor a directory"),
        (&[("disk", EntryType::Char, b"")], "is neither a file nor a directory"),
        (&[("disk", EntryType::Fifo, b"")], "is neither a file nor a directory"),
        (&[("disk", FILE, b"x"), ("disk2", FILE, b"x")], "there is more than one file"),
        (&[("disk", FILE, b"x"), ("linux_amd64/disk", FILE, b"x")], "there is more than one file"),
        (&[("linux_amd64/disk", FILE, b"x"), ("disk", FILE, b"x")], "there is more than one file"),
        (&[("linux_amd64/a", FILE, b"x"), ("linux_amd64/b", FILE, b"x")], "there is more than one file"),
    ] {
        let error = Place::new().receive(&archive(entries)).unwrap_err();
        assert!(error.starts_with("refused: ") && error.contains(part), "{entries:?}: {error}");
    }
}

#[test]
fn streams_that_stop_are_told_apart() {
    let stream = archive(&[("disk.qcow2", FILE, &[7; 5000])]);
    for len in [0, 100, 512, 3000, 512 + 4999] {
        let error = Place::new().receive(&stream[..len]).unwrap_err();
        assert!(error.starts_with("early: "), "{len}: {error}");
    }
    let error = Place::new().receive(&archive(&[])).unwrap_err();
    assert_eq!(error, "early: the build's result: is not one disk file: there is no file in it");
    assert!(Place::new().receive(b"not a tar archive at all").unwrap_err().starts_with("early: "));
    assert!(Place::new().receive(&[b'x'; 2048]).is_err());
}

#[test]
fn headers_cannot_fill_the_memory() {
    let long = vec![b'x'; 4 << 20];
    let stream = archive(&[("pax", EntryType::XHeader, &long), ("disk", FILE, b"x")]);
    let error = Place::new().receive(&stream).unwrap_err();
    assert!(error.contains("headers take more than 1 MiB"), "{error}");
}

/// A file system of its own, so small that a disk fills it.
struct TinyMount(TempDir);

impl TinyMount {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(dir.path());
        assert!(mount.status().unwrap().success());
        Self(dir)
    }
}

impl Drop for TinyMount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_one_clear_error() {
    let mount = TinyMount::new();
    let destination = Destination::new(&mount.0.path().join("web.qcow2")).unwrap();
    let stream = archive(&[("disk.qcow2", FILE, &vec![7; 3 << 20])]);
    let Err(Failure::Refused(error)) = receive(&stream[..], &destination) else { panic!("it fits?") };
    let place = mount.0.path().display();
    assert_eq!(error.to_string(), format!("{place}: no space left: the disk file has 3 MiB, 1 MiB are free"));
    assert_eq!(fs::read_dir(mount.0.path()).unwrap().count(), 0);

    // The same file fits once most of it is zero.
    let mut sparse = vec![0; 3 << 20];
    sparse[1 << 20] = 1;
    let arrived = receive(&archive(&[("disk.qcow2", FILE, &sparse)])[..], &destination).unwrap();
    assert_eq!(rename(arrived, &destination).unwrap(), [mount.0.path().join("web.qcow2")]);
}
