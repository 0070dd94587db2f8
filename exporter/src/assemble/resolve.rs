//! The layout that was asked for with the names that its partitions get: what they are found by.

use crate::boot::slots::Slots;
use crate::boot::{BootVolume, Root};
use crate::disk::{PartitionId, TableKind, mbr};
use crate::error::{Error, Kind, Result, show_size};
use crate::fs::ext4::Placement;
use crate::fs::{FileSystem, VolumeId, luks};
use crate::machine::persist::Kept;
use crate::machine::{FsSpec, Mount};
use crate::seed::{Seed, Uuid};
use crate::spec::layout::{self, Content, Encrypt, Slot, Way};
use crate::spec::{Loader, Persist, Spec};
use crate::tree::Tree;

/// It is mounted once there is a network (systemd.mount(5)).
const WITH_NETWORK: &str = "_netdev";

/// A layout that can be made.
pub(super) struct Resolved {
    pub(super) table: TableKind,
    /// Identity of the disk.
    pub(super) disk: Uuid,
    pub(super) sector_size: u32,
    pub(super) partitions: Vec<Named>,
    /// What the kernel looks for.
    pub(super) root: Root,
    /// What GRUB looks for.
    pub(super) boot: BootVolume,
}

/// A partition with its names.
pub(super) struct Named {
    pub(super) slot: Slot,
    pub(super) id: PartitionId,
    /// Of one with a file system.
    pub(super) volume: Option<Volume>,
    /// Of one that is encrypted: that of its header.
    luks: Option<Uuid>,
}

/// A file system with its names.
#[derive(Clone, Copy)]
pub(super) enum Volume {
    Ext4 { uuid: Uuid, hash_seed: Uuid },
    Fat { serial: u32 },
    Erofs { uuid: Uuid },
    Swap { uuid: Uuid },
    Xfs { uuid: Uuid },
    Btrfs { uuid: Uuid },
    Squashfs { uuid: Uuid, partition: PartitionId },
}

impl Resolved {
    /// Mount points and sources are places of `tree`, whatever links lead there.
    ///
    /// # Errors
    /// All that is wrong with the layout by itself.
    pub(super) fn new(spec: &Spec, seed: &Seed, tree: &Tree) -> Result<Self> {
        let mut slots = layout::slots(spec);
        slots.iter_mut().try_for_each(|slot| follow_links(slot, tree))?;
        let problems: Vec<_> =
            layout::problems(spec, &slots).into_iter().map(|problem| problem.message).collect();
        if !problems.is_empty() {
            return Err(Error::new(Kind::Input, "layout", problems.join("; ")));
        }
        let (table, disk) = (spec.layout.table, seed.uuid("disk"));
        let named = |(number, slot): (u32, Slot)| {
            let id = match table {
                TableKind::Gpt => guid(&slot, seed).into(),
                TableKind::Mbr => PartitionId::Numbered { signature: mbr::signature(disk), number },
            };
            Named::new(slot, id, seed)
        };
        let partitions: Vec<_> = (1..).zip(slots).map(named).collect();
        let has_slots = spec.layout.has_slots();
        let root = partitions.iter().find_map(Named::root).map(|root| Root { is_slot: has_slots, ..root });
        let root = root.ok_or_else(|| Error::new(Kind::Input, "layout", "no partition has the tree"))?;
        let own = partitions.iter().filter(|named| named.slot.mount.as_deref() == Some(BootVolume::MOUNT));
        let own = own.filter_map(|named| named.volume).next();
        let own = own.map_or(BootVolume::Root(root.id), |own| BootVolume::Own(own.id()));
        // systemd-boot has them beside itself, whatever the roots are.
        let are_beside = spec.loader == Loader::Grub && root.file_system.grub_module().is_none();
        let boot = find_slots(&partitions, are_beside).map_or(own, BootVolume::Slots);
        let sector_size = spec.layout.sector_size.bytes();
        Ok(Self { table, disk, sector_size, partitions, root, boot })
    }

