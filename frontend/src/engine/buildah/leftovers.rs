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
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Tool;
use crate::base::temporary::Folder;
use crate::base::{Error, Result};
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
    // In a user namespace of the engine's making, whose root it is.
    let number = env::var("_CONTAINERS_ROOTLESS_UID").unwrap_or_else(|_| geteuid().as_raw().to_string());
    let names = [CACHE.to_owned(), format!("{CACHE}-{number}")];
    // Version 1.28 has only the first, and another user may have been there first.
    let kept = names.iter().map(|name| parent.join(name)).find(|path| make_own(path));
    let cache = kept.unwrap_or_else(|| folder.join("cache"));
    fs::create_dir_all(&cache)?;
    names.iter().try_for_each(|name| symlink(&cache, folder.join(name)))
}

/// Makes a folder; false if what has that name may be changed by somebody else. Everybody can make one in `/var/tmp`,
/// or a link there, and with links in it mount any folder of this user in their builds.
fn make_own(path: &Path) -> bool {
    // It is there already, or this fails below.
    let _ = fs::DirBuilder::new().mode(0o700).create(path);
    fs::symlink_metadata(path)
        .is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0)
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
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;

    #[test]
    fn cache_mounts_stay_where_they_were() {
        let [parent, folder] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        link_cache(parent.path(), folder.path()).unwrap();
        fs::write(folder.path().join(CACHE).join("kept"), "").unwrap();
        drop(folder);
        assert!(parent.path().join(CACHE).join("kept").exists());
    }

    /// What others can write to, or lead elsewhere, is not taken for a cache, whichever of the two names it has.
    #[test]
    fn a_folder_of_somebody_else_is_no_cache() {
        let elsewhere = tempfile::tempdir().unwrap();
        let open = |path: &Path| {
            fs::create_dir(path).unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
        };
        let link = |path: &Path| symlink(elsewhere.path(), path).unwrap();
        let file = |path: &Path| fs::write(path, "").unwrap();
        let foreign = |path: &Path| {
            fs::create_dir(path).unwrap();
            // Only root can give a folder away.
            if chown(path, Some(12345), None).is_err() {
                fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
            }
        };
        let numbered = format!("{CACHE}-{}", geteuid().as_raw());
        for plant in [&open as &dyn Fn(&Path), &link, &file, &foreign] {
            for (planted, used) in [(&[CACHE][..], Some(&*numbered)), (&[CACHE, &numbered], None)] {
                let [parent, folder] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
                planted.iter().for_each(|name| plant(&parent.path().join(name)));
                link_cache(parent.path(), folder.path()).unwrap();
                let expected = used.map_or(folder.path().join("cache"), |name| parent.path().join(name));
                for name in [CACHE, &numbered] {
                    assert_eq!(fs::read_link(folder.path().join(name)).unwrap(), expected);
                    fs::write(folder.path().join(name).join("kept"), "").unwrap();
                }
            }
        }
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}
