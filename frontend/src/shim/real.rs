//! The real client behind the shim of the same name.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::base::docker::Places;
use crate::base::{Error, Result};

/// The real client, run as if it had been started in the shim's place.
#[derive(Debug)]
pub(super) struct Real {
    path: PathBuf,
    started: OsString,
}

impl Real {
    pub(super) fn find(places: &Places, started: &OsStr) -> Result<Self> {
        let path = places.behind(started).ok_or_else(|| {
            let program = places.program();
            Error::user(format!("{program}: vmimage stands in front of it, but there is none behind"))
                .with_hint(format!("install {program}, or take vmimage out: vmimage install --uninstall"))
        })?;
        Ok(Self { path, started: started.to_owned() })
    }

    /// The client without arguments.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.arg0(&self.started);
        command
    }

    pub(super) fn cannot_start(&self, error: io::Error) -> Error {
        Error::user(format!("{}: cannot be started", self.path.display())).because(error)
    }
}
