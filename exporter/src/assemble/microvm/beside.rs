//! What lies beside the root of a microVM: its kernel, what mounts the root, and what is said of them.

use std::path::Path;

use super::super::compressed;
use super::super::own_initramfs::{self, BUSES, Needs, Within};
use super::super::read_kernel::ReadKernel;
use super::super::resolve::Resolved;
use crate::container::Microvm;
use crate::container::microvm::{Vm, firecracker_lacks};
use crate::error::{Error, Kind, Result};
use crate::fs::FileSystem;
use crate::initramfs::Built;
use crate::kernel::KernelImage;
use crate::machine::Materials;
use crate::spec::{Architecture, Container, Size, Spec};
use crate::tree::{Content, Tree};

/// The kernel and its initramfs.
pub(super) struct Beside {
    pub(super) image: KernelImage,
    /// The kernel's file, as it is started.
    pub(super) kernel: Content,
    /// The ELF in it, where that is to be had and not the file itself; or why there is none.
    vmlinux: Result<Option<Content>, String>,
    /// Parts of the initramfs, one behind the other; none, where the kernel mounts the root by itself.
    pub(super) initramfs: Vec<Content>,
    /// The folder of the kernel's modules.
    pub(super) modules: Option<String>,
    /// Machines of QEMU that it has the drivers for.
    machines: Vec<String>,
    /// What the report says.
    pub(super) notes: Vec<String>,
}

impl Beside {
    /// The kernel that is asked for, and what it mounts the root of `layout` by.
    ///
    /// # Errors
    /// If there is none for it, and what it lacks.
    pub(super) fn find(
        spec: &Spec,
        root: &Tree,
        donor: Option<&Tree>,
        materials: &Materials,
        layout: &mut Resolved,
        programs: Within,
        spool: &Path,
    ) -> Result<Self> {
        let kernel = ReadKernel::find(spec, root, donor, materials)?;
        let built =
            own_initramfs::build(&kernel, &Needs::of_microvm(spec, layout.root.file_system), programs)?;
        let machines = machines(&kernel, &built.modules, spec)?;
        compressed::settle(layout, &kernel, spec)?;
        let Built { parts, modules, notes: lacks } = built;
        let is_needed = spec.is_uki() || spec.layout.has_verity() || !modules.is_empty();
        let of_kernel =
            format!("{}: Linux {}, beside the root", kernel.image.place(), kernel.image.release());
        let of_initramfs = match modules.len() {
            0 if !is_needed => "initramfs: none, the kernel has all that the root needs".to_owned(),
            count => format!("initramfs: vmimage's own, with {count} modules"),
        };
        let lacks = lacks.into_iter().map(|line| format!("initramfs: {line}"));
        Ok(Self {
            vmlinux: vmlinux(&kernel.image, spec, spool)?,
            kernel: started(&kernel, spec, spool)?,
            initramfs: if is_needed { parts } else { Vec::new() },
            notes: [of_kernel, of_initramfs].into_iter().chain(lacks).collect(),
            machines,
            image: kernel.image,
            modules: kernel.modules,
        })
    }

    /// What the monitors are given, but for the root.
    pub(super) fn microvm(self, spec: &Spec, cmdline: String, root: FileSystem) -> Microvm {
        let vm = self.vm(spec, cmdline);
        let is_read_only = root.is_read_only() || spec.has_fixed_root();
        let Self { kernel, vmlinux, initramfs, .. } = self;
        Microvm { vm, kernel, vmlinux: vmlinux.ok().flatten(), initramfs, is_read_only }
    }

    fn vm(&self, spec: &Spec, cmdline: String) -> Vm {
        let name = spec.hostname.as_ref().unwrap_or(&spec.name).clone();
        let Size(memory) = spec.microvm.memory;
        let ports =
            spec.container.iter().flat_map(|Container { exposed_ports, .. }| exposed_ports.iter().cloned());
        let is_x86 = spec.architecture == Architecture::X86_64;
        let vm = Vm::new(name, spec.architecture);
        Vm {
            cpus: spec.microvm.cpus,
            memory_mib: memory >> 20,
            vmlinux: match &self.vmlinux {
                // One that came as an ELF is there already.
                _ if is_x86 && self.image.is_plain() => Some(vm.kernel.clone()),
                Ok(Some(_)) => Some(Vm::ELF_KERNEL.to_owned()),
                Ok(None) | Err(_) => None,
            },
            initramfs: (!self.initramfs.is_empty()).then(|| Vm::INITRAMFS.to_owned()),
            cmdline,
            ports: ports.collect(),
            machines: self.machines.clone(),
            ..vm
        }
    }

