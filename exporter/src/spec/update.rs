//! What becomes of a machine with two slots for roots: where it looks for its next version, whom it believes, and when a boot
//! of it was good.

mod times;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Profile, Spec, TextFormat};
use crate::container::Format;

pub use times::{Every, Window};

/// Seconds until a machine of which nobody has said that it is good restarts.
const DEADLINE: u32 = 300;
/// A shorter one ends before most machines are up; a longer one is none.
const MIN_DEADLINE: u32 = 10;
const MAX_DEADLINE: u32 = 86400;
/// How many starts of a slot may end in no good boot.
const TRIES: u8 = 3;
/// What a script of GRUB counts to.
const MAX_TRIES: u8 = 9;
/// Keys that sign an update: one of minisign, one of GPG.
const MAX_SIGN: usize = 2;

/// Where the next version comes from, and when its boot was good, with the layout `ab`. Until then its slot is on trial.
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
    /// Where the machine looks for its next version: the URL of the folder of an update, or its image in a registry. Without
    /// it, who runs `vmimage-update` says where.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::UpdateSource), example = &"https://updates.example.com/kiosk/")]
    pub from: Option<String>,
    /// How often it looks there by itself and installs what is newer, a number with `s`, `m`, `h` or `d`; each machine of a
    /// fleet at another time. Without it nothing is installed by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = TextFormat::Interval), example = &"6h")]
    pub every: Option<Every>,
    /// When it may restart into what it has installed, in the machine's local time; it may reach over midnight. Without it
    /// the machine restarts at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = TextFormat::Window), example = &"02:00-04:00")]
    pub window: Option<Window>,
    /// A file of the machine with certificates of authorities (PEM): a server is believed by these alone, not by those of the
    /// image. Like the next two it is in the image, or put into the machine later.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::AbsolutePath), example = &"/etc/vmimage/ca.pem")]
    pub ca: Option<String>,
    /// A file of the machine with the certificate (PEM) by which a server knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::AbsolutePath), example = &"/etc/vmimage/machine.pem")]
    pub certificate: Option<String>,
    /// A file of the machine with the key (PEM) of that certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::AbsolutePath), example = &"/etc/vmimage/machine.key")]
    pub key: Option<String>,
    /// Public keys of minisign: the machine installs nothing that none of them has signed. By default that of the key of
    /// minisign in `sign`; without any, it believes the server.
    #[serde(deserialize_with = "one_or_several", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "minisign_keys")]
    pub public_key: Vec<String>,
    /// Secrets of the build with the keys that sign an update: one of minisign (`minisign -G -W`), one of GPG, or both; none
    /// with a password.
    #[serde(deserialize_with = "one_or_several", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "secret_ids")]
    pub sign: Vec<String>,
}

/// A text in place of a list with one.
fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Texts::deserialize(deserializer)? {
        Texts::One(text) => vec![text],
        Texts::Several(texts) => texts,
    })
}

fn minisign_keys(_: &mut SchemaGenerator) -> Schema {
    texts(TextFormat::MinisignKey, "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3")
}

fn secret_ids(_: &mut SchemaGenerator) -> Schema {
    texts(TextFormat::SecretId, "release")
}

/// A text of a form, or a list of such.
fn texts(format: TextFormat, example: &str) -> Schema {
    let list = serde_json::json!({ "type": "array", "items": format.schema() });
    json_schema!({ "anyOf": [format.schema(), list], "examples": [example] })
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

    /// Whether something is asked about versions that follow, and not of good boots alone.
    fn is_of_versions(&self) -> bool {
        let Self { healthy, deadline, tries, .. } = self.clone();
        *self != Self { healthy, deadline, tries, ..Self::default() }
    }

    /// What says something that another key is needed for, and which.
    fn lonely(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let [from, every] = [self.from.is_some(), self.every.is_some()];
        let [certificate, key] = [self.certificate.is_some(), self.key.is_some()];
        let pairs = [
            ("update.every", every, "needs from: where to look", from),
            (
                "update.window",
                self.window.is_some(),
                "needs every: the machine restarts by itself then alone",
                every,
            ),
            ("update.certificate", certificate, "needs key: the key of the certificate", key),
            ("update.key", key, "needs certificate: what the key is of", certificate),
        ];
        let lonely = pairs.into_iter().filter(|(_, is_said, _, has_other)| *is_said && !has_other);
        lonely.map(|(key, _, message, _)| (key, message))
    }
}

