//! A tar archive of the folder of an update, in a file: its members are found by their headers, in whatever order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::folder::{Section, section};
use super::{Source, members};
use crate::grow::device::in_file;

/// The archive.
pub(super) struct TarFile {
    file: File,
    /// Where each file lies in it.
    files: BTreeMap<String, Range<u64>>,
    moved: u64,
}

impl TarFile {
    /// # Errors
    /// If it is none.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(in_file(path))?;
        let len = file.metadata().map_err(in_file(path))?.len();
        let read = |range: Range<u64>| {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            file.read_exact_at(&mut bytes, range.start).map_err(|error| error.to_string())?;
            Ok(bytes)
        };
        let files = members::files(len, read).map_err(in_file(path))?;
        match files.is_empty() {
            true => Err(in_file(path)(
                "is no archive of an update\nhint: it has the files of the folder at its top",
            )),
            false => Ok(Self { file, files, moved: 0 }),
        }
    }

    /// A part of a file, or all of it.
    fn section(&mut self, name: &str, part: Option<Range<u64>>) -> Result<Option<Section<'_>>, String> {
        let Some(Range { start, end }) = self.files.get(name).cloned() else { return Ok(None) };
        let file = self.file.try_clone().map_err(|error| format!("{name}: {error}"))?;
        let len = end - start;
        let section = section(name, file, len, part.unwrap_or(0..len), &mut self.moved)?;
        Ok(Some(section.behind(start)))
    }
}

impl Source for TarFile {
    fn small(&mut self, name: &str, max: u64) -> Result<Option<Vec<u8>>, String> {
        let section = self.section(name, None)?;
        section.map(|section| section.all(name, max)).transpose()
    }

    fn open(&mut self, name: &str, range: Range<u64>) -> Result<Box<dyn Read + '_>, String> {
        let section = self.section(name, Some(range))?;
        Ok(Box::new(section.ok_or_else(|| format!("{name}: is not in the archive"))?))
    }

    fn has_ranges(&self) -> bool {
        true
    }

    fn moved(&self) -> u64 {
        self.moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::archive::testing::{archive, member, of_type};

    #[test]
    fn members_are_found_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let open = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            TarFile::open(&path)
        };
        let bytes = archive(&[
            of_type(tar::EntryType::Directory, "./", b""),
            member("./b", &[7; 700]),
            member("a", b"0123456789"),
        ]);
        let mut source = open(&bytes).unwrap();
        assert_eq!(source.small("a", 10).unwrap().unwrap(), b"0123456789");
        assert_eq!(source.small("c", 10), Ok(None));
        assert!(source.small("b", 699).is_err());
        let mut text = String::new();
        source.open("a", 2..5).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "234");
        assert!(source.open("a", 2..11).is_err() && source.open("c", 0..1).is_err());
        for cut in [0, 100, 512, 1000, 1600] {
            assert!(open(&bytes[..cut]).is_err(), "{cut}");
        }
        assert!(open(&[b'x'; 4096]).is_err());
        // What is not there at its end is missed when it is asked for.
        assert_eq!(open(&bytes[..2300]).unwrap().small("a", 10), Ok(None));
    }
}
