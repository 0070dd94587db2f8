//! `vmimage serve`: what machines without a disk of their own are started from.

pub(crate) mod pxe;

use std::process::ExitCode;

use crate::base::Result;

/// Serve what was built to machines on a network.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Pxe(pxe::Args),
}

/// Serves until a signal ends it.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::Pxe(args) => pxe::run(args),
    }
}
