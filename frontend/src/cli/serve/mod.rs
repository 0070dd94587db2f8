//! `vmimage serve`: what machines are started from that have no disk, or none of their own.

pub(crate) mod nbd;
pub(crate) mod pxe;

use std::process::ExitCode;

use crate::base::Result;

/// Serve what was built to machines on a network, or a disk that nobody has written to who reads it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Pxe(pxe::Args),
    Nbd(Box<nbd::Args>),
}

/// Serves until a signal ends it.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::Pxe(args) => pxe::run(args),
        What::Nbd(args) => nbd::run(args),
    }
}
