//! Roots in slots: what each has of its own, and what it can not have, being started from whichever slot it lies in.

use super::boot_partition;
use super::compressed::release;
use super::donor::KernelSource;
use super::menu;
use super::resolve::Resolved;
use crate::boot::BootVolume;
use crate::boot::slots::{self, Slots};
use crate::error::{Error, Kind, Result};
use crate::machine;
use crate::spec::layout::Content;
use crate::tree::kernel::Kernel;
use crate::tree::os::{Family, Os};
use crate::tree::{Editor, Meta, Time, Tree};

/// What starts a root in a slot. Returns a line for each thing that was done.
///
/// # Errors
/// If nothing would.
pub(super) fn settle(
    editor: &mut Editor<'_>,
    os: &Os,
    source: &mut KernelSource,
    layout: &Resolved,
) -> Result<Vec<String>> {
    if layout.is_labelled_here() {
        editor.remove(machine::AUTORELABEL);
    }
    let BootVolume::Slots(Slots { numbers: [first, second], kernels, .. }) = layout.boot else {
        return Ok(Vec::new());
    };
    if !layout.root.has_verity {
        require_found(&source.os, &source.kernel)?;
    }
    let mut notes = vec![format!(
        "slots: A is partition {first}, B is partition {second} and empty; / is read-only in both"
    )];
    if let Some(number) = kernels {
        notes.extend(boot_partition::settle_beside(editor, os, source)?);
        notes.push(format!("slots: their kernels are on partition {number}, which GRUB reads"));
    }
    Ok(notes)
}

/// The initramfs finds the partition that the boot loader names.
fn require_found(os: &Os, kernel: &Kernel) -> Result<()> {
    let (major, minor) = slots::ROOT_PATH_SINCE;
    let is_old = release(&kernel.version).is_some_and(|release| release < (major, minor));
    if os.family != Family::Alpine || kernel.initramfs.is_none() || !is_old {
        return Ok(());
    }
    let message = format!(
        "is Linux {}, and the initramfs of {} finds a slot with Linux {major}.{minor} and later alone",
        kernel.version, os.pretty_name
    );
    Err(Error::new(Kind::Unsupported, &kernel.image, message).with_hint("take a later release of Alpine"))
}

/// The labels that no boot makes of a root in a slot, of one whose hashes would no longer be right, or of one that GRUB
/// cannot look into.
///
/// # Errors
/// If they cannot be made here.
pub(super) fn label(editor: &mut Editor<'_>, os: &Os, layout: &Resolved) -> Result<Vec<String>> {
    // Without an init of a distribution no policy is in force.
    if !layout.is_labelled_here() || os.init.is_none() {
        return Ok(Vec::new());
    }
    let Some(note) = machine::label(editor)? else { return Ok(Vec::new()) };
    let slots = layout.partitions.iter().map(|named| &named.slot);
    let others = slots.filter(|slot| matches!(slot.content, Content::Elsewhere(_)));
    let points = others.filter_map(|slot| slot.mount.as_deref());
    let unlabelled =
        points.map(|point| format!("{point}: without SELinux labels, it has no files of the image"));
    Ok(std::iter::once(note).chain(unlabelled).collect())
}

/// What lies beside the slots, where GRUB reads none: on the ESP, unless there is a partition for it.
pub(super) fn kernels(
    root: &Tree,
    source: &KernelSource,
    layout: &Resolved,
    esp: &mut Tree,
    time: Time,
) -> Result<Option<Tree>> {
    if !matches!(layout.boot, BootVolume::Slots(Slots { kernels: Some(_), .. })) {
        return Ok(None);
    }
    let kernels = first_kernels(root, source, time)?;
    if layout.has_slot_kernels() {
        return Ok(Some(kernels));
    }
    Editor::new(esp, time).overlay(b"/", &kernels, Tree::ROOT, &|_| {})?;
    Ok(None)
}

/// The paths of what GRUB reads of a root: kernels, and the menu.
pub(super) fn beside(source: &KernelSource) -> impl Iterator<Item = &str> {
    let all = std::iter::once(&source.kernel).chain(&source.others);
    let files = all.flat_map(|kernel| [Some(&*kernel.image), kernel.initramfs.as_deref()]).flatten();
    files.chain([menu::PATH])
}

/// The kernels of the first slot with its menu, in its folder.
fn first_kernels(root: &Tree, source: &KernelSource, time: Time) -> Result<Tree> {
    let mut kernels = Tree::new(Meta { permissions: 0o755, mtime: time, ..Meta::default() });
    let editor = &mut Editor::new(&mut kernels, time);
    let [first, _] = slots::NAMES;
    for path in beside(source) {
        let file = root.resolve(path).ok_or_else(|| Error::new(Kind::NotFound, path, "is not there"))?;
        editor.copy(format!("/{first}{path}"), root, file)?;
    }
    Ok(kernels)
}
