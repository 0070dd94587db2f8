//! `vmimage export`: the files of a machine, out of its disk.

mod output;

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use exporter::engine::Progress;
use exporter::export::{self, Export, Exported, Machine};
use exporter::fs::DiskBudget;
use exporter::terminal::line;
use exporter::{Kind, container};
use serde::Serialize;

use super::output::refuse_json;
use crate::base::disk::DiskInfo;
use crate::base::{Error, Meter, Result, ShowArgs, Stage, interrupt, terminal};
use output::{Output, Place};

/// Bring the files of a machine back, as a tar or as an image of a container.
///
/// The files are those of the disk's root, with the partitions that its /etc/fstab mounts in their places: owners, modes,
/// times, extended attributes, ACLs, hard links, holes and devices are those of the disk. No root, nothing is mounted, the
/// disk is only read. Its file systems have to be unmounted cleanly.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The disk, in any format: told by what is in the file, not by its name
    disk: PathBuf,
    /// A file .tar, oci: and an empty folder for an image, or - for a tar to stdout
    #[arg(short, long, value_name = "OUTPUT", required = true)]
    output: Output,
    /// The partition with the root, by its number or its label [default: the one that has a system]
    #[arg(long, value_name = "PARTITION")]
    root: Option<String>,
    #[command(flatten)]
    show: ShowArgs,
}

const EXAMPLES: &str = "\
Examples:
  vmimage export web.qcow2 -o web.tar
  vmimage export web.qcow2 -o - | docker import - web        an image without its configuration
  vmimage export web.qcow2 -o oci:web                        with what its container had (ENTRYPOINT, ENV …)
  vmimage convert oci:web -o again.qcow2                     and there again
  vmimage export fleet.qcow2 --root root-b -o b.tar          of two systems that one";

/// Writes the files, and says what is not among them.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.output.is_stdout() {
        terminal::refuse_terminal("-o -")?;
        refuse_json(args.show.json)?;
    }
    let stop = interrupt::flag()?;
    let meter = args.show.meter();
    meter.begin(Stage::Planning);
    let (_, disk) = container::open(&args.disk)?;
    let budget = DiskBudget::new(DiskInfo::read(&args.disk)?.actual_size);
    let place = args.output.place()?;
    let machine = export::find(disk, args.root.as_deref(), &budget).map_err(|error| in_disk(args, error))?;
    let job = Job { args, machine: &machine, budget: &budget, meter: &meter, stop: &stop };
    let exported = match place {
        Place::Stdout => job.tar(&mut std::io::stdout().lock())?,
        Place::File(file) => file.write(|out| job.tar(out))?,
        Place::Layout(folder) => folder.write(|out| job.write(true, out))?,
    };
    meter.finish();
    tell(args, &exported)?;
    Ok(ExitCode::SUCCESS)
}

/// A disk that is being exported.
struct Job<'a> {
    args: &'a Args,
    machine: &'a Machine,
    budget: &'a DiskBudget,
    meter: &'a Meter,
    stop: &'a AtomicBool,
}

impl Job<'_> {
    fn tar(&self, out: &mut dyn Write) -> Result<Exported> {
        let mut out = BufWriter::with_capacity(1 << 20, out);
        let exported = self.write(false, &mut out)?;
        out.flush().map_err(|error| Error::user("the tar: cannot be written").because(error))?;
        Ok(exported)
    }

    fn write(&self, is_layer: bool, out: &mut dyn Write) -> Result<Exported> {
        let (mut done, total) = (0, self.machine.used);
        self.meter.begin(Stage::Writing);
        let mut seen = |bytes| {
            done += bytes;
            self.meter.show(Stage::Writing, Progress { done, total: total.max(done) });
            match self.stop.load(Ordering::Relaxed) {
                true => Err(exporter::Error::new(Kind::Interrupted, "", "interrupted")),
                false => Ok(()),
            }
        };
        let export = Export { machine: self.machine, budget: self.budget, is_layer };
        let exported = export.write_tar(out, &mut seen).map_err(|error| in_disk(self.args, error))?;
        // What was in use was a guess.
        self.meter.show(Stage::Writing, Progress { done: exported.bytes, total: exported.bytes });
        Ok(exported)
    }
}

fn in_disk(args: &Args, error: exporter::Error) -> Error {
    if !matches!(error.kind(), Kind::Unsupported | Kind::Corrupt | Kind::NotFound | Kind::Input) {
        return error.into();
    }
    let place = args.disk.display();
    let hint = error.hint().cloned();
    let error = Error::user(format!("{place}: {error}"));
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// What programs are told.
#[derive(Serialize)]
struct Told<'a> {
    output: String,
    files: u64,
    bytes: u64,
    architecture: Option<&'static str>,
    left_out: &'a [String],
}

fn tell(args: &Args, exported: &Exported) -> Result<()> {
    let Exported { files, bytes, noticed, notes } = exported;
    if args.show.json {
        let architecture = noticed.architecture.map(|architecture| architecture.oci_name());
        let told = Told {
            output: args.output.to_string(),
            files: *files,
            bytes: *bytes,
            architecture,
            left_out: notes,
        };
        return terminal::print_json(&told);
    }
    if args.show.quiet {
        return Ok(());
    }
    let mut text: String = notes.iter().map(|note| format!("{}\n", line(note))).collect();
    let size = exporter::error::show_size(*bytes);
    text += &format!("{}: {files} files, {size}\n", line(&args.output.to_string()));
    match args.output.is_stdout() {
        true => terminal::tell(&text),
        false => terminal::print(&text)?,
    }
    Ok(())
}
