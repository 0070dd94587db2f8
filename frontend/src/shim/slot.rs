//! A place for the shim: a program's name in a folder, and beside it what was there before.

use std::fs::{self, File, Permissions};
use std::hint::black_box;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::base::docker::kept;
use crate::base::{Error, Result};

/// In every build of this program, whatever its version, and in nothing else.
static MARK: &[u8] = b"\xf5vmimage, in front of the program of this name\xf5";

/// The running program.
const OWN: &str = "/proc/self/exe";

/// A program's name in a folder.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    path: PathBuf,
}

/// What is under the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occupant {
    /// Nothing.
    Nobody,
    /// This program, `current` if it is of the same bytes.
    Shim {
        /// Not another version.
        current: bool,
    },
    /// Another program, or a link to nowhere.
    Other,
}

impl Slot {
    /// The place of `program` in a folder.
    pub(crate) fn new(folder: &Path, program: &str) -> Self {
        Self { path: folder.join(program) }
    }

    /// The place of a program.
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The program's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What was there before the shim, if something was.
    pub(crate) fn kept(&self) -> Option<PathBuf> {
        Some(kept(&self.path)).filter(|kept| kept.symlink_metadata().is_ok())
    }

    /// Finds out what is under the name.
    pub(crate) fn occupant(&self) -> Result<Occupant> {
        occupant(&self.path).map_err(|error| self.failed("cannot be read", error))
    }

    /// Puts this program under the name; another one there is kept beside it.
    ///
    /// It is a copy: who later writes another program to this name must not write into ours elsewhere.
    pub(crate) fn take(&self) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).map_err(|error| self.failed("its folder cannot be made", error))?;
        let was_other = match self.occupant()? {
            Occupant::Shim { current: true } => return Ok(()),
            Occupant::Shim { current: false } | Occupant::Nobody => false,
            Occupant::Other => true,
        };
        let copy = copy_to(folder).map_err(|error| self.failed("cannot be written", error))?;
        let kept = kept(&self.path);
        if was_other {
            fs::rename(&self.path, &kept).map_err(|error| self.failed("cannot be renamed", error))?;
        }
        copy.persist(&self.path).map(drop).map_err(|error| {
            if was_other {
                // Best effort: the error to tell is the first one.
                let _ = fs::rename(&kept, &self.path);
            }
            self.failed("cannot be written", error.error)
        })
    }

    /// Takes this program away and puts back what was there before; true if something has changed.
    pub(crate) fn leave(&self) -> Result<bool> {
        let kept = self.kept();
        let failed = |error| self.failed("cannot be taken away", error);
        match (self.occupant()?, kept) {
            (Occupant::Nobody | Occupant::Shim { .. }, Some(kept)) => {
                fs::rename(kept, &self.path).map_err(failed)?;
            }
            (Occupant::Shim { .. }, None) => fs::remove_file(&self.path).map_err(failed)?,
            // Another program was put over ours, and so over the one that ours was put over.
            (Occupant::Other, Some(kept)) => fs::remove_file(kept).map_err(failed)?,
            (Occupant::Nobody | Occupant::Other, None) => return Ok(false),
        }
        Ok(true)
    }

    fn failed(&self, what: &str, error: io::Error) -> Error {
        let denied = error.kind() == ErrorKind::PermissionDenied;
        let failed = Error::user(format!("{}: {what}", self.path.display())).because(error);
        if denied {
            failed.with_hint("do it as root, or for yourself only: vmimage install --user")
        } else {
            failed
        }
    }
}

fn occupant(path: &Path) -> io::Result<Occupant> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Occupant::Nobody),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Occupant::Other),
        bytes => bytes?,
    };
    match is_marked(&bytes) {
        true => Ok(Occupant::Shim { current: bytes == fs::read(OWN)? }),
        false => Ok(Occupant::Other),
    }
}

