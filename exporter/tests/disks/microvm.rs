//! MicroVMs: what a monitor is given, and what becomes of bad input.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

use exporter::assemble::{Input, Programs, plan};
use exporter::container::microvm::{DriveFormat, Vm};
use exporter::container::{Compression, Format, write};
use exporter::engine::Run;
use exporter::machine::Materials;
use exporter::spec::{Architecture, Container, Initramfs, Profile, Spec, Volatile};
use exporter::tree::{Editor, Time, Tree};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::inputs::{self, MIB, input};
use crate::kernels::{self, RELEASE};
use crate::layouts::{Disk, said};

pub(crate) const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

fn container(words: &[&str]) -> Container {
    let cmd = words.iter().map(|word| (*word).to_owned()).collect();
    let exposed_ports = ["80/tcp".to_owned()].into();
    Container { cmd, exposed_ports, ..Container::default() }
}

pub(crate) fn spec(format: Format) -> Spec {
    Spec {
        name: "web".into(),
        profile: Profile::Microvm,
        formats: vec![format],
        container: Some(container(&["/app"])),
        ..Spec::default()
    }
}

/// A program and nothing else, with a kernel whose drivers are modules.
pub(crate) fn scratch() -> Input {
    with_donor(inputs::scratch_image(), &[])
}

pub(crate) fn with_donor(root: Tree, without: &[&str]) -> Input {
    let mut donor = inputs::donor_without_kernel();
    kernels::install(&mut donor, false, without);
    Editor::new(&mut donor, Time::default()).write_file(STUB, stub(), 0o644).unwrap();
    Input { donor: Some(donor), boot: None, ..input(root) }
}

/// The head of a program for UEFI, with room for the sections of a uki.
pub(crate) fn stub() -> Vec<u8> {
    let mut stub = vec![0; 0x600];
    for (at, what) in [
        (0, &b"MZ"[..]),
        (0x3c, &[0x40]),
        (0x40, b"PE\0\0\x64\x86\x01\0"),
        (0x54, &[112]),
        (0x58, &[0x0b, 2]),
        (0x58 + 32, &[0, 0x10, 0, 0, 0, 2]),
        (0x58 + 60, &[0, 4]),
        (0xc8, b".text\0\0\0"),
    ] {
        stub[at..at + what.len()].copy_from_slice(what);
    }
    let section = [0x200_u32, 0x1000, 0x200, 0x400];
    for (word, number) in section.into_iter().enumerate() {
        stub[0xd0 + 4 * word..][..4].copy_from_slice(&number.to_le_bytes());
    }
    stub
}

/// What was made, and what the report said.
pub(crate) struct Made {
    pub(crate) scratch: TempDir,
    pub(crate) edits: Vec<String>,
}

impl Made {
    pub(crate) fn of(spec: &Spec, input: Input, compression: Compression, threads: usize) -> Self {
        let run = Run::silent(NonZeroUsize::new(threads).unwrap());
        let planned = plan(spec, input, &run).unwrap_or_else(|error| panic!("{error}"));
        let scratch = TempDir::new().unwrap();
        let target = planned.target(scratch.path().join("made"), spec.formats[0], compression);
        write(planned.image(), &[target], &run).unwrap();
        Self { scratch, edits: planned.system.unwrap().edits }
    }

    pub(crate) fn folder(spec: &Spec, input: Input) -> Self {
        Self::of(spec, input, Compression::None, 2)
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        let made = self.scratch.path().join("made");
        if name.is_empty() { made } else { made.join(name) }
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.bytes(name)).unwrap()
    }

    pub(crate) fn vm(&self) -> Vm {
        Vm::read(&self.path("")).unwrap()
    }

    fn debugfs(&self, request: &str) -> String {
        said(Command::new("debugfs").args(["-R", request]).arg(self.path("root.raw")))
    }
}

pub(crate) fn is_whole(checker: &str, arguments: &[&str], path: &Path) -> bool {
    Command::new(checker).args(arguments).arg(path).output().unwrap().status.success()
}

