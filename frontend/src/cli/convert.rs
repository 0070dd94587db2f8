//! `vmimage convert`: files that are there already become a disk, without a build. If they lack a kernel, an engine
//! installs it on them.

mod install;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use exporter::assemble::{self, Input, Planned};
use exporter::boot::BootFiles;
use exporter::container::Format;
use exporter::engine;
use exporter::input::{self, Loaded, Platform, Progress};
use exporter::machine::Materials;
use exporter::spec::{Architecture, Profile, Spec};
use exporter::tree::Tree;

use super::disk::Outcome;
use super::install_args::InstallArgs;
use super::plan::DryRun;
use super::previous_args::PreviousArgs;
use super::registry::RegistryArgs;
use super::{disk, output};
use crate::ask::config::{Configuration, Context, Secrets};
use crate::ask::request::Request;
use crate::ask::{Asked, FORMAT, Flags, Kernel, Sources, help_of, variable};
use crate::base::builtin;
use crate::base::make::{Making, is_stdout, spool, threads};
use crate::base::{Error, Meter, Result, ShowArgs, Stage, interrupt, terminal};
use crate::engine::Choice;
use crate::provision::STUBS;
use crate::source::{Access, Mirror, Source, lookup};

/// Turn files that are there already into a disk.
///
/// Files with a kernel and an init need no engine and no privileges: the disk is made by this program alone.
/// On an image without them they are installed as `vmimage build` does it: by docker, podman or buildah.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A directory, a tar, an image wherever it is, or - for a tar on stdin
    #[arg(long_help = SOURCE_HELP)]
    source: OsString,
    #[arg(short, long, value_name = "FILE", help = output::output_help())]
    output: Vec<PathBuf>,
    #[arg(long, value_parser = output::format_parser(), help = help_of(FORMAT))]
    format: Vec<Format>,
    #[arg(long, value_name = "DISK", help = output::BASE_HELP)]
    base: Option<PathBuf>,
    #[command(flatten)]
    files: FilesArgs,
    /// Install nothing: the files are the machine
    #[arg(long, conflicts_with_all = ["kernel", "mirror", "packages"])]
    no_install: bool,
    /// Print what the disk would be and hold, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Threads that read and compress; no byte depends on their number
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    show: ShowArgs,
    // From here on each has its heading, which would stand above what follows without one.
    #[command(flatten)]
    disk: Flags,
    #[command(flatten)]
    previous: PreviousArgs,
    #[command(flatten)]
    install: InstallArgs,
    #[command(flatten)]
    engine: EngineArgs,
    /// Ask another registry for the images of HOST first; may be repeated
    #[arg(long, value_name = "HOST=URL", help_heading = "Registry options")]
    registry_mirror: Vec<Mirror>,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// How files become a disk, whatever becomes of it.
#[derive(Debug, clap::Args)]
pub(super) struct FilesArgs {
    /// A file that asks for all this and more; what it names lies in its folder
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// A secret that the configuration names
    #[arg(long, value_name = "id=ID,src=FILE")]
    secret: Vec<String>,
    /// Folder with boot loader files, in place of the built-in ones
    #[arg(long, value_name = "DIR")]
    boot: Option<PathBuf>,
    /// Of an image for several platforms, the one to take
    #[arg(long, value_name = "OS/ARCH", value_parser = parse_platform)]
    platform: Option<Platform>,
}

/// The engine that installs what the files lack.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Engine options, for what is installed")]
struct EngineArgs {
    /// What installs
    #[arg(long, value_enum, default_value_t)]
    engine: Choice,
    /// The frontend image, in place of $VMIMAGE_FRONTEND, else example/vmimage (docker)
    #[arg(long, value_name = "IMAGE")]
    frontend: Option<String>,
    /// The builder to use (docker)
    #[arg(long, value_name = "NAME")]
    builder: Option<String>,
    /// Set a build-time variable, such as http_proxy
    #[arg(long, value_name = "KEY=VALUE")]
    build_arg: Vec<String>,
    /// The network it is done on
    #[arg(long, value_name = "MODE")]
    network: Option<String>,
    /// Add a host's address
    #[arg(long, value_name = "HOST:IP")]
    add_host: Vec<String>,
}

