//! The file systems' table: those that are made here beside what people make them by, and how their memory grows.
//!
//! ext4 has the exporter's table. Here a process of ours makes a file system without a disk around it, by the library that
//! makes disks.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use exporter::container::{self, Compression, Format, Target};
use exporter::engine::{RawImage, Run};
use exporter::fs::erofs::{self, Algorithm};
use exporter::fs::{Contents, swap};
use exporter::seed::Seed;
use exporter::tree::{HostDir, Time, scan};

use crate::contenders::by_loop;
use crate::frontend;
use crate::measure::{self, FileSize, Usage};
use crate::synthetic::Load;
use crate::table::{self, Record, Report};
use crate::trees::{self, Tree};
use crate::{Options, Result, this_program};

/// The first argument of the process that makes a file system.
pub(crate) const ROLE: &str = "file-system";
const OURS: &str = "vmimage";
/// Of an EROFS of ours by the tool. What takes milliseconds has none, nor what others' tools make.
const TIME_LIMIT: f64 = 0.5;
/// MB of content, which memory must not follow. A slow disk has more chunks wait for it, up to a number that does not grow.
const CONTENT: [u64; 2] = [500, 4000];
const MEMORY_STEP_LIMIT: f64 = 1.5;
const SWAP_SIZE: u64 = 2 << 30;
/// What sizes are divided by for a quick look.
const QUICK: u64 = 50;

/// A file system, and how it is made.
struct FileSystem {
    name: &'static str,
    ours: Ours,
    theirs: Theirs,
    /// Of the size of ours by theirs.
    size_limit: f64,
}

enum Ours {
    Erofs(Option<Algorithm>),
    Swap,
    /// By the tools of the frontend image, as the step of a build runs them: a disk with this file system alone.
    Tools(&'static str),
}

/// As people do it by hand.
enum Theirs {
    /// `mkfs.erofs` with these options.
    MkfsErofs(&'static [&'static str]),
    /// On a loop device by this program with its options, and what has files is mounted for them.
    Loop(&'static [&'static str]),
}

const FILE_SYSTEMS: [FileSystem; 6] = [
    FileSystem { name: "erofs", ours: Ours::Erofs(None), theirs: Theirs::MkfsErofs(&[]), size_limit: 1.03 },
    FileSystem {
        name: "erofs lz4",
        ours: Ours::Erofs(Some(Algorithm::Lz4)),
        theirs: Theirs::MkfsErofs(&["-zlz4", "-C65536"]),
        size_limit: 1.1,
    },
    FileSystem {
        name: "erofs zstd",
        ours: Ours::Erofs(Some(Algorithm::Zstd)),
        theirs: Theirs::MkfsErofs(&["-zzstd", "-C65536"]),
        size_limit: 1.1,
    },
    FileSystem { name: "swap", ours: Ours::Swap, theirs: Theirs::Loop(&["mkswap"]), size_limit: 1.0 },
    FileSystem {
        name: "xfs",
        ours: Ours::Tools("xfs"),
        theirs: Theirs::Loop(&["mkfs.xfs"]),
        size_limit: 1.1,
    },
    FileSystem {
        name: "btrfs",
        ours: Ours::Tools("btrfs"),
        theirs: Theirs::Loop(&["mkfs.btrfs"]),
        size_limit: 1.1,
    },
];

impl FileSystem {
    /// Whether it is of files.
    fn has_files(&self) -> bool {
        !matches!(self.ours, Ours::Swap)
    }

    /// By a process of ours.
    fn ours(&self, from: &Path, size: u64, output: &Path) -> Result<Usage> {
        if let Ours::Tools(file_system) = self.ours {
            return frontend::make(file_system, from, size, output);
        }
        let mut command = this_program()?;
        measure::run(command.args([ROLE, self.name, &size.to_string()]).arg(from).arg(output))
    }
}

impl Theirs {
    fn name(&self) -> String {
        match self {
            Self::MkfsErofs(options) => [&["mkfs.erofs"], *options].concat().join(" "),
            Self::Loop(command) => format!("loop + {}", command.join(" ")),
        }
    }

    /// Whether this machine's program knows what is asked of it.
    fn is_known(&self) -> bool {
        let Self::MkfsErofs([compressor, ..]) = self else { return true };
        let help = Command::new("mkfs.erofs").arg("--help").output();
        let compressor = compressor.trim_start_matches("-z");
        help.is_ok_and(|help| {
            [help.stdout, help.stderr].iter().any(|said| String::from_utf8_lossy(said).contains(compressor))
        })
    }

    fn run(&self, from: Option<&Path>, size: u64, output: &Path) -> Result<Usage> {
        match self {
            Self::MkfsErofs(options) => {
                measure::run(Command::new("mkfs.erofs").args(*options).arg(output).args(from))
            }
            Self::Loop(command) => by_loop(command, from, size, output),
        }
    }
}

/// The process of ours: `file-system NAME SIZE TREE OUTPUT`.
pub(crate) fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(2);
    let mut next = || arguments.next().ok_or("usage: file-system NAME SIZE TREE OUTPUT");
    let (name, size) = (next()?, next()?.to_string_lossy().parse()?);
    let (from, output) = (PathBuf::from(next()?), PathBuf::from(next()?));
    let file_system = FILE_SYSTEMS.iter().find(|it| name == it.name).ok_or("no such file system")?;
    let run = Run { spool: output.parent().unwrap_or(Path::new(".")), ..Run::silent(threads()) };
    let (label, uuid) = ("bench".to_owned(), Seed::new(b"bench").uuid("file system"));
    let contents = match file_system.ours {
        Ours::Swap => swap::plan(size, &swap::Options { label, uuid })?,
        Ours::Erofs(compression) => {
            let tree = Arc::new(scan(&HostDir::open(&from)?, threads(), &mut |_| {})?);
            let created = Time { seconds: 1_700_000_000, nanoseconds: 0 };
            let draft =
                erofs::Draft::new(&tree, &erofs::Options { label, uuid, created, compression }, &run)?;
            draft.plan(draft.size())?
        }
        Ours::Tools(_) => return Err("made by the frontend image".into()),
    };
    write(&contents, &output, &run)
}

