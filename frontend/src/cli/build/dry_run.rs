//! `vmimage build --dry-run`: what would be asked of the engine, and the disk as far as that tells.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use exporter::container::Format;
use exporter::spec::Spec;
use exporter::terminal::address;

use super::{Args, To, dockerfile, engine, flags, formats, store};
use crate::ask::config::{Configuration, Context, FILE};
use crate::ask::request::{Request, check_problems};
use crate::ask::spelling;
use crate::base::make::is_stdout;
use crate::base::{Error, Result};
use crate::cli::plan::{Asks, DryRun, installs};
use crate::engine::buildah::Tool;
use crate::engine::dockerfile::{Base, Target, host_platform, predefined};
use crate::engine::{Engine, frontend};
use crate::provision;

/// Prints the plan, or all that is wrong.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let mut problems = Problems::default();
    let engine = engine(args);
    let tool = match engine {
        Engine::Store(tool) => Some(tool),
        Engine::Docker => None,
    };
    problems.note(match tool {
        Some(tool) => store::refuse_unknown(args, tool),
        None => flags::refuse(&args.docker, None),
    });
    let packages = problems.note(args.install.packages()).flatten();
    problems.note(args.previous.read());
    let formats = problems.note(formats(args)).unwrap_or_else(|| vec![Format::Qcow2]);
    let to = problems.note(destinations(args, &formats));
    problems.note(super::base(args, &formats));
    let wanted = wanted(args, tool, &formats, &mut problems);
    let platforms = platforms(args);
    let mut plans = Vec::new();
    for platform in &platforms {
        let (Some(wanted), Some(to)) = (&wanted, &to) else { continue };
        let paths = to.paths(Some(platform.as_str()).filter(|_| platforms.len() > 1));
        let Some(spec) = problems.note(spec(wanted, platform)) else { continue };
        let mut asks = builds(args, engine, platform);
        asks.extend(installs(&wanted.disk, packages.as_deref()));
        plans.push(DryRun::of_build(&spec, paths, asks));
    }
    problems.end()?;
    DryRun::tell_all(&plans, args.json, args.docker.quiet)?;
    Ok(ExitCode::SUCCESS)
}

/// All that is asked of the disk, but for what labels of its image ask.
fn wanted(args: &Args, tool: Option<Tool>, formats: &[Format], problems: &mut Problems) -> Option<Request> {
    let asked = problems.note(store::asked(args, formats));
    let name = asked.as_ref().and_then(|asked| asked.disk.config.clone());
    let loaded = problems.note(configuration(args, name.as_deref()))?;
    let wanted = problems.note(asked?.over(&BTreeMap::new(), &loaded))?;
    if tool.is_some() {
        problems.note(wanted.disk.refuse_stages());
    }
    Some(wanted)
}

/// What is wrong, as far as it is known.
#[derive(Default)]
struct Problems(Vec<Error>);

impl Problems {
    fn note<T>(&mut self, found: Result<T>) -> Option<T> {
        found.map_err(|error| self.0.push(error)).ok()
    }

    /// Says all; the last one is said by whoever ends this program.
    fn end(mut self) -> Result<()> {
        let last = self.0.pop();
        self.0.iter().for_each(|error| error.print(spelling::flag));
        last.map_or(Ok(()), Err)
    }
}

/// Nothing goes to stdout but the plan.
fn destinations(args: &Args, formats: &[Format]) -> Result<To> {
    match (&args.output[..], formats) {
        ([path], [format]) if is_stdout(path) => Ok(To::Stdout(*format)),
        _ => To::files(args, formats),
    }
}

/// The configuration of a context that is a folder; of others the build alone reads it.
fn configuration(args: &Args, name: Option<&str>) -> Result<Configuration> {
    let is_remote = args.context == "-" || args.context.contains("://") || args.context.contains('@');
    match is_remote {
        true => Ok(Configuration::default()),
        false => Context::open(Path::new(&args.context))?.load(name),
    }
}

fn platforms(args: &Args) -> Vec<String> {
    let asked = args.docker.platform.iter().flat_map(|list| list.split(','));
    let asked: Vec<_> = asked.map(str::to_owned).collect();
    if asked.is_empty() { vec![host_platform()] } else { asked }
}

/// What is asked of the disk for this platform, if it can be had.
fn spec(wanted: &Request, platform: &str) -> Result<Spec> {
    let spec = Spec { architecture: provision::architecture(platform)?, ..wanted.disk.spec.clone() };
    check_problems(&spec).map(|()| spec)
}

/// What is built, and by whom.
fn builds(args: &Args, engine: Engine, platform: &str) -> Vec<Asks> {
    let dockerfile = dockerfile(args);
    let image = args.frontend.clone().unwrap_or_else(frontend::image);
    let context = Path::new(&args.context);
    let mut asks = vec![("engine", engine.to_string())];
    asks.extend((engine == Engine::Docker).then_some(("frontend", image)));
    asks.push(("context", address(&args.context).to_string()));
    let target = std::fs::read_to_string(&dockerfile).ok().and_then(|text| {
        // What is not understood here the engine may understand.
        let given = store::build_arguments(&args.docker);
        Target::find(&text, args.docker.target.as_deref(), &given, &predefined(Some(platform))).ok()
    });
    if dockerfile.is_file() {
        asks.push(("file", dockerfile.display().to_string()));
    }
    asks.extend(args.docker.target.clone().map(|target| ("target", target)));
    asks.extend(
        target.map(|target| {
            ("base", target.base.map_or_else(|| "scratch".to_owned(), |Base { name, .. }| name))
        }),
    );
    asks.push(("platform", platform.to_owned()));
    asks.push((
        "config",
        match context.is_dir() {
            true => args.config.clone().unwrap_or_else(|| FILE.to_owned()),
            false => "known to the build alone, as is the context".to_owned(),
        },
    ));
    asks
}
