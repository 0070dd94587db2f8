//! Every disk passes the checkers of its formats, and every checker can say no.

use std::path::Path;
use std::process::Command;

use super::lab::{self, extract, partitions, raw, refused, run, scratch, testdata};

const BIOS_BOOT: &str = "21686148-6449-6e6f-744e-656564454649";
const ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
const ROOT_X86_64: &str = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709";

/// sgdisk, sfdisk, fsck.fat, e2fsck and (for qcow2) qemu-img find nothing wrong with `disk`.
pub(crate) fn check(disk: &Path) {
    let folder = scratch();
    if disk.extension().is_some_and(|extension| extension == "qcow2") {
        run(Command::new("qemu-img").arg("check").arg(disk));
    }
    check_raw(&raw(disk, folder.path()), folder.path());
}

fn check_raw(raw: &Path, folder: &Path) {
    table_is_whole(raw).unwrap();
    run(Command::new("sfdisk").args(["--verify", "--quiet"]).arg(raw));
    let table = partitions(raw);
    let kinds: Vec<_> = table.iter().map(|part| part.kind.as_str()).collect();
    assert_eq!(kinds, [BIOS_BOOT, ESP, ROOT_X86_64]);
    let esp = folder.join("esp");
    extract(raw, &table[1], &esp);
    run(Command::new("fsck.fat").arg("-n").arg(&esp));
    run(Command::new("e2fsck").arg("-fn").arg(format!("{}?offset={}", raw.display(), table[2].start)));
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
    check_raw(&raw, folder.path());

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
