//! Folders of the host, by virtiofs or 9p.

use std::ffi::CString;
use std::fs;
use std::path::{Component, Path};

use rustix::mount::{MountFlags, mount};
use serde::Deserialize;

use crate::init::modules::Modules;

/// What mounts of 9p need to know; messages of 512 KiB are the most that QEMU's device takes as well as any.
const OPTIONS_9P: &str = "trans=virtio,version=9p2000.L,msize=524288";

/// A folder that the host shares.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Share {
    /// What the host calls it.
    tag: String,
    /// The directory where it is mounted, made if it is missing.
    at: String,
    r#type: Transport,
    #[serde(default)]
    read_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Transport {
    #[serde(rename = "virtiofs")]
    Virtiofs,
    #[serde(rename = "9p")]
    Plan9,
}

impl Share {
    /// Whether its place can be one.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut parts = Path::new(&self.at).components();
        let is_absolute = parts.next() == Some(Component::RootDir);
        let is_below =
            parts.clone().next().is_some() && parts.all(|part| matches!(part, Component::Normal(_)));
        match is_absolute && is_below && !self.at.contains('\0') && !self.tag.is_empty() {
            true => Ok(()),
            false => {
                Err(format!("share {}: {}: not a directory below / by its whole path", self.tag, self.at))
            }
        }
    }

    /// Mount it.
    pub(crate) fn mount(&self, modules: &mut Modules) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| format!("share {} at {}: {error}", self.tag, self.at);
        let (kind, options) = match self.r#type {
            Transport::Virtiofs => ("virtiofs", ""),
            Transport::Plan9 => ("9p", OPTIONS_9P),
        };
        modules.load(kind);
        let flags = if self.read_only { MountFlags::RDONLY } else { MountFlags::empty() };
        let options = CString::new(options).map_err(|error| failed(&error))?;
        fs::create_dir_all(&self.at).map_err(|error| failed(&error))?;
        mount(&*self.tag, &*self.at, kind, flags, Some(&*options))
            .map_err(|error| failed(&format_args!("cannot mount {kind}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(at: &str) -> Share {
        Share { tag: "src".to_owned(), at: at.to_owned(), r#type: Transport::Plan9, read_only: false }
    }

    #[test]
    fn shares_are_mounted_below_the_root() {
        for at in ["/src", "/srv/a b/", "/a"] {
            assert_eq!(share(at).check(), Ok(()), "{at}");
        }
        for at in ["", "/", "src", "/src/../etc", "..", "/a\0b"] {
            assert!(share(at).check().is_err(), "{at}");
        }
        assert!(Share { tag: String::new(), ..share("/src") }.check().is_err());
    }

    #[test]
    fn one_that_the_host_does_not_have_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("here").display().to_string();
        let error = share(&at).mount(&mut Modules::none()).unwrap_err();
        assert!(error.starts_with(&format!("share src at {at}: cannot mount 9p: ")), "{error}");
    }
}
