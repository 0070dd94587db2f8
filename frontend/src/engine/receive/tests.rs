//! Streams as BuildKit sends them, and streams nobody should send.

mod folders;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use exporter::container::{Base, Compression};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;

struct Place {
    dir: TempDir,
    destinations: Vec<Destination>,
}

impl Place {
    fn new() -> Self {
        Self::of(&[Format::Qcow2])
    }

    fn of(formats: &[Format]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let destinations = formats.iter().map(|&format| destination(dir.path(), format)).collect();
        Self { dir, destinations }
    }

    /// The names in the directory after the stream was stored and, if all was well, named.
    fn receive(&self, stream: &[u8]) -> Result<Vec<String>, String> {
        let result = store(stream, &self.destinations).map_err(|failure| match failure {
            Undelivered::EndedEarly(error) => format!("early: {error}"),
            Undelivered::Refused(error) => format!("refused: {error}"),
        });
        let result = result.map(finish);
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

fn destination(dir: &Path, format: Format) -> Destination {
    Destination::new(&dir.join(format!("web{}", format.suffix())), format).unwrap()
}

fn finish(arrived: Vec<Arrived>) {
    arrived.into_iter().for_each(|disk| disk.output.persist().unwrap());
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
fn a_name_that_nobody_has_typed_leads_nowhere_else() {
    let place = Place::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let theirs = elsewhere.path().join("theirs.qcow2");
    fs::write(&theirs, b"theirs").unwrap();
    let stream = archive(&[("linux_amd64/disk.qcow2", FILE, b"1"), ("linux_arm64/disk.qcow2", FILE, b"2")]);
    for target in [&theirs, &elsewhere.path().join("dangling")] {
        let link = place.dir.path().join("web-linux-arm64.qcow2");
        symlink(target, &link).unwrap();
        let failure = store(&stream[..], &place.destinations).unwrap_err();
        let Undelivered::Refused(error) = failure else { panic!("{failure:?}") };
        assert!(error.to_string().ends_with("/web-linux-arm64.qcow2: is a link, and not what was named"));
        fs::remove_file(link).unwrap();
        assert_eq!(fs::read_dir(place.dir.path()).unwrap().count(), 0);
    }
    assert_eq!(fs::read(theirs).unwrap(), b"theirs");
    assert_eq!(place.receive(&stream).unwrap().len(), 2);
}

#[test]
fn what_buildkit_attests_is_passed_over() {
    for folder in ["", "linux_amd64/"] {
        let names = ["provenance.json", "sbom.spdx.json", "disk.qcow2"].map(|name| format!("{folder}{name}"));
        let entries = names.each_ref().map(|name| (name.as_str(), FILE, &b"x"[..]));
        assert_eq!(Place::new().receive(&archive(&entries)).unwrap().len(), 1);
    }
    let error = Place::new().receive(&archive(&[("disk.json", FILE, b"x")])).unwrap_err();
    assert!(error.contains("\"disk.json\" does not end in .qcow2"), "{error}");
}

#[test]
fn every_format_goes_to_its_own_destination() {
    let place = Place::of(&[Format::Qcow2, Format::Raw]);
    let stream = archive(&[("disk.raw", FILE, b"raw"), ("disk.qcow2", FILE, b"qcow2")]);
    assert_eq!(place.receive(&stream).unwrap(), ["web.qcow2", "web.raw"]);
    assert_eq!(fs::read(place.dir.path().join("web.raw")).unwrap(), b"raw");

    let place = Place::of(&[Format::Qcow2, Format::Raw]);
    let stream = archive(&[
        ("linux_amd64/disk.qcow2", FILE, b"1"),
        ("linux_amd64/disk.raw", FILE, b"2"),
        ("linux_arm64/disk.qcow2", FILE, b"3"),
        ("linux_arm64/disk.raw", FILE, b"4"),
    ]);
    let names =
        ["web-linux-amd64.qcow2", "web-linux-amd64.raw", "web-linux-arm64.qcow2", "web-linux-arm64.raw"];
    assert_eq!(place.receive(&stream).unwrap(), names);
}

#[test]
fn a_file_that_was_asked_for_is_missed() {
    for entries in [
        &[("disk.qcow2", FILE, &b"x"[..])][..],
        &[
            ("linux_amd64/disk.qcow2", FILE, b"1"),
            ("linux_amd64/disk.raw", FILE, b"2"),
            ("linux_arm64/disk.qcow2", FILE, b"3"),
        ],
        &[("linux_amd64/disk.qcow2", FILE, b"1"), ("linux_arm64/disk.raw", FILE, b"2")],
    ] {
        let error = Place::of(&[Format::Qcow2, Format::Raw]).receive(&archive(entries)).unwrap_err();
        assert!(error.starts_with("early: ") && error.contains("file in it"), "{entries:?}: {error}");
    }
}

#[test]
fn stdout_gets_one_disk_byte_for_byte() {
    let passed = |entries: &[(&str, EntryType, &[u8])]| {
        let mut out = Vec::new();
        match pass_on(&archive(entries)[..], Format::Raw, &mut out) {
            Ok(()) => Ok(out),
            Err(Undelivered::EndedEarly(error) | Undelivered::Refused(error)) => Err(error.to_string()),
        }
    };
    let disk = [&[7; 5000][..], &[0; 9000]].concat();
    assert!(passed(&[("disk.raw", FILE, &disk)]).unwrap() == disk);
    for (entries, part) in [
        (&[][..], "there is no raw file in it"),
        (&[("disk.qcow2", FILE, &b"x"[..])], "\"disk.qcow2\" does not end in .raw"),
        (
            &[("linux_amd64/disk.raw", FILE, b"x"), ("linux_arm64/disk.raw", FILE, b"x")],
            "there is more than one raw file in it",
        ),
    ] {
        let error = passed(entries).unwrap_err();
        assert!(error.contains(part), "{entries:?}: {error}");
    }
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

/// A stream of a sparse file: records, and its length.
fn sparse_stream(records: &[(u64, &[u8])], len: u64) -> Vec<u8> {
    let mut stream = b"vmimage sparse 1".to_vec();
    for (at, bytes) in records.iter().copied().chain([(len, &b""[..])]) {
        stream.extend([at.to_le_bytes(), (bytes.len() as u64).to_le_bytes()].concat());
        stream.extend(bytes);
    }
    stream
}

#[test]
fn a_stream_becomes_the_file_that_it_is_of() {
    let place = Place::of(&[Format::Raw, Format::Qcow2]);
    let data = [7; 5000];
    let stream = sparse_stream(&[(2 << 20, &data), (4096, &data[..4096])], 8 << 20);
    let entries = [("disk.raw.sparse", FILE, &stream[..]), ("disk.qcow2", FILE, b"as it is")];
    assert_eq!(place.receive(&archive(&entries)).unwrap(), ["web.qcow2", "web.raw"]);
    let mut expected = vec![0; 8 << 20];
    expected[2 << 20..][..5000].fill(7);
    expected[4096..8192].fill(7);
    let path = place.dir.path().join("web.raw");
    assert!(fs::read(&path).unwrap() == expected);
    assert_eq!(fs::metadata(&path).unwrap().blocks() * 512, 3 * 4096);
    assert_eq!(fs::read(place.dir.path().join("web.qcow2")).unwrap(), b"as it is");
}

#[test]
fn a_stream_is_no_second_file_of_its_format_and_must_be_whole() {
    let stream = sparse_stream(&[(0, b"x")], 4096);
    for (bytes, part) in [
        (&stream[..stream.len() - 1], "early: "),
        (&b"a disk, not a stream"[..], "refused: "),
        (&[&stream[..], b"x"].concat(), "refused: "),
        (&sparse_stream(&[(4096, b"x")], 1), "refused: "),
    ] {
        let error = Place::new().receive(&archive(&[("disk.qcow2.sparse", FILE, bytes)])).unwrap_err();
        assert!(error.starts_with(part), "{error}");
    }
    for name in ["disk.qcow2", "linux_amd64/disk.qcow2.sparse"] {
        let entries = [("disk.qcow2.sparse", FILE, &stream[..]), (name, FILE, &stream)];
        let error = Place::new().receive(&archive(&entries)).unwrap_err();
        assert!(error.contains("there is more than one qcow2 file"), "{error}");
    }
    let error = Place::new().receive(&archive(&[("disk.vdi.sparse", FILE, &stream)])).unwrap_err();
    assert!(error.contains("\"disk.vdi\" does not end in .qcow2"), "{error}");
}

#[test]
fn stdout_gets_the_zeroes_that_a_stream_leaves_out() {
    let passed = |stream: &[u8]| {
        let mut out = Vec::new();
        let entries = [("disk.raw.sparse", FILE, stream)];
        match pass_on(&archive(&entries)[..], Format::Raw, &mut out) {
            Ok(()) => Ok(out),
            Err(Undelivered::EndedEarly(error) | Undelivered::Refused(error)) => Err(error.to_string()),
        }
    };
    let mut expected = vec![0; 300_000];
    expected[100_000..100_003].copy_from_slice(b"abc");
    assert!(passed(&sparse_stream(&[(100_000, b"abc")], 300_000)).unwrap() == expected);
    assert_eq!(passed(&sparse_stream(&[(0, b"ab"), (2, b"c")], 3)).unwrap(), b"abc");
    assert_eq!(passed(&sparse_stream(&[], 2)).unwrap(), [0, 0]);
    let error = passed(&sparse_stream(&[(5, b"a"), (0, b"b")], 6)).unwrap_err();
    assert!(error.contains("its stream is not in order"), "{error}");
}

#[test]
fn streams_are_asked_for_where_they_can_be_taken() {
    for (formats, to_stdout, asked) in [
        (&[Format::Raw, Format::Vhdx][..], false, true),
        (&[Format::Raw], true, true),
        (&[Format::Vhd], true, true),
        (&[Format::Vhdx], true, false),
        (&[Format::Ovf], true, false),
    ] {
        assert_eq!(transport(formats, to_stdout).is_some(), asked, "{formats:?}");
    }
}

#[test]
fn an_older_disk_is_replaced_only_by_a_whole_one() {
    let place = Place::new();
    let path = place.dir.path().join("web.qcow2");
    fs::write(&path, "old").unwrap();
    let stream = archive(&[("disk.qcow2", FILE, &[7; 5000])]);
    assert!(store(&stream[..3000], &place.destinations).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(place.receive(&stream).unwrap(), ["web.qcow2"]);
    assert_eq!(fs::read(&path).unwrap(), [7; 5000]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o600, 0o600);
}

#[test]
fn what_is_no_artifact_is_refused() {
    for (entries, part) in [
        (&[("/etc/passwd", FILE, &b"x"[..])][..], "\"/etc/passwd\" leads out of it"),
        (&[("../disk.qcow2", FILE, b"x")], "leads out of it"),
        (&[("linux_amd64/../../disk", FILE, b"x")], "leads out of it"),
        (&[("a/b/disk.qcow2", FILE, b"x")], "is not where an artifact belongs"),
        (&[("etc/passwd", FILE, b"x")], "is not where an artifact belongs"),
        (&[("usr/share/", EntryType::Directory, b"")], "is not where an artifact belongs"),
        (&[("disk.vhdx", FILE, b"x")], "\"disk.vhdx\" does not end in .qcow2"),
        (&[("qcow2", FILE, b"x")], "\"qcow2\" does not end in .qcow2"),
        (&[("disk", EntryType::Symlink, b"")], "is neither a file nor a directory"),
        (&[("disk", EntryType::Link, b"")], "is neither a file nor a directory"),
        (&[("disk", EntryType::Char, b"")], "is neither a file nor a directory"),
        (&[("disk", EntryType::Fifo, b"")], "is neither a file nor a directory"),
        (&[("disk.qcow2", FILE, b"x"), ("disk2.qcow2", FILE, b"x")], "there is more than one qcow2 file"),
        (
            &[("a.qcow2", FILE, b"x"), ("linux_amd64/a.qcow2", FILE, b"x")],
            "there is more than one qcow2 file",
        ),
        (
            &[("linux_amd64/a.qcow2", FILE, b"x"), ("a.qcow2", FILE, b"x")],
            "there is more than one qcow2 file",
        ),
        (
            &[("linux_amd64/a.qcow2", FILE, b"x"), ("linux_amd64/b.qcow2", FILE, b"x")],
            "there is more than one qcow2 file",
        ),
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
    assert_eq!(error, "early: the build's result: is not what was asked for: there is no qcow2 file in it");
    assert!(Place::new().receive(b"not a tar archive at all").unwrap_err().starts_with("early: "));
    assert!(Place::new().receive(&[b'x'; 2048]).is_err());
}

#[test]
fn entries_without_end_are_refused() {
    let folders = vec![("./", EntryType::Directory, &b""[..]); 1000];
    let error = Place::new().receive(&archive(&folders)).unwrap_err();
    assert!(error.starts_with("refused: ") && error.contains("more than 1000 entries"), "{error}");
    let few = [&folders[..900], &[("disk.qcow2", FILE, &b"a disk"[..])]].concat();
    assert_eq!(Place::new().receive(&archive(&few)).unwrap(), ["web.qcow2"]);
}

#[test]
fn a_stream_does_not_make_stdout_endless() {
    let stream = sparse_stream(&[], 1 << 62);
    let entries = [("disk.raw.sparse", FILE, &stream[..])];
    let mut passed = Vec::new();
    let failure = pass_on(&archive(&entries)[..], Format::Raw, &mut passed).unwrap_err();
    assert!(matches!(failure, Undelivered::Refused(_)) && passed.is_empty(), "{failure:?}");
}

#[test]
fn headers_cannot_fill_the_memory() {
    let long = vec![b'x'; 4 << 20];
    let stream = archive(&[("pax", EntryType::XHeader, &long), ("disk.qcow2", FILE, b"x")]);
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
    let destinations = [destination(mount.0.path(), Format::Qcow2)];
    let stream = archive(&[("disk.qcow2", FILE, &vec![7; 3 << 20])]);
    let Err(Undelivered::Refused(error)) = store(&stream[..], &destinations) else { panic!("it fits?") };
    let place = mount.0.path().display();
    assert_eq!(error.to_string(), format!("{place}: no space left: the disk file has 3 MiB, 1 MiB are free"));
    assert_eq!(fs::read_dir(mount.0.path()).unwrap().count(), 0);

    // The same file fits once most of it is zero.
    let mut sparse = vec![0; 3 << 20];
    sparse[1 << 20] = 1;
    finish(store(&archive(&[("disk.qcow2", FILE, &sparse)])[..], &destinations).unwrap());
    assert!(fs::read(mount.0.path().join("web.qcow2")).unwrap() == sparse);
}

/// A raw disk arrives, with its zeroes or without, and becomes a qcow2 over its base.
#[test]
fn a_disk_over_a_base_is_written_as_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let [old, new] = [1, 2].map(|version| {
        let mut bytes = vec![7_u8; 3 << 20];
        bytes[1 << 20..2 << 20].fill(version);
        bytes[2 << 20..].fill(version - 1);
        bytes
    });
    fs::write(dir.path().join("old.raw"), &old).unwrap();
    fs::write(dir.path().join("expected.raw"), &new).unwrap();
    let stream: Vec<u8> =
        [&b"vmimage sparse 1"[..], &0_u64.to_le_bytes(), &(3_u64 << 20).to_le_bytes(), &new]
            .into_iter()
            .chain([&(3_u64 << 20).to_le_bytes()[..], &[0; 8]])
            .flatten()
            .copied()
            .collect();
    for (name, bytes) in [("disk.raw", &new), ("disk.raw.sparse", &stream)] {
        let path = dir.path().join("new.qcow2");
        let base = Base::open(&dir.path().join("old.raw"), &path).unwrap();
        let destination = Destination::new(&path, Format::Qcow2).unwrap().over(base, Compression::None);
        let arrived = store(&archive(&[(name, FILE, bytes)])[..], &[destination]).unwrap();
        let made = persist(arrived).unwrap();
        assert!(!made[0].to_string().contains("vmimage run"), "{}", made[0]);
        let [new, expected] = ["new.qcow2", "expected.raw"].map(|name| dir.path().join(name));
        for args in [&["check"][..], &["compare", "-f", "qcow2", "-F", "raw"]] {
            let mut command = Command::new("qemu-img");
            command.args(args).arg(&new);
            if args.len() > 1 {
                command.arg(&expected);
            }
            let said = command.output().unwrap();
            assert!(said.status.success(), "{said:?}");
        }
        assert!(fs::metadata(&new).unwrap().len() < 3 << 20, "what is alike is in the base alone");
    }
    let base = Base::open(&dir.path().join("old.raw"), &dir.path().join("b.qcow2")).unwrap();
    let destination = Destination::new(&dir.path().join("b.qcow2"), Format::Qcow2).unwrap();
    let destination = destination.over(base, Compression::None);
    let cut = &stream[..stream.len() - 20];
    store(&archive(&[("disk.raw.sparse", FILE, cut)])[..], std::slice::from_ref(&destination)).unwrap_err();
    store(&archive(&[("disk.qcow2", FILE, &old)])[..], std::slice::from_ref(&destination)).unwrap_err();
    assert!(!dir.path().join("b.qcow2").exists());
}
