//! The end of every way on which this process makes the disk itself: plan it, and write its files.

use std::io::stdout;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use exporter::assemble::{self, Input, Planned};
use exporter::container::{self, Target};
use exporter::engine::Run;
use exporter::spec::Spec;

use super::{Meter, Result, Stage, output};

/// A disk that is to be made.
pub(super) struct Job<'a> {
    /// What it should be.
    pub(super) spec: &'a Spec,
    /// Where it goes: a path for each of the spec's formats, or `-` for stdout.
    pub(super) paths: &'a [PathBuf],
    pub(super) threads: NonZeroUsize,
    /// Told of the stages from the planning on.
    pub(super) meter: &'a Meter,
    /// Set to end before it is done.
    pub(super) stop: &'a AtomicBool,
}

impl Job<'_> {
    /// Makes the disk; also the files it is in now, which are none if it went to stdout.
    pub(super) fn make(&self, input: Input) -> Result<(Planned, Vec<Target>)> {
        let files = self.spec.formats.iter().zip(self.spec.compressions()?);
        self.meter.begin(Stage::Planning);
        let planned = assemble::plan(self.spec, input)?;
        let targets = self.paths.iter().zip(files).map(|(path, (&format, compression))| Target {
            path: path.clone(),
            format,
            compression,
            id: planned.id,
            appliance: planned.appliance.clone(),
            sparse: false,
        });
        let targets: Vec<_> = targets.collect();

        self.meter.begin(Stage::Writing);
        let progress = |progress| self.meter.show(Stage::Writing, progress);
        let run = Run { threads: self.threads, progress: &progress, stop: self.stop };
        let written = match &targets[..] {
            [target] if output::is_stdout(&target.path) => {
                container::stream(planned.image(), target, &mut stdout(), &run).map(|()| Vec::new())
            }
            targets => container::write(planned.image(), targets, &run).map(|()| targets.to_vec()),
        }?;
        self.meter.finish();
        Ok((planned, written))
    }
}

/// As many threads as there are processors.
pub(super) fn threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
