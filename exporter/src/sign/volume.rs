//! One volume of FAT: its files, its programs signed, and the volume that has them.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::authenticode::sign_file;
use crate::error::{Error, Kind, Result, show_path};
use crate::fs::files::{FileContent, FileKind, Met, Step};
use crate::fs::{Contents, DiskBudget, fat};
use crate::pki::Signer;
use crate::read_at::ReadAt;
use crate::tree::{HostDir, Time, scan};

/// Where a boot sector has the bytes of its sectors (`BPB_BytsPerSec`).
const SECTOR_SIZE: u64 = 11;

/// What was made of a volume.
pub(super) struct Signed {
    /// `None` where nothing had to be signed.
    pub(super) contents: Option<Contents>,
    /// A line for each program.
    pub(super) notes: Vec<String>,
}

/// Sign the programs on `volume`, which `hidden` sectors of the disk are before. Its files come to lie in `folder`.
///
/// # Errors
/// What [`plan`](super::plan) says.
pub(super) fn sign<V: ReadAt + ?Sized>(
    volume: &V,
    hidden: u64,
    signer: &Signer,
    budget: &DiskBudget,
    folder: &Path,
) -> Result<Signed> {
    let (files, modified) = unpack(volume, budget, folder)?;
    let (mut notes, mut is_changed) = (Vec::new(), false);
    for (path, shown) in files {
        if let Some(is_new) = sign_file(&path, &shown, signer)? {
            is_changed |= is_new;
            notes.push(format!("{shown}: {}", if is_new { "signed" } else { "has this signature already" }));
        }
    }
    let contents = match is_changed {
        true => Some(pack(volume, hidden, modified, budget, folder)?),
        false => None,
    };
    Ok(Signed { contents, notes })
}

/// The files of `volume` in a new folder: where each lies, and its path on the volume; and the time of the newest.
fn unpack<V: ReadAt + ?Sized>(
    volume: &V,
    budget: &DiskBudget,
    folder: &Path,
) -> Result<(Vec<(PathBuf, String)>, Time)> {
    let (mut files, mut newest) = (Vec::new(), Time::default());
    fat::walk(volume, budget, &mut |met: &Met<'_>| {
        // Names of FAT are text, and no name leads out of its directory: that was looked at.
        let relative = std::str::from_utf8(met.path).map_err(|_| no_text(met.path))?;
        let (path, shown) = (folder.join(relative), show_path(met.path));
        newest = newest.max(met.meta.mtime);
        match &met.kind {
            FileKind::Directory => fs::create_dir(&path).map_err(|error| cannot_write(&shown, error))?,
            FileKind::File { content, .. } => {
                write(&path, &shown, *content)?;
                files.push((path, shown));
            }
            _ => {}
        }
        Ok(Step::Into)
    })?;
    Ok((files, newest))
}

fn no_text(path: &[u8]) -> Error {
    Error::new(Kind::Corrupt, show_path(path), "is no name that FAT has")
}

fn write(path: &Path, shown: &str, content: &dyn FileContent) -> Result<()> {
    // A volume that has two files of one name is broken.
    let file = File::create_new(path).map_err(|error| cannot_write(shown, error))?;
    content.data(&mut |at, bytes| file.write_all_at(bytes, at).map_err(|error| cannot_write(shown, error)))
}

fn cannot_write(shown: &str, error: std::io::Error) -> Error {
    Error::io(shown, "cannot be unpacked", error)
}

/// The volume with the files in `folder` in place of its own.
fn pack<V: ReadAt + ?Sized>(
    volume: &V,
    hidden: u64,
    modified: Time,
    budget: &DiskBudget,
    folder: &Path,
) -> Result<Contents> {
    let found = fat::read(volume, budget)?;
    let mut sector_size = [0; 2];
    volume.read_at(SECTOR_SIZE, &mut sector_size)?;
    let tree = scan(&HostDir::open(folder)?, NonZeroUsize::MIN, &mut |_| {})?;
    let options = fat::Options {
        // Some have one in lower case, which is not allowed and read by everybody as this.
        label: found.label.to_uppercase(),
        serial: found.serial,
        size: found.size,
        sector_size: u16::from_le_bytes(sector_size).into(),
        hidden_sectors: hidden,
        modified,
        kind: Some(found.kind),
    };
    fat::plan(&tree, &options)
}
