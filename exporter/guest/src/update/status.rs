//! What `vmimage-update status` says, for people and programs.

use std::path::Path;

use serde::Serialize;

use super::admit::{is_installed, next};
use super::config::Config;
use super::machine::View;
use crate::choice::{EMPTY, Slot, shown_state};

/// What the machine runs, and what it would take.
#[derive(Serialize)]
struct Status<'a> {
    id: &'a str,
    version: &'a str,
    compatible: &'a str,
    booted: Slot,
    /// The slot that a restart leads to, if all goes well.
    next: Slot,
    /// Whether that is the other one, and nobody has left it.
    installed: bool,
    /// Whether only what was signed is taken.
    signed: bool,
    from: Option<&'a str>,
    every: Option<u64>,
    window: Option<&'a str>,
    slots: [SlotStatus<'a>; 2],
}

#[derive(Serialize)]
struct SlotStatus<'a> {
    name: Slot,
    /// `good`, `trying`, `bad` or `empty`.
    state: &'static str,
    /// How many starts were not followed by a good boot.
    tries: u32,
    version: Option<&'a str>,
    label: &'a str,
    device: &'a Path,
}

/// As lines, or as JSON.
pub(super) fn status(config: &Config, view: &View, is_json: bool) -> Result<String, String> {
    let status = Status::new(config, view);
    match is_json {
        true => serde_json::to_string(&status).map_err(|error| error.to_string()),
        false => Ok(status.lines()),
    }
}

impl<'a> Status<'a> {
    fn new(config: &'a Config, view: &'a View) -> Self {
        let slots = Slot::ALL.map(|name| {
            let slot = name.of(&view.slots);
            let version = slot.label.strip_prefix(&*config.id).and_then(|rest| rest.strip_prefix('_'));
            SlotStatus {
                name,
                state: shown_state(&slot.trial, &slot.label),
                tries: slot.trial.tries,
                version: version.filter(|_| slot.label != EMPTY),
                label: &slot.label,
                device: &slot.device,
            }
        });
        Self {
            id: &config.id,
            version: &config.version,
            compatible: &config.compatible,
            booted: view.booted,
            next: next(view),
            installed: is_installed(view),
            signed: !config.public_keys.is_empty(),
            from: config.from.as_deref(),
            every: config.every,
            window: config.window.as_deref(),
            slots,
        }
    }

    fn lines(&self) -> String {
        let slots = self.slots.iter().map(|slot| {
            let booted = if slot.name == self.booted { "booted" } else { "" };
            format!("{}  {booted:<7} {:<8} {}\n", slot.name.name(), slot.state, slot.label)
        });
        let slots: String = slots.collect();
        let next = match self.next == self.booted {
            true => String::new(),
            false => format!("a restart starts slot {}\n", self.next.name()),
        };
        let from = self
            .from
            .map_or("no updates are looked for".to_owned(), |from| format!("updates come from {from}"));
        let every = self.every.map(|seconds| format!(", looked for every {seconds} s")).unwrap_or_default();
        let window = self.window.map(|window| format!(", started between {window}")).unwrap_or_default();
        let signed = if self.signed { "only what was signed is taken" } else { "they need no signature" };
        format!("{} {}\n{slots}{next}{from}{every}{window}; {signed}", self.id, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::super::testing::{machine, root};
    use super::*;

    #[test]
    fn the_status_is_for_people_and_programs() {
        let files = machine("1.4.0", &root(1));
        files.change(|state| {
            state.order = vec![Slot::B, Slot::A];
            state.slots[1].ok = true;
            "kiosk_1.5.0".clone_into(&mut state.slots[1].label);
        });
        let machine = files.simulated();
        let (config, view) = (machine.config().unwrap(), machine.view().unwrap());
        let text = status(&config, &view, false).unwrap();
        let expected = "kiosk 1.4.0\nA  booted  good     kiosk_1.4.0\nB          good     kiosk_1.5.0\na restart starts slot B\n\
                        no updates are looked for; they need no signature";
        assert_eq!(text, expected);
        let json: serde_json::Value = serde_json::from_str(&status(&config, &view, true).unwrap()).unwrap();
        assert_eq!(
            (&json["version"], &json["next"], &json["installed"]),
            (&"1.4.0".into(), &"B".into(), &true.into())
        );
        assert_eq!(
            (&json["slots"][1]["version"], &json["slots"][0]["state"]),
            (&"1.5.0".into(), &"good".into())
        );
    }
}
