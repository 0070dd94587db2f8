//! What a machine is made of.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::choice::by_name;

/// What a machine is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hardware {
    /// What hypervisors imitate.
    #[default]
    Virtual,
    /// Real disks, network cards and processors: with a kernel that has their drivers, their firmware and their microcode.
    Metal,
}

impl Hardware {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Virtual, Self::Metal];

    /// Its name: `virtual`, `metal`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Virtual => "virtual",
            Self::Metal => "metal",
        }
    }

    /// Whether it is the one of every machine for which none was asked.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for Hardware {
    type Err = String;

    /// The error says which names there are.
    fn from_str(name: &str) -> Result<Self, String> {
        by_name(&Self::ALL, Self::name, name)
    }
}

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