/// The names in the initramfs of a folder, which is not packed.
pub(crate) fn plain(initramfs: &[u8]) -> String {
    assert!(initramfs.starts_with(b"070701"), "is packed, or no archive");
    String::from_utf8_lossy(initramfs).into_owned()
}

/// The names in an initramfs of one frame of zstd.
fn unpacked(initramfs: &[u8]) -> String {
    String::from_utf8_lossy(&zstd::decode_all(initramfs).unwrap()).into_owned()
}

#[test]
fn a_folder_has_all_that_a_monitor_needs() {
    let mut asked = spec(Format::Microvm);
    asked.cmdline = "loglevel=7".into();
    asked.microvm = serde_json::from_str(r#"{"cpus":2,"memory":"128M","ulimits":{"nofile":7}}"#).unwrap();
    let made = Made::folder(&asked, scratch());
    let all = [
        "cloud-hypervisor.json",
        "firecracker.json",
        "initramfs",
        "root.raw",
        "vm.json",
        "vmlinux",
        "vmlinuz",
    ];
    assert_eq!(made.names(), all);
    assert!(is_whole("e2fsck", &["-fn"], &made.path("root.raw")));
    assert_eq!(made.bytes("vmlinux"), kernels::vmlinux());
    assert_eq!(made.bytes("vmlinuz"), kernels::bz_image(&kernels::vmlinux()));

    let words = "root=/dev/vda rootfstype=ext4 rw init=/usr/lib/vmimage/init console=ttyS0 quiet panic=-1 reboot=t \
                 random.trust_cpu=on i8042.noaux loglevel=7";
    let vm = made.vm();
    assert_eq!((&*vm.name, vm.architecture, vm.cpus, vm.memory_mib), ("web", Architecture::X86_64, 2, 128));
    assert_eq!((&*vm.cmdline, &*vm.kernel), (words, "vmlinuz"));
    assert_eq!((vm.vmlinux.as_deref(), vm.initramfs.as_deref()), (Some("vmlinux"), Some("initramfs")));
    assert_eq!(
        (&*vm.ports, &*vm.machines),
        (&["80/tcp".to_owned()][..], &["q35".to_owned(), "microvm".into()][..])
    );
    let [drive] = &vm.drives[..] else { panic!("{vm:?}") };
    assert_eq!((&*drive.file, drive.format, drive.read_only), ("root.raw", DriveFormat::Raw, false));
    let firecracker = made.json("firecracker.json");
    assert_eq!(firecracker["boot-source"]["boot_args"], format!("{words} vmimage.off=reboot"));
    assert_eq!(firecracker["machine-config"], json!({ "vcpu_count": 2, "mem_size_mib": 128 }));
    assert_eq!(made.json("cloud-hypervisor.json")["memory"]["size"], 128 * MIB);

    let initramfs = plain(&made.bytes("initramfs"));
    for name in ["virtio_blk.ko", "virtio_pci.ko", "ext4.ko", "dev/console"] {
        assert!(initramfs.contains(name), "{name}");
    }
    assert!(!initramfs.contains("overlay.ko") && !initramfs.contains("erofs.ko"));
    let told = made.debugfs("cat /usr/lib/vmimage/init.json");
    let expected = r#"{"on_crash":"poweroff","confined":true,"ulimits":{"nofile":{"soft":7,"hard":7}}}"#;
    assert!(told.ends_with(expected), "{told}");
    let root = made.debugfs("ls -p /");
    assert!(root.contains("/app/") && !root.contains("/boot/") && !root.contains("/lib/"), "{root}");
}

#[test]
fn a_kernel_that_mounts_the_root_by_itself_needs_no_initramfs() {
    let mut donor = inputs::donor_without_kernel();
    kernels::install(&mut donor, true, &[]);
    let made =
        Made::folder(&spec(Format::Microvm), Input { donor: Some(donor), ..input(inputs::scratch_image()) });
    assert!(!made.names().contains(&"initramfs".to_owned()), "{:?}", made.names());
    assert_eq!(made.vm().initramfs, None);
    assert!(made.json("firecracker.json")["boot-source"].get("initrd_path").is_none());
    assert!(made.edits.iter().any(|edit| edit.starts_with("initramfs: none")), "{:?}", made.edits);
}

#[test]
fn a_packed_root_is_a_qcow2_and_firecracker_takes_none() {
    let made = Made::of(&spec(Format::Microvm), scratch(), Compression::Zstd, 2);
    assert_eq!(
        made.names(),
        ["cloud-hypervisor.json", "initramfs", "root.qcow2", "vm.json", "vmlinux", "vmlinuz"]
    );
    assert_eq!(made.vm().drives[0].format, DriveFormat::Qcow2);
    assert_eq!(made.json("cloud-hypervisor.json")["disks"][0]["image_type"], "Qcow2");
    assert!(is_whole("qemu-img", &["check"], &made.path("root.qcow2")));
}

#[test]
fn a_root_of_erofs_is_only_read_with_an_overlay_over_it() {
    let layout = r#"{"partitions":[{"type":"root","filesystem":"erofs","compression":"lz4"}]}"#;
    let layout = serde_json::from_str(layout).unwrap();
    let asked = Spec { layout, volatile: Volatile::Overlay, ..spec(Format::Microvm) };
    let made = Made::folder(&asked, scratch());
    assert!(is_whole("fsck.erofs", &[], &made.path("root.raw")));
    let vm = made.vm();
    assert!(vm.drives[0].read_only);
    assert!(
        vm.cmdline.starts_with("root=/dev/vda rootfstype=erofs ro init=/usr/lib/vmimage/early "),
        "{}",
        vm.cmdline
    );
    let initramfs = plain(&made.bytes("initramfs"));
    assert!(initramfs.contains("overlay.ko") && !initramfs.contains("ext4.ko"));
}

/// Each section by its name, as the headers say.
fn sections(uki: &[u8]) -> Vec<(String, &[u8])> {
    let number = |at: usize| u32::from_le_bytes(uki[at..at + 4].try_into().unwrap()) as usize;
    let count = number(0x46) & 0xffff;
    let section = |index: usize| {
        let at = 0xc8 + 40 * index;
        let name = String::from_utf8_lossy(&uki[at..at + 8]).trim_end_matches('\0').to_owned();
        let (len, from) = (number(at + 8).min(number(at + 16)), number(at + 20));
        (name, &uki[from..from + len])
    };
    (0..count).map(section).collect()
}

#[test]
fn a_uki_has_the_root_in_its_initramfs() {
    let made = Made::of(&spec(Format::Uki), scratch(), Compression::None, 2);
    let uki = made.bytes("");
    let sections = sections(&uki);
    let names: Vec<_> = sections.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [".text", ".osrel", ".cmdline", ".uname", ".initrd", ".linux"]);
    let text = |index: usize| String::from_utf8_lossy(sections[index].1).into_owned();
    assert_eq!(text(1), "ID=linux\nPRETTY_NAME=\"web\"\n");
    assert_eq!(
        text(2),
        "root=/root.erofs rootfstype=erofs ro init=/usr/lib/vmimage/early console=tty0 console=ttyS0 quiet panic=-1"
    );
    assert_eq!(text(3), RELEASE);
    assert!(sections[5].1.starts_with(&kernels::bz_image(&kernels::vmlinux())));

    // An archive of the root, and behind it the packed one.
    let initrd = sections[4].1;
    let hex =
        |at: usize| usize::from_str_radix(std::str::from_utf8(&initrd[at..at + 8]).unwrap(), 16).unwrap();
    let (len, start) = (hex(54), (110 + hex(94)).next_multiple_of(4));
    assert_eq!(&initrd[110..121], b"root.erofs\0");
    let root = made.scratch.path().join("root.erofs");
    fs::write(&root, &initrd[start..start + len]).unwrap();
    assert!(is_whole("fsck.erofs", &[], &root));
    let packed = initrd.windows(4).rposition(|bytes| bytes == [0x28, 0xb5, 0x2f, 0xfd]).unwrap();
    assert!(packed > start + len && packed.is_multiple_of(4));
    let initramfs = unpacked(&initrd[packed..]);
    assert!(["loop.ko", "erofs.ko", "overlay.ko"].iter().all(|name| initramfs.contains(name)));
}

