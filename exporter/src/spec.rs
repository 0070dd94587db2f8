//! All that was asked of a disk. The only thing that crosses from the frontend into the build.

mod artifacts;
mod container;
mod firmware;
pub mod grub;
mod hardware;
mod image;
mod image_config;
mod init;
mod initramfs;
pub mod layout;
mod loader;
pub mod medium;
pub mod microvm;
pub mod network;
mod persist;
pub mod rauc;
pub mod secure_boot;
mod service;
pub mod setup;
mod text;
pub mod update;
mod volatile;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::choice::by_name;
use crate::container::{Compression, Format};

pub use crate::architecture::Architecture;
pub use artifacts::Artifact;
pub use container::{Container, Healthcheck};
pub use firmware::Firmware;
pub use grub::Grub;
pub use hardware::Hardware;
pub use image::Identity;
pub use image_config::ImageConfig;
pub use init::Init;
pub use initramfs::Initramfs;
pub use layout::Layout;
pub use loader::Loader;
pub use medium::{Medium, Mode};
pub use microvm::Microvm;
pub use network::Network;
pub use persist::Persist;
pub use rauc::Rauc;
pub use secure_boot::SecureBoot;
pub use service::Service;
pub use setup::Setup;
pub use text::TextFormat;
pub use update::Update;
pub use volatile::Volatile;

/// What a disk should be. Every field has a default; docs/flags.md has the flag of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// Name of the artifacts without their extension.
    pub name: String,
    /// What the disk is for.
    pub profile: Profile,
    /// Formats of its artifacts, each made in the same pass.
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
    /// What it is made of.
    #[serde(skip_serializing_if = "Hardware::is_default")]
    pub hardware: Hardware,
    /// What the firmware starts.
    #[serde(skip_serializing_if = "Loader::is_default")]
    pub loader: Loader,
    /// How it is divided.
    #[serde(skip_serializing_if = "Layout::is_default")]
    pub layout: Layout,
    /// What of its root is written to memory alone.
    #[serde(skip_serializing_if = "Volatile::is_no")]
    pub volatile: Volatile,
    /// What it keeps beside a root that is only read, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persist: Option<Persist>,
    /// Its first process.
    pub init: Init,
    /// What mounts its root before that, if that was asked: [`Spec::initramfs()`] says what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initramfs: Option<Initramfs>,
    /// A file that is its kernel, in place of one of the tree or of another image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_file: Option<layout::Source>,
    /// What is asked of it as a microVM.
    #[serde(skip_serializing_if = "Microvm::is_default")]
    pub microvm: Microvm,
    /// What is asked of the medium that is made of it.
    #[serde(skip_serializing_if = "Medium::is_default")]
    pub medium: Medium,
    /// Whether what the image runs becomes a service.
    pub service: Service,
    /// What is asked of GRUB.
    #[serde(skip_serializing_if = "Grub::is_default")]
    pub grub: Grub,
    /// What the system on it is called.
    #[serde(skip_serializing_if = "Identity::is_default")]
    pub image: Identity,
    /// What the image says about its containers; `None` for files that are no image.
    pub container: Option<Container>,
    /// Seconds since 1970 to which later times are clamped (`SOURCE_DATE_EPOCH`).
    pub source_date_epoch: Option<i64>,
    /// Its network.
    #[serde(skip_serializing_if = "Network::is_default")]
    pub network: Network,
    /// Where its next version comes from, and when a boot of it was good, if it has two slots.
    #[serde(skip_serializing_if = "Update::is_default")]
    pub update: Update,
    /// Who signs bundles of RAUC, and whose bundles it takes.
    #[serde(skip_serializing_if = "Rauc::is_default")]
    pub rauc: Rauc,
    /// What is set up on the machine: users, files, services.
    pub setup: Setup,
    /// Whether systemd-boot starts unified kernel images; `None`: where something of the machine asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uki: Option<bool>,
    /// Who signs what UEFI starts, and what the firmware is to know of that.
    #[serde(skip_serializing_if = "SecureBoot::is_default")]
    pub secure_boot: SecureBoot,
}

impl Spec {
    /// The files and folders of the build context that it names, each once.
    pub fn context_files(&self) -> Vec<&str> {
        let named = self.setup.context_files().into_iter().chain(self.layout.context_files());
        let kernel = self.kernel_file.iter().filter_map(layout::Source::in_context);
        let install = self.medium.install.as_deref();
        let named = named.chain(self.rauc.context_files()).chain(kernel).chain(install);
        setup::once_each(named.chain(self.secure_boot.context_files()))
    }

    /// The other stages and named contexts of the build that it has something of.
    pub fn stages(&self) -> BTreeSet<&str> {
        let kernel = self.kernel_file.iter().filter_map(layout::Source::stage);
        self.layout.stages().into_iter().chain(kernel).collect()
    }

    /// The ids of all secrets that it needs, each once.
    pub fn secrets(&self) -> Vec<&str> {
        let sign = self.update.sign.iter().map(String::as_str);
        let bundle = self.rauc.key.as_deref().filter(|_| self.formats.contains(&Format::Rauc));
        let of_setup = self.setup.secrets().into_iter().chain(self.grub.secrets());
        let sealed = self.layout.secrets().chain(self.secure_boot.key.as_deref());
        setup::once_each(of_setup.chain(sign).chain(bundle).chain(sealed))
    }
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
            hardware: Hardware::default(),
            loader: Loader::Grub,
            layout: Layout::default(),
            volatile: Volatile::No,
            persist: None,
            init: Init::Auto,
            initramfs: None,
            kernel_file: None,
            microvm: Microvm::default(),
            medium: Medium::default(),
            service: Service::Auto,
            grub: Grub::default(),
            image: Identity::default(),
            container: None,
            source_date_epoch: None,
            network: Network::default(),
            update: Update::default(),
            rauc: Rauc::default(),
            setup: Setup::default(),
            uki: None,
            secure_boot: SecureBoot::default(),
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
    /// A virtual machine that runs what the image's container would run, and nothing else: the tree as it is, and a kernel.
    Microvm,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 3] = [Self::Machine, Self::Data, Self::Microvm];

    /// Its name: `machine`, `data`, `microvm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Data => "data",
            Self::Microvm => "microvm",
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

/// A size in bytes, written as `10G`, `512MiB` or a plain number. Units are powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is not a size: write a number with K, M, G or T, such as 10G");
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
