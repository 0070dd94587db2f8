//! The medium as a disc: a volume with the disk in it, which is written from front to end.

use super::target;
use super::{Machine, Started};
use crate::boot::medium::FOLDER;
use crate::boot::{self, BiosImages, MediumFiles};
use crate::container::Format;
use crate::container::medium::{self, Disc, LiveRoot, index_len};
use crate::disk::DiskLayout;
use crate::error::{Error, Kind, Result};
use crate::extent::Extent;
use crate::fs::{Contents, fat};
use crate::iso9660::{self, Bios, Boot, Entry, Volume};
use crate::spec::{Firmware, Mode};

/// The size of the ESP is a multiple of this.
const ESP_UNIT: u64 = 64 << 10;

/// The disc around this disk.
///
/// # Errors
/// If no firmware that is asked for could start it.
pub(super) fn plan(machine: &Machine<'_>, started: &Started, disk: &DiskLayout) -> Result<Disc> {
    let asked = &machine.spec.medium;
    let boot = boot(machine, started)?;
    let [raw, index] = ["disk.raw", "disk.index"].map(path);
    let mut entries = small_files(machine, started, disk)?;
    entries.push(entry(path(medium::KERNEL), Contents::of_file(&started.kernel)));
    entries.push(entry(path(medium::INITRAMFS), started.initramfs()));
    // Live mode reads the index, too, where it copies the root.
    if asked.has(Mode::Live) || asked.has(Mode::Install) {
        entries.push(entry(raw.clone(), hole(disk.size)));
        entries.push(entry(index.clone(), hole(index_len(disk.size))));
    }
    let volume = Volume { name: machine.name(), id: machine.seed.uuid("medium volume"), time: machine.time };
    let layout = iso9660::plan(&volume, entries, boot)?;
    let (raw, index) = (layout.file(&raw), layout.file(&index));
    Disc::new(layout.into_contents(), raw, index)
}

/// What is before the kernel.
fn small_files(machine: &Machine<'_>, started: &Started, disk: &DiskLayout) -> Result<Vec<Entry>> {
    let menu = machine.menu();
    let mut about = machine.about(disk, &started.files);
    about.disk = target::plain(disk, &machine.spec.medium);
    let root = about.target.root.clone();
    about.root = machine.spec.medium.has(Mode::Live).then_some(LiveRoot::Partition(root));
    let text = |text: String| Contents::of_bytes(text.into_bytes());
    let mut entries = vec![
        entry(path(&menu.id), Contents::of_bytes([])),
        entry(path("medium.json"), text(about.text()?)),
        // Where GRUB looks that firmware has started from a disc: that is this volume to it, and not the ESP.
        entry(format!("EFI/{}/grub.cfg", started.files.vendor), text(menu.stub())),
        entry("boot/grub/grub.cfg".to_owned(), text(menu.of_disc())),
    ];
    entries.extend(machine.install().map(|(name, content)| entry(path(&name), content)));
    Ok(entries)
}

/// What starts it.
fn boot(machine: &Machine<'_>, started: &Started) -> Result<Boot> {
    let bios = bios(started);
    let esp = started.files.grub.is_some().then(|| esp(machine, started)).transpose()?;
    if bios.is_none() && (esp.is_none() || machine.spec.firmware == Firmware::Bios) {
        let message = "has no GRUB that a disc is started by: there is no cdboot.img";
        return Err(Error::new(Kind::NotFound, &started.files.origin, message).with_hint(
            "take the boot loader files of the distribution, or of the frontend image (make out/vmimage)",
        ));
    }
    Ok(Boot { bios, esp })
}

fn bios(started: &Started) -> Option<Bios> {
    let MediumFiles { cdboot, .. } = &started.files.media;
    let (images, cdboot): (&BiosImages, _) = started.files.bios.as_ref().zip(cdboot.as_ref())?;
    Some(Bios { images: images.clone(), cdboot: cdboot.clone() })
}

/// What cannot start it, a line each.
pub(super) fn lacks(machine: &Machine<'_>, started: &Started) -> Vec<String> {
    if !machine.spec.formats.contains(&Format::Iso) {
        return Vec::new();
    }
    let no_bios = started.files.bios.is_some() && bios(started).is_none();
    let no_uefi = started.files.grub.is_none() && machine.spec.firmware != Firmware::Bios;
    [
        (no_bios, "medium: no BIOS starts the disc: the boot loader files have no cdboot.img"),
        (no_uefi, "medium: no UEFI starts the disc: the boot loader files have no GRUB for it"),
    ]
    .into_iter()
    .filter(|(is_so, _)| *is_so)
    .map(|(_, line)| line.to_owned())
    .collect()
}

/// The ESP: a small FAT with the loaders and the stub.
fn esp(machine: &Machine<'_>, started: &Started) -> Result<Contents> {
    let (stub, architecture) = (machine.menu().stub(), machine.spec.architecture);
    let tree = boot::medium_tree(&started.files, architecture, stub, machine.time);
    let options = fat::Options {
        label: "ESP".to_owned(),
        serial: machine.seed.serial("medium esp"),
        size: 0,
        sector_size: 512,
        hidden_sectors: 0,
        modified: machine.time,
        kind: None,
    };
    let size = fat::minimum_size(&tree, &options)?.next_multiple_of(ESP_UNIT);
    fat::plan(&tree, &fat::Options { size, ..options })
}

fn path(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

fn entry(path: String, content: Contents) -> Entry {
    Entry { path, content }
}

/// Bytes that come later.
fn hole(size: u64) -> Contents {
    Contents { size, extents: Box::new(Vec::<Extent>::new()) }
}
