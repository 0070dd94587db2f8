//! `vmimage build` with an engine that has no frontends: it builds an image, and the disk is made of that
//! by this process.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use exporter::assemble::{Input, scan_donor};
use exporter::container::{Base, Format};
use exporter::machine::Materials;
use exporter::spec::{Profile, Spec};
use exporter::terminal::address;
use exporter::tree::{HostDir, scan};

use super::docker_args::DockerArgs;
use super::{Args, To, flags};
use crate::ask::config::{Configuration, Context, Secrets};
use crate::ask::request::{PACKAGES_CONTEXT, PREVIOUS_CONTEXT, Request, STAGE, Stage};
use crate::ask::{Asked, Folder};
use crate::base::builtin;
use crate::base::interrupt::Interrupt;
use crate::base::make::threads;
use crate::base::{Error, Meter, Result, Style, progress};
use crate::cli::disk::{self, Outcome};
use crate::engine::buildah::{self, Built, Leftovers, Mounted, Store, StoreBuild, Tool};
use crate::engine::dockerfile::Variables;

/// Build arguments that every step sees, by these names and in lower case.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// Builds, and makes the disks.
pub(super) fn run(
    args: &Args,
    tool: Tool,
    formats: &[Format],
    to: &To,
    base: Option<&Base>,
) -> Result<Vec<Outcome>> {
    let docker = &args.docker;
    refuse_unknown(args, tool)?;
    let context = Path::new(&args.context);
    if !context.is_dir() {
        return Err(Error::user(format!("{}: is not a directory", address(&args.context)))
            .with_hint(format!("{} builds directories: unpack or clone it first", tool.name())));
    }
    let mut packages = args.install.packages()?;
    let previous = args.previous.read()?;
    let mut asked = asked(args, formats)?;
    asked.disk.install.packages = packages.as_ref().map(|_| Folder::Client);
    let folder = Context::open(context)?;
    let secrets = Secrets::parse(&docker.secret)?;
    let loaded = folder.load(asked.disk.config.as_deref())?;
    let sources = Sources { loaded: &loaded, asked: &asked, formats };
    let wanted = sources.wanted(&BTreeMap::new())?;
    wanted.refuse_stages()?;
    if let Some(Folder::Context(path)) = &wanted.install.packages {
        packages = Some(folder.directory(path)?);
    }
    buildah::enter(tool, &arguments(tool))?;
    flags::warn(docker);

    let interrupt =
        Interrupt::catch().map_err(|error| Error::internal("signals: cannot be caught").because(error))?;
    let leftovers = Leftovers::new(tool)?;
    let store = Store { tool, interrupt: &interrupt, leftovers: &leftovers, quiet: docker.quiet };
    let meter = Meter::new(match docker.progress.as_deref() {
        _ if docker.quiet => Style::Quiet,
        Some("plain") => Style::Plain,
        _ => Style::Auto,
    });
    let dockerfile = dockerfile(args);
    let platforms: Vec<_> = docker.platform.iter().flat_map(|list| list.split(',')).map(Some).collect();
    let platforms = if platforms.is_empty() { vec![None] } else { platforms };
    // All of them before any disk: a build that fails leaves none.
    let mut built = Vec::new();
    for &platform in &platforms {
        let request = StoreBuild {
            context,
            dockerfile: &dockerfile,
            stage: docker.target.as_deref(),
            arguments: build_arguments(docker),
            platform,
            pull: docker.pull,
            needs_kernel: wanted.spec.profile != Profile::Data,
            install: &wanted.install,
            hooks: &wanted.hooks,
            packages: packages.as_deref(),
            options: options(docker, platform),
            own_options: own_options(docker, &dockerfile),
            threads: threads(),
        };
        built.push(store.make(&request)?);
    }
    let mut made = Vec::new();
    for (built, platform) in built.into_iter().zip(&platforms) {
        let paths = to.paths(platform.filter(|_| platforms.len() > 1));
        let of_image = sources.wanted(&built.image.labels)?;
        if of_image.install != wanted.install {
            let message = "the image's labels ask for packages, a kernel or an init: without a frontend they are known too late";
            return Err(
                Error::user(message).with_hint("ask for them in vmimage.toml, or build with --engine docker")
            );
        }
        let materials = folder.materials(&of_image.spec, &secrets, threads())?;
        let materials = Materials { placement: previous.clone(), ..materials };
        made.push(make(&store, built, materials, &of_image.spec, (&paths, base), &meter)?);
    }
    Ok(made)
}

