use super::*;
use crate::fs::VolumeId;
use crate::machine::FsSpec;
use crate::tree::initramfs::tests::cpio;
use crate::tree::testing::tree;
use crate::tree::{Editor, Time, kernel};

const MACHINE: Architecture = Architecture::X86_64;
const MODULES: &str = "/lib/modules/6.1/modules.builtin";

/// The tree of these files, and of these in bytes that may be executed.
fn with(files: &[(&str, &str)], programs: &[(&str, &[u8])]) -> Tree {
    let mut tree = tree(files);
    let mut editor = Editor::new(&mut tree, Time::default());
    for (path, bytes) in programs {
        editor.write_file(path, *bytes, 0o755).unwrap();
    }
    tree
}

fn says<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Ok(_) => "fine".into(),
        Err(error) => {
            assert!(error.hint().is_some(), "{error}");
            error.to_string()
        }
    }
}

/// What is said of the kernel 6.1 with these built-in drivers, beside these files and an initramfs.
fn kernel_with(built_in: &[&str], files: &[(&str, &str)], initramfs: Option<&[u8]>) -> String {
    let list: String = built_in.iter().map(|name| format!("kernel/drivers/{name}.ko\n")).collect();
    let files = [&[("/boot/vmlinuz-6.1", "kernel"), (MODULES, &list)], files].concat();
    let initramfs: Vec<_> = initramfs.iter().map(|bytes| ("/boot/initrd.img-6.1", *bytes)).collect();
    let tree = with(&files, &initramfs);
    says(require_kernel(&tree, &kernel::chosen(&tree).unwrap(), FileSystem::Ext4, true))
}

#[test]
fn a_volatile_root_takes_the_driver_of_overlays() {
    for (built_in, loaded, expected) in [
        ("kernel/fs/overlayfs/overlay.ko\n", "", "fine"),
        ("", "kernel/fs/overlayfs/overlay.ko.xz:\n", "fine"),
        (
            "kernel/fs/ext4/ext4.ko\n",
            "",
            "/boot/vmlinuz-6.1: has no driver overlay, for what is written over a root that is only read",
        ),
    ] {
        let files =
            [("/boot/vmlinuz-6.1", "kernel"), (MODULES, built_in), ("/lib/modules/6.1/modules.dep", loaded)];
        let tree = tree(&files);
        assert_eq!(says(require_overlay(&tree, &kernel::chosen(&tree).unwrap(), &Spec::default())), expected);
    }
    // Nobody knows.
    let tree = tree(&[("/boot/vmlinuz-6.1", "kernel")]);
    assert_eq!(says(require_overlay(&tree, &kernel::chosen(&tree).unwrap(), &Spec::default())), "fine");
}

#[test]
fn what_is_mounted_later_has_a_driver() {
    let mount = |file_system| {
        let point = "/srv".to_owned();
        let found_by = FsSpec::Id(VolumeId::Serial(1));
        Mount { point, found_by, file_system, options: String::new(), is_covered: false }
    };
    let said = |built_in: &str, loaded: &str, file_system| {
        let files =
            [("/boot/vmlinuz-6.1", "kernel"), (MODULES, built_in), ("/lib/modules/6.1/modules.dep", loaded)];
        let tree = tree(&files);
        says(require_drivers(&tree, &kernel::chosen(&tree).unwrap(), &[mount(file_system)]))
    };
    let erofs = "kernel/fs/erofs/erofs.ko";
    assert_eq!(said(&format!("{erofs}\n"), "", FileSystem::Erofs), "fine");
    assert_eq!(said("", &format!("{erofs}: kernel/lib/lz4.ko\n"), FileSystem::Erofs), "fine");
    assert_eq!(said("", "", FileSystem::Ext4), "fine");
    assert_eq!(said("", "", FileSystem::Erofs), "/srv: is erofs, which /boot/vmlinuz-6.1 has no driver for");
}

/// Debian's kernel for clouds boots from NVMe without one, and from no virtio disk.
#[test]
fn a_kernel_whose_usual_disk_is_a_module_needs_an_initramfs() {
    let loads = |module: &str| {
        let list = format!("kernel/drivers/{module}.ko: kernel/drivers/virtio/virtio.ko\n");
        kernel_with(&["fs/ext4", "nvme/nvme"], &[("/lib/modules/6.1/modules.dep", &list)], None)
    };
    assert!(loads("block/virtio_blk").contains("has no initramfs"));
    assert_eq!(loads("net/virtio_net"), "fine");
    let list = [("/lib/modules/6.1/modules.dep", "kernel/drivers/scsi/virtio_scsi.ko:\n")];
    assert_eq!(kernel_with(&["fs/ext4", "block/virtio_blk"], &list, None), "fine");
}

