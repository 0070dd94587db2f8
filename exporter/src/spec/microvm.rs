//! What is asked of a microVM beside its image.

mod problems;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Profile, Size, Spec, TextFormat};
use crate::container::Format;

pub use problems::problems;

/// A microVM: what its monitor gives it, and what its first process gives the image's program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename_all = "kebab-case")]
pub struct Microvm {
    /// Processors; by default 1.
    #[schemars(range(min = 1, max = 255))]
    pub cpus: u32,
    /// Memory in whole mebibytes; by default `256M`.
    #[schemars(with = "String", extend("format" = TextFormat::Size), example = &"512M")]
    pub memory: Size,
    /// What follows where the program ends without success: `poweroff` (the default), `restart`, or `halt`, which keeps
    /// the machine with its console and agent.
    #[schemars(schema_with = "OnCrash::schema")]
    pub on_crash: OnCrash,
    /// Kernel modules that it is to have beside those of its devices; `["all"]`: all that the kernel has, in the root.
    #[schemars(extend("items" = TextFormat::KernelModule.schema()), example = vec!["nbd"])]
    pub modules: Vec<String>,
    /// Capabilities of the program beside docker's usual ones, or without some of them.
    #[serde(skip_serializing_if = "Capabilities::is_default")]
    pub capabilities: Capabilities,
    /// Limits of the program, by the names of docker's `--ulimit`: a number, or `{ soft = 1024, hard = 4096 }`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<String, Ulimit>,
}

impl Microvm {
    /// The word among `modules` for all that the kernel has.
    pub const ALL_MODULES: &str = "all";

    /// Whether nothing is asked.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the root has all modules of the kernel.
    pub fn has_all_modules(&self) -> bool {
        self.modules.iter().any(|name| name == Self::ALL_MODULES)
    }

    /// The modules that were asked for by name.
    pub fn named_modules(&self) -> impl Iterator<Item = &str> {
        self.modules.iter().map(String::as_str).filter(|name| *name != Self::ALL_MODULES)
    }
}

impl Default for Microvm {
    fn default() -> Self {
        Self {
            cpus: 1,
            memory: Size(256 << 20),
            on_crash: OnCrash::Poweroff,
            modules: Vec::new(),
            capabilities: Capabilities::default(),
            ulimits: BTreeMap::new(),
        }
    }
}

impl Spec {
    /// Whether its root lies by itself, without a partition table, for a monitor that starts the kernel.
    pub fn is_bare(&self) -> bool {
        self.profile == Profile::Microvm && self.formats.iter().any(|format| problems::is_bare(*format))
    }

    /// Whether firmware starts it by a boot loader.
    pub fn boots_by_firmware(&self) -> bool {
        self.profile != Profile::Data && !self.is_bare()
    }

    /// Whether its root lies within one program for UEFI, with its kernel.
    pub fn is_uki(&self) -> bool {
        self.is_bare() && self.formats.contains(&Format::Uki)
    }
}

/// What follows where the program ends without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnCrash {
    /// It is started again.
    Restart,
    /// The machine is powered off.
    Poweroff,
    /// The machine stays, with its console and agent.
    Halt,
}

impl OnCrash {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Restart, Self::Poweroff, Self::Halt];

    /// Its name: `restart`, `poweroff`, `halt`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Poweroff => "poweroff",
            Self::Halt => "halt",
        }
    }

    fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "enum": Self::ALL })
    }
}

/// Capabilities by the names of capabilities(7), with or without `CAP_`, or `ALL`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Capabilities {
    /// Those that the program has beside docker's usual ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("items" = TextFormat::Capability.schema()), example = vec!["NET_ADMIN"])]
    pub add: Vec<String>,
    /// Those of docker's usual ones that it has not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("items" = TextFormat::Capability.schema()), example = vec!["NET_RAW"])]
    pub drop: Vec<String>,
}

impl Capabilities {
    /// Whether they are docker's.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A limit of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Ulimit {
    /// Soft and hard in one.
    Same(u64),
    /// Each by itself.
    Both(SoftHard),
}

/// The two parts of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SoftHard {
    /// What holds; the program may raise it up to the other.
    pub soft: u64,
    /// What it may be raised to.
    pub hard: u64,
}

impl Ulimit {
    /// Its parts.
    pub fn both(self) -> SoftHard {
        match self {
            Self::Same(limit) => SoftHard { soft: limit, hard: limit },
            Self::Both(both) => both,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_and_what_is_not_said_is_as_by_default() {
        let table = r#"{"memory":"512M","on-crash":"halt","modules":["nbd","all"],"capabilities":{"add":["NET_ADMIN"]},
            "ulimits":{"nofile":{"soft":1024,"hard":4096},"nproc":7}}"#;
        let read: Microvm = serde_json::from_str(table).unwrap();
        assert_eq!((read.cpus, read.memory, read.on_crash), (1, Size(512 << 20), OnCrash::Halt));
        assert!(read.has_all_modules() && read.named_modules().eq(["nbd"]));
        assert_eq!(read.ulimits["nofile"].both(), SoftHard { soft: 1024, hard: 4096 });
        assert_eq!(read.ulimits["nproc"].both(), SoftHard { soft: 7, hard: 7 });
        assert_eq!(serde_json::from_str::<Microvm>(&serde_json::to_string(&read).unwrap()).unwrap(), read);
        assert!(serde_json::from_str::<Microvm>("{}").unwrap().is_default());
    }

    #[test]
    fn what_no_table_can_say_is_refused() {
        for wrong in [
            r#"{"cpu":1}"#,
            r#"{"cpus":-1}"#,
            r#"{"memory":256}"#,
            r#"{"on-crash":"panic"}"#,
            r#"{"ulimits":{"nofile":{"soft":1}}}"#,
            r#"{"capabilities":{"keep":[]}}"#,
        ] {
            assert!(serde_json::from_str::<Microvm>(wrong).is_err(), "{wrong}");
        }
    }
}
