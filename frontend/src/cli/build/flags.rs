//! What becomes of each flag of `docker buildx build`: one table for the command line, the engines and
//! `docs/build-flags.md`.

use super::docker_args::DockerArgs;
use crate::base::terminal::tell_line;
use crate::base::{Error, Result};
use crate::engine::buildah::Tool;

/// A flag of docker's.
pub(super) struct Flag {
    /// Its long name, without dashes.
    pub(super) name: &'static str,
    /// What becomes of it with docker.
    pub(super) docker: Fate,
    /// What becomes of it with buildah and podman.
    pub(super) store: Fate,
}

impl Flag {
    /// Whether docker gets it.
    pub(super) fn is_passed(&self) -> bool {
        self.docker == Passed
    }

    /// Whether docker alone has it.
    pub(super) fn is_dockers(&self) -> bool {
        self.store == Unknown
    }
}

/// What becomes of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The engine gets it.
    Passed,
    /// vmimage does itself what it asks for.
    Own,
    /// Nothing, for this reason, and a warning says so.
    Dropped(&'static str),
    /// An error, for this reason.
    Refused(&'static str),
    /// An error: the engine has no such option.
    Unknown,
}

use Fate::{Dropped, Own, Passed, Refused, Unknown};

const NO_ATTESTATION: Fate = Dropped("a disk carries no attestations");
const NO_MANIFEST: Fate = Dropped("a disk has no manifest to hold it");
const NO_IMAGE: Fate = Refused("vmimage build makes a disk, and no image");

/// All flags that the newest buildx has.
#[rustfmt::skip]
pub(super) const FLAGS: &[Flag] = &[
    both("add-host", Passed),
    Flag { name: "allow", docker: Passed, store: Unknown },
    both("annotation", NO_MANIFEST),
    both("attest", NO_ATTESTATION),
    both("build-arg", Passed),
    both("build-context", Passed),
    Flag { name: "builder", docker: Passed, store: Unknown },
    both("cache-from", Passed),
    both("cache-to", Passed),
    Flag { name: "call", docker: Passed, store: Unknown },
    both("cgroup-parent", Passed),
    Flag { name: "check", docker: Passed, store: Unknown },
    Flag { name: "debug", docker: Passed, store: Unknown },
    Flag { name: "file", docker: Passed, store: Own },
    both("iidfile", Refused("a disk has no image ID")),
    both("label", Passed),
    both("load", NO_IMAGE),
    Flag { name: "metadata-file", docker: Passed, store: Unknown },
    both("network", Passed),
    both("no-cache", Passed),
    Flag { name: "no-cache-filter", docker: Passed, store: Unknown },
    both("output", Own),
    both("platform", Passed),
    Flag { name: "policy", docker: Passed, store: Unknown },
    Flag { name: "progress", docker: Passed, store: Own },
    both("provenance", NO_ATTESTATION),
    both("pull", Passed),
    both("push", NO_IMAGE),
    Flag { name: "quiet", docker: Passed, store: Own },
    Flag { name: "resource", docker: Passed, store: Unknown },
    both("sbom", NO_ATTESTATION),
    both("secret", Passed),
    both("shm-size", Passed),
    both("ssh", Passed),
    both("tag", NO_IMAGE),
    Flag { name: "target", docker: Passed, store: Own },
    both("ulimit", Passed),
];

const fn both(name: &'static str, fate: Fate) -> Flag {
    Flag { name, docker: fate, store: fate }
}

/// What to type for an image beside the disk.
const IMAGE_BESIDE: &str = "for an image beside the disk: vmimage install, then \
    docker build -t NAME --load -o type=vmdisk,dest=web.qcow2 .";

/// Refuses what cannot be; `tool` builds, or docker.
pub(super) fn refuse(args: &DockerArgs, tool: Option<Tool>) -> Result<()> {
    for flag in args.given().filter_map(|(name, _)| find(name)) {
        let fate = if tool.is_some() { flag.store } else { flag.docker };
        let error = match fate {
            Refused(why) => Error::user(format!("--{}: {why}", flag.name)).with_hint(IMAGE_BESIDE),
            Unknown => {
                let tool = tool.map_or("docker", Tool::name);
                Error::user(format!("--{}: {tool} has no such option", flag.name))
                    .with_hint("leave it out, or build with --engine docker")
            }
            Passed | Own | Dropped(_) => continue,
        };
        return Err(error);
    }
    Ok(())
}

/// Says of what nothing will come.
pub(super) fn warn(args: &DockerArgs) {
    let dropped = args.given().filter(|(_, value)| !args.quiet && !is_off(*value));
    for flag in dropped.filter_map(|(name, _)| find(name)) {
        if let Dropped(why) = flag.docker {
            tell_line(format_args!("warning: --{}: ignored: {why}", flag.name));
        }
    }
}

/// The row of a flag.
pub(super) fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

/// Whether an attestation is switched off: `false`, `type=sbom,disabled=true`.
fn is_off(value: Option<&str>) -> bool {
    value.is_some_and(|value| value == "false" || value.split(',').any(|field| field == "disabled=true"))
}

#[cfg(test)]
mod tests;
