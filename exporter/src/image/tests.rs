//! Tree → image → tree, by the reader of images and by GNU tar.

use std::num::NonZeroUsize;
use std::process::Command;

use super::*;
use crate::input::{self, Input, Location, Platform};
use crate::tree::testing::tree;
use crate::tree::{Detail, Device, Inode, InodeKind, Meta, Time};

fn write_to(folder: &Path, tree: &Tree, config: Option<&Value>) -> Result<Written> {
    let image = SingleLayerImage { tree, config, architecture: Architecture::X86_64, name: "example/app:v1" };
    write(folder, &image, &AtomicBool::new(false), &|_| {})
}

fn read(folder: &Path) -> input::Loaded {
    let layout = Input { location: Location::OciLayout(folder.into()), reference: Some("v1".into()) };
    let options = input::Options {
        platform: &Platform::linux("amd64"),
        threads: NonZeroUsize::MIN,
        spool: folder,
        progress: &|_| {},
    };
    input::read(&layout, &options).unwrap()
}

/// All that an inode can be and have.
fn everything() -> Tree {
    let long = format!("/{}/{}", "d".repeat(200), "f".repeat(250));
    let mut tree = tree(&[
        ("/etc/", ""),
        ("/etc/hostname", "web\n"),
        ("/empty", ""),
        ("/link", "-> etc/hostname"),
        (&long, "far down"),
        (&format!("{long}-link"), &format!("-> {}", "t".repeat(300))),
    ]);
    let root = Tree::ROOT;
    for (name, kind) in [
        (&b"fifo"[..], InodeKind::Fifo),
        (b"null", InodeKind::CharDevice(Device { major: 1, minor: 3 })),
        (b"sda", InodeKind::BlockDevice(Device { major: 259, minor: 70_000 })),
        (b"latin-1-\xe4", InodeKind::Fifo),
        (b"line\nbreak", InodeKind::Fifo),
    ] {
        tree.insert(root, name, Inode { meta: Meta { permissions: 0o640, ..Meta::default() }, kind });
    }
    let file = tree.lookup("/etc/hostname").unwrap();
    let meta = &mut tree.inode_mut(file).meta;
    (meta.permissions, meta.uid, meta.gid) = (0o6755, 4_000_000_000, 3_000_000);
    meta.mtime = Time { seconds: 981_173_106, nanoseconds: 789_012_345 };
    meta.xattrs.insert(b"user.note"[..].into(), b"a=b\nc\0d"[..].into());
    meta.xattrs.insert(b"user.a=b%3D%"[..].into(), b"=%3D"[..].into());
    meta.xattrs.insert(b"user.empty"[..].into(), b""[..].into());
    // A length whose own digits push it over a power of ten.
    for len in 60..100 {
        meta.xattrs.insert(format!("user.{len}").into_bytes().into(), vec![0xff; len].into());
    }
    for (name, seconds, nanoseconds) in [("/empty", -2, 500_000_000), ("/link", 1 << 36, 0), ("/etc", -1, 1)]
    {
        let id = tree.lookup(name).unwrap();
        tree.inode_mut(id).meta.mtime = Time { seconds, nanoseconds };
    }
    tree.link(root, b"another name", file);
    tree
}

#[test]
fn nothing_of_a_tree_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let tree = everything();
    write_to(folder.path(), &tree, None).unwrap();
    let loaded = read(folder.path());
    let dump = |tree: &Tree| tree.dump(Detail::default()).unwrap();
    assert_eq!(dump(&loaded.tree), dump(&tree));
}

#[test]
fn tar_reads_the_layer() {
    let folder = tempfile::tempdir().unwrap();
    write_to(folder.path(), &everything(), None).unwrap();
    let blobs = std::fs::read_dir(folder.path().join(BLOBS)).unwrap();
    let layer = blobs.map(|blob| blob.unwrap().path()).max_by_key(|path| path.metadata().unwrap().len());
    let listed = Command::new("tar")
        .args(["--numeric-owner", "--xattrs", "-tvvf"])
        .arg(layer.unwrap())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&listed.stdout);
    assert!(listed.status.success() && listed.stderr.is_empty(), "{listed:?}");
    assert!(text.contains("user.a=b%3D%\n"), "{text}");
    assert!(
        text.contains("4000000000/3000000") && text.contains("etc/hostname link to another name"),
        "{text}"
    );
}

#[test]
fn the_configuration_arrives_but_for_its_layers() {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2001-02-03T04:05:06Z",
        "config": { "Entrypoint": ["/app"], "Healthcheck": { "Test": ["NONE"] }, "OnBuild": ["RUN x"] },
        "rootfs": { "type": "layers", "diff_ids": ["sha256:00", "sha256:01"] },
        "history": [{}, {}],
    });
    let written = write_to(folder.path(), &everything(), Some(&config)).unwrap();
    let arrived = read(folder.path()).config_json.unwrap();
    assert_eq!(arrived["created"], config["created"]);
    assert_eq!(arrived["config"], json!({ "Entrypoint": ["/app"], "Healthcheck": { "Test": ["NONE"] } }));
    assert_eq!(arrived["rootfs"]["diff_ids"].as_array().unwrap().len(), 1);

    let again = tempfile::tempdir().unwrap();
    assert_eq!(write_to(again.path(), &everything(), Some(&config)).unwrap(), written);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(write_to(other.path(), &everything(), None).unwrap(), written);
}

#[test]
fn what_would_remove_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = write_to(folder.path(), &tree(&[("/etc/.wh.passwd", "")]), None).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().starts_with("/etc/.wh.passwd: ")),
        (&Kind::Unsupported, true)
    );
}

#[test]
fn it_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let tree = everything();
    let image =
        SingleLayerImage { tree: &tree, config: None, architecture: Architecture::X86_64, name: "a:b" };
    let error = write(folder.path(), &image, &AtomicBool::new(true), &|_| {}).unwrap_err();
    assert_eq!(error.kind(), &Kind::Interrupted);
}
