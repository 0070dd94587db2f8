//! Without root the engine's files belong to a range of user ids that is only ours in a user namespace.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, geteuid, set_parent_process_death_signal};

use super::Tool;
use crate::base::{Error, Result};

/// Makes this process one of the engine's user namespace, in which it is root, by starting it anew there
/// with `arguments`. Returns only if it is root already: of the host, or of such a namespace.
///
/// In there owners are what the image says they are, a file capability is read without the namespace it
/// was set in (capabilities(7), "Namespaced file capabilities"), and the engine mounts where this process
/// can read.
pub(crate) fn enter(tool: Tool, arguments: &[OsString]) -> Result<()> {
    if geteuid().is_root() {
        if env::var_os("_CONTAINERS_USERNS_CONFIGURED").is_some() {
            // A signal meant for this process goes to the one that waits for it, which podman only ends.
            // Best effort: without it this process goes on to the end.
            let _ = set_parent_process_death_signal(Some(Signal::TERM));
        }
        return Ok(());
    }
    let program = env::current_exe()
        .map_err(|error| Error::internal("this program: does not know where it is").because(error))?;
    // Does not return if it works.
    let error = Command::new(tool.name()).arg("unshare").arg(program).args(arguments).exec();
    Err(tool.cannot_start(error))
}
