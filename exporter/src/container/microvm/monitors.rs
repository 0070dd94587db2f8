//! The same description for monitors that have a form of their own. Paths are those of the folder: the monitor is started
//! there.
//!
//! Sources: `src/firecracker/swagger/firecracker.yaml` of Firecracker (`FullVmConfiguration`), what `--config-file` takes;
//! `vmm/src/api/openapi/cloud-hypervisor.yaml` of Cloud Hypervisor (`VmConfig`), what `PUT /api/v1/vm.create` takes.

use serde_json::{Map, Value, json};

use super::vm::{Drive, DriveFormat, Vm};
use crate::architecture::Architecture;

/// `vcpu_count` of Firecracker's `MachineConfiguration`.
const FIRECRACKER_CPUS: u32 = 32;

/// Why Firecracker does not start a machine; `None`: it does.
pub fn firecracker_lacks(vm: &Vm) -> Option<String> {
    if let Some(drive) = vm.drives.iter().find(|drive| drive.format != DriveFormat::Raw) {
        return Some(format!("it takes raw drives alone, and {} is none", drive.file));
    }
    if vm.cpus > FIRECRACKER_CPUS {
        return Some(format!("it has at most {FIRECRACKER_CPUS} processors, and {} are asked for", vm.cpus));
    }
    let is_x86 = vm.architecture == Architecture::X86_64;
    (is_x86 && vm.vmlinux.is_none()).then(|| "on x86-64 it takes a kernel as an ELF alone".to_owned())
}

/// An x86 of Firecracker has tables of ACPI and nothing that powers it off: it ends where it restarts. On arm64 its serial port
/// is an 8250, not the PL011 of others.
fn firecracker_words(vm: &Vm) -> String {
    match vm.architecture {
        Architecture::X86_64 => format!("{} vmimage.off=reboot", vm.cmdline),
        Architecture::Aarch64 => vm.cmdline.replace("console=ttyAMA0", "console=ttyS0"),
    }
}

/// For `firecracker --config-file`. None of the drives is its root device, for which it would add words to those of the
/// kernel.
pub(super) fn firecracker(vm: &Vm) -> Option<Value> {
    if firecracker_lacks(vm).is_some() {
        return None;
    }
    let drive = |Drive { id, file, read_only, .. }: &Drive| json!({ "drive_id": id, "path_on_host": file, "is_root_device": false, "is_read_only": read_only });
    let mut source = Map::new();
    source.insert("kernel_image_path".into(), json!(vm.vmlinux.as_ref().unwrap_or(&vm.kernel)));
    source.insert("boot_args".into(), json!(firecracker_words(vm)));
    source.extend(vm.initramfs.as_ref().map(|initramfs| ("initrd_path".into(), json!(initramfs))));
    Some(json!({
        "boot-source": source,
        "drives": vm.drives.iter().map(drive).collect::<Vec<_>>(),
        "machine-config": { "vcpu_count": vm.cpus, "mem_size_mib": vm.memory_mib },
        "entropy": {},
    }))
}

/// For Cloud Hypervisor, which since 39 takes every kernel as it comes; an ELF it takes with an entry for PVH alone.
pub(super) fn cloud_hypervisor(vm: &Vm) -> Value {
    let disk = |Drive { id, file, read_only, format }: &Drive| {
        let image_type = match format {
            DriveFormat::Raw => "Raw",
            DriveFormat::Qcow2 => "Qcow2",
        };
        json!({ "id": id, "path": file, "readonly": read_only, "image_type": image_type })
    };
    let mut payload = Map::new();
    payload.insert("kernel".into(), json!(vm.kernel));
    payload.insert("cmdline".into(), json!(vm.cmdline));
    payload.extend(vm.initramfs.as_ref().map(|initramfs| ("initramfs".into(), json!(initramfs))));
    json!({
        "payload": payload,
        "cpus": { "boot_vcpus": vm.cpus, "max_vcpus": vm.cpus },
        "memory": { "size": vm.memory_mib << 20 },
        "disks": vm.drives.iter().map(disk).collect::<Vec<_>>(),
        "rng": { "src": "/dev/urandom" },
        "serial": { "mode": "Tty" },
        "console": { "mode": "Off" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::microvm::vm::tests::vm;

    #[test]
    fn firecracker_is_told_what_it_takes() {
        let expected = json!({
            "boot-source": {
                "kernel_image_path": "vmlinux",
                "boot_args": "root=/dev/vda rw console=ttyS0 vmimage.off=reboot",
                "initrd_path": "initramfs",
            },
            "drives": [
                { "drive_id": "root", "path_on_host": "root.raw", "is_root_device": false, "is_read_only": false }
            ],
            "machine-config": { "vcpu_count": 1, "mem_size_mib": 256 },
            "entropy": {},
        });
        assert_eq!(firecracker(&vm()), Some(expected));
        let arm = Vm { architecture: Architecture::Aarch64, vmlinux: None, initramfs: None, ..vm() };
        let source = firecracker(&arm).unwrap()["boot-source"].clone();
        assert_eq!(source["kernel_image_path"], "vmlinuz");
        assert!(source.get("initrd_path").is_none());
    }

    #[test]
    fn what_firecracker_does_not_start_has_no_file_for_it() {
        let mut packed = vm();
        packed.drives[0].format = DriveFormat::Qcow2;
        let (bz_image, large) = (Vm { vmlinux: None, ..vm() }, Vm { cpus: 33, ..vm() });
        for (vm, why) in [
            (packed, "it takes raw drives alone, and root.raw is none"),
            (bz_image, "on x86-64 it takes a kernel as an ELF alone"),
            (large, "it has at most 32 processors, and 33 are asked for"),
        ] {
            assert_eq!((firecracker_lacks(&vm).as_deref(), firecracker(&vm)), (Some(why), None));
        }
    }

    #[test]
    fn cloud_hypervisor_is_told_the_same() {
        let told = cloud_hypervisor(&vm());
        let payload = json!({ "kernel": "vmlinuz", "cmdline": "root=/dev/vda rw console=ttyS0", "initramfs": "initramfs" });
        assert_eq!(told["payload"], payload);
        assert_eq!(told["memory"]["size"], 268_435_456);
        assert_eq!(told["cpus"], json!({ "boot_vcpus": 1, "max_vcpus": 1 }));
        let disk = json!({ "id": "root", "path": "root.raw", "readonly": false, "image_type": "Raw" });
        assert_eq!(told["disks"], json!([disk]));
        let plain = cloud_hypervisor(&Vm { initramfs: None, ..vm() });
        assert!(plain["payload"].get("initramfs").is_none());
    }
}
