//! The readers of those whom the formats are for, which are stricter than QEMU.

use std::path::Path;
use std::process::{Command, Output};

use exporter::container::{Appliance, Compression, Format};

use crate::readers::{expected, made_of};
use crate::support::{MIB, run};

/// libvmdk and libvhdi: what they tell of a disk.
#[test]
fn the_forensic_readers_tell_the_same() {
    for (format, program, lines) in [
        (Format::Vmdk, "vmdkinfo", &["Stream optimized", "12 MiB (12587008 bytes)"][..]),
        (Format::Vhd, "vhdiinfo", &["Disk type\t\t: Fixed"]),
        (Format::VhdDynamic, "vhdiinfo", &["Disk type\t\t: Dynamic"]),
    ] {
        let (_scratch, path) = made_of(format, Compression::ALL);
        let output = run(Command::new(program).arg(&path));
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        for line in lines {
            assert!(told.contains(line), "{format}: {line:?} in {told}");
        }
    }
}

/// A program of `vmimage-test/judges` on the folder of a disk, as an unprivileged machine would run it.
fn judge(folder: &Path, script: &str) -> Output {
    let folder = format!("{}:/disks", folder.display());
    let mut docker = Command::new("docker");
    docker.args(["run", "--rm", "--network", "none", "-v", &folder, "-w", "/disks"]);
    docker.args(["vmimage-test/judges:sid", "sh", "-ec", script]);
    docker.output().unwrap()
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

/// Registers the disk, clones it, and compares; a disk whose UUIDs do not match is *inaccessible*.
const CLONE: &str = "\
VBoxManage showmediuminfo $1
VBoxManage showmediuminfo $1 | grep -q '^State: *created'
VBoxManage clonemedium $1 clone.raw --format RAW
cmp -n $(stat -c %s expected.raw) clone.raw expected.raw
";

#[test]
#[ignore = "takes VirtualBox: make matrix"]
fn virtualbox_reads_every_disk_it_knows() {
    for format in [Format::Vdi, Format::Vmdk, Format::Vhd, Format::VhdDynamic, Format::Vhdx] {
        let (scratch, path) = made_of(format, Compression::ALL);
        std::fs::write(scratch.path().join("expected.raw"), expected()).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let clone = CLONE.replace("$1", name);
        let output = judge(scratch.path(), &clone);
        assert!(output.status.success(), "{format}: {}", said(&output));

        // What VirtualBox must refuse: the word of the VDI that was missing, the UUIDs of the VMDK, a checksum.
        let mut bytes = std::fs::read(&path).unwrap();
        match format {
            Format::Vdi => bytes[0x1d5] = 0,
            Format::Vmdk => {
                let at = bytes.windows(8).position(|window| window == b"ddb.uuid").unwrap();
                bytes[at..at + 8].copy_from_slice(b"ddb.none");
            }
            Format::Vhdx => [64, 128].iter().for_each(|kib| bytes[(kib << 10) + 20] ^= 1),
            _ => {
                let end = bytes.len() - 512;
                [0, end].iter().for_each(|footer| bytes[footer + 50] ^= 1);
            }
        }
        std::fs::write(&path, bytes).unwrap();
        let output = judge(scratch.path(), &clone);
        assert!(!output.status.success(), "{format}: {}", said(&output));
    }
}

#[test]
#[ignore = "takes VirtualBox: make matrix"]
fn virtualbox_imports_the_appliance() {
    let machine = Appliance::default().name;
    for (format, inside) in [(Format::Ova, String::new()), (Format::Ovf, format!("/{machine}.ovf"))] {
        let (scratch, path) = made_of(format, Compression::ALL);
        let name = format!("{}{inside}", path.file_name().unwrap().to_str().unwrap());
        let output =
            judge(scratch.path(), &format!("VBoxManage import --dry-run {name}\nVBoxManage import {name}"));
        assert!(output.status.success(), "{format}: {}", said(&output));
        assert!(said(&output).contains(&machine), "{format}: {}", said(&output));
    }
}

/// Reads a whole disk with dissect.hypervisor.
const DISSECT: &str = r#"
import importlib, sys
kind, path, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
module = importlib.import_module("dissect.hypervisor.disk." + kind.lower())
disk = getattr(module, kind)(open(path, "rb"))
disk = disk.open() if hasattr(disk, "open") else disk
# Its VDI takes what lies behind a block in the file for the block after it, so no read goes beyond one; and its VMDK
# reads on behind an end that is no whole buffer, so the last sectors are left to the others.
size -= size % (1 << 20)
read = b"".join(disk.read(1 << 20) for _ in range(0, size, 1 << 20))
assert read == open("expected.raw", "rb").read(size), "other bytes"
"#;

#[test]
#[ignore = "takes dissect.hypervisor: make matrix"]
fn dissect_reads_the_same() {
    let formats = [
        (Format::Qcow2, "QCow2"),
        (Format::Vdi, "VDI"),
        (Format::Vmdk, "VMDK"),
        (Format::Vhd, "VHD"),
        (Format::VhdDynamic, "VHD"),
        (Format::Vhdx, "VHDX"),
    ];
    for (format, kind) in formats {
        // Its inflater has the window of 4 KiB that QEMU packs with.
        let compressions = [Compression::ZlibStrict, Compression::Zlib, Compression::None];
        let (scratch, path) = made_of(format, &compressions);
        std::fs::write(scratch.path().join("expected.raw"), expected()).unwrap();
        std::fs::write(scratch.path().join("read.py"), DISSECT).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let script = format!("python3 read.py {kind} {name} {}", expected().len());
        let output = judge(scratch.path(), &script);
        assert!(output.status.success(), "{format}: {}", said(&output));
        // A byte of the noise.
        let mut bytes = std::fs::read(&path).unwrap();
        let noise = crate::support::noise(2 * MIB);
        let at = bytes.windows(24).position(|window| window == &noise[100_000..100_024]);
        if let Some(at) = at {
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            assert!(!judge(scratch.path(), &script).status.success(), "{format}");
        }
    }
}