pub(super) const SOURCE_HELP: &str = "\
What becomes the disk:
  DIR                      a root file system; or an OCI layout, if it holds one
  FILE                     a tar of a root file system, plain, gzip or zstd; or an archive of an image
  -                        such a tar on stdin
  oci:DIR[:REF]            an image in an OCI layout
  oci-archive:FILE[:REF]   the same as a tar
  docker-archive:FILE[:REF]
                           what docker save writes
  docker://HOST[:PORT]/NAME[:TAG][@DIGEST]
                           an image in a registry; without HOST on docker.io
  docker-daemon:IMAGE      an image of the docker engine (through the docker command)
  containers-storage:IMAGE
                           an image of podman and buildah (through podman, skopeo or buildah)
  tar:FILE, dir-tree:DIR   a root file system, whatever its name looks like
  NAME[:TAG][@DIGEST]      where there is no such file: an image of an engine, or else in its registry";

const EXAMPLES: &str = "\
Examples:
  vmimage convert docker://registry.example:5000/team/app:v1 -o web.qcow2
                                                          an image in a registry; it gets a kernel
  vmimage convert --engine buildah containers-storage:localhost/app -o web.vmdk
                                                          what buildah or podman has built
  vmimage convert docker-daemon:app --packages debs/ -o web.qcow2
                                                          kernel and all out of a folder, without a network
  vmimage convert --no-install rootfs/ -o web.qcow2       a directory with a kernel and an init in it
  vmimage convert --no-install rootfs/ -o web.qcow2 -o web.vhdx
                                                          two formats from one pass
  vmimage convert --no-install rootfs/ -o new.qcow2 --base web.qcow2
                                                          only what differs from a disk that is there
  docker export app | vmimage convert --no-install - -o web.qcow2
                                                          a container's files
  vmimage convert --profile data site/ -o site.raw        a disk with these files on one partition
  vmimage convert --no-install rootfs/ -o - --format raw | ssh host dd of=/dev/vdb";

/// Makes the disks and says what they are.
pub(crate) fn run(args: &mut Args) -> Result<ExitCode> {
    if args.output.is_empty() {
        args.output = output::usual_paths(&args.format);
    }
    let args = &*args;
    let asked = Wishes::new(args)?;
    // Found out now, not after everything was read.
    asked.wanted(&BTreeMap::new())?.compressions()?;
    if args.no_install {
        asked.refuse_install()?;
    }
    args.install.packages()?;
    let placement = args.previous.read()?;
    let what = args.what();
    let source = what.find()?;
    let threads = args.threads.unwrap_or_else(threads);
    // What cannot be written is found out before anything is downloaded.
    output::check(&args.output, &asked.formats)?;
    let base = output::base(args.base.as_deref(), &args.output, &asked.formats)?;
    let meter = args.show.meter();
    meter.begin(Stage::Reading);
    let spool = spool(args.output.first().map(PathBuf::as_path));
    let found = what.read(source, threads, &spool, &meter)?;
    // Until here a signal may end this process where it is: nothing has a name yet that would be left.
    let stop = interrupt::flag()?;
    let labels = found.loaded.image.as_ref().map(|image| image.labels.clone()).unwrap_or_default();
    let wanted = asked.wanted(&labels)?;
    let lack = assemble::lacks(&found.loaded.tree, &wanted)?.map(|lack| lack.to_string());
    let needs = lack.or(lacks_stub(&found.loaded.tree, &wanted)).or(asked.needs_engine()?.map(str::to_owned));
    if let (Some(lacking), true, false) = (needs, wanted.profile != Profile::Data, args.no_install) {
        if args.dry_run {
            return install::dry_run(args, &found, &lacking, &asked.asked(&labels)?);
        }
        return install::run(args, &found, &lacking, &asked.context, &spool, &meter, &stop);
    }
    asked.refuse_install()?;
    let (spec, input) = what.input(&asked, wanted, found, placement, threads)?;
    let base = base.as_ref();
    let job = disk::Job { spec: &spec, paths: &args.output, base, threads, meter: &meter, stop: &stop };
    if args.dry_run {
        DryRun::tell_all(&[job.plan(input)?], args.show.json, args.show.quiet)?;
        return Ok(ExitCode::SUCCESS);
    }
    Outcome::tell_all(&[job.make(input)?], args.show.json, args.show.quiet)?;
    Ok(ExitCode::SUCCESS)
}

/// What a UKI lacks that begins with nothing.
fn lacks_stub(root: &Tree, wanted: &Spec) -> Option<String> {
    let has_stub = STUBS.iter().any(|path| root.resolve(path).is_some());
    (wanted.formats.contains(&Format::Uki) && !has_stub).then(|| "has no stub of a UKI".to_owned())
}

/// All that says what the disk should be.
struct Wishes {
    typed: Request,
    formats: Vec<Format>,
    context: Context,
    loaded: Configuration,
    secrets: Secrets,
}

