//! Without a build: the static binary of the frontend image makes a machine of an image's layers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::boot::check_report;
use super::disk;
use super::lab::{Mount, boot, partitions, run, scratch, static_binary, syntax, testdata};

const BASE: &str = "vmimage-test/alpine:3.23";
const IMAGE: &str = "vmimage-test/machine";

#[test]
fn a_saved_image_becomes_a_machine_that_boots() {
    let folder = scratch();
    let binary = static_binary(folder.path());
    let mut build = Command::new("docker");
    build.args(["buildx", "build", "-q", "--load", "-t", IMAGE, "--build-arg", "VMIMAGE_STAGE=rootfs"]);
    build.args(["--build-arg", &syntax(), "--build-arg", &format!("BASE={BASE}")]);
    run(build.arg(testdata("machine")));

    let saved = folder.path().join("machine.tar");
    run(Command::new("docker").args(["save", IMAGE, "-o"]).arg(&saved));
    let disk = folder.path().join("machine.qcow2");
    let convert = |source: &Path, disk: &Path| {
        let mut command = Command::new(&binary);
        command.args(["convert", "--no-install", "--hostname", "web"]).arg(source).arg("-o").arg(disk);
        run(&mut command);
    };
    convert(&saved, &disk);
    disk::check(&disk);

    // The same layers by another way in are the same disk, byte for byte.
    let layout = folder.path().join("layout");
    std::fs::create_dir(&layout).unwrap();
    run(Command::new("tar").arg("-xf").arg(&saved).arg("-C").arg(&layout));
    assert!(layout.join("oci-layout").exists(), "docker save writes a layout since 25");
    let again = folder.path().join("again.qcow2");
    for source in [&*layout, Path::new("docker-daemon:vmimage-test/machine")] {
        convert(source, &again);
        run(Command::new("cmp").arg(&disk).arg(&again));
    }
    check_report(BASE, "--uefi", &boot(&disk, "--uefi", &[]));
}

/// The frontend image has the programs inside the machine for each architecture, whichever it was built on.
#[test]
fn the_root_grows_by_a_program_of_the_machines_architecture() {
    let folder = scratch();
    let binary = static_binary(folder.path());
    let path = |name: &str| folder.path().join(name);
    for machine in [62, 183] {
        // As far as the head tells (elf(5)), a program for it.
        let init = [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 11], &[machine, 0]].concat();
        for (file, content) in [
            ("boot/vendor", b"debian\n".as_slice()),
            ("boot/grub.efi", b"GRUB"),
            ("tree/sbin/init", &init),
            ("tree/usr/lib/systemd/systemd", &init),
            ("tree/lib/modules/6.1/modules.dep", b""),
            ("tree/boot/vmlinuz-6.1", b"kernel"),
            ("tree/boot/initrd.img-6.1", b"initramfs"),
            ("tree/etc/os-release", b"ID=debian\n"),
        ] {
            fs::create_dir_all(path(file).parent().unwrap()).unwrap();
            fs::write(path(file), content).unwrap();
        }
        fs::set_permissions(path("tree/sbin/init"), fs::Permissions::from_mode(0o755)).unwrap();
        let disk = path("disk.raw");
        let mut convert = Command::new(&binary);
        convert.args(["convert", "--no-install", "--firmware", "uefi", "--boot"]).arg(path("boot"));
        run(convert.arg(path("tree")).arg("-o").arg(&disk));
        let root = Mount::new(&disk, partitions(&disk).last().unwrap(), path("root"));
        let program = fs::read(root.0.join("usr/lib/vmimage/vmimage-grow")).unwrap();
        assert_eq!((&program[..4], program[18]), (b"\x7fELF".as_slice(), machine));
    }
}
