//! A machine of files, for tests and for `make bench --only fleet`, in which many of them update at once without a boot.
//!
//! ```text
//! DIR/slot-a, slot-b   the partitions
//! DIR/kernels/A, B     what lies beside them
//! DIR/state.json       what the table and the boot loader know, and the configuration
//! ```
//!
//! Who runs it plays the boots: the first slot of `order` that is `ok` becomes `booted`; `tries` counts what was not good. A boot
//! by which another slot is booted is one `by_hand`, or the first slot is `passed_over`, or RAUC has made it that: `by_other`.
//! `version` of the configuration is that of the label of the slot that is booted.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::Config;
use super::machine::{Machine, SlotView, View, lock};
use crate::choice::{Slot, Trial, machine};
use crate::grow::device::in_file;

/// The machine in this folder.
pub(super) struct Simulated(pub(super) PathBuf);

/// `state.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub(super) booted: Slot,
    pub(super) order: Vec<Slot>,
    pub(super) good: Option<Slot>,
    #[serde(default)]
    pub(super) by_hand: bool,
    #[serde(default)]
    pub(super) passed_over: bool,
    #[serde(default)]
    pub(super) by_other: bool,
    /// A and B.
    pub(super) slots: [SlotState; 2],
    /// How often it was told to restart.
    #[serde(default)]
    pub(super) restarts: u32,
    /// `update.json`.
    pub(super) config: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SlotState {
    pub(super) label: String,
    pub(super) ok: bool,
    pub(super) tries: u32,
}

impl Simulated {
    pub(super) fn state(&self) -> Result<State, String> {
        let path = self.0.join("state.json");
        serde_json::from_slice(&fs::read(&path).map_err(in_file(&path))?).map_err(in_file(&path))
    }

    pub(super) fn set_state(&self, state: &State) -> Result<(), String> {
        let (path, new) = (self.0.join("state.json"), self.0.join("state.json.new"));
        let text = serde_json::to_vec_pretty(state).map_err(in_file(&path))?;
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(in_file(&path))
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> Result<(), String> {
        let mut state = self.state()?;
        change(&mut state);
        self.set_state(&state)
    }

    pub(super) fn path(&self, slot: Slot) -> PathBuf {
        self.0.join(slot.of(&["slot-a", "slot-b"]))
    }
}

impl Machine for Simulated {
    fn config(&self) -> Result<Config, String> {
        let State { config, booted, slots, .. } = self.state()?;
        let config: Config = serde_json::from_value(config).map_err(in_file(&self.0.join("state.json")))?;
        let own = format!("{}_", config.id);
        let version = booted.of(&slots).label.strip_prefix(&own).map(str::to_owned);
        Ok(Config { version: version.unwrap_or(config.version), ..config })
    }

    fn lock(&self) -> Result<File, String> {
        lock(&self.0.join("lock"))
    }

    fn view(&self) -> Result<View, String> {
        let State { booted, order, good, by_hand, passed_over, by_other, slots: [a, b], .. } =
            self.state()?;
        let slots = [(Slot::A, a), (Slot::B, b)].map(|(slot, SlotState { label, ok, tries })| SlotView {
            device: self.path(slot),
            label,
            trial: Trial { is_ok: ok, is_tried: tries > 0, tries },
        });
        let first = order.first().copied();
        Ok(View {
            booted,
            is_by_hand: by_hand,
            first,
            is_first_new: !passed_over && !by_other,
            is_first_passed_over: passed_over,
            good,
            slots,
        })
    }

    fn open(&self, slot: Slot) -> Result<File, String> {
        let path = self.path(slot);
        File::open(&path).map_err(in_file(&path))
    }

    fn open_for_writing(&self, slot: Slot) -> Result<File, String> {
        let path = self.path(slot);
        File::options().read(true).write(true).open(&path).map_err(in_file(&path))
    }

    fn set_bad(&self, slot: Slot) -> Result<(), String> {
        self.change(|state| {
            let place = &mut state.slots[slot as usize];
            (place.ok, place.tries) = (false, 0);
        })
    }

    fn set_next(&self, slot: Slot, _: &str) -> Result<(), String> {
        self.change(|state| {
            let place = &mut state.slots[slot as usize];
            (place.ok, place.tries) = (true, 0);
            state.order = vec![slot, slot.other()];
            (state.passed_over, state.by_other) = (false, false);
        })
    }

    fn set_label(&self, slot: Slot, label: &str) -> Result<(), String> {
        self.change(|state| label.clone_into(&mut state.slots[slot as usize].label))
    }

    fn set_kernels(
        &self,
        slot: Slot,
        write: &mut dyn FnMut(&Path) -> Result<(), String>,
    ) -> Result<(), String> {
        let folder = self.0.join("kernels");
        fs::create_dir_all(&folder).map_err(in_file(&folder))?;
        let folder = folder.join(slot.name());
        machine::empty(&folder)?;
        write(&folder)
    }

    fn restart(&self) -> Result<(), String> {
        self.change(|state| state.restarts += 1)
    }
}
