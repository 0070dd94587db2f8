//! `vmimage clone`: a copy of a disk with identities of its own, so that both can be in one machine.

use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use exporter::clone;
use exporter::container::{self, Compression, Format, Target};
use exporter::fs::DiskBudget;
use exporter::seed::Seed;
use exporter::spec::Spec;
use exporter::terminal::line;

use super::output;
use crate::ask::help_of;
use crate::base::disk::{DiskInfo, Made};
use crate::base::make::{Making, is_stdout, threads};
use crate::base::{Error, Result, ShowArgs, Stage, interrupt, terminal};

/// Copy a disk, and give the copy new UUIDs everywhere.
///
/// A machine finds its disks by the UUIDs on them: with a plain copy in it beside the first, nobody knows which
/// of the two becomes `/`. The copy's partition table and file systems get new ones, and so does every text in
/// /etc, in /boot and on the EFI system partition that names them. No root, nothing is mounted, the disk is only
/// read. Its file systems have to be unmounted cleanly.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The disk, in any format: told by what is in the file, not by its name
    disk: PathBuf,
    #[arg(short, long, value_name = "FILE", required = true, help = output::output_help())]
    output: Vec<PathBuf>,
    /// The format, whatever the extension says; with several outputs, one for each, in their order
    #[arg(long, value_parser = output::format_parser())]
    format: Vec<Format>,
    #[arg(long, value_parser = output::compression_parser(), help = help_of("compression"))]
    compression: Option<Compression>,
    /// Make the UUIDs of these words, so that the same copy can be made again [default: random ones]
    #[arg(long, value_name = "WORDS")]
    seed: Option<String>,
    /// Threads that read and compress; no byte depends on their number
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    show: ShowArgs,
}

const EXAMPLES: &str = "\
Examples:
  vmimage clone web.qcow2 -o repair.qcow2
  vmimage clone web.qcow2 -o web.vhdx          the copy in another format
  vmimage clone web.qcow2 -o two.qcow2 --seed two";

/// Makes the copy and says what is new in it.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if is_stdout(&args.output[0]) {
        terminal::refuse_terminal("-o -")?;
        output::refuse_json(args.show.json)?;
    }
    let formats = output::formats(&args.output, &args.format)?;
    let spec = Spec { formats, compression: args.compression, ..Spec::default() };
    let compressions = spec.compressions()?;
    output::check(&args.output, &spec.formats)?;
    let stop = interrupt::flag()?;
    let meter = args.show.meter();
    meter.begin(Stage::Planning);
    let (_, image) = container::open(&args.disk)?;
    let budget = DiskBudget::new(DiskInfo::read(&args.disk)?.actual_size);
    let copy = clone::plan(image, &seed(args)?, &budget).map_err(|error| in_disk(args, error))?;
    let files = args.output.iter().zip(spec.formats.iter().zip(compressions));
    let targets =
        files.map(|(path, (&format, compression))| Target::new(path.clone(), format, compression, copy.id));
    let threads = args.threads.unwrap_or_else(threads);
    let making = Making { threads, meter: &meter, stop: &stop };
    let written = making.write(copy.image(), targets.collect())?;
    tell(args, &copy.notes, &written)?;
    Ok(ExitCode::SUCCESS)
}

/// That of the words, or else one that nobody has seen before.
fn seed(args: &Args) -> Result<Seed> {
    if let Some(words) = &args.seed {
        return Ok(Seed::new(words.as_bytes()));
    }
    let mut bytes = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|error| Error::internal("/dev/urandom: cannot be read").because(error))?;
    Ok(Seed::new(&bytes))
}

fn in_disk(args: &Args, error: exporter::Error) -> Error {
    let place = args.disk.display();
    let hint = error.hint().cloned();
    let error = Error::user(format!("{place}: {error}"));
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn tell(args: &Args, notes: &[String], written: &[Target]) -> Result<()> {
    if written.is_empty() || args.show.quiet && !args.show.json {
        return Ok(());
    }
    let made = written.iter().map(|target| Made::read(&target.path)).collect::<Result<Vec<_>>>()?;
    if args.show.json {
        return crate::base::terminal::print_json(&serde_json::json!({ "disks": made, "new": notes }));
    }
    let mut text = String::new();
    notes.iter().for_each(|note| text += &format!("{}\n", line(note)));
    made.iter().for_each(|disk| text += &format!("{disk}\n"));
    terminal::print(&text)
}
