//! `vmimage`: a bootable disk as one more output of a container build.
//!
//! One binary, several roles; this file only picks the role.

mod cli;
mod engine;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
