//! The boot loader.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::choice::by_name;

/// What the firmware starts, and what finds the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loader {
    /// GRUB of the distribution, for a BIOS and for UEFI.
    #[default]
    Grub,
    /// systemd-boot of the image, for UEFI alone.
    SystemdBoot,
}

impl Loader {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Grub, Self::SystemdBoot];

    /// Its name: `grub`, `systemd-boot`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grub => "grub",
            Self::SystemdBoot => "systemd-boot",
        }
    }

    /// Whether it is the one of every disk for which none was asked.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for Loader {
    type Err = String;

    /// The error says which names there are.
    fn from_str(name: &str) -> Result<Self, String> {
        by_name(&Self::ALL, Self::name, name)
    }
}
