//! Which engine builds: the one that was asked for, or else the best that is there.
//!
//! Of docker, a look at `PATH` and a connection to a socket tell enough and take no time. The others are asked what
//! `vmimage doctor` asks them: one that is there and cannot run must not stand in the way of one that can.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Deserialize;

use super::buildah::Tool;
use crate::base::docker::{Places, docker_config, usual_config};
use crate::base::programs;
use crate::base::terminal::tell_line;

/// What `--engine` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// docker if its daemon answers, else podman, else buildah, as far as they can run
    #[default]
    Auto,
    /// docker buildx build
    Docker,
    /// podman build, with or without root
    Podman,
    /// buildah build, with or without root
    Buildah,
}

impl Choice {
    /// The program that is asked for, if it is one of the two that share a store.
    pub(crate) fn tool(self) -> Option<Tool> {
        match self {
            Self::Podman => Some(Tool::Podman),
            Self::Buildah => Some(Tool::Buildah),
            Self::Auto | Self::Docker => None,
        }
    }
}

/// What builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// `docker buildx build`: the disk is made inside the build.
    Docker,
    /// A build into the store of containers-storage(5): the disk is made of that by this process.
    Store(Tool),
}

impl Engine {
    /// The engine for a choice; `is_for_docker` if there are options that only docker has. `None` if it was left to
    /// this program, and there is none. What was passed over, and what was taken unasked, is told unless it is to be
    /// quiet.
    pub(crate) fn find(choice: Choice, is_for_docker: bool, is_quiet: bool) -> Option<Self> {
        let say = |line: &str| {
            if !is_quiet {
                tell_line(format_args!("engine: {line}"));
            }
        };
        let engine = match choice {
            Choice::Docker => return Some(Self::Docker),
            Choice::Podman | Choice::Buildah => return choice.tool().map(Self::Store),
            Choice::Auto if is_for_docker || docker_answers() => Self::Docker,
            Choice::Auto => Self::Store(fit_tool(say)?),
        };
        say(&engine.to_string());
        Some(engine)
    }
}

/// The first program that is there and can run; why others cannot is said.
fn fit_tool(say: impl Fn(&str)) -> Option<Tool> {
    let mut there = Tool::ALL.into_iter().filter(|tool| programs::find(tool.name()).is_some());
    there.find(|tool| tool.store().inspect_err(|unfit| say(&unfit.to_string())).is_ok())
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "docker",
            Self::Store(tool) => tool.name(),
        })
    }
}

/// Whether there is a docker with buildx, and a daemon that takes connections where that can be told.
fn docker_answers() -> bool {
    // podman comes as `docker` too, but without the plugin.
    programs::find("docker").is_some() && has_buildx() && Daemon::new(|name| env::var_os(name)).answers()
}

fn has_buildx() -> bool {
    Places::docker_buildx(&docker_config(None)).found().next().is_some()
}

/// Where the docker command would go.
#[derive(Debug, PartialEq, Eq)]
enum Daemon {
    /// To this socket.
    Socket(PathBuf),
    /// To another host, or to wherever a context or a builder leads: only trying would tell.
    Elsewhere,
}

impl Daemon {
    fn new(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name: &str| {
            variable(name).filter(|value| !value.is_empty()).map(|v| v.to_string_lossy().into_owned())
        };
        if text("BUILDX_BUILDER").is_some() {
            return Self::Elsewhere;
        }
        if let Some(host) = text("DOCKER_HOST") {
            return match host.strip_prefix("unix://") {
                Some(socket) => Self::Socket(socket.into()),
                None => Self::Elsewhere,
            };
        }
        let context = text("DOCKER_CONTEXT").or_else(|| current_context(&usual_config(&variable)?));
        match context.as_deref() {
            None | Some("" | "default") => Self::Socket("/var/run/docker.sock".into()),
            Some(_) => Self::Elsewhere,
        }
    }

    fn answers(&self) -> bool {
        match self {
            Self::Socket(path) => UnixStream::connect(path).is_ok(),
            Self::Elsewhere => true,
        }
    }
}

/// What `docker context use` has set.
fn current_context(folder: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(rename = "currentContext")]
        current_context: Option<String>,
    }
    let config = std::fs::read(folder.join("config.json")).ok()?;
    serde_json::from_slice::<Config>(&config).ok()?.current_context
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn the_daemon_is_where_docker_looks_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().to_str().unwrap().to_owned();
        let daemon = |set: &[(&str, &str)]| {
            Daemon::new(|name| match set.iter().find(|(key, _)| *key == name) {
                Some((_, value)) => Some((*value).into()),
                None => (name == "DOCKER_CONFIG").then(|| config.clone().into()),
            })
        };
        let socket = |path: &str| Daemon::Socket(path.into());
        assert_eq!(daemon(&[]), socket("/var/run/docker.sock"));
        assert_eq!(daemon(&[("DOCKER_HOST", "unix:///run/x.sock")]), socket("/run/x.sock"));
        assert_eq!(daemon(&[("DOCKER_HOST", "ssh://host")]), Daemon::Elsewhere);
        assert_eq!(daemon(&[("BUILDX_BUILDER", "far"), ("DOCKER_HOST", "unix:///x")]), Daemon::Elsewhere);
        assert_eq!(daemon(&[("DOCKER_CONTEXT", "rootless")]), Daemon::Elsewhere);
        assert_eq!(daemon(&[("DOCKER_CONTEXT", "default")]), socket("/var/run/docker.sock"));
        std::fs::write(folder.path().join("config.json"), r#"{"currentContext": "far", "auths": {}}"#)
            .unwrap();
        assert_eq!(daemon(&[]), Daemon::Elsewhere);
        assert_eq!(daemon(&[("DOCKER_HOST", "")]), Daemon::Elsewhere);
    }

    #[test]
    fn a_daemon_that_is_gone_does_not_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let daemon = Daemon::Socket(path.clone());
        assert!(!daemon.answers());
        let listener = UnixListener::bind(&path).unwrap();
        assert!(daemon.answers());
        drop(listener);
        assert!(!daemon.answers(), "the file is still there, nobody listens");
    }
}
