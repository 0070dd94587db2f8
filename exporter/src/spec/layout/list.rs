//! From what is asked to the list of a disk: presets, what is added, and what follows from types.

use std::collections::BTreeSet;

use super::{Compression, Encrypt, Filesystem, Partition, PartitionType, Preset, SectorSize, Source};
use crate::architecture::Architecture;
use crate::disk::{TableKind, kinds};
use crate::fs::FileSystem;
use crate::fs::erofs::Algorithm;
use crate::seed::Uuid;
use crate::spec::{Identity, Loader, Persist, Profile, Size, Spec, Volatile};

/// A partition with all that was left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its place among the partitions that were asked for; `None`: nobody has asked for it.
    pub asked: Option<usize>,
    /// Its name in the table.
    pub label: String,
    /// The label of its file system: the same, but for a root in a slot, which may be copied into the other one.
    pub volume_label: String,
    /// Its type in the table.
    pub kind: Uuid,
    /// Its GUID in the table, if one was asked for.
    pub guid: Option<Uuid>,
    /// What is in it.
    pub content: Content,
    /// What holds that.
    pub file_system: Option<FileSystem>,
    /// What its files are compressed by.
    pub compression: Option<Algorithm>,
    /// Where the machine mounts it.
    pub mount: Option<String>,
    /// Options of that mount, with commas between them.
    pub options: String,
    /// The least size in bytes; with more in it, it is larger.
    pub min: u64,
    /// The largest size in bytes.
    pub max: Option<u64>,
    /// Its share of the disk, beside those of others; 0: no more than it needs.
    pub weight: u32,
    /// Whether it grows at boot.
    pub grow: bool,
    /// Whether it is mounted read-only.
    pub read_only: bool,
    /// Whether it is mounted before the init, or an overlay over it, so that the init knows nothing of it.
    pub is_covered: bool,
    /// Attribute bits of the table.
    pub attributes: u64,
    /// Whether the partition behind it has its hashes, or without a table itself behind its content.
    pub has_verity: bool,
    /// How it is encrypted, if it is.
    pub encrypt: Option<Encrypt>,
}

impl Slot {
    /// What it is called in `/dev/mapper`, if it is encrypted: the root by its own name, as every initramfs is told.
    pub fn opened_as(&self) -> &str {
        if self.content == Content::Root { "root" } else { &self.label }
    }
}

/// What is in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing: a file system without files, or zeroes.
    Empty,
    /// The tree, but for the parts of it that other partitions have.
    Root,
    /// The room for another root, as large as the first.
    EmptySlot,
    /// The kernels of roots that GRUB does not read, a folder for each.
    SlotKernels,
    /// All below this directory of the tree.
    Subtree(String),
    /// The boot loader that UEFI starts, and its configuration.
    Esp,
    /// The boot loader that a BIOS starts, as far as it is not in the MBR.
    BiosCore,
    /// The bytes of this file of the tree.
    File(String),
    /// A folder of the build context, of a stage or of a named context, without a file system a file of it.
    Elsewhere(Source),
    /// The dm-verity hashes of the partition in front of it.
    Hashes,
    /// Who has signed their root hash.
    Signature,
}

/// The name of the first slot in the table, as long as nobody says what is in it.
const FIRST_SLOT: &str = "root-a";
/// That of a slot with nothing in it, by which sysupdate.d(5) knows it.
pub const EMPTY_SLOT: &str = "_empty";
/// Where what is kept is mounted.
const PERSIST_MOUNT: &str = "/persist";
/// Room for what a first boot copies from the image, where nothing else is said.
const PERSIST_MIN: Size = Size(256 << 20);

/// A partition of the list, with its place among those that were asked for.
type Entry = (Option<usize>, Partition);

