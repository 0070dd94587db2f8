//! What is kept beside a root that is only read: what the program before the init is told, and what the disk has for it.

use std::num::NonZeroUsize;

use exporter::assemble::plan;
use exporter::container::Format;
use exporter::engine::Run;
use exporter::spec::{Container, Init, Size, Spec, Volatile};
use exporter::tree::{Editor, Time, Tree};

use crate::inputs::{self, MIB, input};
use crate::layouts::Disk;

const LAYOUT: &str = r#"{"preset":"simple","partitions":[
    {"type":"linux-generic","label":"persist","mount":"/persist","grow":true}]}"#;

fn spec(persist: &str) -> Spec {
    Spec {
        layout: serde_json::from_str(LAYOUT).unwrap(),
        persist: serde_json::from_str(persist).unwrap(),
        formats: vec![Format::Raw],
        ..Spec::default()
    }
}

/// With 20 MB in `/var`, and a link where it is often one.
fn tree() -> Tree {
    let mut tree = inputs::debian_small();
    let mut editor = Editor::new(&mut tree, Time::default());
    editor.write_file("/var/lib/large", vec![b'x'; 20 << 20], 0o644).unwrap();
    editor.mkdir_all("/var/home").unwrap();
    editor.symlink("/home", "var/home").unwrap();
    editor.mkdir_all("/root").unwrap();
    tree
}

fn refused(spec: &Spec) -> String {
    plan(spec, input(tree()), &Run::silent(NonZeroUsize::MIN)).unwrap_err().to_string()
}

#[test]
fn a_root_that_is_only_read_is_beside_what_is_kept() {
    let disk = Disk::of(&spec(r#"{"create":["/data"]}"#), tree());
    let config = disk.debugfs("root", "cat /usr/lib/vmimage/early.json");
    let told = r#"{"volatile":["/tmp"],"init":"/sbin/init","persist":{"label":"persist","at":"/persist","overlay":["/etc"],"bind":["/var"],"create":["/data"],"grows":true}}"#;
    assert!(config.ends_with(told), "{config}");
    let fstab = disk.debugfs("root", "cat /etc/fstab");
    assert!(fstab.contains(" / ext4 ro,errors=remount-ro,noatime 0 1\n"), "{fstab}");
    assert!(!fstab.contains("/persist"), "{fstab}");
    let menu = disk.debugfs("root", "cat /boot/grub/grub.cfg");
    assert!(menu.contains(" init=/usr/lib/vmimage/early\n"), "{menu}");
    let grows = disk.debugfs("root", "cat /usr/lib/systemd/system/vmimage-grow.service");
    assert!(grows.contains("RequiresMountsFor=/persist\n"), "{grows}");
    // Room for what the first boot copies to it.
    let persist = disk.partition("persist");
    assert!(persist.size > (20 + 64) * MIB, "{persist:?}");
    for part in disk.parts.iter().filter(|part| part.file_system.is_some()) {
        assert!(disk.is_whole(&part.placed, part.file_system.unwrap()), "{part:?}");
    }
    for edit in
        ["/persist: keeps /etc, /var of what is written", "/: only read, and so is what the image writes to"]
    {
        assert!(disk.edits.iter().any(|said| said.starts_with(edit)), "{edit}: {:?}", disk.edits);
    }
}

#[test]
fn our_own_init_mounts_nothing_of_it() {
    let container = Container { cmd: vec!["/bin/sh".into()], ..Container::default() };
    let (init, service) = (Init::Vmimage, "app".parse().unwrap());
    let spec = Spec { init, service, container: Some(container), ..spec("{}") };
    let config = Disk::of(&spec, tree()).debugfs("root", "cat /usr/lib/vmimage/early.json");
    assert!(
        config.contains(r#"{"volatile":["/tmp","/run"],"init":"/usr/lib/vmimage/init","persist":"#),
        "{config}"
    );
}

#[test]
fn what_is_kept_lies_over_what_is_in_memory() {
    let spec = Spec { volatile: Volatile::Overlay, ..spec(r#"{"bind":["/home"]}"#) };
    let disk = Disk::of(&spec, tree());
    let config = disk.debugfs("root", "cat /usr/lib/vmimage/early.json");
    assert!(
        config.contains(r#"{"volatile":["/"],"#) && config.contains(r#""bind":["/var/home"]"#),
        "{config}"
    );
    assert!(!disk.edits.iter().any(|edit| edit.starts_with("/: only read")), "{:?}", disk.edits);
}

#[test]
fn what_cannot_be_kept_is_refused() {
    for (persist, expected) in [
        (
            r#"{"overlay":["/etc/fstab"]}"#,
            "/etc/fstab: is no directory, and persist.overlay is to keep what is in it",
        ),
        (r#"{"bind":["/var","/home"]}"#, "layout: /var/home lies in /var, which bind keeps as a whole"),
    ] {
        assert_eq!(refused(&spec(persist)), expected);
    }
    let mut small = spec("{}");
    let persist = small.layout.partitions.last_mut().unwrap();
    (persist.grow, persist.size) = (None, Some(Size(32 << 20)));
    let said = refused(&small);
    assert!(
        said.starts_with("persist: may have 32 MiB, and what the first boot copies to it needs 8"),
        "{said}"
    );
    let mut missing = spec("{}");
    missing.layout.partitions.clear();
    let said = refused(&missing);
    assert!(said.contains("on a partition with label = \"persist\", and there is none"), "{said}");
}
