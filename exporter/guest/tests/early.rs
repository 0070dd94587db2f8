//! The program on a root of the kernel's: a tmpfs in namespaces of its own, with busybox as the init. Needs root.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

mod support;

/// Mount a root, fill it from the folder `$1/image`, and start the program in it as the kernel does; `/out` is another
/// file system in it.
const MACHINE: &str = r#"
mount -t tmpfs root "$1/root"
cp -a "$1/image/." "$1/root/"
mount --bind "$1/out" "$1/root/out"
mount -t tmpfs -o mode=700 initramfs "$1/root/run"
exec chroot "$1/root" /usr/lib/vmimage/early one "two three"
"#;

/// Tells what a machine sees.
const INIT: &str = r#"#!/bin/busybox sh
tell() { echo "$*" >>/out/facts; }
writes() { if echo new 2>/dev/null >"$1"; then tell "$1 is written"; else tell "$1 is read-only"; fi; }
tell "started with $# words, $2"
tell "root $(sed -n 's/^\([a-z]*\) \/ .*/\1/p' /proc/mounts | tail -n 1)"
writes /etc/settings
writes /var/lib/state
writes /run/socket
tell "var $(stat -c '%u %a' /var) tmp $(stat -c %a /tmp) run $(stat -c %a /run)"
tell "below $(cat /etc/kept /var/lib/kept | tr '\n' ' ')"
tell "program $(ls /usr/lib/vmimage | tr '\n' ' ')"
"#;

/// What a machine tells whose program is told this; and what the kernel's log would have.
fn facts(config: &str) -> (String, String) {
    let scratch = tempfile::tempdir().unwrap();
    let image = scratch.path().join("image");
    for folder in ["root", "out"] {
        fs::create_dir(scratch.path().join(folder)).unwrap();
    }
    support::root(&image, config, INIT);
    for (file, text) in [("etc/kept", "etc\n"), ("etc/settings", "old\n"), ("var/lib/kept", "var\n")] {
        fs::write(image.join(file), text).unwrap();
    }
    for (path, mode) in [("tmp", 0o1777), ("var", 0o711)] {
        fs::set_permissions(image.join(path), Permissions::from_mode(mode)).unwrap();
    }
    std::os::unix::fs::chown(image.join("var"), Some(33), Some(33)).unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "sh", "-ec", MACHINE, "sh"])
        .arg(scratch.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (fs::read_to_string(scratch.path().join("out/facts")).unwrap_or_default(), said)
}

#[test]
fn all_of_the_root_is_written_to_memory() {
    let (facts, said) = facts(r#"{"volatile":["/"],"init":"/sbin/init"}"#);
    let expected = "\
started with 2 words, two three
root overlay
/etc/settings is written
/var/lib/state is written
/run/socket is written
var 33 711 tmp 1777 run 700
below etc var 
program early early.json 
";
    assert_eq!(facts, expected, "{said}");
}

#[test]
fn of_a_root_that_is_only_read_some_folders_are_written_to_memory() {
    let (facts, said) = facts(r#"{"volatile":["/var","/tmp","/run"],"init":"/sbin/init"}"#);
    let expected = "\
started with 2 words, two three
root root
/etc/settings is read-only
/var/lib/state is written
/run/socket is written
var 33 711 tmp 1777 run 755
below etc var 
program early early.json 
";
    assert_eq!(facts, expected, "{said}");
}

/// Not another machine than was asked for.
#[test]
fn where_a_step_fails_nothing_is_started() {
    for config in [
        r#"{"volatile":["/nowhere"],"init":"/sbin/init"}"#,
        r#"{"volatile":["/"],"init":"/sbin/nothing"}"#,
        r#"{"volatile":["/"]}"#,
    ] {
        assert_eq!(facts(config).0, "", "{config}");
    }
}
