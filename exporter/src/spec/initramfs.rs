//! What finds and mounts the root before the first process.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Spec;
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
}

impl Spec {
    /// Whose initramfs its machine boots by: the one that was asked for, else vmimage's own where a root is checked when
    /// it is read, which no distribution's is asked to do.
    pub fn initramfs(&self) -> Initramfs {
        let usual = if self.layout.has_verity() { Initramfs::Vmimage } else { Initramfs::Distro };
        self.initramfs.unwrap_or(usual)
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
