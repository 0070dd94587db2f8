//! The layout that was asked for with the names that its partitions get: what they are found by.

use std::collections::BTreeSet;

use crate::boot::Root;
use crate::error::{Error, Kind, Result};
use crate::fs::{FileSystem, VolumeId};
use crate::machine::Mount;
use crate::seed::{Seed, Uuid};
use crate::spec::layout::{Content, Layout, Partition};
use crate::spec::{Profile, Spec};

/// A layout that can be made.
pub(super) struct Resolved {
    pub(super) sector_size: u32,
    pub(super) partitions: Vec<Named>,
    /// What the kernel and GRUB look for.
    pub(super) root: Root,
}

/// A partition with its names.
pub(super) struct Named {
    pub(super) asked: Partition,
    pub(super) guid: Uuid,
    /// Of one with a file system.
    pub(super) volume: Option<Volume>,
}

/// A file system with its names.
#[derive(Clone, Copy)]
pub(super) enum Volume {
    Ext4 { uuid: Uuid, hash_seed: Uuid },
    Fat { serial: u32 },
}

impl Resolved {
    /// # Errors
    /// All that is wrong with the layout by itself.
    pub(super) fn new(spec: &Spec, seed: &Seed) -> Result<Self> {
        let layout = spec.layout.clone().unwrap_or_else(|| Layout::of(spec.profile, spec.architecture));
        check(&layout, spec.profile).map_err(|wrong| Error::new(Kind::Input, "layout", wrong))?;
        let partitions: Vec<_> = layout.partitions.into_iter().map(|asked| Named::new(asked, seed)).collect();
        let root = partitions.iter().find_map(Named::root);
        let root = root.ok_or_else(|| Error::new(Kind::Input, "layout", "no partition has the tree"))?;
        Ok(Self { sector_size: layout.sector_size, partitions, root })
    }

    /// What the machine mounts, each after what it lies in.
    pub(super) fn mounts(&self) -> Vec<Mount> {
        let mut mounts: Vec<_> = self.partitions.iter().filter_map(Named::mount).collect();
        mounts.sort_by(|one, other| one.point.cmp(&other.point));
        mounts
    }

    /// Where the partition is mounted that grows at boot, if one does.
    pub(super) fn grows(&self) -> Option<&str> {
        self.partitions.iter().find(|partition| partition.asked.grow)?.asked.mount.as_deref()
    }
}

impl Named {
    fn new(asked: Partition, seed: &Seed) -> Self {
        let guid = seed.uuid(&format!("{} partition", asked.label));
        let volume = match &asked.content {
            Content::Root => Some(Volume::ext4("root", seed)),
            // Begins with a slash, as no other does.
            Content::Subtree(path) => Some(Volume::ext4(path, seed)),
            Content::Esp => Some(Volume::Fat { serial: seed.serial("esp file system") }),
            Content::Empty | Content::BiosCore | Content::File(_) => None,
        };
        Self { asked, guid, volume }
    }

    fn root(&self) -> Option<Root> {
        let volume = self.volume.filter(|_| self.asked.content == Content::Root)?;
        let (id, file_system) = (volume.id(), volume.file_system());
        Some(Root { id, partition: self.guid, file_system })
    }

    fn mount(&self) -> Option<Mount> {
        let volume = self.volume?;
        let point = self.asked.mount.clone()?;
        let options = self.asked.options.clone();
        Some(Mount { point, id: volume.id(), file_system: volume.file_system(), options })
    }
}

impl Volume {
    fn ext4(purpose: &str, seed: &Seed) -> Self {
        let uuid = seed.uuid(&format!("{purpose} file system"));
        Self::Ext4 { uuid, hash_seed: seed.uuid(&format!("{purpose} directory hashes")) }
    }

    fn file_system(self) -> FileSystem {
        match self {
            Self::Ext4 { .. } => FileSystem::Ext4,
            Self::Fat { .. } => FileSystem::Vfat,
        }
    }

    fn id(self) -> VolumeId {
        match self {
            Self::Ext4 { uuid, .. } => VolumeId::Uuid(uuid),
            Self::Fat { serial } => VolumeId::Serial(serial),
        }
    }
}

/// What is wrong with a layout.
fn check(layout: &Layout, profile: Profile) -> Result<(), String> {
    let Layout { sector_size, partitions } = layout;
    if ![512, 4096].contains(sector_size) {
        return Err(format!("sectors of {sector_size} bytes are not possible, only of 512 or 4096"));
    }
    let count = |content: Content| partitions.iter().filter(|partition| partition.content == content).count();
    if count(Content::Root) != 1 {
        return Err(format!("one partition has the tree, and here are {}", count(Content::Root)));
    }
    let loaders = [("a BIOS", count(Content::BiosCore)), ("UEFI", count(Content::Esp))];
    if let Some((firmware, count)) = loaders.into_iter().find(|(_, count)| *count > 1) {
        return Err(format!("one partition has the boot loader for {firmware}, and here are {count}"));
    }
    if profile == Profile::Machine && count(Content::Esp) == 0 {
        return Err("a machine's boot loader has its configuration on an ESP, and there is none".to_owned());
    }
    if profile == Profile::Machine {
        partitions.iter().try_for_each(check_is_mounted_in_time)?;
    }
    differ(partitions.iter().map(|partition| &*partition.label), "name")?;
    differ(partitions.iter().filter_map(|partition| partition.mount.as_deref()), "mount point")?;
    partitions.iter().try_for_each(check_paths)?;
    let mut earlier = partitions.iter().rev().skip(1);
    match earlier.find(|partition| partition.grow) {
        Some(partition) => {
            Err(format!("{} cannot grow at boot: there are partitions behind it", partition.label))
        }
        None => Ok(()),
    }
}