    /// Let an ext4 of the root have the names that it had in an earlier build: every checksum in it begins with its UUID,
    /// and large directories are sorted by its seed.
    pub(super) fn keep_names(&mut self, previous: &Placement) {
        let is_root = |named: &&mut Named| named.slot.content == Content::Root;
        let Some(root) = self.partitions.iter_mut().find(is_root) else { return };
        if !matches!(root.volume, Some(Volume::Ext4 { .. })) {
            return;
        }
        let volume = Volume::Ext4 { uuid: previous.uuid(), hash_seed: previous.hash_seed() };
        root.volume = Some(volume);
        self.root.id = volume.id();
        if let BootVolume::Root(id) = &mut self.boot {
            *id = volume.id();
        }
    }

    /// What the machine mounts, each after what it lies in.
    pub(super) fn mounts(&self) -> Vec<Mount> {
        let mount = |named: &Named| named.mount(self.root.is_slot);
        let mut mounts: Vec<_> = self.partitions.iter().filter_map(mount).collect();
        mounts.sort_by(|one, other| one.point.cmp(&other.point));
        mounts
    }

    /// What the machine swaps to.
    pub(super) fn swaps(&self) -> Vec<FsSpec> {
        let found_by = |named: &Named| {
            let volume = named.volume.filter(|volume| volume.file_system() == FileSystem::Swap)?;
            Some(named.found_by(volume, self.root.is_slot))
        };
        self.partitions.iter().filter_map(found_by).collect()
    }

    /// Where the partition is mounted that grows at boot, if one does.
    pub(super) fn grows(&self) -> Option<&str> {
        self.partitions.iter().find(|partition| partition.slot.grow)?.slot.mount.as_deref()
    }

    /// Whether the build makes SELinux labels: no boot could write them to a root in a slot or with hashes, and of an encrypted
    /// one GRUB does not see that they are missing.
    pub(super) fn is_labelled_here(&self) -> bool {
        self.root.is_slot || self.root.has_verity || self.root.luks.is_some()
    }

    /// What the partition of the root is called.
    pub(super) fn root_label(&self) -> &str {
        let root = self.partitions.iter().find(|named| named.slot.content == Content::Root);
        root.map_or("", |named| &named.slot.label)
    }

    /// Whether a partition of their own has the kernels of both slots.
    pub(super) fn has_slot_kernels(&self) -> bool {
        self.partitions.iter().any(|named| named.slot.content == Content::SlotKernels)
    }

    /// What the machine keeps on one of the partitions.
    pub(super) fn kept(&self, spec: &Spec) -> Option<Kept> {
        let persist = spec.kept()?;
        let Slot { mount, grow, .. } =
            self.partitions.iter().map(|named| &named.slot).find(|slot| has_kept(slot))?;
        let at = mount.clone()?;
        let written = self.partitions.iter().map(|named| &named.slot).filter(|slot| !slot.read_only);
        let others =
            written.filter_map(|slot| slot.mount.clone()).filter(|point| *point != "/" && *point != at);
        Some(Kept { persist, partitions: others.collect(), grows: *grow, at })
    }

    /// Let the partition of what is kept have room for as many bytes.
    ///
    /// # Errors
    /// If it may not be so large.
    pub(super) fn make_room(&mut self, bytes: u64) -> Result<()> {
        let slots = self.partitions.iter_mut().map(|named| &mut named.slot);
        for slot in slots.filter(|slot| has_kept(slot)) {
            let bytes = bytes.saturating_add(slot.encrypt.as_ref().map_or(0, |_| luks::DATA_OFFSET));
            if let Some(max) = slot.max.filter(|max| *max < bytes) {
                let (needed, available) = (show_size(bytes), show_size(max));
                let message =
                    format!("may have {available}, and what the first boot copies to it needs {needed}");
                return Err(Error::new(
                    Kind::NoSpace { needed: bytes, available: max },
                    &slot.label,
                    message,
                )
                .with_hint("give the partition a larger size, or keep less of what is large by bind"));
            }
            slot.min = slot.min.max(bytes);
        }
        Ok(())
    }

