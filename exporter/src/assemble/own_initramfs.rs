//! The initramfs of vmimage's own: which modules go into it, and where it lies on a machine that boots by itself.

use std::sync::Arc;

use super::Programs;
use super::bootable::DISKS;
use super::compressed;
use super::donor::KernelSource;
use super::metal::{self, CONTROLLERS, NICS};
use super::read_kernel::ReadKernel;
use crate::container::Format;
use crate::error::{Error, Kind, Result};
use crate::fs::FileSystem;
use crate::initramfs::{self, Built, Packing, Wanted};
use crate::spec::{Architecture, Hardware, Initramfs, Mode, Profile, Spec};
use crate::tree::os::Family;
use crate::tree::{Content, Editor, Time, Tree};

/// The disk of a microVM.
const VIRTIO_DISK: [&str; 3] = ["virtio", "virtio_ring", "virtio_blk"];
/// The buses of which a microVM has one.
pub(super) const BUSES: [&str; 2] = ["virtio_pci", "virtio_mmio"];
/// What a microVM may have besides.
const DEVICES: [&str; 12] = [
    "virtio_net",
    "virtio_console",
    "virtio_rng",
    "virtio_balloon",
    "af_packet",
    "ipv6",
    "virtiofs",
    "9p",
    "9pnet_virtio",
    "vmw_vsock_virtio_transport",
    "button",
    "evdev",
];
/// What the disks of machines need besides, to be there at all.
const OF_DISKS: [&str; 2] = ["sd_mod", "pci_hyperv"];

/// What a machine of any kind is started from, installed on and asked by, beside the disks and the controllers of machines.
const OF_MEDIA: [&str; 24] = [
    "sr_mod",
    "cdrom",
    "i8042",
    "hyperv_keyboard",
    "hid_hyperv",
    "ext4",
    "xfs",
    "btrfs",
    "vfat",
    "nls_cp437",
    "nls_iso8859_1",
    "nls_ascii",
    "nls_utf8",
    "erofs",
    "squashfs",
    "isofs",
    "efivarfs",
    "nbd",
    "loop",
    "overlay",
    "dm_mod",
    "evdev",
    "af_packet",
    "ipv6",
];
/// What checks the blocks of a root.
const OF_VERITY: [&str; 2] = ["dm_mod", "dm_verity"];
/// Network cards that hypervisors imitate.
const VIRTUAL_CARDS: [&str; 4] = ["virtio_net", "vmxnet3", "hv_netvsc", "ena"];

/// What an initramfs mounts the root by.
pub(super) struct Needs<'a> {
    /// Without these nothing boots, and why.
    required: Vec<(&'a str, &'a str)>,
    optional: Vec<&'a str>,
    /// Whether it is read faster than a kernel unpacks.
    is_plain: bool,
}

impl<'a> Needs<'a> {
    /// Those of a microVM with this root.
    pub(super) fn of_microvm(spec: &'a Spec, root: FileSystem) -> Self {
        let named = spec.microvm.named_modules().map(|name| (name, "[microvm] modules"));
        let root = (root.name(), "the root");
        let mut required = vec![root];
        let mut optional = [&BUSES[..], &DEVICES].concat();
        if spec.is_uki() {
            required.push(("loop", "a root within a uki"));
            optional.extend(VIRTIO_DISK);
        } else {
            required.extend(VIRTIO_DISK.map(|name| (name, "the disk")));
        }
        required.extend(spec.has_fixed_root().then_some(("overlay", "volatile")));
        required.extend(of_verity(spec));
        required.extend(named);
        // A monitor copies it from memory to memory; firmware reads a uki from a disk.
        Self { required, optional, is_plain: !spec.is_uki() }
    }

    /// Those of a disk that boots by firmware, on any hypervisor.
    pub(super) fn of_disk(spec: &'a Spec, root: FileSystem) -> Self {
        let named = spec.microvm.named_modules().map(|name| (name, "[microvm] modules"));
        let is_microvm = spec.profile == Profile::Microvm;
        let devices = if is_microvm { &DEVICES[..] } else { &[] };
        let (controllers, nics) = match spec.hardware {
            Hardware::Virtual => (&[][..], &[][..]),
            Hardware::Metal => (&CONTROLLERS[..], &NICS[..]),
        };
        let mut required: Vec<_> = std::iter::once((root.name(), "the root")).chain(named).collect();
        required.extend(spec.has_fixed_root().then_some(("overlay", "what is written over the root")));
        required.extend(of_verity(spec));
        let optional = [&BUSES[..], &DISKS, &OF_DISKS, devices, controllers, nics].concat();
        Self { required, optional, is_plain: false }
    }

