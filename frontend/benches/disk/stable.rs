//! Stable placement: what it costs to lay a file system out as the last build did, and how few blocks it leaves to differ.

use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exporter::container::{self, Compression, Format, Target};
use exporter::engine::{RawImage, Run};
use exporter::fs::ext4::{Draft, Options as Ext4, Placement};
use exporter::seed::Seed;
use exporter::tree::{HostDir, Time, scan};

use crate::measure::{self, FileSize};
use crate::synthetic::Load;
use crate::table::{Record, Report, Table, mb};
use crate::{Options, Result, this_program};

/// The first argument of the process that makes a file system.
pub(crate) const ROLE: &str = "stable";
const FRESH: &str = "placed anew";
const KEPT: &str = "as the last build";
/// Small files of the tree: with them it has half a gigabyte.
const FILES: u64 = 20_000;
/// MB of large ones.
const CONTENT: u64 = 480;
/// Bytes that a file grows by.
const GROWTH: usize = 10_000;
const BLOCK: usize = 64 << 10;
const TIME_LIMIT: f64 = 1.05;
/// Share of the blocks that differ.
const DIFFERENT_LIMIT: f64 = 0.02;

/// The process that makes a file system: `stable TREE SIZE OUTPUT PLACEMENT [LAST]`.
pub(crate) fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(2).map(PathBuf::from).collect();
    let [from, size, output, placement, last @ ..] = &arguments[..] else {
        return Err("usage: stable TREE SIZE OUTPUT PLACEMENT [LAST]".into());
    };
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let run = Run { spool: output.parent().unwrap_or(Path::new(".")), ..Run::silent(threads) };
    let seed = Seed::new(b"bench");
    let options = Ext4 {
        label: "bench".to_owned(),
        uuid: seed.uuid("file system"),
        hash_seed: seed.uuid("hashes"),
        size: 0,
        created: Time { seconds: 1_700_000_000, nanoseconds: 0 },
        reserved_percent: 5,
    };
    let tree = Arc::new(scan(&HostDir::open(from)?, threads, &mut |_| {})?);
    let mut draft = Draft::new(&tree, &options)?;
    if let [last] = last {
        draft.keep(&Placement::read(&std::fs::read(last)?)?)?;
    }
    let planned = draft.lay_out(size.to_str().ok_or("the size is no number")?.parse()?)?;
    std::fs::write(placement, planned.placement()?)?;
    let contents = planned.contents();
    let target = Target::new(output.clone(), Format::Raw, Compression::None, seed.uuid("disk"));
    let image = RawImage { size: contents.size, extents: &*contents.extents };
    Ok(container::write(image, &[target], &run)?)
}

/// Measure, print the table, note the goals.
pub(crate) fn run(options: &Options, work: &Path, report: &mut Report) -> Result<()> {
    let divisor = if options.quick { 20 } else { 1 };
    let scratch = tempfile::tempdir_in(work)?;
    let at = |name: &str| scratch.path().join(name);
    let tree = at("tree");
    for (load, amount, name) in [(Load::Files, FILES, "small"), (Load::Content, CONTENT, "large")] {
        measure::run(&mut load.command(amount / divisor, &tree.join(name))?)?;
    }
    let size = (800 << 20) / divisor;
    let make = |output: &Path, placement: &Path, last: Option<&Path>| {
        let mut command = this_program()?;
        command.arg(ROLE).arg(&tree).arg(size.to_string()).arg(output).arg(placement).args(last);
        measure::run(&mut command)
    };
    let (before, placement, ignored) = (at("before"), at("placement"), at("ignored"));
    make(&before, &placement, None)?;
    let edited = tree.join("small/00000/file-0000007");
    let mut bytes = std::fs::read(&edited)?;
    bytes.extend(bytes.clone().into_iter().cycle().take(GROWTH));
    std::fs::write(&edited, bytes)?;

    let case = "a file in half a gigabyte has grown";
    let mut table = Table::new(&["ext4", "seconds", "blocks that differ", "of all"]);
    let (rounds, warm_ups) = options.rounds();
    let mut shares = Vec::new();
    for (who, last) in [(FRESH, None), (KEPT, Some(&*placement))] {
        let output = at("after");
        for round in 0..rounds {
            let usage = make(&output, &ignored, last)?;
            let size = FileSize::of(&output)?;
            let warm_up = round < warm_ups;
            report.record(Record { case: case.to_owned(), who: who.to_owned(), warm_up, usage, size });
        }
        let (different, all) = differing(&before, &output)?;
        let seconds = report.medians(case, who).map_or(0.0, |medians| medians.best);
        table.row([who.to_owned(), format!("{seconds:.2}"), different.to_string(), all.to_string()]);
        shares.push((different as f64 / all as f64, seconds));
        measure::settle(&[&output]);
    }
    println!(
        "## Stable placement\n\nThe best of {rounds}; a placement has {} MB.\n",
        mb(FileSize::of(&placement)?.length as f64)
    );
    println!("{table}");
    let [(_, fresh), (share, kept)] = shares[..] else { return Ok(()) };
    report.expect(format!("{case}: time by {FRESH}"), kept / fresh, TIME_LIMIT);
    report.expect(format!("{case}: blocks that differ"), share, DIFFERENT_LIMIT);
    Ok(())
}

/// How many blocks differ, and of how many.
fn differing(one: &Path, other: &Path) -> Result<(u64, u64)> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let all = one.metadata()?.len() / BLOCK as u64;
    let (mut first, mut second) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut different = 0;
    for _ in 0..all {
        one.read_exact(&mut first)?;
        other.read_exact(&mut second)?;
        different += u64::from(first != second);
    }
    Ok((different, all))
}
