//! An image without a kernel: an engine gets it as it is, and `vmimage build` makes the disk of a Dockerfile
//! that says nothing but `FROM` it.
//!
//! So the kernel is installed, cached and shown as in any build, and the disk is that build's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use exporter::engine;
use exporter::image::{self, SingleLayerImage};
use exporter::input::Loaded;
use exporter::spec::{Architecture, Spec};

use super::{Args, Found};
use crate::ask::Asked;
use crate::ask::config::Context;
use crate::base::programs::Package;
use crate::base::reference::Reference;
use crate::base::temporary::Folder;
use crate::base::{Error, Meter, Result, Stage, child};
use crate::cli::plan::{DryRun, installs};
use crate::engine::Engine;
use crate::engine::handover::{HandedOver, Way};
use crate::source::Source;

/// What docker's classic store calls the image for a while; no registry has it.
const NAME: &str = "localhost/vmimage-convert";

/// Makes the disk through an engine, for want of what is `lacking`. What is asked for is `named` by its files, and `folder` has
/// room for the image.
pub(super) fn run(
    args: &Args,
    found: &Found,
    lacking: &str,
    named: &Context,
    folder: &Path,
    meter: &Meter,
    stop: &AtomicBool,
) -> Result<ExitCode> {
    let Found { source, loaded, architecture } = found;
    let architecture = *architecture;
    let engine = engine(args, lacking)?;
    let folder = workspace(folder)?;
    let way = Way::to(engine, args.engine.builder.as_deref())?;
    let base = match known_name(way, source, loaded) {
        Some(name) => HandedOver::named(name),
        None => hand_over(way, loaded, architecture, &folder.path().join("image"), meter, stop)?,
    };
    meter.finish();
    if stop.load(Ordering::Relaxed) {
        return Err(Error::user("interrupted"));
    }
    let dockerfile = folder.path().join("Dockerfile");
    std::fs::write(&dockerfile, format!("FROM {}\n", base.name)).map_err(|error| {
        Error::user(format!("{}: cannot be written", dockerfile.display())).because(error)
    })?;
    let mut words = words(args, engine, architecture, &base)?;
    words.extend(["--file".into(), dockerfile.into()]);
    let context = match &args.files.config {
        None => {
            let files = args.disk.wishes().iter().filter_map(|wish| wish.context_file()).collect();
            context_of(files, named, folder.path())?
        }
        // What it names is beside it: that folder is the context, of which only that is read.
        Some(file) => {
            words.push("--config".into());
            words.extend(file.file_name().map(Into::into));
            super::folder_of(file).to_owned()
        }
    };
    words.extend(["--".into(), context.into()]);
    build(&words)
}

/// A context in `folder` of the files that flags name, and of nothing else that lies beside them: a `vmimage.toml` there was not
/// asked for.
fn context_of(files: Vec<String>, named: &Context, folder: &Path) -> Result<PathBuf> {
    let context = folder.join("context");
    std::fs::create_dir(&context)
        .map_err(|error| Error::user(format!("{}: cannot be made", context.display())).because(error))?;
    files.iter().try_for_each(|path| named.copy(path, &context))?;
    Ok(context)
}

/// Says what would be asked of the engine, which gets nothing of the image for that.
pub(super) fn dry_run(args: &Args, found: &Found, lacking: &str, asked: &Asked) -> Result<ExitCode> {
    let Found { source, architecture, .. } = found;
    let engine = engine(args, lacking)?;
    let mut asks = vec![
        ("engine", engine.to_string()),
        ("source", format!("{source}, which {lacking}")),
        ("platform", format!("linux/{}", architecture.oci_name())),
    ];
    asks.extend(installs(asked, args.install.packages()?.as_deref()));
    let spec = Spec { architecture: *architecture, ..asked.spec.clone() };
    let plan = DryRun::of_build(&spec, args.output.clone(), asks);
    DryRun::tell_all(&[plan], args.show.json, args.show.quiet)?;
    Ok(ExitCode::SUCCESS)
}

/// The engine, which is told if it was not asked for.
fn engine(args: &Args, lacking: &str) -> Result<Engine> {
    let shown = args.source.to_string_lossy();
    if args.files.boot.is_some() {
        return Err(Error::user(format!(
            "--boot: {shown} {lacking}, and the boot loader comes with the kernel"
        ))
        .with_hint("leave --boot out; or take files with a kernel, and --no-install"));
    }
    let is_for_docker = args.engine.frontend.is_some() || args.engine.builder.is_some();
    Engine::find(args.engine.engine, is_for_docker, args.show.quiet).ok_or_else(|| {
        let message = format!("{shown}: {lacking}, and there is no engine to install one with");
        let hint = format!("{}; or podman or buildah; or take files that have one", Package::Docker.hint());
        Error::user(message).with_hint(hint)
    })
}