#[test]
fn a_kernel_without_an_initramfs_needs_its_drivers_built_in() {
    assert_eq!(kernel_with(&["fs/ext4", "block/virtio_blk"], &[], None), "fine");
    assert_eq!(kernel_with(&["fs/ext4", "nvme", "xen-blkfront"], &[], None), "fine");
    for built_in in [&[][..], &["fs/ext4"], &["virtio_blk"]] {
        let said = kernel_with(built_in, &[], None);
        assert!(said.starts_with("/boot/vmlinuz-6.1: has no initramfs, and nothing says"), "{said}");
    }
    // A link that leads nowhere, and a file without a byte, are none.
    assert!(kernel_with(&[], &[("/boot/initrd.img-6.1", "-> gone")], None).contains("has no initramfs"));
    assert!(kernel_with(&[], &[], Some(b"")).contains("has no initramfs"));
}

#[test]
fn what_keeps_an_initramfs_from_being_made_is_named() {
    let diversions = "/usr/sbin/update-initramfs\n/usr/sbin/update-initramfs.distrib\n:\n";
    for (files, said) in [
        (
            &[("/usr/sbin/update-initramfs", "-> /bin/true")][..],
            "/usr/sbin/update-initramfs is a link to /bin/true",
        ),
        (
            &[("/usr/sbin/update-initramfs", "-> /bin/true"), ("/var/lib/dpkg/diversions", diversions)],
            "/usr/sbin/update-initramfs is diverted to /usr/sbin/update-initramfs.distrib, and a link to /bin/true is in \
             its place",
        ),
        (&[("/usr/bin/dracut", "#!/bin/sh\nexit 0\n")], "/usr/bin/dracut is a script that does nothing"),
        (&[("/usr/bin/mkinitcpio", "-> true")], "/usr/bin/mkinitcpio is a link to true"),
        (&[("/sbin/mkinitfs", "-> /bin/true")], "/sbin/mkinitfs is a link to /bin/true"),
    ] {
        assert_eq!(
            kernel_with(&[], files, None),
            format!("/boot/vmlinuz-6.1: has no initramfs: {said}, so none was made")
        );
    }
}

#[test]
fn an_initramfs_has_the_drivers_of_the_root() {
    let every = ["init", "lib/modules/6.1/ext4.ko.xz", "lib/modules/6.1/virtio_blk.ko.xz"];
    for (built_in, names, lacking) in [
        (&[][..], &every[..], None),
        (&[], &["ext4.ko", "nvme.ko.zst"], None),
        (&["fs/ext4"], &["a/xen-blkfront.ko.gz"], None),
        (&["virtio_blk", "fs/ext4"], &["init"], None),
        (&[], &["init", "squashfs-root.img"], None),
        (&[], &every[..2], Some("/boot/initrd.img-6.1: has no driver of any disk")),
        (&[], &["init", "virtio_blk.ko", "notext4.ko", "ext4.ko.txt"], Some("of the root's file system")),
        (&["virtio_blk"], &["init"], Some("of the root's file system")),
    ] {
        let said = kernel_with(built_in, &[], Some(&cpio(names)));
        match lacking {
            None => assert_eq!(said, "fine", "{names:?}"),
            Some(lacking) => assert!(said.contains(lacking), "{names:?}: {said}"),
        }
    }
    // What cannot be read, and a kernel that does not say what is built in, are taken as they are.
    assert_eq!(kernel_with(&[], &[], Some(b"\xfd7zXZ\0")), "fine");
    let silent = with(
        &[("/boot/vmlinuz-6.1", "kernel"), ("/lib/modules/6.1/", "")],
        &[("/boot/initrd.img-6.1", &cpio(&["init"]))],
    );
    assert_eq!(
        says(require_kernel(&silent, &kernel::chosen(&silent).unwrap(), FileSystem::Ext4, true)),
        "fine"
    );
}

