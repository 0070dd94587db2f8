//! Streams as BuildKit sends them, and streams nobody should send.

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

/// A package in a folder of that name.
fn package(names: &[String; 3]) -> [(&str, EntryType, &[u8]); 3] {
    let [descriptor, disk, manifest] = names.each_ref().map(String::as_str);
    [(disk, FILE, b"vmdk"), (manifest, FILE, b"digests"), (descriptor, FILE, b"xml")]
}

fn names_in(folder: &str) -> [String; 3] {
    ["web.ovf", "web-disk1.vmdk", "web.mf"].map(|name| format!("{folder}/{name}"))
}

fn listing(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_gets_the_name_with_all_its_files() {
    let place = Place::of(&[Format::Qcow2, Format::Ovf]);
    let names = names_in("./disk-ovf");
    let folder = ("disk-ovf/", EntryType::Directory, &b""[..]);
    let entries = [&[folder][..], &package(&names), &[("disk.qcow2", FILE, b"a disk")]].concat();
    assert_eq!(place.receive(&archive(&entries)).unwrap(), ["web-ovf", "web.qcow2"]);
    let folder = place.dir.path().join("web-ovf");
    assert_eq!(listing(&folder), ["web-disk1.vmdk", "web.mf", "web.ovf"]);
    assert_eq!(fs::read(folder.join("web-disk1.vmdk")).unwrap(), b"vmdk");
    assert_eq!(fs::metadata(folder.join("web.ovf")).unwrap().permissions().mode() & 0o111, 0);
}

#[test]
fn each_platform_has_a_folder() {
    let place = Place::of(&[Format::Ovf]);
    let names = ["linux_amd64/disk-ovf", "linux_arm64/disk-ovf"].map(names_in);
    let entries = names.iter().flat_map(package).collect::<Vec<_>>();
    assert_eq!(place.receive(&archive(&entries)).unwrap(), ["web-ovf-linux-amd64", "web-ovf-linux-arm64"]);
}

#[test]
fn a_folder_is_whole_or_is_not_there() {
    let names = names_in("disk-ovf");
    for missing in 0..3 {
        let entries: Vec<_> = (0..3).filter(|at| *at != missing).map(|at| package(&names)[at]).collect();
        let error = Place::of(&[Format::Ovf]).receive(&archive(&entries)).unwrap_err();
        assert!(error.starts_with("early: ") && error.contains("there is no *"), "{error}");
    }
    let whole = archive(&package(&names));
    for len in [512, 700, 1100, 2000] {
        assert!(
            Place::of(&[Format::Ovf]).receive(&whole[..len]).unwrap_err().starts_with("early: "),
            "{len}"
        );
    }
    let error = Place::of(&[Format::Ovf]).receive(&archive(&[])).unwrap_err();
    assert!(error.ends_with("there is no ovf folder in it"), "{error}");
}

#[test]
fn an_update_arrives_with_kernels_or_without() {
    let names =
        ["SHA256SUMS", "kiosk_1.root.zst", "kiosk_1.root.index", "manifest.json", "kiosk_1.boot.tar.zst"];
    let paths = names.map(|name| format!("disk-update/{name}"));
    let entries = paths.each_ref().map(|path| (&**path, FILE, &b"x"[..]));
    let place = Place::of(&[Format::Update]);
    for count in [4, 5] {
        assert_eq!(place.receive(&archive(&entries[..count])).unwrap(), ["web-update"]);
        assert_eq!(listing(&place.dir.path().join("web-update")).len(), count);
    }
    for (count, missing) in [(3, "manifest.json"), (2, "*.root.index")] {
        let error = Place::of(&[Format::Update]).receive(&archive(&entries[..count])).unwrap_err();
        assert!(error.ends_with(&format!("there is no {missing} in the update folder")), "{error}");
    }
}

#[test]
fn only_an_earlier_folder_is_replaced() {
    let place = Place::of(&[Format::Ovf]);
    let names = names_in("disk-ovf");
    let stream = archive(&package(&names));
    let folder = place.dir.path().join("web-ovf");
    for _ in 0..2 {
        assert_eq!(place.receive(&stream).unwrap(), ["web-ovf"]);
    }
    let old = fs::read(folder.join("web.mf")).unwrap();
    assert!(store(&stream[..1500], &place.destinations).is_err());
    assert_eq!((fs::read(folder.join("web.mf")).unwrap(), listing(place.dir.path()).len()), (old, 1));

    fs::write(folder.join("notes.txt"), "mine").unwrap();
    let Err(Undelivered::Refused(error)) = store(&stream[..], &place.destinations) else {
        panic!("replaced?")
    };
    assert!(error.to_string().contains("holds \"notes.txt\", which is not of an earlier ovf"), "{error}");
    assert_eq!(fs::read(folder.join("notes.txt")).unwrap(), b"mine");
}

#[test]
fn a_folder_that_comes_in_between_is_not_lost() {
    let place = Place::of(&[Format::Ovf]);
    let names = names_in("disk-ovf");
    let arrived = store(&archive(&package(&names))[..], &place.destinations).unwrap();
    let folder = place.dir.path().join("web-ovf");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    let failed = arrived.into_iter().try_for_each(|artifact| artifact.output.persist());
    assert!(failed.unwrap_err().to_string().contains("notes.txt"));
    assert_eq!(
        (listing(place.dir.path()), listing(&folder)),
        (vec!["web-ovf".into()], vec!["notes.txt".into()])
    );
}

#[test]
fn what_is_not_of_the_folder_is_refused() {
    let names = names_in("disk-ovf");
    let package = package(&names);
    for (entry, part) in [
        (("disk-ovf/web.mf", FILE, &b"x"[..]), "\"web.mf\" is there twice"),
        (("disk-ovf/other.mf", FILE, b"x"), "\"other.mf\" is not of the same name as the others"),
        (("disk-ovf/.bashrc", FILE, b"x"), "\".bashrc\" is no file of ovf"),
        (("disk-ovf/..", FILE, b"x"), "leads out of it"),
        (("disk-ovf/../web.mf", FILE, b"x"), "leads out of it"),
        (("/disk-ovf/web.mf", FILE, b"x"), "leads out of it"),
        (("disk-ovf/more/web.mf", FILE, b"x"), "is not where an artifact belongs"),
        (("disk-ovf/more/", EntryType::Directory, b""), "is not where an artifact belongs"),
        (("disk-ovf/link.mf", EntryType::Symlink, b""), "is neither a file nor a directory"),
        (("disk-ovf/web.ovf", EntryType::Link, b""), "is neither a file nor a directory"),
        (("disk-ovf/null", EntryType::Char, b""), "is neither a file nor a directory"),
        (("disk-ovf", FILE, b"x"), "\"disk-ovf\" is not in a folder"),
        (("other-ovf/web.mf", FILE, b"x"), "there is more than one ovf folder"),
        (("linux_amd64/disk-ovf/web.mf", FILE, b"x"), "there is more than one ovf folder"),
        (("etc/web.mf", FILE, b"x"), "\"etc/web.mf\" is not where an artifact belongs"),
    ] {
        let place = Place::of(&[Format::Ovf]);
        let entries = [&package[..], &[entry]].concat();
        let error = place.receive(&archive(&entries)).unwrap_err();
        assert!(error.starts_with("refused: ") && error.contains(part), "{entry:?}: {error}");
        let mut out = Vec::new();
        assert!(pass_on(&archive(&entries)[..], Format::Ovf, &mut out).is_err(), "{entry:?}");
    }
    // A file of that name is no folder, and the other way round.
    let error = Place::new().receive(&archive(&[("disk.qcow2/web.ovf", FILE, b"x")])).unwrap_err();
    assert!(error.contains("is not where an artifact belongs"), "{error}");
}

#[test]
fn stdout_gets_a_folder_as_an_archive() {
    let names = names_in("disk-ovf");
    let package = package(&names);
    let mut out = Vec::new();
    pass_on(&archive(&package)[..], Format::Ovf, &mut out).unwrap();
    let mut passed = tar::Archive::new(&out[..]);
    let members = passed.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap(), content)
    });
    let member = |name: &str, content: &str| (name.to_owned(), 0o644, content.to_owned());
    let expected = [member("web-disk1.vmdk", "vmdk"), member("web.mf", "digests"), member("web.ovf", "xml")];
    assert_eq!(members.collect::<Vec<_>>(), expected);
    assert!(pass_on(&archive(&package[..2])[..], Format::Ovf, &mut Vec::new()).is_err());
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
