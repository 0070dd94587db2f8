//! How a disk is divided: its partitions as data. Placing, fstab, GRUB, growth and the kernel's command line go by it.

use serde::{Deserialize, Serialize};

use super::{Architecture, Profile, Size};
use crate::disk::kinds;
use crate::seed::Uuid;

/// The partitions of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Layout {
    /// Bytes per sector: 512, or 4096.
    #[serde(default = "sector_of_bios")]
    pub sector_size: u32,
    /// In the order of the disk.
    pub partitions: Vec<Partition>,
}

/// A partition that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Partition {
    /// Its name in the table, and the label of its file system.
    pub label: String,
    /// Its type in the table, by the names of [`kinds::NAMES`] or as a GUID.
    #[serde(rename = "type", with = "kind")]
    pub kind: Uuid,
    /// What is in it.
    #[serde(default)]
    pub content: Content,
    /// Where the machine mounts it.
    #[serde(default)]
    pub mount: Option<String>,
    /// Options of that mount, with commas between them.
    #[serde(default)]
    pub options: String,
    /// The least size; with more in it, it is larger.
    #[serde(default)]
    pub min: Option<Size>,
    /// Its share of the disk, beside those of others; 0: no more than it needs.
    #[serde(default)]
    pub weight: u32,
    /// Whether it grows at boot with a disk that has become larger, which only the last one can.
    #[serde(default)]
    pub grow: bool,
    /// Attribute bits of the table, beside that of one that grows.
    #[serde(default)]
    pub attributes: u64,
}

/// What is in a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Zeroes.
    #[default]
    Empty,
    /// The tree, but for the parts of it that other partitions have.
    Root,
    /// All below this directory of the tree.
    Subtree(String),
    /// The boot loader that UEFI starts, and its configuration.
    Esp,
    /// The boot loader that a BIOS starts, as far as it is not in the MBR.
    BiosCore,
    /// The bytes of this file of the tree.
    File(String),
}

/// GRUB's core is a fifth of this, and partitions start on 1 MiB anyway.
const BIOS_BOOT_SIZE: Size = Size(1 << 20);
/// The least that is FAT32 with sectors of 512 bytes is 33 MiB; this leaves room for kernels beside GRUB.
const ESP_SIZE: Size = Size(64 << 20);

/// The sectors of the disks that hypervisors show, and the only ones that a BIOS starts from.
const fn sector_of_bios() -> u32 {
    512
}

impl Layout {
    /// That of a disk of which nothing else is said.
    pub fn of(profile: Profile, architecture: Architecture) -> Self {
        let partitions = match profile {
            Profile::Machine => machine(architecture),
            Profile::Data => vec![all_the_rest("data", kinds::LINUX_GENERIC)],
        };
        Self { sector_size: sector_of_bios(), partitions }
    }
}

/// The BIOS boot partition is there on every disk, so that numbers mean the same on all of them.
fn machine(architecture: Architecture) -> Vec<Partition> {
    let bios = Partition {
        content: Content::BiosCore,
        min: Some(BIOS_BOOT_SIZE),
        ..Partition::new("bios", kinds::BIOS_BOOT)
    };
    let esp = Partition {
        content: Content::Esp,
        mount: Some("/boot/efi".into()),
        options: "umask=0077,nofail".into(),
        min: Some(ESP_SIZE),
        ..Partition::new("esp", kinds::ESP)
    };
    let root = Partition {
        mount: Some("/".into()),
        options: "errors=remount-ro".into(),
        ..all_the_rest("root", kinds::root(architecture))
    };
    vec![bios, esp, root]
}

/// The tree, in all that the others leave of the disk.
fn all_the_rest(label: &str, kind: Uuid) -> Partition {
    Partition { content: Content::Root, weight: 1, grow: true, ..Partition::new(label, kind) }
}

impl Partition {
    /// One of no size, with nothing in it.
    pub fn new(label: &str, kind: Uuid) -> Self {
        Self {
            label: label.to_owned(),
            kind,
            content: Content::Empty,
            mount: None,
            options: String::new(),
            min: None,
            weight: 0,
            grow: false,
            attributes: 0,
        }
    }
}

/// Types of partitions as texts.
mod kind {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::disk::kinds;
    use crate::seed::Uuid;

    pub(super) fn serialize<S: Serializer>(kind: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        match kinds::name(*kind) {
            Some(name) => serializer.serialize_str(name),
            None => serializer.collect_str(kind),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        let text = String::deserialize(deserializer)?;
        let unknown =
            |_| de::Error::custom(format!("{text:?} is no type of partition that is known, and no GUID"));
        kinds::parse(&text).map_or_else(|| text.parse().map_err(unknown), Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_what_is_written_of_it() {
        for profile in Profile::ALL {
            let layout = Layout::of(profile, Architecture::Aarch64);
            let text = serde_json::to_string(&layout).unwrap();
            assert_eq!(serde_json::from_str::<Layout>(&text).unwrap(), layout, "{text}");
        }
        let layout = |kind: &str| {
            serde_json::from_str::<Layout>(&format!(
                r#"{{"partitions": [{{"label": "data", "type": "{kind}", "content": {{"subtree": "/srv"}}, "weight": 2}}]}}"#
            ))
        };
        let srv = Partition {
            content: Content::Subtree("/srv".into()),
            weight: 2,
            ..Partition::new("data", kinds::SRV)
        };
        let expected = Layout { sector_size: 512, partitions: vec![srv] };
        assert_eq!(layout("srv").unwrap(), expected);
        assert_eq!(layout(&kinds::SRV.to_string()).unwrap(), expected);
        let error = layout("server").unwrap_err().to_string();
        assert!(error.contains("\"server\" is no type of partition"), "{error}");
    }
}
