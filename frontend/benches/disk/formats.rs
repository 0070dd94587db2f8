//! The exporter's table: two real trees, every disk format, against the contenders and the floors.

use std::path::{Path, PathBuf};

use crate::contenders::{self, Contender, Converter};
use crate::floor::Floor;
use crate::measure::{self, FileSize, Usage};
use crate::table::{Record, Report, contest};
use crate::trees::Tree;
use crate::{Options, Result};

const OURS: &str = "vmimage";
/// Peak memory of ours on these trees, in MiB.
const PEAK_LIMIT: f64 = 96.0;

/// A kind of disk file, how others make it, and what is asked of ours.
struct Output {
    name: &'static str,
    /// The extension of ours, which says the format.
    extension: &'static str,
    compression: Option<&'static str>,
    converter: Converter,
    floor: Floor,
    goals: Option<Goals>,
}

/// Limits of ours by the reference.
struct Goals {
    seconds: f64,
    size: Option<f64>,
}

/// Of ours by the floor.
const FLOOR_LIMIT: f64 = 1.25;

const fn goals(seconds: f64, size: f64) -> Option<Goals> {
    Some(Goals { seconds, size: Some(size) })
}

const OUTPUTS: [Output; 10] = [
    Output {
        name: "raw",
        extension: "raw",
        compression: None,
        converter: Converter::None,
        floor: Floor::Copy,
        goals: Some(Goals { seconds: 0.45, size: None }),
    },
    Output {
        name: "qcow2",
        extension: "qcow2",
        compression: Some("none"),
        converter: Converter::QemuImg(&["-O", "qcow2", "-m", "8", "-W"]),
        floor: Floor::Copy,
        goals: Some(Goals { seconds: 0.45, size: None }),
    },
    Output {
        name: "qcow2 zstd",
        extension: "qcow2",
        compression: Some("zstd"),
        converter: Converter::QemuImg(&["-O", "qcow2", "-c", "-o", "compression_type=zstd", "-m", "8", "-W"]),
        floor: Floor::Zstd,
        goals: goals(0.40, 1.03),
    },
    Output {
        name: "qcow2 zlib",
        extension: "qcow2",
        compression: Some("zlib"),
        converter: QCOW2_ZLIB,
        floor: Floor::Deflate,
        goals: goals(0.30, 1.05),
    },
    Output {
        name: "qcow2 zlib-strict",
        extension: "qcow2",
        compression: Some("zlib-strict"),
        converter: QCOW2_ZLIB,
        floor: Floor::Deflate,
        goals: None,
    },
    Output {
        name: "VMDK streamOptimized",
        extension: "vmdk",
        compression: None,
        converter: Converter::QemuImg(&["-O", "vmdk", "-o", "subformat=streamOptimized"]),
        floor: Floor::Deflate,
        goals: goals(0.20, 1.05),
    },
    plain("VHD", "vhd", Converter::QemuImg(&["-O", "vpc", "-o", "subformat=fixed,force_size=on"])),
    plain("VHDX", "vhdx", Converter::QemuImg(&["-O", "vhdx"])),
    plain("VDI", "vdi", Converter::QemuImg(&["-O", "vdi"])),
    Output {
        name: "raw.zst",
        extension: "raw.zst",
        compression: None,
        converter: Converter::Zstd,
        floor: Floor::Zstd,
        goals: None,
    },
];

const QCOW2_ZLIB: Converter = Converter::QemuImg(&["-O", "qcow2", "-c", "-m", "8", "-W"]);

const fn plain(name: &'static str, extension: &'static str, converter: Converter) -> Output {
    Output { name, extension, compression: None, converter, floor: Floor::Copy, goals: None }
}

/// Measure, print the table, note the goals.
pub(crate) fn run(options: &Options, work: &Path, report: &mut Report) -> Result<()> {
    let trees = match options.quick {
        true => vec![Tree::usr(work, true)?],
        false => vec![Tree::debian(work)?, Tree::usr(work, false)?],
    };
    let mut contest = Contest {
        scratch: tempfile::tempdir_in(work)?,
        outputs: known_outputs(work)?,
        contenders: Contender::installed(work),
        report,
        warm_up: false,
    };
    let (rounds, warm_ups) = options.rounds();
    for tree in &trees {
        for round in 0..rounds {
            contest.warm_up = round < warm_ups;
            contest.round(tree)?;
        }
    }
    let outputs = contest.outputs;
    print(&trees, &outputs, report, options);
    expect(&trees, &outputs, report);
    Ok(())
}

/// The outputs that our program has, told by trying.
fn known_outputs(work: &Path) -> Result<Vec<&'static Output>> {
    let scratch = tempfile::tempdir_in(work)?;
    let tree = scratch.path().join("tree");
    std::fs::create_dir(&tree)?;
    let mut known = Vec::new();
    for output in &OUTPUTS {
        let disk = scratch.path().join("disk").with_extension(output.extension);
        match contenders::ours(&tree, &disk, output.compression) {
            Ok(_) => known.push(output),
            Err(error) => {
                eprintln!("bench: skipped: {} is unknown to vmimage: {}", output.name, why(error.as_ref()))
            }
        }
    }
    Ok(known)
}

/// The first line that a failed program said, behind the line that names it.
fn why(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    text.lines().nth(1).unwrap_or(&text).to_owned()
}

/// One case of the table.
fn case(tree: &Tree, output: &Output) -> String {
    format!("{}: {}", tree.name, output.name)
}

