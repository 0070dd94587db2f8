//! The files of an image, and what it says of itself.

use std::path::Path;

use exporter::engine;
use exporter::input::{self, Loaded, Platform, Progress};
use exporter::spec::Architecture;

use crate::base::make::threads;
use crate::base::{Meter, Result, Stage};
use crate::cli::run::Args;
use crate::source::{Access, Source};

/// An image that was read.
pub(super) struct Files {
    pub(super) loaded: Loaded,
    /// The instruction set of its programs.
    pub(super) architecture: Architecture,
}

impl Files {
    /// Reads an image. What is kept on the way is in files without names, below `workspace`.
    ///
    /// # Errors
    /// If there is no such image.
    pub(super) fn read(args: &Args, source: &Source, workspace: &Path, meter: &Meter) -> Result<Self> {
        meter.begin(Stage::Reading);
        let host = Architecture::host().unwrap_or(Architecture::X86_64);
        let asked = &args.image.platform;
        let platform = asked.clone().unwrap_or_else(|| Platform::linux(host.oci_name()));
        let options = input::Options {
            platform: &platform,
            threads: threads(),
            spool: workspace,
            progress: &|Progress { done, total }| {
                let stage = if total == 0 { Stage::Spooling } else { Stage::Reading };
                meter.show(stage, engine::Progress { done, total });
            },
        };
        let access = Access {
            plain_http: args.image.registry.plain_http,
            mirrors: &[],
            auth_file: args.image.registry.authfile.as_deref(),
            store_reader: args.image.engine.tool(),
            progress: &|progress| meter.show(Stage::Downloading, progress),
            note: &|text| meter.note(text),
        };
        let loaded = source.read(&access, &options)?;
        let asked = asked.as_ref().and_then(|platform| Architecture::from_oci(&platform.architecture));
        let told = || Architecture::from_oci(&loaded.config.as_ref()?.architecture().to_string());
        let architecture = asked.or_else(told).or_else(|| Architecture::of(&loaded.tree)).unwrap_or(host);
        meter.finish();
        Ok(Self { loaded, architecture })
    }
}
