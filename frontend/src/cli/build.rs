//! `vmimage build`: a Dockerfile becomes a disk, by way of an engine that builds containers.

mod docker_args;
mod dry_run;
mod flags;
mod store;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use exporter::container::{Base, Compression, Format};

use super::disk::Outcome;
use super::disk::tell;
use super::install_args::InstallArgs;
use super::output;
use super::previous_args::PreviousArgs;
use crate::ask::request::{PACKAGES_CONTEXT, PREVIOUS_CONTEXT};
use crate::ask::{Asked, CONFIG, FORMAT, Flags, Hints, Topic, Wish, help_of, variable};
use crate::base::make::is_stdout;
use crate::base::temporary::Folder;
use crate::base::{Error, Result, terminal};
use crate::engine::destination::Destination;
use crate::engine::{Choice, Engine, buildx, frontend, receive};
use docker_args::DockerArgs;
use flags::Flag;

/// Build a Dockerfile into a disk that boots.
///
/// The Dockerfile is an ordinary one: the kernel, the boot loader and the partitions are added to what it
/// builds. The build itself is `docker buildx build`, whose options are taken as they are.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The build context: a directory, a URL, or - for a tar archive or a Dockerfile on stdin
    #[arg(default_value = ".")]
    context: String,
    #[arg(short, long, value_name = "FILE", help = output::output_help())]
    output: Vec<PathBuf>,
    #[arg(long, value_name = "DISK", help = output::BASE_HELP)]
    base: Option<PathBuf>,
    /// What builds
    #[arg(long, value_enum, default_value_t)]
    engine: Choice,
    /// The frontend image that makes the disk, in place of $VMIMAGE_FRONTEND (else example/vmimage) or of the
    /// Dockerfile's syntax line
    #[arg(long, value_name = "IMAGE")]
    frontend: Option<String>,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
    /// Print what would be built, how the disk would be divided and all that is wrong, and build nothing
    #[arg(long)]
    dry_run: bool,
    #[arg(long, value_parser = output::format_parser(), help = help_of(FORMAT), help_heading = Topic::Disk.heading())]
    format: Vec<Format>,
    #[arg(long, value_name = "FILE", help = help_of(CONFIG), help_heading = Topic::Disk.heading())]
    config: Option<String>,
    #[command(flatten)]
    disk: Flags,
    #[command(flatten)]
    previous: PreviousArgs,
    #[command(flatten)]
    install: InstallArgs,
    #[command(flatten)]
    docker: DockerArgs,
}

/// The attribute that is not passed on where this process compresses.
const COMPRESSION: &str = "compression";

const EXAMPLES: &str = "\
Examples:
  vmimage build                                       ./Dockerfile, the usual kernel: ./disk.qcow2
  vmimage build app -f app/prod.Dockerfile -o app.raw
  vmimage build -o web.qcow2 -o web.vhdx              the same machine in both formats
  vmimage build -o new.qcow2 --base web.qcow2         only what differs from a disk that is there
  vmimage build -o - --format raw | ssh host dd of=/dev/sdb
  vmimage build -o web.qcow2 --size 20G --hostname web --cmdline \"quiet mitigations=off\"
  vmimage build -o web.qcow2 --build-arg VERSION=1.2 --secret id=key,src=key.pem
  vmimage build -o web.qcow2 --platform linux/amd64,linux/arm64
                                                      web-linux-amd64.qcow2, web-linux-arm64.qcow2
  SOURCE_DATE_EPOCH=0 vmimage build -o web.qcow2      a build that is the same every time";

