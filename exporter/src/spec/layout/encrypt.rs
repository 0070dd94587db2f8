//! How a partition is encrypted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Tang, Way};
use crate::fs::luks;
use crate::spec::{Size, TextFormat};

/// LUKS2: what is in the partition can be read by who has its passphrase or its key alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Encrypt {
    /// By the machine.
    Later(#[schemars(schema_with = "Later::schema")] Later),
    /// By the build, with a secret.
    Now(Lock),
}

/// When the machine encrypts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Later {
    /// At its first boot, empty, with a key that its TPM 2.0 alone has: the build needs no secret.
    FirstBoot,
}

impl Later {
    fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "enum": [Self::FirstBoot] })
    }
}

/// What opens a partition that the build has encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lock {
    /// The passphrase that the machine asks for at boot: a secret of the build, by its id, with one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::SecretId), example = &"disk")]
    pub passphrase: Option<String>,
    /// A key file: a secret of the build, by its id, all of whose bytes count. In place of a passphrase the machine has it on
    /// its root, which is encrypted itself; with `key-file` in `unlock` it is on a drive.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::SecretId), example = &"data-key")]
    pub key: Option<String>,
    /// What makes a try at the passphrase slow: `argon2id`, by default, which takes memory as well, or `pbkdf2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "Slowness::schema")]
    pub kdf: Option<Slowness>,
    /// The memory that `argon2id` takes, which the machine has to have at boot; by default 64M.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = TextFormat::Size), example = &"64M")]
    pub memory: Option<Size>,
    /// Whether the machine gives it a new volume key at its first boot, which the builder does not know.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reencrypt: bool,
    /// What opens it at boot: `passphrase`, and one way more, which comes before that: `key-file`, `tpm2` or `tang`. By default
    /// what its secret is for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>", extend("items" = Way::schema()))]
    pub unlock: Vec<Way>,
    /// Of `key-file`: the file system that the file is on, by its label or UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"LABEL=KEYS")]
    pub key_device: Option<String>,
    /// Of `key-file`: where the file is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/web.key")]
    pub key_path: Option<String>,
    /// Of `tang`: the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tang: Option<Tang>,
}

/// What makes a key of a passphrase, slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Slowness {
    /// In time and memory (RFC 9106).
    Argon2id,
    /// In time alone (RFC 8018).
    Pbkdf2,
}

impl Slowness {
    fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "enum": [Self::Argon2id, Self::Pbkdf2] })
    }
}

/// What argon2id takes if nothing else is asked: RFC 9106 has the second choice of its parameters, less memory for more
/// passes, start here.
const MEMORY: Size = Size(64 << 20);
/// Passes of argon2id.
const TIME: u32 = 4;
/// Rounds of PBKDF2 with SHA-256: more than the 600,000 that OWASP asks for.
const ITERATIONS: u32 = 1_000_000;
/// What memory may be asked of argon2id.
const MEMORY_RANGE: std::ops::RangeInclusive<u64> = 8 << 20..=1 << 30;

impl Encrypt {
    /// What the build encrypts it with.
    pub fn now(&self) -> Option<&Lock> {
        match self {
            Self::Now(secret) => Some(secret),
            Self::Later(Later::FirstBoot) => None,
        }
    }

    /// Whether the machine opens it by a key on its root.
    pub fn has_key(&self) -> bool {
        self.now().is_some_and(|secret| secret.key.is_some() && secret.way() != Way::KeyFile)
    }
}

impl Lock {
    /// The ids of its secrets.
    pub fn secrets(&self) -> impl Iterator<Item = &str> + Clone {
        [&self.passphrase, &self.key].into_iter().flatten().map(String::as_str)
    }

    /// What a try costs.
    pub fn kdf(&self) -> luks::Kdf {
        match self.kdf {
            None | Some(Slowness::Argon2id) => {
                let Size(memory) = self.memory.unwrap_or(MEMORY);
                luks::Kdf::Argon2id { time: TIME, memory: (memory >> 10) as u32 }
            }
            Some(Slowness::Pbkdf2) => luks::Kdf::Pbkdf2 { iterations: ITERATIONS },
        }
    }

    /// What is wrong with its words.
    pub(super) fn problem(&self) -> Option<String> {
        let mut secrets = self.secrets();
        let count = secrets.clone().count();
        if let Some(wrong) = secrets.find_map(|id| Some((id, TextFormat::SecretId.check(id).err()?))) {
            return Some(format!("{:?} is not {}", wrong.0, wrong.1));
        }
        match (self.kdf, self.memory) {
            _ if count != 1 && (count != 2 || self.way() != Way::KeyFile) => {
                Some("one secret opens it: say passphrase or key".to_owned())
            }
            (Some(Slowness::Pbkdf2), Some(_)) => Some("pbkdf2 takes no memory: leave it out".to_owned()),
            (_, Some(Size(memory))) if !MEMORY_RANGE.contains(&memory) => {
                Some(format!("memory is {}, expected 8M to 1G", Size(memory)))
            }
            _ => self.wrong_ways(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Lock {
        let asked: Encrypt = serde_json::from_str(text).unwrap();
        asked.now().unwrap().clone()
    }

    #[test]
    fn what_a_try_costs_is_what_was_asked() {
        for (text, kdf) in [
            (r#"{"passphrase":"a"}"#, luks::Kdf::Argon2id { time: 4, memory: 65_536 }),
            (r#"{"key":"a","memory":"16M"}"#, luks::Kdf::Argon2id { time: 4, memory: 16_384 }),
            (r#"{"passphrase":"a","kdf":"pbkdf2"}"#, luks::Kdf::Pbkdf2 { iterations: 1_000_000 }),
        ] {
            let asked = asked(text);
            assert_eq!((asked.kdf(), asked.problem()), (kdf, None), "{text}");
            assert_eq!(asked.secrets().collect::<Vec<_>>(), ["a"], "{text}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_told() {
        for (text, said) in [
            ("{}", "say passphrase or key"),
            (r#"{"passphrase":"a","key":"b"}"#, "say passphrase or key"),
            (r#"{"passphrase":"a b"}"#, "is not the id of a secret"),
            (r#"{"passphrase":"a","kdf":"pbkdf2","memory":"64M"}"#, "takes no memory"),
            (r#"{"passphrase":"a","memory":"4M"}"#, "expected 8M to 1G"),
            (r#"{"passphrase":"a","memory":"2G"}"#, "expected 8M to 1G"),
        ] {
            assert!(asked(text).problem().is_some_and(|problem| problem.contains(said)), "{text}");
        }
        for wrong in [r#"{"password":"a"}"#, r#""second-boot""#] {
            assert!(serde_json::from_str::<Encrypt>(wrong).is_err(), "{wrong}");
        }
        let later: Encrypt = serde_json::from_str(r#""first-boot""#).unwrap();
        assert_eq!((later.now(), serde_json::to_string(&later).unwrap().as_str()), (None, r#""first-boot""#));
    }
}