/// What is read where nothing but the root is mounted: by GRUB, and by the init that mounts the rest.
const READ_EARLY: [&str; 2] = ["/boot", "/etc"];

fn check_is_mounted_in_time(partition: &Partition) -> Result<(), String> {
    let Content::Subtree(path) = &partition.content else { return Ok(()) };
    let is_at_or_below =
        |early: &&str| path.strip_prefix(early).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match READ_EARLY.into_iter().find(is_at_or_below) {
        Some(early) => {
            Err(format!("{} cannot have {path}: {early} is read before it is mounted", partition.label))
        }
        None => Ok(()),
    }
}

fn differ<'a>(names: impl Iterator<Item = &'a str>, what: &str) -> Result<(), String> {
    let mut met = BTreeSet::new();
    for name in names {
        if !met.insert(name) {
            return Err(format!("two partitions have the {what} {name:?}"));
        }
    }
    Ok(())
}

fn check_paths(partition: &Partition) -> Result<(), String> {
    let Partition { label, content, mount, .. } = partition;
    let source = match content {
        Content::Subtree(path) | Content::File(path) => Some(path),
        _ => None,
    };
    if *content == Content::Root && mount.as_deref().is_some_and(|point| point != "/") {
        return Err(format!("{label} has the tree, and is to be mounted elsewhere than at /"));
    }
    let below = mount.iter().filter(|_| *content != Content::Root);
    match below.chain(source).find(|path| !is_plain(path)) {
        Some(path) => Err(format!("{label}: {path:?} is no plain path below /")),
        None => Ok(()),
    }
}

/// What needs no quotes in fstab, in units and in scripts, and leads nowhere else.
fn is_plain(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let mut names = path.split('/');
    names.next() == Some("")
        && names.clone().next().is_some()
        && names.all(|name| !matches!(name, "" | "." | "..") && name.bytes().all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::kinds;
    use crate::spec::Architecture;

    fn layout() -> Layout {
        let mut layout = Layout::of(Profile::Machine, Architecture::X86_64);
        let srv = Partition {
            content: Content::Subtree("/srv".into()),
            mount: Some("/srv".into()),
            ..Partition::new("srv", kinds::SRV)
        };
        layout.partitions.insert(0, srv);
        layout
    }

    fn resolved(layout: Layout) -> Result<Resolved> {
        let spec = Spec { layout: Some(layout), ..Spec::default() };
        Resolved::new(&spec, &Seed::new(b"test"))
    }

    #[test]
    fn what_is_mounted_comes_after_what_it_lies_in() {
        let resolved = resolved(layout()).unwrap();
        let points: Vec<_> = resolved.mounts().into_iter().map(|mount| mount.point).collect();
        assert_eq!(points, ["/", "/boot/efi", "/srv"]);
        assert_eq!(resolved.grows(), Some("/"));
        assert_eq!(resolved.root.id, resolved.mounts()[0].id);
        let srv = resolved.mounts()[2].id;
        assert_ne!(srv, resolved.mounts()[0].id);
    }

    #[test]
    fn what_cannot_be_made_is_named() {
        let wrong = |change: &dyn Fn(&mut Vec<Partition>)| {
            let mut layout = layout();
            change(&mut layout.partitions);
            resolved(layout).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(wrong(&|_| {}), "");
        let set_path = |path: &str, all: &mut Vec<Partition>| all[0].mount = Some(path.to_owned());
        for (change, part) in [
            (
                &(|all: &mut Vec<Partition>| drop(all.pop())) as &dyn Fn(&mut Vec<Partition>),
                "one partition has the tree, and here are 0",
            ),
            (&|all| all[1].content = Content::Root, "and here are 2"),
            (&|all| all[0].content = Content::Esp, "the boot loader for UEFI, and here are 2"),
            (&|all| all[0].content = Content::BiosCore, "the boot loader for a BIOS, and here are 2"),
            (&|all| drop(all.remove(2)), "configuration on an ESP, and there is none"),
            (&|all| all[0].label = "root".into(), "two partitions have the name \"root\""),
            (&|all| set_path("/", all), "two partitions have the mount point \"/\""),
            (
                &|all| all[0].content = Content::Subtree("/boot".into()),
                "srv cannot have /boot: /boot is read before it is mounted",
            ),
            (&|all| set_path("srv", all), "srv: \"srv\" is no plain path below /"),
            (&|all| set_path("/a/../b", all), "is no plain path"),
            (&|all| set_path("/a b", all), "is no plain path"),
            (&|all| set_path("/a/", all), "is no plain path"),
            (&|all| all[0].content = Content::Subtree("/".into()), "is no plain path"),
            (&|all| all[3].mount = Some("/mnt".into()), "to be mounted elsewhere than at /"),
            (&|all| all[0].grow = true, "srv cannot grow at boot: there are partitions behind it"),
        ] {
            let said = wrong(change);
            assert!(said.starts_with("layout: ") && said.contains(part), "{part}: {said}");
        }
        let of_sectors = |sector_size| resolved(Layout { sector_size, ..layout() });
        assert!(of_sectors(4096).is_ok() && of_sectors(1024).is_err());
    }
}
