//! A build context: docker builds its image, whose files are the root, as of any other image.
//!
//! ```text
//! Dockerfile ─ docker buildx build ─▶ image, with a name for the moment ─▶ files ─┐
//! vmimage.toml, labels ─▶ what is asked ─┬─ of the root and its size ─────────────┴─▶ root, and the kernel of the base
//!                                        └─ more ─▶ vmimage build, which writes the root
//! ```
//!
//! `vmimage build` is for all that a root and another kernel do not do, so nothing that is asked is left out.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::Path;

use exporter::input::Loaded;
use exporter::spec::{ImageConfig, Microvm as Size, Setup, Spec};
use exporter::tree::{Tree, kernel as kernels, os};

use super::build::{self, Build};
use super::files::Files;
use super::{Made, Place, require_program, shown};
use crate::ask::config::{Configuration, Context, Secrets};
use crate::ask::request::{Request, STAGE, Stage};
use crate::ask::{Asked, FORMAT, Hints, Install, variable};
use crate::base::make::threads;
use crate::base::terminal::tell_line;
use crate::base::{Meter, Result, Style, interrupt, text};
use crate::cli::run::Args;
use crate::cli::run::microvm::Microvm;
use crate::engine::buildx::Tagged;
use crate::engine::dockerfile::{Target, Variables, predefined};
use crate::engine::{Engine, frontend};
use crate::provision;
use crate::source::Source;

const DOCKERFILE: &str = "Dockerfile";
/// Far more than any Dockerfile has.
const DOCKERFILE_MAX: u64 = 4 << 20;
const PROFILE: &str = "profile";
const KERNEL: &str = "kernel";
const MICROVM: &str = "microvm";

/// What becomes of a context.
enum Outcome {
    Made(Box<Made>),
    /// Its root has to be written, for this reason.
    Beyond(String),
}

/// The machine of a context.
///
/// # Errors
/// If it cannot be built, or what it asks for is not there.
pub(super) fn make(args: &Args, place: &Place<'_>) -> Result<Made> {
    match by_image(args, place)? {
        Outcome::Made(made) => Ok(*made),
        Outcome::Beyond(why) => {
            tell_line(format_args!("{}: its root is written first: {why}", args.source.display()));
            built(args, place.workspace).map(|microvm| (microvm, None))
        }
    }
}

/// That of its image.
fn by_image(args: &Args, place: &Place<'_>) -> Result<Outcome> {
    if let Some(why) = has_no_image(args) {
        return Ok(Outcome::Beyond(why));
    }
    let context = Context::open(&args.source)?;
    let wishes = Wishes::read(args, &context)?;
    if !wishes.are_of_the_root(&wishes.asked(&BTreeMap::new())?) {
        return Ok(Outcome::Beyond(MORE.to_owned()));
    }
    let (meter, stop) = (Meter::new(Style::Auto), interrupt::flag()?);
    let Files { loaded: Loaded { tree, image, .. }, architecture } = read(args, place.workspace, &meter)?;
    let ImageConfig { labels, container, .. } = image.unwrap_or_default();
    let asked = wishes.asked(&labels)?;
    if !wishes.are_of_the_root(&asked) {
        return Ok(Outcome::Beyond(MORE.to_owned()));
    }
    if !kernels::all(&tree)?.is_empty() {
        return Ok(Outcome::Beyond("its image has a kernel".to_owned()));
    }
    require_program(args, &args.source.display(), &container)?;
    let donor = donor(args, &asked, &tree)?;
    let spec = Spec { architecture, container: Some(container), ..asked.spec };
    let materials = context.materials(&spec, &Secrets::parse(&[])?, threads())?;
    let job = place.job(&spec, &meter, &stop);
    let (microvm, served) = job.beside(&donor, args.image.engine, tree, materials)?;
    let Size { cpus, memory, .. } = spec.microvm;
    Ok(Outcome::Made(Box::new((microvm.with_size(cpus, memory.0 >> 20), served))))
}

/// Why its root is written where more is asked than that has.
const MORE: &str = "more is asked for than its files, users, network, program and size";

