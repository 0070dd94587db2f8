//! ISOs: foreign readers take them, firmware starts them from discs and sticks, and they run live, install and rescue.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::disk::damage;
use super::lab::{VMIMAGE, build, nonce, refused, run, scratch, text};
use super::media::{
    ALPINE, DEBIAN, GENERAL_KERNEL, LARGE, UNATTENDED, blank, boots_alone, check_live, context, extract,
    facts, installer, is_as_written, iso, kernel_of, stick, words,
};
use super::rack::{Bus, Firmware, Rack};

/// Of a disc, and of a stick that is larger and stays as it was written.
fn runs_live(base: &str, iso: &Path, starts: &[(Firmware, Bus)], args: &[&str]) {
    for &(firmware, bus) in starts {
        let folder = scratch();
        let medium = if bus == Bus::Usb { stick(iso, folder.path()) } else { iso.to_owned() };
        let report = Rack::new(firmware, folder.path()).drive(bus, &medium).online().reports();
        check_live(base, firmware, &report, "10.0.2.");
        for word in args {
            assert!(words(&report).contains(word), "{word}: {}", report.get("cmdline"));
        }
        if bus == Bus::Usb {
            is_as_written(iso, &medium);
        }
    }
}

#[test]
#[ignore = "long: make matrix"]
fn an_iso_runs_live_from_a_disc_and_from_a_stick() {
    let folder = scratch();
    let word = format!("acme.test={}", nonce());
    let iso = iso(&context(folder.path(), ""), ALPINE, folder.path(), &["--cmdline", &word]);
    runs_live(ALPINE, &iso, &[(Firmware::Bios, Bus::Disc), (Firmware::Uefi, Bus::Usb)], &[&word]);
}

#[test]
fn an_iso_installs_itself_to_a_larger_disk() {
    let folder = scratch();
    let iso = installer(ALPINE, UNATTENDED, folder.path(), &[]);
    let target = blank(folder.path(), "target", LARGE);
    Rack::new(Firmware::Uefi, folder.path()).drive(Bus::Disc, &iso).drive(Bus::Ahci, &target).ends();
    boots_alone(ALPINE, Firmware::Bios, Bus::Ahci, &target, folder.path());
}

#[test]
#[ignore = "long: make matrix"]
fn an_iso_runs_live_by_the_other_ways_to_start_it() {
    let folder = scratch();
    let iso = iso(&context(folder.path(), ""), ALPINE, folder.path(), &[]);
    runs_live(ALPINE, &iso, &[(Firmware::Bios, Bus::Usb), (Firmware::Uefi, Bus::Disc)], &[]);
}

/// Shim, GRUB and kernel trust each other, on the medium and on the disk that it has installed.
#[test]
#[ignore = "long: make matrix"]
fn an_iso_runs_and_installs_under_secure_boot() {
    let folder = scratch();
    let secure = Firmware::SecureBoot;
    let iso = iso(&context(folder.path(), ""), DEBIAN, folder.path(), &GENERAL_KERNEL);
    runs_live(DEBIAN, &iso, &[(secure, Bus::Disc), (secure, Bus::Usb)], &[]);

    let iso = installer(DEBIAN, UNATTENDED, folder.path(), &GENERAL_KERNEL);
    let target = blank(folder.path(), "target", LARGE);
    let stick = stick(&iso, folder.path());
    Rack::new(secure, folder.path()).drive(Bus::Usb, &stick).drive(Bus::Nvme, &target).ends();
    is_as_written(&iso, &stick);
    boots_alone(DEBIAN, secure, Bus::Nvme, &target, folder.path());
}

/// Every file is read once the stick is gone.
const WITHOUT_THE_STICK: &str = r#"
fact stick waits
waited=0
while ls /sys/block | grep -q '^sd' && [ $waited -lt 120 ]; do sleep 1; waited=$((waited + 1)); done
fact stick "$(ls /sys/block | grep -c '^sd')"
fact read "$(find / -xdev -type f -exec cat {} + 2>&1 >/dev/null | wc -l)"
"#;

