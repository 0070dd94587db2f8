//! Types of partitions, and what follows from each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Filesystem, Partition};
use crate::architecture::Architecture;
use crate::disk::kinds;
use crate::seed::Uuid;
use crate::spec::{Loader, Size};

/// The type of a partition, by the names of the Discoverable Partitions Specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PartitionType {
    /// EFI system partition.
    Esp,
    /// `/boot` of its own.
    Xbootldr,
    /// Root of the machine's architecture.
    Root,
    /// `/usr` of the machine's architecture.
    Usr,
    /// `/home`.
    Home,
    /// `/srv`.
    Srv,
    /// `/var`.
    Var,
    /// `/var/tmp`.
    Tmp,
    /// Room for pages of memory.
    Swap,
    /// Data of no particular purpose.
    LinuxGeneric,
    /// Where GRUB's core lies on a disk that a BIOS starts.
    BiosBoot,
    /// Any other, from which nothing follows.
    Other(Uuid),
}

/// The types with a name.
const NAMES: [(PartitionType, &str); 11] = [
    (PartitionType::Esp, "esp"),
    (PartitionType::Xbootldr, "xbootldr"),
    (PartitionType::Root, "root"),
    (PartitionType::Usr, "usr"),
    (PartitionType::Home, "home"),
    (PartitionType::Srv, "srv"),
    (PartitionType::Var, "var"),
    (PartitionType::Tmp, "tmp"),
    (PartitionType::Swap, "swap"),
    (PartitionType::LinuxGeneric, "linux-generic"),
    (PartitionType::BiosBoot, "bios-boot"),
];

/// GRUB's core is a fifth of this, and partitions start on 1 MiB anyway.
const BIOS_BOOT_SIZE: Size = Size(1 << 20);
/// The least that is FAT32 with sectors of 512 bytes is 33 MiB; this leaves room for kernels beside GRUB.
const ESP_SIZE: Size = Size(64 << 20);
/// Four kernels with the initramfs of any machine, which is 60 to 120 MB.
const BOOT_SIZE: Size = Size(512 << 20);
/// What one without a size of its own has, as in repart.d(5).
const WEIGHT: u32 = 1000;

impl PartitionType {
    /// The GUID in the table of a machine's disk.
    pub fn guid(self, architecture: Architecture) -> Uuid {
        match self {
            Self::Esp => kinds::ESP,
            Self::Xbootldr => kinds::XBOOTLDR,
            Self::Root => kinds::root(architecture),
            Self::Usr => kinds::usr(architecture),
            Self::Home => kinds::HOME,
            Self::Srv => kinds::SRV,
            Self::Var => kinds::VAR,
            Self::Tmp => kinds::TMP,
            Self::Swap => kinds::SWAP,
            Self::LinuxGeneric => kinds::LINUX_GENERIC,
            Self::BiosBoot => kinds::BIOS_BOOT,
            Self::Other(guid) => guid,
        }
    }

    /// What is asked of one of which nothing is said: an ESP has the kernels that systemd-boot starts.
    pub(super) fn defaults(self, loader: Loader) -> Partition {
        // systemd-boot reads what the firmware reads.
        let of_boot = if loader == Loader::SystemdBoot { Filesystem::Vfat } else { Filesystem::Ext4 };
        let (label, filesystem, mount, options) = match self {
            Self::Esp => ("esp", Filesystem::Vfat, Some("/boot/efi"), "umask=0077,nofail"),
            Self::Xbootldr => ("boot", of_boot, Some("/boot"), ""),
            Self::Root => ("root", Filesystem::Ext4, Some("/"), "errors=remount-ro"),
            Self::Usr => ("usr", Filesystem::Ext4, Some("/usr"), ""),
            Self::Home => ("home", Filesystem::Ext4, Some("/home"), ""),
            Self::Srv => ("srv", Filesystem::Ext4, Some("/srv"), ""),
            Self::Var => ("var", Filesystem::Ext4, Some("/var"), ""),
            Self::Tmp => ("tmp", Filesystem::Ext4, Some("/var/tmp"), ""),
            Self::Swap => ("swap", Filesystem::Swap, None, ""),
            Self::LinuxGeneric => ("linux", Filesystem::Ext4, None, ""),
            Self::BiosBoot => ("bios", Filesystem::None, None, ""),
            Self::Other(_) => ("part", Filesystem::None, None, ""),
        };
        let (min, weight) = match self {
            Self::Esp if loader == Loader::SystemdBoot => (Some(BOOT_SIZE), 0),
            Self::Esp => (Some(ESP_SIZE), 0),
            Self::Xbootldr => (Some(BOOT_SIZE), 0),
            Self::BiosBoot => (Some(BIOS_BOOT_SIZE), 0),
            Self::Swap => (None, 0),
            _ => (None, WEIGHT),
        };
        Partition {
            label: Some(label.to_owned()),
            filesystem: Some(filesystem),
            mount: mount.map(str::to_owned),
            options: Some(options.to_owned()),
            min,
            weight: Some(weight),
            ..Partition::new(self)
        }
    }
}

impl FromStr for PartitionType {
    type Err = String;

    /// By a name, or as a GUID: that of a type with a name is the same type.
    fn from_str(text: &str) -> Result<Self, String> {
        let by_name = NAMES.iter().find(|(_, name)| *name == text).map(|(kind, _)| *kind);
        // Those that say the architecture are types of any machine.
        let guid = || kinds::parse(text).or_else(|| text.parse().ok());
        let by_guid = |guid| {
            let same = NAMES.iter().map(|(kind, _)| *kind).find(|kind| kind.has_fixed_guid(guid));
            same.unwrap_or(Self::Other(guid))
        };
        by_name.or_else(|| guid().map(by_guid)).ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().map(|(_, name)| *name).collect();
            format!("{text:?} is none of the types {}, and no GUID", names.join(", "))
        })
    }
}

impl PartitionType {
    fn has_fixed_guid(self, guid: Uuid) -> bool {
        !matches!(self, Self::Root | Self::Usr) && self.guid(Architecture::X86_64) == guid
    }
}

impl fmt::Display for PartitionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, NAMES.iter().find(|(kind, _)| kind == self)) {
            (Self::Other(guid), _) => guid.fmt(f),
            (_, name) => f.write_str(name.map_or("", |(_, name)| name)),
        }
    }
}

impl TryFrom<String> for PartitionType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PartitionType> for String {
    fn from(kind: PartitionType) -> Self {
        kind.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_known_by_its_name_and_by_its_guid() {
        for (kind, name) in NAMES {
            assert_eq!((name.parse(), &*kind.to_string()), (Ok(kind), name));
            for architecture in [Architecture::X86_64, Architecture::Aarch64] {
                let guid = kind.guid(architecture);
                let is_of_machines = matches!(kind, PartitionType::Root | PartitionType::Usr);
                let expected = if is_of_machines { PartitionType::Other(guid) } else { kind };
                assert_eq!(guid.to_string().parse(), Ok(expected));
                assert_eq!(kinds::name(guid).map(str::parse), Some(Ok(expected)));
            }
        }
        assert!(
            "server"
                .parse::<PartitionType>()
                .unwrap_err()
                .starts_with("\"server\" is none of the types esp, ")
        );
    }
}
