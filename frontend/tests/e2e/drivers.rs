//! An initramfs is for machines of every maker: it has the drivers of their disks, as far as the kernel has them.

use std::process::Command;

use super::boot::bare_alpine;
use super::lab::{run, syntax, testdata};

/// KVM's, Xen's, Hyper-V's, VMware's and the clouds'.
const VIRTUAL: [&str; 7] =
    ["virtio_blk", "virtio_scsi", "sd_mod", "nvme", "hv_storvsc", "xen-blkfront", "vmw_pvscsi"];
/// Those of real machines, which VirtualBox and older VMware imitate. Kernels for virtual machines may lack them.
const REAL: [&str; 3] = ["ahci", "ata_piix", "mptspi"];

/// An image of `testdata/machine` on a base with the kernel that a disk of these arguments would have.
pub(crate) fn with_kernel(name: &str, base: &str, arguments: &[&str]) -> String {
    let image = format!("vmimage-test/{name}");
    let mut build = Command::new("docker");
    build.args(["buildx", "build", "-q", "--load", "-t", &image, "--build-arg", "VMIMAGE_STAGE=rootfs"]);
    build.args(["--build-arg", &syntax(), "--build-arg", &format!("BASE={base}")]);
    build.args(arguments.iter().flat_map(|argument| ["--build-arg", argument]));
    run(build.arg(testdata("machine")));
    image
}

/// The initramfs of an image, which the command `list` lists.
pub(crate) fn check_initramfs(image: &str, list: &str) {
    let in_image =
        |command: &str| run(Command::new("docker").args(["run", "--rm", image, "sh", "-c", command]));
    let there = in_image(list) + &in_image("cat /lib/modules/*/modules.builtin");
    let modules = in_image("find /lib/modules/*/kernel -name '*.ko*'");
    assert_eq!(missing(&there, &modules), [""; 0], "{image}:\n{there}");
}

/// The drivers that are not `there`, in the initramfs or the kernel itself, of all and of the kernel's `modules`.
fn missing(there: &str, modules: &str) -> Vec<&'static str> {
    let has = |files: &str, driver: &str| files.contains(&format!("/{driver}.ko"));
    let real = REAL.into_iter().filter(|driver| has(modules, driver));
    VIRTUAL.into_iter().chain(real).filter(|driver| !has(there, driver)).collect()
}

#[test]
fn a_driver_that_is_not_there_is_missed() {
    assert_eq!(missing("", ""), VIRTUAL);
    let there = VIRTUAL.map(|driver| format!("/{driver}.ko.xz\n")).concat();
    assert_eq!(missing(&there, "/ahci.ko"), ["ahci"]);
    assert_eq!(missing(&there, "/ahci_platform.ko"), [""; 0]);
}

#[test]
#[ignore = "minutes: make matrix"]
fn an_initramfs_of_debian_is_for_every_machine() {
    for (name, arguments) in [("drivers", &[][..]), ("drivers-vdi", &["VMIMAGE_FORMAT=vdi"])] {
        check_initramfs(
            &with_kernel(name, "vmimage-test/debian:12", arguments),
            "lsinitramfs /boot/initrd.img-*",
        );
    }
}

#[test]
#[ignore = "minutes: make matrix"]
fn an_initramfs_of_alpine_is_for_every_machine() {
    let image = with_kernel("drivers-alpine", &bare_alpine(), &[]);
    check_initramfs(&image, "zcat /boot/initramfs-virt | cpio -t");
}