/// The beginning of a bzImage that tells its release.
fn image(release: &str) -> Vec<u8> {
    let mut bytes = vec![0; 0x300];
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    bytes[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
    bytes.extend(format!("{release} (somebody@somewhere) #1 SMP\0").bytes());
    bytes
}

#[test]
fn modules_are_those_of_the_kernel() {
    let initramfs = cpio(&["ext4.ko", "virtio_blk.ko"]);
    let said = |image: &[u8], files: &[(&str, &str)]| {
        let tree = with(files, &[("/boot/vmlinuz-virt", image), ("/boot/initramfs-virt", &initramfs)]);
        says(require_kernel(&tree, &kernel::chosen(&tree).unwrap(), FileSystem::Ext4, true))
    };
    let modules = [("/lib/modules/6.1-virt/", "")];
    assert_eq!(said(b"kernel", &modules), "fine");
    assert_eq!(said(&image("6.1-virt"), &modules), "fine");
    let other = said(&image("6.2-virt"), &modules);
    assert_eq!(other, "/lib/modules/6.2-virt: is not there, /boot/vmlinuz-virt needs it; there is: 6.1-virt");
    assert!(said(&image("6.1-virt"), &[]).contains("there is: no others"));
}

/// A program that `loader` loads, if any.
fn elf(machine: u8, loader: &str) -> Vec<u8> {
    let mut bytes = vec![0; 120];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (bytes[18], bytes[32], bytes[54]) = (machine, 64, 56);
    if !loader.is_empty() {
        (bytes[56], bytes[64], bytes[72]) = (1, 3, 120);
        bytes.extend(loader.bytes().chain([0]));
    }
    bytes
}

#[test]
fn init_can_run() {
    let (systemd, loader) = (elf(62, "/lib64/ld.so"), elf(62, ""));
    let there = [("/usr/lib64/ld.so", &loader[..])];
    let said = |files: &[(&str, &str)], programs: &[(&str, &[u8])]| {
        let files = [&[("/lib64", "-> usr/lib64")], files].concat();
        says(require_init(&with(&files, &[&there[..], programs].concat()), "/sbin/init", MACHINE))
    };
    let link = [("/sbin/init", "-> /lib/systemd/systemd")];
    assert_eq!(said(&link, &[("/lib/systemd/systemd", &systemd)]), "fine");
    assert_eq!(said(&[], &[("/sbin/init", &loader)]), "fine");
    assert_eq!(said(&[], &[("/sbin/init", b"#! /bin/sh -e\nexec x\n"), ("/bin/sh", &systemd)]), "fine");
    for (file, part) in [
        (link[0], "leads to /lib/systemd/systemd, which is not there"),
        (("/sbin/init", "\x7fELF"), "is not executable"),
        (("/sbin/init", "-> /bin/true"), "is a link to /bin/true: the machine would end at once"),
        (("/sbin/init/", ""), "is no regular file"),
    ] {
        assert_eq!(said(&[file], &[]), format!("/sbin/init: {part}"));
    }
    for (program, part) in [
        (b"text".to_vec(), "is neither a program nor a script that begins with #!"),
        (elf(183, ""), "is a program for another architecture"),
        (elf(62, "/lib/ld-musl"), "needs /lib/ld-musl, which is not there"),
        (b"#!/bin/bash\nexec x\n".to_vec(), "needs /bin/bash, which is not there"),
        (b"#! \nexec x\n".to_vec(), "is a script that names no interpreter"),
        (b"#!/sbin/init\nexec x\n".to_vec(), "is a script that is interpreted by scripts without end"),
    ] {
        assert_eq!(said(&[], &[("/sbin/init", &program)]), format!("/sbin/init: {part}"));
    }
}

/// No offset of a header leads out of what was read.
#[test]
fn headers_are_not_believed() {
    let program = elf(62, "/lib64/ld.so");
    for at in 16..program.len() {
        let mut program = program.clone();
        program[at] = 0xff;
        let _ = elf_interpreter(&program);
        let _ = elf_interpreter(&program[..at]);
    }
    let mut kernel = image("6.1");
    kernel[0x20e..0x210].copy_from_slice(&[0xff; 2]);
    assert_eq!(release(&Content::Bytes(kernel.into())).unwrap(), None);
}

/// Two gigabytes of names of modules were kept.
#[test]
fn of_an_initramfs_only_what_is_asked_for_is_kept() {
    let many: Vec<_> = (0..20_000).map(|at| format!("lib/modules/6.1/m{at}.ko")).collect();
    let names: Vec<_> = many.iter().map(String::as_str).chain(["kernel/fs/ext4.ko.xz", "init"]).collect();
    let modules = modules(&Content::Bytes(cpio(&names).into()), "ext4").unwrap();
    assert!(modules.are_some && modules.drivers.iter().eq(["ext4"]));
    let none = super::modules(&Content::Bytes(cpio(&["init"]).into()), "ext4").unwrap();
    assert!(!none.are_some && none.drivers.is_empty());
}
