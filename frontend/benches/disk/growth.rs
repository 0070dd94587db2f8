//! The growth table: whether time and memory grow as the tree does, and no faster.

use std::path::Path;

use crate::floor::Floor;
use crate::measure::{self, FileSize};
use crate::synthetic::Load;
use crate::table::{Record, Report, Table, mib};
use crate::{Options, Result, contenders, trees};

const WHO: &str = "vmimage";
/// What the kernel itself needs for a tree.
const FLOOR: Floor = Floor::Read;
/// Of the time per unit, by that of the step before.
const STEP_LIMIT: f64 = 1.3;
/// Memory that any tree may take, and what each file may add beyond it, in bytes.
const BASE_MEMORY: f64 = 96.0 * 1024.0 * 1024.0;
const FILE_MEMORY_LIMIT: f64 = 250.0;
/// What the amounts are divided by for a quick look.
const QUICK: u64 = 100;

/// Trees of one load, each larger than the one before.
struct Steps {
    load: Load,
    /// How the unit is called, and how much of the load it is.
    unit: (&'static str, u64),
    amounts: &'static [u64],
}

const STEPS: [Steps; 4] = [
    Steps { load: Load::Content, unit: ("GB", 1000), amounts: &[100, 500, 2000, 8000] },
    Steps { load: Load::Files, unit: ("1000 files", 1000), amounts: &[100_000, 1_000_000] },
    Steps { load: Load::OneDirectory, unit: ("1000 files", 1000), amounts: &[20_000, 200_000] },
    Steps { load: Load::Sparse, unit: ("GB", 1), amounts: &[10, 100] },
];

/// Measure, print the table, note the goals.
pub(crate) fn run(options: &Options, work: &Path, report: &mut Report) -> Result<()> {
    let mut table = Table::new(&[
        "tree",
        "seconds",
        "per",
        "ms",
        "by the step before",
        "read alone",
        "peak MiB",
        "bytes per file",
    ]);
    for steps in &STEPS {
        let (mut before, mut floor_before) = (None, None);
        for amount in steps.amounts.iter().map(|amount| if options.quick { amount / QUICK } else { *amount })
        {
            let amount = amount.max(1);
            let case = steps.load.tree(amount);
            measure_step(options, work, report, &case, (steps.load, amount))?;
            let Some(medians) = report.medians(&case, WHO) else { continue };
            let Some(floor) = report.medians(&case, FLOOR.name()) else { continue };
            let per_unit = |seconds: f64| seconds / (amount as f64 / steps.unit.1 as f64);
            let unit_time = per_unit(medians.seconds);
            let step = growth(&mut before, unit_time);
            let floor_step = growth(&mut floor_before, per_unit(floor.seconds));
            let files = steps.load.files(amount) as f64;
            let file_memory = (medians.peak - BASE_MEMORY).max(0.0) / files;
            if let Some(step) = step {
                report.expect(format!("{case}: time per unit by the step before"), step, STEP_LIMIT);
            }
            report.expect(format!("{case}: bytes of memory per file"), file_memory, FILE_MEMORY_LIMIT);
            table.row([
                case,
                format!("{:.2}", medians.seconds),
                steps.unit.0.to_owned(),
                format!("{:.1}", unit_time * 1e3),
                shown(step),
                shown(floor_step),
                mib(medians.peak),
                format!("{file_memory:.0}"),
            ]);
        }
    }
    println!("## Growth\n");
    println!("qcow2 with zstd, warm cache, medians. Memory per file is what is taken beyond 96 MiB.");
    println!("read alone: its own time per unit by the step before, which is the kernel's share.\n");
    println!("{table}");
    Ok(())
}

/// The time per unit by that of the step before, which is replaced.
fn growth(before: &mut Option<f64>, unit_time: f64) -> Option<f64> {
    before.replace(unit_time).map(|before| unit_time / before)
}

fn shown(step: Option<f64>) -> String {
    step.map_or(String::new(), |step| format!("{step:.2}"))
}

/// Make the tree, read it, make disks of it, remove it.
fn measure_step(
    options: &Options,
    work: &Path,
    report: &mut Report,
    case: &str,
    (load, amount): (Load, u64),
) -> Result<()> {
    let scratch = tempfile::tempdir_in(work)?;
    let (tree, disk) = (scratch.path().join("tree"), scratch.path().join("disk.qcow2"));
    eprintln!("bench: making the tree of {case}");
    measure::run(&mut load.command(amount, &tree)?)?;
    rustix::fs::sync();
    if load != Load::Sparse {
        trees::warm(&tree)?;
    }
    let (rounds, warm_ups) = options.rounds();
    for round in 0..rounds {
        let mut record = |who: &str, usage, size| {
            let (case, who, warm_up) = (case.to_owned(), who.to_owned(), round < warm_ups);
            report.record(Record { case, who, warm_up, usage, size });
        };
        record(FLOOR.name(), measure::run(&mut FLOOR.command(&tree, &disk)?)?, FileSize::default());
        let usage = contenders::ours(&tree, &disk, Some("zstd"))?;
        record(WHO, usage, FileSize::of(&disk)?);
        measure::settle(&[&disk]);
    }
    Ok(())
}