    /// Those of a medium; `roots` are what live mode may have to mount.
    pub(super) fn of_medium(spec: &'a Spec, roots: &[FileSystem]) -> Self {
        let named = spec.microvm.named_modules().map(|name| (name, "[microvm] modules"));
        let is_disc = spec.formats.contains(&Format::Iso);
        let mut required: Vec<_> =
            is_disc.then_some(("isofs", "the medium")).into_iter().chain(named).collect();
        if spec.medium.has(Mode::Live) {
            required.extend([("loop", "live mode"), ("overlay", "live mode")]);
            required.extend(roots.iter().map(|root| (root.name(), "the root of live mode")));
        }
        let disks = [&BUSES[..], &DISKS, &OF_DISKS, &CONTROLLERS, &OF_MEDIA].concat();
        let optional = [&disks[..], &VIRTUAL_CARDS, &NICS].concat();
        Self { required, optional, is_plain: false }
    }
}

fn of_verity(spec: &Spec) -> impl Iterator<Item = (&str, &str)> {
    OF_VERITY.into_iter().filter(|_| spec.layout.has_verity()).map(|name| (name, "verity"))
}

/// The initramfs of `kernel`.
///
/// # Errors
/// What the kernel lacks.
pub(super) fn build(kernel: &ReadKernel<'_>, needs: &Needs<'_>, programs: Within) -> Result<Built> {
    let Within { init: program, verity } = programs;
    let wanted = Wanted {
        kernel: kernel.image.place(),
        release: kernel.image.release(),
        config: &kernel.config,
        modules: kernel.modules.as_deref(),
        required: &needs.required,
        optional: &needs.optional,
        program,
        verity,
        // That of no file: an edit of the image leaves it as it was.
        time: Time::default(),
        packing: match compressed::release(kernel.image.release()) {
            _ if needs.is_plain => Packing::Plain,
            // The first that unpacks zstd is 5.9.
            Some(release) if release < (5, 9) && !kernel.config.is_known() => Packing::Gzip,
            _ => Packing::of(&kernel.config),
        },
    };
    initramfs::build(kernel.tree, &wanted)
}

/// The programs in it.
pub(super) struct Within {
    /// Its first process.
    pub(super) init: Arc<[u8]>,
    /// What makes the device of a root whose blocks are checked when they are read.
    pub(super) verity: Option<Arc<[u8]>>,
}

impl Within {
    /// Those of a machine.
    ///
    /// # Errors
    /// If there is none for it.
    pub(super) fn find(spec: &Spec, programs: &Programs) -> Result<Self> {
        Self::of(spec, program(spec, programs.init.clone())?, programs)
    }

    /// This first process, and what else the root is mounted by.
    ///
    /// # Errors
    /// If that is not there for the machine.
    pub(super) fn of(spec: &Spec, init: Arc<[u8]>, programs: &Programs) -> Result<Self> {
        let verity = spec.layout.has_verity().then(|| verity_program(spec, programs.verity.clone()));
        Ok(Self { init, verity: verity.transpose()? })
    }

    /// A first process alone.
    pub(super) fn alone(init: Arc<[u8]>) -> Self {
        Self { init, verity: None }
    }
}

fn verity_program(spec: &Spec, program: Option<Arc<[u8]>>) -> Result<Arc<[u8]>> {
    program.filter(|program| spec.architecture.runs(program)).ok_or_else(|| {
        let message = format!(
            "is made into a device by vmimage's own program, and this vmimage has no vmimage-verity for {}",
            spec.architecture
        );
        Error::new(Kind::NotFound, "verity", message).with_hint(
            "take the vmimage of the frontend image (make out/vmimage), or leave out verity = true",
        )
    })
}

fn program(spec: &Spec, program: Option<Arc<[u8]>>) -> Result<Arc<[u8]>> {
    program.filter(|program| spec.architecture.runs(program)).ok_or_else(|| {
        let message = format!(
            "is vmimage's own, and this vmimage has no vmimage-init for {} to be in it",
            spec.architecture
        );
        let hint =
            "take the vmimage of the frontend image (make out/vmimage), or leave out initramfs = \"vmimage\"";
        Error::new(Kind::NotFound, "initramfs", message).with_hint(hint)
    })
}

