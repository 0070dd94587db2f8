//! A tar archive of the folder of an update, in a file: its members are found by their headers, in whatever order.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use super::Source;
use super::folder::section;
use crate::grow::device::in_file;
use crate::update::archive::{self, RECORD};

/// More than any folder has files.
const MEMBERS_MAX: usize = 256;

/// The archive.
pub(super) struct TarFile {
    file: File,
    /// Where the content of each file begins, and its length.
    members: HashMap<String, (u64, u64)>,
    moved: u64,
}

impl TarFile {
    /// # Errors
    /// If it is none.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(in_file(path))?;
        let len = file.metadata().map_err(in_file(path))?.len();
        let mut members = HashMap::new();
        let (mut at, mut moved) = (0, 0);
        loop {
            let name = path.display().to_string();
            let here = file.try_clone().map_err(in_file(path))?;
            let mut header = section(&name, here, len, at..len.min(at + RECORD), &mut moved)?;
            let Some(member) = archive::next(&mut header).map_err(in_file(path))? else { break };
            at += RECORD;
            if members.len() == MEMBERS_MAX || at + member.len > len {
                return Err(in_file(path)("is no archive of an update, or cut short"));
            }
            let next = at + member.padded();
            if member.is_file {
                members.insert(member.path, (at, member.len));
            }
            at = next.min(len);
        }
        Ok(Self { file, members, moved })
    }
}

impl Source for TarFile {
    fn small(&mut self, name: &str, max: u64) -> Result<Option<Vec<u8>>, String> {
        let Some((start, len)) = self.members.get(name).copied() else { return Ok(None) };
        let file = self.file.try_clone().map_err(|error| format!("{name}: {error}"))?;
        section(name, file, len, 0..len, &mut self.moved)?.behind(start).all(name, max).map(Some)
    }

    fn open(&mut self, name: &str, range: Range<u64>) -> Result<Box<dyn Read + '_>, String> {
        let (start, len) =
            self.members.get(name).copied().ok_or_else(|| format!("{name}: is not in the archive"))?;
        let file = self.file.try_clone().map_err(|error| format!("{name}: {error}"))?;
        Ok(Box::new(section(name, file, len, range, &mut self.moved)?.behind(start)))
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
        for cut in [0, 100, 512, 1000, 1600, 2300] {
            assert!(open(&bytes[..cut]).is_err(), "{cut}");
        }
        assert!(open(&[b'x'; 4096]).is_err());
        assert!(open(&archive(&vec![member("a", b""); 300])).is_ok());
    }
}
