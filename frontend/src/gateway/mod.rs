//! The gateway role: a BuildKit frontend, started by the daemon as a container of the image that
//! `# syntax=` names.
//!
//! ```text
//! docker build ──session──▶ daemon ──starts──▶ this process
//!                              ▲                   │ stdin, stdout: one HTTP/2 connection,
//!                              └── LLBBridge ◀─────┘ in which this process is the client
//!
//! Ping ─▶ Solve(dockerfile.v0) ─▶ read, evaluate, Solve(own graphs) … ─▶ Return(result or error)
//! ```
//!
//! The frontend never builds anything itself: it describes graphs, and the daemon runs and caches them.
//! stdout belongs to the protocol; stderr goes to the daemon's log, not to the user.
//!
//! Protocol: `frontend/gateway/pb/gateway.proto` of <https://github.com/moby/buildkit>. Not spoken:
//! processes in containers of the gateway (`NewContainer`, `ExecProcess`) and source metadata.

use std::process::ExitCode;

use tonic::transport::Channel;

mod caps;
mod client;
mod delegate;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod opts;
mod platform;
pub(crate) mod proto;
mod refusal;
mod result;
mod status;
#[cfg(test)]
mod tests;
mod transport;

pub(crate) use client::Bridge;
pub(crate) use delegate::{delegate, stage};
pub(crate) use opts::Opts;
pub(crate) use platform::Platform;
pub(crate) use refusal::{exit_code_of, is_not_found};
pub(crate) use result::{Image, Images};

use crate::ask::Hints;
use crate::base::Result;
use crate::base::terminal::tell_line;

/// `EX_SOFTWARE`: the daemon cannot be told what went wrong.
const EXIT_INTERNAL: u8 = 70;

/// The process that BuildKit starts: [`run`] on an event loop of its own.
pub(crate) fn main(frontend: impl AsyncFnOnce(&Bridge, &Opts) -> Result<proto::Result>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(frontend)),
        Err(error) => {
            tell_line(format_args!("error: no event loop: {error}"));
            ExitCode::from(EXIT_INTERNAL)
        }
    }
}

/// Runs `frontend` in the build that started this process, and reports its result or its error there.
///
/// Needs a tokio runtime with I/O and time. The exit code is 0 for a result, 1 for an error the daemon
/// knows of, 70 if it could not be told.
async fn run(frontend: impl AsyncFnOnce(&Bridge, &Opts) -> Result<proto::Result>) -> ExitCode {
    let ended = match transport::stdio().await {
        Ok(channel) => serve(channel, Opts::from_process(), frontend).await,
        Err(error) => Err(error),
    };
    ended.unwrap_or_else(|error| {
        error.print(Hints::default().spelling());
        ExitCode::from(EXIT_INTERNAL)
    })
}

/// One build over `channel`; fails only if the daemon cannot be told how it ended.
async fn serve(
    channel: Channel,
    opts: Result<Opts>,
    frontend: impl AsyncFnOnce(&Bridge, &Opts) -> Result<proto::Result>,
) -> Result<ExitCode> {
    let bridge = Bridge::ping(channel).await?;
    let hints = opts.as_ref().map(Opts::hints).unwrap_or_default();
    let outcome = match opts {
        Ok(opts) => frontend(&bridge, &opts).await,
        Err(error) => Err(error),
    };
    let code = if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    bridge.finish(outcome, hints.spelling()).await.map(|()| code)
}
