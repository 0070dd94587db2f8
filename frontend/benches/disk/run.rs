//! `vmimage run` of an image and of a build context, from the command to the first line of the program, which is over then: beside
//! the same from a microVM that is there already, and beside the build alone. And how much of an image a boot reads.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::edit::BuildCache;
use crate::machine::{project, vmimage};
use crate::measure::{self, FileSize, Usage};
use crate::microvm::{start, text};
use crate::table::{Record, Report, Table, mb};
use crate::{Options, Result};

const START: &str = "a program is started";
const IMAGE: &str = "vmimage run of an image in the engine";
const READY: &str = "vmimage run of a microVM that is there";

const EDIT: &str = "one line was changed";
const CONTEXT: &str = "vmimage run of the context";
const BY_IMAGE: &str = "docker build, and vmimage run of the image";
const BUILD: &str = "docker build alone";

/// Of the time from an image to its program, by that from a ready microVM.
const READY_LIMIT: f64 = 1.15;

/// What the engine calls the image.
const TAG: &str = "vmimage-bench/run";
/// What the line begins with that the program prints.
const WORD: &str = "the line of ";
/// The same machine for all; of a microVM, as of an image, the agent starts the program, and what it writes is thrown away.
const MACHINE: [&str; 5] = ["--no-network", "-c", "1", "-m", "512M"];
const AS_OF_AN_IMAGE: [&str; 2] = ["--interactive", "--snapshot"];

/// Measure, print the tables, note the goal.
pub(crate) fn run(options: &Options, work: &Path, report: &mut Report) -> Result<()> {
    let scratch = tempfile::tempdir_in(work)?;
    let bench = Bench::new(scratch.path())?;
    // From now on the engine has the kernel in its cache.
    let read = bench.read()?;
    let cache = BuildCache::new()?;
    let outcome = bench.measure(options, report);
    cache.forget_new();
    outcome?;
    print_starts(report);
    print_edits(report);
    read.print();
    Ok(())
}

struct Bench {
    context: PathBuf,
    microvm: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        forget_image();
    }
}

impl Bench {
    /// Makes what is there before anything is measured: the image, and a microVM of the same.
    fn new(scratch: &Path) -> Result<Self> {
        let bench = Self { context: scratch.join("context"), microvm: scratch.join("microvm") };
        std::fs::create_dir(&bench.context)?;
        let dockerfile = project().join("testdata/bench/run.Dockerfile");
        std::fs::copy(dockerfile, bench.context.join("Dockerfile"))?;
        eprintln!("bench: building an image and a microVM");
        bench.edit()?;
        bench.build()?;
        let mut build = Command::new(vmimage()?);
        build.arg("build").arg(&bench.context).arg("-o").arg(&bench.microvm);
        measure::run(build.args(["--profile", "microvm", "--format", "microvm", "--progress", "plain"]))?;
        Ok(bench)
    }

    fn measure(&self, options: &Options, report: &mut Report) -> Result<()> {
        let (rounds, warm_ups) = options.rounds();
        for round in 0..rounds {
            let mut record = |case: &str, who: &str, usage: Usage| {
                let (case, who, warm_up) = (case.to_owned(), who.to_owned(), round < warm_ups);
                report.record(Record { case, who, warm_up, usage, size: FileSize::default() });
            };
            record(START, IMAGE, start_of(self.image(&[])?, WORD)?);
            record(START, READY, start_of(self.ready()?, WORD)?);
            let line = self.edit()?;
            record(EDIT, CONTEXT, start_of(self.machine(&[], &self.context)?, &line)?);
            // Each has an edit of its own, so none finds another's work in the cache.
            self.edit()?;
            record(EDIT, BUILD, self.build()?);
            let line = self.edit()?;
            let built = self.build()?;
            record(EDIT, BY_IMAGE, built + start_of(self.image(&[])?, &line)?);
        }
        Ok(())
    }

