//! `vmimage-update`: the next version of a machine with two slots, written into the one that is free.
//!
//! ```text
//! source ─▶ offer: signature ▶ digests ▶ manifest ▶ index ─▶ admit: is it for this machine?
//!                                                              │ the slot may not be started any more, and is called _empty
//!              what both slots have ─▶ plan ◀──────────────────┘
//! source ─────────────────────────────▶ fill: block by block, each checked before it is written
//!                                        │ all is read once more, the slot gets its name
//!                                        ▼
//!                                      the boot loader tries it first
//! ```
//!
//! Nothing is kept but what the slot, the table and the boot loader have: a slot with half of a root is filled on from there,
//! and a version that was tried and left is known by its label.

mod admit;
mod apply;
mod archive;
mod auto;
mod command;
mod config;
mod fill;
mod held;
#[cfg(feature = "fuzz")]
pub(crate) mod hostile;
pub(crate) mod index;
mod kernels;
mod machine;
mod manifest;
mod offer;
mod plan;
mod progress;
mod rollback;
mod simulated;
pub(crate) mod source;
mod status;
pub(crate) mod sums;
#[cfg(test)]
mod testing;
mod trust;
mod version;
mod window;

#[cfg(feature = "fuzz")]
pub(crate) use source::fuzz;

use std::process::ExitCode;

use crate::init::words::{LIVE, Words};
use admit::Standing;
use apply::{Applied, apply};
use command::{Command, USAGE};
use machine::{Machine, Real};
use simulated::Simulated;
use source::open_source;

/// What it is asked for.
pub const WORDS: &[&str] = command::WORDS;

/// How it ends if all is well, if it is not used so, and if there is nothing new.
const DONE: u8 = 0;
const MISUSED: u8 = 2;
const NOTHING_NEW: u8 = 3;

/// The program.
pub fn main() -> ExitCode {
    let (command, simulated) = match command::parse(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(MISUSED);
        }
    };
    if simulated.is_none() && Words::read().is_live() {
        println!("vmimage-update: {LIVE}");
        return ExitCode::from(DONE);
    }
    let machine: Box<dyn Machine> = match simulated {
        Some(folder) => Box::new(Simulated(folder)),
        None => Box::new(Real),
    };
    match run(command, &*machine) {
        Ok((said, status)) => {
            println!("{said}");
            ExitCode::from(status)
        }
        Err(error) => {
            progress::tell(&error);
            ExitCode::FAILURE
        }
    }
}

/// What is said, and the exit status.
fn run(command: Command, machine: &dyn Machine) -> Result<(String, u8), String> {
    let said = match command {
        Command::Help => USAGE.to_owned(),
        Command::Status { is_json } => status::status(&machine.config()?, &machine.view()?, is_json)?,
        Command::Check { from } => return check(machine, from.as_deref()),
        Command::Apply { from, is_forced, is_restarted } => {
            let said = install(machine, from.as_deref(), is_forced)?;
            restart(machine, said, is_restarted)?
        }
        Command::Rollback { is_restarted } => restart(machine, rollback::rollback(machine)?, is_restarted)?,
        Command::Auto => auto::auto(machine)?,
        Command::Watch => auto::watch(machine)?,
    };
    Ok((said, DONE))
}

/// Whether a source has something newer.
fn check(machine: &dyn Machine, from: Option<&str>) -> Result<(String, u8), String> {
    let config = machine.config()?;
    let mut source = open_source(from.map_or_else(|| auto::from(&config), Ok)?, &config)?;
    let manifest = offer::read(&mut *source, &config)?;
    admit::require_mine(&manifest, &config)?;
    let standing = admit::standing(&manifest, &config, &machine.view()?);
    let said = admit::said(standing, &manifest, &config);
    let status = if standing == Standing::Newer { DONE } else { NOTHING_NEW };
    Ok((said, status))
}

/// Install what a source has. What is installed already is no error, what is not wanted is one.
fn install(machine: &dyn Machine, from: Option<&str>, is_forced: bool) -> Result<String, String> {
    let config = machine.config()?;
    let mut source = open_source(from.map_or_else(|| auto::from(&config), Ok)?, &config)?;
    match apply(machine, &config, &mut *source, is_forced)? {
        Applied::Done(said) | Applied::Before(said) => Ok(said),
        Applied::Unwanted(why) => {
            Err(format!("{why}: nothing was written\nhint: --force installs it all the same"))
        }
    }
}

fn restart(machine: &dyn Machine, said: String, is_asked: bool) -> Result<String, String> {
    if is_asked {
        machine.restart()?;
    }
    Ok(said)
}
