//! A bootable disk is one more output of a container build.

use std::process::ExitCode;

#[allow(dead_code, unused_imports, reason = "the solve step needs the rest of it")]
mod gateway;

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(role) if role == "frontend" => frontend(),
        _ => {
            eprintln!("usage: vmimage frontend");
            ExitCode::FAILURE
        }
    }
}

/// The role in which BuildKit starts this program.
fn frontend() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no event loop: {error}");
            return ExitCode::from(70);
        }
    };
    runtime.block_on(gateway::run(gateway::delegate))
}
