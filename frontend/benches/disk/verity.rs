//! The hashes of a partition for dm-verity: what it takes to make them, beside `veritysetup format`, whose bytes they are.

use std::fs::File;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use exporter::container::{self, Compression, Format, Target};
use exporter::engine::{RawImage, Run};
use exporter::extent::{Backing, Extent};
use exporter::fs::Contents;
use exporter::fs::verity;
use exporter::seed::Uuid;

use crate::measure::{self, FileSize};
use crate::table::{Record, Report, contest};
use crate::{Options, Result, this_program};

/// The first argument of the process that makes a hash partition.
pub(crate) const ROLE: &str = "verity";
const OURS: &str = "vmimage";
const PEER: &str = "veritysetup";
/// MiB of data.
const DATA: u64 = 2048;
const BLOCK: usize = 1 << 20;
const SALT: [u8; 32] = [0x5a; 32];
const UUID: Uuid = Uuid::from_text("01234567-89ab-4def-8123-456789abcdef");
const TIME_LIMIT: f64 = 0.5;

/// The process that hashes a file: `verity DATA OUTPUT`.
pub(crate) fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(2).map(PathBuf::from).collect();
    let [data, output] = &arguments[..] else { return Err("usage: verity DATA OUTPUT".into()) };
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let run = Run { spool: output.parent().unwrap_or(Path::new(".")), ..Run::silent(threads) };
    let (_, image) = container::open(data)?;
    let size = image.size();
    let data = Extent { offset: 0, len: size, source: Backing::Image { image, offset: 0 } };
    let data = Contents { size, extents: Box::new(vec![data]) };
    let sealed = verity::seal(&data, &SALT, UUID, &run)?;
    println!("{}", sealed.root_hash);
    let target = Target::new(output.clone(), Format::Raw, Compression::None, UUID);
    let image = RawImage { size: sealed.hashes.size, extents: &*sealed.hashes.extents };
    Ok(container::write(image, &[target], &run)?)
}

fn ours(data: &Path, output: &Path) -> Result<Command> {
    let mut command = this_program()?;
    command.arg(ROLE).args([data, output]);
    Ok(command)
}

fn peer(data: &Path, output: &Path) -> Result<Command> {
    let salt: String = SALT.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut command = Command::new("veritysetup");
    command.arg("format").args([data, output]).arg(format!("--salt={salt}")).arg(format!("--uuid={UUID}"));
    Ok(command)
}

/// Measure, print the table, note the goal.
pub(crate) fn run(options: &Options, work: &Path, report: &mut Report) -> Result<()> {
    let mib = if options.quick { DATA / 32 } else { DATA };
    let scratch = tempfile::tempdir_in(work)?;
    let at = |name: &str| scratch.path().join(name);
    let data = at("data");
    fill(&data, mib)?;
    let case = format!("{mib} MiB");
    let (rounds, warm_ups) = options.rounds();
    for round in 0..rounds {
        let outputs = [OURS, PEER].map(at);
        for (who, output) in [OURS, PEER].into_iter().zip(&outputs) {
            let mut command = if who == OURS { ours(&data, output)? } else { peer(&data, output)? };
            let usage = measure::run(&mut command)?;
            let size = FileSize::of(output)?;
            let warm_up = round < warm_ups;
            report.record(Record { case: case.clone(), who: who.to_owned(), warm_up, usage, size });
        }
        let [one, other] = &outputs;
        if std::fs::read(one)? != std::fs::read(other)? {
            return Err("the hashes are others than those of veritysetup".into());
        }
        measure::settle(&[one, other]);
    }
    println!("## Hashes for dm-verity\n\n{}", contest(report, "hashes of", OURS, [&case]));
    let [own, it] = [OURS, PEER].map(|who| report.medians(&case, who).map_or(0.0, |medians| medians.best));
    report.expect(format!("hashes of {case}: time by {PEER}"), own / it, TIME_LIMIT);
    Ok(())
}

/// Data of which no two blocks are the same.
fn fill(path: &Path, mib: u64) -> Result<()> {
    let mut file = File::create(path)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = vec![0; BLOCK];
    for _ in 0..mib {
        for word in block.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block)?;
    }
    Ok(())
}
