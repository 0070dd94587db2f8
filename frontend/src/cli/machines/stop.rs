//! `vmimage stop`: the end of machines that run.

use std::process::ExitCode;
use std::time::Duration;

use super::each;
use crate::base::Result;
use crate::machines::{self, Name};

/// Stop machines that run.
///
/// The agent of a machine stops its program in order; without one its power button is pressed. What has not ended in time
/// is killed. What the machine has written is kept.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What they are called
    #[arg(required = true, value_name = "NAME")]
    names: Vec<Name>,
    /// How long each may take
    #[arg(short, long, value_name = "SECONDS", default_value_t = 15)]
    time: u32,
}

const EXAMPLES: &str = "\
Examples:
  vmimage stop web
  vmimage stop -t 60 web database      with a minute for each";

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    each(&args.names, |machine| machines::stop(machine, Duration::from_secs(args.time.into())))
}
