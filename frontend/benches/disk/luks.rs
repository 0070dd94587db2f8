//! LUKS's table: an image encrypted by ours, and by cryptsetup with a copy.
//!
//! Without device-mapper cryptsetup encrypts in user space, in the place of a copy: the same bytes but for the keys. With it,
//! a person formats a volume and copies into it; what that takes at the least is what `luksFormat` takes, and a copy that encrypts
//! nothing.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use exporter::container::{self, Compression, Format, Target};
use exporter::engine::{RawImage, Run};
use exporter::extent::{Backing, Extent};
use exporter::fs::Contents;
use exporter::fs::luks::{Kdf, Options as Luks, Volume};
use exporter::seed::Seed;
use exporter::tree::{HostDir, HostFile};

use crate::floor::Floor;
use crate::measure::{self, FileSize, Usage};
use crate::synthetic::Load;
use crate::table::{Record, Report, contest};
use crate::{Options, Result, this_program, trees};

/// The first argument of the process that encrypts.
pub(crate) const ROLE: &str = "luks";
const OURS: &str = "vmimage";
/// Of ours by each other way.
const TIME_LIMIT: f64 = 0.5;
/// MB of content, which memory must not follow.
const CONTENT: [u64; 2] = [500, 4000];
const MEMORY_STEP_LIMIT: f64 = 1.5;
/// What sizes are divided by for a quick look.
const QUICK: u64 = 50;
/// What opens the volume, for all; and how slowly, in KiB of memory.
const PASSPHRASE: &str = "passphrase";
const MEMORY: u32 = 64 << 10;
const IMAGE: &str = "image";

/// The process of ours: `luks FOLDER OUTPUT`.
pub(crate) fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(2);
    let mut next = || arguments.next().map(PathBuf::from).ok_or("usage: luks FOLDER OUTPUT");
    let (folder, output) = (next()?, next()?);
    let root = HostDir::open(&folder)?;
    let size = folder.join(IMAGE).metadata()?.len();
    let file = HostFile::new(Arc::clone(&root), IMAGE.as_bytes(), size, None);
    let extent = Extent { offset: 0, len: size, source: Backing::File { file, offset: 0 } };
    let seed = Seed::new(b"bench");
    let kdf = Kdf::Argon2id { time: 4, memory: MEMORY };
    let options = Luks { uuid: seed.uuid("volume"), label: "bench".to_owned(), sector_size: 4096, kdf };
    let volume = Volume::new(&options, &[PASSPHRASE.as_bytes()])?;
    let contents = volume.contents(Contents { size, extents: Box::new([extent]) }, None);
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let run = Run { spool: output.parent().unwrap_or(Path::new(".")), ..Run::silent(threads) };
    let image = RawImage { size: contents.size, extents: &*contents.extents };
    let target = Target::new(output.clone(), Format::Raw, Compression::None, seed.uuid("disk"));
    Ok(container::write(image, &[target], &run)?)
}

/// Who encrypts.
#[derive(Clone, Copy)]
enum Maker {
    Ours,
    /// In the place of a copy, with room for the header.
    Reencrypt,
    /// A header, and a copy behind it.
    Format,
}

/// As much work for a passphrase as ours, which takes no time to measure the machine.
const KDF: &str =
    "--pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 65536 --pbkdf-parallel 1 --sector-size 4096";

impl Maker {
    const ALL: [Self; 3] = [Self::Ours, Self::Reencrypt, Self::Format];

    fn name(self) -> &'static str {
        match self {
            Self::Ours => OURS,
            Self::Reencrypt => "copy + cryptsetup reencrypt --encrypt",
            Self::Format => "cryptsetup luksFormat + copy",
        }
    }

    fn run(self, folder: &Path, output: &Path) -> Result<Usage> {
        let script = match self {
            Self::Ours => {
                let mut command = this_program()?;
                return measure::run(command.arg(ROLE).arg(folder).arg(output));
            }
            Self::Reencrypt => format!(
                "cp \"$1\" \"$2\"; truncate -s +32M \"$2\"; \
                 printf {PASSPHRASE} | cryptsetup reencrypt --encrypt --batch-mode --force-offline-reencrypt \
                 --reduce-device-size 32M --resilience none {KDF} --key-file - \"$2\""
            ),
            Self::Format => format!(
                "truncate -s 16M \"$2\"; printf {PASSPHRASE} | cryptsetup luksFormat -q {KDF} --key-file - \"$2\"; \
                 dd if=\"$1\" of=\"$2\" bs=1M seek=16 conv=notrunc status=none"
            ),
        };
        let _ = std::fs::remove_file(output);
        let mut command = Command::new("sh");
        measure::run(command.args(["-ec", &script, "sh"]).arg(folder.join(IMAGE)).arg(output))
    }
}

/// Measure, print the table, note the goals.
pub(crate) fn run(options: &Options, work: &Path, report: &mut Report) -> Result<()> {
    let divisor = if options.quick { QUICK } else { 1 };
    let mut cases = Vec::new();
    for amount in CONTENT.map(|amount| amount / divisor) {
        let scratch = tempfile::tempdir_in(work)?;
        let folder = scratch.path().join("luks");
        make(&folder, amount)?;
        let case = format!("an image of {amount} MB");
        rounds(options, report, &case, &folder)?;
        for maker in [Maker::Reencrypt, Maker::Format] {
            let medians = [Maker::Ours, maker].map(|maker| report.medians(&case, maker.name()));
            if let [Some(ours), Some(theirs)] = medians {
                let what = format!("LUKS of {case}: time by {}", maker.name());
                report.expect(what, ours.seconds / theirs.seconds, TIME_LIMIT);
            }
        }
        cases.push(case);
    }
    let peaks: Vec<_> =
        cases.iter().filter_map(|case| report.medians(case, OURS)).map(|it| it.peak).collect();
    if let [small, large] = peaks[..] {
        report.expect("LUKS: memory by that of less content".to_owned(), large / small, MEMORY_STEP_LIMIT);
    }
    let (rounds, warm_ups) = options.rounds();
    println!("## Encryption\n");
    println!("Medians of {} rounds, warm cache, in turn.\n", rounds - warm_ups);
    println!("{}", contest(report, "LUKS of", OURS, &cases));
    Ok(())
}

/// A file in which no zeroes are.
fn make(folder: &Path, amount: u64) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let content = folder.join("content");
    measure::run(&mut Load::Content.command(amount, &content)?)?;
    measure::run(&mut Floor::Copy.command(&content, &folder.join(IMAGE))?)?;
    std::fs::remove_dir_all(&content)?;
    rustix::fs::sync();
    Ok(())
}

/// Everybody in turn.
fn rounds(options: &Options, report: &mut Report, case: &str, folder: &Path) -> Result<()> {
    let output = folder.with_extension("luks");
    let (rounds, warm_ups) = options.rounds();
    for round in 0..rounds {
        for maker in Maker::ALL {
            trees::warm(folder)?;
            let usage = maker.run(folder, &output)?;
            let (case, who, size) = (case.to_owned(), maker.name().to_owned(), FileSize::of(&output)?);
            report.record(Record { case, who, warm_up: round < warm_ups, usage, size });
            measure::settle(&[&output]);
        }
    }
    Ok(())
}
