//! What is in a partition: how much room it needs, and once it has its place, where its bytes lie.

use std::cmp::Reverse;
use std::sync::Arc;

use super::elsewhere::Elsewhere;
use super::encrypt::{self, Volumes};
use super::previous::Previous;
use super::resolve::{Named, Volume};
use crate::boot::{BiosBoot, BiosImages};
use crate::disk::Placed;
use crate::disk::mbr::BOOT_CODE_LEN;
use crate::engine::Run;
use crate::error::{Error, Kind, Result};
use crate::extent::Extent;
use crate::fs::external::{self, Job, Mkfs, Tool};
use crate::fs::{Contents, erofs, ext4, fat, luks, swap};
use crate::seed::Uuid;
use crate::spec::layout::{Content, Slot};
use crate::tree::{self, Meta, Time, Tree};

/// What the contents of partitions are taken from.
pub(super) struct Parts {
    /// The tree, as long as no partition has taken what is its.
    pub(super) root: Tree,
    /// What is not of the tree.
    pub(super) elsewhere: Elsewhere,
    /// The boot loader for UEFI, and its configuration.
    pub(super) esp: Option<Tree>,
    /// The kernels of roots that GRUB does not read.
    pub(super) kernels: Option<Tree>,
    /// The boot loader for a BIOS.
    pub(super) bios: Option<BiosImages>,
    /// The tools of other file systems.
    pub(super) mkfs: Option<Arc<dyn Mkfs>>,
    /// The time of what is made.
    pub(super) time: Time,
    /// What the root keeps to.
    pub(super) previous: Previous,
    /// Of partitions that are encrypted.
    pub(super) volumes: Volumes,
}

/// The content of a partition, counted but nowhere yet.
pub(super) enum Draft {
    Ext4(ext4::Draft),
    Fat(Tree, fat::Options),
    Erofs(erofs::Draft),
    Swap(swap::Options),
    External(external::Draft),
    BiosCore(BiosImages),
    File(tree::Content),
    /// Any other, in a LUKS volume.
    Encrypted(Box<Draft>, luks::Volume),
    /// Nothing, with room for so many bytes.
    Room(u64),
    Empty,
}

/// What is in each partition. Of directories within each other the innermost is taken first.
pub(super) fn drafts(
    partitions: &[Named],
    mut parts: Parts,
    sector_size: u32,
    run: &Run<'_>,
) -> Result<Vec<Draft>> {
    let mut drafts: Vec<_> = partitions.iter().map(|_| Draft::Empty).collect();
    let mut open: Vec<_> = partitions.iter().zip(&mut drafts).collect();
    open.sort_by_key(|(named, _)| Reverse(depth(&named.slot.content)));
    for (named, draft) in open {
        let made = parts.draft(named, sector_size, run)?;
        *draft = parts.volumes.wrap(named, made);
    }
    Ok(drafts)
}

fn depth(content: &Content) -> usize {
    match content {
        Content::Root => 0,
        Content::Subtree(path) => path.split('/').count(),
        // While all files are there.
        _ => usize::MAX,
    }
}

impl Parts {
    fn draft(&mut self, named: &Named, sector_size: u32, run: &Run<'_>) -> Result<Draft> {
        let (content, label) = (&named.slot.content, &named.slot.volume_label);
        if named.encryption().is_some_and(|(encrypt, _)| encrypt.now().is_none()) {
            let tree = self.tree(content)?;
            return encrypt::require_empty(&tree, label).map(|()| Draft::Empty);
        }
        match named.volume {
            Some(Volume::Ext4 { uuid, hash_seed }) => {
                let (created, label) = (self.time, label.clone());
                let options = ext4::Options { label, uuid, hash_seed, size: 0, created, reserved_percent: 5 };
                Ok(Draft::Ext4(ext4::Draft::new(&Arc::new(self.tree(content)?), &options)?))
            }
            Some(Volume::Fat { serial }) => {
                let options = fat::Options {
                    label: label.to_uppercase(),
                    serial,
                    size: 0,
                    sector_size,
                    hidden_sectors: 0,
                    modified: self.time,
                    kind: Some(fat::FatType::Fat32),
                };
                Ok(Draft::Fat(self.tree(content)?, options))
            }
            Some(Volume::Erofs { uuid }) => {
                let (created, label, compression) = (self.time, label.clone(), named.slot.compression);
                let options = erofs::Options { label, uuid, created, compression };
                Ok(Draft::Erofs(erofs::Draft::new(&Arc::new(self.tree(content)?), &options, run)?))
            }
            Some(Volume::Swap { uuid }) => Ok(Draft::Swap(swap::Options { label: label.clone(), uuid })),
            Some(Volume::Xfs { uuid }) => self.external(named, Tool::Xfs, uuid, sector_size),
            Some(Volume::Btrfs { uuid }) => self.external(named, Tool::Btrfs, uuid, sector_size),
            Some(Volume::Squashfs { uuid, .. }) => self.external(named, Tool::Squashfs, uuid, sector_size),
            None => self.bytes(content),
        }
    }

