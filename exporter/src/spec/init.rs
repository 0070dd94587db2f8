//! What the machine's first process is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::choice::by_name;

/// Who starts the machine's services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// The distribution's; vmimage's own for an image that can have none, with another image's kernel.
    #[default]
    Auto,
    /// The distribution's: systemd, OpenRC, sysvinit, busybox. It must be there.
    Distro,
    /// vmimage's own, whatever the image has: it runs what the image's container would run, and nothing else.
    Vmimage,
}

impl Init {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Distro, Self::Vmimage];

    /// Its name: `auto`, `distro`, `vmimage`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Distro => "distro",
            Self::Vmimage => "vmimage",
        }
    }
}

impl FromStr for Init {
    type Err = String;

    /// The error says which names there are.
    fn from_str(name: &str) -> Result<Self, String> {
        by_name(&Self::ALL, Self::name, name)
    }
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