/// All that says what the disk should be.
struct Sources<'a> {
    loaded: &'a Configuration,
    asked: &'a Request,
    formats: &'a [Format],
}

impl Sources<'_> {
    /// What the disk should be, of an image with these labels.
    fn wanted(&self, labels: &BTreeMap<String, String>) -> Result<Asked> {
        let mut wanted = self.asked.over(labels, self.loaded)?.disk;
        // The names of the artifacts have told.
        wanted.spec.formats = self.formats.to_vec();
        Ok(wanted)
    }
}

/// One image, one disk.
fn make(
    store: &Store<'_>,
    built: Built,
    materials: Materials,
    spec: &Spec,
    (paths, base): (&[PathBuf], Option<&Base>),
    meter: &Meter,
) -> Result<Outcome> {
    let boot = match built.boot {
        Some(boot) => Some(boot),
        None => builtin::boot_files(built.architecture)?,
    };
    meter.begin(progress::Stage::Reading);
    let threads = threads();
    let open = |mounted: &Mounted| HostDir::open(mounted.path());
    let root = scan(&open(&built.root)?, threads, &mut |_| {})?;
    let donor = match &built.donor {
        Some(mounted) => Some(scan_donor(&open(mounted)?, threads)?),
        None => None,
    };
    let container = Some(built.image.container);
    let spec = Spec { architecture: built.architecture, container, ..spec.clone() };
    let job = disk::Job { spec: &spec, paths, base, threads, meter, stop: store.interrupt.flag() };
    // The plan reads from what is mounted, and so ends before it.
    let made = job.make(Input {
        root,
        boot,
        donor,
        programs: builtin::programs(built.architecture),
        materials,
        mkfs: None,
    });
    store.interrupt.check()?;
    made
}

/// Options that these engines lack. None is passed over in silence.
pub(super) fn refuse_unknown(args: &Args, tool: Tool) -> Result<()> {
    let docker = &args.docker;
    flags::refuse(docker, Some(tool))?;
    let is_plain = |progress: &str| matches!(progress, "auto" | "plain");
    for (option, is_given) in [
        ("--frontend", args.frontend.is_some()),
        ("--progress other than auto and plain", docker.progress.as_deref().is_some_and(|p| !is_plain(p))),
    ] {
        if is_given {
            return Err(Error::user(format!("{option}: {} has no such option", tool.name()))
                .with_hint("leave it out, or build with --engine docker"));
        }
    }
    // These are of the frontend: the engine's own build would take such a folder and do nothing with it.
    for (context, flag) in [(PACKAGES_CONTEXT, "--packages"), (PREVIOUS_CONTEXT, "--previous")] {
        let is_named = |given: &String| given.split_once('=').is_some_and(|(name, _)| name == context);
        if docker.build_context.iter().any(is_named) {
            let message = format!("--build-context {context}: {} does nothing with it", tool.name());
            return Err(Error::user(message).with_hint(format!("pass the folder by {flag}")));
        }
    }
    Ok(())
}

