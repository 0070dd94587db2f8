//! Whole disks, in every format that is read. Where `inspect` finds nothing wrong, QEMU reads the same bytes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use exporter::container::{self, Base, Format};
use exporter::disk::kinds;
use exporter::disk::{BootCode, Disk, DiskLayout, Placed, TableKind, Unplaced, minimum_size, place};
use exporter::fs::{DiskBudget, fat};
use exporter::read_at::Shared;
use exporter::seed::{Seed, Uuid};
use exporter::tree::Time;

use super::{file_systems, told, tree};
use crate::{Target, repair};

/// Disks up to this are compared with what QEMU reads.
const COMPARED: u64 = 64 << 20;

const ANY: Target = Target {
    name: "",
    seeds: Vec::new,
    words: &[
        b"QFI\xfb",
        b"KDMV",
        b"conectix",
        b"cxsparse",
        b"vhdxfile",
        b"head",
        b"regi",
        b"metadata",
        b"<<< ",
        b"\x7f\x10\xda\xbe",
        &[0; 8],
        &[0xff; 8],
        b"\0\0\0\0\0\x01\0\0",
        b"\x80\0\0\0\0\x05\0\0",
        b"RW 2048 SPARSE \"a\"",
        b"createType=\"monolithicSparse\"",
    ],
    grain: 8,
    repair: repair::nothing,
    run: |_| Ok(()),
};

macro_rules! format {
    ($constant:ident, $name:literal, $format:ident, $repair:path) => {
        pub(super) const $constant: Target = Target {
            name: $name,
            seeds: || disk_files(Format::$format),
            repair: $repair,
            run: |input| read(input, Some(Format::$format)),
            ..ANY
        };
    };
}

format!(QCOW2, "qcow2", Qcow2, repair::nothing);
format!(VMDK, "vmdk", Vmdk, repair::nothing);
format!(VHD, "vhd", Vhd, repair::vhd);
format!(VHD_DYNAMIC, "vhd-dynamic", VhdDynamic, repair::vhd);
format!(VHDX, "vhdx", Vhdx, repair::vhdx);
format!(VDI, "vdi", Vdi, repair::nothing);
format!(OVA, "ova", Ova, repair::tar);
format!(CONTAINERDISK, "containerdisk", ContainerDisk, repair::tar);

/// What is inside: a table and two file systems.
pub(super) const DISK: Target = Target {
    name: "disk",
    seeds: || vec![tree::file(disk().image(), Format::Raw).expect("there is room")],
    grain: 128,
    repair: repair::gpt,
    run: |input| read(input, None),
    ..ANY
};

/// A disk that another one is written over, and that lies over a file itself.
pub(super) const BASE: Target = Target {
    name: "base",
    seeds: || {
        let folder = tempfile::tempdir().expect("there is room");
        std::fs::write(folder.path().join("below"), vec![1; BELOW]).expect("there is room");
        let disk = over(folder.path(), "below").expect("it is a base");
        vec![std::fs::read(disk).expect("it was written")]
    },
    words: &[b"below", b"raw\0", b"qcow2", b"\xe2\x79\x2a\xca", b"QFI\xfb", &[0; 8], &[0xff; 8]],
    run: |input| {
        let folder = tempfile::tempdir().map_err(told)?;
        for (name, bytes) in [("below", &vec![1; BELOW][..]), ("base", input)] {
            std::fs::write(folder.path().join(name), bytes).map_err(told)?;
        }
        over(folder.path(), "base").map(drop).map_err(told)
    },
    ..ANY
};

/// Bytes of the file below all.
const BELOW: usize = 1 << 20;

/// A disk over that file of a folder.
fn over(folder: &Path, base: &str) -> exporter::Result<PathBuf> {
    let new = folder.join("new");
    let base = Base::open(&folder.join(base), &new)?;
    tree::write(disk().image(), Format::Qcow2, Some(base), &new)?;
    Ok(new)
}

