//! Which update this machine takes. All of it is asked before anything is written.

use std::cmp::Ordering;

use super::config::Config;
use super::machine::{SlotView, View};
use super::manifest::Manifest;
use super::version;
use crate::choice::{EMPTY, Slot};

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
                "the update is {what} {theirs:?}, and this machine is {ours:?}: nothing was written"
            ));
        }
    }
    match (manifest.kernels.is_some(), config.kernels) {
        (true, false) => {
            Err("the update has kernels to lie beside the slots, and those of this machine are in them: \
                              nothing was written"
                .to_owned())
        }
        (false, true) => {
            Err("the update has no kernels to lie beside the slots, where this machine looks for them: \
                              nothing was written"
                .to_owned())
        }
        _ => Ok(()),
    }
}

/// What an update is to a machine.
pub(super) fn standing(manifest: &Manifest, config: &Config, view: &View) -> Standing {
    let other = view.booted.other();
    let slot = other.of(&view.slots);
    if slot.label == manifest.label() {
        match is_left(slot) {
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

/// Whether a slot that is not booted was started, and left again: it may not be started, or was and nobody called it good.
fn is_left(slot: &SlotView) -> bool {
    slot.label != EMPTY && (!slot.trial.is_ok || slot.trial.tries > 0)
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
    if trial.is_ok && !trial.is_tried || !can_go_to(view, other) {
        return Ok(());
    }
    Err(format!(
        "slot {} is on trial, and slot {} is the one to go back to: nothing was written\nhint: once the machine is healthy, or \
         after vmimage-boot good, it can be updated",
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
    let there = slot.of(&view.slots);
    there.label != EMPTY && (view.good == Some(slot) || !is_left(there))
}

/// Whether the other slot is installed, and a restart leads to it.
pub(super) fn is_installed(view: &View) -> bool {
    let other = view.booted.other();
    let slot = other.of(&view.slots);
    view.first == Some(other) && slot.label != EMPTY && !is_left(slot)
}
