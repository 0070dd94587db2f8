//! `vmimage config`: what can be said in a `vmimage.toml`, and what is wrong in one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::ask::config::{Config, MAX_TEXT, reference, schema_text};
use crate::base::text;
use crate::base::{Result, terminal};

/// Check a vmimage.toml, or show what it can say.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Say all that is wrong in a file
    Check {
        /// The file
        #[arg(default_value = crate::ask::config::FILE)]
        file: PathBuf,
    },
    /// Print the JSON schema, for editors
    Schema,
    /// Print every key with its type, default, flag and build argument
    Reference,
}

const EXAMPLES: &str = "\
Examples:
  vmimage config check                        ./vmimage.toml
  vmimage config schema >vmimage.schema.json
  vmimage config reference | less";

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::Check { file } => check(file)?,
        What::Schema => terminal::print(&schema_text())?,
        What::Reference => terminal::print(&reference())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn check(file: &Path) -> Result<()> {
    let name = file.display().to_string();
    Config::parse(&name, &text::read(file, MAX_TEXT as u64)?)?;
    terminal::print_line(format_args!("{name}: nothing is wrong"))
}
