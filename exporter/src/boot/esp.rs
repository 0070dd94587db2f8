//! The tree of the EFI system partition.

use super::choice;
use super::files::BootFiles;
use super::grub::{self, BootVolume};
use super::password::Lock;
use crate::fs::verity::RootHash;
use crate::spec::Architecture;
use crate::tree::{Content, Inode, InodeId, InodeKind, Meta, Time, Tree};

/// The ESP for these boot files: shim (or GRUB alone) on the removable-media path, which every
/// firmware tries with an empty NVRAM, and the stub configuration where GRUB's prefix points, with its
/// `lock`, and the `root_hash` of the root if it is checked when it is read. With slots that chooses one, of which each has so
/// many `tries`.
///
/// shim's `fbx64.efi` is left out on purpose: with it, shim on this path writes boot entries and
/// reboots instead of starting GRUB.
pub fn esp_tree(
    files: &BootFiles,
    architecture: Architecture,
    boot_volume: &BootVolume,
    (lock, root_hash): (&Lock, Option<RootHash>),
    tries: u8,
    time: Time,
) -> Tree {
    let stub = grub::stub(boot_volume, lock, tries, root_hash);
    let (mut tree, boot) = loaders(files, architecture, stub, time);
    if matches!(boot_volume, BootVolume::Slots(_)) {
        for copy in choice::COPIES {
            file(&mut tree, boot, copy, Content::Bytes(choice::environment().into()), time);
        }
    }
    tree
}

/// Where GRUB reads its configuration first.
pub fn stub_path(files: &BootFiles) -> String {
    format!("/EFI/{}/grub.cfg", files.vendor)
}

/// The ESP of a medium: the same files, with the stub that finds its menu.
pub fn medium_tree(files: &BootFiles, architecture: Architecture, stub: String, time: Time) -> Tree {
    loaders(files, architecture, stub, time).0
}

/// The tree with the loaders and this stub, and the folder of the loaders.
fn loaders(files: &BootFiles, architecture: Architecture, stub: String, time: Time) -> (Tree, InodeId) {
    let suffix = architecture.efi_suffix();
    let mut tree = Tree::new(folder_meta(time));
    let efi = folder(&mut tree, Tree::ROOT, "EFI", time);
    let boot = folder(&mut tree, efi, "BOOT", time);
    let first = format!("BOOT{}.EFI", suffix.to_uppercase());
    let second = files.second.clone().unwrap_or_else(|| format!("grub{suffix}.efi"));
    let loaders = match (&files.shim, &files.grub) {
        (Some(shim), Some(grub)) => vec![(first, shim), (second, grub)],
        (None, Some(grub)) => vec![(first, grub)],
        (_, None) => Vec::new(),
    };
    for (name, bytes) in loaders {
        file(&mut tree, boot, &name, Content::Bytes(bytes.clone()), time);
    }
    if let Some(mok_manager) = &files.mok_manager {
        file(&mut tree, boot, &format!("mm{suffix}.efi"), Content::Bytes(mok_manager.clone()), time);
    }
    // SUSE's GRUB looks beside itself.
    let vendor = match files.vendor.eq_ignore_ascii_case("BOOT") {
        true => boot,
        false => folder(&mut tree, efi, &files.vendor, time),
    };
    file(&mut tree, vendor, "grub.cfg", text(stub), time);
    (tree, boot)
}

pub(super) fn folder_meta(time: Time) -> Meta {
    Meta { permissions: 0o755, mtime: time, ..Meta::default() }
}

pub(super) fn folder(tree: &mut Tree, parent: InodeId, name: &str, time: Time) -> InodeId {
    let kind = InodeKind::Directory(Default::default());
    tree.insert(parent, name.as_bytes(), Inode { meta: folder_meta(time), kind })
}

pub(super) fn file(tree: &mut Tree, parent: InodeId, name: &str, content: Content, time: Time) {
    let meta = Meta { permissions: 0o644, mtime: time, ..Meta::default() };
    tree.insert(parent, name.as_bytes(), Inode { meta, kind: InodeKind::File(content) });
}

