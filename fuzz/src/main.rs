//! `make fuzz`: hostile input for every reader. See `docs/security.md`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use fuzz::{Target, campaign, limits, targets, worker};

/// Hostile input for every reader, with a limit of memory and time for each execution.
///
/// Exit code 1 if something was found.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// The targets; all if none is named
    #[arg(env = "FUZZ", value_delimiter = ' ')]
    targets: Vec<String>,
    #[command(flatten)]
    options: campaign::Options,
}

#[derive(Subcommand)]
enum Role {
    /// Read an input again that did harm
    Again {
        target: String,
        file: PathBuf,
        /// Milliseconds it may take
        #[arg(long, default_value_t = limits::TIME.as_millis() as u64)]
        allowed: u64,
    },
    /// Name every target
    List,
    /// Write the whole inputs of a target into a folder
    Seeds { target: String, folder: PathBuf },
    /// The process in which inputs are read
    #[command(hide = true)]
    Worker(worker::Task),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.role {
        Some(Role::Worker(task)) => task.run().map(|()| true),
        Some(Role::Again { target, file, allowed }) => again(&target, &file, allowed),
        Some(Role::List) => {
            targets::ALL.iter().for_each(|target| println!("{}", target.name));
            Ok(true)
        }
        Some(Role::Seeds { target, folder }) => find(&target).and_then(|target| write_seeds(target, &folder)),
        None => chosen(&arguments.targets).and_then(|targets| campaign::run(&targets, &arguments.options)),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fuzz: {error}");
            ExitCode::from(2)
        }
    }
}

fn again(target: &str, file: &Path, allowed: u64) -> io::Result<bool> {
    let target = find(target)?;
    worker::again(target, &std::fs::read(file)?, Duration::from_millis(allowed))?;
    Ok(true)
}

fn write_seeds(target: &Target, folder: &Path) -> io::Result<bool> {
    std::fs::create_dir_all(folder)?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        std::fs::write(folder.join(number.to_string()), seed)?;
    }
    Ok(true)
}

fn chosen(names: &[String]) -> io::Result<Vec<&'static Target>> {
    let names: Vec<_> = names.iter().filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        Ok(targets::ALL.to_vec())
    } else {
        names.into_iter().map(|name| find(name)).collect()
    }
}

fn find(name: &str) -> io::Result<&'static Target> {
    Target::find(name).ok_or_else(|| {
        let known: Vec<_> = targets::ALL.iter().map(|target| target.name).collect();
        io::Error::other(format!("{name} is no target: there are {}", known.join(", ")))
    })
}
