//! A disk for one firmware: it boots by that, has nothing for the other, and `vmimage run` can tell.

use std::path::Path;
use std::process::Command;

use super::boot::check_report;
use super::disk;
use super::lab::{VMIMAGE, boot, build, nonce, run, scratch, testdata};

const BASE: &str = "vmimage-test/alpine:3.23";

#[test]
#[ignore = "long: make matrix"]
fn a_disk_for_one_firmware_boots_by_it_and_has_nothing_for_the_other() {
    let folder = scratch();
    let base = format!("BASE={BASE}");
    for (firmware, format, bios, loaders, flash) in
        [("bios", "vdi", true, 0, false), ("uefi", "vhdx", false, 1, true)]
    {
        let disk = folder.path().join(format!("{firmware}.qcow2"));
        let booted = disk.with_extension(format);
        let output = format!("--output={}", booted.display());
        // What is said while the disk is assembled is said by no cached step.
        let word = format!("vmimage.test={}", nonce());
        let asked =
            ["--build-arg", &base, "--hostname", "web", "--firmware", firmware, "--cmdline", &word, &output];
        let progress = build(&testdata("machine"), &disk, &asked);
        assert!(progress.contains(&format!(", for {}", firmware.to_uppercase())), "{progress}");
        disk::check(&disk);

        let found = inspect(&disk);
        assert_eq!(found["boot"]["bios"].is_string(), bios, "{found}");
        let files = found["boot"]["uefi"].as_array().unwrap();
        let is_loader = |file: &&serde_json::Value| file.as_str().unwrap().ends_with("/BOOTX64.EFI");
        assert_eq!(files.iter().filter(is_loader).count(), loaders, "{found}");

        let command = run(Command::new(VMIMAGE).args(["run", "--dry-run"]).arg(&disk));
        assert_eq!(command.contains("if=pflash"), flash, "{command}");
        let flag = format!("--{firmware}");
        check_report(BASE, &flag, &boot(&booted, &flag, &[]));
    }
}

fn inspect(disk: &Path) -> serde_json::Value {
    serde_json::from_str(&run(Command::new(VMIMAGE).args(["inspect", "--json"]).arg(disk))).unwrap()
}
