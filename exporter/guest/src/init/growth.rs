//! The growth of a partition to its disk: a first room before anything else, the rest beside the service.
//!
//! The rest is a process of its own, since the kernel works for minutes in its name, and a shutdown ends it.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::grow;

use crate::init::console::{say, say_error};

/// The argument that asks for the rest.
pub(crate) const ROLE: &str = "grow";

/// As process 1.
pub(crate) fn begin(at: &Path) {
    say_error(grow::begin(at).and_then(|begun| {
        if begun.is_news {
            say(format_args!("{}", begun.done));
        }
        match begun.goes_on {
            true => start_rest(at),
            false => Ok(()),
        }
    }));
}

fn start_rest(at: &Path) -> Result<(), String> {
    let rest = Command::new("/proc/self/exe").arg(ROLE).arg(at).spawn();
    rest.map(drop).map_err(|error| format!("the rest of the growth cannot be started: {error}"))
}

/// As that process.
pub(crate) fn go_on(at: &Path) -> ExitCode {
    match grow::go_on(at) {
        Ok(done) => {
            say(format_args!("{done}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(format_args!("{error}"));
            ExitCode::FAILURE
        }
    }
}
