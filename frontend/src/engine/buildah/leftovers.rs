//! What a build leaves on the host when its engine is ended halfway: running containers, working
//! containers with their mounts, temporary files.
//!
//! Only buildah cleans up after SIGTERM, and nobody after SIGKILL. So every build gets a mark, by which its
//! working containers are known, and a temporary folder of its own; and this process adopts the processes
//! that an engine leaves.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Tool;
use crate::cli::{Error, Result};
use crate::temporary::Folder;
use rustix::process::{
    Pid, Signal, WaitOptions, geteuid, getpid, kill_process, set_child_subreaper, waitpid,
};

/// Where temporary files go that may be large, unless `TMPDIR` says otherwise: as with the engines.
const TEMPORARY: &str = "/var/tmp";
/// Where below that folder the engines keep cache mounts; later versions add the user's number.
const CACHE: &str = "buildah-cache";

/// What is cleared after the builds of this process.
pub(crate) struct Leftovers {
    tool: Tool,
    folder: Folder,
}

impl Leftovers {
    /// From now on processes without a parent become children of this one.
    pub(crate) fn new(tool: Tool) -> Result<Self> {
        let cannot = |error: io::Error| Error::user("a temporary folder: cannot be made").because(error);
        let parent = env::var_os("TMPDIR").map_or_else(|| TEMPORARY.into(), PathBuf::from);
        let folder = Folder::new("vmimage-", &parent).map_err(cannot)?;
        link_cache(&parent, folder.path()).map_err(cannot)?;
        // Without it processes may be left, and nothing else is worse.
        let _ = set_child_subreaper(Some(getpid()));
        Ok(Self { tool, folder })
    }

    /// The folder for temporary files.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The option that marks the working containers of a build: a secret nobody asks for, which no cache
    /// looks at.
    pub(super) fn mark(&self) -> String {
        format!("--secret=id={},src=/dev/null", self.name())
    }

    fn name(&self) -> &str {
        self.folder.path().file_name().and_then(OsStr::to_str).unwrap_or_default()
    }

    /// Clears what a build has left that did not end well.
    pub(super) fn clear(&self) {
        end_adopted();
        for container in self.containers().unwrap_or_default() {
            // Best effort, as all here: what went wrong has been said already.
            let words: &[&str] = match self.tool {
                Tool::Podman => &["rm", "--force"],
                Tool::Buildah => &["rm"],
            };
            let _ = self.command(words).arg(container).output();
        }
    }

    /// The working containers with the mark of this process.
    fn containers(&self) -> Option<Vec<String>> {
        let template = match self.tool {
            Tool::Podman => "{{.Store.GraphRoot}}/{{.Store.GraphDriverName}}",
            Tool::Buildah => "{{.store.GraphRoot}}/{{.store.GraphDriverName}}",
        };
        let output = self.command(&["info", "--format", template]).output().ok()?;
        let store = String::from_utf8(output.stdout).ok()?;
        let folder = fs::read_dir(format!("{}-containers", store.trim())).ok()?;
        let marked = folder.filter_map(|entry| {
            let entry = entry.ok()?;
            let state = fs::read(entry.path().join("userdata/buildah.json")).ok()?;
            let mark = self.name().as_bytes();
            let is_marked = state.windows(mark.len()).any(|window| window == mark);
            is_marked.then(|| entry.file_name().into_string().ok()).flatten()
        });
        Some(marked.collect())
    }

    /// A command that what ends this process does not end.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.tool.name());
        command.args(arguments).process_group(0).stdin(Stdio::null());
        command
    }
}

/// Keeps cache mounts where they would be: a folder for temporary files of this process's own would give
/// every build empty ones.
fn link_cache(parent: &Path, folder: &Path) -> io::Result<()> {
    let own = geteuid().as_raw();
    // In a user namespace of the engine's making, whose root it is.
    let number = env::var("_CONTAINERS_ROOTLESS_UID").unwrap_or_else(|_| own.to_string());
    let numbered = format!("{CACHE}-{number}");
    let cache = match fs::metadata(parent.join(CACHE)) {
        // Another user was here first, and version 1.28 has only this name.
        Ok(metadata) if metadata.uid() != own => parent.join(&numbered),
        _ => parent.join(CACHE),
    };
    fs::create_dir_all(&cache)?;
    symlink(&cache, folder.join(CACHE))?;
    symlink(&cache, folder.join(numbered))
}

/// Ends the processes that an engine left behind, and those they leave in turn.
fn end_adopted() {
    loop {
        let children = children().unwrap_or_default();
        if children.is_empty() {
            return;
        }
        for child in children {
            let _ = kill_process(child, Signal::KILL);
            let _ = waitpid(Some(child), WaitOptions::empty());
        }
    }
}

/// The children of every thread of this process (proc(5)).
fn children() -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        let list = fs::read_to_string(thread?.path().join("children"))?;
        children.extend(list.split_whitespace().filter_map(|number| Pid::from_raw(number.parse().ok()?)));
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_mounts_stay_where_they_were() {
        let [parent, folder] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        link_cache(parent.path(), folder.path()).unwrap();
        fs::write(folder.path().join(CACHE).join("kept"), "").unwrap();
        drop(folder);
        assert!(parent.path().join(CACHE).join("kept").exists());
    }
}
