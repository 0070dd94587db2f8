use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::files::System;
use super::*;
use crate::medium::install::config::{Config, Layer};

const CONFIG: &str = "hostname = 'web'\nroot-password = '$6$a$b'\nssh-keys = ['ssh-ed25519 AAAA me']\n\
    [[interfaces]]\nname = 'eth0'\naddresses = ['10.0.2.50/24']\n";

/// A folder with these files.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn root() -> TempDir {
    tree(&[
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("etc/shadow", "root:*:19000:0:99999:7:::\n"),
        ("etc/hosts", "127.0.0.1 localhost\n"),
        ("root/.profile", ""),
    ])
}

fn seed(root: &Path, persist: Option<&Path>) -> Result<Vec<String>, String> {
    let config = Config::of(vec![Layer::parse("t", CONFIG.as_bytes()).unwrap()]).unwrap();
    write(&config, &System::open(root, persist)?, "networkd")
}

fn text(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether files may be given to others, as the installer may.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_system_gets_its_name_its_keys_and_its_network() {
    if !is_root() {
        return;
    }
    let folder = root();
    let root = folder.path();
    fs::set_permissions(root.join("etc/shadow"), fs::Permissions::from_mode(0o640)).unwrap();
    let notes = seed(root, None).unwrap();
    assert_eq!(notes.len(), 4, "{notes:?}");
    assert_eq!(text(root, "etc/hostname"), "web\n");
    assert_eq!(text(root, "etc/hosts"), "127.0.0.1 localhost\n127.0.1.1\tweb\n");
    assert_eq!(text(root, "etc/shadow"), "root:$6$a$b:19000:0:99999:7:::\n");
    assert_eq!(text(root, "root/.ssh/authorized_keys"), "ssh-ed25519 AAAA me\n");
    assert!(text(root, "etc/systemd/network/04-installed-00.network").contains("Address=10.0.2.50/24\n"));
    let mode = |path: &str| fs::metadata(root.join(path)).unwrap().mode() & 0o7777;
    assert_eq!(
        (mode("etc/shadow"), mode("root/.ssh"), mode("root/.ssh/authorized_keys")),
        (0o640, 0o700, 0o600)
    );
    // Once more it is the same.
    seed(root, None).unwrap();
    assert_eq!(text(root, "root/.ssh/authorized_keys"), "ssh-ed25519 AAAA me\n");
    assert_eq!(text(root, "etc/hosts"), "127.0.0.1 localhost\n127.0.1.1\tweb\n");
}

#[test]
fn links_of_a_system_lead_nowhere_else() {
    if !is_root() {
        return;
    }
    let (folder, outside) = (root(), tree(&[("hostname", "host\n"), ("ssh/x", "")]));
    let root = folder.path();
    symlink(outside.path().join("hostname"), root.join("etc/hostname")).unwrap();
    symlink(outside.path().join("ssh"), root.join("root/.ssh")).unwrap();
    let _ = seed(root, None);
    assert_eq!(text(outside.path(), "hostname"), "host\n");
    assert_eq!(fs::read_dir(outside.path().join("ssh")).unwrap().count(), 1);
    assert_eq!(text(root, "etc/hostname"), "web\n");
}

#[test]
fn what_is_kept_lies_beside_a_root_that_is_only_read() {
    if !is_root() {
        return;
    }
    let (folder, persist) = (root(), tempfile::tempdir().unwrap());
    let (root, kept) = (folder.path(), persist.path());
    let early = r#"{"volatile":[],"init":"/sbin/init","persist":{"label":"persist","at":"/persist","overlay":["/etc"],
        "bind":["/root"],"create":[],"grows":true}}"#;
    fs::create_dir_all(root.join("usr/lib/vmimage")).unwrap();
    fs::write(root.join("usr/lib/vmimage/early.json"), early).unwrap();
    seed(root, Some(kept)).unwrap();
    assert_eq!(text(kept, "overlay/etc/hostname"), "web\n");
    assert_eq!(text(kept, "overlay/etc/shadow"), "root:$6$a$b:19000:0:99999:7:::\n");
    assert_eq!(text(kept, "bind/root/.ssh/authorized_keys"), "ssh-ed25519 AAAA me\n");
    // All that the image has there goes along, since nothing of it is seen through.
    assert_eq!(text(kept, "bind/root/.profile"), "");
    assert!(!root.join("etc/hostname").exists() && !root.join("root/.ssh").exists());
    assert_eq!(text(root, "etc/shadow"), "root:*:19000:0:99999:7:::\n");
}

#[test]
fn what_has_no_place_is_refused_before_anything_is_written() {
    let check = |text: &str, target: &str| {
        let config = Config::of(vec![Layer::parse("t", text.as_bytes()).unwrap()]).unwrap();
        let text = format!(r#"{{"version":1,"id":"x","name":"web"{target}}}"#);
        super::check(
            &config,
            crate::medium::manifest::Manifest::parse(text.as_bytes()).unwrap().target.as_ref(),
        )
    };
    let root =
        |kind: &str, more: &str| format!(r#","target":{{"root":{{"partition":2,"type":"{kind}"}}{more}}}"#);
    let persist = r#","persist":{"partition":3,"type":"ext4"},"network":"networkd""#;
    assert_eq!(check("", ""), Ok(()));
    assert_eq!(check(CONFIG, &root("ext4", r#","network":"networkd""#)), Ok(()));
    assert_eq!(check(CONFIG, &root("erofs", persist)), Ok(()));
    assert!(check(CONFIG, "").unwrap_err().contains("does not say where the root is"));
    assert!(check(CONFIG, &root("erofs", "")).unwrap_err().contains("erofs, is only read"));
    assert!(check(CONFIG, &root("ext4", "")).unwrap_err().contains("nobody that is known here"));
}

#[test]
fn what_is_missing_is_named() {
    let no_root = tree(&[("etc/shadow", "daemon:*:1::::::\n")]);
    let system = System::open(no_root.path(), None).unwrap();
    assert!(access::password(&system, "root", "$6$a").unwrap_err().contains("/etc/shadow: has no user root"));
    assert!(access::ssh_keys(&system, "root", &[]).unwrap_err().contains("/etc/passwd: the system has none"));
    let none = tempfile::tempdir().unwrap();
    let system = System::open(none.path(), None).unwrap();
    assert!(access::password(&system, "root", "$6$a").unwrap_err().contains("the system has none"));
    // A directory is no file, and a pipe is not waited for.
    fs::create_dir_all(none.path().join("etc/shadow")).unwrap();
    assert!(access::password(&system, "root", "$6$a").unwrap_err().contains("is no file"));
}
