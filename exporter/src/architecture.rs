//! The instruction set of a machine, by all the names that it goes by.

use std::fmt;
use std::io::Read;

use serde::{Deserialize, Serialize};

use crate::tree::{InodeKind, Tree};

/// The instruction set of the machine, by the names of `uname -m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// amd64: SeaBIOS and UEFI.
    X86_64,
    /// arm64: UEFI.
    Aarch64,
}

impl Architecture {
    /// Its name: `x86_64`, `aarch64`.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// By the name container platforms use: `amd64`, `arm64`.
    pub fn from_oci(name: &str) -> Option<Self> {
        [Self::X86_64, Self::Aarch64].into_iter().find(|known| known.oci_name() == name)
    }

    /// That of the programs in a tree, told by its first process or its shell; `None` if neither is an ELF file.
    pub fn of(tree: &Tree) -> Option<Self> {
        ["/sbin/init", "/bin/sh"].into_iter().find_map(|path| Self::of_program(tree, path))
    }

    /// That of the program at `path` of a tree; `None` if it is no ELF file for one of them.
    pub fn of_program(tree: &Tree, path: &str) -> Option<Self> {
        let InodeKind::File(content) = &tree.inode(tree.resolve(path)?).kind else { return None };
        let mut head = [0; 20];
        content.reader().ok()?.read_exact(&mut head).ok()?;
        [Self::X86_64, Self::Aarch64].into_iter().find(|architecture| architecture.runs(&head))
    }

    /// That of this program.
    pub fn host() -> Option<Self> {
        [Self::X86_64, Self::Aarch64].into_iter().find(|known| known.name() == std::env::consts::ARCH)
    }

    /// Its name in container platforms: `amd64`, `arm64`.
    pub fn oci_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// Whether `program` is an ELF file for it (`e_machine`, System V ABI).
    pub fn runs(self, program: &[u8]) -> bool {
        let machine: [u8; 2] = match self {
            Self::X86_64 => [62, 0],
            Self::Aarch64 => [183, 0],
        };
        program.starts_with(b"\x7fELF") && program.get(18..20) == Some(&machine)
    }

    /// The suffix UEFI gives to loaders: `BOOTX64.EFI`, `BOOTAA64.EFI`.
    pub fn efi_suffix(self) -> &'static str {
        match self {
            Self::X86_64 => "x64",
            Self::Aarch64 => "aa64",
        }
    }

    /// The kernel's name of the first serial port.
    pub fn serial_console(self) -> &'static str {
        match self {
            Self::X86_64 => "ttyS0",
            Self::Aarch64 => "ttyAMA0",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
