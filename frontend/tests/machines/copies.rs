//! `vmimage cp`: into a machine that runs, out of one that does or does not, and out of a disk.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::lab::{Lab, tool};

#[test]
fn files_go_into_a_machine_that_runs_and_out_of_it() {
    let lab = Lab::new();
    lab.start("web");
    let guest = lab.machine("web").join("guest");
    fs::create_dir_all(guest.join("srv")).unwrap();
    fs::create_dir_all(lab.path("site/below")).unwrap();
    fs::write(lab.path("site/page"), "page").unwrap();
    fs::write(lab.path("site/below/deep"), "deep").unwrap();
    let read = |name: &str| fs::read_to_string(guest.join(name)).unwrap();
    // Into a folder that is there, by a new name, and what is in it alone.
    lab.done(&["cp", "site", "web:/srv"]);
    assert_eq!(read("srv/site/below/deep"), "deep");
    lab.done(&["cp", "site", "web:/srv/new"]);
    assert_eq!(read("srv/new/page"), "page");
    lab.done(&["cp", "site/.", "web:/srv/"]);
    assert_eq!(read("srv/page"), "page");
    lab.done(&["cp", "site/page", "web:/srv/other"]);
    assert_eq!(read("srv/other"), "page");
    lab.done(&["cp", "web:/srv/site", "back"]);
    assert_eq!(fs::read_to_string(lab.path("back/below/deep")).unwrap(), "deep");
    fs::create_dir(lab.path("there")).unwrap();
    lab.done(&["cp", "web:/srv/other", "there"]);
    assert_eq!(fs::read_to_string(lab.path("there/other")).unwrap(), "page");
    lab.done(&["cp", "web:/srv/site/.", "there"]);
    assert_eq!(fs::read_to_string(lab.path("there/page")).unwrap(), "page");
    for (words, part) in [
        (["cp", "web:/missing", "x"], "web: /missing: "),
        (["cp", "missing", "web:/srv"], "missing: cannot be read"),
        (["cp", "site", "web:/no/where"], "web: "),
        (["cp", "site", "web:/nowhere/"], "web: /nowhere/: there is no such folder"),
        (["cp", "site", "there"], "both sides are of this host"),
        (["cp", "web:/srv", "web:/tmp"], "no side is of this host"),
        (["cp", "nobody:/srv", "there"], "nobody: there is no machine and no disk of that name"),
        (["cp", "web:/srv", "no/where"], "no/where: there is no such folder"),
        (["cp", "site", "./vm/root.raw:/srv"], "nothing is copied into a disk that no machine runs"),
    ] {
        let told = lab.refused(&words);
        assert!(told.contains(part), "{words:?}: {told}");
    }
}

/// Links on the way are gone through, further names of files elsewhere are files, and holes are zeros.
fn check_out_of(lab: &Lab, place: &str) {
    let to = lab.path("out");
    let _ = fs::remove_dir_all(&to);
    fs::create_dir(&to).unwrap();
    let copy = |path: &str, to: &str| lab.done(&["cp", &format!("{place}:{path}"), to]);
    copy("/data/rows", "out");
    assert_eq!(fs::read_to_string(to.join("rows")).unwrap(), "1\n2\n");
    copy("/srv", "out/all");
    let names = |path: &str| {
        let mut names: Vec<_> = fs::read_dir(to.join(path))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("all"), ["data", "holes", "link"]);
    assert_eq!(fs::read_to_string(to.join("all/data/rows")).unwrap(), "1\n2\n");
    let again = ["again", "once more"].map(|name| to.join("all/data").join(name));
    assert_eq!(again.each_ref().map(|path| fs::read_to_string(path).unwrap()), ["twice", "twice"]);
    assert_eq!(fs::metadata(&again[0]).unwrap().ino(), fs::metadata(&again[1]).unwrap().ino());
    copy("/srv/data/again", "out/single");
    assert_eq!(fs::read_to_string(to.join("single")).unwrap(), "twice");
    assert_eq!(fs::read_link(to.join("all/link")).unwrap().to_str(), Some("/etc/passwd"));
    let holes = fs::read(to.join("all/holes")).unwrap();
    assert!(holes.len() == 1 << 20 && holes[1 << 19..].starts_with(b"middle"));
    assert_eq!(holes.iter().filter(|byte| **byte != 0).count(), 6);
    copy("/.", "out/root");
    assert_eq!(names("root"), ["data", "etc", "first", "srv"]);
    let of = |path: &str| fs::metadata(to.join("root").join(path)).unwrap();
    assert_eq!((of("etc/rows").nlink(), of("etc/rows").ino()), (2, of("srv/data/rows").ino()));
    for (path, part) in [("/missing", "/missing: is not there"), ("/etc/rows/below", "is not there")] {
        let told = lab.refused(&["cp", &format!("{place}:{path}"), "out"]);
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn files_come_out_of_a_machine_that_does_not_run() {
    let lab = Lab::new();
    lab.start("web");
    lab.done(&["stop", "web"]);
    // As a machine writes: into its own disk.
    let overlay = lab.machine("web").join("root.qcow2");
    tool("qemu-io", &["-c", "read -P 0 0 1024", overlay.to_str().unwrap()]);
    check_out_of(&lab, "web");
    let told = lab.refused(&["cp", "vm", "web:/srv"]);
    assert!(
        told.contains("web: does not run, and nothing is copied into its disk\nhint: start it first"),
        "{told}"
    );
}

#[test]
fn files_come_out_of_a_disk_and_of_one_that_lies_over_it() {
    let lab = Lab::new();
    check_out_of(&lab, "vm/root.raw");
    let over = lab.path("vm/over.qcow2");
    tool("qemu-img", &["create", "-q", "-f", "qcow2", "-b", "root.raw", "-F", "raw", over.to_str().unwrap()]);
    check_out_of(&lab, "./vm/over.qcow2");
}
