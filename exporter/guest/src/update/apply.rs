//! From the files of an update to a slot that is started next.

use std::fs::File;

use super::admit::{self, Standing};
use super::config::Config;
use super::fill::{Filled, Filling};
use super::held::Wanted;
use super::index::Index;
use super::kernels;
use super::machine::{Machine, View, size};
use super::manifest::{Manifest, label};
use super::offer;
use super::plan;
use super::progress::{self, Progress};
use super::source::Source;
use crate::choice::{EMPTY, NEW, Slot};

/// What came of it.
#[derive(Debug)]
pub(super) enum Applied {
    /// What was done, for a person.
    Done(String),
    /// It was done before.
    Before(String),
    /// Why it is not what this machine wants.
    Unwanted(String),
}

/// Install what a source has into the slot that is free, and have it started next. What is not newer is not wanted, unless
/// that is forced. Until the last step nothing that the machine needs is touched, and the slot cannot be started; said again
/// after it was cut, it goes on with what is there.
///
/// # Errors
/// Why it is not installed.
pub(super) fn apply(
    machine: &dyn Machine,
    config: &Config,
    source: &mut dyn Source,
    is_forced: bool,
) -> Result<Applied, String> {
    let _lock = machine.lock()?;
    let view = machine.view()?;
    name_booted(machine, config, &view)?;
    let manifest = offer::read(source, config)?;
    admit::require_mine(&manifest, config)?;
    let standing = admit::standing(&manifest, config, &view);
    let said = admit::said(standing, &manifest, config);
    match standing {
        Standing::Newer => {}
        _ if is_forced => {}
        Standing::Installed => return Ok(Applied::Before(said)),
        _ => return Ok(Applied::Unwanted(said)),
    }
    admit::require_good(&view)?;
    let slot = view.booted.other();
    let (there, running) = (machine.open_for_writing(slot)?, machine.open(view.booted)?);
    admit::require_room(&manifest, slot, size(&there)?)?;
    let index = offer::index(source, &manifest)?;

    // In this order, also if it has that label: where the table cannot be changed, the slot stays as good as it was.
    machine.set_label(slot, EMPTY)?;
    machine.set_bad(slot)?;
    // In front of the blocks, as in an archive that is read once.
    if let Some(part) = &manifest.kernels {
        machine.set_kernels(slot, &mut |folder| kernels::unpack(part, source, folder))?;
    }
    // Both are closed then: who makes a slot the next one may mount it.
    let filled = write([there, running], &manifest, &index, source)?;
    // One that has its name and may not be started was left.
    machine.set_label(slot, NEW)?;
    machine.set_next(slot, &manifest.label())?;
    machine.set_label(slot, &manifest.label())?;
    Ok(Applied::Done(report(&manifest, slot, filled, source.moved())))
}

/// Give the slot that is booted its name, if that was cut off.
pub(super) fn name_booted(machine: &dyn Machine, config: &Config, view: &View) -> Result<(), String> {
    match view.booted.of(&view.slots).label == NEW {
        true => machine.set_label(view.booted, &label(&config.id, &config.version)),
        false => Ok(()),
    }
}

/// Fill the slot with what the source and the running root have, and read it once more.
fn write(
    [there, running]: [File; 2],
    manifest: &Manifest,
    index: &Index,
    source: &mut dyn Source,
) -> Result<Filled, String> {
    let running_size = size(&running)?;
    let wanted = Wanted::new(index);
    let total = manifest.root.plain_bytes.saturating_add(running_size);
    let held = wanted.look(&there, (&running, running_size), &mut Progress::new("looking", total));
    let origins = plan::plan(&wanted.contents, |block| index.is_zero(block), &held);
    let filling = Filling { slot: &there, running: &running, index, name: &manifest.root.file.name };
    let filled = filling.fill(&origins, source)?;
    filling.verify()?;
    Ok(filled)
}

fn report(manifest: &Manifest, slot: Slot, filled: Filled, moved: u64) -> String {
    let Filled { in_place, copied, fetched } = filled;
    format!(
        "{} is in slot {}: {} moved; of its blocks {fetched} were fetched, {copied} copied from this machine, and {in_place} there \
         already. A restart starts it",
        manifest.label(),
        slot.name(),
        progress::size(moved)
    )
}

#[cfg(test)]
mod steps;
#[cfg(test)]
mod tests;