/// Builds, stores the disk under its names and says what it is.
pub(crate) fn run(args: &mut Args) -> Result<ExitCode> {
    if args.docker.only_asks() {
        return ask(args);
    }
    if args.output.is_empty() {
        args.output = output::usual_paths(&args.format);
    }
    let args = &*args;
    if args.dry_run {
        return dry_run::run(args);
    }
    let formats = formats(args)?;
    let base = base(args, &formats)?;
    let to = To::new(args, &formats)?;
    if let Engine::Store(tool) = engine(args) {
        let made = store::run(args, tool, &formats, &to, base.as_ref())?;
        Outcome::tell_all(&made, args.json, args.docker.quiet)?;
        return Ok(ExitCode::SUCCESS);
    }
    flags::refuse(&args.docker, None)?;
    flags::warn(&args.docker);
    let packages = args.install.packages()?;
    let has_syntax = frontend::is_named_by(&dockerfile(args), &frontend::image());
    let (to, formats) = match base {
        Some(base) => (to.over(base, compression(args, &formats)?), vec![Destination::ARRIVES_OVER_BASE]),
        None => (to, formats),
    };
    let previous = args.previous.folder()?;
    let contexts =
        [(PACKAGES_CONTEXT, packages.as_deref()), (PREVIOUS_CONTEXT, previous.as_ref().map(Folder::path))];
    let arguments = buildx_arguments(args, &formats, &contexts, has_syntax);
    let failed_why = |status| {
        let frontend = args.frontend.clone().unwrap_or_else(frontend::image);
        buildx::failed_why(status, &frontend, args.docker.builder.is_some())
    };
    match to {
        To::Files(destinations) => {
            let arrived =
                buildx::build(arguments, |stream| receive::store(stream, &destinations), failed_why)?;
            tell("", &receive::persist(arrived)?, args.json, args.docker.quiet)?;
        }
        To::Stdout(format) => {
            let mut stdout = std::io::stdout().lock();
            buildx::build(arguments, |stream| receive::pass_on(stream, format, &mut stdout), failed_why)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Has docker answer a question about the Dockerfile; the exit code is its own.
fn ask(args: &Args) -> Result<ExitCode> {
    let tool = match engine(args) {
        Engine::Store(tool) => Some(tool),
        Engine::Docker => None,
    };
    flags::refuse(&args.docker, tool)?;
    buildx::ask(args.docker.passed().chain(["--".to_owned(), args.context.clone()]))
}

/// The engine, which is told if it was not asked for. With none at all it is docker, which then is what is missing.
fn engine(args: &Args) -> Engine {
    let only_dockers = |(name, _)| flags::find(name).is_some_and(Flag::is_dockers);
    let is_for_docker = args.frontend.is_some() || args.docker.given().any(only_dockers);
    Engine::find(args.engine, is_for_docker, args.docker.quiet).unwrap_or(Engine::Docker)
}

/// Where the disk goes.
enum To {
    /// Files, each of another format.
    Files(Vec<Destination>),
    /// The one file of this format, to whoever reads stdout.
    Stdout(Format),
}

impl To {
    /// Finds out now whether the disk can be written there.
    fn new(args: &Args, formats: &[Format]) -> Result<Self> {
        if !is_stdout(&args.output[0]) {
            return Self::files(args, formats);
        }
        terminal::refuse_terminal("-o -")?;
        if platforms(args) > 1 {
            return Err(Error::user("-o -: stdout takes one disk, several platforms are asked for"));
        }
        output::refuse_json(args.json)?;
        Ok(Self::Stdout(formats[0]))
    }

    fn files(args: &Args, formats: &[Format]) -> Result<Self> {
        let files = args.output.iter().zip(formats).map(|(path, format)| Destination::new(path, *format));
        files.collect::<Result<_>>().map(Self::Files)
    }

    /// The same with the one disk over a base.
    fn over(self, base: Base, compression: Compression) -> Self {
        match self {
            Self::Files(files) => {
                let over = |file: Destination| file.over(base.clone(), compression);
                Self::Files(files.into_iter().map(over).collect())
            }
            Self::Stdout(_) => self,
        }
    }

    /// The files' names; of several platforms, those of this one.
    fn paths(&self, platform: Option<&str>) -> Vec<PathBuf> {
        let platform = platform.map(|platform| platform.replace('/', "-"));
        match self {
            Self::Files(files) => files.iter().map(|file| file.path(platform.as_deref())).collect(),
            Self::Stdout(_) => vec!["-".into()],
        }
    }
}

/// The disk that the one that is built is written over.
fn base(args: &Args, formats: &[Format]) -> Result<Option<Base>> {
    if args.base.is_some() && platforms(args) > 1 {
        return Err(Error::user("--base: is for one disk, several platforms are asked for"));
    }
    output::base(args.base.as_deref(), &args.output, formats)
}

fn platforms(args: &Args) -> usize {
    args.docker.platform.iter().flat_map(|list| list.split(',')).count()
}

/// How the disk over a base is compressed: by this process, so the build is not asked for it.
fn compression(args: &Args, formats: &[Format]) -> Result<Compression> {
    let mut asked = Asked::default();
    asked.ask(args.disk.wishes());
    asked.spec.formats = formats.to_vec();
    Ok(asked.spec.compressions()?.into_iter().next().unwrap_or(Compression::None))
}

/// The formats of the disk's files, if one build can make them all.
fn formats(args: &Args) -> Result<Vec<Format>> {
    let formats = output::formats(&args.output, &args.format)?;
    let mut asked = Asked::default();
    asked.ask(args.disk.wishes());
    asked.spec.formats.clone_from(&formats);
    asked.spec.artifacts()?;
    Ok(formats)
}

/// Where the Dockerfile is, if it is a local file.
fn dockerfile(args: &Args) -> PathBuf {
    match &args.docker.file {
        Some(file) => PathBuf::from(file),
        None => Path::new(&args.context).join("Dockerfile"),
    }
}

/// What is typed after `docker buildx build`, with folders of this machine by names; `has_syntax` if the Dockerfile itself
/// names the frontend.
fn buildx_arguments(
    args: &Args,
    formats: &[Format],
    contexts: &[(&str, Option<&Path>)],
    has_syntax: bool,
) -> Vec<String> {
    let mut out = Vec::new();
    let mut value = |flag: &str, value: &str| out.extend([flag.to_owned(), value.to_owned()]);
    for (key, text) in variables(args, formats, has_syntax) {
        value("--build-arg", &format!("{key}={text}"));
    }
    for (name, folder) in contexts.iter().filter_map(|(name, folder)| Some((name, (*folder)?))) {
        value("--build-context", &format!("{name}={}", folder.display()));
    }
    out.extend(args.docker.passed());
    let to_stdout = args.output.iter().any(|path| is_stdout(path));
    let ours = [Hints::Flags.argument()].into_iter().chain(receive::transport(formats, to_stdout));
    out.extend(ours.map(|(key, text)| format!("--build-arg={key}={text}")));
    // No attestations: they would be further files beside the disk.
    out.extend(["--provenance=false", "--sbom=false", "--output=type=tar,dest=-", "--"].map(String::from));
    out.push(args.context.clone());
    out
}

/// The build arguments that tell the frontend what is wanted: the one channel every engine has.
fn variables(args: &Args, formats: &[Format], has_syntax: bool) -> Vec<(String, String)> {
    let frontend = match (&args.frontend, has_syntax) {
        (Some(frontend), _) => Some(frontend.clone()),
        (None, true) => None,
        (None, false) => Some(frontend::image()),
    };
    let frontend = frontend.map(|image| ("BUILDKIT_SYNTAX".to_owned(), image));
    let [format, config] = file_arguments(args, formats);
    // What lies over a base is compressed where it arrives, whatever a configuration says.
    let is_ours = |wish: &&Wish| args.base.is_none() || wish.attribute().name != COMPRESSION;
    let plain = args.base.as_ref().map(|_| (variable(COMPRESSION), Compression::None.name().to_owned()));
    let disk = args.disk.wishes().iter().filter(is_ours).map(Wish::argument).chain(plain);
    frontend.into_iter().chain(format).chain(disk).chain(config).collect()
}

/// Those that flags of this command alone ask for.
///
/// The file's name is not among them: the same disk under another name is found in the cache.
fn file_arguments(args: &Args, formats: &[Format]) -> [Option<(String, String)>; 2] {
    let formats: Vec<_> = formats.iter().map(|format| format.name()).collect();
    [
        Some((variable(FORMAT), formats.join(","))),
        args.config.as_ref().map(|file| (variable(CONFIG), file.clone())),
    ]
}

#[cfg(test)]
mod tests;
