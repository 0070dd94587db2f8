//! The assemble role: inside the build, as a step of the frontend's own image, without network,
//! privileges or a terminal.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use exporter::assemble::{Input, assemble};
use exporter::engine::Progress;
use exporter::error::show_size;
use exporter::spec::Spec;

use crate::cli::Result;

/// Boot loader files built into the frontend image.
const OWN_BOOT_FILES: &str = "/usr/share/vmimage/boot";
/// The program that grows the disk, for the architecture of this image.
const GROW_PROGRAM: &str = "/usr/lib/vmimage/vmimage-grow";

/// Turn a root file system into a disk (the build's own last step).
#[derive(Parser)]
#[command(name = "vmimage assemble")]
struct Args {
    /// The root file system.
    #[arg(long)]
    root: PathBuf,
    /// Folder with the distribution's boot loader files; ours are used if it is not there.
    #[arg(long)]
    boot: PathBuf,
    /// Folder for the disk.
    #[arg(long)]
    output: PathBuf,
    /// What the disk should be, as JSON.
    #[arg(long, value_parser = |text: &str| serde_json::from_str::<Spec>(text))]
    spec: Spec,
}

pub(crate) fn main() -> ExitCode {
    let args = Args::parse_from(std::env::args_os().skip(1));
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print();
            error.exit_code()
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let meter = Meter::new();
    let input = Input {
        root: &args.root,
        boot: vec![&args.boot, Path::new(OWN_BOOT_FILES)],
        grow: std::fs::read(GROW_PROGRAM).ok().map(Arc::from),
        threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        progress: &|progress| meter.show(progress),
    };
    let file = args.output.join(format!("{}.{}", args.spec.name, args.spec.format.extension()));
    let report = assemble(&args.spec, &input, &file)?;
    print!("{report}");
    Ok(())
}

/// Progress as plain lines: a build's log is no terminal. One line every few seconds, if it takes so long.
struct Meter {
    started: Instant,
    shown: Mutex<Instant>,
}

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(2);

impl Meter {
    fn new() -> Self {
        let now = Instant::now();
        Self { started: now, shown: Mutex::new(now) }
    }

    fn show(&self, progress: Progress) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.elapsed() < INTERVAL {
            return;
        }
        *shown = Instant::now();
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = (progress.done as f64 / seconds) as u64;
        let left = (progress.total - progress.done) / rate.max(1);
        println!(
            "{} of {} at {}/s, {left} s left",
            show_size(progress.done),
            show_size(progress.total),
            show_size(rate)
        );
    }
}
