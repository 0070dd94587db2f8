//! A layout that no key asks for yet: the partitions in another order, the tree on two of them, and the last one grows.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::boot::check_report;
use super::lab::{Report, boot, partitions, run, scratch, static_binary, syntax, testdata};

const BASE: &str = "vmimage-test/debian:12";
const IMAGE: &str = "vmimage-test/second-layout";

const SPEC: &str = r#"{ "name": "second", "formats": ["raw"], "size": "3G", "hostname": "web", "layout": { "partitions": [
    { "label": "esp", "type": "esp", "content": "esp", "mount": "/boot/efi", "options": "umask=0077,nofail", "min": "64M" },
    { "label": "bios", "type": "bios-boot", "content": "bios-core", "min": "1M" },
    { "label": "root", "type": "root-x86-64", "content": "root", "mount": "/", "weight": 1 },
    { "label": "srv", "type": "srv", "content": { "subtree": "/srv" }, "mount": "/srv", "weight": 2, "grow": true }
] } }"#;

/// The tree of `testdata/machine` with its kernel, in a folder.
fn tree(folder: &Path) -> PathBuf {
    let mut build = Command::new("docker");
    build.args(["buildx", "build", "-q", "--load", "-t", IMAGE, "--build-arg", "VMIMAGE_STAGE=rootfs"]);
    build.args(["--build-arg", &syntax(), "--build-arg", &format!("BASE={BASE}")]);
    run(build.arg(testdata("machine")));
    let root = folder.join("root");
    std::fs::create_dir(&root).unwrap();
    let container = run(Command::new("docker").args(["create", IMAGE]));
    let unpack = "docker export \"$0\" | tar -xf - -C \"$1\" && docker rm \"$0\"";
    run(Command::new("sh").args(["-c", unpack, container.trim()]).arg(&root));
    root
}

/// By the last step of a build, which takes a layout as part of what is asked for.
fn assemble(folder: &Path) -> PathBuf {
    let output = folder.join("output");
    std::fs::create_dir(&output).unwrap();
    let mut assemble = Command::new(static_binary(folder));
    assemble.args(["assemble", "--spec", SPEC, "--boot"]).arg(folder.join("none"));
    run(assemble.arg("--root").arg(tree(folder)).arg("--output").arg(&output));
    output.join("second.raw")
}

fn mib(report: &Report, fact: &str) -> u64 {
    report.get(fact).parse::<u64>().unwrap() >> 20
}

#[test]
fn a_second_layout_boots_and_its_last_partition_grows() {
    let folder = scratch();
    let disk = assemble(folder.path());
    let table = partitions(&disk);
    assert!(table[3].size.abs_diff(2 * table[2].size) <= 2 << 20, "{table:?}");
    for firmware in ["--bios", "--uefi"] {
        let copy = folder.path().join("copy.raw");
        run(Command::new("cp").args(["--sparse=always"]).arg(&disk).arg(&copy));
        run(Command::new("qemu-img").args(["resize", "-q", "-f", "raw"]).arg(&copy).arg("6G"));
        let report = boot(&copy, firmware, &[]);
        check_report(BASE, firmware, &report);
        assert_eq!((report.get("root-device"), report.get("app-device")), ("/dev/vda3", "/dev/vda4"));
        assert!(mib(&report, "root-bytes") < 1024, "{}", mib(&report, "root-bytes"));
        assert!(mib(&report, "app-bytes") > 4500, "{}", mib(&report, "app-bytes"));

        run(Command::new("sgdisk").arg("-v").arg(&copy));
        let grown = partitions(&copy);
        assert!((6 << 30) - (grown[3].start + grown[3].size) < 2 << 20, "{grown:?}");
        for partition in &grown[2..] {
            let at = format!("{}?offset={}", copy.display(), partition.start);
            run(Command::new("e2fsck").args(["-fn", &at]));
        }
    }
}
