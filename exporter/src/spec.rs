//! All that was asked of a disk. The only thing that crosses from the frontend into the build.

mod container;
mod files;
mod firmware;
mod init;
mod service;
pub mod setup;
mod text;

use std::fmt;
use std::io::Read;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::choice::by_name;
use crate::container::{Compression, Format};
use crate::tree::{Kind, Tree};

pub use container::{Container, Healthcheck};
pub use files::FileSpec;
pub use firmware::Firmware;
pub use init::Init;
pub use service::Service;
pub use setup::Setup;
pub use text::TextFormat;

/// What a disk should be. Every field has a default; docs/flags.md has the flag of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// File name of the disk without its ending.
    pub name: String,
    /// What the disk is for.
    pub profile: Profile,
    /// Formats of its files, each made in the same pass.
    pub formats: Vec<Format>,
    /// Compression in those formats that can take it; `None`: each format's own choice.
    pub compression: Option<Compression>,
    /// Size of the disk; `None`: what the content needs plus head-room.
    pub size: Option<Size>,
    /// The machine's name; `None`: the image's own, else the id of the distribution.
    pub hostname: Option<String>,
    /// Kernel arguments added after ours.
    pub cmdline: String,
    /// Instruction set of the machine.
    pub architecture: Architecture,
    /// What starts it.
    pub firmware: Firmware,
    /// Its first process.
    pub init: Init,
    /// Whether what the image runs becomes a service.
    pub service: Service,
    /// What the image says about its containers; `None` for files that are no image.
    pub container: Option<Container>,
    /// Seconds since 1970 to which later times are clamped (`SOURCE_DATE_EPOCH`).
    pub source_date_epoch: Option<i64>,
    /// What is set up on the machine: users, files, services.
    pub setup: Setup,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            name: "disk".into(),
            profile: Profile::Machine,
            formats: vec![Format::Qcow2],
            compression: None,
            size: None,
            hostname: None,
            cmdline: String::new(),
            architecture: Architecture::X86_64,
            firmware: Firmware::Any,
            init: Init::Auto,
            service: Service::Auto,
            container: None,
            source_date_epoch: None,
            setup: Setup::default(),
        }
    }
}

/// What a disk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A machine boots from it: BIOS boot partition, ESP and root, and the tree edited for it.
    Machine,
    /// Files: one partition with the tree as it is.
    Data,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 2] = [Self::Machine, Self::Data];

    /// Its name: `machine`, `data`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Data => "data",
        }
    }
}

impl FromStr for Profile {
    type Err = String;

    /// The error says which names there are.
    fn from_str(name: &str) -> Result<Self, String> {
        by_name(&Self::ALL, Self::name, name)
    }
}

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
        let Kind::File(content) = &tree.inode(tree.resolve(path)?).kind else { return None };
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

/// A size in bytes, written as `10G`, `512MiB` or a plain number. Units are powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is no size: write a number with K, M, G or T, such as 10G");
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = unit.trim().to_ascii_uppercase();
        let shift = match unit.strip_suffix("IB").or(unit.strip_suffix('B')).unwrap_or(&unit) {
            "" => 0,
            "K" => 10,
            "M" => 20,
            "G" => 30,
            "T" => 40,
            _ => return Err(wrong()),
        };
        number.checked_mul(1 << shift).filter(|&bytes| bytes > 0).map(Self).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] {
            if self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes, shown) in [
            ("10G", 10 << 30, "10G"),
            ("512MiB", 512 << 20, "512M"),
            ("512mb", 512 << 20, "512M"),
            ("1536M", 1536 << 20, "1536M"),
            ("2 T", 2 << 40, "2T"),
            ("1000", 1000, "1000"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown));
        }
    }

    #[test]
    fn wrong_sizes_are_refused() {
        for text in ["", "G", "10X", "0", "-1", "1.5G", "99999999T"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(serde_json::from_str::<Spec>(r#"{"sise":"10G"}"#).is_err());
        let spec: Spec = serde_json::from_str(r#"{"size":"10G","architecture":"x86_64"}"#).unwrap();
        assert_eq!(spec.size, Some(Size(10 << 30)));
        assert_eq!(serde_json::from_str::<Spec>(&serde_json::to_string(&spec).unwrap()).unwrap(), spec);
    }
}