fn is_marked(program: &[u8]) -> bool {
    // Otherwise the mark could come to be no more than instructions that compare.
    let mark = black_box(MARK);
    let mut rest = program;
    while let Some(at) = rest.iter().position(|byte| *byte == mark[0]) {
        if rest[at..].starts_with(mark) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// This program in a temporary file of the folder.
fn copy_to(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix(".vmimage-").tempfile_in(folder)?;
    io::copy(&mut File::open(OWN)?, &mut file)?;
    file.as_file().set_permissions(Permissions::from_mode(0o755))?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const PROGRAM: &str = "docker-buildx";

    /// What is in the folder: names, kinds, modes and contents, our own for short.
    fn listing(folder: &Path) -> Vec<String> {
        let own = fs::read(OWN).unwrap();
        let mut lines: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let metadata = entry.metadata().unwrap();
                let content = match fs::read_link(entry.path()) {
                    Ok(target) => format!("-> {}", target.display()),
                    Err(_) if fs::read(entry.path()).unwrap() == own => "ours".to_owned(),
                    Err(_) => String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned(),
                };
                let mode = metadata.permissions().mode() & 0o7777;
                format!("{} {mode:o} {content}", entry.file_name().display())
            })
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_was_there_is_kept_and_comes_back_as_it_was() {
        let occupants: [fn(&Path); 4] = [
            |_| {},
            |path| {
                fs::write(path, "real").unwrap();
                fs::set_permissions(path, Permissions::from_mode(0o751)).unwrap();
            },
            |path| symlink("../elsewhere/docker-buildx", path).unwrap(),
            |path| symlink("/bin/true", path).unwrap(),
        ];
        for occupy in occupants {
            let dir = tempfile::tempdir().unwrap();
            let folder = dir.path().join("plugins");
            fs::create_dir(&folder).unwrap();
            let slot = Slot::new(&folder, PROGRAM);
            occupy(slot.path());
            let before = listing(&folder);

            slot.take().unwrap();
            assert_eq!(slot.occupant().unwrap(), Occupant::Shim { current: true });
            assert_eq!(slot.kept().is_some(), !before.is_empty());
            let taken = listing(&folder);
            assert_eq!(taken.len(), 1 + before.len());
            assert!(taken.contains(&"docker-buildx 755 ours".to_owned()), "{taken:?}");
            slot.take().unwrap();
            assert_eq!(listing(&folder), taken, "twice is as good as once");

            assert!(slot.leave().unwrap());
            assert_eq!(listing(&folder), before);
            assert!(!slot.leave().unwrap());
            assert_eq!(listing(&folder), before);
        }
    }

    #[test]
    fn a_program_put_over_ours_is_the_one_that_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let slot = Slot::new(dir.path(), PROGRAM);
        fs::write(slot.path(), "old").unwrap();
        slot.take().unwrap();
        fs::write(slot.path(), "new").unwrap();
        assert_eq!(slot.occupant().unwrap(), Occupant::Other);
        slot.take().unwrap();
        assert_eq!(fs::read(slot.kept().unwrap()).unwrap(), b"new");

        fs::write(slot.path(), "newest").unwrap();
        assert!(slot.leave().unwrap());
        assert_eq!(fs::read(slot.path()).unwrap(), b"newest");
        assert_eq!(listing(dir.path()).len(), 1);
    }

    #[test]
    fn every_version_of_this_program_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let slot = Slot::new(dir.path(), PROGRAM);
        let mut other = fs::read(OWN).unwrap();
        other.extend(b"another version");
        fs::write(slot.path(), other).unwrap();
        assert_eq!(slot.occupant().unwrap(), Occupant::Shim { current: false });
        slot.take().unwrap();
        assert_eq!(slot.occupant().unwrap(), Occupant::Shim { current: true });
        assert_eq!(slot.kept(), None, "a shim is never kept as the real one");

        assert!(is_marked(MARK) && is_marked(&[b"\xf5\xf5", MARK].concat()));
        assert!(!is_marked(&MARK[..MARK.len() - 1]) && !is_marked(b""));
        assert!(!is_marked(&fs::read("/bin/true").unwrap()));
    }

    #[test]
    fn folders_are_made() {
        let dir = tempfile::tempdir().unwrap();
        let slot = Slot::new(&dir.path().join("a/b"), PROGRAM);
        slot.take().unwrap();
        assert_eq!(listing(&dir.path().join("a/b")), ["docker-buildx 755 ours"]);
        fs::write(dir.path().join("file"), "").unwrap();
        let error = Slot::new(&dir.path().join("file/b"), PROGRAM).take().unwrap_err();
        assert!(error.to_string().contains("/file/b/docker-buildx: its folder cannot be made"), "{error}");
    }
}
