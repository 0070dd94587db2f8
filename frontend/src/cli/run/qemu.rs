//! The machines QEMU can be, and where its programs are.

use std::path::PathBuf;

use exporter::spec::Architecture;

use crate::base::programs::{self, Package};
use crate::base::{Error, Result};

/// This host's architecture; a PC's where there is no better guess.
pub(crate) fn host() -> Architecture {
    if is_native(Architecture::Aarch64) { Architecture::Aarch64 } else { Architecture::X86_64 }
}

/// True if this host's processor runs the architecture's instructions.
pub(crate) fn is_native(arch: Architecture) -> bool {
    arch.name() == std::env::consts::ARCH
}

/// The QEMU machine type; `secure` asks for what protects the firmware's variables.
pub(crate) fn machine(arch: Architecture, secure: bool) -> &'static str {
    match (arch, secure) {
        (Architecture::X86_64, false) => "q35",
        (Architecture::X86_64, true) => "q35,smm=on",
        // The interrupt controller of the host, where there is one to agree with.
        (Architecture::Aarch64, _) => "virt,gic-version=max",
    }
}

/// The QEMU that runs `arch`.
pub(crate) fn find(arch: Architecture) -> Result<PathBuf> {
    programs(arch).iter().find_map(|program| programs::find(program)).ok_or_else(|| {
        Error::user(format!("qemu-system-{arch}: is not installed")).with_hint(Package::qemu(arch).hint())
    })
}

/// QEMU's program, in the order of preference; RPM distributions ship one outside of PATH.
fn programs(arch: Architecture) -> &'static [&'static str] {
    match arch {
        Architecture::X86_64 if cfg!(target_arch = "x86_64") => {
            &["qemu-system-x86_64", "/usr/libexec/qemu-kvm"]
        }
        Architecture::X86_64 => &["qemu-system-x86_64"],
        Architecture::Aarch64 if cfg!(target_arch = "aarch64") => {
            &["qemu-system-aarch64", "/usr/libexec/qemu-kvm"]
        }
        Architecture::Aarch64 => &["qemu-system-aarch64"],
    }
}
