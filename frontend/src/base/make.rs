//! The end of every way on which this process makes a disk itself: plan it, and write its artifacts.

use std::io::stdout;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use exporter::assemble::{self, Input, Planned};
use exporter::container::{self, Base, Compression, Format, Target};
use exporter::engine::{Progress, RawImage, Run};
use exporter::spec::Spec;

use super::{Meter, Result, Stage};

/// An artifact, and where it goes.
pub(crate) struct Wanted {
    /// `-` stands for stdout.
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    pub(crate) compression: Compression,
    /// What it is written over.
    pub(crate) base: Option<Base>,
    /// Without its zeroes: a [`sparse`](container::sparse) stream, of which somebody else makes the file.
    pub(crate) sparse: bool,
}

/// How disks are made.
pub(crate) struct Making<'a> {
    pub(crate) threads: NonZeroUsize,
    /// Told of the stages from the planning on.
    pub(crate) meter: &'a Meter,
    /// Set to end before it is done.
    pub(crate) stop: &'a AtomicBool,
}

impl Making<'_> {
    /// Makes the disk that `spec` asks for out of `input`; what it is in now, which is nothing if it went to stdout.
    pub(crate) fn make(
        &self,
        spec: &Spec,
        input: Input,
        artifacts: Vec<Wanted>,
    ) -> Result<(Planned, Vec<Target>)> {
        let planned = self.plan(spec, input, artifacts.first().map(|artifact| &*artifact.path))?;
        let targets = artifacts.into_iter().map(|Wanted { path, format, compression, base, sparse }| {
            Target { base, sparse, ..planned.target(path, format, compression) }
        });
        let written = self.write(planned.image(), targets.collect())?;
        Ok((planned, written))
    }

    /// Plans a disk, with its large temporary files beside the first of its artifacts.
    pub(crate) fn plan(&self, spec: &Spec, input: Input, first: Option<&Path>) -> Result<Planned> {
        self.meter.begin(Stage::Planning);
        let spool = spool(first);
        let progress = |progress| self.meter.show(Stage::Planning, progress);
        Ok(assemble::plan(spec, input, &self.run(&progress, &spool))?)
    }

    /// Plans the root of a microVM alone, with its large temporary files in the folder `spool`.
    pub(crate) fn plan_root(&self, spec: &Spec, input: Input, spool: &Path) -> Result<Planned> {
        self.meter.begin(Stage::Planning);
        let progress = |progress| self.meter.show(Stage::Planning, progress);
        Ok(assemble::plan_root(spec, input, &self.run(&progress, spool))?)
    }

    /// Writes the artifacts of a disk, or one to stdout; what it is in now.
    pub(crate) fn write(&self, image: RawImage<'_>, targets: Vec<Target>) -> Result<Vec<Target>> {
        self.meter.begin(Stage::Writing);
        let spool = spool(targets.first().map(|target| &*target.path));
        let progress = |progress| self.meter.show(Stage::Writing, progress);
        let run = self.run(&progress, &spool);
        let written = match &targets[..] {
            [target] if is_stdout(&target.path) => {
                container::stream(image, target, &mut stdout(), &run).map(|()| Vec::new())
            }
            targets => container::write(image, targets, &run).map(|()| targets.to_vec()),
        }?;
        self.meter.finish();
        Ok(written)
    }

    fn run<'a>(&'a self, progress: &'a (dyn Fn(Progress) + Sync), spool: &'a Path) -> Run<'a> {
        Run { threads: self.threads, progress, stop: self.stop, spool }
    }
}

/// The folder for large temporary files: that of what is made.
pub(crate) fn spool(made: Option<&Path>) -> PathBuf {
    match made.and_then(Path::parent) {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ if made.is_none_or(is_stdout) => std::env::temp_dir(),
        _ => PathBuf::from("."),
    }
}

/// Whether it stands for stdout.
pub(crate) fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// As many threads as there are processors.
pub(crate) fn threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