impl Wishes {
    fn new(args: &Args) -> Result<Self> {
        if is_stdout(&args.output[0]) && !args.dry_run {
            terminal::refuse_terminal("-o -")?;
            output::refuse_json(args.show.json)?;
        }
        Self::of(&args.what(), output::formats(&args.output, &args.format)?)
    }

    /// For artifacts of these formats.
    fn of(what: &What<'_>, formats: Vec<Format>) -> Result<Self> {
        let (context, loaded) = configuration(what.files)?;
        let secrets = Secrets::parse(&what.files.secret)?;
        Ok(Self { typed: typed(what.disk, &formats)?, formats, context, loaded, secrets })
    }

    /// What the disk should be, of an image with these labels.
    fn wanted(&self, labels: &BTreeMap<String, String>) -> Result<Spec> {
        self.asked(labels).map(|asked| asked.spec)
    }

    /// The same with what is to be installed for it.
    fn asked(&self, labels: &BTreeMap<String, String>) -> Result<Asked> {
        let mut asked = self.typed.over(labels, &self.loaded)?.disk;
        // The names of the artifacts have told.
        asked.spec.formats.clone_from(&self.formats);
        asked.refuse_stages()?;
        Ok(asked)
    }

    /// What was asked for, as far as only an engine does it.
    fn needs_engine(&self) -> Result<Option<&'static str>> {
        let asked = self.typed.over(&BTreeMap::new(), &self.loaded)?.disk;
        let install = &asked.install;
        let is_kernel =
            install.donor.is_some() || install.kernel.as_ref().is_some_and(|kernel| *kernel != Kernel::Keep);
        let is_needed = is_kernel || !install.further.is_empty() || install.sources != Sources::default();
        Ok(match (is_kernel, is_needed || !asked.hooks.is_empty()) {
            (true, _) => Some("is to have another kernel"),
            (false, true) => Some("lacks what is to be installed or run on it"),
            (false, false) => None,
        })
    }

    fn refuse_install(&self) -> Result<()> {
        match self.needs_engine()? {
            None => Ok(()),
            Some(_) => Err(Error::user("the kernel, packages, certificates, repositories or hooks that are asked for: nothing is installed here")
                .with_hint("leave out --no-install, or what asks for them")),
        }
    }
}

/// The configuration and the folder that its names are of.
fn configuration(args: &FilesArgs) -> Result<(Context, Configuration)> {
    let Some(path) = &args.config else {
        return Ok((Context::open(Path::new("."))?, Configuration::default()));
    };
    let folder = folder_of(path);
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Error::user(format!("{}: is not the name of a file", path.display())))?;
    let context = Context::open(folder)?;
    let loaded = context.load(Some(name))?;
    Ok((context, loaded))
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// What the options ask for, and the formats of the artifacts: a configuration may name others, which are not made now. Here
/// several may have one extension, since each has its own name.
fn typed(disk: &Flags, formats: &[Format]) -> Result<Request> {
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok();
    let by_extension: BTreeMap<_, _> =
        formats.iter().map(|format| (format.suffix(), format.name())).collect();
    let names: Vec<_> = by_extension.into_values().collect();
    let (variable, names) = (variable(FORMAT), names.join(","));
    Request::new(disk.wishes(), std::iter::once((&*variable, &*names)))?.clamped(epoch.as_deref())
}

fn boot_files(args: &FilesArgs, architecture: Architecture) -> Result<Option<BootFiles>> {
    let Some(folder) = &args.boot else { return Ok(builtin::boot_files(architecture)?) };
    let files = BootFiles::read(folder)?;
    let missing = || Error::user(format!("{}: holds no boot loader files", folder.display()));
    Ok(Some(files.ok_or_else(missing)?))
}

/// What was typed of the files that become a disk.
pub(super) struct What<'a> {
    pub(super) source: &'a OsStr,
    pub(super) files: &'a FilesArgs,
    pub(super) disk: &'a Flags,
    pub(super) registry: &'a RegistryArgs,
    pub(super) mirrors: &'a [Mirror],
    /// Which engines may be asked for an image.
    pub(super) engine: Choice,
    pub(super) is_quiet: bool,
}

/// What becomes the disk.
struct Found {
    source: Source,
    loaded: Loaded,
    /// The instruction set of its programs.
    architecture: Architecture,
}

