//! `vmimage keys`: keys of one's own for Secure Boot, and a virtual machine's firmware that believes them.

mod generate;
mod vars;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::base::Result;

/// Make keys for Secure Boot, or have a virtual machine's firmware believe them.
///
/// A firmware that knows them starts what they have signed, and nothing else: docs/sealed.md.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make PK, KEK and db: each a key, a certificate, and what firmware takes
    Generate {
        /// The folder for them; it is made if it is not there
        folder: PathBuf,
        /// Whose keys they are: the first word of their names
        #[arg(long, value_name = "NAME", default_value = "vmimage")]
        name: String,
        /// How long their certificates are good; firmware does not ask
        #[arg(long, value_name = "N", default_value = "3650", value_parser = clap::value_parser!(u32).range(1..))]
        days: u32,
    },
    /// Make the variables of OVMF with keys in them, and Secure Boot enforced
    Vars {
        /// The folder with PK, KEK, db, and dbx if there is one: .auth files, or else .esl
        #[arg(long, value_name = "FOLDER")]
        keys: PathBuf,
        /// The variables that come with the firmware
        #[arg(long, value_name = "FILE")]
        template: PathBuf,
        /// The file to make
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
}

const EXAMPLES: &str = "\
Examples:
  vmimage keys generate keys --name 'Acme'
  vmimage keys vars --keys keys --template /usr/share/OVMF/OVMF_VARS_4M.fd -o VARS.fd";

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::Generate { folder, name, days } => generate::run(folder, name, *days)?,
        What::Vars { keys, template, output } => vars::run(keys, template, output)?,
    }
    Ok(ExitCode::SUCCESS)
}
