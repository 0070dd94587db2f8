//! How a disk is divided: the partitions that are asked for, in the words of repart.d(5) where that has them.
//!
//! ```text
//! preset + partitions asked for ─list─▶ slots, each with all that was left open ─problems─▶ what is wrong
//! ```
//!
//! Placing, fstab, GRUB, growth and the kernel's command line go by the [slots](Slot).

mod drivers;
mod encrypt;
mod list;
mod partition_type;
mod problems;
mod source;
mod unlock;

use std::collections::BTreeSet;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Size, TextFormat};
use crate::choice::by_name;
use crate::disk::{TableKind, kinds};
use crate::fs::{self, erofs};
use crate::seed::Uuid;

pub use drivers::{Encrypted, encrypted, initramfs_drivers, root_lock};
pub use encrypt::{Encrypt, Later, Lock, Slowness};
pub use list::{Content, EMPTY_SLOT, Hashes, Slot, slots};
pub use partition_type::PartitionType;
pub use problems::{Problem, problems};
pub use source::{Source, StageSource};
pub use unlock::{KeyDrive, Tang, Way};

/// What is asked of the division of a disk; nothing by default, and then the profile has its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Layout {
    /// The list that `partitions` change and are added to. With `None` they are all of the disk, and without them the
    /// profile has its list.
    pub preset: Option<Preset>,
    /// The kind of the partition table.
    #[serde(skip_serializing_if = "is_default")]
    pub table: TableKind,
    /// Bytes per sector.
    pub sector_size: SectorSize,
    /// In the order of the disk.
    pub partitions: Vec<Partition>,
}

impl Layout {
    /// Whether it has two slots for roots, of which the boot loader chooses one.
    pub fn has_slots(&self) -> bool {
        self.preset == Some(Preset::Ab)
    }

    /// Whether the blocks of its root are checked when they are read.
    pub fn has_verity(&self) -> bool {
        self.partitions.iter().any(|partition| partition.verity)
    }

    /// Whether nothing is asked.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The files and folders of the build context that partitions have.
    pub fn context_files(&self) -> impl Iterator<Item = &str> {
        self.sources().filter_map(Source::in_context)
    }

    /// The other stages and named contexts of the build that partitions have something of.
    pub fn stages(&self) -> BTreeSet<&str> {
        self.sources().filter_map(Source::stage).collect()
    }

    /// The ids of the secrets that open its partitions.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let encrypted = self.partitions.iter().filter_map(|partition| partition.encrypt.as_ref());
        encrypted.filter_map(Encrypt::now).flat_map(Lock::secrets)
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        self.partitions.iter().filter_map(|partition| partition.source.as_ref())
    }
}

/// What every disk had before there was another is not said: the spec is a part of what its UUIDs are made of.
fn is_default(table: &TableKind) -> bool {
    *table == TableKind::default()
}

/// A list of partitions by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// BIOS boot partition, ESP and a root that grows.
    Simple,
    /// The same with `/boot` of its own, an ext4.
    SplitBoot,
    /// The same with `/boot` of its own, a FAT.
    SplitBootVfat,
    /// Two slots for roots that are only read, of which one is empty, and a partition for what is kept, which grows.
    Ab,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 4] = [Self::Simple, Self::SplitBoot, Self::SplitBootVfat, Self::Ab];

    /// Its name: `simple`, `split-boot`, `split-boot-vfat`, `ab`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::SplitBoot => "split-boot",
            Self::SplitBootVfat => "split-boot-vfat",
            Self::Ab => "ab",
        }
    }

    /// Whether its machines keep what they write on a partition of its own, without being asked.
    pub(crate) fn keeps(self) -> bool {
        match self {
            Self::Simple | Self::SplitBoot | Self::SplitBootVfat => false,
            Self::Ab => true,
        }
    }
}

impl FromStr for Preset {
    type Err = String;

    /// The error says which names there are.
    fn from_str(name: &str) -> Result<Self, String> {
        by_name(&Self::ALL, Self::name, name)
    }
}

/// Bytes per sector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum SectorSize {
    /// 512, of the disks that hypervisors show, and the only ones that a BIOS starts from.
    #[default]
    Bytes512,
    /// 4096, of NVMe disks that are formatted so.
    Bytes4096,
}

impl SectorSize {
    /// Every size.
    pub const ALL: [Self; 2] = [Self::Bytes512, Self::Bytes4096];

    /// In bytes.
    pub fn bytes(self) -> u32 {
        match self {
            Self::Bytes512 => 512,
            Self::Bytes4096 => 4096,
        }
    }

    /// As it is typed: `512`, `4096`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes512 => "512",
            Self::Bytes4096 => "4096",
        }
    }
}

impl FromStr for SectorSize {
    type Err = String;

    /// The error says which sizes there are.
    fn from_str(name: &str) -> Result<Self, String> {
        by_name(&Self::ALL, Self::name, name)
    }
}

impl TryFrom<u32> for SectorSize {
    type Error = String;

