//! A folder that appears under its name only when it is whole.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::temporary::{Temporary, explain};
use super::{Format, Members, Output};
use crate::error::{Error, Kind, Result};

/// A folder being filled beside its destination, under a temporary name.
///
/// It is renamed by [`persist`](Self::persist), in place of nothing, of an empty folder or of an earlier one of the same
/// format; and removed if it is dropped before.
#[derive(Debug)]
pub struct Folder {
    format: Format,
    /// Open, for it is locked as long as it has no name.
    temporary: Temporary,
    destination: PathBuf,
}

impl Folder {
    /// Start a folder that will be at `destination`.
    ///
    /// # Errors
    /// [`Kind::Input`] if something is there that it may not take the place of, [`Kind::NotFound`] if the directory
    /// that it is to be in does not exist.
    pub fn create(destination: &Path, format: Format) -> Result<Self> {
        let destination = resolve(destination, format)?;
        let temporary = Temporary::new(&destination, "folder", create_new, |left| discard(left, format))?;
        Ok(Self { format, temporary, destination })
    }

    /// Where it lies until it is persisted.
    pub fn temporary(&self) -> &Path {
        &self.temporary.path
    }

    /// Start a file in it.
    ///
    /// # Errors
    /// If it has one of that name.
    pub fn file(&self, name: &str) -> Result<Output> {
        Output::inside(self.temporary(), &self.destination, name)
    }

    /// Let the whole folder appear under its name.
    ///
    /// # Errors
    /// As those of [`create`](Self::create): time has passed since.
    pub fn persist(self) -> Result<()> {
        let cannot = |error| explain(&self.destination, "cannot finish the folder", error);
        match fs::rename(self.temporary(), &self.destination) {
            // Not all systems tell in the same way that a folder is not empty.
            Err(_) if self.destination.is_dir() => {
                check_earlier(&self.destination, self.format)?;
                exchange(self.temporary(), &self.destination).map_err(cannot)
            }
            renamed => renamed.map_err(cannot),
        }
    }
}

impl Drop for Folder {
    /// Nothing is there once it has its name, unless it took that of an earlier one.
    fn drop(&mut self) {
        discard(&self.temporary.path, self.format);
    }
}

fn create_new(path: &Path) -> io::Result<File> {
    fs::create_dir(path)?;
    File::open(path).map_err(|error| match error.kind() {
        // Another run has taken it for a leftover, so this name is no longer free.
        io::ErrorKind::NotFound => io::ErrorKind::AlreadyExists.into(),
        _ => error,
    })
}

/// Where the folder will be: behind the caller's own symlink, if it is one.
fn resolve(destination: &Path, format: Format) -> Result<PathBuf> {
    let input = |message| Error::new(Kind::Input, destination.display().to_string(), message);
    match fs::metadata(destination) {
        Err(_) if destination.is_symlink() => {
            Err(input("the destination is a link that leads nowhere").with_hint("name the folder itself"))
        }
        Err(_) => Ok(destination.to_owned()),
        Ok(metadata) if !metadata.is_dir() => Err(input("the destination is not a directory")
            .with_hint(format!("name a folder: the result of {format} is several files"))),
        Ok(_) => {
            check_earlier(destination, format)?;
            let found = fs::canonicalize(destination);
            found.map_err(|error| explain(destination, "cannot find the folder", error))
        }
    }
}

/// That nothing is lost with a folder: it is empty, or holds what a folder of this format holds.
fn check_earlier(folder: &Path, format: Format) -> Result<()> {
    let shown = || folder.display().to_string();
    let unreadable = |error| Error::io(shown(), "cannot read the folder", error);
    let mut members = Members::new(format);
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let is_file = entry.file_type().map_err(unreadable)?.is_file();
        let is_member = is_file && name.to_str().is_some_and(|name| members.add(name).is_ok());
        if !is_member {
            let message = format!("the destination holds {name:?}, which is not of an earlier {format}");
            return Err(Error::new(Kind::Input, shown(), message)
                .with_hint("name a folder that does not exist, or an empty one"));
        }
    }
    Ok(())
}

/// Let the two change places: at no time is there none under the name, or half of one. Where a file system cannot, as
/// NFS, there is none for a moment.
fn exchange(temporary: &Path, destination: &Path) -> io::Result<()> {
    match renameat_with(CWD, temporary, CWD, destination, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        done => return done.map_err(io::Error::from),
    }
    let aside = temporary.with_extension("old");
    fs::rename(destination, &aside)?;
    let renamed = fs::rename(temporary, destination);
    let back = if renamed.is_ok() { temporary } else { destination };
    fs::rename(aside, back).and(renamed)
}

/// Remove a folder with the files that one of this format has. Of others nothing is removed: nobody is left to tell, and
/// the next run tries again.
fn discard(folder: &Path, format: Format) {
    if folder.is_symlink() {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_member = |name: &str| Members::new(format).add(name).is_ok();
        if entry.file_name().to_str().is_some_and(is_member) {
            let _ = fs::remove_file(entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}