    /// What is at this mount point, if it is a partition of its own.
    pub(super) fn file_system_at(&self, point: &str) -> Option<FileSystem> {
        let at = self.partitions.iter().find(|partition| partition.slot.mount.as_deref() == Some(point))?;
        at.volume.map(Volume::file_system)
    }
}

/// Whether it is the partition of what is kept, as far as something is.
fn has_kept(slot: &Slot) -> bool {
    slot.label == Persist::LABEL
}

/// The slots for roots, if there are two, whose kernels may lie beside them for GRUB.
fn find_slots(partitions: &[Named], are_beside: bool) -> Option<Slots> {
    let numbered = || (1..).zip(partitions);
    let of = |content| numbered().find(|(_, named)| named.slot.content == content);
    let ((first, root), (second, empty)) = of(Content::Root).zip(of(Content::EmptySlot))?;
    let kernels = of(Content::SlotKernels).or(of(Content::Esp)).map(|(number, _)| number);
    Some(Slots {
        numbers: [first, second],
        partitions: [root.id, empty.id],
        kernels: kernels.filter(|_| are_beside),
    })
}

/// The same slot with paths that lead through no links.
fn follow_links(slot: &mut Slot, tree: &Tree) -> Result<()> {
    let Slot { content, mount, .. } = slot;
    let source = match content {
        Content::Subtree(path) | Content::File(path) => Some(path),
        _ => None,
    };
    for path in source.into_iter().chain(mount) {
        let endless = || Error::new(Kind::Input, &**path, "leads to no place of the image's tree");
        let canonical = tree.canonical(path).ok_or_else(endless)?;
        if path == BootVolume::MOUNT && canonical != *path {
            let message =
                format!("leads to {canonical} in the image, and GRUB follows no link to another place");
            return Err(Error::new(Kind::Input, &**path, message));
        }
        *path = canonical;
    }
    Ok(())
}

fn guid(slot: &Slot, seed: &Seed) -> Uuid {
    slot.guid.unwrap_or_else(|| seed.uuid(&format!("{} partition", slot.label)))
}

impl Named {
    fn new(slot: Slot, id: PartitionId, seed: &Seed) -> Self {
        let purpose = match &slot.content {
            Content::Root => "root".to_owned(),
            Content::Esp => "esp".to_owned(),
            // Begins with a slash, as no other does.
            Content::Subtree(path) => path.clone(),
            Content::Empty
            | Content::EmptySlot
            | Content::SlotKernels
            | Content::BiosCore
            | Content::File(_)
            | Content::Elsewhere(_)
            | Content::Hashes
            | Content::Signature => format!("partition {}", slot.label),
        };
        let volume = slot.file_system.map(|file_system| Volume::new(file_system, id, &purpose, seed));
        let luks = slot.encrypt.as_ref().map(|_| seed.uuid(&format!("{purpose} encryption")));
        Self { slot, id, volume, luks }
    }

    /// How it is encrypted, and what its header is found by.
    pub(super) fn encryption(&self) -> Option<(&Encrypt, Uuid)> {
        self.slot.encrypt.as_ref().zip(self.luks)
    }

    fn root(&self) -> Option<Root> {
        let volume = self.volume.filter(|_| self.slot.content == Content::Root)?;
        let (id, file_system) = (volume.id(), volume.file_system());
        let has_verity = self.slot.hashes.is_some();
        Some(Root { id, partition: self.id, file_system, is_slot: false, has_verity, luks: self.luks })
    }

    fn mount(&self, has_slots: bool) -> Option<Mount> {
        let volume = self.volume?;
        let (point, file_system) = (self.slot.mount.clone()?, volume.file_system());
        let lock = self.encryption().and_then(|(encrypt, _)| encrypt.now());
        let waits = lock.is_some_and(|lock| lock.way() == Way::Tang) && point != "/";
        let options = waits.then_some(WITH_NETWORK).into_iter().chain([&*self.slot.options]);
        let options: Vec<_> = options.filter(|options| !options.is_empty()).collect();
        let (options, is_covered) = (options.join(","), self.slot.is_covered);
        Some(Mount { point, found_by: self.found_by(volume, has_slots), file_system, options, is_covered })
    }