/// The partitions of the disk that is asked for, in their order.
pub fn slots(spec: &Spec) -> Vec<Slot> {
    let asked = &spec.layout.partitions;
    let of_preset = |preset: Vec<Partition>| preset.into_iter().map(|partition| (None, partition)).collect();
    let mut list = match (spec.layout.preset, asked.is_empty(), spec.profile) {
        _ if spec.is_bare() => vec![bare_root(spec)],
        (Some(preset), ..) => changed(of_preset(preset.partitions(spec.has_fixed_root())), asked),
        (None, true, Profile::Machine | Profile::Microvm) => {
            of_preset(Preset::Simple.partitions(spec.has_fixed_root()))
        }
        (None, true, Profile::Data) => of_preset(vec![files()]),
        (None, false, _) => asked.iter().cloned().enumerate().map(|(at, each)| (Some(at), each)).collect(),
    };
    if spec.layout.table == TableKind::Mbr {
        // GRUB's core lies in front of the first partition.
        list.retain(|(asked, partition)| asked.is_some() || partition.kind != PartitionType::BiosBoot);
    }
    let has_bios_boot = list.iter().any(|(_, partition)| partition.kind == PartitionType::BiosBoot);
    if !has_bios_boot && is_for_bios(spec) && spec.layout.table == TableKind::Gpt {
        list.insert(0, (None, Partition::new(PartitionType::BiosBoot)));
    }
    let mut labels: BTreeSet<_> = list.iter().filter_map(|(_, partition)| partition.label.clone()).collect();
    let slots = list.into_iter().map(|entry| slot(entry, spec, &mut labels));
    let mut slots: Vec<_> = slots.collect();
    if spec.layout.has_slots() {
        add_empty_slot(&mut slots, &spec.image);
    }
    let mut slots = if spec.is_bare() { slots } else { with_hashes(slots, spec) };
    if spec.layout.table == TableKind::Mbr && is_for_bios(spec) {
        activate(&mut slots);
    }
    slots
}

/// The one of a microVM, whose file system lies by itself; what else is asked for is a problem.
fn bare_root(spec: &Spec) -> Entry {
    let mut asked = spec.layout.partitions.iter().cloned().enumerate();
    let root = asked.find(|(_, partition)| partition.kind == PartitionType::Root);
    let usual = Partition {
        filesystem: spec.is_uki().then_some(Filesystem::Erofs),
        weight: Some(0),
        ..Partition::new(PartitionType::Root)
    };
    match root {
        Some((at, root)) => (Some(at), root.or(usual)),
        None => (None, usual),
    }
}

/// Behind the root, of which it has the size; nobody mounts it by its type.
fn add_empty_slot(slots: &mut Vec<Slot>, image: &Identity) {
    let root = slots.iter_mut().enumerate().find(|(_, slot)| slot.content == Content::Root);
    let Some((at, root)) = root else { return };
    root.label = first_slot(image);
    let empty = Slot {
        label: EMPTY_SLOT.to_owned(),
        guid: None,
        content: Content::EmptySlot,
        file_system: None,
        compression: None,
        mount: None,
        options: String::new(),
        grow: false,
        read_only: false,
        attributes: kinds::NO_AUTO,
        encrypt: None,
        ..root.clone()
    };
    slots.insert(at + 1, empty);
}

/// The list with the hashes of each partition that has some behind it, and the signature of these, if somebody signs.
fn with_hashes(slots: Vec<Slot>, spec: &Spec) -> Vec<Slot> {
    let kinds = [kinds::root_verity(spec.architecture), kinds::root_verity_sig(spec.architecture)];
    let beside = [("verity", Content::Hashes), ("verity-sig", Content::Signature)];
    let count = if spec.secure_boot.key.is_some() { 2 } else { 1 };
    let with = |slot: Slot| {
        let behind = kinds.into_iter().zip(beside.clone()).take(if slot.has_verity { count } else { 0 });
        let behind: Vec<_> =
            behind.map(|(kind, (what, content))| beside_root(&slot, what, kind, content)).collect();
        std::iter::once(slot).chain(behind)
    };
    slots.into_iter().flat_map(with).collect()
}

