//! `vmimage start`: a machine that has ended runs again, with all that it has written.

use std::process::ExitCode;

use super::each;
use crate::base::Result;
use crate::machines::{self, Name};

/// Start machines again that have ended.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What they are called
    #[arg(required = true, value_name = "NAME")]
    names: Vec<Name>,
}

const EXAMPLES: &str = "\
Examples:
  vmimage start web";

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    each(&args.names, machines::start)
}
