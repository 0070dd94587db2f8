//! A file that appears under its name only when it is complete.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::reflink::Reflink;
use super::temporary::{Temporary, explain};
use crate::error::{Error, Kind, Result};

/// Bytes that are written with one call. Linux caches each write in a folio as large as the write, and takes
/// large ones from memory that lay idle longest: in a virtual machine the host has often taken it back,
/// and writes of 1 MiB then take twice as long as these.
const WRITE: usize = 64 << 10;

/// A file being written beside its destination, under a temporary name.
///
/// It is renamed by [`persist`](Self::persist) and removed if it is dropped before; what killed runs left is removed by
/// the next. Of a [`Folder`](super::Folder) that is complete later, it has its name from the start.
#[derive(Debug)]
pub struct Output {
    file: File,
    reflink: Option<Reflink>,
    temporary: PathBuf,
    destination: PathBuf,
    persisted: bool,
}

impl Output {
    /// Start a file that will be at `destination`, in place of a file that is there.
    ///
    /// # Errors
    /// [`Kind::Input`] if there is something else than a file, [`Kind::NotFound`] if the directory does
    /// not exist.
    pub fn create(destination: &Path) -> Result<Self> {
        let destination = resolve(destination)?;
        // What cannot be removed does no harm.
        let remove = |leftover: &Path| drop(fs::remove_file(leftover));
        let Temporary { file, path } = Temporary::new(&destination, "file", create_new, remove)?;
        let reflink = Reflink::of(&file);
        Ok(Self { file, reflink, temporary: path, destination, persisted: false })
    }

    /// Start a file of a folder that lies at `folder` and will be at `destination`. It comes and goes with the folder.
    pub(super) fn inside(folder: &Path, destination: &Path, name: &str) -> Result<Self> {
        let (temporary, destination) = (folder.join(name), destination.join(name));
        let created = create_new(&temporary);
        let file = created.map_err(|error| explain(&destination, "cannot create the file", error))?;
        let reflink = Reflink::of(&file);
        Ok(Self { file, reflink, temporary, destination, persisted: true })
    }

    /// Where it lies until it is persisted.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Write all of `bytes` at `offset`.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut parts = (offset..).step_by(WRITE).zip(bytes.chunks(WRITE));
        parts
            .try_for_each(|(at, part)| self.file.write_all_at(part, at))
            .map_err(|error| explain(&self.destination, "cannot write the file", error))
    }

    /// Fill `out` with the bytes from `offset` on.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.file
            .read_exact_at(out, offset)
            .map_err(|error| explain(&self.destination, "cannot read the file again", error))
    }

    /// Let `len` bytes at `at` be those of `file` from `offset` on, without reading them: whether the file
    /// system does that. If not, some of them may be.
    pub fn share(&self, file: &File, offset: u64, at: u64, len: u64) -> bool {
        self.reflink.as_ref().is_some_and(|reflink| reflink.share(file, offset, &self.file, at, len))
    }

    /// Make the file that long: cut, or zero behind its end.
    pub fn set_len(&self, len: u64) -> Result<()> {
        self.file
            .set_len(len)
            .map_err(|error| explain(&self.destination, "cannot set the file's length", error))
    }

    /// Let the complete file appear under its name.
    pub fn persist(mut self) -> Result<()> {
        let renamed = fs::rename(&self.temporary, &self.destination);
        renamed.map_err(|error| explain(&self.destination, "cannot finish the file", error))?;
        self.persisted = true;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.persisted {
            // Nobody is left to tell; the next run removes what stays.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

/// Where the file will be: behind the caller's own symlink, if it is one.
fn resolve(destination: &Path) -> Result<PathBuf> {
    let metadata = match fs::metadata(destination) {
        Ok(metadata) => metadata,
        Err(_) => return Ok(destination.to_owned()),
    };
    let input = |message| Error::new(Kind::Input, destination.display().to_string(), message);
    if metadata.is_dir() {
        let example = destination.join("disk.qcow2");
        return Err(
            input("the destination is a directory").with_hint(format!("name a file: {}", example.display()))
        );
    }
    if !metadata.is_file() {
        return Err(input("the destination is not a regular file")
            .with_hint("write a raw disk to a file first, then copy it with dd"));
    }
    // A new file in its place would take the right to its folder only.
    if access(destination, Access::WRITE_OK).is_err() {
        return Err(input("the destination is a file that you may not write to")
            .with_hint("name another file, or make it writable first: chmod u+w"));
    }
    fs::canonicalize(destination).map_err(|error| explain(destination, "cannot find the file", error))
}
