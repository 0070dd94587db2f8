//! `vmimage rm`: machines go, with all that they have written.

use std::process::ExitCode;

use super::each;
use crate::base::Result;
use crate::machines::{self, Name};

/// Remove machines, with all that they have written.
///
/// The disk or the folder that they were made of stays as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What they are called
    #[arg(required = true, value_name = "NAME")]
    names: Vec<Name>,
    /// Kill those that run
    #[arg(short, long)]
    force: bool,
}

const EXAMPLES: &str = "\
Examples:
  vmimage rm web
  vmimage rm -f web       also if it runs";

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    each(&args.names, |machine| {
        if args.force {
            machines::kill(machine)?;
        }
        machine.remove()
    })
}