/// Why there is no image of it to be had.
fn has_no_image(args: &Args) -> Option<String> {
    if !args.source.is_dir() {
        return Some("it is elsewhere".to_owned());
    }
    match Engine::find(args.image.engine, false, true) {
        Some(Engine::Store(tool)) => Some(format!("{} builds it", tool.name())),
        // Without any, docker is what is missing.
        Some(Engine::Docker) | None => None,
    }
}

/// The files of its image, which is nobody's any more when they are read.
fn read(args: &Args, workspace: &Path, meter: &Meter) -> Result<Files> {
    let frontend = frontend::image();
    let image = Tagged::build(name(workspace), &arguments(args, &frontend), &frontend)?;
    Files::read(args, &Source::DockerDaemon(image.name().to_owned()), workspace, meter)
}

/// A name that no other image has.
fn name(workspace: &Path) -> String {
    let random = workspace.file_name().unwrap_or_default().to_string_lossy();
    let random: String = random.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("vmimage-run:{}-{random}", std::process::id())
}

/// What is typed behind `docker buildx build`: for the files alone, with what is run on them.
fn arguments(args: &Args, frontend: &str) -> Vec<OsString> {
    let mut words = Vec::new();
    let mut add = |flag: &str, value: &str| words.push(OsString::from(format!("--{flag}={value}")));
    if !frontend::is_named_by(&args.source.join(DOCKERFILE), frontend) {
        add("build-arg", &format!("BUILDKIT_SYNTAX={frontend}"));
    }
    // The kernel comes from elsewhere, and so nothing is looked at for one.
    let asked = [(PROFILE, MICROVM), (FORMAT, MICROVM), (KERNEL, "keep")];
    let asked = asked.map(|(name, value)| (variable(name), value.to_owned()));
    let others = [(STAGE.to_owned(), Stage::Rootfs.name().to_owned()), Hints::Flags.argument()];
    asked.into_iter().chain(others).for_each(|(name, value)| add("build-arg", &format!("{name}={value}")));
    args.image.platform.iter().for_each(|platform| add("platform", &shown(platform)));
    args.image.build_network.iter().for_each(|network| add("network", network));
    words.extend(["--".into(), args.source.as_os_str().to_owned()]);
    words
}

/// Which image gives it its kernel: the one that is asked for, or that at the bottom of it, as in a build.
fn donor(args: &Args, asked: &Asked, tree: &Tree) -> Result<String> {
    let named = match &asked.install.donor {
        Some(name) => Some(name.clone()),
        None => base(args, tree)?,
    };
    named.map_or_else(|| Ok(super::donor::of(&os::detect(tree)?)), Ok)
}

/// The image at the bottom of it, if that can have a kernel.
fn base(args: &Args, tree: &Tree) -> Result<Option<String>> {
    if !provision::has_manager(tree) {
        return Ok(None);
    }
    let dockerfile = text::read(&args.source.join(DOCKERFILE), DOCKERFILE_MAX)?;
    let platform = args.image.platform.as_ref().map(shown);
    let target = Target::find(&dockerfile, None, &Variables::new(), &predefined(platform.as_deref()))?;
    Ok(target.base.map(|base| base.name))
}

