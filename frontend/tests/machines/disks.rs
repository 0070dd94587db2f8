//! What machines write, and what is made of it: any number of them lie over one base, which stays as it is.

use std::fs;

use crate::lab::{Lab, bytes, fed, tool};

/// Where the machine of these tests writes, and what.
const WRITTEN: std::ops::Range<usize> = 65536..131_072;

#[test]
fn machines_of_one_base_write_to_disks_of_their_own() {
    let lab = Lab::new();
    let base = lab.path("vm/root.raw");
    let before = bytes(&base);
    for name in ["a", "b", "c"] {
        let mut command = lab.command(&["run", "-d", "--name", name, "vm"]);
        if name == "b" {
            command.env("MACHINE", "writes");
        }
        assert!(command.status().unwrap().success());
    }
    lab.done(&["stop", "a", "b", "c"]);
    for (name, is_as_before) in [("a", true), ("b", false), ("c", true)] {
        let overlay = lab.machine(name).join("root.qcow2");
        let raw = lab.path("seen.raw");
        assert!(tool("qemu-img", &["check", overlay.to_str().unwrap()]).contains("No errors"));
        tool("qemu-img", &["convert", "-O", "raw", overlay.to_str().unwrap(), raw.to_str().unwrap()]);
        let seen = bytes(&raw);
        assert_eq!(seen == before, is_as_before, "{name}");
        assert_eq!(seen[WRITTEN].iter().all(|byte| *byte == 7), !is_as_before, "{name}");
    }
    assert!(bytes(&base) == before, "the base was written to");
    // What a machine has written fits to no other base.
    fs::write(&base, &before).unwrap();
    let error = lab.refused(&["start", "a"]);
    assert!(error.contains("root.raw: has changed since the machine was made of it\nhint: "), "{error}");
}

#[test]
fn what_a_machine_has_become_is_saved_as_another_disk() {
    let lab = Lab::new();
    let before = bytes(&lab.path("vm/root.raw"));
    for name in ["tried.raw", "tried.qcow2", "tried.vmdk"] {
        let mut command = lab.command(&["run", "vm", "--save", name]);
        let ended = fed(command.env("MACHINE", "writes"), "exit 3\n");
        assert_eq!(ended.status.code(), Some(3), "{ended:?}");
        let raw = lab.path("seen");
        tool("qemu-img", &["convert", "-O", "raw", lab.path(name).to_str().unwrap(), raw.to_str().unwrap()]);
        let seen = bytes(&raw);
        assert!(seen[WRITTEN].iter().all(|byte| *byte == 7), "{name}");
        assert!(
            seen[..WRITTEN.start] == before[..WRITTEN.start]
                && seen[WRITTEN.end..before.len()] == before[WRITTEN.end..]
        );
        assert_eq!(lab.done(&["ps", "-aq"]), "", "it had no name");
    }
    assert!(bytes(&lab.path("vm/root.raw")) == before);
    let error = lab.refused(&["run", "vm", "--save", "tried.floppy"]);
    assert!(
        error.contains("--save tried.floppy: its extension tells no format of a disk\nhint: "),
        "{error}"
    );
}

#[test]
fn what_a_machine_has_written_is_committed_where_nobody_else_lies_over_it() {
    let lab = Lab::new();
    let before = bytes(&lab.path("vm/root.raw"));
    lab.start("other");
    lab.done(&["stop", "other"]);
    let error = lab.refused(&["run", "--name", "web", "vm", "--commit"]);
    assert!(error.contains("--commit: other lies over ") && error.contains("\nhint: "), "{error}");
    lab.done(&["rm", "other"]);
    let mut command = lab.command(&["run", "--name", "web", "vm", "--commit"]);
    let ended = fed(command.env("MACHINE", "writes"), "exit 0\n");
    assert!(ended.status.success(), "{ended:?}");
    let after = bytes(&lab.path("vm/root.raw"));
    assert!(after[WRITTEN].iter().all(|byte| *byte == 7) && after[WRITTEN.end..] == before[WRITTEN.end..]);
    // It goes on over what its base is now.
    lab.done(&["start", "web"]);
    assert_eq!(lab.ps("web")["state"], "running");
}

/// A disk of any format, by its own name; the firmware's variables are not kept.
#[test]
fn a_disk_stays_as_a_microvm_does() {
    let lab = Lab::new();
    for (driver, name) in [("raw", "disk.raw"), ("qcow2", "a,b.qcow2"), ("vdi", "disk.vdi")] {
        let path = lab.path(name);
        tool("qemu-img", &["create", "-q", "-f", driver, path.to_str().unwrap(), "64M"]);
        let before = bytes(&path);
        let mut command = lab.command(&["run", "-d", "--name", "web", "--bios", name]);
        assert!(command.env("MACHINE", "writes").status().unwrap().success());
        assert_eq!(lab.done(&["exec", "web", "echo", "there"]), "there\n");
        lab.done(&["stop", "web"]);
        let row = lab.ps("web");
        assert_eq!((&row["kind"], &row["status"]), (&"disk".into(), &0.into()), "{row}");
        let overlay = lab.machine("web").join("overlay.qcow2");
        let info = tool("qemu-img", &["info", "--output=json", overlay.to_str().unwrap()]);
        assert!(info.contains(&format!("\"backing-filename-format\": \"{driver}\"")), "{info}");
        assert!(bytes(&path) == before);
        lab.done(&["rm", "web"]);
    }
}
