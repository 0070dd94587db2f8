//! A program in a file of this machine.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{is_program, sign};
use crate::error::{Error, Kind, Result};
use crate::fs::Contents;
use crate::pki::Signer;
use crate::tree::{Content, HostDir, HostFile};

/// What is read of a file to know whether it is a program.
const HEAD: u64 = 64 << 10;

/// Sign the program in the file at `path`, called `place` in messages, in its place. Returns whether that was to be done: not
/// if this signer has signed it already; `None` if it is no program for UEFI.
///
/// # Errors
/// As [`sign`], and if the file cannot be read or written.
pub fn sign_file(path: &Path, place: &str, signer: &Signer) -> Result<Option<bool>> {
    let failed = |error| Error::io(place, "cannot be read and written", error);
    let file = File::options().read(true).write(true).open(path).map_err(failed)?;
    let mut head = Vec::new();
    (&file).take(HEAD).read_to_end(&mut head).map_err(failed)?;
    if !is_program(&head) {
        return Ok(None);
    }
    let len = file.metadata().map_err(failed)?.len();
    let signature = sign(place, &contents(path, place, len)?, signer)?;
    match &signature {
        Some(signature) => signature.write(&file, place).map(|()| Some(true)),
        None => Ok(Some(false)),
    }
}

/// The bytes of a file.
fn contents(path: &Path, place: &str, len: u64) -> Result<Contents> {
    let name = path.file_name().ok_or_else(|| Error::new(Kind::Input, place, "has no name"))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = HostDir::open(parent.unwrap_or(Path::new(".")))?;
    Ok(Contents::of_file(&Content::Host(HostFile::new(folder, name.as_bytes(), len, None))))
}
