//! The end of a machine that runs: as its power button would have it, or else as if its plug was pulled.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use agent::client::Client;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::qmp::Qmp;
use super::{AGENT_SOCKET, Machine, QMP_SOCKET};
use crate::base::{Error, Result};

/// How long an agent may take to answer, where one may be or not.
const ANSWER: Duration = Duration::from_secs(2);
/// How long what was killed may take to be gone.
const GONE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// Ends a machine: its agent stops it in order, or else it is told by its power button; when `grace` is over its QEMU is
/// killed.
///
/// # Errors
/// If it runs all the same.
pub(crate) fn stop(machine: &Machine, grace: Duration) -> Result<()> {
    if !machine.is_running() {
        return Ok(());
    }
    if !grace.is_zero() {
        let start = Instant::now();
        if !ask_agent(machine) {
            press_power_button(machine);
        }
        if has_ended(machine, grace.saturating_sub(start.elapsed())) {
            return Ok(());
        }
    }
    // Its keeper sees it, and says in the end how it was.
    let _ = machine.connect(QMP_SOCKET).and_then(kill_listener);
    match has_ended(machine, GONE) {
        true => Ok(()),
        false => Err(Error::user(format!("{}: does not end", machine.name()))
            .with_hint(format!("end it with all that it has written: vmimage rm -f {}", machine.name()))),
    }
}

/// Kills a machine with its keeper.
///
/// # Errors
/// If it runs all the same.
pub(crate) fn kill(machine: &Machine) -> Result<()> {
    if !machine.is_running() {
        return Ok(());
    }
    let killed = machine.connect(AGENT_SOCKET).and_then(kill_listener);
    if has_ended(machine, GONE) {
        return Ok(());
    }
    let error = Error::user(format!("{}: cannot be killed", machine.name()));
    Err(match killed {
        Err(why) => error.because(why),
        Ok(()) => error,
    })
}

fn ask_agent(machine: &Machine) -> bool {
    let client = machine.connect(AGENT_SOCKET).and_then(|stream| Client::over(stream, ANSWER));
    client.is_ok_and(|client| client.stop().is_ok())
}

fn press_power_button(machine: &Machine) {
    // A QEMU that does not answer is killed soon.
    let _ = machine
        .connect(QMP_SOCKET)
        .and_then(Qmp::connect)
        .and_then(|mut qmp| qmp.execute("system_powerdown"));
}

fn has_ended(machine: &Machine, patience: Duration) -> bool {
    let end = Instant::now() + patience;
    while machine.is_running() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
    true
}

/// Kills the process that listens on the socket at the other end: the kernel knows who that is.
fn kill_listener(mut stream: UnixStream) -> io::Result<()> {
    let pid = socket_peercred(&stream)?.pid;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    // A number is given again to another process when this one is gone, and its socket with it. If that is there still, the
    // descriptor is of the right one.
    stream.set_nonblocking(true)?;
    match stream.read(&mut [0]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Ok(1..) => {}
        Ok(0) => return Err(io::ErrorKind::NotConnected.into()),
        Err(error) => return Err(error),
    }
    Ok(pidfd_send_signal(&process, Signal::KILL)?)
}