    /// What cannot be started in every way, a line each.
    pub(super) fn lacks(&self, spec: &Spec) -> Vec<String> {
        if spec.is_uki() {
            return Vec::new();
        }
        let vm = self.vm(spec, String::new());
        let packed = self.vmlinux.as_ref().err().map(|why| format!("vmlinux: left out: {why}"));
        let firecracker = firecracker_lacks(&vm).map(|why| format!("firecracker.json: left out: {why}"));
        let none = self.machines.is_empty().then(|| {
            "machines: no QEMU and no Cloud Hypervisor starts this kernel: an ELF needs an entry for PVH (CONFIG_PVH)"
                .to_owned()
        });
        packed.into_iter().chain(firecracker).chain(none).collect()
    }
}

/// The ELF in a bzImage, for monitors that take nothing else; or why it is not to be had.
fn vmlinux(image: &KernelImage, spec: &Spec, spool: &Path) -> Result<Result<Option<Content>, String>> {
    if spec.architecture != Architecture::X86_64 || image.is_plain() || spec.is_uki() {
        return Ok(Ok(None));
    }
    match image.kept(spool) {
        Err(error) if *error.kind() == Kind::Corrupt => Ok(Err(error.message().to_owned())),
        kept => kept.map(|kept| Ok(Some(kept))),
    }
}

/// The file that is started. A kernel of arm64 that is packed is its loader's to unpack (booting.rst, "Decompress the kernel
/// image"), which monitors do not; firmware starts one that is a program for it.
fn started(kernel: &ReadKernel<'_>, spec: &Spec, spool: &Path) -> Result<Content> {
    let starts = spec.architecture == Architecture::X86_64 || spec.is_uki() && kernel.image.unpacks_itself();
    if starts { Ok(kernel.content.clone()) } else { kernel.image.kept(spool) }
}

/// Machines of QEMU that have what the kernel has drivers for.
///
/// # Errors
/// If it has no bus for a virtio disk.
fn machines(kernel: &ReadKernel<'_>, loaded: &[String], spec: &Spec) -> Result<Vec<String>> {
    let [pci, mmio] = BUSES.map(|bus| kernel.has(bus, loaded));
    if [pci, mmio] == [Some(false); 2] && !spec.is_uki() {
        let message = format!("has neither {}, and a virtio disk is on one of them", BUSES.join(" nor "));
        return Err(Error::new(Kind::NotFound, kernel.image.place(), message)
            .with_hint("build one into it, or take a distribution's kernel"));
    }
    // QEMU enters an ELF by PVH alone.
    let is_entered = spec.architecture != Architecture::X86_64
        || !kernel.image.is_plain()
        || kernel.image.vmlinux()?.pvh.is_some();
    let (with_pci, with_mmio) = (is_entered && pci != Some(false), is_entered && mmio == Some(true));
    let has_acpi = kernel.config.option("ACPI") != crate::kernel::Setting::No;
    // How QEMU tells of devices and processors without it.
    let is_told = ["VIRTIO_MMIO_CMDLINE_DEVICES", "X86_MPPARSE"].iter().all(|option| kernel.is_set(option));
    let all = match spec.architecture {
        Architecture::X86_64 => [
            (with_pci, "q35"),
            (with_mmio && has_acpi, "microvm"),
            (with_mmio && is_told, "microvm,acpi=off"),
        ],
        Architecture::Aarch64 => [(true, "virt"), (false, ""), (false, "")],
    };
    Ok(all.into_iter().filter(|(can, _)| *can).map(|(_, name)| name.to_owned()).collect())
}
