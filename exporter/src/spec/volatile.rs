//! What of a root is kept, in the words of systemd (`systemd.volatile=` of kernel-command-line(7)).

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::choice::by_name;

/// What is written to memory, and gone after a reboot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Volatile {
    /// Nothing: the root is written to.
    #[default]
    No,
    /// All of the root, which is read-only below.
    Overlay,
    /// `/var` and temporary files; the rest of the root is read-only.
    State,
}

impl Volatile {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::No, Self::Overlay, Self::State];

    /// Its name: `no`, `overlay`, `state`.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Overlay => "overlay",
            Self::State => "state",
        }
    }

    /// Whether all is kept.
    pub fn is_no(&self) -> bool {
        *self == Self::No
    }
}

impl FromStr for Volatile {
    type Err = String;

    /// The error says which names there are.
    fn from_str(name: &str) -> Result<Self, String> {
        by_name(&Self::ALL, Self::name, name)
    }
}
