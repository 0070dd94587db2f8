//! Back to the other slot, by a person.

use super::admit::{can_go_to, is_installed};
use super::apply::name_booted;
use super::machine::{Machine, View};
use crate::choice::Slot;

/// Have the other slot started next. The one that is booted is marked bad, so that nobody installs its version again. What is
/// installed and was not started yet is not started, and that is all.
///
/// # Errors
/// If the other one has nothing to be started.
pub(super) fn rollback(machine: &dyn Machine) -> Result<String, String> {
    let _lock = machine.lock()?;
    let view = machine.view()?;
    let (booted, other) = (view.booted, view.booted.other());
    let label = &other.of(&view.slots).label;
    if is_installed(&view) && booted.of(&view.slots).trial.is_ok {
        machine.set_bad(other)?;
        return Ok(format!("{label} in slot {} is not started: slot {} stays", other.name(), booted.name()));
    }
    if !can_go_to(&view, other) {
        return Err(format!("slot {} {}: this machine stays as it is", other.name(), why_not(&view, other)));
    }
    // It is left by this name.
    name_booted(machine, &machine.config()?, &view)?;
    // While both are said something is always there to be started.
    machine.set_next(other, label)?;
    machine.set_bad(booted)?;
    Ok(format!(
        "slot {} with {label} is the next one, and slot {} is bad. A restart starts it",
        other.name(),
        booted.name()
    ))
}

fn why_not(view: &View, slot: Slot) -> &'static str {
    match slot.of(&view.slots).is_empty() {
        true => "has no root to go back to",
        false => "was left because it did not come up",
    }
}
