//! The tree of the EFI system partition.

use std::sync::Arc;

use super::files::BootFiles;
use super::grub;
use crate::seed::Uuid;
use crate::spec::Architecture;
use crate::tree::{Content, Inode, InodeId, Kind, Meta, Time, Tree};

/// The ESP for these boot files: shim (or GRUB alone) on the removable-media path, which every
/// firmware tries with an empty NVRAM, and the stub configuration where GRUB's prefix points.
///
/// shim's `fbx64.efi` is left out on purpose: with it, shim on this path writes boot entries and
/// reboots instead of starting GRUB.
pub fn esp_tree(files: &BootFiles, architecture: Architecture, root: Uuid, time: Time) -> Tree {
    let suffix = architecture.efi_suffix();
    let mut tree = Tree::new(folder_meta(time));
    let efi = folder(&mut tree, Tree::ROOT, "EFI", time);
    let boot = folder(&mut tree, efi, "BOOT", time);
    let first = format!("BOOT{}.EFI", suffix.to_uppercase());
    let second = format!("grub{suffix}.efi");
    let loaders = match (&files.shim, &files.grub) {
        (Some(shim), Some(grub)) => vec![(first, shim), (second, grub)],
        (None, Some(grub)) => vec![(first, grub)],
        (_, None) => Vec::new(),
    };
    for (name, bytes) in loaders {
        file(&mut tree, boot, &name, bytes.clone(), time);
    }
    if let Some(mok_manager) = &files.mok_manager {
        file(&mut tree, boot, &format!("mm{suffix}.efi"), mok_manager.clone(), time);
    }
    let vendor = folder(&mut tree, efi, &files.vendor, time);
    file(&mut tree, vendor, "grub.cfg", grub::stub(root).into_bytes().into(), time);
    tree
}

fn folder_meta(time: Time) -> Meta {
    Meta { permissions: 0o755, mtime: time, ..Meta::default() }
}

fn folder(tree: &mut Tree, parent: InodeId, name: &str, time: Time) -> InodeId {
    let kind = Kind::Directory(Default::default());
    tree.insert(parent, name.as_bytes(), Inode { meta: folder_meta(time), kind })
}

fn file(tree: &mut Tree, parent: InodeId, name: &str, bytes: Arc<[u8]>, time: Time) {
    let meta = Meta { permissions: 0o644, mtime: time, ..Meta::default() };
    tree.insert(parent, name.as_bytes(), Inode { meta, kind: Kind::File(Content::Bytes(bytes)) });
}
