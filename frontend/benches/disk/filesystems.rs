//! The file systems' table: those that are made here beside their own tools, and how their memory grows.
//!
//! ext4 has the exporter's table. Here a process of ours does what `mkfs.erofs` and `mkswap` do, a file system without a
//! disk around it, by the library that makes disks.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use exporter::container::{self, Appliance, Compression, Format, Target};
use exporter::engine::{RawImage, Run};
use exporter::fs::{Contents, erofs, swap};
use exporter::seed::Seed;
use exporter::tree::{HostDir, Time, scan};

use crate::measure::{self, FileSize, Usage};
use crate::synthetic::Load;
use crate::table::{Record, Report, Table, mb, mib};
use crate::trees::{self, Tree};
use crate::{Options, Result, this_program};

/// The first argument of the process that makes a file system.
pub(crate) const ROLE: &str = "file-system";
const OURS: &str = "vmimage";
/// Of ours by the tool.
const TIME_LIMIT: f64 = 0.5;
const SIZE_LIMIT: f64 = 1.03;
/// MB of content, the second by the first what memory must not follow.
const CONTENT: [u64; 2] = [500, 4000];
const MEMORY_STEP_LIMIT: f64 = 1.1;
const SWAP_SIZE: u64 = 2 << 30;
/// What sizes are divided by for a quick look.
const QUICK: u64 = 50;

/// A file system, of a tree if it has files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Erofs,
    Swap,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Erofs => "erofs",
            Self::Swap => "swap",
        }
    }

    fn tool(self) -> &'static str {
        match self {
            Self::Erofs => "mkfs.erofs",
            Self::Swap => "dd + mkswap",
        }
    }

    /// By a process of ours.
    fn ours(self, from: &Path, size: u64, output: &Path) -> Result<Usage> {
        let mut command = this_program()?;
        measure::run(command.args([ROLE, self.name(), &size.to_string()]).arg(from).arg(output))
    }

    /// As people do it by hand.
    fn theirs(self, from: &Path, size: u64, output: &Path) -> Result<Usage> {
        match self {
            Self::Erofs => measure::run(Command::new("mkfs.erofs").arg(output).arg(from)),
            Self::Swap => {
                let mut output_file = std::ffi::OsString::from("of=");
                output_file.push(output);
                let count = format!("count={}", size >> 20);
                let mut dd = Command::new("dd");
                let zeroes = measure::run(dd.args(["if=/dev/zero", "bs=1M", &count]).arg(output_file))?;
                Ok(zeroes + measure::run(Command::new("mkswap").arg(output))?)
            }
        }
    }
}

/// The process of ours: `file-system KIND SIZE TREE OUTPUT`.
pub(crate) fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(2);
    let mut next = || arguments.next().ok_or("usage: file-system KIND SIZE TREE OUTPUT");
    let (kind, size) = (next()?, next()?.to_string_lossy().parse()?);
    let (from, output) = (PathBuf::from(next()?), PathBuf::from(next()?));
    let (label, uuid) = ("bench".to_owned(), Seed::new(b"bench").uuid("file system"));
    let contents = if kind == Kind::Swap.name() {
        swap::plan(size, &swap::Options { label, uuid })?
    } else {
        let tree = Arc::new(scan(&HostDir::open(&from)?, threads(), &mut |_| {})?);
        let created = Time { seconds: 1_700_000_000, nanoseconds: 0 };
        let draft = erofs::Draft::new(&tree, &erofs::Options { label, uuid, created })?;
        draft.plan(draft.size())?
    };
    write(&contents, output)
}

fn write(contents: &Contents, path: PathBuf) -> Result<()> {
    let (compression, id) = (Compression::None, Seed::new(b"bench").uuid("disk"));
    let target =
        Target { path, format: Format::Raw, compression, id, appliance: Appliance::default(), sparse: false };
    let image = RawImage { size: contents.size, extents: &*contents.extents };
    Ok(container::write(image, &[target], &Run::silent(threads()))?)
}

