//! The assemble role: inside the build, as a step of the frontend's own image, without network,
//! privileges or a terminal.

mod image;
mod mkfs;
mod os_tar;

use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use exporter::assemble::{self, Input};
use exporter::boot::BootFiles;
use exporter::container::{containerdisk, sparse};
use exporter::fs::external::Mkfs;
use exporter::machine::Materials;
use exporter::report::Made;
use exporter::spec::{Artifact, Spec};
use exporter::tree::{HostDir, scan};

use crate::ask::Hints;
use crate::base::builtin;
use crate::base::make::{Making, Wanted, threads};
use crate::base::{Error, Meter, Result, Stage, Style, previous, terminal};
use image::OfImage;
use mkfs::Tools;

pub(crate) use os_tar::main as os_tar;

/// Turn a root file system into a disk (the build's own last step).
#[derive(Parser)]
#[command(name = "vmimage assemble")]
struct Args {
    /// The root file system.
    #[arg(long)]
    root: PathBuf,
    /// Folder with the distribution's boot loader files; ours are used if it is not there.
    #[arg(long)]
    boot: PathBuf,
    /// Folder with the files of the build context that the spec names.
    #[arg(long, default_value = "/context")]
    context: PathBuf,
    /// Folder with the secrets that the spec names.
    #[arg(long, default_value = "/run/secrets")]
    secrets: PathBuf,
    /// Folder with the file system of another stage or of a named context that the spec names.
    #[arg(long, value_name = "NAME=DIR", value_parser = named_folder)]
    stage: Vec<(String, PathBuf)>,
    /// Folder with the placement of the last build, if there is one.
    #[arg(long)]
    previous: Option<PathBuf>,
    /// The file system of the image that gives its kernel, if that is another one.
    #[arg(long)]
    donor: Option<PathBuf>,
    /// Folder for the files and images of file systems that are made by their own tools.
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// Folder for the artifacts.
    #[arg(long)]
    output: PathBuf,
    /// What the disk should be, as JSON.
    #[arg(long, value_parser = |text: &str| serde_json::from_str::<Spec>(text))]
    spec: Spec,
    /// Leave out the zeroes of files that have many: the client makes the files of what is left.
    #[arg(long)]
    sparse: bool,
    /// Make the folder the content of an image.
    #[arg(long)]
    image: Option<OfImage>,
}

pub(crate) fn main() -> ExitCode {
    let args = Args::parse_from(std::env::args_os().skip(1));
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print(hints().spelling());
            error.exit_code()
        }
    }
}

/// How hints are spelled: the frontend says it in a variable that is no part of the step's cache key.
fn hints() -> Hints {
    Hints::named(std::env::var("NO_PROXY").ok().as_deref())
}

fn run(args: &Args) -> Result<()> {
    // Lines in BuildKit's log, which every client shows its own way.
    let meter = Meter::new(Style::Plain);
    meter.begin(Stage::Reading);
    let threads = threads();
    let input = input(args, threads)?;
    if let Some(image) = args.image {
        image.prepare(&args.output)?;
    }
    let artifacts = args.spec.artifacts()?.iter().map(|artifact| wanted(artifact, args)).collect();
    let making = Making { threads, meter: &meter, stop: &AtomicBool::new(false) };
    let (planned, targets) = making.make(&args.spec, input, artifacts)?;
    let made = targets.iter().map(Made::read).collect::<exporter::Result<_>>()?;
    if let Some(image) = args.image {
        image.hand_over(&args.output, &targets, args.spec.source_date_epoch)?;
    }
    terminal::print(&planned.report(made).to_string())
}

fn input(args: &Args, threads: NonZeroUsize) -> Result<Input> {
    let boot = match BootFiles::read(&args.boot)? {
        Some(files) => Some(files),
        None => builtin::boot_files(args.spec.architecture)?,
    };
    let root = scan(&HostDir::open(&args.root)?, threads, &mut |_| {})?;
    let donor = match &args.donor {
        Some(path) => Some(assemble::scan_donor(&HostDir::open(path)?, threads)?),
        None => None,
    };
    let placement = args.previous.as_deref().map(previous::read).transpose()?;
    let mut materials =
        Materials { placement, ..materials(&args.spec, &args.context, &args.secrets, threads)? };
    for (name, path) in &args.stage {
        let stage = scan(&HostDir::open(path)?, threads, &mut |_| {})?;
        materials.stages.insert(name.clone(), stage);
    }
    let programs = builtin::programs(args.spec.architecture);
    let mkfs = args.scratch.as_deref().map(|scratch| Arc::new(Tools::new(scratch)) as Arc<dyn Mkfs>);
    Ok(Input { root, boot, donor, programs, materials, mkfs })
}

/// What the spec names of these folders. Who needs something that is not there says so.
fn materials(spec: &Spec, context: &Path, secrets: &Path, threads: NonZeroUsize) -> Result<Materials> {
    let mut materials = Materials::default();
    if !spec.context_files().is_empty() {
        materials.context = scan(&HostDir::open(context)?, threads, &mut |_| {})?;
    }
    for id in spec.secrets() {
        match std::fs::read(secrets.join(id)) {
            Ok(secret) => drop(materials.secrets.insert(id.to_owned(), secret)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::user(format!("secret {id}: cannot be read")).because(error)),
        }
    }
    Ok(materials)
}

fn named_folder(text: &str) -> Result<(String, PathBuf), &'static str> {
    let (name, path) = text.split_once('=').ok_or("write it as NAME=DIR")?;
    Ok((name.to_owned(), path.into()))
}

fn wanted(artifact: &Artifact, args: &Args) -> Wanted {
    let &Artifact { ref name, format, compression } = artifact;
    let sparse = args.sparse && artifact.is_sparse();
    let name = match sparse {
        _ if args.image == Some(OfImage::ContainerDisk) => containerdisk::QCOW2.to_owned(),
        true => format!("{name}{}", sparse::EXTENSION),
        false => name.clone(),
    };
    Wanted { path: args.output.join(name), format, compression, base: None, sparse }
}
