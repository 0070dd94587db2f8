//! What a medium does when a machine is started from it.

mod problems;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Spec, TextFormat};
use crate::container::Format;

pub use problems::problems;

/// What a machine is started from to run or to install the system: an ISO, or a folder that is served over the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename_all = "kebab-case")]
pub struct Medium {
    /// What it can do: `live` runs the system from memory, `install` puts it on a disk, `rescue` finds an installed one and
    /// gives a shell in it. By default all of them.
    #[schemars(schema_with = "Mode::list", example = vec!["live", "install"])]
    pub modes: Vec<Mode>,
    /// The one that is started without a word: by default `live`, or else the first of `modes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "Mode::schema")]
    pub default: Option<Mode>,
    /// Seconds that its menu waits; 0: it does not.
    #[schemars(range(max = 3600))]
    pub timeout: u32,
    /// A file of the build context that tells the installer what it does: `install.toml`. It lies on the medium.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::ContextPath), example = &"install.toml")]
    pub install: Option<String>,
}

impl Medium {
    /// Whether nothing is asked.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it has this mode.
    pub fn has(&self, mode: Mode) -> bool {
        self.modes.contains(&mode)
    }

    /// The modes, each once, in the order of menus: the one that is started without a word is the first.
    pub fn in_order(&self) -> Vec<Mode> {
        let first = self.first();
        let others = Mode::ALL.into_iter().filter(|mode| Some(*mode) != first && self.has(*mode));
        first.into_iter().chain(others).collect()
    }

    /// The mode that is started without a word.
    pub fn first(&self) -> Option<Mode> {
        self.default.or_else(|| self.has(Mode::Live).then_some(Mode::Live)).or(self.modes.first().copied())
    }
}

impl Default for Medium {
    fn default() -> Self {
        Self { modes: Mode::ALL.to_vec(), default: None, timeout: 5, install: None }
    }
}

impl Spec {
    /// Whether a medium is to be made of it.
    pub fn makes_medium(&self) -> bool {
        self.formats.iter().any(|format| format.is_medium())
    }

    /// Whether what is made of it is served to machines that start over the network.
    pub fn is_netbooted(&self) -> bool {
        self.formats.contains(&Format::Netboot)
    }
}

/// What a machine does that is started from a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It runs the system; what is written is in memory.
    Live,
    /// It writes the system to a disk.
    Install,
    /// It finds an installed system, and gives a shell in it.
    Rescue,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Live, Self::Install, Self::Rescue];

    /// Its name, as in `vmimage.mode=` of the kernel's command line: `live`, `install`, `rescue`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Install => "install",
            Self::Rescue => "rescue",
        }
    }

    fn list(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "array", "items": Self::schema(generator) })
    }

    fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "enum": Self::ALL })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_and_what_is_not_said_is_as_by_default() {
        let read = |text: &str| serde_json::from_str::<Medium>(text).unwrap();
        assert!(read("{}").is_default());
        let fleet = read(r#"{"modes":["rescue","install"],"timeout":0,"install":"install.toml"}"#);
        assert_eq!(fleet.in_order(), [Mode::Rescue, Mode::Install]);
        assert_eq!(serde_json::from_str::<Medium>(&serde_json::to_string(&fleet).unwrap()).unwrap(), fleet);
        assert_eq!(read("{}").in_order(), Mode::ALL);
        let installer = read(r#"{"default":"install"}"#).in_order();
        assert_eq!(installer, [Mode::Install, Mode::Live, Mode::Rescue]);
        for wrong in [r#"{"mode":[]}"#, r#"{"modes":["try"]}"#, r#"{"timeout":-1}"#, r#"{"default":""}"#] {
            assert!(serde_json::from_str::<Medium>(wrong).is_err(), "{wrong}");
        }
    }
}