/// The program of a medium.
///
/// # Errors
/// If there is none for the machine.
pub(super) fn medium_program(spec: &Spec, program: Option<Arc<[u8]>>) -> Result<Arc<[u8]>> {
    program.filter(|program| spec.architecture.runs(program)).ok_or_else(|| {
        let message = format!(
            "is started by vmimage's own program, and this vmimage has no vmimage-medium for {}",
            spec.architecture
        );
        Error::new(Kind::NotFound, "medium", message)
            .with_hint("take the vmimage of the frontend image (make out/vmimage), or another format")
    })
}

/// What is in front of an initramfs: the microcode of a machine of metal, or nothing.
///
/// # Errors
/// If the microcode of the image cannot be read.
pub(super) fn microcode(spec: &Spec, root: &Tree) -> Result<Vec<u8>> {
    match (spec.hardware, spec.architecture) {
        (Hardware::Metal, Architecture::X86_64) => metal::microcode(root, Time::default()),
        (Hardware::Metal, Architecture::Aarch64) | (Hardware::Virtual, _) => Ok(Vec::new()),
    }
}

/// Whether a machine boots by ours.
pub(super) fn is_asked(spec: &Spec) -> bool {
    spec.profile == Profile::Microvm || spec.initramfs() == Initramfs::Vmimage
}

/// Let the kernel that boots by itself have ours, in place of the one that it has. Returns a line for each change.
///
/// # Errors
/// What the kernel lacks.
pub(super) fn install(
    root: &mut Tree,
    source: &mut KernelSource,
    spec: &Spec,
    file_system: FileSystem,
    programs: Within,
    time: Time,
) -> Result<Vec<String>> {
    let read = ReadKernel::of_tree(root, &source.kernel, spec.architecture)?;
    let Built { parts, modules, notes: lacks } = build(&read, &Needs::of_disk(spec, file_system), programs)?;
    if DISKS.iter().all(|disk| read.has(disk, &modules) == Some(false)) {
        let message = "has no driver of any disk (virtio_blk, virtio_scsi, nvme, ahci …)";
        return Err(Error::new(Kind::NotFound, read.image.place(), message)
            .with_hint("build one into it, give its modules with it, or take a distribution's kernel"));
    }
    let path =
        source.kernel.initramfs.take().unwrap_or_else(|| usual_path(&source.kernel.image, source.os.family));
    let mut bytes = microcode(spec, root)?;
    bytes.extend(joined(&parts, &path)?);
    Editor::new(root, time).write_file(&path, bytes, 0o644)?;
    // They were those of a kernel without one.
    source.kernel.stable.take_if(|links| links.initramfs.is_none());
    let count = modules.len();
    let mut notes = vec![format!("{path}: vmimage's own, with {count} modules and no program of the image")];
    notes.extend(lacks.into_iter().map(|line| format!("{path}: {line}")));
    if spec.profile == Profile::Machine {
        notes.push(format!(
            "{path}: a kernel that the machine installs later gets the distribution's, by its own tools, if they are there"
        ));
    }
    source.kernel.initramfs = Some(path);
    Ok(notes)
}

/// Where distributions have the initramfs of a kernel.
fn usual_path(image: &str, family: Family) -> String {
    let label = image.rsplit('/').next().unwrap_or_default();
    let label = label.strip_prefix("vmlinuz-").filter(|_| image.starts_with("/boot/"));
    match (label, family) {
        // Beside its modules, where Fedora's own is in a machine without `/boot`.
        (None, _) => format!("{}initramfs.img", image.strip_suffix("vmlinuz").unwrap_or("/boot/")),
        (Some(label), Family::Debian) => format!("/boot/initrd.img-{label}"),
        (Some(label), Family::RedHat | Family::Arch) => format!("/boot/initramfs-{label}.img"),
        (Some(label), Family::Suse) => format!("/boot/initrd-{label}"),
        (Some(label), Family::Alpine | Family::Other) => format!("/boot/initramfs-{label}"),
    }
}

/// All parts as one file: those of an initramfs without a root are some mebibytes.
fn joined(parts: &[Content], path: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in parts {
        let read = std::io::Read::read_to_end(&mut part.reader()?, &mut bytes);
        read.map_err(|error| Error::io(path, "cannot be put together", error))?;
    }
    Ok(bytes)
}

