//! `vmimage`: a bootable disk as one more output of a container build.
//!
//! One binary, several roles; this file only picks the role.

// Text of an image must not reach a terminal as it is: see `base::terminal`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod ask;
mod assemble;
mod base;
mod cli;
mod engine;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod gateway;
mod machines;
mod provision;
mod shim;
mod solve;
mod source;

use std::process::ExitCode;

/// The program.
pub fn main() -> ExitCode {
    // As a client: a program of this name is looked for by docker, nerdctl or a shell.
    if let Some(client) = std::env::args_os().next().and_then(|name| shim::Client::by_name(&name)) {
        return shim::main(client);
    }
    match std::env::args_os().nth(1).as_deref().and_then(|role| role.to_str()) {
        // In a build: BuildKit starts the frontend, the frontend starts the assemble step.
        Some(cli::FRONTEND) => gateway::main(solve::solve),
        Some(cli::ASSEMBLE) => assemble::main(),
        Some(cli::OS_TAR) => assemble::os_tar(),
        // Beside a machine that runs in the background.
        Some(machines::KEEPER) => cli::keep(),
        _ => cli::main(),
    }
}
