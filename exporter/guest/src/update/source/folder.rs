//! A folder with the files of an update, such as `--format update` writes it.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Source;
use crate::grow::device::in_file;

/// The folder.
pub(super) struct Folder {
    path: PathBuf,
    moved: u64,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), moved: 0 }
    }

    fn file(&self, name: &str) -> Result<Option<(File, u64)>, String> {
        let path = self.path.join(name);
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((len, file)) => Ok(Some((file, len))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(in_file(&path)(error)),
        }
    }
}

impl Source for Folder {
    fn small(&mut self, name: &str, max: u64) -> Result<Option<Vec<u8>>, String> {
        let Some((file, len)) = self.file(name)? else { return Ok(None) };
        section(name, file, len, 0..len, &mut self.moved)?.all(name, max).map(Some)
    }

    fn open(&mut self, name: &str, range: Range<u64>) -> Result<Box<dyn Read + '_>, String> {
        let (file, len) = self.file(name)?.ok_or_else(|| format!("{name}: is not there"))?;
        Ok(Box::new(section(name, file, len, range, &mut self.moved)?))
    }

    fn has_ranges(&self) -> bool {
        true
    }

    fn moved(&self) -> u64 {
        self.moved
    }
}

/// Part of a file.
pub(super) struct Section<'a> {
    file: File,
    place: Range<u64>,
    moved: &'a mut u64,
}

/// The bytes of `range` of what begins at the start of a file and has `len` bytes.
pub(super) fn section<'a>(
    name: &str,
    file: File,
    len: u64,
    range: Range<u64>,
    moved: &'a mut u64,
) -> Result<Section<'a>, String> {
    match range.start <= range.end && range.end <= len {
        true => Ok(Section { file, place: range, moved }),
        false => Err(format!("{name}: has {len} bytes, and {} were listed: it is cut short", range.end)),
    }
}

impl Section<'_> {
    /// All of it, if that is at most `max` bytes.
    pub(super) fn all(mut self, name: &str, max: u64) -> Result<Vec<u8>, String> {
        if self.place.end - self.place.start > max {
            return Err(super::too_long(name, max));
        }
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).map_err(|error| format!("{name}: {error}"))?;
        Ok(bytes)
    }

    /// The same of a file that does not begin with it.
    pub(super) fn behind(self, start: u64) -> Self {
        Self { place: self.place.start + start..self.place.end + start, ..self }
    }
}

impl Read for Section<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.place.end - self.place.start).unwrap_or(usize::MAX);
        let len = left.min(to.len());
        let read = self.file.read_at(&mut to[..len], self.place.start)?;
        if read == 0 && len > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"));
        }
        self.place.start += read as u64;
        *self.moved += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_parts_of_them_are_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), b"0123456789").unwrap();
        let mut source = Folder::new(folder.path());
        assert_eq!(source.small("a", 10).unwrap().unwrap(), b"0123456789");
        assert_eq!(source.small("b", 10), Ok(None));
        assert!(source.small("a", 9).unwrap_err().contains("more than 9 bytes"));
        let mut text = String::new();
        source.open("a", 3..7).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!((&*text, source.moved(), source.has_ranges()), ("3456", 14, true));
        assert!(source.open("a", 3..11).err().unwrap().contains("it is cut short"));
        assert!(source.open("b", 0..1).is_err());
    }
}
