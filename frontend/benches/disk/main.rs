//! The benchmark of the disk exporter: ours, what others use, and what no program can beat, in one run.
//!
//! `make bench` prepares the machine and runs it; options follow `--`, as in
//! `cargo bench -p vmimage --bench disk -- --only growth`. It needs root: one contender mounts.
//!
//! Every measured step is a process of its own, the floors included, so that all are judged alike and
//! this process stays small (a child's peak memory begins as its parent's). Figures are medians.

mod contenders;
mod edit;
mod filesystems;
mod fleet;
mod floor;
mod formats;
mod frontend;
mod growth;
mod iso;
mod luks;
mod machine;
mod measure;
mod microvm;
mod run;
mod stable;
mod synthetic;
mod table;
mod trees;
mod update;
mod verity;
#[path = "../../tests/web/version.rs"]
mod version;
#[path = "../../tests/web/web.rs"]
mod web;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, ValueEnum};

use table::Report;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Time the disk exporter against its contenders and its floors.
#[derive(Parser)]
struct Options {
    /// Rounds; the first warms up and is not counted
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Run one part
    #[arg(long)]
    only: Option<Part>,
    /// Where trees and disks lie; the trees of the first table stay there for the next time
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench"))]
    work: PathBuf,
    /// Write every single measurement here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// One round on small trees, to see whether everything works
    #[arg(long)]
    quick: bool,
    /// Given by `cargo bench`; `cargo test --all-targets` does not
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Exporter,
    Growth,
    Edit,
    /// A machine starts on disks far larger than it was built for
    Grow,
    /// Of a tree, without a disk around it
    Filesystems,
    /// Fifty machines update themselves at once, and one version is bad
    Fleet,
    /// What an update moves when one file was edited
    Update,
    /// An ext4 that is laid out as that of the last build
    Stable,
    /// From QEMU's start to the program of an image
    Microvm,
    /// A kernel, an initramfs and a disk as one medium
    Iso,
    /// The hashes of a root, beside veritysetup
    Verity,
    /// An image in a LUKS volume
    Luks,
    /// From an image or an edit to its program in a machine
    Run,
}

impl Options {
    /// Rounds to run, and how many of the first are not counted.
    fn rounds(&self) -> (u32, u32) {
        match if self.quick { 1 } else { self.runs } {
            1 => (1, 0),
            runs => (runs, 1),
        }
    }
}

fn main() -> ExitCode {
    let outcome = match std::env::args_os().nth(1).as_deref().and_then(|role| role.to_str()) {
        Some(floor::ROLE) => floor::main(),
        Some(synthetic::ROLE) => synthetic::main(),
        Some(machine::ROLE) => machine::main(),
        Some(filesystems::ROLE) => filesystems::main(),
        Some(iso::ROLE) => iso::main(),
        Some(luks::ROLE) => luks::main(),
        Some(fleet::ROLE) => return guest::update::main(),
        Some(stable::ROLE) => stable::main(),
        Some(verity::ROLE) => verity::main(),
        _ => bench(&Options::parse()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(options: &Options) -> Result<()> {
    if !options.bench {
        return Ok(());
    }
    measure::outlive_interrupts()?;
    std::fs::create_dir_all(&options.work)?;
    let work = options.work.canonicalize()?;
    let mut report = Report::default();
    let outcome = parts(options, &work, &mut report);
    // What was measured before a failure is not lost.
    if let Some(file) = &options.json {
        report.write_json(file)?;
    }
    report.print_goals();
    outcome
}

fn parts(options: &Options, work: &Path, report: &mut Report) -> Result<()> {
    let wanted = |part| options.only.is_none_or(|only| only == part);
    if wanted(Part::Exporter) {
        formats::run(options, work, report)?;
    }
    if wanted(Part::Growth) {
        growth::run(options, work, report)?;
    }
    if wanted(Part::Edit) {
        edit::run(options, work, report)?;
    }
    if wanted(Part::Grow) {
        machine::run(options, work, report)?;
    }
    if wanted(Part::Filesystems) {
        filesystems::run(options, work, report)?;
    }
    if wanted(Part::Fleet) {
        fleet::run(options, work, report)?;
    }
    if wanted(Part::Update) {
        update::run(options, work, report)?;
    }
    if wanted(Part::Stable) {
        stable::run(options, work, report)?;
    }
    if wanted(Part::Microvm) {
        microvm::run(options, work, report)?;
    }
    if wanted(Part::Iso) {
        iso::run(options, work, report)?;
    }
    if wanted(Part::Verity) {
        verity::run(options, work, report)?;
    }
    if wanted(Part::Luks) {
        luks::run(options, work, report)?;
    }
    if wanted(Part::Run) {
        run::run(options, work, report)?;
    }
    Ok(())
}

/// This program again, as a process that can be measured.
fn this_program() -> Result<Command> {
    Ok(Command::new(std::env::current_exe()?))
}
