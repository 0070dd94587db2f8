//! Without root the engine's files belong to a range of user ids that is only ours in a user namespace.

use std::os::unix::process::CommandExt;
use std::process::Command;

use super::Tool;
use crate::cli::{Error, Result};

/// Makes this process one of the engine's user namespace, in which it is root, by starting it anew there
/// with `arguments`. Returns only if it is root already: of the host, or of such a namespace.
///
/// In there owners are what the image says they are, a file capability is read without the namespace it
/// was set in (capabilities(7), "Namespaced file capabilities"), and the engine mounts where this process
/// can read.
pub(crate) fn enter(tool: Tool, arguments: &[std::ffi::OsString]) -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let program = std::env::current_exe()
        .map_err(|error| Error::internal("this program: does not know where it is").because(error))?;
    // Does not return if it works.
    let error = Command::new(tool.name()).arg("unshare").arg(program).args(arguments).exec();
    Err(tool.cannot_start(error))
}
