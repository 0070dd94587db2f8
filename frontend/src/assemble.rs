//! The assemble role: inside the build, as a step of the frontend's own image, without network,
//! privileges or a terminal.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use exporter::assemble::{Input, assemble};
use exporter::spec::Spec;

use crate::cli::{Error, PlainProgress};

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

fn run(args: &Args) -> Result<(), Error> {
    let input = Input {
        root: &args.root,
        boot: vec![&args.boot, Path::new(OWN_BOOT_FILES)],
        grow_program: std::fs::read(GROW_PROGRAM).ok().map(Arc::from),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let file = args.output.join(format!("{}.{}", args.spec.name, args.spec.format.extension()));
    let report = assemble(&args.spec, &input, &file, &PlainProgress::default())?;
    print!("{report}");
    Ok(())
}
