//! What `vmimage-boot` says of both slots, for people and programs, the same whichever boot loader there is.

use std::path::Path;

use serde::Serialize;

use super::disk::Partition;
use super::record::{State, Trial};
use super::{Slot, is_empty};

/// What the boot loader would do.
#[derive(Serialize)]
pub(super) struct Status<'a> {
    booted: Slot,
    /// The slots in the order in which they are tried.
    order: &'a [Slot],
    /// The last slot that was good.
    good: Option<Slot>,
    /// Whether what the boot loader knows could be believed.
    environment: &'static str,
    slots: [SlotStatus<'a>; 2],
    /// What could not.
    #[serde(skip)]
    lost: Option<&'static str>,
}

#[derive(Serialize)]
struct SlotStatus<'a> {
    name: Slot,
    state: &'static str,
    /// How many starts were not followed by a good boot.
    tries: u32,
    device: &'a Path,
    label: &'a str,
}

impl<'a> Status<'a> {
    pub(super) fn new(booted: Slot, state: &'a State, slots: &'a [Partition; 2]) -> Self {
        let slots = Slot::ALL.map(|name| {
            let (partition, trial) = (name.of(slots), name.of(&state.slots));
            let Partition { path, label, .. } = partition;
            let state = shown_state(trial, label);
            SlotStatus { name, state, tries: trial.tries, device: path, label }
        });
        let environment = if state.lost.is_none() { "whole" } else { "lost" };
        Self { booted, order: &state.order, good: state.good, environment, slots, lost: state.lost }
    }

    pub(super) fn shown(&self, is_json: bool) -> Result<String, String> {
        if is_json {
            return serde_json::to_string(self).map_err(|error| error.to_string());
        }
        let slots = self.slots.iter().map(|slot| {
            let SlotStatus { name, state, tries, device, label } = slot;
            let booted = if *name == self.booted { "booted" } else { "" };
            format!(
                "{:<2} {booted:<7} {state:<8} {tries} tries used  {}  {label}\n",
                name.name(),
                device.display()
            )
        });
        let order: Vec<_> = self.order.iter().map(|slot| slot.name()).collect();
        let good = self.good.map_or("none", Slot::name);
        let lost = self.lost.map(|lost| format!(", {lost}")).unwrap_or_default();
        Ok(format!(
            "{}tried in the order {}, last good: {good}{lost}",
            slots.collect::<String>(),
            order.join(" ")
        ))
    }
}

/// In the words of the glossary: `trying` until a boot was good.
pub(crate) fn shown_state(trial: &Trial, label: &str) -> &'static str {
    match trial {
        _ if is_empty(label, trial) => "empty",
        Trial { is_ok: false, .. } => "bad",
        Trial { is_tried: false, .. } => "good",
        _ => "trying",
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::super::EMPTY;
    use super::*;

    pub(crate) fn slots() -> [Partition; 2] {
        [("/dev/vda3", 3, "root-a", "aa"), ("/dev/vda4", 4, EMPTY, "bb")].map(|(path, number, label, id)| {
            Partition { path: path.into(), number, label: label.into(), id: id.into() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::EMPTY;
    use super::testing::slots;
    use super::*;

    #[test]
    fn the_status_is_for_people_and_programs() {
        let slots = slots();
        let first = Trial { is_ok: true, ..Trial::default() };
        let state = State {
            order: vec![Slot::A, Slot::B],
            good: Some(Slot::A),
            lost: None,
            slots: [first, Trial::default()],
        };
        let status = Status::new(Slot::A, &state, &slots);
        let json = r#"{"booted":"A","order":["A","B"],"good":"A","environment":"whole","slots":[{"name":"A","state":"good","tries":0,"device":"/dev/vda3","label":"root-a"},{"name":"B","state":"empty","tries":0,"device":"/dev/vda4","label":"_empty"}]}"#;
        assert_eq!(status.shown(true).unwrap(), json);
        let text = "A  booted  good     0 tries used  /dev/vda3  root-a\n\
                    B          empty    0 tries used  /dev/vda4  _empty\n\
                    tried in the order A B, last good: A";
        assert_eq!(status.shown(false).unwrap(), text);
        let lost = State { lost: Some("both are gone"), ..state };
        let status = Status::new(Slot::B, &lost, &slots);
        assert!(status.shown(true).unwrap().contains(r#""environment":"lost","#));
        assert!(status.shown(false).unwrap().ends_with(", last good: A, both are gone"));
    }

    #[test]
    fn a_slot_is_on_trial_until_somebody_calls_it_good() {
        for (trial, expected) in [
            (Trial { is_ok: true, is_tried: false, tries: 0 }, "good"),
            (Trial { is_ok: true, is_tried: true, tries: 0 }, "trying"),
            (Trial { is_ok: false, is_tried: true, tries: 3 }, "bad"),
            (Trial::default(), "bad"),
        ] {
            assert_eq!(shown_state(&trial, "root-b"), expected, "{trial:?}");
            let of_rauc = if trial.is_ok { expected } else { "empty" };
            assert_eq!(shown_state(&trial, EMPTY), of_rauc);
        }
    }
}
