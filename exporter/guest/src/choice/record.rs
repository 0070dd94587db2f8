//! Where the boot loader keeps what it knows of the slots: GRUB in its environment block, systemd-boot in the names of its
//! entries. Both say the same of them, and are told the same.

use std::path::Path;

use super::block::Block;
use super::copies::Copies;
use super::disk::Partition;
use super::entries::Entries;
use super::mounted::Mounted;
use super::{EMPTY, NEW, Slot};

/// The record on an ESP, or beside it.
pub(super) enum Record {
    /// Two copies of an environment block.
    Grub(Copies),
    /// An entry for each slot.
    SystemdBoot(Entries),
}

/// What it says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The slots in the order in which they are tried.
    pub(super) order: Vec<Slot>,
    /// The last slot that was good.
    pub(super) good: Option<Slot>,
    /// What is not there of it.
    pub(super) lost: Option<&'static str>,
    /// Slot A and slot B.
    pub(super) slots: [Trial; 2],
}

/// What it says of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trial {
    /// Whether it may be started.
    pub(crate) is_ok: bool,
    /// Whether nobody has said yet that its root is good.
    pub(crate) is_tried: bool,
    /// How many starts were not followed by a good boot.
    pub(crate) tries: u32,
}

impl Record {
    /// That of the boot loader on this volume.
    pub(super) fn on(esp: &Path) -> Self {
        Entries::on(esp).map_or_else(|| Self::Grub(Copies::on(esp)), Self::SystemdBoot)
    }

    pub(super) fn state(&self, booted: Slot) -> Result<State, String> {
        match self {
            Self::Grub(copies) => Ok(state_of(copies.read(), booted)),
            Self::SystemdBoot(entries) => entries.state(booted),
        }
    }

    /// The boot of a slot was good.
    pub(super) fn set_good(&self, booted: Slot, slots: &[Partition; 2]) -> Result<(), String> {
        match self {
            Self::Grub(copies) => change(copies, booted, |block| block.set_good(booted)),
            Self::SystemdBoot(entries) if entries.set_good(booted)? => Ok(()),
            Self::SystemdBoot(entries) => adopt(entries, booted, booted, slots, false),
        }
    }

    /// A slot is not to be started any more.
    pub(super) fn set_bad(&self, slot: Slot, booted: Slot) -> Result<(), String> {
        match self {
            Self::Grub(copies) => change(copies, booted, |block| block.set_bad(slot)),
            Self::SystemdBoot(entries) => entries.set_bad(slot),
        }
    }

    /// A slot is to be tried first.
    pub(super) fn set_next(&self, slot: Slot, booted: Slot, slots: &[Partition; 2]) -> Result<(), String> {
        match self {
            Self::Grub(copies) => change(copies, booted, |block| block.set_next(slot)),
            Self::SystemdBoot(entries) => adopt(entries, slot, booted, slots, true),
        }
    }

    /// The slot that is not booted is as another program has left it: while that writes, nothing starts the slot, and a root
    /// that is new in it is tried first. Returns whether one is. What `vmimage-update` was cut in is left to it.
    pub(super) fn follow(&self, booted: Slot, slots: &[Partition; 2]) -> Result<bool, String> {
        let Self::SystemdBoot(entries) = self else {
            return Err("grubenv does not say which root it is of: say vmimage-boot next".to_owned());
        };
        let slot = booted.other();
        let label = &slot.of(slots).label;
        match &**label {
            EMPTY => entries.forget(slot).map(|()| false),
            // With a root by itself comes no image.
            _ if entries.are_images() => Ok(false),
            label if label != NEW && entries.is_new(slot, label)? => {
                adopt(entries, slot, booted, slots, true).map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// Whether a restart would not lead to another slot, as far as it can be told by this alone: GRUB tells the kernel.
    pub(super) fn is_last(&self, booted: Slot) -> Result<bool, String> {
        match self {
            Self::Grub(_) => Ok(false),
            Self::SystemdBoot(entries) => entries.is_last(booted),
        }
    }
}

fn change(copies: &Copies, booted: Slot, change: impl FnOnce(&mut Block)) -> Result<(), String> {
    let mut block = copies.read().unwrap_or_else(|| Block::new(booted));
    change(&mut block);
    copies.write(&block)
}

/// The entry of a slot, and what it starts, are made of the root in the slot. An image has come beside that.
fn adopt(
    entries: &Entries,
    slot: Slot,
    booted: Slot,
    slots: &[Partition; 2],
    is_tried: bool,
) -> Result<(), String> {
    if entries.are_images() {
        return entries.adopt_image(slot, is_tried);
    }
    let partition = slot.of(slots);
    let root = Mounted::root(&partition.path, slot == booted)?;
    entries.adopt(slot, &root.path, partition, is_tried)
}

fn state_of(block: Option<Block>, booted: Slot) -> State {
    let lost = block.is_none().then_some("both copies of grubenv are damaged");
    let block = block.unwrap_or_else(|| Block::new(booted));
    let slots = Slot::ALL.map(|slot| {
        let tries = block.tries(slot);
        Trial { is_ok: block.is_ok(slot), is_tried: tries > 0, tries }
    });
    State { order: block.order(), good: block.good(), lost, slots }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_on_the_esp_says_which_boot_loader_it_is() {
        let esp = tempfile::tempdir().unwrap();
        assert!(matches!(Record::on(esp.path()), Record::Grub(_)));
        std::fs::create_dir_all(esp.path().join("loader/entries")).unwrap();
        assert!(matches!(Record::on(esp.path()), Record::Grub(_)));
        std::fs::write(esp.path().join("loader/entries.srel"), "type1\n").unwrap();
        assert!(matches!(Record::on(esp.path()), Record::SystemdBoot(_)));
    }

    #[test]
    fn a_block_that_is_lost_is_one_in_which_the_booted_slot_is_in_order() {
        let state = state_of(None, Slot::B);
        assert!(state.lost.is_some() && state.slots[1].is_ok && !state.slots[0].is_ok);
        let mut block = Block::new(Slot::A);
        block.set_next(Slot::B);
        let state = state_of(Some(block), Slot::A);
        let next = Trial { is_ok: true, is_tried: false, tries: 0 };
        assert_eq!((state.order, state.slots[1], state.lost), (vec![Slot::B, Slot::A], next, None));
    }
}