    /// A root in a slot may be started on another disk than the one that it was made for: it knows the others by their
    /// labels, and of itself nothing.
    fn found_by(&self, volume: Volume, has_slots: bool) -> FsSpec {
        let label = &self.slot.volume_label;
        match volume {
            // The file system of a root that is checked is on another device than its partition.
            _ if self.slot.content == Content::Root && (has_slots || self.slot.hashes.is_some()) => {
                FsSpec::Booted
            }
            _ if self.luks.is_some() => FsSpec::Mapper(self.slot.opened_as().to_owned()),
            _ if !has_slots => FsSpec::Id(volume.id()),
            Volume::Fat { .. } => FsSpec::Label(label.to_uppercase()),
            Volume::Squashfs { .. } => FsSpec::PartLabel(self.slot.label.clone()),
            _ => FsSpec::Label(label.clone()),
        }
    }
}

impl Volume {
    fn new(file_system: FileSystem, partition: PartitionId, purpose: &str, seed: &Seed) -> Self {
        let uuid = seed.uuid(&format!("{purpose} file system"));
        match file_system {
            FileSystem::Ext4 => {
                Self::Ext4 { uuid, hash_seed: seed.uuid(&format!("{purpose} directory hashes")) }
            }
            FileSystem::Erofs => Self::Erofs { uuid },
            FileSystem::Swap => Self::Swap { uuid },
            FileSystem::Xfs => Self::Xfs { uuid },
            FileSystem::Btrfs => Self::Btrfs { uuid },
            FileSystem::Squashfs => Self::Squashfs { uuid, partition },
            FileSystem::Vfat => Self::Fat { serial: seed.serial(&format!("{purpose} file system")) },
        }
    }

    fn file_system(self) -> FileSystem {
        match self {
            Self::Ext4 { .. } => FileSystem::Ext4,
            Self::Fat { .. } => FileSystem::Vfat,
            Self::Erofs { .. } => FileSystem::Erofs,
            Self::Swap { .. } => FileSystem::Swap,
            Self::Xfs { .. } => FileSystem::Xfs,
            Self::Btrfs { .. } => FileSystem::Btrfs,
            Self::Squashfs { .. } => FileSystem::Squashfs,
        }
    }

