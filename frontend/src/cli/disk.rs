//! A disk that this process makes itself, and what is said of it.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use exporter::assemble::Input;
use exporter::container::Base;
use exporter::report::Report;
use exporter::spec::Spec;

use super::plan::DryRun;
use crate::base::disk::Made;
use crate::base::make::{Making, Wanted};
use crate::base::{Meter, Result, terminal};

/// A disk that is to be made.
pub(super) struct Job<'a> {
    /// What it should be.
    pub(super) spec: &'a Spec,
    /// Where it goes: a path for each of the spec's formats, or `-` for stdout.
    pub(super) paths: &'a [PathBuf],
    /// What the one disk is written over.
    pub(super) base: Option<&'a Base>,
    pub(super) threads: NonZeroUsize,
    /// Told of the stages from the planning on.
    pub(super) meter: &'a Meter,
    /// Set to end before it is done.
    pub(super) stop: &'a AtomicBool,
}

/// A disk that was made.
pub(super) struct Outcome {
    report: Report,
    /// What it is in now, which is nothing if it went to stdout.
    paths: Vec<PathBuf>,
}

impl Outcome {
    /// Says of several what was made and edited, and where it is.
    pub(super) fn tell_all(outcomes: &[Self], is_json: bool, is_quiet: bool) -> Result<()> {
        let made = outcomes.iter().map(Self::made).collect::<Result<Vec<_>>>()?.concat();
        // Of files nothing is told beside a disk that goes to stdout.
        let told = outcomes.iter().filter(|outcome| !made.is_empty() || outcome.report.system.is_some());
        let reports: String = told.map(|outcome| outcome.report.to_string()).collect();
        tell(&reports, &made, is_json, is_quiet)
    }

    fn made(&self) -> Result<Vec<Made>> {
        let made = |path: &PathBuf| Ok(Made::read(path)?.with_report(&self.report));
        self.paths.iter().map(made).collect()
    }
}

impl Job<'_> {
    /// Plans the disk as [`make`](Self::make) does, and writes nothing.
    pub(super) fn plan(&self, input: Input) -> Result<DryRun> {
        let planned = self.making().plan(self.spec, input, self.paths.first().map(|path| &**path))?;
        self.meter.finish();
        Ok(DryRun::of_disk(self.spec, self.paths, planned))
    }

    /// Makes the disk.
    pub(super) fn make(&self, input: Input) -> Result<Outcome> {
        let artifacts = self.paths.iter().zip(self.spec.formats.iter().zip(self.spec.compressions()?));
        let artifacts = artifacts.map(|(path, (&format, compression))| Wanted {
            path: path.clone(),
            format,
            compression,
            base: self.base.cloned(),
            sparse: false,
        });
        let (planned, written) = self.making().make(self.spec, input, artifacts.collect())?;
        let paths = written.into_iter().map(|target| target.path).collect();
        Ok(Outcome { report: planned.report(Vec::new()), paths })
    }

    fn making(&self) -> Making<'_> {
        Making { threads: self.threads, meter: self.meter, stop: self.stop }
    }
}

/// Says what was made, with the reports of its making before it; the files come last, by a line that says how to go on.
/// Where nothing was `made` the disk itself has gone to stdout.
pub(super) fn tell(reports: &str, made: &[Made], is_json: bool, is_quiet: bool) -> Result<()> {
    match (is_json, is_quiet, made) {
        (true, ..) => terminal::print_json(&serde_json::json!({ "disks": made })),
        (false, true, _) => Ok(()),
        (false, false, []) => {
            terminal::tell(reports);
            Ok(())
        }
        (false, false, made) => {
            let lines: String = made.iter().map(|disk| format!("{disk}\n")).collect();
            terminal::print(&format!("{reports}{lines}"))
        }
    }
}
