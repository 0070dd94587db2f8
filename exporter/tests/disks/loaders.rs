//! What starts a disk: systemd-boot of the image, and a GRUB that asks for a password, as foreign tools see them.

use std::num::NonZeroUsize;
use std::process::Command;

use exporter::assemble::plan;
use exporter::container::Format;
use exporter::engine::Run;
use exporter::fs::FileSystem;
use exporter::spec::{Loader, Spec};
use exporter::tree::{Editor, Time, Tree};

use crate::inputs::{self, MIB, input};
use crate::layouts::{Disk, said};

const PROGRAM: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
const KERNEL: &str = "/boot/vmlinuz-6.1.0-9-amd64";

fn spec() -> Spec {
    let image = serde_json::from_str(r#"{"id":"kiosk","version":"1.4"}"#).unwrap();
    Spec { loader: Loader::SystemdBoot, image, formats: vec![Format::Raw], ..Spec::default() }
}

/// With systemd-boot, and kernels that UEFI starts.
fn tree() -> Tree {
    let mut tree = inputs::debian_small();
    let mut editor = Editor::new(&mut tree, Time::default());
    for path in [PROGRAM, KERNEL, "/boot/vmlinuz-5.10.0-1-amd64"] {
        editor.write_file(path, format!("MZ and the rest of {path}").into_bytes(), 0o644).unwrap();
    }
    tree
}

fn with(path: &str, bytes: &[u8]) -> Tree {
    let mut tree = tree();
    Editor::new(&mut tree, Time::default()).write_file(path, bytes, 0o755).unwrap();
    tree
}

/// A file of the ESP.
fn on_esp(disk: &Disk, path: &str) -> String {
    let esp = disk.volume(disk.partition("esp"));
    said(Command::new("mtype").arg("-i").arg(esp).arg(format!("::{path}")))
}

#[test]
fn systemd_boot_finds_an_entry_for_each_kernel_beside_itself() {
    let blesses = with("/usr/lib/systemd/systemd-bless-boot", b"#!/bin/sh\n");
    for (tree, counters) in [(tree(), ""), (blesses, "+3-0")] {
        let disk = Disk::of(&spec(), tree);
        assert!(disk.is_whole(disk.partition("esp"), FileSystem::Vfat));
        assert_eq!(disk.partition("esp").size, 512 * MIB);
        for path in ["/EFI/BOOT/BOOTX64.EFI", "/EFI/systemd/systemd-bootx64.efi"] {
            assert_eq!(on_esp(&disk, path), format!("MZ and the rest of {PROGRAM}"));
        }
        assert_eq!(on_esp(&disk, "/kiosk/6.1.0-9-amd64/linux"), format!("MZ and the rest of {KERNEL}"));
        // That of the image's own menu, as with GRUB.
        assert_eq!(on_esp(&disk, "/loader/loader.conf"), "timeout 3\n");
        let entry = on_esp(&disk, &format!("/loader/entries/kiosk-6.1.0-9-amd64{counters}.conf"));
        assert!(entry.contains("\ninitrd     /kiosk/6.1.0-9-amd64/initrd.img-6.1.0-9-amd64\n"), "{entry}");
        let cmdline = disk.debugfs("root", "cat /etc/kernel/cmdline");
        assert!(entry.contains(&format!("\noptions    {cmdline}")), "{entry}");
        assert!(cmdline.starts_with("root=UUID=") && cmdline.contains(" quiet splash"), "{cmdline}");
        on_esp(&disk, &format!("/loader/entries/kiosk-5.10.0-1-amd64{counters}.conf"));
        assert_eq!(disk.debugfs("root", "cat /etc/kernel/entry-token"), "kiosk\n");
        assert_eq!(disk.debugfs("root", "cat /etc/kernel/tries") == "3\n", !counters.is_empty());
        assert!(!disk.debugfs("root", "ls -p /boot").contains("/grub/"), "a menu that nobody reads");
        let release = disk.debugfs("root", "cat /etc/os-release");
        assert!(release.ends_with("IMAGE_ID=kiosk\nIMAGE_VERSION=1.4\n"), "{release}");
        let counted = disk.edits.iter().any(|edit| edit.contains("an entry is tried 3 times"));
        assert_eq!(counted, !counters.is_empty(), "{:?}", disk.edits);
    }
}

/// No byte of GRUB, and no BIOS that would start nothing.
#[test]
fn a_disk_of_systemd_boot_needs_no_files_of_grub() {
    let input = exporter::assemble::Input { boot: None, ..input(tree()) };
    let planned = plan(&spec(), input, &Run::silent(NonZeroUsize::MIN)).unwrap();
    let system = planned.system.unwrap();
    assert_eq!(system.firmware, "UEFI");
    assert_eq!(system.boot_files, format!("systemd-boot of the image ({PROGRAM})"));
    let signed = with(&format!("{PROGRAM}.signed"), b"MZ signed");
    assert_eq!(on_esp(&Disk::of(&spec(), signed), "/EFI/BOOT/BOOTX64.EFI"), "MZ signed");
}

#[test]
fn what_systemd_boot_would_not_start_is_refused_with_its_place() {
    for (tree, expected) in [
        (inputs::debian_small(), format!("{PROGRAM}: is not there: the image has no systemd-boot")),
        (with(KERNEL, b"no program"), format!("{KERNEL}: is no program for UEFI")),
        (with("/boot/ignition.firstboot", b""), "/boot/ignition.firstboot: asks for Ignition".to_owned()),
        (with("/.autorelabel", b""), "/.autorelabel: asks for labels for SELinux".to_owned()),
    ] {
        let error = plan(&spec(), input(tree), &Run::silent(NonZeroUsize::MIN)).unwrap_err();
        assert!(error.to_string().starts_with(&expected) && error.hint().is_some(), "{error}");
    }
}

#[test]
fn a_password_of_grub_is_on_the_esp_and_no_entry_asks_for_it() {
    let hash = "grub.pbkdf2.sha512.10000.AB.CD";
    let grub = serde_json::from_str(&format!(r#"{{"password":"{hash}"}}"#)).unwrap();
    let mut tree = tree();
    Editor::new(&mut tree, Time::default()).write_file("/usr/bin/dpkg", *b"", 0o755).unwrap();
    let disk = Disk::of(&Spec { grub, loader: Loader::Grub, ..spec() }, tree);
    let stub = on_esp(&disk, "/EFI/debian/grub.cfg");
    assert!(
        stub.starts_with(&format!("set superusers=root\nexport superusers\npassword_pbkdf2 root {hash}\n")),
        "{stub}"
    );
    let menu = disk.debugfs("root", "cat /boot/grub/grub.cfg");
    assert_eq!(menu.matches("menuentry ").count(), menu.matches(" --unrestricted {\n").count());
    assert!(menu.contains(" --unrestricted {\n") && !menu.contains(hash), "{menu}");
    let script = disk.debugfs("root", "cat /etc/grub.d/01_vmimage-password");
    assert!(script.contains(hash), "{script}");
}
