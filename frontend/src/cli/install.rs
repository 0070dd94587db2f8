//! `vmimage install`: this program in front of docker's buildx, or of buildctl.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::ask::{ATTRIBUTES, Topic};
use crate::base::docker::{Places, docker_config, kept};
use crate::base::programs::Package;
use crate::base::{Error, Result, shell, terminal};
use crate::shim::slot::{Occupant, Slot};

/// Teach docker, nerdctl and buildctl `--output type=vmdisk,dest=web.qcow2`.
///
/// This program is put in front of docker's plugin buildx. It changes a build with such an output and hands
/// everything else to the real plugin, which is kept. docker, its daemon and its settings stay as they are.
#[derive(Debug, clap::Args)]
#[command(after_help = examples())]
pub(crate) struct Args {
    /// For you alone: in ~/.docker/cli-plugins, or where DOCKER_CONFIG says [default]
    #[arg(long)]
    user: bool,
    /// For all users of this host: in /usr/local/lib/docker/cli-plugins
    #[arg(long, conflicts_with = "user")]
    system: bool,
    /// In front of buildctl instead, for nerdctl and for buildctl itself: in this folder, which has to come
    /// before the real one in PATH
    #[arg(long, value_name = "DIR", conflicts_with_all = ["user", "system"])]
    buildctl: Option<PathBuf>,
    /// Take it away again, and put back what was there
    #[arg(long)]
    uninstall: bool,
}

const EXAMPLES: &str = "\
Examples:
  vmimage install                        docker build and docker buildx know type=vmdisk from now on
  sudo vmimage install --system          for everyone here
  sudo vmimage install --buildctl /usr/local/sbin
                                         nerdctl build, buildctl build
  vmimage install --uninstall            as it was before

Then:
  docker buildx build --output type=vmdisk,dest=web.qcow2 .
  docker build -o type=vmdisk,dest=web.qcow2,size=20G -o type=vmdisk,dest=web.vhdx .
                                         two files of one machine
  docker build -t team/web --push -o type=vmdisk,dest=web.qcow2 .
                                         the container to its registry, the machine into a file
  docker build -o type=vmdisk,dest=-,format=raw . | ssh host dd of=/dev/sdb
  docker build -o type=image,name=registry.example/web:v1,push=true,format=containerdisk .
                                         the machine as an image in a registry, for KubeVirt
  docker buildx bake                     with output = [\"type=vmdisk,dest=web.qcow2\"] in the target

Attributes of type=vmdisk, as the flags of vmimage build; dest is the file, and - is stdout:
";

fn examples() -> String {
    let names = |topic| {
        let of_topic = ATTRIBUTES.iter().filter(move |attribute| attribute.topic == topic);
        of_topic.map(|attribute| attribute.name).collect::<Vec<_>>().join(", ")
    };
    let lines = Topic::ALL.map(|topic| format!("  {}", names(topic)));
    EXAMPLES.to_owned() + &lines.join("\n")
}

/// Puts the shim in its place, or takes it away.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let (places, folder) = match &args.buildctl {
        Some(folder) => (Places::buildctl(), folder.clone()),
        None => {
            let config = docker_config(None);
            let folder = if args.system { Places::system() } else { config.join("cli-plugins") };
            (Places::docker_buildx(&config), folder)
        }
    };
    let slot = Slot::new(&folder, places.program());
    if args.uninstall {
        uninstall(&slot)?
    } else {
        install(&slot, &places)?
    }
    Ok(ExitCode::SUCCESS)
}

fn install(slot: &Slot, places: &Places) -> Result<()> {
    let real = real_behind(slot, places)?;
    let before = places.before(slot.path());
    for program in before.iter().flatten() {
        if is_real(program)? {
            let message = format!("{}: is found before {}", program.display(), slot.path().display());
            return Err(Error::user(message).with_hint(way_past(places)));
        }
    }
    slot.take()?;
    let (path, real) = (slot.path().display(), real.display());
    terminal::print_line(format_args!("{path}: stands in front of {real}"))?;
    if before.is_none() {
        let folder = slot.path().parent().unwrap_or(Path::new("."));
        let folder = shell::quote(folder);
        terminal::print_line(format_args!("hint: it is not in PATH yet: export PATH={folder}:$PATH"))?;
    }
    Ok(())
}

/// The real program that will be behind the shim.
fn real_behind(slot: &Slot, places: &Places) -> Result<PathBuf> {
    if slot.occupant()? == Occupant::Other {
        // It will be kept.
        return Ok(kept(slot.path()));
    }
    if let Some(kept) = slot.kept() {
        return Ok(kept);
    }
    for program in places.found() {
        if program != slot.path() && is_real(&program)? {
            return Ok(program);
        }
    }
    let hint = match places.program() {
        "buildctl" => "it is a part of BuildKit: https://github.com/moby/buildkit/releases".to_owned(),
        _ => Package::Buildx.hint(),
    };
    Err(Error::user(format!(
        "{}: is not installed, so there is nothing to be put in front of",
        places.program()
    ))
    .with_hint(hint))
}

fn is_real(program: &Path) -> Result<bool> {
    Ok(Slot::at(program).occupant()? == Occupant::Other)
}

fn way_past(places: &Places) -> &'static str {
    match places.program() {
        "buildctl" => "name a folder that PATH has before it",
        _ => {
            "it is a user's own, or in cliPluginsExtraDirs of docker's config.json: try --user, or take that folder out"
        }
    }
}

fn uninstall(slot: &Slot) -> Result<()> {
    let path = slot.path().display();
    let is = if slot.leave()? { "taken away" } else { "not there" };
    terminal::print_line(format_args!("{path}: vmimage is {is}"))
}

/// For `vmimage doctor`: does docker come to the shim first, and what is behind it?
pub(super) fn state() -> Result<String> {
    let places = Places::docker_buildx(&docker_config(None));
    let hint = "put vmimage in front of docker buildx: vmimage install";
    let Some(first) = places.found().next() else {
        return Err(Error::user("there is no docker buildx to be put in front of"));
    };
    let slot = Slot::at(&first);
    let shown = first.display();
    match slot.occupant()? {
        Occupant::Nobody | Occupant::Other if slot.kept().is_some() => {
            Err(Error::user(format!("{shown} was put over vmimage, by an upgrade perhaps")).with_hint(hint))
        }
        Occupant::Nobody | Occupant::Other => {
            Err(Error::user("docker does not know --output type=vmdisk").with_hint(hint))
        }
        Occupant::Shim { current } => {
            let behind = places.behind(first.as_os_str());
            let real =
                behind.ok_or_else(|| Error::user(format!("{shown}: there is no real one behind it")))?;
            let version = if current { "" } else { ", as of another version (vmimage install renews it)" };
            Ok(format!("{shown}, in front of {}{version}", real.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_attribute() {
        let examples = examples();
        let (_, named) = examples.split_once("Attributes").unwrap();
        for attribute in &ATTRIBUTES {
            assert!(named.contains(attribute.name), "{}", attribute.name);
        }
    }
}