    fn external(&mut self, named: &Named, tool: Tool, uuid: Uuid, sector_size: u32) -> Result<Draft> {
        let Slot { volume_label: label, content, .. } = &named.slot;
        let mkfs = self.mkfs.clone().ok_or_else(|| no_tools(label, tool))?;
        let job = Job { tool, label: label.clone(), uuid, size: 0, sector_size, created: self.time };
        Ok(Draft::External(external::Draft::new(self.tree(content)?, job, mkfs)?))
    }

    /// What goes into a file system.
    fn tree(&mut self, content: &Content) -> Result<Tree> {
        let nothing = || Tree::new(Meta { permissions: 0o755, mtime: self.time, ..Meta::default() });
        match content {
            Content::Root => Ok(std::mem::replace(&mut self.root, nothing())),
            Content::Subtree(path) => self.root.take_subtree(path),
            Content::Elsewhere(source) => self.elsewhere.tree(source),
            Content::Esp => self.esp.take().ok_or_else(no_loader),
            Content::SlotKernels => Ok(self.kernels.take().unwrap_or_else(nothing)),
            // A file system without files.
            Content::BiosCore
            | Content::File(_)
            | Content::Empty
            | Content::EmptySlot
            | Content::Hashes
            | Content::Signature => Ok(nothing()),
        }
    }

    /// What is there without a file system.
    fn bytes(&mut self, content: &Content) -> Result<Draft> {
        match content {
            Content::BiosCore => Ok(self.bios.take().map_or(Draft::Empty, Draft::BiosCore)),
            Content::File(path) => file(&self.root, path).map(Draft::File),
            Content::Elsewhere(source) => self.elsewhere.file(source).map(Draft::File),
            Content::Root
            | Content::Subtree(_)
            | Content::Esp
            | Content::Empty
            | Content::EmptySlot
            | Content::SlotKernels
            // Made of what lies in front of it.
            | Content::Hashes
            | Content::Signature => Ok(Draft::Empty),
        }
    }
}

fn file(root: &Tree, path: &str) -> Result<tree::Content> {
    match root.resolve(path).map(|id| &root.inode(id).kind) {
        Some(tree::InodeKind::File(content)) => Ok(content.clone()),
        _ => {
            Err(Error::new(Kind::NotFound, path, "is no regular file, and a partition is to have its bytes"))
        }
    }
}

pub(super) fn no_tools(label: &str, tool: Tool) -> Error {
    let message = format!("is to be {}, whose tools only the frontend image has", tool.file_system().name());
    Error::new(Kind::Unsupported, label, message)
        .with_hint("build it with docker, or make it ext4, or erofs for what is only read")
}

fn no_loader() -> Error {
    Error::new(Kind::Input, "layout", "an ESP has the boot loader of a machine, and the disk is for none")
}

impl Draft {
    /// The least size in bytes.
    pub(super) fn minimum(&self) -> Result<u64> {
        match self {
            Self::Ext4(draft) => draft.minimum_size(),
            Self::Fat(tree, options) => fat::minimum_size(tree, options),
            Self::Erofs(draft) => Ok(draft.size()),
            Self::Swap(_) => Ok(swap::SIZE_MIN),
            Self::External(draft) => Ok(draft.minimum_size()),
            Self::BiosCore(images) => Ok(images.core.len() as u64),
            Self::File(content) => Ok(content.len()),
            Self::Encrypted(draft, _) => Ok(draft.minimum()?.saturating_add(luks::DATA_OFFSET)),
            Self::Room(bytes) => Ok(*bytes),
            Self::Empty => Ok(0),
        }
    }

    /// Where its bytes lie in the partition at this place.
    pub(super) fn plan(&self, at: &Placed, sector_size: u32) -> Result<Contents> {
        let bytes = |extents: Vec<Extent>| Contents { size: at.size, extents: Box::new(extents) };
        match self {
            Self::Ext4(draft) => draft.plan(at.size),
            Self::Fat(tree, options) => {
                let hidden_sectors = at.first_lba(sector_size);
                fat::plan(tree, &fat::Options { size: at.size, hidden_sectors, ..options.clone() })
            }
            Self::Erofs(draft) => draft.plan(at.size),
            Self::Swap(options) => swap::plan(at.size, options),
            Self::External(draft) => draft.plan(at.size),
            Self::BiosCore(images) => Ok(bytes(vec![Extent::bytes(0, bios(images, at, sector_size)?.core)])),
            Self::File(content) => Ok(bytes(Extent::of_content(content, 0))),
            Self::Encrypted(draft, volume) => encrypt::plan(draft, volume, at, sector_size),
            Self::Room(_) | Self::Empty => Ok(bytes(Vec::new())),
        }
    }

    /// What a BIOS runs to get at it.
    pub(super) fn boot_code(&self, at: &Placed, sector_size: u32) -> Result<Option<[u8; BOOT_CODE_LEN]>> {
        match self {
            Self::BiosCore(images) => bios(images, at, sector_size).map(|bios| Some(bios.mbr_code)),
            _ => Ok(None),
        }
    }
}

fn bios(images: &BiosImages, at: &Placed, sector_size: u32) -> Result<BiosBoot> {
    BiosBoot::new(images, at.first_lba(sector_size), at.size)
}
