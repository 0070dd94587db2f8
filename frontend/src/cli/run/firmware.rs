//! The firmware a machine starts with, and where distributions keep UEFI's.

use std::fmt;
use std::path::Path;

use exporter::spec::Architecture;

use crate::base::programs::Package;
use crate::base::{Error, Result};

/// What the machine starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QemuFirmware {
    /// SeaBIOS, which comes with QEMU.
    Bios,
    /// UEFI without Secure Boot.
    Uefi(Pflash),
    /// UEFI with Secure Boot on and Microsoft's keys enrolled.
    SecureBoot(Pflash),
}

/// UEFI for QEMU: two flash images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pflash {
    /// The firmware itself, read-only.
    pub(crate) code: &'static str,
    /// The template of its variables (boot entries, keys).
    pub(crate) vars: &'static str,
}

/// Where Debian and Ubuntu, Alpine, Fedora, Arch, openSUSE and QEMU itself install UEFI.
const UEFI_X86_64: [Pflash; 7] = [
    Pflash { code: "/usr/share/OVMF/OVMF_CODE_4M.fd", vars: "/usr/share/OVMF/OVMF_VARS_4M.fd" },
    Pflash { code: "/usr/share/OVMF/OVMF_CODE.fd", vars: "/usr/share/OVMF/OVMF_VARS.fd" },
    Pflash { code: "/usr/share/edk2/ovmf/OVMF_CODE.fd", vars: "/usr/share/edk2/ovmf/OVMF_VARS.fd" },
    Pflash { code: "/usr/share/edk2/x64/OVMF_CODE.4m.fd", vars: "/usr/share/edk2/x64/OVMF_VARS.4m.fd" },
    Pflash {
        code: "/usr/share/qemu/ovmf-x86_64-4m-code.bin",
        vars: "/usr/share/qemu/ovmf-x86_64-4m-vars.bin",
    },
    Pflash { code: "/usr/share/qemu/ovmf-x86_64-code.bin", vars: "/usr/share/qemu/ovmf-x86_64-vars.bin" },
    Pflash { code: "/usr/share/qemu/edk2-x86_64-code.fd", vars: "/usr/share/qemu/edk2-i386-vars.fd" },
];

/// Only pairs whose variables hold Microsoft's keys: without keys nothing is enforced (Arch has no such pair).
const SECURE_BOOT_X86_64: [Pflash; 3] = [
    Pflash { code: "/usr/share/OVMF/OVMF_CODE_4M.ms.fd", vars: "/usr/share/OVMF/OVMF_VARS_4M.ms.fd" },
    Pflash {
        code: "/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd",
        vars: "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd",
    },
    Pflash {
        code: "/usr/share/qemu/ovmf-x86_64-smm-ms-code.bin",
        vars: "/usr/share/qemu/ovmf-x86_64-smm-ms-vars.bin",
    },
];

const UEFI_AARCH64: [Pflash; 4] = [
    Pflash { code: "/usr/share/AAVMF/AAVMF_CODE.fd", vars: "/usr/share/AAVMF/AAVMF_VARS.fd" },
    Pflash {
        code: "/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw",
        vars: "/usr/share/edk2/aarch64/vars-template-pflash.raw",
    },
    Pflash { code: "/usr/share/edk2/aarch64/QEMU_CODE.fd", vars: "/usr/share/edk2/aarch64/QEMU_VARS.fd" },
    Pflash { code: "/usr/share/qemu/edk2-aarch64-code.fd", vars: "/usr/share/qemu/edk2-arm-vars.fd" },
];

const SECURE_BOOT_AARCH64: [Pflash; 1] =
    [Pflash { code: "/usr/share/AAVMF/AAVMF_CODE.ms.fd", vars: "/usr/share/AAVMF/AAVMF_VARS.ms.fd" }];

impl QemuFirmware {
    /// UEFI, or an error that says how to get it.
    pub(crate) fn uefi(arch: Architecture) -> Result<Self> {
        let missing = || Error::user(format!("UEFI firmware for {arch}: is not installed"));
        let found = match arch {
            Architecture::X86_64 => first_installed(&UEFI_X86_64),
            Architecture::Aarch64 => first_installed(&UEFI_AARCH64),
        };
        found.map(Self::Uefi).ok_or_else(|| missing().with_hint(Package::firmware(arch).hint()))
    }

    /// UEFI that enforces signatures, or an error that says how to get it.
    pub(crate) fn secure_boot(arch: Architecture) -> Result<Self> {
        let missing =
            || Error::user(format!("UEFI firmware for {arch} with enrolled keys: is not installed"));
        let found = match arch {
            Architecture::X86_64 => first_installed(&SECURE_BOOT_X86_64),
            Architecture::Aarch64 => first_installed(&SECURE_BOOT_AARCH64),
        };
        found.map(Self::SecureBoot).ok_or_else(|| missing().with_hint(Package::firmware(arch).hint()))
    }

    /// UEFI where it is installed, else BIOS where there is one.
    pub(crate) fn default_for(arch: Architecture) -> Result<Self> {
        match Self::uefi(arch) {
            Err(_) if arch == Architecture::X86_64 => Ok(Self::Bios),
            found => found,
        }
    }
}

fn first_installed(pairs: &[Pflash]) -> Option<Pflash> {
    let installed = |pair: &&Pflash| Path::new(pair.code).is_file() && Path::new(pair.vars).is_file();
    pairs.iter().find(installed).copied()
}

impl fmt::Display for QemuFirmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bios => "BIOS",
            Self::Uefi(_) => "UEFI",
            Self::SecureBoot(_) => "UEFI Secure Boot",
        })
    }
}
