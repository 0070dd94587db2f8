//! Roots that are only read: what starts the machine knows of it, and no line of fstab makes it another one.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

use exporter::assemble::{Input, Programs, plan};
use exporter::container::Format;
use exporter::engine::Run;
use exporter::fs::FileSystem;
use exporter::spec::{Init, Spec, Volatile};
use exporter::tree::{Editor, Time};

use crate::inputs::{self, input};
use crate::layouts::{Disk, said};

fn spec(layout: &str, volatile: Volatile) -> Spec {
    Spec {
        layout: serde_json::from_str(layout).unwrap(),
        volatile,
        formats: vec![Format::Raw],
        ..Spec::default()
    }
}

const EROFS: &str = r#"{"preset":"split-boot","partitions":[{"type":"root","filesystem":"erofs"}]}"#;

/// The files of an EROFS, by its own tool.
fn extracted(disk: &Disk, at: &Path) -> impl Fn(&str) -> String {
    let root = disk.volume(disk.partition("root"));
    let folder = at.join("extracted");
    said(Command::new("fsck.erofs").arg(format!("--extract={}", folder.display())).arg(root));
    move |path| std::fs::read_to_string(folder.join(path)).unwrap()
}

#[test]
fn a_root_of_erofs_starts_from_a_boot_partition_with_an_overlay_over_it() {
    let disk = Disk::of(&spec(EROFS, Volatile::Overlay), inputs::debian_small());
    let systems: Vec<_> = disk.parts.iter().filter_map(|part| part.file_system).collect();
    assert_eq!(systems, [FileSystem::Vfat, FileSystem::Ext4, FileSystem::Erofs]);
    for part in disk.parts.iter().filter(|part| part.file_system.is_some()) {
        assert!(
            disk.is_whole(&part.placed, part.file_system.unwrap()) && part.grows_to.is_none(),
            "{part:?}"
        );
    }
    let scratch = tempfile::tempdir().unwrap();
    let file = extracted(&disk, scratch.path());
    assert_eq!(file("usr/lib/vmimage/early.json"), r#"{"volatile":["/"],"init":"/sbin/init"}"#);
    let fstab = file("etc/fstab");
    assert!(fstab.lines().all(|line| line.split(' ').nth(1) != Some("/")), "{fstab}");
    assert!(fstab.contains(" /boot ext4 ro 0 2\n"), "{fstab}");
    let menu = disk.debugfs("boot", "cat /grub/grub.cfg");
    assert!(menu.contains(" rootfstype=erofs ") && menu.contains(" init=/usr/lib/vmimage/early\n"), "{menu}");
    assert!(disk.edits.iter().any(|edit| edit.starts_with("/: what is written")), "{:?}", disk.edits);
}

#[test]
fn a_volatile_state_is_below_a_root_that_fstab_mounts_read_only() {
    let mut spec = spec("{}", Volatile::State);
    spec.cmdline = "quiet init=/bin/sh".into();
    let disk = Disk::of(&spec, inputs::debian_small());
    let fstab = disk.debugfs("root", "cat /etc/fstab");
    assert!(fstab.contains(" / ext4 ro,errors=remount-ro,noatime 0 1\n"), "{fstab}");
    let config = disk.debugfs("root", "cat /usr/lib/vmimage/early.json");
    assert!(config.ends_with(r#"{"volatile":["/var","/tmp"],"init":"/bin/sh"}"#), "{config}");
    let menu = disk.debugfs("root", "cat /boot/grub/grub.cfg");
    assert!(
        menu.contains(" init=/usr/lib/vmimage/early quiet\n") && !menu.contains("init=/bin/sh"),
        "{menu}"
    );
    assert!(disk.parts.iter().all(|part| part.grows_to.is_none()), "{:?}", disk.parts);
}

#[test]
fn our_own_init_comes_after_it() {
    let init = Init::Vmimage;
    let spec = Spec { init, service: "app".parse().unwrap(), ..spec("{}", Volatile::State) };
    let container = exporter::spec::Container { cmd: vec!["/bin/sh".into()], ..Default::default() };
    let disk = Disk::of(&Spec { container: Some(container), ..spec }, inputs::debian_small());
    let config = disk.debugfs("root", "cat /usr/lib/vmimage/early.json");
    let expected = r#"{"volatile":["/var","/tmp","/run"],"init":"/usr/lib/vmimage/init"}"#;
    assert!(config.ends_with(expected), "{config}");
}

#[test]
fn what_would_be_another_machine_is_refused() {
    let refused = |spec: &Spec, input: Input| {
        plan(spec, input, &Run::silent(NonZeroUsize::MIN)).unwrap_err().to_string()
    };
    let volatile = spec("{}", Volatile::Overlay);
    let without = Input { programs: Programs::default(), ..input(inputs::debian_small()) };
    let said = refused(&volatile, without);
    assert!(
        said.starts_with("/usr/lib/vmimage/early: volatile is overlay, and this vmimage has no"),
        "{said}"
    );
    let mut labelled = inputs::debian_small();
    Editor::new(&mut labelled, Time::default()).write_file("/.autorelabel", *b"", 0o644).unwrap();
    let said = refused(&volatile, input(labelled));
    assert!(said.starts_with("/.autorelabel: SELinux labels are written"), "{said}");
    let said = refused(&spec(EROFS, Volatile::No), input(inputs::debian_small()));
    assert!(said.contains("a machine writes to its root"), "{said}");
}
