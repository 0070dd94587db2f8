//! `vmimage-grow [MOUNTPOINT]`: grow the partition that is mounted there, by default the root, and its file system to the disk.
//!
//! It ends as soon as there is room to boot with. What is left to do is done by itself again, `--rest`, which
//! outlives it: every init waits for the first process and for no other.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use guest::grow;

/// Asks for the rest.
const REST: &str = "--rest";

/// What it was asked to do, and where.
struct Task {
    is_rest: bool,
    mount_point: PathBuf,
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
        let (is_rest, arguments) = match &arguments[..] {
            [first, rest @ ..] if first == REST => (true, rest),
            all => (false, all),
        };
        match arguments {
            [] => Ok(Self { is_rest, mount_point: "/".into() }),
            [path] if path.as_encoded_bytes().starts_with(b"/") => {
                Ok(Self { is_rest, mount_point: path.into() })
            }
            _ => Err(usage()),
        }
    }

    fn run(&self) -> Result<(), String> {
        if self.is_rest {
            println!("vmimage-grow: {}", grow::go_on(&self.mount_point)?);
            return Ok(());
        }
        let begun = grow::begin(&self.mount_point)?;
        println!("vmimage-grow: {}", begun.done);
        match begun.goes_on {
            true => self.leave_rest(),
            false => Ok(()),
        }
    }

    fn leave_rest(&self) -> Result<(), String> {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut rest = Command::new(this);
        rest.arg(REST).arg(&self.mount_point);
        rest.spawn().map(drop).map_err(|error| format!("the rest cannot be started: {error}"))
    }
}

fn usage() -> String {
    "usage: vmimage-grow [MOUNTPOINT]".into()
}