    fn try_from(bytes: u32) -> Result<Self, String> {
        bytes.to_string().parse()
    }
}

impl From<SectorSize> for u32 {
    fn from(size: SectorSize) -> Self {
        size.bytes()
    }
}

/// A partition of the disk. What is not said follows from its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename_all = "kebab-case")]
pub struct Partition {
    /// What it is: `esp`, `xbootldr` (`/boot` of its own), `root`, `usr`, `home`, `srv`, `var`, `tmp` (`/var/tmp`),
    /// `swap`, `linux-generic`, `bios-boot`, or a GUID.
    #[serde(rename = "type")]
    #[schemars(with = "String", extend("format" = TextFormat::PartitionType), example = &"srv")]
    pub kind: PartitionType,
    /// Its name in the table, and the label of its file system; by default that of its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::PartitionLabel), example = &"data")]
    pub label: Option<String>,
    /// Its GUID in the table; by default one that follows from the content of the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = TextFormat::Uuid))]
    pub uuid: Option<Uuid>,
    /// Exactly this size, in place of `min` and `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = TextFormat::Size), example = &"512M")]
    pub size: Option<Size>,
    /// At least this size, and what its content needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = TextFormat::Size), example = &"2G")]
    pub min: Option<Size>,
    /// At most this size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = TextFormat::Size), example = &"20G")]
    pub max: Option<Size>,
    /// Its share of what the disk has left, beside those of the others; 0 is none. By default 1000, and 0 for one with a
    /// `size` or `verity`, for `erofs` and `squashfs`, and for `esp`, `xbootldr`, `swap` and `bios-boot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// The file system in it; by default `vfat` for `esp`, `swap` for `swap`, `none` for `bios-boot` and GUIDs, else `ext4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "Filesystem::schema")]
    pub filesystem: Option<Filesystem>,
    /// What the files of an `erofs` are compressed by: `lz4`, which kernels since 5.13 read, or `zstd`, since 6.10; by
    /// default `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "Compression::schema")]
    pub compression: Option<Compression>,
    /// Where the machine mounts it. The files of the image at and below this place are on this partition, and those of
    /// `/` on the one that has `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::PlainPath), example = &"/srv")]
    pub mount: Option<String>,
    /// Options of that mount, with commas between them; those of a line of the image's own fstab are added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::MountOptions), example = &"noatime,nodev")]
    pub options: Option<String>,
    /// The folder whose files are on it, in place of the one at `mount`; without a file system, the file whose bytes it
    /// has. A path from `/` on is one of the image, another one of the build context, as in `files`; `{ from = "assets",
    /// path = "/site" }` is one of another stage or a named context, as `COPY --from=assets` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/usr/share/site")]
    pub source: Option<Source>,
    /// Whether it grows at boot with a disk that has become larger. The last one alone can, if it is an ext4, xfs or btrfs
    /// without `size` and `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grow: Option<bool>,
    /// Whether it is mounted read-only, as `erofs` and `squashfs` always are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// Attributes in the table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>", extend("items" = Attribute::schema()))]
    pub attributes: Vec<Attribute>,
    /// Whether each block of a `root` is checked when it is read (dm-verity): its hashes lie on a partition behind it, with
    /// slots in its own, of a microVM behind it in the same file, and what starts the machine names the hash of them all. The
    /// root is only read then, an `ext4` or `erofs`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verity: bool,
    /// Encrypts it (LUKS2): `{ passphrase = "SECRET-ID" }` for what a person types at each boot, and further ways by `unlock`,
    /// `{ key = "SECRET-ID" }` for a key on a root that is encrypted itself, or `"first-boot"` for an empty one that the machine makes for its TPM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypt: Option<Encrypt>,
}

impl Partition {
    /// One of which nothing else is said.
    pub fn new(kind: PartitionType) -> Self {
        Self {
            kind,
            label: None,
            uuid: None,
            size: None,
            min: None,
            max: None,
            weight: None,
            filesystem: None,
            compression: None,
            mount: None,
            options: None,
            source: None,
            grow: None,
            read_only: None,
            attributes: Vec::new(),
            verity: false,
            encrypt: None,
        }
    }

    /// What this says, and `other` where it says nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        // A size is an answer to all three.
        let sizes = if [self.size, self.min, self.max].iter().any(Option::is_some) { &self } else { &other };
        // What is to be no larger does not grow, unless that is said of it, which is a contradiction.
        let has_limit = sizes.size.or(sizes.max).is_some();
        Self {
            kind: self.kind,
            size: sizes.size,
            min: sizes.min,
            max: sizes.max,
            label: self.label.or(other.label),
            uuid: self.uuid.or(other.uuid),
            weight: self.weight.or(other.weight.filter(|_| self.size.is_none())),
            filesystem: self.filesystem.or(other.filesystem),
            compression: self.compression.or(other.compression),
            mount: self.mount.or(other.mount),
            options: self.options.or(other.options),
            source: self.source.or(other.source),
            grow: self.grow.or(other.grow.filter(|_| !has_limit)),
            read_only: self.read_only.or(other.read_only),
            attributes: if self.attributes.is_empty() { other.attributes } else { self.attributes },
            verity: self.verity || other.verity,
            encrypt: self.encrypt.or(other.encrypt),
        }
    }
}

