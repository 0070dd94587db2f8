//! Where the files of a disk come from: what [`exporter::input`] reads by itself, and what has to be fetched.

pub(crate) mod lookup;
mod loopback;
mod program;
pub(crate) mod registry;

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use exporter::engine::Progress;
use exporter::input::{self, Input, Loaded, Location};

use crate::base::reference::Reference;
use crate::base::{Error, Result};
use crate::engine::buildah::Tool;
pub(crate) use registry::Mirror;

/// Where a tree or an image is, as a person writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Files of this machine, or a stream on stdin.
    Local(Input),
    /// `docker://REFERENCE`: a registry.
    Registry(Reference),
    /// `docker-daemon:IMAGE`: the docker engine.
    DockerDaemon(String),
    /// `containers-storage:IMAGE`: the store of podman and buildah.
    ContainersStorage(String),
}

/// How to get what is not here.
pub(crate) struct Access<'a> {
    /// Talk to the registry without TLS.
    pub(crate) plain_http: bool,
    /// Other registries to ask first.
    pub(crate) mirrors: &'a [Mirror],
    /// The file with the logins, in place of the usual ones.
    pub(crate) auth_file: Option<&'a Path>,
    /// Who reads the store that podman and buildah share before others do.
    pub(crate) store_reader: Option<Tool>,
    /// Told how far a download is, from several threads.
    pub(crate) progress: &'a (dyn Fn(Progress) + Sync),
    /// Told what a person should know who looks on.
    pub(crate) note: &'a (dyn Fn(&str) + Sync),
}

impl Source {
    /// What a text stands for; the names are those of containers-transports(5).
    ///
    /// # Errors
    /// If it is a transport's, but not an image's name.
    pub(crate) fn parse(text: &OsStr) -> Result<Self> {
        let Some(known) = text.to_str() else {
            return Ok(Self::Local(Input { location: Location::Path(text.into()), reference: None }));
        };
        let named = |image: &str| match image {
            "" => Err(Error::user(format!("{known}: names no image"))),
            image => Ok(image.to_owned()),
        };
        if let Some(name) = known.strip_prefix("docker://") {
            let reference = named(name)?.parse();
            return reference.map(Self::Registry).map_err(|why| Error::user(format!("{known}: {why}")));
        }
        if let Some(image) = known.strip_prefix("docker-daemon:") {
            return named(image).map(Self::DockerDaemon);
        }
        if let Some(image) = known.strip_prefix("containers-storage:") {
            return named(image).map(Self::ContainersStorage);
        }
        Ok(Self::Local(Input::parse(known)))
    }

    /// Read it. What is kept on the way has no name, and is gone with this process however that ends.
    pub(crate) fn read(&self, access: &Access<'_>, options: &input::Options<'_>) -> Result<Loaded> {
        match self {
            Self::Local(input) => Ok(input::read(input, options)?),
            Self::Registry(reference) => Ok(registry::read(reference, access, options)?),
            Self::DockerDaemon(image) => program::docker(image, options),
            Self::ContainersStorage(image) => {
                program::containers_storage(image, access.store_reader, options)
            }
        }
    }
}

impl fmt::Display for Source {
    /// As it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(_) => f.write_str("files of this machine"),
            Self::Registry(reference) => write!(f, "docker://{reference}"),
            Self::DockerDaemon(image) => write!(f, "docker-daemon:{image}"),
            Self::ContainersStorage(image) => write!(f, "containers-storage:{image}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_are_told_from_paths() {
        let parse = |text: &str| Source::parse(OsStr::new(text));
        assert_eq!(parse("docker://a.b/c").unwrap(), Source::Registry("a.b/c".parse().unwrap()));
        assert_eq!(parse("docker-daemon:a:b").unwrap(), Source::DockerDaemon("a:b".into()));
        assert_eq!(parse("containers-storage:a").unwrap(), Source::ContainersStorage("a".into()));
        for text in ["docker:a", "./docker://a", "oci:a:b", "-", "rootfs"] {
            assert_eq!(parse(text).unwrap(), Source::Local(Input::parse(text)));
        }
        for text in ["docker://", "docker-daemon:", "containers-storage:", "docker://UPPER", "docker://a b"] {
            assert!(parse(text).unwrap_err().to_string().starts_with(text), "{text}");
        }
    }
}
