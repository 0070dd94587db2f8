//! Members of a tar archive that is not trusted: no name is followed, no length is taken for memory.

use std::io::{self, Read};

use tar::Header;

/// Bytes of a header, and what members are padded to.
pub(super) const RECORD: u64 = size_of::<Header>() as u64;
/// Where a header has its checksum (ustar, POSIX.1-2024, pax).
const CHECKSUM: std::ops::Range<usize> = 148..156;
/// Larger ones are of no machine.
const LEN_MAX: u64 = 1 << 50;

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// As it stands there, without `./` in front.
    pub(super) path: String,
    pub(super) is_file: bool,
    pub(super) len: u64,
}

impl Member {
    /// Bytes up to the next header.
    pub(super) fn padded(&self) -> u64 {
        self.len.next_multiple_of(RECORD)
    }
}

/// The member whose header comes next; `None` at the end of the archive.
///
/// # Errors
/// If it is damaged, or the reader ends.
pub(super) fn next(reader: &mut dyn Read) -> Result<Option<Member>, String> {
    let mut bytes = [0; RECORD as usize];
    reader.read_exact(&mut bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "ends before the archive does".to_owned(),
        _ => error.to_string(),
    })?;
    if bytes == [0; RECORD as usize] {
        return Ok(None);
    }
    let header = Header::from_byte_slice(&bytes);
    let counted = |(at, byte): (usize, &u8)| u32::from(if CHECKSUM.contains(&at) { b' ' } else { *byte });
    let sum: u32 = bytes.iter().enumerate().map(counted).sum();
    let (Ok(expected), Ok(len)) = (header.cksum(), header.entry_size()) else {
        return Err("is no tar archive".to_owned());
    };
    let path = String::from_utf8(header.path_bytes().into_owned());
    let path = path.map_err(|_| "has a name that is no text")?;
    if sum != expected || len > LEN_MAX {
        return Err("is no tar archive, or damaged".to_owned());
    }
    let path = path.strip_prefix("./").unwrap_or(&path).to_owned();
    Ok(Some(Member { path, is_file: header.entry_type().is_file(), len }))
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A file in an archive.
    pub(crate) fn member(path: &str, content: &[u8]) -> Vec<u8> {
        of_type(tar::EntryType::Regular, path, content)
    }

    pub(crate) fn of_type(kind: tar::EntryType, path: &str, content: &[u8]) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        let mut bytes = [header.as_bytes(), content].concat();
        bytes.resize(bytes.len().next_multiple_of(RECORD as usize), 0);
        bytes
    }

    /// All of one.
    pub(crate) fn archive(members: &[Vec<u8>]) -> Vec<u8> {
        [&members.concat()[..], &[0; 1024]].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_by_their_names() {
        let bytes = testing::archive(&[testing::member("./a/b", &[7; 513])]);
        let member = next(&mut &bytes[..]).unwrap().unwrap();
        assert_eq!((&*member.path, member.len, member.padded(), member.is_file), ("a/b", 513, 1024, true));
        assert_eq!(next(&mut &bytes[512 + 1024..]), Ok(None));
        let folder = testing::of_type(tar::EntryType::Directory, "./", b"");
        assert!(!next(&mut &folder[..]).unwrap().unwrap().is_file);
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let bytes = testing::member("a", b"x");
        for at in 0..500 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert!(next(&mut &damaged[..]).is_err(), "byte {at}");
        }
        assert_eq!(next(&mut &bytes[..511]).unwrap_err(), "ends before the archive does");
        assert!(next(&mut &[0xff; 512][..]).is_err());
    }
}
