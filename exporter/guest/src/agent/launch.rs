//! The process that becomes a program of the host's, with all that is told of the service: the image's variables, its user,
//! its directory and its bounds, as far as the host does not name others.

use std::io;
use std::process::ExitCode;

use agent::message::Exec;

use super::exec::VARIABLE;
use crate::init::launch::become_or_fail;
use crate::init::service::Service;
use crate::init::told::Told;
use crate::init::words::Words;

/// As that process; returns only if it cannot.
pub(super) fn run() -> ExitCode {
    let told = Told::read(&Words::read()).map_err(|refused| refused.error);
    let prepared = told.and_then(|told| Ok((program(&told)?, told)));
    match prepared {
        Ok((program, told)) => become_or_fail(Ok(program), &told.without_terminal()),
        Err(error) => become_or_fail(Err(error), &Told::default()),
    }
}

fn program(told: &Told) -> Result<Service, String> {
    let exec: Exec = std::env::var(VARIABLE)
        .map_err(|error| error.to_string())
        .and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()))
        .map_err(|error| format!("{VARIABLE}: {error}"))?;
    let has_terminal = exec.tty.is_some();
    if has_terminal {
        take_terminal().map_err(|error| format!("terminal: {error}"))?;
    }
    let terminal = has_terminal.then(|| "TERM=xterm".to_owned());
    let env = terminal.into_iter().chain(exec.env).collect();
    let service = told.service()?.unwrap_or_default();
    Ok(service.with_program(exec.argv, env, exec.user, exec.workdir))
}

/// The standard input becomes the terminal of a session that begins here.
fn take_terminal() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(rustix::process::ioctl_tiocsctty(io::stdin())?)
}
