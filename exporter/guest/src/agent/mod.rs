//! The agent: what a host does in a machine while it runs. What is said is in the crate `agent`.
//!
//! ```text
//! process 1 ── keeper: a thread that waits for a host
//!     │ log, status ▼  ▲ stop                     started when a host comes, and again if it ends
//! agent: serve ── a thread for each channel ──▶ exec: a process, in the surroundings of the service
//! ```
//!
//! The agent is a process of its own: what a host says, and what a program prints, is read in none that the machine needs.

pub(crate) mod exec;
mod job;
pub(crate) mod keeper;
mod launch;
mod link;
mod machine;
mod serve;
mod terminal;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use rustix::io::fcntl_dupfd_cloexec;

use crate::init::console::say;
use machine::Machine;

/// The argument that asks for the agent: its standard input is the stream to the host, its output the link to process 1.
pub(crate) const ROLE: &str = "agent";
/// The argument of the process that becomes a program of the host's.
pub(crate) const EXEC: &str = "agent-exec";

/// As the agent, for one host or more that come over the same stream.
pub(crate) fn run() -> ExitCode {
    match streams() {
        Ok((stream, link)) => {
            serve::serve(stream, &Machine::over(link));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(format_args!("agent: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// As the process that becomes a program; returns only if it cannot.
pub(crate) fn run_program() -> ExitCode {
    launch::run()
}

/// The two streams, which programs do not get: nothing is in their place.
fn streams() -> io::Result<(File, OwnedFd)> {
    let above = |stream| fcntl_dupfd_cloexec(stream, 3);
    let streams = (File::from(above(rustix::stdio::stdin())?), above(rustix::stdio::stdout())?);
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(streams)
}