#[test]
#[ignore = "long: make matrix"]
fn a_medium_in_memory_can_be_pulled_out() {
    let folder = scratch();
    let iso = iso(&context(folder.path(), &facts(WITHOUT_THE_STICK)), ALPINE, folder.path(), &[]);
    let words = kernel_of(&iso, "live", "vmimage.ram", folder.path());
    let stick = stick(&iso, folder.path());
    let rack = Rack::new(Firmware::Bios, folder.path()).kernel(folder.path(), &words);
    let mut machine = rack.drive(Bus::Usb, &stick).online().start();
    machine.says("vmimage: the medium may be taken out");
    machine.says("report:stick=waits");
    machine.pull_out("stick");
    let report = machine.reports();
    check_live(ALPINE, Firmware::Bios, &report, "10.0.2.");
    assert_eq!((report.get("stick"), report.get("read")), ("0", "0"), "{}", report.console());
}

/// The ISO, and the disk that the same build makes of it.
fn with_its_disk(folder: &Path) -> [PathBuf; 2] {
    let disk = folder.join("disk.raw");
    let output = format!("--output={}", disk.display());
    let args = [&*output, "--format=raw"];
    [iso(&context(folder, ""), ALPINE, folder, &args), disk]
}

/// xorriso's opinion of how an ISO starts a machine.
fn boots_by_xorriso(iso: &Path) -> String {
    let mut xorriso = Command::new("xorriso");
    xorriso.args(["-abort_on", "SORRY", "-indev"]).arg(format!("stdio:{}", iso.display()));
    let output = xorriso.args(["-report_el_torito", "plain", "-report_system_area", "plain"]).output();
    text(&output.unwrap())
}

/// What isoinfo reads of it: the volume's descriptors, and a list of all files by their Rock Ridge names.
fn listed(iso: &Path) -> [Command; 2] {
    ["-d", "-lR"].map(|what| {
        let mut isoinfo = Command::new("isoinfo");
        isoinfo.arg(what).arg("-i").arg(iso);
        isoinfo
    })
}

/// On every ISO that a BIOS and UEFI start.
const FILES: [&str; 9] = [
    "medium.json",
    "vmlinuz",
    "initramfs",
    "disk.raw",
    "disk.index",
    "grub.cfg",
    "boot.catalog",
    "eltorito.img",
    "efi.img",
];

#[test]
fn foreign_readers_take_an_iso_and_find_its_disk_in_it() {
    let folder = scratch();
    let [iso, disk] = with_its_disk(folder.path());
    let boots = boots_by_xorriso(&iso);
    for entry in ["Boot record  : El Torito", "El Torito images", "BIOS", "UEFI", "GPT"] {
        assert!(boots.contains(entry), "{entry}: {boots}");
    }
    let [descriptors, files] = listed(&iso).map(|mut isoinfo| run(&mut isoinfo));
    assert!(descriptors.contains("El Torito VD version 1 found"), "{descriptors}");
    assert!(descriptors.contains("Rock Ridge signatures version 1 found"), "{descriptors}");
    for file in FILES {
        let is_there = files.lines().any(|line| line.trim_end().ends_with(&format!(" {file}")));
        assert!(is_there, "{file}: {files}");
    }
    let verdict = run(Command::new("sgdisk").arg("-v").arg(&iso));
    assert!(verdict.contains("No problems found"), "{verdict}");

    let found = folder.path().join("found.raw");
    extract(&iso, "disk.raw", &found);
    run(Command::new("cmp").arg(&found).arg(&disk));
    let mut isoinfo = Command::new("isoinfo");
    isoinfo.args(["-R", "-x", "/vmimage/disk.raw", "-i"]).arg(&iso);
    assert!(isoinfo.stdout(File::create(&found).unwrap()).status().unwrap().success());
    run(Command::new("cmp").arg(&found).arg(&disk));

    // Each of them can say no: of the name of the volume's descriptor, of the boot record's, of GPT's header.
    damage(&iso, 16 * 2048 + 1, || {
        let told: Vec<_> = listed(&iso).iter_mut().map(|isoinfo| text(&isoinfo.output().unwrap())).collect();
        assert!(!told[1].contains("medium.json"), "{told:?}");
    });
    damage(&iso, 17 * 2048 + 7, || {
        let boots = boots_by_xorriso(&iso);
        assert!(!boots.contains("Boot record  : El Torito"), "{boots}");
    });
    damage(&iso, 512 + 40, || {
        let verdict = run(Command::new("sgdisk").arg("-v").arg(&iso));
        assert!(verdict.contains("Problem") || verdict.contains("Caution"), "{verdict}");
    });
    damage(&iso, fs::metadata(&iso).unwrap().len() / 2, || {
        extract(&iso, "disk.raw", &found);
        refused(Command::new("cmp").arg(&found).arg(&disk));
    });
}

