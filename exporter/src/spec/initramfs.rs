//! What finds and mounts the root before the first process.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::choice::by_name;

/// Whose initramfs a machine boots by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Initramfs {
    /// The distribution's: the tools of the image make it.
    #[default]
    Distro,
    /// vmimage's own: the modules that the disk needs, and a program that mounts its root.
    Vmimage,
}

impl Initramfs {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Distro, Self::Vmimage];

    /// Its name: `distro`, `vmimage`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Distro => "distro",
            Self::Vmimage => "vmimage",
        }
    }

    /// Whether it is the one of every machine for which none was asked.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for Initramfs {
    type Err = String;

    /// The error says which names there are.
    fn from_str(name: &str) -> Result<Self, String> {
        by_name(&Self::ALL, Self::name, name)
    }
}

impl fmt::Display for Initramfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
