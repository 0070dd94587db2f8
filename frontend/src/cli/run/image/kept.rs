//! A machine that stays, of an image or a build context: all that it needs to start again is in its folder. Its root is
//! written there, once, since whoever has the image's layers need not have them any more when it starts again.

use std::process::ExitCode;

use super::{Place, check, make};
use crate::base::Result;
use crate::cli::run::kind::SourceKind;
use crate::cli::run::{Args, microvm, stays};
use crate::machines::Machine;

/// Makes the machine and runs it, here or in the background.
///
/// # Errors
/// If its name is taken, or it cannot be made.
pub(super) fn run(args: &Args, kind: SourceKind) -> Result<ExitCode> {
    stays::refuse_what_is_thrown_away(args)?;
    stays::check(args)?;
    let workspace = Machine::workspace()?;
    check(args, workspace.path())?;
    let (microvm, _) = make(args, kind, &Place { workspace: workspace.path(), writes_root: true })?;
    stays::run_with_files(args, |folder| {
        let microvm = microvm.moved_to(folder)?;
        // What else was made is of no use any more.
        drop(workspace);
        microvm::stay(args, microvm)
    })
}