/// That of a build, which an engine has in its cache as far as nothing has changed.
fn built(args: &Args, workspace: &Path) -> Result<Microvm> {
    let folder = workspace.join("vm");
    build::run(Build {
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

/// All that says what the machine should be.
struct Wishes {
    typed: Request,
    loaded: Configuration,
    /// What it is if nobody says anything.
    plain: Asked,
}

impl Wishes {
    fn read(args: &Args, context: &Context) -> Result<Self> {
        Self::of(args.image.kernel.as_ref().map(ToString::to_string), context.load(None)?)
    }

    fn of(kernel: Option<String>, loaded: Configuration) -> Result<Self> {
        let epoch = env::var("SOURCE_DATE_EPOCH").ok();
        let microvm = [(variable(PROFILE), MICROVM.to_owned()), (variable(FORMAT), MICROVM.to_owned())];
        let typed = |kernel: Option<String>| {
            let kernel = kernel.map(|kernel| (variable(KERNEL), kernel));
            let all: Vec<_> = microvm.iter().cloned().chain(kernel).collect();
            Request::new(&[], all.iter().map(|(name, value)| (&**name, &**value)))
        };
        let plain = typed(None)?.over(&BTreeMap::new(), &Configuration::default())?.disk;
        Ok(Self { typed: typed(kernel)?.clamped(epoch.as_deref())?, loaded, plain })
    }

    /// What is asked of an image with these labels.
    fn asked(&self, labels: &BTreeMap<String, String>) -> Result<Asked> {
        self.typed.over(labels, &self.loaded).map(|request| request.disk)
    }

    /// Whether nothing is asked but what is in the root, of which image the kernel is, and how large the machine is. The
    /// scripts that are run on the files are run by the engine.
    fn are_of_the_root(&self, asked: &Asked) -> bool {
        let plain = &self.plain;
        let Asked { spec, install, config, hooks: _ } = asked.clone();
        let microvm = Size { modules: spec.microvm.modules.clone(), ..plain.spec.microvm.clone() };
        let setup = Setup { modules: spec.setup.modules.clone(), ..plain.spec.setup.clone() };
        let Spec { name, hostname, size, image, network, source_date_epoch, .. } = plain.spec.clone();
        let spec = Spec { name, hostname, size, image, network, source_date_epoch, microvm, setup, ..spec };
        let (donor, time_zone) = (plain.install.donor.clone(), plain.install.time_zone);
        let install = Install { donor, time_zone, ..install };
        Asked { spec, install, config, hooks: plain.hooks.clone() } == *plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_of_the_root(toml: &str, labels: &[(&str, &str)]) -> bool {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("vmimage.toml"), toml).unwrap();
        std::fs::write(folder.path().join("motd"), "hello\n").unwrap();
        let loaded = Context::open(folder.path()).unwrap().load(None).unwrap();
        let wishes = Wishes::of(None, loaded).unwrap();
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        wishes.are_of_the_root(&wishes.asked(&labels.collect()).unwrap())
    }

    #[test]
    fn what_a_root_has_needs_no_build_of_all_and_nothing_else_is_left_out() {
        for toml in [
            "",
            "hostname = \"web\"\nsize = \"2G\"\ntimezone = \"Europe/Berlin\"",
            "[microvm]\ncpus = 2\nmemory = \"384M\"\non-crash = \"restart\"",
            "[microvm.ulimits]\nnofile = 1024",
            "[[users]]\nname = \"ada\"\n[[files]]\npath = \"/etc/motd\"\nsource = \"motd\"",
            "kernel = \"image:debian:12\"",
        ] {
            assert!(is_of_the_root(toml, &[]), "{toml}");
        }
        for toml in [
            "cmdline = \"loglevel=7\"",
            "kernel = \"keep\"",
            "kernel = \"linux-image-amd64\"",
            "mirror = \"http://mirror.example\"",
            "volatile = \"overlay\"",
            "[microvm]\nmodules = [\"nbd\"]",
            "[microvm]\nmodules = [\"all\"]",
        ] {
            assert!(!is_of_the_root(toml, &[]), "{toml}");
        }
        assert!(is_of_the_root("", &[("vmimage.hostname", "web"), ("maintainer", "ada")]));
        assert!(!is_of_the_root("", &[("vmimage.cmdline", "quiet")]));
    }

    #[test]
    fn a_kernel_of_another_image_is_taken_and_a_file_needs_a_build() {
        let of = |kernel: &str| {
            let wishes = Wishes::of(Some(kernel.to_owned()), Configuration::default()).unwrap();
            let asked = wishes.asked(&BTreeMap::new()).unwrap();
            (wishes.are_of_the_root(&asked), asked.install.donor)
        };
        assert_eq!(of("image:debian:12"), (true, Some("debian:12".to_owned())));
        assert!(!of("keep").0 && !of("file:bzImage").0);
    }

    #[test]
    fn the_image_has_a_name_of_its_own() {
        let name = name(Path::new("/state/machines/.new-aB3"));
        assert!(name.starts_with("vmimage-run:") && name.ends_with("-newaB3"), "{name}");
    }
}