/// What a partition can be formatted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filesystem {
    /// Linux' own.
    Ext4,
    /// FAT32.
    Vfat,
    /// What is only read: as large as its files, and no byte more.
    Erofs,
    /// Room for pages of memory.
    Swap,
    /// For large files.
    Xfs,
    /// With checksums and snapshots.
    Btrfs,
    /// What is only read, compressed.
    Squashfs,
    /// Bytes, or zeroes.
    None,
}

impl Filesystem {
    /// The one that is made, if one is.
    pub fn made(self) -> Option<fs::FileSystem> {
        match self {
            Self::Ext4 => Some(fs::FileSystem::Ext4),
            Self::Vfat => Some(fs::FileSystem::Vfat),
            Self::Erofs => Some(fs::FileSystem::Erofs),
            Self::Swap => Some(fs::FileSystem::Swap),
            Self::Xfs => Some(fs::FileSystem::Xfs),
            Self::Btrfs => Some(fs::FileSystem::Btrfs),
            Self::Squashfs => Some(fs::FileSystem::Squashfs),
            Self::None => None,
        }
    }

    fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let all = [
            Self::Ext4,
            Self::Vfat,
            Self::Erofs,
            Self::Swap,
            Self::Xfs,
            Self::Btrfs,
            Self::Squashfs,
            Self::None,
        ];
        schemars::json_schema!({ "type": "string", "enum": all })
    }
}

/// What the files of a partition are compressed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Nothing.
    None,
    /// LZ4.
    Lz4,
    /// zstd.
    Zstd,
}

impl Compression {
    /// What compresses, if something does.
    pub fn algorithm(self) -> Option<erofs::Algorithm> {
        match self {
            Self::None => None,
            Self::Lz4 => Some(erofs::Algorithm::Lz4),
            Self::Zstd => Some(erofs::Algorithm::Zstd),
        }
    }

    fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "enum": [Self::None, Self::Lz4, Self::Zstd] })
    }
}

/// An attribute of a partition in the table, besides those that other keys set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attribute {
    /// The platform needs it to work (UEFI specification, bit 0).
    Required,
    /// Firmware shows no file system in it (UEFI specification, bit 1).
    NoBlockIo,
    /// A BIOS may start it (UEFI specification, bit 2).
    LegacyBoot,
    /// Nobody mounts it by its type (Discoverable Partitions Specification, bit 63).
    NoAuto,
}

impl Attribute {
    /// Its bit in the table.
    pub fn bit(self) -> u64 {
        match self {
            Self::Required => 1 << 0,
            Self::NoBlockIo => 1 << 1,
            Self::LegacyBoot => kinds::LEGACY_BOOT,
            Self::NoAuto => kinds::NO_AUTO,
        }
    }

    fn schema() -> serde_json::Value {
        let all = [Self::Required, Self::NoBlockIo, Self::LegacyBoot, Self::NoAuto];
        serde_json::json!({ "type": "string", "enum": all })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_what_is_written_of_it() {
        let text = r#"{"preset":"split-boot","table":"mbr","sector-size":4096,"partitions":[{"type":"srv","size":"1G",
            "filesystem":"ext4","mount":"/srv","grow":true,"read-only":false,"attributes":["no-auto"]},
            {"type":"0fc63daf-8483-4772-8e79-3d69d8477de5","uuid":"01234567-89ab-4def-8123-456789abcdef"}]}"#;
        let layout: Layout = serde_json::from_str(text).unwrap();
        let again = serde_json::to_string(&layout).unwrap();
        assert_eq!(serde_json::from_str::<Layout>(&again).unwrap(), layout, "{again}");
        assert_eq!(again, text.split('\n').map(str::trim).collect::<String>());
        assert_eq!(layout.partitions[0].attributes[0].bit(), kinds::NO_AUTO);
    }

    #[test]
    fn what_is_no_key_or_no_value_of_one_is_refused() {
        for (text, said) in [
            (r#"{"partitions":[{"type":"server"}]}"#, "\"server\" is none of the types"),
            (r#"{"partitions":[{"label":"a"}]}"#, "missing field `type`"),
            (r#"{"partitions":[{"type":"srv","content":"root"}]}"#, "unknown field `content`"),
            (r#"{"partitions":[{"type":"srv","filesystem":"ntfs"}]}"#, "unknown variant `ntfs`"),
            (r#"{"partitions":[{"type":"srv","compression":"xz"}]}"#, "unknown variant `xz`"),
            (r#"{"sector-size":1024}"#, "one of 512, 4096"),
            (r#"{"table":"bsd"}"#, "unknown variant `bsd`"),
            (r#"{"preset":"abc"}"#, "unknown variant `abc`"),
        ] {
            let error = serde_json::from_str::<Layout>(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
