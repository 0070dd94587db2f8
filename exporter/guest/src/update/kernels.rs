//! `boot.tar.zst`: kernels and menu of a root that GRUB does not read, unpacked into the folder of the slot.
//!
//! Its digest is known at the end only, so what was unpacked counts when all of it was read. Until then the slot is not
//! started.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};
use zstd::stream::read::Decoder;

use super::archive::{self, RECORD};
use super::manifest::Part;
use super::source::Source;
use crate::grow::device::in_file;

/// More than any machine has kernels.
const FILES_MAX: usize = 256;
/// The most that a frame may look back, as a power of two: those of a build have less.
const WINDOW_LOG_MAX: u32 = 23;

/// Unpack a part into an empty folder.
///
/// # Errors
/// If it is damaged, names another place, or has no room.
pub(super) fn unpack(part: &Part, source: &mut dyn Source, folder: &Path) -> Result<(), String> {
    let name = &part.file.name;
    let failed = |error: io::Error| format!("{name}: {error}");
    let mut packed = Hashing { reader: source.open(name, 0..part.file.bytes)?, sha: Sha256::new() };
    let mut plain = Decoder::new(&mut packed).map_err(failed)?;
    plain.window_log_max(WINDOW_LOG_MAX).map_err(failed)?;
    let mut plain = plain.take(part.plain_bytes);
    let unpacked = files(&mut plain, folder).map_err(|why| format!("{name}: {why}"));
    // A digest that is wrong says more than what followed from it.
    drop(plain);
    io::copy(&mut packed, &mut io::sink()).map_err(failed)?;
    if packed.sha.finalize()[..] != part.file.sha256 {
        return Err(format!(
            "{name}: its digest is another one than was listed, it is damaged: the slot is not started"
        ));
    }
    unpacked
}

fn files(plain: &mut dyn Read, folder: &Path) -> Result<(), String> {
    for _ in 0..FILES_MAX {
        let Some(member) = archive::next(plain)? else { return Ok(()) };
        if !member.is_file {
            return Err(format!("{:?} is no file", member.path));
        }
        let path =
            folder.join(inner(&member.path).ok_or_else(|| format!("{:?} is no place in it", member.path))?);
        fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(in_file(&path))?;
        copy(&mut (&mut *plain).take(member.len), member.len, &path).map_err(in_file(&path))?;
        let padding = member.padded() - member.len;
        let skipped = io::copy(&mut (&mut *plain).take(padding), &mut io::sink());
        if !skipped.is_ok_and(|skipped| skipped == padding && padding < RECORD) {
            return Err("ends before the archive does".to_owned());
        }
    }
    Err(format!("has more than {FILES_MAX} files"))
}

/// A path that leads nowhere else, with names that a FAT has.
pub(super) fn inner(path: &str) -> Option<PathBuf> {
    let is_plain = |name: &str| {
        let is_of_fat = |byte: u8| byte.is_ascii_graphic() && !br#""*:<>?\|"#.contains(&byte);
        !name.ends_with('.') && name.bytes().all(is_of_fat)
    };
    let path = Path::new(path);
    let is_inner = path.components().all(|part| match part {
        Component::Normal(name) => name.to_str().is_some_and(is_plain),
        _ => false,
    });
    (is_inner && path.components().count() > 0).then(|| path.to_owned())
}

fn copy(from: &mut dyn Read, len: u64, to: &Path) -> io::Result<()> {
    // Two members of one name would be one file.
    let mut file = File::create_new(to)?;
    if io::copy(from, &mut file)? != len {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "ends before the archive does"));
    }
    file.sync_all()
}

/// Bytes that are summed up as they come.
struct Hashing<R> {
    reader: R,
    sha: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(to)?;
        self.sha.update(&to[..read]);
        Ok(read)
    }
}