/// Only read, as the root is, and found by the root hash.
fn beside_root(root: &Slot, what: &str, kind: Uuid, content: Content) -> Slot {
    let label = format!("{}-{what}", root.label);
    Slot {
        asked: root.asked,
        volume_label: label.clone(),
        label,
        encrypt: None,
        kind,
        guid: None,
        content,
        file_system: None,
        compression: None,
        mount: None,
        options: String::new(),
        min: 0,
        max: None,
        weight: 0,
        grow: false,
        read_only: true,
        is_covered: false,
        attributes: kinds::READ_ONLY,
        has_verity: false,
    }
}

/// What is in the first slot, as sysupdate.d(5) has it in a name, if that is said.
fn first_slot(image: &Identity) -> String {
    match (&image.id, &image.version) {
        (Some(id), Some(version)) => format!("{id}_{version}"),
        _ => FIRST_SLOT.to_owned(),
    }
}

/// There are BIOSes that start no disk with an MBR of which no partition is active: here the one with the kernel.
fn activate(slots: &mut [Slot]) {
    let boot = slots.iter().position(|slot| slot.mount.as_deref() == Some("/boot"));
    let root = slots.iter().position(|slot| slot.content == Content::Root);
    if let Some(slot) = boot.or(root).and_then(|at| slots.get_mut(at)) {
        slot.attributes |= kinds::LEGACY_BOOT;
    }
}

/// Whether a BIOS may start the disk, as far as what is asked tells.
fn is_for_bios(spec: &Spec) -> bool {
    spec.boots_by_firmware()
        && spec.firmware.takes_bios()
        && spec.loader == Loader::Grub
        && spec.architecture == Architecture::X86_64
        && spec.layout.sector_size == SectorSize::Bytes512
}

/// The list with what was asked for: one of a type that the list has changes that one, if it has its label as well where
/// the list says one. Others are added in front of the one that grows. If one that is asked for grows, that one does not.
fn changed(mut list: Vec<Entry>, asked: &[Partition]) -> Vec<Entry> {
    if asked.iter().any(|partition| partition.grow == Some(true)) {
        list.iter_mut().for_each(|(_, partition)| partition.grow = None);
    }
    for (at, partition) in asked.iter().cloned().enumerate() {
        let is_meant = |other: &Partition| {
            other.kind == partition.kind && (other.label.is_none() || other.label == partition.label)
        };
        let same = list.iter().position(|(old, other)| old.is_none() && is_meant(other));
        let growing = list.iter().position(|(_, other)| other.grow == Some(true));
        match (same, growing) {
            (Some(same), _) => {
                let (_, old) = list.remove(same);
                list.insert(same, (Some(at), partition.or(old)));
            }
            (None, Some(growing)) if partition.grow != Some(true) => {
                list.insert(growing, (Some(at), partition));
            }
            (None, _) => list.push((Some(at), partition)),
        }
    }
    list
}

impl Preset {
    /// The BIOS boot partition is there on every disk with a GPT, so that numbers mean the same on all of them. A root that is
    /// only read needs no more room.
    fn partitions(self, is_fixed: bool) -> Vec<Partition> {
        let [bios, esp, boot, root] =
            [PartitionType::BiosBoot, PartitionType::Esp, PartitionType::Xbootldr, PartitionType::Root]
                .map(Partition::new);
        let root = Partition { grow: (!is_fixed).then_some(true), ..root };
        match self {
            Self::Simple => vec![bios, esp, root],
            Self::SplitBoot => vec![bios, esp, boot, root],
            Self::SplitBootVfat => {
                let boot = Partition { filesystem: Some(Filesystem::Vfat), ..boot };
                vec![bios, esp, boot, root]
            }
            Self::Ab => {
                // A slot has the size that its entry says, and not the disk.
                let root = Partition { grow: None, weight: Some(0), ..root };
                vec![bios, esp, root, persist()]
            }
        }
    }
}

