//! This program under the name of a client's own: docker's plugin `docker-buildx`, or `buildctl`.
//!
//! ```text
//! docker build, buildx, bake ─▶ docker-buildx (us) ─▶ docker-buildx ─▶ daemon
//! nerdctl build, a shell     ─▶ buildctl      (us) ─▶ buildctl      ─▶ daemon
//! ```
//!
//! Clients and daemons know no exporter but their own, so `--output type=vmdisk,dest=web.qcow2` can be made
//! to work in one place only: in front of the real client. Here that output becomes another one, a tar that
//! is received here, and its attributes build arguments for the frontend. An image of the disk
//! (`type=image,format=containerdisk`) needs the arguments only. A command with neither is not touched: the real
//! client takes this process over.

mod bake;
mod buildctl;
mod csv;
mod destination;
mod docker_buildx;
mod image;
mod line;
mod output;
mod privileges;
mod real;
mod run;
pub(crate) mod slot;
mod stdin;
mod words;

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::ExitCode;

use crate::ask::spelling;
use crate::base::docker::{Places, docker_config};
use line::Line;
#[cfg(feature = "fuzz")]
pub(crate) use output::accept;
use real::Real;
use run::{Act, Stop};
use stdin::Stdin;

/// The client whose name this program was started under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// docker's plugin for builds.
    DockerBuildx,
    /// BuildKit's own client.
    Buildctl,
}

impl Client {
    /// By the name that this program was started under.
    pub(crate) fn by_name(started: &OsStr) -> Option<Self> {
        match Path::new(started).file_name()?.to_str()? {
            "docker-buildx" => Some(Self::DockerBuildx),
            "buildctl" => Some(Self::Buildctl),
            _ => None,
        }
    }
}

/// Does what was typed to the client.
pub(crate) fn main(client: Client) -> ExitCode {
    let mut words = std::env::args_os();
    let started = words.next().unwrap_or_default();
    match run(client, &started, &words.collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Client(code)) => code,
        Err(Stop::Error(error)) => {
            error.print(spelling::attribute);
            error.exit_code()
        }
    }
}

/// Whether what was typed to docker is a build of ours. What cannot be built is an error.
#[cfg(test)]
pub(crate) fn takes_over(words: &[OsString]) -> crate::base::Result<bool> {
    let line = Line::read(words, &docker_buildx::CLIENT).filter(|line| line.command == "build");
    let act = line.map(|line| docker_buildx::build(&line)).transpose()?;
    Ok(act.is_some_and(|act| act != Act::PassOn))
}

fn run(client: Client, started: &OsStr, words: &[OsString]) -> Result<(), Stop> {
    let mut stdin = Stdin::default();
    let (places, line) = match client {
        Client::DockerBuildx => {
            let config = docker_config(docker_buildx::config(words).as_deref());
            (Places::docker_buildx(&config), Line::read(words, &docker_buildx::CLIENT))
        }
        Client::Buildctl => (Places::buildctl(), Line::read(words, &buildctl::CLIENT)),
    };
    let real = Real::find(&places, started)?;
    let act = match (client, &line) {
        (_, None) => Act::PassOn,
        (Client::DockerBuildx, Some(line)) if line.command == "bake" => bake::bake(line, &real, &mut stdin)?,
        (Client::DockerBuildx, Some(line)) => docker_buildx::build(line)?,
        (Client::Buildctl, Some(line)) => buildctl::build(line)?,
    };
    let words = match act {
        Act::PassOn => words.to_vec(),
        Act::Instead(words) => words,
        Act::Run(plan) => return plan.carry_out(&real, stdin),
    };
    let mut command = real.command();
    let stdin = stdin.for_run().map_err(|error| real.cannot_start(error))?;
    // Comes back only if it fails.
    Err(real.cannot_start(command.args(words).stdin(stdin).exec()).into())
}
