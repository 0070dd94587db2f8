//! Every disk passes the checkers of its formats, and every checker can say no.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::lab::{self, extract, partitions, raw, refused, run, scratch, testdata};

const BIOS_BOOT: &str = "21686148-6449-6e6f-744e-656564454649";
const ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
const ROOT_X86_64: &str = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709";
const ROOT_ARM64: &str = "b921b045-1df0-41c3-af44-4c6f280d3fae";

/// sgdisk, sfdisk, fsck.fat, e2fsck and (for qcow2) qemu-img find nothing wrong with `disk`.
pub(crate) fn check(disk: &Path) {
    check_made_on("", disk);
}

/// The same of a disk on a base, whose name tells another architecture than x86-64.
pub(crate) fn check_made_on(base: &str, disk: &Path) {
    let root = if base.ends_with("arm64") { ROOT_ARM64 } else { ROOT_X86_64 };
    let folder = scratch();
    if disk.extension().is_some_and(|extension| extension == "qcow2") {
        run(Command::new("qemu-img").arg("check").arg(disk));
    }
    check_raw(root, &raw(disk, folder.path()), folder.path());
}

fn check_raw(root: &str, raw: &Path, folder: &Path) {
    table_is_whole(raw).unwrap();
    run(Command::new("sfdisk").args(["--verify", "--quiet"]).arg(raw));
    let table = partitions(raw);
    let kinds: Vec<_> = table.iter().map(|part| part.kind.as_str()).collect();
    assert_eq!(kinds, [BIOS_BOOT, ESP, root]);
    let esp = folder.join("esp");
    extract(raw, &table[1], &esp);
    run(Command::new("fsck.fat").arg("-n").arg(&esp));
    run(Command::new("e2fsck").arg("-fn").arg(format!("{}?offset={}", raw.display(), table[2].start)));
}

/// An OVF package of three files, whose manifest is true and whose disk qemu-img finds whole; the disk.
pub(crate) fn check_package(folder: &Path, machine: &str) -> PathBuf {
    let name = |end: &str| format!("{machine}{end}");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, [name("-disk1.vmdk"), name(".mf"), name(".ovf")]);
    assert!(manifest_holds(folder, machine));
    let disk = folder.join(name("-disk1.vmdk"));
    run(Command::new("qemu-img").args(["check", "-f", "vmdk"]).arg(&disk));
    disk
}

/// sha256sum's opinion on whether the manifest is of the files.
pub(crate) fn manifest_holds(folder: &Path, machine: &str) -> bool {
    let manifest = std::fs::read_to_string(folder.join(format!("{machine}.mf"))).unwrap();
    let lines = manifest.lines().map(|line| {
        let (name, digest) = line.strip_prefix("SHA256(").unwrap().split_once(")= ").unwrap();
        format!("{digest}  {name}\n")
    });
    let sums = folder.with_extension("sums");
    std::fs::write(&sums, lines.collect::<String>()).unwrap();
    assert_eq!(manifest.lines().count(), 2);
    let mut check = Command::new("sha256sum");
    check.arg("--check").arg(&sums).current_dir(folder).output().unwrap().status.success()
}

/// sgdisk's opinion. It ends well even where it found damage that it could repair.
fn table_is_whole(raw: &Path) -> Result<(), String> {
    let verdict = run(Command::new("sgdisk").arg("-v").arg(raw));
    let damaged = ["Caution", "Warning", "Problem:", "invalid"].iter().any(|word| verdict.contains(word));
    if verdict.contains("No problems found") && !damaged { Ok(()) } else { Err(verdict) }
}

#[test]
fn each_checker_rejects_a_damaged_disk() {
    let folder = scratch();
    let disk = folder.path().join("machine.qcow2");
    lab::build(&testdata("machine"), &disk, &[]);
    check(&disk);
    let raw = raw(&disk, folder.path());
    let table = partitions(&raw);
    let esp = folder.path().join("esp");

    damage(&raw, 512 + 40, || {
        table_is_whole(&raw).unwrap_err();
    });
    damage(&raw, table[1].start + 14, || {
        extract(&raw, &table[1], &esp);
        refused(Command::new("fsck.fat").arg("-n").arg(&esp));
    });
    damage(&raw, table[2].start + 1024 + 0x28, || {
        refused(Command::new("e2fsck").arg("-fn").arg(format!(
            "{}?offset={}",
            raw.display(),
            table[2].start
        )));
    });
    check_raw(ROOT_X86_64, &raw, folder.path());

    // The L1 table's first entry: refers to a cluster that is not there.
    let l1 = u64::from_be_bytes(std::fs::read(&disk).unwrap()[40..48].try_into().unwrap());
    damage(&disk, l1 + 3, || {
        refused(Command::new("qemu-img").arg("check").arg(&disk));
    });
}

/// Flip every bit of the byte at `offset` while `test` runs.
pub(crate) fn damage(file: &Path, offset: u64, test: impl FnOnce()) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[!byte[0]], offset).unwrap();
    test();
    file.write_all_at(&byte, offset).unwrap();
}