/// A folder for the image and the Dockerfile, of whose path buildx makes sense.
fn workspace(beside: &Path) -> Result<Folder> {
    let is_odd = |path: &Path| path.to_str().is_none_or(|path| path.contains([':', '@']));
    let absolute = std::path::absolute(beside).unwrap_or_else(|_| beside.to_owned());
    let parent = if is_odd(&absolute) { std::env::temp_dir() } else { absolute };
    Folder::new(".vmimage-", &parent)
        .map_err(|error| Error::user(format!("{}: cannot be written to", parent.display())).because(error))
}

/// The name by which the engine has the very image already. What an image has its builders do is not for it.
fn known_name(way: Way, source: &Source, loaded: &Loaded) -> Option<String> {
    if !loaded.image.as_ref()?.on_build.is_empty() {
        return None;
    }
    match (way, source) {
        // An id is no name for a Dockerfile.
        (Way::Load, Source::DockerDaemon(name)) if !is_id(name) && name.parse::<Reference>().is_ok() => {
            Some(name.clone())
        }
        (Way::Pull(_), Source::ContainersStorage(name)) if !name.starts_with(['[', '@']) => {
            Some(name.clone())
        }
        _ => None,
    }
}

fn is_id(name: &str) -> bool {
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    digits.len() >= 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Of its own for every run, for each removes its own: that of the workspace, which is random. Numbers of processes are
/// the same in containers that share a daemon.
fn image_name(folder: &Path) -> String {
    let workspace = folder.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    format!("{NAME}:{}", workspace.trim_start_matches('.'))
}

fn hand_over(
    way: Way,
    loaded: &Loaded,
    architecture: Architecture,
    folder: &Path,
    meter: &Meter,
    stop: &AtomicBool,
) -> Result<HandedOver> {
    meter.begin(Stage::Packing);
    let name = image_name(folder);
    let image = SingleLayerImage {
        tree: &loaded.tree,
        config: loaded.config_json.as_ref(),
        architecture,
        name: &name,
    };
    let progress = |progress: engine::Progress| meter.show(Stage::Packing, progress);
    let written = image::write(folder, &image, stop, &progress)?;
    HandedOver::hand_over(way, folder, &name, &written)
}

/// The command line of the build.
fn words(
    args: &Args,
    engine: Engine,
    architecture: Architecture,
    base: &HandedOver,
) -> Result<Vec<OsString>> {
    let mut words: Vec<OsString> = vec!["build".into(), format!("--engine={engine}").into()];
    let mut add = |flag: &str, value: &dyn AsRef<std::ffi::OsStr>| {
        let mut word = OsString::from(format!("--{flag}="));
        word.push(value.as_ref());
        words.push(word);
    };
    args.output.iter().for_each(|path| add("output", path));
    args.format.iter().for_each(|format| add("format", &format.name()));
    args.base.iter().for_each(|base| add("base", base));
    args.files.secret.iter().for_each(|secret| add("secret", secret));
    add("platform", &format!("linux/{}", architecture.oci_name()));
    add("progress", &args.show.progress());
    args.install.packages()?.iter().for_each(|folder| add("packages", folder));
    args.previous.path().iter().for_each(|path| add("previous", path));
    let own = &args.engine;
    own.frontend.iter().for_each(|image| add("frontend", image));
    own.builder.iter().for_each(|builder| add("builder", builder));
    own.build_arg.iter().for_each(|argument| add("build-arg", argument));
    own.network.iter().for_each(|mode| add("network", mode));
    own.add_host.iter().for_each(|host| add("add-host", host));
    words.extend(args.disk.wishes().iter().map(|wish| wish.flag().into()));
    words.extend(base.options.iter().map(OsString::from));
    words.extend(args.show.json.then(|| "--json".into()));
    words.extend(args.show.quiet.then(|| "--quiet".into()));
    Ok(words)
}

/// Runs this program for the build. A process of its own: without root it starts anew in the engine's user
/// namespace, and somebody has to clear away what was handed over.
fn build(words: &[OsString]) -> Result<ExitCode> {
    let cannot = |error| Error::internal("this program: cannot be started again").because(error);
    let program = std::env::current_exe().map_err(cannot)?;
    let ended = child::run(Command::new(program).args(words).stdin(Stdio::null())).map_err(cannot)?;
    // What went wrong it has said itself.
    let code = ended.status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use exporter::spec::ImageConfig;
    use exporter::tree::{Meta, Tree};

    use super::*;
    use crate::engine::buildah::Tool;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: Args,
    }

    fn typed(words: &[&str]) -> Args {
        Typed::parse_from(["convert"].iter().chain(words)).args
    }

    fn loaded(on_build: &[&str]) -> Loaded {
        let on_build = on_build.iter().map(|&line| line.to_owned()).collect();
        let image = Some(ImageConfig { on_build, ..ImageConfig::default() });
        Loaded { tree: Tree::new(Meta::default()), config: None, config_json: None, image }
    }

    #[test]
    fn only_an_image_that_the_engine_has_goes_by_its_name() {
        let plain = || loaded(&[]);
        let (load, pull) = (Way::Load, Way::Pull(Tool::Buildah));
        for (way, source, name) in [
            (load, "docker-daemon:app", Some("app")),
            (load, "docker-daemon:host:5000/app:v1", Some("host:5000/app:v1")),
            (load, "docker-daemon:0123456789ab", None),
            (load, "containers-storage:app", None),
            (load, "docker://debian:12", None),
            (Way::Context, "docker-daemon:app", None),
            (pull, "containers-storage:app", Some("app")),
            (pull, "containers-storage:[overlay@/a]app", None),
            (pull, "docker-daemon:app", None),
            (pull, "root", None),
        ] {
            let source = Source::parse(source.as_ref()).unwrap();
            assert_eq!(known_name(way, &source, &plain()).as_deref(), name, "{way:?} {source:?}");
        }
        let triggers = loaded(&["RUN make"]);
        assert_eq!(known_name(load, &Source::DockerDaemon("app".into()), &triggers), None);
    }

    #[test]
    fn a_context_has_what_flags_name_and_nothing_that_lies_beside_it() {
        let [here, workspace] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        std::fs::create_dir(here.path().join("kernels")).unwrap();
        for (name, text) in
            [("kernels/bzImage", "kernel"), ("kernels/other", ""), ("vmimage.toml", "size = 1")]
        {
            std::fs::write(here.path().join(name), text).unwrap();
        }
        let args = typed(&["app", "-o", "a.raw", "--kernel", "file:kernels/bzImage"]);
        let files = || args.disk.wishes().iter().filter_map(|wish| wish.context_file()).collect();
        let context = context_of(files(), &Context::open(here.path()).unwrap(), workspace.path()).unwrap();
        let names = |folder: &Path| {
            let entries = std::fs::read_dir(folder).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(
            (names(&context), names(&context.join("kernels"))),
            (vec!["kernels".into()], vec!["bzImage".into()])
        );
        assert_eq!(std::fs::read(context.join("kernels/bzImage")).unwrap(), b"kernel");
    }

    /// Two of one process, as of two containers that both are process 1, are not the same.
    #[test]
    fn an_image_that_is_handed_over_has_a_name_of_its_own() {
        let folders = [(); 2].map(|()| workspace(&std::env::temp_dir()).unwrap());
        let names = folders.each_ref().map(|folder| image_name(&folder.path().join("image")));
        assert_ne!(names[0], names[1]);
        for name in names {
            assert!(name.starts_with(NAME) && name.parse::<Reference>().is_ok(), "{name}");
        }
    }

    #[test]
    fn the_build_is_asked_for_all_that_was_typed() {
        let line = |line: &str| {
            let args = typed(&line.split(' ').collect::<Vec<_>>());
            let base = HandedOver::named("app");
            let words = words(&args, Engine::Docker, Architecture::X86_64, &base).unwrap();
            words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            line("docker://app -o web.qcow2"),
            "build --engine=docker --output=web.qcow2 --platform=linux/amd64 --progress=auto"
        );
        let given = "app -o a.x -o b.x --format raw --format vdi --size 10G --hostname web --kernel linux \
                     --base c.raw \
                     --mirror http://a --builder b --build-arg A=1 --network none --add-host a:b --progress plain -q";
        assert_eq!(
            line(given),
            "build --engine=docker --output=a.x --output=b.x --format=raw --format=vdi --base=c.raw \
             --platform=linux/amd64 --progress=plain --builder=b --build-arg=A=1 --network=none --add-host=a:b --size=10G --hostname=web \
             --kernel=linux --mirror=http://a --quiet"
        );
        assert!(
            Typed::try_parse_from(["convert", "a", "-o", "b", "--no-install", "--mirror", "http://a"])
                .is_err()
        );
    }
}
