//! An image or a build context: its program runs in a machine that is made for it, and is gone with it.
//!
//! ```text
//! context ─────────── vmimage build ─────────▶ a folder: kernel, initramfs, root ─┐
//! image ─▶ files ─┬─▶ of which distribution ─▶ vmimage build of a kernel alone ────┼─▶ machine
//!                 └─▶ root ───────────────────────────────────────────────────────┘
//! ```
//!
//! An engine has the kernel in its build cache: it is one for all images of a release of a distribution.

mod build;
mod donor;
mod kernel;
mod root;
mod served;

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use exporter::container::Format;
use exporter::engine;
use exporter::input::{self, Loaded, Platform, Progress};
use exporter::spec::{Architecture, Container, Profile, Spec};
use exporter::tree::os;

use super::kind::Kind;
use super::microvm::{self, At, Microvm, Mode};
use super::{Args, CPUS, qemu, workspace};
use crate::base::make::threads;
use crate::base::terminal::tell_line;
use crate::base::{Error, Meter, Result, Stage, Style, interrupt};
use crate::cli::convert::parse_platform;
use crate::cli::registry::RegistryArgs;
use crate::engine::Choice;
use crate::source::{Access, Source, lookup};
use kernel::Kernel;
use served::Served;

/// Mebibytes of a machine of which nothing is said.
const MEMORY_MIB: u64 = 1024;

/// What can be said of an image or a build context.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Image options, for images and build contexts")]
pub(super) struct ImageArgs {
    /// The kernel: a file (of a build context, one in it), that of another image, or the image's own; by default that of
    /// the image's distribution, or else Debian's
    #[arg(long, value_name = "file:PATH|image:REF|keep")]
    pub(super) kernel: Option<Kernel>,
    /// Of an image for several platforms, the one to take
    #[arg(long, value_name = "OS/ARCH", value_parser = parse_platform)]
    pub(super) platform: Option<Platform>,
    /// What builds, and has images
    #[arg(long, value_enum, default_value_t)]
    pub(super) engine: Choice,
    /// The network of a build's RUN steps
    #[arg(long, value_name = "MODE")]
    pub(super) build_network: Option<String>,
    /// Say at the end how many bytes of an image's root its machine has read
    #[arg(long)]
    pub(super) stats: bool,
    #[command(flatten)]
    pub(super) registry: RegistryArgs,
}

/// Makes the machine, and runs its program.
///
/// # Errors
/// If there is no such image, no kernel for it, or what a flag asks for is not there.
pub(super) fn run(args: &Args, kind: Kind) -> Result<ExitCode> {
    require_served(&args.image)?;
    let workspace = workspace()?;
    let platform = args.image.platform.as_ref();
    let asked = platform.and_then(|platform| Architecture::from_oci(&platform.architecture));
    microvm::check(args, asked.unwrap_or_else(qemu::host), workspace.path())?;
    let (machine, served) = match kind {
        Kind::Context => (of_context(args, workspace.path())?, None),
        _ => of_image(args, workspace.path())?,
    };
    let ended = microvm::boot(args, machine, Some(&workspace), Mode::Attached { keeps_root: false });
    if let Some(served) = served.filter(|_| args.image.stats) {
        let size = served.size();
        tell_line(format_args!("root: {} bytes of {size} were read", served.end()));
    }
    ended
}

/// That of a build, which an engine has in its cache as far as nothing has changed.
fn of_context(args: &Args, workspace: &Path) -> Result<Microvm> {
    let folder = workspace.join("vm");
    build::run(build::Build {
        context: args.source.as_os_str(),
        output: &folder,
        engine: args.image.engine,
        platform: args.image.platform.as_ref().map(shown),
        kernel: args.image.kernel.as_ref().map(ToString::to_string),
        network: args.image.build_network.as_deref(),
        is_told: true,
    })?;
    Microvm::read(&folder)
}

/// That of an image: its files are the root, which is read out of them while the machine runs.
fn of_image(args: &Args, workspace: &Path) -> Result<(Microvm, Option<Served>)> {
    let meter = Meter::new(Style::Auto);
    let (source, was_said) = lookup::find(args.source.as_os_str(), args.image.engine)?;
    if !was_said {
        tell_line(format_args!("source: {source}"));
    }
    meter.begin(Stage::Reading);
    // Until here a signal may end this process where it is.
    let (loaded, architecture) = read(args, &source, workspace, &meter)?;
    meter.finish();
    let container = loaded.image.map(|image| image.container).unwrap_or_default();
    require_program(args, &source, &container)?;
    let distribution = donor::of(&os::detect(&loaded.tree)?);
    let spec = Spec {
        profile: Profile::Microvm,
        formats: vec![Format::Microvm],
        container: Some(container),
        architecture,
        ..Spec::default()
    };
    let stop = interrupt::flag()?;
    let job = root::Job { spec: &spec, workspace, meter: &meter, stop: &stop };
    match args.image.kernel.clone().unwrap_or(Kernel::Image(distribution)) {
        Kernel::Image(name) => {
            let built = kernel::build(&name, architecture, args.image.engine, workspace)?;
            let (view, socket) = (job.view(loaded.tree, &built)?, workspace.join("root.sock"));
            let served = Served::start(Arc::new(view), &socket)?;
            Ok((built.with_root(At::Server(socket)).with_size(CPUS, MEMORY_MIB), Some(served)))
        }
        own => Ok((job.whole(loaded.tree, &own)?.with_size(CPUS, MEMORY_MIB), None)),
    }
}

fn read(args: &Args, source: &Source, workspace: &Path, meter: &Meter) -> Result<(Loaded, Architecture)> {
    let host = Architecture::host().unwrap_or(Architecture::X86_64);
    let asked = &args.image.platform;
    let platform = asked.clone().unwrap_or_else(|| Platform::linux(host.oci_name()));
    let threads: NonZeroUsize = threads();
    let options = input::Options {
        platform: &platform,
        threads,
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
    Ok((loaded, architecture))
}

/// That there is a server of the root, if it is to be asked what was read.
fn require_served(asked: &ImageArgs) -> Result<()> {
    match &asked.kernel {
        Some(kernel @ (Kernel::File(_) | Kernel::Keep)) if asked.stats => Err(Error::user(format!(
            "--stats: with --kernel {kernel} the root is a file, which QEMU reads itself"
        ))
        .with_hint("leave one of them out")),
        _ => Ok(()),
    }
}

/// That the image names a program, or the command line does.
fn require_program(args: &Args, source: &Source, container: &Container) -> Result<()> {
    match args.program.has_program(&args.command, container) {
        true => Ok(()),
        false => Err(Error::user(format!("{source}: names no program, and the command line none either"))
            .with_hint("put one behind the image: sh")),
    }
}

/// As builds take it.
fn shown(platform: &Platform) -> String {
    format!("{}/{}", platform.os, platform.architecture)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        asked: ImageArgs,
    }

    #[test]
    fn of_a_root_in_a_file_nothing_is_counted() {
        for (words, is_refused) in [
            ("", false),
            ("--stats", false),
            ("--stats --kernel image:debian:12", false),
            ("--kernel keep", false),
            ("--stats --kernel keep", true),
            ("--stats --kernel file:bzImage", true),
        ] {
            let typed = Typed::parse_from(std::iter::once("run").chain(words.split_whitespace()));
            assert_eq!(require_served(&typed.asked).is_err(), is_refused, "{words}");
        }
    }
}
