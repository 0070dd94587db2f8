//! A package → its first disk. It is not trusted.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::container::archive::members;
use crate::container::vmdk;
use crate::error::{Error, Kind, Result};
use crate::read_at::{Part, ReadAt};

/// Whether a file is an archive that begins with a descriptor, as every OVA does.
pub(in crate::container) fn is_ova<F: ReadAt>(file: &F) -> bool {
    members(file).next().is_some_and(|first| first.is_ok_and(|member| member.ends_in(".ovf")))
}

/// The first disk of an OVA.
///
/// # Errors
/// [`Kind::Corrupt`], [`Kind::NotFound`] if there is no VMDK, and those of the VMDK.
pub(in crate::container) fn open<F: ReadAt>(file: F) -> Result<vmdk::Reader<Part<F>>> {
    let disk = find_disk(&file)?;
    vmdk::Reader::new(Part::new(file, disk))
}

/// Where in the archive the disk lies.
fn find_disk<F: ReadAt>(file: &F) -> Result<Range<u64>> {
    for member in members(file) {
        let member = member?;
        if member.is_file && member.ends_in(".vmdk") {
            return Ok(member.content);
        }
    }
    Err(Error::new(Kind::NotFound, "ova", "there is no .vmdk in it"))
}

/// The first disk of a package that lies in a folder, by name: a file of the folder's own, for a link leads elsewhere.
///
/// # Errors
/// [`Kind::NotFound`] if there is no descriptor, or no VMDK beside it.
pub(in crate::container) fn disk_of(folder: &Path) -> Result<PathBuf> {
    let shown = folder.display().to_string();
    let entries =
        fs::read_dir(folder).map_err(|error| Error::io(&shown, "cannot read the directory", error))?;
    let is_file = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
    let mut files: Vec<_> = entries.flatten().filter(is_file).map(|entry| entry.path()).collect();
    files.sort();
    let find = |extension: &str| {
        let has =
            |path: &&PathBuf| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension));
        files.iter().find(has)
    };
    match (find("ovf"), find("vmdk")) {
        (None, _) => Err(Error::new(Kind::NotFound, shown, "is a directory, and no .ovf is in it")
            .with_hint("name the file of a disk, or the folder of an OVF package")),
        (Some(_), None) => Err(Error::new(Kind::NotFound, shown, "there is no .vmdk beside the .ovf in it")),
        (Some(_), Some(disk)) => Ok(disk.clone()),
    }
}