/// Nothing is cached between the two, and they are of two folders.
#[test]
#[ignore = "long: make matrix"]
fn the_same_input_is_the_same_medium() {
    let made = |hostname: &str| {
        let folder = scratch();
        let context = context(folder.path(), "");
        let iso = folder.path().join("web.iso");
        let (netboot, base) = (folder.path().join("netboot"), format!("BASE={ALPINE}"));
        let mut command = Command::new(VMIMAGE);
        command.arg("build").arg(&context).args(["--build-arg", &base, "--hostname", hostname]);
        command
            .args(["--no-cache", "--format=iso", "--format=netboot", "-o"])
            .arg(&iso)
            .arg("-o")
            .arg(&netboot);
        run(command.env("SOURCE_DATE_EPOCH", "1700000000"));
        (folder, iso, netboot)
    };
    let (_one, iso, netboot) = made("web");
    let (_two, again, netboot_again) = made("web");
    run(Command::new("cmp").arg(&iso).arg(&again));
    run(Command::new("diff").arg("-r").arg(&netboot).arg(&netboot_again));
    run(Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&netboot));
    // The comparison can say no.
    let (_three, other, netboot_other) = made("other");
    refused(Command::new("cmp").arg(&iso).arg(&other));
    refused(Command::new("diff").arg("-r").arg(&netboot).arg(&netboot_other));
}

/// Through a pipe: a medium is a stream, the same bytes as the file.
#[test]
#[ignore = "long: make matrix"]
fn an_iso_is_a_stream() {
    let folder = scratch();
    let context = context(folder.path(), "");
    let [base, streamed] = [format!("BASE={ALPINE}"), folder.path().join("streamed").display().to_string()];
    let file = folder.path().join("web.iso");
    build(&context, &file, &["--build-arg", &base, "--format=iso"]);
    let mut command = Command::new(VMIMAGE);
    command.arg("build").arg(&context).args(["--build-arg", &base, "--format=iso", "-o", "-"]);
    assert!(command.stdout(File::create(&streamed).unwrap()).status().unwrap().success());
    run(Command::new("cmp").arg(&file).arg(&streamed));
}

/// What no medium can be is said before anything is built.
#[test]
fn a_medium_that_cannot_be_is_refused() {
    let folder = scratch();
    let context = context(folder.path(), "");
    for (args, word) in [
        (&["--format=iso", "--profile", "microvm"][..], "microvm"),
        (&["--format=iso", "--profile", "data"], "data"),
        (&["--format=iso", "--loader", "systemd-boot"], "systemd-boot"),
        (&["--format=netboot", "--profile", "data"], "data"),
    ] {
        let mut command = Command::new(VMIMAGE);
        command.arg("build").arg(&context).arg("-o").arg(folder.path().join("medium")).args(args);
        let said = refused(&mut command);
        assert!(
            said.contains(&format!("{}: ", if word == "systemd-boot" { "loader" } else { "format" })),
            "{said}"
        );
        assert!(said.contains(word), "{args:?}: {said}");
    }
}