    /// Changes the line of the context to one that it never had.
    fn edit(&self) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let line = format!("{WORD}{} ns after 1970", now.as_nanos());
        std::fs::write(self.context.join("line"), format!("{line}\n"))?;
        Ok(line)
    }

    fn build(&self) -> Result<Usage> {
        forget_image();
        measure::run(Command::new("docker").args(["build", "--quiet", "--tag", TAG]).arg(&self.context))
    }

    fn image(&self, more: &[&str]) -> Result<Command> {
        self.machine(more, Path::new(&format!("docker-daemon:{TAG}")))
    }

    fn ready(&self) -> Result<Command> {
        self.machine(&AS_OF_AN_IMAGE, &self.microvm)
    }

    fn machine(&self, more: &[&str], source: &Path) -> Result<Command> {
        let mut command = Command::new(vmimage()?);
        command.env("VMIMAGE_ACCEL", start::accel()?);
        command.arg("run").args(MACHINE).args(more).arg(source);
        Ok(command)
    }

    /// One boot to its end, and what it read.
    fn read(&self) -> Result<Read> {
        let mut command = self.image(&["--stats"])?;
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("{command:?}: {}\n{said}", output.status).into());
        }
        let numbers = said.lines().find_map(numbers);
        let (bytes, root) =
            numbers.ok_or_else(|| format!("{command:?}: does not say what it read:\n{said}"))?;
        let image =
            text(Command::new("docker").args(["image", "inspect", "-f", "{{.Size}}", TAG]))?.parse()?;
        Ok(Read { bytes, root, image })
    }
}

/// What a boot read of its root, in bytes.
struct Read {
    bytes: f64,
    /// Of the root, with what is free in it.
    root: f64,
    /// Of the image, as docker says.
    image: f64,
}

impl Read {
    fn print(&self) {
        println!("## What a boot reads\n");
        println!("Of an image's root, by its machine, until its program is over.\n");
        let mut table = Table::new(&["", "MB", "read by it"]);
        table.row(["read".to_owned(), mb(self.bytes), String::new()]);
        for (what, bytes) in [("the image", self.image), ("its root", self.root)] {
            table.row([what.to_owned(), mb(bytes), format!("{:.3}", self.bytes / bytes)]);
        }
        println!("{table}");
    }
}

/// Of the line that `--stats` makes: `root: 5 bytes of 7 were read`.
fn numbers(line: &str) -> Option<(f64, f64)> {
    let (read, root) = line.strip_prefix("root: ")?.strip_suffix(" were read")?.split_once(" bytes of ")?;
    Some((read.parse().ok()?, root.parse().ok()?))
}

fn start_of(mut command: Command, word: &str) -> Result<Usage> {
    let (seconds, _) = start::until(&mut command, word)?;
    Ok(Usage { seconds, ..Usage::default() })
}

/// Best effort: it may not be there.
fn forget_image() {
    let _ = Command::new("docker").args(["image", "rm", "--force", TAG]).output();
}

fn print_starts(report: &mut Report) {
    println!("## From an image to its program\n");
    println!("From the command to the program's first line, by {}; medians.\n", start::shown());
    let mut table = Table::new(&["", "seconds", "best s", "by the microVM"]);
    let Some(ready) = report.medians(START, READY) else { return };
    for who in [IMAGE, READY] {
        let Some(it) = report.medians(START, who) else { continue };
        let ratio = it.seconds / ready.seconds;
        table.row([
            who.to_owned(),
            format!("{:.2}", it.seconds),
            format!("{:.2}", it.best),
            format!("{ratio:.2}"),
        ]);
        if who == IMAGE {
            report.expect(format!("{IMAGE}: time by {READY}"), ratio, READY_LIMIT);
        }
    }
    println!("{table}");
}

fn print_edits(report: &Report) {
    println!("## From an edit to the program\n");
    println!("One line of the context was changed, until the program prints it; medians.\n");
    let (Some(build), Some(ready)) = (report.medians(EDIT, BUILD), report.medians(START, READY)) else {
        return;
    };
    let both = build.seconds + ready.seconds;
    let mut table = Table::new(&["", "seconds", "by build and boot"]);
    let mut row = |who: &str, seconds: f64| {
        table.row([who.to_owned(), format!("{seconds:.2}"), format!("{:.2}", seconds / both)]);
    };
    for who in [CONTEXT, BY_IMAGE] {
        if let Some(it) = report.medians(EDIT, who) {
            row(who, it.seconds);
        }
    }
    row(BUILD, build.seconds);
    row(READY, ready.seconds);
    println!("{table}");
}
