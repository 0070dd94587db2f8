//! The commands for machines that stay: what runs, what it says, what is done in it, and its end.

pub(super) mod cp;
pub(super) mod exec;
pub(super) mod logs;
pub(super) mod ps;
pub(super) mod rm;
pub(super) mod start;
pub(super) mod stop;

use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use agent::client::Client;

use crate::ask::spelling;
use crate::base::terminal::{print_line, tell_line};
use crate::base::{Error, Result};
use crate::machines::{self, Machine, Name};

/// After this long without an agent somebody may ask what is going on.
const SOON: Duration = Duration::from_secs(5);
/// How long an agent may take to be there: its machine may have to boot by emulation.
const PATIENCE: Duration = Duration::from_secs(170);

/// Is the keeper of the machine in the folder that is the second word.
pub(crate) fn keep() -> ExitCode {
    let folder = std::env::args_os().nth(2).unwrap_or_default();
    machines::keep(Path::new(&folder), spelling::flag)
}

/// Does the same to each machine, and prints its name; those that it cannot be done to are told, and keep no other from it.
fn each(names: &[Name], act: impl Fn(&Machine) -> Result<()>) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for name in names {
        match Machine::find(name).and_then(|machine| act(&machine)) {
            Ok(()) => print_line(name)?,
            Err(error) => {
                error.print(spelling::flag);
                code = error.exit_code();
            }
        }
    }
    Ok(code)
}

/// A connection to the agent of a machine that runs, once there is one.
fn agent_of(machine: &Machine) -> Result<Client> {
    let name = machine.name();
    if !machine.is_running() {
        return Err(Error::user(format!("{name}: is not running"))
            .with_hint(format!("start it first: vmimage start {name}")));
    }
    let (is_there, waits) = channel::<()>();
    let told = format!("waiting for the agent of {name}");
    thread::spawn(move || {
        if waits.recv_timeout(SOON) == Err(RecvTimeoutError::Timeout) {
            tell_line(told);
        }
    });
    let client = machine.agent().and_then(|stream| Client::over(stream, PATIENCE));
    drop(is_there);
    client.map_err(|error| {
        Error::user(format!("{name}: its agent cannot be spoken to")).because(error).with_hint(format!(
            "only vmimage's own first process has one (microVMs, --init vmimage); what the machine says: vmimage logs {name}"
        ))
    })
}