impl Args {
    fn what(&self) -> What<'_> {
        What {
            source: &self.source,
            files: &self.files,
            disk: &self.disk,
            registry: &self.registry,
            mirrors: &self.registry_mirror,
            engine: self.engine.engine,
            is_quiet: self.show.quiet,
        }
    }
}

impl What<'_> {
    /// Plans the disk, for which no engine is asked to install anything; large temporary files go into `spool`. Signals set
    /// the flag, once all is read.
    ///
    /// # Errors
    /// If the files lack something, or cannot be read.
    pub(super) fn plan(
        &self,
        threads: NonZeroUsize,
        meter: &Meter,
        spool: &Path,
    ) -> Result<(Planned, Arc<AtomicBool>)> {
        let asked = Wishes::of(self, vec![Format::Raw])?;
        let source = self.find()?;
        meter.begin(Stage::Reading);
        let found = self.read(source, threads, spool, meter)?;
        let stop = interrupt::flag()?;
        let labels = found.loaded.image.as_ref().map(|image| image.labels.clone()).unwrap_or_default();
        let wanted = asked.wanted(&labels)?;
        let lack = assemble::lacks(&found.loaded.tree, &wanted)?.map(|lack| lack.to_string());
        let needs = lack.or(asked.needs_engine()?.map(str::to_owned));
        if let Some(lacking) = needs.filter(|_| wanted.profile != Profile::Data) {
            let shown = self.source.display();
            return Err(Error::user(format!("{shown}: {lacking}, and nothing is installed here"))
                .with_hint(format!("make a disk of it first: vmimage convert {shown} -o disk.qcow2")));
        }
        let (spec, input) = self.input(&asked, wanted, found, None, threads)?;
        let planned = Making { threads, meter, stop: &stop }.plan(&spec, input, None)?;
        Ok((planned, stop))
    }

    /// Where the files are, which is told if it was not said.
    fn find(&self) -> Result<Source> {
        let (source, was_said) = lookup::find(self.source, self.engine)?;
        if !was_said && !self.is_quiet {
            terminal::tell_line(format_args!("source: {source}"));
        }
        Ok(source)
    }

    fn read(&self, source: Source, threads: NonZeroUsize, spool: &Path, meter: &Meter) -> Result<Found> {
        let host = Architecture::host().unwrap_or(Architecture::X86_64);
        let platform = self.files.platform.clone().unwrap_or_else(|| Platform::linux(host.oci_name()));
        let options = input::Options {
            platform: &platform,
            threads,
            spool,
            progress: &|Progress { done, total }| {
                let stage = if total == 0 { Stage::Spooling } else { Stage::Reading };
                meter.show(stage, engine::Progress { done, total });
            },
        };
        let access = Access {
            plain_http: self.registry.plain_http,
            mirrors: self.mirrors,
            auth_file: self.registry.authfile.as_deref(),
            store_reader: self.engine.tool(),
            progress: &|progress| meter.show(Stage::Downloading, progress),
            note: &|text| meter.note(text),
        };
        let loaded = source.read(&access, &options)?;
        let asked =
            self.files.platform.as_ref().and_then(|platform| Architecture::from_oci(&platform.architecture));
        let told = || Architecture::from_oci(&loaded.config.as_ref()?.architecture().to_string());
        let architecture = asked.or_else(told).or_else(|| Architecture::of(&loaded.tree)).unwrap_or(host);
        Ok(Found { source, loaded, architecture })
    }

    /// All that the disk of files is made from that lack nothing.
    fn input(
        &self,
        asked: &Wishes,
        wanted: Spec,
        found: Found,
        placement: Option<Vec<u8>>,
        threads: NonZeroUsize,
    ) -> Result<(Spec, Input)> {
        let Found { architecture, loaded: Loaded { tree: root, image, .. }, .. } = found;
        let container = image.map(|image| image.container);
        let spec = Spec { architecture, container, ..wanted };
        let materials = asked.context.materials(&spec, &asked.secrets, threads)?;
        let materials = Materials { placement, ..materials };
        let (boot, programs) = (boot_files(self.files, architecture)?, builtin::programs(architecture));
        Ok((spec, Input { root, boot, donor: None, programs, materials, mkfs: None }))
    }
}

/// The platform of a machine, as it is typed.
pub(super) fn parse_platform(text: &str) -> Result<Platform, String> {
    let platform = Platform::parse(text).ok_or("write it as linux/amd64")?;
    match Architecture::from_oci(&platform.architecture) {
        Some(_) if platform.os == "linux" => Ok(platform),
        _ => Err("one of linux/amd64, linux/arm64".to_owned()),
    }
}