#[test]
fn a_donor_may_give_the_stub_alone() {
    let mut root = inputs::scratch_image();
    kernels::install(&mut root, true, &[]);
    let mut donor = inputs::donor_without_kernel();
    Editor::new(&mut donor, Time::default()).write_file(STUB, stub(), 0o644).unwrap();
    let made =
        Made::of(&spec(Format::Uki), Input { donor: Some(donor), ..input(root) }, Compression::None, 2);
    assert_eq!(sections(&made.bytes("")).len(), 6);
}

#[test]
fn the_same_input_is_the_same_bytes_whatever_runs() {
    for format in [Format::Microvm, Format::Uki] {
        let all = |threads| {
            let made = Made::of(&spec(format), scratch(), Compression::None, threads);
            let names = if format.is_folder() { made.names() } else { vec![String::new()] };
            names.into_iter().map(|name| (made.bytes(&name), name)).collect::<Vec<_>>()
        };
        assert!(all(1) == all(4), "{format}");
    }
}

#[test]
fn a_file_is_the_kernel_where_one_is_named() {
    let file = |bytes: &[u8]| {
        let mut context = inputs::donor_without_kernel();
        Editor::new(&mut context, Time::default()).write_file("/kernels/mine", bytes, 0o644).unwrap();
        let materials = Materials { context, ..Materials::default() };
        let mut root = inputs::scratch_image();
        kernels::install(&mut root, true, &[]);
        Input { materials, donor: None, ..input(root) }
    };
    let asked = Spec {
        kernel_file: Some(serde_json::from_str(r#""kernels/mine""#).unwrap()),
        ..spec(Format::Microvm)
    };
    // One that came as an ELF is that already.
    let made = Made::folder(&asked, file(&kernels::vmlinux()));
    assert_eq!((made.bytes("vmlinuz"), made.vm().vmlinux.as_deref()), (kernels::vmlinux(), Some("vmlinuz")));
    assert!(!made.names().contains(&"vmlinux".to_owned()));
    let refused = |bytes: &[u8]| refusal(&asked, file(bytes));
    assert!(refused(b"#!/bin/sh\n").starts_with("kernels/mine: is no kernel"), "{}", refused(b"#!/bin/sh\n"));
    let disk = Spec { formats: vec![Format::Raw], ..asked.clone() };
    let planned = plan(&disk, file(&kernels::vmlinux()), &Run::silent(NonZeroUsize::MIN)).unwrap();
    assert_eq!(planned.system.unwrap().kernel, format!("/boot/vmlinuz-{RELEASE}"));
    let missing = Spec { kernel_file: Some(serde_json::from_str(r#""none""#).unwrap()), ..asked.clone() };
    assert!(refusal(&missing, scratch()).starts_with("none: is not in the build context"));
}

#[test]
fn monitors_of_arm64_get_the_kernel_that_was_packed() {
    let asked = Spec {
        architecture: Architecture::Aarch64,
        kernel_file: Some(serde_json::from_str(r#""kernel""#).unwrap()),
        ..spec(Format::Microvm)
    };
    let file = |bytes: &[u8]| {
        let mut context = inputs::donor_without_kernel();
        Editor::new(&mut context, Time::default()).write_file("/kernel", bytes, 0o644).unwrap();
        let mut root = inputs::scratch_image();
        let program = [&b"\x7fELF\x02\x01\x01"[..], &[0; 11], &[183, 0], &[0; 44]].concat();
        let programs = Programs { init: Some(program[..].into()), ..Programs::default() };
        Editor::new(&mut root, Time::default()).write_file("/app", program, 0o755).unwrap();
        kernels::install(&mut root, true, &[]);
        let materials = Materials { context, ..Materials::default() };
        Input { materials, programs, donor: None, ..input(root) }
    };
    for kernel in [kernels::arm64(), kernels::gzip(&kernels::arm64()), kernels::zboot()] {
        let made = Made::folder(&asked, file(&kernel));
        assert!(made.bytes("vmlinuz") == kernels::arm64());
        assert_eq!((made.vm().vmlinux, &*made.vm().kernel), (None, "vmlinuz"));
        assert_eq!(made.json("firecracker.json")["boot-source"]["kernel_image_path"], "vmlinuz");
        assert_eq!(made.json("cloud-hypervisor.json")["payload"]["kernel"], "vmlinuz");
    }
    for (kernel, why) in [
        (kernels::gzip(b"text"), "kernel: has no kernel of aarch64 packed in it"),
        (kernels::gzip(&kernels::arm64())[..1000].to_vec(), "kernel: the kernel in it cannot be unpacked"),
    ] {
        let said = refusal(&asked, file(&kernel));
        assert!(said.starts_with(why), "{said}");
    }
}

/// A distribution whose newest kernel is none of its links'.
pub(crate) fn debian(without: &[&str]) -> Tree {
    let mut tree = inputs::debian_small();
    let mut editor = Editor::new(&mut tree, Time::default());
    for link in ["/vmlinuz", "/initrd.img"] {
        editor.remove(link);
    }
    kernels::install(&mut tree, false, without);
    tree
}

pub(crate) fn refusal(spec: &Spec, input: Input) -> String {
    plan(spec, input, &Run::silent(NonZeroUsize::MIN)).unwrap_err().to_string()
}

#[test]
fn what_would_not_start_is_refused_in_one_line() {
    let microvm = || spec(Format::Microvm);
    let runs = |words: &[&str]| Spec { container: Some(container(words)), ..microvm() };
    let user = Container { user: "nobody".into(), ..container(&["/app"]) };
    let signal = Container { stop_signal: "SIGFOO".into(), ..container(&["/app"]) };
    let with = |path: &str, bytes: &[u8], permissions| {
        let mut tree = inputs::scratch_image();
        Editor::new(&mut tree, Time::default()).write_file(path, bytes, permissions).unwrap();
        with_donor(tree, &[])
    };
    let arm64 = [&b"\x7fELF\x02\x01\x01"[..], &[0; 11], &[183, 0], &[0; 44]].concat();
    let mut no_stub = scratch();
    Editor::new(no_stub.donor.as_mut().unwrap(), Time::default()).remove(STUB);
    let uki_on_plain =
        Spec { kernel_file: Some(serde_json::from_str(r#""vmlinux""#).unwrap()), ..spec(Format::Uki) };
    let mut plain = scratch();
    Editor::new(&mut plain.materials.context, Time::default())
        .write_file("/vmlinux", kernels::vmlinux(), 0o644)
        .unwrap();
    kernels::install(&mut plain.root, true, &[]);
    for (spec, input, expected) in [
        (
            microvm(),
            with_donor(inputs::scratch_image(), &["virtio_blk"]),
            "/boot/vmlinuz-6.12.1-cloud: has no virtio_blk",
        ),
        (
            microvm(),
            with_donor(inputs::scratch_image(), &["virtio_pci", "virtio_mmio"]),
            "/boot/vmlinuz-6.12.1-cloud: has neither virtio_pci nor virtio_mmio",
        ),
        (
            microvm(),
            with_donor(inputs::scratch_image(), &["ext4"]),
            "/boot/vmlinuz-6.12.1-cloud: has no ext4",
        ),
        (runs(&["/none"]), scratch(), "/none: is no program of the image"),
        (runs(&["none"]), scratch(), "none: is no program of the image"),
        (
            runs(&["/data"]),
            with("/data", b"#!/app\n", 0o644),
            "/data: is no program of the image that may be executed",
        ),
        (
            runs(&["/run.sh"]),
            with("/run.sh", b"#!/bin/sh\n", 0o755),
            "/run.sh: needs /bin/sh, which is not there",
        ),
        (runs(&["/text"]), with("/text", b"hello", 0o755), "/text: is neither a program nor a script"),
        (
            runs(&["/other"]),
            with("/other", &arm64, 0o755),
            "/other: is a program for aarch64, the machine is to be for x86_64",
        ),
        (Spec { container: None, ..microvm() }, scratch(), "ENTRYPOINT: is not said"),
        (runs(&[]), scratch(), "ENTRYPOINT: is not said"),
        (
            Spec { container: Some(user), ..microvm() },
            scratch(),
            "USER: \"nobody\" is not in the image's /etc/passwd",
        ),
        (Spec { container: Some(signal), ..microvm() }, scratch(), "STOPSIGNAL"),
        (
            Spec { formats: vec![Format::Microvm, Format::Qcow2], ..microvm() },
            scratch(),
            "spec: format: microvm and qcow2 have roots of their own",
        ),
        (spec(Format::Uki), no_stub, "/usr/lib/systemd/boot/efi/linuxx64.efi.stub: is not there"),
        (uki_on_plain, plain, "vmlinux: is no program for UEFI"),
        (microvm(), Input { donor: None, ..input(inputs::scratch_image()) }, "/boot: holds no kernel"),
        (
            Spec { architecture: Architecture::Aarch64, ..microvm() },
            scratch(),
            "/app: is a program for x86_64, the machine is to be for aarch64",
        ),
        (
            Spec { size: Some("64K".parse().unwrap()), ..microvm() },
            scratch(),
            "size: 64 KiB are asked for, but the root needs",
        ),
    ] {
        let said = refusal(&spec, input);
        assert!(said.starts_with(expected) && said.lines().count() == 1, "{expected}: {said}");
    }
}

#[test]
fn a_disk_with_the_profile_boots_by_firmware_into_the_same_init() {
    let tree = debian(&[]);
    let mut asked = Spec { container: Some(container(&["/usr/sbin/nginx"])), ..spec(Format::Raw) };
    let disk = Disk::of(&asked, tree.clone());
    let menu = disk.debugfs("root", "cat /boot/grub/grub.cfg");
    assert!(menu.contains(&format!("/boot/vmlinuz-{RELEASE} ")) || menu.contains("/vmlinuz"), "{menu}");
    assert!(menu.contains(" init=/usr/lib/vmimage/init"), "{menu}");
    let told = disk.debugfs("root", "cat /usr/lib/vmimage/init.json");
    assert!(told.ends_with(r#"{"on_crash":"poweroff","confined":true}"#), "{told}");
    let own = |edits: &[String]| edits.iter().any(|edit| edit.contains("vmimage's own, with"));
    assert!(own(&disk.edits), "{:?}", disk.edits);
    // What a container would run, shells too; and no service of systemd.
    asked.container = Some(container(&["/bin/sh"]));
    let shell = Disk::of(&asked, tree);
    assert!(shell.debugfs("root", "cat /usr/lib/vmimage/container.json").contains("/bin/sh"));
}

#[test]
fn a_machine_boots_by_our_initramfs_where_that_is_asked() {
    let tree = |without: &[&str]| {
        let mut tree = debian(without);
        let initramfs = format!("/boot/initrd.img-{RELEASE}");
        Editor::new(&mut tree, Time::default()).write_file(initramfs, *b"the distribution's", 0o644).unwrap();
        tree
    };
    let asked = Spec { initramfs: Some(Initramfs::Vmimage), formats: vec![Format::Raw], ..Spec::default() };
    let disk = Disk::of(&asked, tree(&[]));
    let scratch = TempDir::new().unwrap();
    let dumped = scratch.path().join("initramfs");
    disk.debugfs("root", &format!("dump /boot/initrd.img-{RELEASE} {}", dumped.display()));
    let initramfs = unpacked(&fs::read(dumped).unwrap());
    assert!(initramfs.contains("virtio_blk.ko") && initramfs.contains("ext4.ko"));
    let later = "a kernel that the machine installs later gets the distribution's";
    assert!(disk.edits.iter().any(|edit| edit.contains(later)), "{:?}", disk.edits);
    let said = refusal(&asked, input(tree(&["ext4"])));
    assert!(said.starts_with("/boot/vmlinuz-6.12.1-cloud: has no ext4"), "{said}");
    let usr = r#"{"preset":"simple","partitions":[{"type":"usr"}]}"#;
    let usr = Spec { layout: serde_json::from_str(usr).unwrap(), ..asked };
    let said = refusal(&usr, input(tree(&[])));
    assert!(said.starts_with("/usr: is a partition of its own, which vmimage's own initramfs"), "{said}");
}