pub(super) fn text(text: String) -> Content {
    Content::Bytes(text.into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::slots::Slots;
    use crate::fs::VolumeId;
    use crate::seed::Uuid;
    use crate::spec::Firmware;

    const ROOT: BootVolume = BootVolume::Root(VolumeId::Uuid(Uuid([0x11; 16])));

    fn files(names: &[(&str, &str)]) -> crate::Result<Option<BootFiles>> {
        BootFiles::new("here", |name| {
            Ok(names.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_bytes().into()))
        })
    }

    fn names(names: &[(&str, &str)]) -> String {
        let files = files(names).unwrap().unwrap();
        let tree = esp_tree(
            &files,
            Architecture::X86_64,
            &ROOT,
            (&Lock::Open, None),
            choice::TRIES,
            Time::default(),
        );
        let in_folder = |folder: &str| {
            let names = tree.children(format!("/EFI/{folder}"));
            names.map(|(name, _)| format!("{folder}/{}", String::from_utf8_lossy(name))).collect::<Vec<_>>()
        };
        let mut paths = in_folder("BOOT");
        paths.extend(in_folder(&files.vendor).into_iter().filter(|path| !path.starts_with("BOOT/")));
        paths.join(" ")
    }

    #[test]
    fn every_shim_finds_its_grub_and_every_grub_its_configuration() {
        let loaders = [("shim.efi", "s"), ("grub.efi", "g"), ("mm.efi", "m")];
        let debian = [&loaders[..], &[("vendor", "debian\n")]].concat();
        assert_eq!(names(&debian), "BOOT/BOOTX64.EFI BOOT/grubx64.efi BOOT/mmx64.efi debian/grub.cfg");
        let suse = [&loaders[..2], &[("vendor", "BOOT\n"), ("second", "grub.efi\n")]].concat();
        assert_eq!(names(&suse), "BOOT/BOOTX64.EFI BOOT/grub.cfg BOOT/grub.efi");
        assert_eq!(names(&[("vendor", "none"), ("grub.efi", "g")]), "BOOT/BOOTX64.EFI none/grub.cfg");
    }

    #[test]
    fn both_copies_of_the_environment_are_beside_the_loader_that_every_esp_has() {
        let files = files(&[("vendor", "debian\n"), ("grub.efi", "g")]).unwrap().unwrap();
        let slots = Slots { numbers: [3, 4], partitions: [Uuid([1; 16]).into(); 2], kernels: None };
        let esp = |volume| {
            esp_tree(
                &files,
                Architecture::X86_64,
                &volume,
                (&Lock::Open, None),
                choice::TRIES,
                Time::default(),
            )
        };
        let paths = choice::COPIES.map(|copy| format!("{}/{copy}", choice::FOLDER));
        let (with, without) = (esp(BootVolume::Slots(slots)), esp(ROOT));
        for path in paths {
            assert_eq!(with.read(&path, 2048).unwrap().unwrap(), choice::environment());
            assert!(without.lookup(&path).is_none());
        }
    }

    #[test]
    fn a_disk_for_one_firmware_has_nothing_for_the_other() {
        let all = [
            ("vendor", "debian\n"),
            ("shim.efi", "s"),
            ("grub.efi", "g"),
            ("boot.img", "b"),
            ("core.img", "c"),
        ];
        let start = |names: &[(&str, &str)], firmware| -> crate::Result<_> {
            let files = files(names).unwrap().unwrap().for_firmware(firmware, Architecture::X86_64)?;
            let tree = esp_tree(
                &files,
                Architecture::X86_64,
                &ROOT,
                (&Lock::Open, None),
                choice::TRIES,
                Time::default(),
            );
            // A BIOS finds the menu by the stub, too.
            assert!(tree.lookup("/EFI/debian/grub.cfg").is_some());
            assert_eq!(tree.lookup("/EFI/BOOT/BOOTX64.EFI").is_some(), files.grub.is_some());
            Ok(files.firmware())
        };
        assert_eq!(start(&all, Firmware::Any).unwrap(), "BIOS and UEFI");
        assert_eq!(start(&all, Firmware::Bios).unwrap(), "BIOS");
        assert_eq!(start(&all, Firmware::Uefi).unwrap(), "UEFI");
        assert_eq!(start(&all[..3], Firmware::Any).unwrap(), "UEFI");
        let error = start(&all[..3], Firmware::Bios).unwrap_err().to_string();
        assert!(error.starts_with("here: has no GRUB that a BIOS starts on x86_64"), "{error}");
        assert!(start(&[all[0], all[3], all[4]], Firmware::Uefi).is_err());
        assert!(start(&all[..1], Firmware::Any).is_err());
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for wrong in ["", "..", "a/b", "a b", ".hidden"] {
            assert!(files(&[("vendor", wrong)]).is_err(), "{wrong}");
            assert!(files(&[("vendor", "debian"), ("second", wrong)]).is_err(), "{wrong}");
        }
        assert!(files(&[("shim.efi", "s")]).unwrap().is_none());
    }
}
