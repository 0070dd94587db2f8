//! When a boot of a machine with two slots for roots was good, and what happens until somebody says so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Profile, Spec};
use crate::container::Format;

/// Seconds until a machine of which nobody has said that it is good restarts.
const DEADLINE: u32 = 300;
/// A shorter one ends before most machines are up; a longer one is none.
const MIN_DEADLINE: u32 = 10;
const MAX_DEADLINE: u32 = 86400;
/// How many starts of a slot may end in no good boot.
const TRIES: u8 = 3;
/// What a script of GRUB counts to.
const MAX_TRIES: u8 = 9;

/// When the boot of a new version was good, with the layout `ab`. Until then its slot is on trial.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Update {
    /// A line of shell that succeeds once the machine is healthy; it is run as root until it does. By default the image's
    /// `HEALTHCHECK`; without one, a boot is good that has reached its goal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"curl --fail --silent http://localhost/health")]
    pub healthy: Option<String>,
    /// The seconds in which the machine has to be healthy, or it restarts while there are tries left. By default 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 86400), example = &600)]
    pub deadline: Option<u32>,
    /// How many starts of a slot may end in no good boot before the other one is taken. By default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9), example = &5)]
    pub tries: Option<u8>,
}

impl Update {
    /// Whether nothing is asked.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The seconds in which a boot has to be good.
    pub fn deadline(&self) -> u32 {
        self.deadline.unwrap_or(DEADLINE)
    }

    /// How many starts of a slot may end in no good boot.
    pub fn tries(&self) -> u8 {
        self.tries.unwrap_or(TRIES)
    }
}

/// What is wrong: the key that says it (`table.key`), and why.
pub fn problems(spec: &Spec) -> Vec<(&'static str, String)> {
    let Update { healthy, deadline, tries } = &spec.update;
    let mut problems = Vec::new();
    if !spec.update.is_default() && !spec.layout.has_slots() {
        let message = "is of a machine that has another root to go back to: ask for layout = \"ab\"";
        problems.push(("update", message.to_owned()));
    }
    let has_slots = spec.layout.has_slots() && spec.profile == Profile::Machine;
    if spec.formats.contains(&Format::Update) && !has_slots {
        let message = "has update, the root for a machine that has two: ask for layout = \"ab\"";
        problems.push(("format", message.to_owned()));
    }
    let is_line = |line: &String| !line.trim().is_empty() && !line.contains(['\n', '\r', '\0']);
    if healthy.as_ref().is_some_and(|line| !is_line(line)) {
        problems.push(("update.healthy", "is no line of shell".to_owned()));
    }
    if deadline.is_some_and(|seconds| !(MIN_DEADLINE..=MAX_DEADLINE).contains(&seconds)) {
        problems
            .push(("update.deadline", format!("is not between {MIN_DEADLINE} and {MAX_DEADLINE} seconds")));
    }
    if tries.is_some_and(|tries| !(1..=MAX_TRIES).contains(&tries)) {
        problems.push(("update.tries", format!("is not between 1 and {MAX_TRIES}")));
    }
    problems
}

/// What an update cannot be called without, if one is asked for: the key, and why. A configuration alone need not say it: the
/// version is often told by a flag.
pub fn unnamed(spec: &Spec) -> Option<(&'static str, String)> {
    let names = [("image.id", &spec.image.id), ("image.version", &spec.image.version)];
    let is_asked = spec.formats.iter().any(|format| matches!(format, Format::Update | Format::Rauc));
    let (key, _) = names.into_iter().find(|(_, name)| is_asked && name.is_none())?;
    Some((key, "is not said, and an update is called by id and version".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_told_by_its_key() {
        let said_of = |layout: &str, update: &str| {
            let (layout, update) =
                (serde_json::from_str(layout).unwrap(), serde_json::from_str(update).unwrap());
            let problems = problems(&Spec { layout, update, ..Spec::default() }).into_iter();
            problems.map(|(key, message)| format!("{key} {message}")).collect::<Vec<_>>().join("; ")
        };
        let said = |update: &str| said_of(r#"{"preset":"ab"}"#, update);
        assert_eq!(said("{}"), "");
        assert_eq!(said(r#"{"healthy":"curl localhost","deadline":600,"tries":9}"#), "");
        assert_eq!(
            said(r#"{"healthy":" ","deadline":9,"tries":10}"#),
            "update.healthy is no line of shell; update.deadline is not between 10 and 86400 seconds; update.tries is not between 1 and 9"
        );
        assert_eq!(
            said(r#"{"healthy":"true\nfalse","tries":0}"#),
            "update.healthy is no line of shell; update.tries is not between 1 and 9"
        );
        assert_eq!(said_of("{}", "{}"), "");
        let without = said_of("{}", r#"{"tries":2}"#);
        assert!(without.starts_with("update is of a machine that has another root"), "{without}");
        assert!(serde_json::from_str::<Update>(r#"{"health":"true"}"#).is_err());
    }

    #[test]
    fn an_update_is_of_two_slots_and_has_a_name() {
        let spec = |layout: &str, image: &str| Spec {
            layout: serde_json::from_str(layout).unwrap(),
            image: serde_json::from_str(image).unwrap(),
            formats: vec![Format::Qcow2, Format::Update],
            ..Spec::default()
        };
        let (ab, named) = (r#"{"preset":"ab"}"#, r#"{"id":"kiosk","version":"1"}"#);
        assert_eq!((problems(&spec(ab, named)), unnamed(&spec(ab, named))), (Vec::new(), None));
        for wrong in [spec("{}", named), Spec { profile: Profile::Data, ..spec(ab, named) }] {
            let problems = problems(&wrong);
            assert!(problems[0].0 == "format" && problems[0].1.ends_with("layout = \"ab\""), "{problems:?}");
        }
        let key = |image| unnamed(&spec(ab, image)).map(|(key, _)| key);
        assert_eq!(
            (key(r#"{"version":"1"}"#), key(r#"{"id":"kiosk"}"#)),
            (Some("image.id"), Some("image.version"))
        );
        let of = |format| Spec { formats: vec![format], ..spec(ab, "{}") };
        assert_eq!((unnamed(&of(Format::Raw)), unnamed(&of(Format::Rauc)).is_some()), (None, true));
    }

    #[test]
    fn what_was_not_asked_is_as_by_default() {
        let update = Update::default();
        assert_eq!((update.deadline(), update.tries(), update.is_default()), (300, 3, true));
    }
}