/// What the disk should be: told, and checked, as with the other engines by variables.
pub(super) fn asked(args: &Args, formats: &[Format]) -> Result<Request> {
    let given = build_arguments(&args.docker);
    let of_files = super::file_arguments(args, formats).into_iter().flatten().collect::<Vec<_>>();
    let all = of_files.iter().map(|(name, value)| (name, value)).chain(&given);
    let all = all.map(|(name, value)| (name.as_str(), value.as_str()));
    let epoch = given.get("SOURCE_DATE_EPOCH").cloned().or_else(|| env::var("SOURCE_DATE_EPOCH").ok());
    let mut asked = Request::new(args.disk.wishes(), all)?.clamped(epoch.as_deref())?;
    if asked.stage != Stage::Disk {
        return Err(Error::user(format!("{STAGE}: only docker's builds have other results than a disk")));
    }
    // The names of the artifacts have told.
    asked.disk.spec.formats = formats.to_vec();
    Ok(asked)
}

/// `--build-arg` with values; one without takes that of the environment.
pub(super) fn build_arguments(docker: &DockerArgs) -> Variables {
    let value = |text: &String| match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((text.clone(), env::var(text).ok()?)),
    };
    docker.build_arg.iter().filter_map(value).collect()
}

/// How this process is started anew: with the engine that was found.
fn arguments(tool: Tool) -> Vec<OsString> {
    let mut arguments: Vec<_> = env::args_os().skip(1).collect();
    let names_engine = |word: &OsString| word.as_encoded_bytes().starts_with(b"--engine");
    if !arguments.iter().any(names_engine) {
        // After the sub-command.
        arguments.insert(1.min(arguments.len()), format!("--engine={}", tool.name()).into());
    }
    arguments
}

fn dockerfile(args: &Args) -> PathBuf {
    if let Some(file) = &args.docker.file {
        return PathBuf::from(file);
    }
    let names = ["Containerfile", "Dockerfile"].map(|name| Path::new(&args.context).join(name));
    let [_, usual] = &names;
    names.iter().find(|path| path.is_file()).unwrap_or(usual).clone()
}

/// Options of every build: of the steps that are added, and of the user's own.
pub(super) fn options(docker: &DockerArgs, platform: Option<&str>) -> Vec<String> {
    let mut options = Vec::new();
    options.extend(platform.map(|platform| format!("--platform={platform}")));
    options.extend(docker.network.iter().map(|mode| format!("--network={mode}")));
    options.extend(docker.add_host.iter().map(|host| format!("--add-host={host}")));
    options.extend(docker.shm_size.iter().map(|size| format!("--shm-size={size}")));
    options.extend(docker.ulimit.iter().map(|limit| format!("--ulimit={limit}")));
    options.extend(docker.cgroup_parent.iter().map(|group| format!("--cgroup-parent={group}")));
    options.extend(docker.no_cache.then(|| "--no-cache".to_owned()));
    let is_proxy = |argument: &&String| {
        let name = argument.split('=').next().unwrap_or_default();
        PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
    };
    options
        .extend(docker.build_arg.iter().filter(is_proxy).map(|argument| format!("--build-arg={argument}")));
    options
}

/// Further options of the user's own build.
pub(super) fn own_options(docker: &DockerArgs, dockerfile: &Path) -> Vec<String> {
    let is_own = |argument: &&String| !argument.starts_with("VMIMAGE_");
    let arguments: Vec<_> = docker.build_arg.iter().filter(is_own).cloned().collect();
    let mut options = Vec::new();
    for (flag, given) in [
        ("--build-arg", &arguments),
        ("--build-context", &docker.build_context),
        ("--secret", &docker.secret),
        ("--ssh", &docker.ssh),
        ("--label", &docker.label),
        ("--cache-from", &docker.cache_from),
        ("--cache-to", &docker.cache_to),
    ] {
        options.extend(given.iter().map(|given| format!("{flag}={given}")));
    }
    // One of the Dockerfile's own is not found beside the changed Dockerfile.
    let beside = [".dockerignore", ".containerignore"].map(|extension| {
        let mut name = dockerfile.as_os_str().to_owned();
        name.push(extension);
        PathBuf::from(name)
    });
    let own = beside.iter().find(|path| path.is_file());
    options.extend(own.map(|path| format!("--ignorefile={}", path.display())));
    options
}