fn read(input: &[u8], format: Option<Format>) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(told)?;
    let file = folder.path().join("disk");
    std::fs::write(&file, input).map_err(told)?;
    let _ = container::identify(&file).map_err(told);
    let said = vmimage::fuzz::inspect(&file)?;
    assert!(
        !said.chars().any(|char| char.is_control() && char != '\n'),
        "nothing reaches the terminal: {said:?}"
    );
    let (found, disk) = container::open(&file).map_err(told)?;
    copies(disk.clone());
    if format == Some(found) {
        judge(&file, found, &disk, folder.path())
    }
    Ok(())
}

/// A disk that is whole has a copy, or there is a reason why not.
fn copies(disk: Shared) {
    if let Ok(copy) = container_copy(disk) {
        assert!(copy > 0);
    }
}

fn container_copy(disk: Shared) -> Result<u64, String> {
    let budget = DiskBudget::new(disk.size());
    let copy = exporter::clone::plan(disk, &Seed::new(b"seed"), &budget).map_err(told)?;
    Ok(copy.image().size)
}

/// What QEMU says of a disk that we take as whole.
fn judge(file: &Path, format: Format, disk: &Shared, folder: &Path) {
    let Some(driver) = format.qemu_driver() else { return };
    let checked = qemu(&["check", "-f", driver], &[file]);
    // 3: clusters that nothing refers to; 63: a format that has nothing to check.
    let is_whole = matches!(checked.status.code(), Some(0 | 3 | 63));
    assert!(is_whole, "QEMU finds it damaged: {}", String::from_utf8_lossy(&checked.stderr));
    let mut ours = vec![0; disk.size().min(COMPARED) as usize];
    // `inspect` does not read what no file has: that may be damaged.
    if disk.size() > COMPARED || disk.read_at(0, &mut ours).is_err() {
        return;
    }
    let raw = folder.join("raw");
    let converted = qemu(&["convert", "-f", driver, "-O", "raw"], &[file, &raw]);
    assert!(
        converted.status.success(),
        "QEMU cannot read it: {}",
        String::from_utf8_lossy(&converted.stderr)
    );
    let theirs = std::fs::read(&raw).expect("QEMU has just written it");
    assert!(theirs.get(..ours.len()) == Some(&ours[..]), "QEMU reads other bytes");
}

fn qemu(arguments: &[&str], files: &[&Path]) -> Output {
    let mut command = Command::new("qemu-img");
    command.args(arguments).args(files).stdin(Stdio::null());
    command.output().expect("qemu-img judges what is read here: install qemu-utils")
}

/// A disk of a FAT and an ext4 as a file of this format.
pub(crate) fn disk_files(format: Format) -> Vec<Vec<u8>> {
    vec![tree::file(disk().image(), format).expect("there is room")]
}

fn disk() -> DiskLayout {
    let esp = fat::Options {
        label: "ESP".to_owned(),
        serial: 7,
        size: 1 << 20,
        sector_size: 512,
        hidden_sectors: 2048,
        modified: Time { seconds: 1_700_000_000, nanoseconds: 0 },
        kind: Some(fat::FatType::Fat12),
    };
    let esp = fat::plan(&file_systems::fat_tree(), &esp).expect("the files fit");
    let root = tree::ext4(tree::small(), 0).expect("the tree fits");
    let request = |(kind, least): (Uuid, u64)| Unplaced {
        kind: kind.into(),
        name: "part".to_owned(),
        id: Uuid([7; 16]).into(),
        attributes: 0,
        least,
        most: None,
        weight: 0,
    };
    let requests = [(kinds::ESP, esp.size), (kinds::ROOT_X86_64, root.size)].map(request);
    let size = minimum_size(&requests);
    let placed: Vec<Placed> = place(&requests, size).expect("they are asked for what they need");
    let (table, boot) = (TableKind::Gpt, BootCode::default());
    let disk = Disk { size, sector_size: 512, table, guid: Uuid([8; 16]), boot };
    DiskLayout::new(&disk, placed.into_iter().zip([esp, root]).collect()).expect("each fits its partition")
}
