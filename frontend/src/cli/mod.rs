//! The command line: what can be typed, and who does it.

mod build;
mod clone;
mod completion;
mod config;
mod convert;
mod disk;
mod doctor;
pub(crate) mod inspect;
mod install;
mod install_args;
mod man;
mod output;
mod push;
mod registry;
mod run;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use exporter::terminal::line;

use crate::base::{Error, Result, terminal};

/// Bootable disks from container builds.
///
/// A Dockerfile goes in, a disk that boots comes out: the kernel, the boot loader and the partitions are
/// added, and the build cache keeps working.
#[derive(Parser)]
#[command(version, max_term_width = 100, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  vmimage doctor                     is everything there?
  vmimage build . -o web.qcow2       build ./Dockerfile into a disk
  vmimage convert docker://debian:12 -o web.qcow2
                                     the same of an image that is there already
  vmimage run web.qcow2 -p 8080:80   boot it, with port 8080 forwarded to its port 80
  vmimage inspect web.qcow2          see what is on it
  vmimage clone web.qcow2 -o b.qcow2 a copy that can be in one machine with it
  vmimage push web.qcow2 registry.example/web:v1
                                     put it into a registry, for KubeVirt
  vmimage install                    teach docker --output type=vmdisk,dest=web.qcow2";

#[derive(Subcommand)]
enum Command {
    Build(Box<build::Args>),
    Convert(Box<convert::Args>),
    Clone(clone::Args),
    Push(push::Args),
    Run(run::Args),
    Inspect(inspect::Args),
    Doctor(doctor::Args),
    Install(install::Args),
    Config(config::Args),
    Completion(completion::Args),
    #[command(hide = true)]
    Man(man::Args),
}

/// Parses the command line, does what it asks and prints what went wrong.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let outcome = match cli.command {
        Command::Build(mut args) => build::run(&mut args),
        Command::Convert(mut args) => convert::run(&mut args),
        Command::Clone(args) => clone::run(&args),
        Command::Push(args) => push::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Install(args) => install::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Completion(args) => completion::run(&args, Cli::command()),
        Command::Man(args) => man::run(&args, Cli::command()),
    };
    outcome.unwrap_or_else(|error| {
        error.print();
        error.exit_code()
    })
}

/// Says what is wrong with the words that were typed, or the help that they ask for.
fn usage(error: &clap::Error) -> ExitCode {
    let is_obeyed = |word: OsString| line(&word.to_string_lossy()) != word.to_string_lossy();
    match error.use_stderr() && std::env::args_os().any(is_obeyed) {
        true => terminal::tell_line(error.render()),
        // With colors, where a terminal has them. Nobody there to listen is no reason to stop.
        false => drop(error.print()),
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// `SOURCE_DATE_EPOCH`, in seconds since 1970, if it is set.
fn source_date_epoch() -> Result<Option<i64>> {
    let text = std::env::var("SOURCE_DATE_EPOCH").unwrap_or_default();
    let number = (!text.is_empty()).then(|| text.parse()).transpose();
    number.map_err(|_| {
        Error::user(format!("SOURCE_DATE_EPOCH is {text:?}, not a number of seconds since 1970"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
