//! `vmimage-update`: the next version of a machine with two slots, written into the one that is free.

mod config;
mod source;

#[cfg(feature = "fuzz")]
pub(crate) use source::fuzz;

use std::process::ExitCode;

/// The program.
pub fn main() -> ExitCode {
    let opened = config::Config::read(std::path::Path::new(config::PATH))
        .and_then(|config| source::open_source("-", &config).map(drop));
    match opened {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vmimage-update: {error}");
            ExitCode::FAILURE
        }
    }
}