/// What is kept, whatever root is started.
fn persist() -> Partition {
    Partition {
        label: Some(Persist::LABEL.to_owned()),
        min: Some(PERSIST_MIN),
        mount: Some(PERSIST_MOUNT.to_owned()),
        grow: Some(true),
        ..Partition::new(PartitionType::LinuxGeneric)
    }
}

/// All files on one partition.
fn files() -> Partition {
    Partition {
        label: Some("data".to_owned()),
        source: Some(Source::Path("/".to_owned())),
        grow: Some(true),
        ..Partition::new(PartitionType::LinuxGeneric)
    }
}

fn slot((asked, said): Entry, spec: &Spec, labels: &mut BTreeSet<String>) -> Slot {
    let has_label = said.label.is_some();
    let by_type = by_type(&said, spec.loader);
    let all = said.or(by_type);
    let label = all.label.clone().unwrap_or_default();
    let label = if has_label { label } else { unused(&label, labels) };
    let (min, max) = match (all.size, all.min, all.max) {
        (Some(Size(size)), ..) => (size, Some(size)),
        (None, min, max) => (min.map_or(0, |Size(min)| min), max.map(|Size(max)| max)),
    };
    let grow = all.grow.unwrap_or_default();
    let is_root = all.mount.as_deref() == Some("/");
    // With a kernel whose modules are not kept, a machine would not start again.
    let is_fixed = spec.has_fixed_root() && (is_root || all.mount.as_deref() == Some("/boot"));
    // Each root has its own `/boot`.
    let is_beside = spec.layout.has_slots() && all.kind == PartitionType::Xbootldr;
    // systemd-boot counts there.
    let is_fixed = is_fixed && !(is_beside && spec.loader == Loader::SystemdBoot);
    let read_only = all.read_only.unwrap_or(is_fixed || all.verity || is_read_only(all.filesystem));
    let has_kept = label == Persist::LABEL && spec.kept().is_some();
    let mut attributes = all.attributes.iter().fold(0, |bits, attribute| bits | attribute.bit());
    attributes |= if grow { kinds::GROW_FILE_SYSTEM } else { 0 };
    attributes |= if read_only { kinds::READ_ONLY } else { 0 };
    Slot {
        asked,
        volume_label: label.clone(),
        label,
        kind: all.kind.guid(spec.architecture),
        guid: all.uuid,
        content: if is_beside { Content::SlotKernels } else { content(&all) },
        file_system: all.filesystem.and_then(Filesystem::made),
        compression: all.compression.and_then(Compression::algorithm),
        options: options(&all, read_only),
        min,
        max,
        weight: all.weight.unwrap_or_default(),
        grow,
        read_only,
        is_covered: has_kept || is_root && spec.volatile == Volatile::Overlay,
        attributes,
        has_verity: all.verity,
        mount: all.mount.filter(|_| !is_beside),
        encrypt: all.encrypt,
    }
}

/// What its type says of one of which this is said. What has no file system is mounted nowhere.
fn by_type(said: &Partition, loader: Loader) -> Partition {
    let defaults = said.kind.defaults(loader);
    let is_mounted = said.filesystem != Some(Filesystem::None);
    // No byte more than its files take would be of use.
    let is_full = said.verity || is_read_only(said.filesystem);
    let weight = if is_full { Some(0) } else { defaults.weight };
    // Those are of the file system that it has by default.
    let is_usual = said.filesystem.is_none_or(|filesystem| Some(filesystem) == defaults.filesystem);
    let options = defaults.options.filter(|_| is_usual);
    Partition { mount: defaults.mount.filter(|_| is_mounted), weight, options, ..defaults }
}

