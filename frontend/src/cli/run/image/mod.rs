//! An image or a build context: its program runs in a machine that is made for it, and is gone with it, unless it stays.
//!
//! ```text
//! image ────────────────────────────────────┬─▶ files ─┬─▶ of which distribution ─▶ vmimage build of a kernel alone ─┐
//! context ─┬─ docker build ─▶ image ────────┘          └─▶ root ─┬─ served out of the image ────────────────────────┼─▶ machine
//!          │                                                     └─ written, if the machine stays ──────────────────┤
//!          └─ vmimage build ─▶ a folder: kernel, initramfs, root ───────────────────────────────────────────────────┘
//! ```
//!
//! An engine has the kernel in its build cache: it is one for all images of a release of a distribution.

mod build;
mod context;
mod donor;
mod files;
mod kept;
mod kernel;
mod root;
mod served;

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use exporter::container::Format;
use exporter::input::Platform;
use exporter::machine::Materials;
use exporter::spec::{Architecture, Container, Profile, Spec};
use exporter::tree::os;

use super::kind::SourceKind;
use super::microvm::{self, Microvm, Mode};
use super::{Args, CPUS, qemu, stays, workspace};
use crate::base::terminal::tell_line;
use crate::base::{Error, Meter, Result, Style, interrupt};
use crate::cli::convert::parse_platform;
use crate::cli::registry::RegistryArgs;
use crate::engine::Choice;
use crate::source::lookup;
use files::Files;
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

/// A machine, and who serves its root while it runs.
type Made = (Microvm, Option<Served>);

/// Where a machine is made.
struct Place<'a> {
    /// A folder for all that is made of it.
    workspace: &'a Path,
    /// Whether its root is written there as well.
    writes_root: bool,
}

impl<'a> Place<'a> {
    fn job(&self, spec: &'a Spec, meter: &'a Meter, stop: &'a AtomicBool) -> root::Job<'a> {
        root::Job { spec, workspace: self.workspace, meter, stop, writes_root: self.writes_root }
    }
}

/// Makes the machine, and runs its program.
///
/// # Errors
/// If there is no such image, no kernel for it, or what a flag asks for is not there.
pub(super) fn run(args: &Args, kind: SourceKind) -> Result<ExitCode> {
    require_served(&args.image)?;
    if stays::is_asked(args) {
        return kept::run(args, kind);
    }
    let workspace = workspace()?;
    check(args, workspace.path())?;
    let place = Place { workspace: workspace.path(), writes_root: false };
    let (machine, served) = make(args, kind, &place)?;
    let ended = microvm::boot(args, machine, Some(&workspace), Mode::Attached { keeps_root: false });
    if let Some(served) = served.filter(|_| args.image.stats) {
        let size = served.size();
        tell_line(format_args!("root: {} bytes of {size} were read", served.end()));
    }
    ended
}

/// Finds out what would fail, before anything is made.
fn check(args: &Args, workspace: &Path) -> Result<()> {
    let platform = args.image.platform.as_ref();
    let asked = platform.and_then(|platform| Architecture::from_oci(&platform.architecture));
    microvm::check(args, asked.unwrap_or_else(qemu::host), workspace)
}

fn make(args: &Args, kind: SourceKind, place: &Place<'_>) -> Result<Made> {
    match kind {
        SourceKind::Context => context::make(args, place),
        _ => of_image(args, place),
    }
}

/// That of an image: its files are the root, which is read out of them while the machine runs.
fn of_image(args: &Args, place: &Place<'_>) -> Result<Made> {
    let meter = Meter::new(Style::Auto);
    let (source, was_said) = lookup::find(args.source.as_os_str(), args.image.engine)?;
    if !was_said {
        tell_line(format_args!("source: {source}"));
    }
    // Until it is read a signal may end this process where it is.
    let Files { loaded, architecture } = Files::read(args, &source, place.workspace, &meter)?;
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
    let job = place.job(&spec, &meter, &stop);
    let (machine, served) = match args.image.kernel.clone().unwrap_or(Kernel::Image(distribution)) {
        Kernel::Image(name) => job.beside(&name, args.image.engine, loaded.tree, Materials::default())?,
        own => (job.whole(loaded.tree, &own)?, None),
    };
    Ok((machine.with_size(CPUS.into(), MEMORY_MIB), served))
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
fn require_program(args: &Args, source: &dyn fmt::Display, container: &Container) -> Result<()> {
    match args.program.has_program(&args.command, container) {
        true => Ok(()),
        false => Err(Error::user(format!("{source}: names no program, and the command line none either"))
            .with_hint("put one behind it: sh; or name one in its Dockerfile: ENTRYPOINT")),
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