    fn id(self) -> VolumeId {
        match self {
            Self::Ext4 { uuid, .. }
            | Self::Erofs { uuid }
            | Self::Swap { uuid }
            | Self::Xfs { uuid }
            | Self::Btrfs { uuid } => VolumeId::Uuid(uuid),
            Self::Squashfs { partition, .. } => VolumeId::Partition(partition),
            Self::Fat { serial } => VolumeId::Serial(serial),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::tree;

    fn resolved(partitions: &str, files: &[(&str, &str)]) -> Result<Resolved> {
        let layout = format!(r#"{{"preset":"simple","partitions":[{partitions}]}}"#);
        let spec = Spec { layout: serde_json::from_str(&layout).unwrap(), ..Spec::default() };
        Resolved::new(&spec, &Seed::new(b"test"), &tree(files))
    }

    #[test]
    fn what_is_mounted_comes_after_what_it_lies_in() {
        let srv = r#"{"type":"srv"}"#;
        let layout = resolved(srv, &[]).unwrap();
        let points: Vec<_> = layout.mounts().into_iter().map(|mount| mount.point).collect();
        assert_eq!(points, ["/", "/boot/efi", "/srv"]);
        assert_eq!(layout.grows(), Some("/"));
        assert_eq!(FsSpec::Id(layout.root.id), layout.mounts()[0].found_by);
        let srv = &layout.mounts()[2].found_by;
        assert!(layout.mounts()[..2].iter().all(|mount| mount.found_by != *srv));
        assert_eq!(layout.boot, BootVolume::Root(layout.root.id));
        let split = resolved(r#"{"type":"xbootldr"}"#, &[]).unwrap();
        assert!(matches!(split.boot, BootVolume::Own(id) if FsSpec::Id(id) == split.mounts()[1].found_by));
        assert_eq!(split.file_system_at("/boot"), Some(FileSystem::Ext4));
    }

    #[test]
    fn a_link_of_the_image_leads_to_another_place_of_its_tree() {
        let links = [("/data", "-> /srv/data"), ("/srv/data/", ""), ("/var/run", "-> /run")];
        let layout = resolved(r#"{"type":"linux-generic","mount":"/data/log"}"#, &links).unwrap();
        assert_eq!(layout.mounts()[2].point, "/srv/data/log");
        let error = |partition: &str, files: &[(&str, &str)]| {
            resolved(partition, files).err().map(|error| error.to_string()).unwrap_or_default()
        };
        let run = error(r#"{"type":"linux-generic","mount":"/var/run"}"#, &links);
        assert_eq!(run, "layout: /run is made anew at each boot");
        let endless = error(r#"{"type":"srv"}"#, &[("/srv", "-> srv")]);
        assert_eq!(endless, "/srv: leads to no place of the image's tree");
        let boot = error(r#"{"type":"xbootldr"}"#, &[("/boot", "-> srv")]);
        assert!(boot.starts_with("/boot: leads to /srv in the image"), "{boot}");
        let two = r#"{"type":"srv"},{"type":"home","grow":true}"#;
        let both = error(two, &[("/home", "-> srv")]);
        assert_eq!(both.matches("two partitions have").count(), 2, "{both}");
        assert_eq!(error(two, &[]), "");
    }

    #[test]
    fn what_a_root_in_a_slot_mounts_is_found_by_labels() {
        let slots = |partitions: &str| {
            let layout = format!(r#"{{"preset":"ab","partitions":[{partitions}]}}"#);
            let spec = Spec { layout: serde_json::from_str(&layout).unwrap(), ..Spec::default() };
            Resolved::new(&spec, &Seed::new(b"test"), &tree(&[])).unwrap()
        };
        let layout = slots(r#"{"type":"srv","label":"data"},{"type":"swap","size":"1G"}"#);
        let found_by: Vec<_> = layout.mounts().into_iter().map(|mount| mount.found_by.to_string()).collect();
        assert_eq!(found_by, ["/dev/root", "LABEL=ESP", "LABEL=persist", "LABEL=data"]);
        assert_eq!(layout.swaps(), [FsSpec::Label("swap".into())]);
        let BootVolume::Slots(slots_of) = layout.boot else { panic!("{:?}", layout.boot) };
        assert_eq!((slots_of.numbers, slots_of.kernels), ([3, 4], None));
        assert_eq!(slots_of.partitions[0], layout.root.partition);
        assert_ne!(slots_of.partitions[0], slots_of.partitions[1]);
        assert_eq!((layout.root.is_slot, layout.grows()), (true, Some("/persist")));
        let erofs = r#"{"type":"root","filesystem":"erofs"}"#;
        let kernels = |partitions: &str| match slots(&format!("{erofs},{partitions}")).boot {
            BootVolume::Slots(slots) => slots.kernels,
            _ => None,
        };
        assert_eq!(kernels(r#"{"type":"esp","min":"1G"}"#), Some(2));
        assert_eq!(kernels(r#"{"type":"xbootldr"}"#), Some(5));
    }

    #[test]
    fn a_guid_that_is_asked_for_is_the_partitions() {
        let uuid = "01234567-89ab-4def-8123-456789abcdef";
        let asked = format!(r#"{{"type":"root","uuid":"{uuid}"}}"#);
        let id = |partitions: &str| resolved(partitions, &[]).unwrap().root.partition.to_string();
        assert_eq!(id(&asked), uuid);
        assert_ne!(id(""), uuid);
    }
}
