//! One build, every format: each file holds the same machine, and boots. Here that is raw; the others boot where a
//! machine does so anyway: VDI and VHDX in `firmware.rs` (`make matrix`), VHD in `same_tree.rs`, VMDK in `identity.rs`, qcow2 everywhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::boot::check_report;
use super::disk::{self, check_package, damage, manifest_holds};
use super::lab::{VMIMAGE, boot, boot_by, build, copy_of, nonce, refused, run, scratch, syntax, testdata};

const BASE: &str = "vmimage-test/alpine:3.23";

/// What QEMU boots: the format, and QEMU's name for it.
const FORMATS: [(&str, &str); 7] = [
    ("raw", "raw"),
    ("qcow2", "qcow2"),
    ("vdi", "vdi"),
    ("vhd", "vpc"),
    ("vhdx", "vhdx"),
    ("vmdk", "vmdk"),
    ("ovf", "vmdk"),
];
/// The firmware that is quickest in emulation.
const FIRMWARE: &str = "--bios";

#[test]
fn one_build_gives_a_disk_that_boots_in_each_format() {
    let folder = scratch();
    let path = |format: &str| folder.path().join(format!("machine.{format}"));
    let base = format!("BASE={BASE}");
    let machine = ["--build-arg", &base, "--hostname", "web"];
    let context = context(folder.path());
    let [(first, _), others @ ..] = &FORMATS;
    let outputs = others.iter().map(|(format, _)| format!("--output={}", path(format).display()));
    let formats = FORMATS.iter().map(|(format, _)| format!("--format={format}"));
    let others: Vec<_> = outputs.chain(formats).collect();
    let others = others.iter().map(String::as_str);
    build(&context, &path(first), &machine.into_iter().chain(others).collect::<Vec<_>>());

    disk::check(&path("raw"));
    let package = path("ovf");
    let inside = check_package(&package, "web");
    for (format, driver) in FORMATS {
        let file = if format == "ovf" { inside.clone() } else { path(format) };
        run(&mut compare(&path("raw"), &file, driver));
    }
    let shown = run(Command::new(VMIMAGE).arg("run").arg(&package).arg("--dry-run"));
    assert!(shown.contains(inside.to_str().unwrap()), "{shown}");
    damage(&inside, 1 << 20, || assert!(!manifest_holds(&package, "web")));
    stock_clients_get_the_folder(&context, folder.path(), &package);
    damage(&path("raw"), 1 << 20, || {
        refused(&mut compare(&path("raw"), &path("qcow2"), "qcow2"));
    });

    // Alone, and through a pipe: the machine does not depend on what else is made.
    let streamed = folder.path().join("streamed");
    let mut command = Command::new(VMIMAGE);
    command.arg("build").arg(&context).args(machine).args(["-o", "-", "--format", "raw"]);
    let status = command.stdout(fs::File::create(&streamed).unwrap()).status().unwrap();
    assert!(status.success());
    run(Command::new("cmp").arg(&streamed).arg(path("raw")));

    check_report(BASE, FIRMWARE, &boot(&path("raw"), FIRMWARE, &[]));
}

/// Docker alone, with the frontend and no vmimage beside it: a folder in the folder or the archive that it writes.
fn stock_clients_get_the_folder(context: &Path, folder: &Path, expected: &Path) {
    let (local, archive) = (folder.join("local"), folder.join("archive.tar"));
    let arguments = [&*syntax(), &format!("BASE={BASE}"), "VMIMAGE_HOSTNAME=web", "VMIMAGE_FORMAT=ovf"];
    let arguments: Vec<_> = arguments.iter().flat_map(|argument| ["--build-arg", argument]).collect();
    for output in
        [format!("type=local,dest={}", local.display()), format!("type=tar,dest={}", archive.display())]
    {
        run(Command::new("docker")
            .args(["buildx", "build", "--output", &output])
            .args(&arguments)
            .arg(context));
    }
    let folder = local.join("disk-ovf");
    check_package(&folder, "web");
    run(Command::new("diff").arg("-r").arg(&folder).arg(expected));
    let listed = run(Command::new("tar").arg("-tf").arg(&archive));
    let mut files: Vec<_> = listed.lines().filter(|name| !name.ends_with('/')).collect();
    files.sort_unstable();
    assert_eq!(files, ["disk-ovf/web-disk1.vmdk", "disk-ovf/web.mf", "disk-ovf/web.ovf"]);
}

/// The machines of VirtualBox have AHCI and e1000, for which Debian's kernel for virtual machines has no drivers.
#[test]
#[ignore = "minutes: make matrix"]
fn a_vdi_of_debian_boots_as_virtualbox_makes_machines() {
    let folder = scratch();
    let disk = folder.path().join("machine.vdi");
    build(&testdata("machine"), &disk, &["--hostname", "web"]);
    // A QEMU that puts these in place of virtio's.
    let qemu = folder.path().join("qemu-system-x86_64");
    let real = run(Command::new("which").arg("qemu-system-x86_64"));
    let script = format!(
        "#!/bin/sh\nfor word; do shift; case $word in\n\
         virtio-blk-pci,*) word=ide-hd,${{word#*,}} ;;\n\
         virtio-net-pci,*) word=e1000,${{word#*,}} ;;\n\
         esac; set -- \"$@\" \"$word\"; done\nexec {} \"$@\"\n",
        real.trim()
    );
    fs::write(&qemu, script).unwrap();
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
    let mut vmimage = Command::new(VMIMAGE);
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    vmimage.env("PATH", path);
    check_report("vmimage-test/debian:12", FIRMWARE, &boot_by(vmimage, &disk, FIRMWARE, &[]));
}

/// A machine whose steps nobody else builds: of two builds of one step, BuildKit may take either, and their
/// files are of different times.
fn context(folder: &Path) -> PathBuf {
    let context = copy_of("machine", folder);
    let file = context.join("Dockerfile");
    let text = fs::read_to_string(&file).unwrap();
    let from = "FROM $BASE\n";
    assert!(text.contains(from));
    fs::write(&file, text.replace(from, &format!("{from}ENV BUILD={}\n", nonce()))).unwrap();
    context
}

/// QEMU's opinion on whether both files hold the same disk.
fn compare(raw: &Path, disk: &Path, driver: &str) -> Command {
    let mut command = Command::new("qemu-img");
    command.args(["compare", "-f", "raw", "-F", driver]).arg(raw).arg(disk);
    command
}
