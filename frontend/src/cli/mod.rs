//! The command line: what can be typed, and who does it.

mod build;
mod clone;
mod commands;
mod completion;
mod config;
mod convert;
mod diff;
mod disk;
#[cfg(test)]
mod docs;
mod doctor;
mod export;
pub(crate) mod inspect;
mod install;
mod install_args;
mod keys;
mod machines;
mod man;
mod output;
mod plan;
mod previous_args;
mod push;
mod registry;
mod run;
pub(crate) mod serve;
mod sign;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use exporter::terminal::line;

use crate::ask::spelling;
use crate::base::{Error, Result, terminal};
use commands::Command;
pub(crate) use commands::{ASSEMBLE, FRONTEND, OS_TAR};
pub(crate) use machines::keep;

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

impl Cli {
    /// Reads a command line, whose first word is this program.
    fn parse_words(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let (definition, words) = (Self::command(), words.into_iter().collect());
        Self::try_parse_from(match definition.find_subcommand("run") {
            Some(run) => run::settle(words, run),
            None => words,
        })
    }
}

const EXAMPLES: &str = "\
Examples:
  vmimage doctor                     is everything there?
  vmimage build . -o web.qcow2       build ./Dockerfile into a disk
  vmimage convert docker://debian:12 -o web.qcow2
                                     the same of an image that is there already
  vmimage run web.qcow2 -p 8080:80   boot it, with port 8080 forwarded to its port 80
  vmimage run docker-daemon:debian:12 sh -c 'echo hi'
                                     run an image's program in a machine of its own
  vmimage run -d --name web web.qcow2
                                     let it run in the background: ps, exec, cp, logs, stop, start, rm
  vmimage inspect web.qcow2          see what is on it
  vmimage clone web.qcow2 -o b.qcow2
                                     a copy that can be in one machine with it
  vmimage export web.qcow2 -o web.tar
                                     its files, as a tar or an image
  vmimage diff --blocks web.qcow2 new.qcow2
                                     how much an update from one to the other moves
  vmimage push web.qcow2 registry.example/web:v1
                                     put it into a registry, for KubeVirt
  vmimage sign web.qcow2 --key db.key --certificate db.crt -o signed.qcow2
                                     have Secure Boot start it by a key of your own
  sudo vmimage serve pxe web --listen 10.9.0.1
                                     start machines over the network from a folder
  vmimage serve nbd web.vmdk --listen unix:web.sock
                                     let others read a disk over a socket, whatever it is in
  vmimage install                    teach docker --output type=vmdisk,dest=web.qcow2";

/// Parses the command line, does what it asks and prints what went wrong.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::parse_words(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    cli.command.run().unwrap_or_else(|error| {
        error.print(spelling::flag);
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
