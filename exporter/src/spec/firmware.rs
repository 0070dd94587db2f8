//! What the machine is started by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::choice::by_name;

/// The firmware that a disk has a boot loader for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// Whatever there is a boot loader for.
    #[default]
    Any,
    /// A PC's BIOS only: no loader on the ESP.
    Bios,
    /// UEFI only: no code in the MBR.
    Uefi,
}

impl Firmware {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Any, Self::Bios, Self::Uefi];

    /// Its name: `any`, `bios`, `uefi`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Bios => "bios",
            Self::Uefi => "uefi",
        }
    }

    /// Whether a BIOS may start the disk.
    pub fn takes_bios(self) -> bool {
        self != Self::Uefi
    }

    /// Whether UEFI may start the disk.
    pub fn takes_uefi(self) -> bool {
        self != Self::Bios
    }
}

impl FromStr for Firmware {
    type Err = String;

    /// The error says which names there are.
    fn from_str(name: &str) -> Result<Self, String> {
        by_name(&Self::ALL, Self::name, name)
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