fn threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Measure, print the table, note the goals.
pub(crate) fn run(options: &Options, work: &Path, report: &mut Report) -> Result<()> {
    let divisor = if options.quick { QUICK } else { 1 };
    let tree = Tree::usr(work, options.quick)?;
    tree.warm()?;
    let swap_size = (SWAP_SIZE / divisor).next_multiple_of(1 << 20);
    let cases = [
        (Kind::Erofs, format!("erofs: {}", tree.name), tree.path.clone(), 0),
        (Kind::Swap, format!("swap: {} MiB", swap_size >> 20), PathBuf::new(), swap_size),
    ];
    for (kind, case, from, size) in &cases {
        contest(options, work, report, (*kind, case), from, *size)?;
        expect(report, case, kind.tool());
    }
    let mut cases: Vec<_> = cases.into_iter().map(|(_, case, ..)| case).collect();
    cases.extend(growth(options, work, report, CONTENT.map(|amount| amount / divisor))?);
    print(options, report, &cases);
    Ok(())
}

/// Ours and theirs in turn.
fn contest(
    options: &Options,
    work: &Path,
    report: &mut Report,
    (kind, case): (Kind, &str),
    from: &Path,
    size: u64,
) -> Result<()> {
    let scratch = tempfile::tempdir_in(work)?;
    let output = scratch.path().join("file-system");
    let (rounds, warm_ups) = options.rounds();
    for round in 0..rounds {
        for is_ours in [true, false] {
            let usage =
                if is_ours { kind.ours(from, size, &output) } else { kind.theirs(from, size, &output) }?;
            let (case, who) = (case.to_owned(), if is_ours { OURS } else { kind.tool() }.to_owned());
            let size = FileSize::of(&output)?;
            report.record(Record { case, who, warm_up: round < warm_ups, usage, size });
            measure::settle(&[&output]);
        }
    }
    Ok(())
}

/// EROFS of trees of one kind, the second larger than the first: its memory is to stay.
fn growth(options: &Options, work: &Path, report: &mut Report, amounts: [u64; 2]) -> Result<Vec<String>> {
    let mut cases = Vec::new();
    for amount in amounts {
        let scratch = tempfile::tempdir_in(work)?;
        let tree = scratch.path().join("tree");
        measure::run(&mut Load::Content.command(amount, &tree)?)?;
        rustix::fs::sync();
        trees::warm(&tree)?;
        let case = format!("erofs: {}", Load::Content.tree(amount));
        contest(options, work, report, (Kind::Erofs, &case), &tree, 0)?;
        cases.push(case);
    }
    let peaks: Vec<_> =
        cases.iter().filter_map(|case| report.medians(case, OURS)).map(|it| it.peak).collect();
    if let [small, large] = peaks[..] {
        report.expect("erofs: memory by that of less content".to_owned(), large / small, MEMORY_STEP_LIMIT);
    }
    Ok(cases)
}

fn expect(report: &mut Report, case: &str, tool: &str) {
    let (Some(ours), Some(theirs)) = (report.medians(case, OURS), report.medians(case, tool)) else { return };
    report.expect(format!("{case}: time by {tool}"), ours.seconds / theirs.seconds, TIME_LIMIT);
    report.expect(format!("{case}: size by {tool}"), ours.length / theirs.length, SIZE_LIMIT);
}

fn print(options: &Options, report: &Report, cases: &[String]) {
    let (rounds, warm_ups) = options.rounds();
    println!("## File systems\n");
    println!("Medians of {} rounds, warm cache, in turn.\n", rounds - warm_ups);
    let mut table =
        Table::new(&["file system", "by", "seconds", "ours / it", "cpu s", "peak MiB", "MB", "on disk MB"]);
    for case in cases {
        let Some(ours) = report.medians(case, OURS) else { continue };
        for who in report.contenders(case) {
            let Some(it) = report.medians(case, who) else { continue };
            table.row([
                case.clone(),
                who.to_owned(),
                format!("{:.2}", it.seconds),
                format!("{:.2}", ours.seconds / it.seconds),
                format!("{:.2}", it.cpu_seconds),
                mib(it.peak),
                mb(it.length),
                mb(it.allocated),
            ]);
        }
    }
    println!("{table}");
}
