//! The machines QEMU can be, and where its programs are.

use std::fmt;
use std::path::PathBuf;

use crate::cli::programs::{self, Package};
use crate::cli::{Error, Result};

/// The processor a disk was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arch {
    /// 64-bit PCs.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Arch {
    /// This host's; a PC where there is no better guess.
    pub(crate) fn of_host() -> Self {
        if Self::Aarch64.is_native() { Self::Aarch64 } else { Self::X86_64 }
    }

    /// The QEMU machine type; `secure` asks for what protects the firmware's variables.
    pub(crate) fn machine(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Self::X86_64, false) => "q35",
            (Self::X86_64, true) => "q35,smm=on",
            // The interrupt controller of the host, where there is one to agree with.
            (Self::Aarch64, _) => "virt,gic-version=max",
        }
    }

    /// True if this host's processor runs this architecture's instructions.
    pub(crate) fn is_native(self) -> bool {
        self.to_string() == std::env::consts::ARCH
    }

    /// QEMU's program, in the order of preference; RPM distributions ship one outside of PATH.
    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::X86_64 if cfg!(target_arch = "x86_64") => &["qemu-system-x86_64", "/usr/libexec/qemu-kvm"],
            Self::X86_64 => &["qemu-system-x86_64"],
            Self::Aarch64 if cfg!(target_arch = "aarch64") => {
                &["qemu-system-aarch64", "/usr/libexec/qemu-kvm"]
            }
            Self::Aarch64 => &["qemu-system-aarch64"],
        }
    }

    /// What to install to have it.
    pub(crate) fn package(self) -> Package {
        match self {
            Self::X86_64 => Package::QemuX86,
            Self::Aarch64 => Package::QemuArm,
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        })
    }
}

/// The QEMU that runs `arch`.
pub(crate) fn find(arch: Arch) -> Result<PathBuf> {
    arch.programs().iter().find_map(|program| programs::find(program)).ok_or_else(|| {
        Error::user(format!("qemu-system-{arch}: is not installed")).with_hint(arch.package().hint())
    })
}
