//! Which update this machine takes. All of it is asked before anything is written.

use std::cmp::Ordering;

use super::config::Config;
use super::machine::View;
use super::manifest::Manifest;
use super::version;
use crate::choice::Slot;

/// How an update compares with what the machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Newer,
    /// It is in the other slot, which is started next.
    Installed,
    /// It is what the machine runs.
    Same,
    Older,
    /// The machine had it, and left it.
    Left,
}

/// What to do about one for another machine.
const OTHER: &str =
    "hint: name the update that was built for machines of this kind; each kind needs a folder of its own";

/// That an update is for this machine.
///
/// # Errors
/// Why it is not.
pub(super) fn require_mine(manifest: &Manifest, config: &Config) -> Result<(), String> {
    for (what, theirs, ours) in [
        ("of the system", &manifest.id, &config.id),
        ("for machines that are", &manifest.compatible, &config.compatible),
        ("for the architecture", &manifest.architecture, &config.architecture),
        ("for machines started by", &manifest.loader, &config.loader),
    ] {
        if theirs != ours {
            return Err(format!(
                "the update is {what} {theirs:?}, and this machine is {ours:?}: nothing was written\n{OTHER}"
            ));
        }
    }
    let why = match (manifest.kernels.is_some(), config.kernels) {
        (true, false) => "has kernels to lie beside the slots, and those of this machine are in them",
        (false, true) => "has no kernels to lie beside the slots, where this machine looks for them",
        _ => return Ok(()),
    };
    Err(format!("the update {why}: nothing was written\n{OTHER}"))
}

/// What an update is to a machine.
pub(super) fn standing(manifest: &Manifest, config: &Config, view: &View) -> Standing {
    let other = view.booted.other();
    let slot = other.of(&view.slots);
    if slot.label == manifest.label() {
        match is_left(view, other) {
            true => return Standing::Left,
            false if view.first == Some(other) => return Standing::Installed,
            false => {}
        }
    }
    match version::compare(&manifest.version, &config.version) {
        Ordering::Greater => Standing::Newer,
        Ordering::Equal => Standing::Same,
        Ordering::Less => Standing::Older,
    }
}

/// Whether a slot that is not booted was started, and left again: it may not be started, or was and nobody called it good, or
/// the boot loader found nothing in it that could be.
fn is_left(view: &View, slot: Slot) -> bool {
    let there = slot.of(&view.slots);
    let is_passed_over = view.first == Some(slot) && view.is_first_passed_over && !view.is_by_hand;
    !there.is_empty() && (!there.trial.is_ok || there.trial.tries > 0 || is_passed_over)
}

/// What an update is to a machine, for a person.
pub(super) fn said(standing: Standing, manifest: &Manifest, config: &Config) -> String {
    let why = match standing {
        Standing::Newer => format!("is newer than {}, which this machine runs", config.version),
        Standing::Installed => "is installed, and a restart starts it".to_owned(),
        Standing::Same => "is what this machine runs".to_owned(),
        Standing::Older => format!("is older than {}, which this machine runs", config.version),
        Standing::Left => "was tried by this machine, and left again".to_owned(),
    };
    format!("{} {why}", manifest.label())
}

/// That the other slot is not the one to go back to: while nobody has said that this boot is good, it is.
///
/// # Errors
/// If it is.
pub(super) fn require_good(view: &View) -> Result<(), String> {
    let (booted, other) = (view.booted, view.booted.other());
    let trial = booted.of(&view.slots).trial;
    // GRUB counts no try of one that was chosen by hand.
    let is_proven = !view.is_by_hand || view.good == Some(booted);
    if trial.is_ok && !trial.is_tried && is_proven || !can_go_to(view, other) {
        return Ok(());
    }
    let (is, hint) = match view.is_by_hand {
        true => ("was chosen by hand", "vmimage-boot good says that it is good, and then it can be updated"),
        false => {
            ("is on trial", "once the machine is healthy, or after vmimage-boot good, it can be updated")
        }
    };
    Err(format!(
        "slot {} {is}, and slot {} is the one to go back to: nothing was written\nhint: {hint}",
        booted.name(),
        other.name()
    ))
}

/// That the root fits a slot of `size` bytes.
///
/// # Errors
/// If it does not.
pub(super) fn require_room(manifest: &Manifest, slot: Slot, size: u64) -> Result<(), String> {
    let needed = manifest.root.plain_bytes;
    match needed <= size {
        true => Ok(()),
        false => Err(format!(
            "the root has {needed} bytes, and slot {} only {size}: nothing was written\nhint: a slot is as large as the first \
             disk made it, build a smaller root or a new disk",
            slot.name()
        )),
    }
}

/// Whether a slot has a root that can be gone back to.
pub(super) fn can_go_to(view: &View, slot: Slot) -> bool {
    !slot.of(&view.slots).is_empty() && (view.good == Some(slot) || !is_left(view, slot))
}

/// Whether the other slot is installed, and a restart leads to it.
pub(super) fn is_installed(view: &View) -> bool {
    let other = view.booted.other();
    view.first == Some(other) && !other.of(&view.slots).is_empty() && !is_left(view, other)
}

/// The slot that a restart leads to, if all goes well.
pub(super) fn next(view: &View) -> Slot {
    let (booted, other) = (view.booted, view.booted.other());
    let is_bad = !booted.of(&view.slots).trial.is_ok;
    if is_installed(view) || is_bad && can_go_to(view, other) { other } else { booted }
}
