//! Formats that are folders.

use super::*;

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