fn is_read_only(filesystem: Option<Filesystem>) -> bool {
    filesystem.and_then(Filesystem::made).is_some_and(FileSystem::is_read_only)
}

/// That of a type, or with a number behind it where others have it.
fn unused(label: &str, labels: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{label}-{number}"));
    let mut names = std::iter::once(label.to_owned()).chain(numbered);
    let name = names.find(|name| !labels.contains(name)).unwrap_or_default();
    labels.insert(name.clone());
    name
}

fn content(all: &Partition) -> Content {
    let has_file_system = all.filesystem.and_then(Filesystem::made).is_some();
    let from = match &all.source {
        Some(source) => match source.in_image() {
            Some(path) => Some(path),
            None => return Content::Elsewhere(source.clone()),
        },
        None => all.mount.as_deref().filter(|_| has_file_system),
    };
    match (all.kind, from) {
        (PartitionType::Esp, _) => Content::Esp,
        (PartitionType::BiosBoot, None) => Content::BiosCore,
        (_, None) => Content::Empty,
        (_, Some(path)) if !has_file_system => Content::File(path.to_owned()),
        (_, Some("/")) => Content::Root,
        (_, Some(path)) => Content::Subtree(path.to_owned()),
    }
}

fn options(all: &Partition, read_only: bool) -> String {
    let read_only = if read_only { "ro" } else { "" };
    let options = [read_only, all.options.as_deref().unwrap_or_default()];
    options.into_iter().filter(|options| !options.is_empty()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Firmware, Layout};

    fn spec(layout: &str) -> Spec {
        Spec { layout: serde_json::from_str(layout).unwrap(), ..Spec::default() }
    }

    /// `label` with `*` where it grows.
    fn labels(spec: &Spec) -> String {
        let labels = slots(spec).into_iter().map(|slot| slot.label + if slot.grow { "*" } else { "" });
        labels.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_list_is_all_of_the_disk_and_a_preset_is_changed_and_added_to() {
        for (layout, expected) in [
            ("{}", "bios esp root*"),
            (r#"{"preset":"simple"}"#, "bios esp root*"),
            (r#"{"preset":"split-boot"}"#, "bios esp boot root*"),
            (r#"{"partitions":[{"type":"esp"},{"type":"root"}]}"#, "bios esp root"),
            (
                r#"{"partitions":[{"type":"esp"},{"type":"bios-boot"},{"type":"root","grow":true}]}"#,
                "esp bios root*",
            ),
            (r#"{"preset":"simple","partitions":[{"type":"root","label":"system"}]}"#, "bios esp system*"),
            (r#"{"preset":"simple","partitions":[{"type":"root","size":"4G"}]}"#, "bios esp root"),
            (r#"{"preset":"simple","partitions":[{"type":"root","min":"4G"}]}"#, "bios esp root*"),
            (
                r#"{"preset":"simple","partitions":[{"type":"home"},{"type":"srv"}]}"#,
                "bios esp home srv root*",
            ),
            (
                r#"{"preset":"simple","partitions":[{"type":"home"},{"type":"srv","grow":true}]}"#,
                "bios esp root home srv*",
            ),
            (
                r#"{"preset":"simple","partitions":[{"type":"linux-generic"},{"type":"linux-generic"},{"type":"esp","label":"linux-2"}]}"#,
                "bios linux-2 linux linux-3 root*",
            ),
            (r#"{"preset":"ab"}"#, "bios esp root-a _empty persist*"),
            (
                r#"{"preset":"ab","partitions":[{"type":"srv"},{"type":"linux-generic"},{"type":"root","min":"4G"}]}"#,
                "bios esp root-a _empty srv linux persist*",
            ),
            (
                r#"{"preset":"ab","partitions":[{"type":"linux-generic","label":"persist","size":"4G"},{"type":"srv","grow":true}]}"#,
                "bios esp root-a _empty persist srv*",
            ),
        ] {
            assert_eq!(labels(&spec(layout)), expected, "{layout}");
        }
        let own = spec(r#"{"partitions":[{"type":"esp"},{"type":"root"}]}"#);
        let uefi = Spec { firmware: Firmware::Uefi, ..own.clone() };
        let arm64 = Spec { architecture: Architecture::Aarch64, ..own.clone() };
        let layout = Layout { sector_size: SectorSize::Bytes4096, ..own.layout.clone() };
        let systemd_boot = Spec { loader: Loader::SystemdBoot, ..own.clone() };
        let of_loader =
            |spec: &Spec| slots(spec).into_iter().find(|slot| slot.label == "esp").map(|slot| slot.min);
        assert_eq!([&own, &systemd_boot].map(of_loader), [Some(64 << 20), Some(512 << 20)]);
        let large_sectors = Spec { layout, ..own };
        let without_bios = [uefi, arm64, large_sectors, systemd_boot];
        assert_eq!(without_bios.map(|spec| labels(&spec)), ["esp root"; 4]);
        assert_eq!(labels(&Spec { profile: Profile::Data, ..Spec::default() }), "data*");
    }

    #[test]
    fn an_mbr_has_no_bios_boot_partition_and_one_that_a_bios_starts() {
        let active = |layout: &str, firmware| {
            let spec = Spec { firmware, ..spec(layout) };
            let slots = slots(&spec).into_iter();
            slots.map(|slot| slot.label + if slot.attributes & kinds::LEGACY_BOOT != 0 { "!" } else { "" })
        };
        for (layout, firmware, expected) in [
            (r#"{"table":"mbr"}"#, Firmware::Any, "esp root!"),
            (r#"{"table":"mbr"}"#, Firmware::Uefi, "esp root"),
            (r#"{"table":"mbr","preset":"split-boot"}"#, Firmware::Bios, "esp boot! root"),
            (r#"{"table":"mbr","partitions":[{"type":"root"},{"type":"esp"}]}"#, Firmware::Any, "root! esp"),
            ("{}", Firmware::Any, "bios esp root"),
        ] {
            assert_eq!(active(layout, firmware).collect::<Vec<_>>().join(" "), expected, "{layout}");
        }
    }

    #[test]
    fn a_volatile_root_is_only_read_and_does_not_grow() {
        let slots = |layout: &str, volatile| slots(&Spec { volatile, ..spec(layout) });
        for (volatile, is_covered) in [(Volatile::Overlay, true), (Volatile::State, false)] {
            let slots =
                slots(r#"{"preset":"split-boot","partitions":[{"type":"srv","grow":true}]}"#, volatile);
            let [_, esp, boot, root, srv] = &slots[..] else { panic!("{slots:?}") };
            assert_eq!([esp, boot, root, srv].map(|slot| slot.read_only), [false, true, true, false]);
            assert_eq!([esp, boot, root, srv].map(|slot| slot.is_covered), [false, false, is_covered, false]);
            assert_eq!((root.grow, srv.grow, &*root.options), (false, true, "ro,errors=remount-ro"));
        }
        assert!(slots("{}", Volatile::Overlay).iter().all(|slot| !slot.grow));
        let asked = slots(r#"{"partitions":[{"type":"xbootldr","read-only":false}]}"#, Volatile::State);
        assert!(asked.iter().all(|slot| !slot.read_only));
    }

    #[test]
    fn one_entry_says_how_large_both_slots_are() {
        let layout = r#"{"preset":"ab","partitions":[{"type":"root","min":"2G","max":"3G","compression":"lz4",
            "uuid":"01234567-89ab-4def-8123-456789abcdef","filesystem":"erofs"},{"type":"xbootldr"}]}"#;
        let slots = slots(&spec(layout));
        let [_, _, root, empty, kernels, persist] = &slots[..] else { panic!("{slots:?}") };
        for slot in [root, empty] {
            assert_eq!((slot.min, slot.max, slot.weight, slot.kind), (2 << 30, Some(3 << 30), 0, root.kind));
        }
        assert_eq!((&root.content, &*root.volume_label, root.read_only), (&Content::Root, "root", true));
        let image = serde_json::from_str(r#"{"id":"kiosk","version":"1.4.0"}"#).unwrap();
        let named = super::slots(&Spec { image, ..spec(layout) });
        assert_eq!((&*named[2].label, &*named[3].label), ("kiosk_1.4.0", EMPTY_SLOT));
        assert_eq!((&empty.content, empty.file_system, empty.guid), (&Content::EmptySlot, None, None));
        assert_eq!((root.attributes, empty.attributes), (kinds::READ_ONLY, kinds::NO_AUTO));
        assert_eq!((&kernels.content, &kernels.mount), (&Content::SlotKernels, &None));
        assert_eq!((persist.kind, persist.mount.as_deref()), (kinds::LINUX_GENERIC, Some(PERSIST_MOUNT)));
        assert!(persist.is_covered && persist.min == 256 << 20 && persist.weight == 1000);
    }

    #[test]
    fn what_is_not_said_follows_from_the_type() {
        let only = |partition: &str| {
            let spec = spec(&format!(r#"{{"partitions":[{partition}]}}"#));
            slots(&Spec { firmware: Firmware::Uefi, ..spec }).remove(0)
        };
        let srv = only(r#"{"type":"srv"}"#);
        assert_eq!((srv.content, srv.mount.as_deref()), (Content::Subtree("/srv".into()), Some("/srv")));
        assert_eq!((srv.kind, srv.min, srv.max, srv.weight), (kinds::SRV, 0, None, 1000));
        let esp = only(r#"{"type":"esp","size":"256M"}"#);
        assert_eq!((esp.min, esp.max, esp.weight), (256 << 20, Some(256 << 20), 0));
        assert_eq!((esp.file_system, &*esp.options), (Some(FileSystem::Vfat), "umask=0077,nofail"));
        let capped = only(r#"{"type":"xbootldr","max":"1G"}"#);
        assert_eq!((capped.min, capped.max, capped.weight), (0, Some(1 << 30), 0));
        let root = only(r#"{"type":"root","read-only":true,"attributes":["no-auto"]}"#);
        assert_eq!((root.content, &*root.options), (Content::Root, "ro,errors=remount-ro"));
        assert_eq!(root.attributes, kinds::READ_ONLY | kinds::NO_AUTO);
        let raw = only(r#"{"type":"srv","filesystem":"none","source":"/boot/image"}"#);
        assert_eq!((raw.content, raw.mount), (Content::File("/boot/image".into()), None));
        let scratch = only(r#"{"type":"linux-generic"}"#);
        assert_eq!((scratch.content, scratch.file_system), (Content::Empty, Some(FileSystem::Ext4)));
        let erofs = only(r#"{"type":"srv","filesystem":"erofs"}"#);
        assert_eq!((erofs.weight, erofs.read_only, &*erofs.options), (0, true, "ro"));
        assert_eq!(erofs.compression, None);
        let zstd = only(r#"{"type":"srv","filesystem":"erofs","compression":"zstd"}"#);
        assert_eq!(zstd.compression, Some(Algorithm::Zstd));
        let squashfs = only(r#"{"type":"srv","filesystem":"squashfs"}"#);
        assert_eq!((squashfs.weight, squashfs.read_only, &*squashfs.options), (0, true, "ro"));
        let xfs = only(r#"{"type":"root","filesystem":"xfs"}"#);
        assert_eq!((xfs.weight, xfs.read_only, &*xfs.options), (1000, false, ""));
        let unknown = only(r#"{"type":"0fc63daf-8483-4772-8e79-3d69d8477de5"}"#);
        assert_eq!((unknown.content, unknown.file_system), (Content::Empty, None));
    }
}