struct Contest<'a> {
    scratch: tempfile::TempDir,
    outputs: Vec<&'static Output>,
    /// Beside the reference.
    contenders: Vec<Contender>,
    report: &'a mut Report,
    warm_up: bool,
}

impl Contest<'_> {
    /// Everything once, in the same order every time. The reference's file system is made once and
    /// converted into every format: what it took counts for each of them. Conversions are not warmed up:
    /// qemu-img's deflate alone would take minutes.
    fn round(&mut self, tree: &Tree) -> Result<()> {
        tree.warm()?;
        let raw = self.file("reference.raw");
        let mut file_system = None;
        for output in self.outputs.clone() {
            let case = case(tree, output);
            let disk = self.file("disk").with_extension(output.extension);
            self.level(tree)?;
            let usage = contenders::ours(&tree.path, &disk, output.compression)?;
            self.keep(&case, OURS, usage, &disk)?;

            let made = match file_system {
                Some(made) => made,
                None => {
                    self.level(tree)?;
                    *file_system.insert(Contender::Mke2fs.run(tree, &raw)?)
                }
            };
            if let Converter::None = output.converter {
                self.record(&case, &reference(output), made, FileSize::of(&raw)?);
                measure::settle(&[]);
            } else if !self.warm_up {
                let theirs = self.file("reference.disk");
                self.level(tree)?;
                let usage = output.converter.run(&raw, &theirs)?;
                self.keep(&case, &reference(output), made + usage, &theirs)?;
            }

            let copy = self.file("floor");
            self.level(tree)?;
            let usage = measure::run(&mut output.floor.command(&tree.path, &copy)?)?;
            self.keep(&case, output.floor.name(), usage, &copy)?;
        }
        measure::settle(&[&raw]);
        self.other_ways(tree)
    }

    /// Copy the content and remove the copy, so that everybody starts with the same free memory: where the
    /// machine is virtual, pages that were free for a while cost several times as much at first touch.
    fn level(&self, tree: &Tree) -> Result<()> {
        let copy = self.file("level");
        measure::run(&mut Floor::Copy.command(&tree.path, &copy)?)?;
        measure::settle(&[&copy]);
        Ok(())
    }

    /// The other ways to a raw disk; one that fails is told, and not tried again.
    fn other_ways(&mut self, tree: &Tree) -> Result<()> {
        let case = case(tree, &OUTPUTS[0]);
        for contender in std::mem::take(&mut self.contenders) {
            let disk = self.file("other.raw");
            self.level(tree)?;
            match contender.run(tree, &disk) {
                Ok(usage) => {
                    self.keep(&case, contender.name(), usage, &disk)?;
                    self.contenders.push(contender);
                }
                Err(error) => {
                    eprintln!("bench: skipped from here on: {}: {error}", contender.name());
                    measure::settle(&[&disk]);
                }
            }
        }
        Ok(())
    }

    /// Record what was made at `file`, then remove it.
    fn keep(&mut self, case: &str, who: &str, usage: Usage, file: &Path) -> Result<()> {
        let size = if file.exists() { FileSize::of(file)? } else { FileSize::default() };
        self.record(case, who, usage, size);
        measure::settle(&[file]);
        Ok(())
    }

    fn record(&mut self, case: &str, who: &str, usage: Usage, size: FileSize) {
        let (case, who) = (case.to_owned(), who.to_owned());
        self.report.record(Record { case, who, warm_up: self.warm_up, usage, size });
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }
}

/// Who the reference is for `output`.
fn reference(output: &Output) -> String {
    let second = match output.converter {
        Converter::None => "",
        Converter::QemuImg(_) => " + qemu-img",
        Converter::Zstd => " + zstd",
    };
    format!("{}{second}", Contender::Mke2fs.name())
}

fn print(trees: &[Tree], outputs: &[&Output], report: &Report, options: &Options) {
    let (rounds, warm_ups) = options.rounds();
    println!("## Exporter\n");
    println!("Medians of {} rounds, warm cache; a copy is made and removed before each.", rounds - warm_ups);
    for tree in trees {
        println!("{}: {:.2} GB in {} entries.", tree.name, tree.bytes as f64 / 1e9, tree.entries);
    }
    println!("zstd and deflate alone read and compress the files, level 2 as ours, and write nothing.");
    println!(
        "mke2fs is made once a round and counted for each format; it alone waits for the disk (fsync).\n"
    );
    let cases: Vec<_> =
        trees.iter().flat_map(|tree| outputs.iter().map(|output| case(tree, output))).collect();
    println!("{}", contest(report, "output", OURS, &cases));
}

fn expect(trees: &[Tree], outputs: &[&Output], report: &mut Report) {
    for (tree, output) in trees.iter().flat_map(|tree| outputs.iter().map(move |output| (tree, output))) {
        let case = case(tree, output);
        let Some(goals) = &output.goals else { continue };
        let Some(ours) = report.medians(&case, OURS) else { continue };
        if let Some(theirs) = report.medians(&case, &reference(output)) {
            let who = reference(output);
            report.expect(format!("{case}: time by {who}"), ours.seconds / theirs.seconds, goals.seconds);
            if let Some(limit) = goals.size {
                report.expect(format!("{case}: size by {who}"), ours.allocated / theirs.allocated, limit);
            }
        }
        if let Some(floor) = report.medians(&case, output.floor.name()) {
            let what = format!("{case}: time by {}", output.floor.name());
            report.expect(what, ours.seconds / floor.seconds, FLOOR_LIMIT);
        }
        report.expect(format!("{case}: peak memory in MiB"), ours.peak / f64::from(1 << 20), PEAK_LIMIT);
    }
}
