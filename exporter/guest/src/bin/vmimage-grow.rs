//! `vmimage-grow [--root MOUNTPOINT]`: grow the root partition and its ext4 to the disk, while mounted.
//!
//! It ends as soon as there is room to boot with. What is left to do is done by itself again, `--rest`, which
//! outlives it: every init waits for the first process and for no other.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use guest::grow;

/// What it was asked to do, and where.
struct Task {
    is_rest: bool,
    root: PathBuf,
}

fn main() -> ExitCode {
    let outcome = Task::parse(std::env::args_os().skip(1).collect()).and_then(|task| task.run());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vmimage-grow: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Task {
    fn parse(arguments: Vec<OsString>) -> Result<Self, String> {
        let mut task = Self { is_rest: false, root: "/".into() };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--rest") => task.is_rest = true,
                Some("--root") => task.root = arguments.next().ok_or_else(usage)?.into(),
                _ => return Err(usage()),
            }
        }
        Ok(task)
    }

    fn run(&self) -> Result<(), String> {
        if self.is_rest {
            println!("vmimage-grow: {}", grow::go_on(&self.root)?);
            return Ok(());
        }
        let begun = grow::begin(&self.root)?;
        println!("vmimage-grow: {}", begun.done);
        match begun.goes_on {
            true => self.leave_rest(),
            false => Ok(()),
        }
    }

    fn leave_rest(&self) -> Result<(), String> {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut rest = Command::new(this);
        rest.arg("--rest").arg("--root").arg(&self.root);
        rest.spawn().map(drop).map_err(|error| format!("the rest can't be started: {error}"))
    }
}

fn usage() -> String {
    "usage: vmimage-grow [--root MOUNTPOINT]".into()
}
