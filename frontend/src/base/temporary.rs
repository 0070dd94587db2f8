//! Temporary folders that go whatever becomes of this process: also if it is killed, or has no memory or stack left.
//!
//! A shell waits for the end of this process, which it sees by the end of its input, and removes what is still there.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A temporary folder.
pub(crate) struct Folder {
    // Dropped in this order: the shell finds nothing to remove.
    folder: TempDir,
    _keeper: Option<Keeper>,
}

impl Folder {
    /// A folder in `parent` whose name begins with `prefix`.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn new(prefix: &str, parent: &Path) -> io::Result<Self> {
        let folder = TempDir::with_prefix_in(prefix, parent)?;
        // Without a shell the folder may be left, and nothing else is worse.
        let keeper = Keeper::of(folder.path()).ok();
        Ok(Self { folder, _keeper: keeper })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// What the shell does, also where nobody has told it where rm is.
const SCRIPT: &str = r#"read -r _; PATH=$PATH:/usr/bin:/bin; rm -rf -- "$1""#;

/// The shell.
struct Keeper(Child);

impl Keeper {
    fn of(folder: &Path) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "sh"]).arg(std::path::absolute(folder)?);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // What ends this process, by a signal to all of its group, does not end the shell.
        command.process_group(0).spawn().map(Self)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // Somebody else may have waited for it.
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_is_gone_with_all_in_it_when_it_is_dropped() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::new(".it's ", parent.path()).unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("below/file"), "").unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    /// As by a process that has come to no `drop`.
    #[test]
    fn what_nobody_has_removed_goes_with_the_process() {
        let parent = tempfile::tempdir().unwrap();
        let Folder { folder, _keeper: keeper } = Folder::new("-rf ", parent.path()).unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("link")).unwrap();
        let folder = folder.keep();
        assert!(folder.exists());
        drop(keeper);
        assert!(!folder.exists() && Path::new("/etc/passwd").exists());
    }
}
