//! What `vmimage-init` runs: written by the disk's builder, read at boot.

use serde::{Deserialize, Serialize};

/// The file with the description, as JSON.
pub const PATH: &str = "/usr/lib/vmimage/service.json";

/// The one service of the machine, as the image's configuration has it. Empty texts stand for what was
/// not said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables, `NAME=value`.
    pub environment: Vec<String>,
    /// `USER`, `USER:GROUP`, by name or number; empty: root.
    pub user: String,
    /// Where it starts; empty: `/`.
    pub working_dir: String,
    /// The signal that asks it to end, `SIGTERM` or a number; empty: SIGTERM.
    pub stop_signal: String,
}