/// What is wrong: the key that says it (`table.key`), and why.
pub fn problems(spec: &Spec) -> Vec<(&'static str, String)> {
    let Update { healthy, deadline, tries, sign, .. } = &spec.update;
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
    problems.extend(spec.update.lonely().map(|(key, message)| (key, message.to_owned())));
    if sign.len() > MAX_SIGN || matches!(&sign[..], [one, other] if one == other) {
        problems.push(("update.sign", "has other than one key of minisign and one of GPG".to_owned()));
    }
    problems
}

/// What an update cannot be called without, if one is asked for or is to be installed: the key, and why. A configuration
/// alone need not say it: the version is often told by a flag.
pub fn unnamed(spec: &Spec) -> Option<(&'static str, String)> {
    let names = [("image.id", &spec.image.id), ("image.version", &spec.image.version)];
    let is_of_one = |format: &Format| matches!(format, Format::Update | Format::Rauc);
    let is_asked = spec.formats.iter().any(is_of_one) || spec.update.is_of_versions();
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
        assert_eq!(
            said(r#"{"every":"6h","certificate":"/a"}"#),
            "update.every needs from: where to look; update.certificate needs key: the key of the certificate"
        );
        assert_eq!(
            said(r#"{"window":"02:00-04:00","key":"/a"}"#),
            "update.window needs every: the machine restarts by itself then alone; update.key needs certificate: what the key is of"
        );
        let sign = "update.sign has other than one key of minisign and one of GPG";
        assert_eq!((&*said(r#"{"sign":["a","b","c"]}"#), &*said(r#"{"sign":["a","a"]}"#)), (sign, sign));
        let all = r#"{"from":"https://a/","every":"6h","window":"02:00-04:00","certificate":"/a","key":"/b","sign":["a","b"]}"#;
        assert_eq!(said(all), "");
        assert_eq!(said_of("{}", "{}"), "");
        let without = said_of("{}", r#"{"tries":2}"#);
        assert!(without.starts_with("update is of a machine that has another root"), "{without}");
        assert!(serde_json::from_str::<Update>(r#"{"health":"true"}"#).is_err());
    }

    #[test]
    fn a_list_may_be_one_text() {
        let of = |json: &str| serde_json::from_str::<Update>(json).unwrap();
        assert_eq!(of(r#"{"sign":"a","public-key":"b"}"#), of(r#"{"sign":["a"],"public-key":["b"]}"#));
        assert!(serde_json::from_str::<Update>(r#"{"sign":5}"#).is_err());
        let all = of(r#"{"from":"https://a/","every":"60m","window":"02:00-04:00","sign":["a","b"]}"#);
        let json = serde_json::to_string(&all).unwrap();
        assert!(json.contains(r#""every":"1h","window":"02:00-04:00","sign":["a","b"]"#), "{json}");
        assert_eq!(of(&json), all);
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
        let raw = Spec { formats: vec![Format::Raw], ..spec(ab, "{}") };
        assert_eq!(unnamed(&raw), None);
        assert!(unnamed(&Spec { formats: vec![Format::Rauc], ..raw.clone() }).is_some());
        let update = |json: &str| Spec { update: serde_json::from_str(json).unwrap(), ..raw.clone() };
        assert_eq!(unnamed(&update(r#"{"tries":2}"#)), None);
        let signed = update(r#"{"sign":"release"}"#);
        assert_eq!(unnamed(&signed).map(|(key, _)| key), Some("image.id"));
        assert_eq!(signed.secrets(), ["release"]);
    }

    #[test]
    fn what_was_not_asked_is_as_by_default() {
        let update = Update::default();
        assert_eq!((update.deadline(), update.tries(), update.is_default()), (300, 3, true));
    }
}
