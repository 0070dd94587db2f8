//! An update whose power goes between two steps, whichever they are: each is done or is not.

use std::cell::Cell;
use std::fs::File;
use std::path::Path;

use super::super::archive::testing as tar;
use super::super::machine::SlotView;
use super::super::simulated::Simulated;
use super::super::source::open_source;
use super::super::testing::{Files, Folder, machine, root};
use super::*;

/// A machine that changes so often, and then no more.
struct Stops {
    machine: Simulated,
    left: Cell<usize>,
}

impl Stops {
    fn step(&self) -> Result<(), String> {
        let left = self.left.get().checked_sub(1).ok_or("the power is gone")?;
        self.left.set(left);
        Ok(())
    }
}

impl Machine for Stops {
    fn config(&self) -> Result<Config, String> {
        self.machine.config()
    }

    fn lock(&self) -> Result<File, String> {
        self.machine.lock()
    }

    fn view(&self) -> Result<View, String> {
        self.machine.view()
    }

    fn open(&self, slot: Slot) -> Result<File, String> {
        self.machine.open(slot)
    }

    fn open_for_writing(&self, slot: Slot) -> Result<File, String> {
        self.machine.open_for_writing(slot)
    }

    fn set_bad(&self, slot: Slot) -> Result<(), String> {
        self.step().and_then(|()| self.machine.set_bad(slot))
    }

    fn set_next(&self, slot: Slot, label: &str) -> Result<(), String> {
        self.step().and_then(|()| self.machine.set_next(slot, label))
    }

    fn set_label(&self, slot: Slot, label: &str) -> Result<(), String> {
        self.step().and_then(|()| self.machine.set_label(slot, label))
    }

    fn set_kernels(
        &self,
        slot: Slot,
        write: &mut dyn FnMut(&Path) -> Result<(), String>,
    ) -> Result<(), String> {
        self.step().and_then(|()| self.machine.set_kernels(slot, write))?;
        self.step()
    }

    fn restart(&self) -> Result<(), String> {
        self.machine.restart()
    }
}

fn install(machine: &dyn Machine, folder: &Folder) -> Result<Applied, String> {
    let config = machine.config()?;
    let mut source = open_source(folder.path().to_str().unwrap(), &config)?;
    apply(machine, &config, &mut *source, false)
}

/// Version 1.4.0 runs, and 1.3.0 is what it would go back to.
fn with_both() -> Files {
    let files = machine("1.4.0", &root(1));
    files.write_slot(Slot::B, &padded(9));
    files.set_config("kernels", true.into());
    files.change(|state| {
        state.slots[1].ok = true;
        "kiosk_1.3.0".clone_into(&mut state.slots[1].label);
    });
    files
}

fn padded(number: u8) -> Vec<u8> {
    let mut slot = root(number);
    slot.resize(super::super::testing::SLOT, 0);
    slot
}

fn is_whole(files: &Files, slot: Slot) -> bool {
    [1, 2, 9].iter().any(|number| files.slot(slot).starts_with(&root(*number)))
}

#[test]
fn whatever_may_be_started_is_whole_and_the_next_update_succeeds() {
    let menu = tar::archive(&[tar::member("boot/grub/grub.cfg", b"menu")]);
    let folder = Folder::new("1.5.0", &root(2)).with_kernels(&menu);
    let mut steps = 0;
    loop {
        let files = with_both();
        let machine = Stops { machine: files.simulated(), left: Cell::new(steps) };
        let outcome = install(&machine, &folder);
        let view = machine.view().unwrap();
        for (slot, SlotView { trial, .. }) in [Slot::A, Slot::B].into_iter().zip(&view.slots) {
            assert!(!trial.is_ok || is_whole(&files, slot), "{steps}: {view:?}");
        }
        assert!(Slot::A.of(&view.slots).trial.is_ok && files.slot(Slot::A) == padded(1), "{steps}");
        if outcome.is_ok() {
            break;
        }
        // Once more, where it was cut.
        let done = install(&files.simulated(), &folder);
        assert!(matches!(done, Ok(Applied::Done(_) | Applied::Before(_))), "{steps}: {done:?}");
        let state = files.state();
        assert_eq!((&*state.slots[1].label, state.slots[1].ok), ("kiosk_1.5.0", true), "{steps}");
        assert_eq!((state.order[0], files.kernel("B/boot/grub/grub.cfg")), (Slot::B, b"menu".to_vec()));
        assert!(files.slot(Slot::B).starts_with(&root(2)), "{steps}");
        steps += 1;
    }
    assert_eq!(steps, 7, "the labels are three");
}