/// That our own initramfs mounts all that has to be there before the init.
///
/// # Errors
/// If `/usr` is a partition of its own.
pub(super) fn require_root_alone(usr: Option<FileSystem>) -> Result<()> {
    match usr {
        None => Ok(()),
        Some(_) => {
            let message = "is a partition of its own, which vmimage's own initramfs does not mount";
            Err(Error::new(Kind::Unsupported, "/usr", message).with_hint("leave out initramfs = \"vmimage\""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_initramfs_lies_where_the_distribution_looks() {
        let debian = "/boot/vmlinuz-6.1.0-9-amd64";
        for (image, family, expected) in [
            (debian, Family::Debian, "/boot/initrd.img-6.1.0-9-amd64"),
            (debian, Family::RedHat, "/boot/initramfs-6.1.0-9-amd64.img"),
            ("/boot/vmlinuz-linux", Family::Arch, "/boot/initramfs-linux.img"),
            ("/boot/vmlinuz-virt", Family::Alpine, "/boot/initramfs-virt"),
            ("/boot/vmlinuz-6.4-default", Family::Suse, "/boot/initrd-6.4-default"),
            ("/lib/modules/6.17/vmlinuz", Family::RedHat, "/lib/modules/6.17/initramfs.img"),
            ("/boot/vmlinuz", Family::Other, "/boot/initramfs.img"),
        ] {
            assert_eq!(usual_path(image, family), expected);
        }
    }

    #[test]
    fn a_machine_of_metal_has_drivers_of_real_disks_and_cards() {
        let has = |spec: &str, name| {
            let spec: Spec = serde_json::from_str(spec).unwrap();
            let needs = Needs::of_disk(&spec, FileSystem::Ext4);
            needs.optional.contains(&name) && !needs.required.iter().any(|(required, _)| *required == name)
        };
        for name in ["megaraid_sas", "usb_storage", "igb"] {
            assert!(has(r#"{"hardware":"metal"}"#, name) && !has("{}", name), "{name}");
        }
        assert!(has(r#"{"hardware":"metal"}"#, "nvme") && has("{}", "nvme"));
    }

    #[test]
    fn what_a_microvm_needs_follows_from_its_root() {
        let of = |spec: &str, root| {
            let spec: Spec = serde_json::from_str(spec).unwrap();
            let needs = Needs::of_microvm(&spec, root);
            needs.required.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>().join(" ")
        };
        let disk = r#"{"profile":"microvm","formats":["microvm"],"volatile":"overlay"}"#;
        assert_eq!(of(disk, FileSystem::Erofs), "erofs virtio virtio_ring virtio_blk overlay");
        let verity = disk.replace('}', r#","layout":{"partitions":[{"type":"root","verity":true}]}}"#);
        let checked = of(&verity, FileSystem::Ext4);
        assert_eq!(checked, "ext4 virtio virtio_ring virtio_blk overlay dm_mod dm_verity");
        let named = r#"{"profile":"microvm","formats":["microvm"],"microvm":{"modules":["nbd","all"]}}"#;
        assert_eq!(of(named, FileSystem::Ext4), "ext4 virtio virtio_ring virtio_blk nbd");
        assert_eq!(of(r#"{"profile":"microvm","formats":["uki"]}"#, FileSystem::Erofs), "erofs loop overlay");
    }

    #[test]
    fn what_a_medium_needs_follows_from_its_formats_and_its_modes() {
        let of = |formats: &str, modes: &str, roots: &[FileSystem]| {
            let text = format!(r#"{{"formats":{formats},"medium":{{"modes":{modes}}}}}"#);
            let spec: Spec = serde_json::from_str(&text).unwrap();
            let needs = Needs::of_medium(&spec, roots);
            assert!(needs.optional.contains(&"usb_storage") && needs.optional.contains(&"e1000e"));
            needs.required.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>().join(" ")
        };
        let (live, roots) = (r#"["live"]"#, [FileSystem::Ext4, FileSystem::Erofs]);
        assert_eq!(of(r#"["iso","netboot"]"#, live, &roots), "isofs loop overlay ext4 erofs");
        assert_eq!(of(r#"["netboot"]"#, live, &roots[1..]), "loop overlay erofs");
        assert_eq!(of(r#"["iso"]"#, r#"["install","rescue"]"#, &roots), "isofs");
    }

    #[test]
    fn a_medium_has_each_driver_of_real_machines_once() {
        let spec: Spec = serde_json::from_str(r#"{"formats":["iso"]}"#).unwrap();
        let optional = Needs::of_medium(&spec, &[]).optional;
        let mut names = optional.clone();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), optional.len(), "{optional:?}");
        for name in CONTROLLERS.iter().chain(&NICS) {
            assert!(optional.contains(name), "{name}");
        }
    }
}