fn write(contents: &Contents, path: &Path, run: &Run<'_>) -> Result<()> {
    let (compression, id) = (Compression::None, Seed::new(b"bench").uuid("disk"));
    let target = Target::new(path.to_owned(), Format::Raw, compression, id);
    let image = RawImage { size: contents.size, extents: &*contents.extents };
    Ok(container::write(image, &[target], run)?)
}

fn threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Room for what others' tools make, in bytes: a build takes more for enough than a careful user does.
fn tools_room(tree: &Tree) -> u64 {
    (tree.disk_size() / 2 * 3).next_multiple_of(1 << 20)
}

/// Measure, print the table, note the goals.
pub(crate) fn run(options: &Options, work: &Path, report: &mut Report) -> Result<()> {
    let divisor = if options.quick { QUICK } else { 1 };
    let tree = Tree::usr(work, options.quick)?;
    tree.warm()?;
    let swap_size = (SWAP_SIZE / divisor).next_multiple_of(1 << 20);
    let mut cases = Vec::new();
    for file_system in &FILE_SYSTEMS {
        let (what, size) = match file_system.ours {
            Ours::Erofs(_) => (tree.name.to_owned(), 0),
            Ours::Tools(_) => (tree.name.to_owned(), tools_room(&tree)),
            Ours::Swap => (format!("{} MiB", swap_size >> 20), swap_size),
        };
        let case = format!("{}: {what}", file_system.name);
        contest(options, work, report, (file_system, &case), &tree.path, size)?;
        expect(report, &case, file_system);
        cases.push(case);
    }
    for file_system in FILE_SYSTEMS.iter().filter(|it| matches!(it.ours, Ours::Erofs(_))) {
        cases.extend(growth(options, work, report, file_system, CONTENT.map(|amount| amount / divisor))?);
    }
    let (rounds, warm_ups) = options.rounds();
    println!("## File systems\n");
    println!("Medians of {} rounds, warm cache, in turn.\n", rounds - warm_ups);
    println!("{}", table::contest(report, "file system", OURS, &cases));
    Ok(())
}

/// Ours and theirs in turn.
fn contest(
    options: &Options,
    work: &Path,
    report: &mut Report,
    (file_system, case): (&FileSystem, &str),
    from: &Path,
    size: u64,
) -> Result<()> {
    let scratch = tempfile::tempdir_in(work)?;
    let output = scratch.path().join("file-system");
    let (rounds, warm_ups) = options.rounds();
    let theirs = Some(&file_system.theirs).filter(|theirs| theirs.is_known());
    if theirs.is_none() {
        eprintln!("bench: skipped: {} is not known to this machine's", file_system.theirs.name());
    }
    for round in 0..rounds {
        let mut record = |who: String, usage: Result<Usage>| -> Result<()> {
            let (usage, size) = (usage?, FileSize::of(&output)?);
            report.record(Record { case: case.to_owned(), who, warm_up: round < warm_ups, usage, size });
            measure::settle(&[&output]);
            Ok(())
        };
        record(OURS.to_owned(), file_system.ours(from, size, &output))?;
        if let Some(theirs) = theirs {
            let from = Some(from).filter(|_| file_system.has_files());
            record(theirs.name(), theirs.run(from, size, &output))?;
        }
    }
    Ok(())
}

/// A file system of trees of one kind, the second larger than the first: its memory is to stay.
fn growth(
    options: &Options,
    work: &Path,
    report: &mut Report,
    file_system: &FileSystem,
    amounts: [u64; 2],
) -> Result<Vec<String>> {
    let mut cases = Vec::new();
    for amount in amounts {
        let scratch = tempfile::tempdir_in(work)?;
        let tree = scratch.path().join("tree");
        measure::run(&mut Load::Content.command(amount, &tree)?)?;
        rustix::fs::sync();
        trees::warm(&tree)?;
        let case = format!("{}: {}", file_system.name, Load::Content.tree(amount));
        contest(options, work, report, (file_system, &case), &tree, 0)?;
        cases.push(case);
    }
    let peaks: Vec<_> =
        cases.iter().filter_map(|case| report.medians(case, OURS)).map(|it| it.peak).collect();
    if let [small, large] = peaks[..] {
        let what = format!("{}: memory by that of less content", file_system.name);
        report.expect(what, large / small, MEMORY_STEP_LIMIT);
    }
    Ok(cases)
}

fn expect(report: &mut Report, case: &str, file_system: &FileSystem) {
    let tool = file_system.theirs.name();
    let (Some(ours), Some(theirs)) = (report.medians(case, OURS), report.medians(case, &tool)) else {
        return;
    };
    if matches!(file_system.ours, Ours::Erofs(_)) {
        report.expect(format!("{case}: time by {tool}"), ours.seconds / theirs.seconds, TIME_LIMIT);
    }
    report.expect(format!("{case}: size by {tool}"), ours.length / theirs.length, file_system.size_limit);
}
