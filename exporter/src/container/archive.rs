//! Tar archives around disk files: headers that every reader takes, and the members of any archive.

use std::ops::Range;

use tar::{EntryType, Header};

use crate::error::{Error, Kind, Result};
use crate::read_at::ReadAt;

/// Bytes of a header, and what members are padded to.
pub(super) const RECORD: u64 = size_of::<Header>() as u64;
/// Records of zeroes that end an archive.
pub(super) const END: u64 = 2 * RECORD;
/// Members that are looked at: many more than an archive with a disk in it has.
const MEMBERS_MAX: usize = 1024;

/// Who may do what with a member.
#[derive(Clone, Copy)]
pub(super) struct Access {
    pub(super) mode: u32,
    /// User and group.
    pub(super) owner: u64,
}

/// The header of a file of `size` bytes, in the old GNU format; `path` has at most 100 bytes.
///
/// A size above 8 GiB, which the octal digits have no room for, is written in binary, as GNU tar does.
pub(super) fn file(path: &str, access: Access, size: u64) -> Header {
    header(Header::new_gnu(), path, access, EntryType::Regular, size)
}

/// The same in POSIX's ustar format. Sizes that are too large for its digits are in binary here too: GNU
/// tar, bsdtar and Go (and so vSphere's tools) read them.
pub(super) fn ustar_file(path: &str, access: Access, size: u64) -> Header {
    header(Header::new_ustar(), path, access, EntryType::Regular, size)
}

/// The header of a directory, in the old GNU format; `path` ends with a slash.
pub(super) fn directory(path: &str, access: Access) -> Header {
    header(Header::new_gnu(), path, access, EntryType::Directory, 0)
}

fn header(mut header: Header, path: &str, access: Access, kind: EntryType, size: u64) -> Header {
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_mode(access.mode);
    header.set_uid(access.owner);
    header.set_gid(access.owner);
    header.set_mtime(0);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_cksum();
    header
}

/// Append a whole file.
pub(super) fn append(archive: &mut Vec<u8>, path: &str, access: Access, content: &[u8]) {
    archive.extend(file(path, access, content.len() as u64).as_bytes());
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(RECORD as usize), 0);
}

/// A member of an archive.
pub(super) struct Member {
    pub(super) path: Vec<u8>,
    pub(super) is_file: bool,
    /// Where in the archive its content lies.
    pub(super) content: Range<u64>,
}

impl Member {
    /// Whether its path ends like that, in whatever case.
    pub(super) fn ends_in(&self, extension: &str) -> bool {
        let start = self.path.len().saturating_sub(extension.len());
        self.path[start..].eq_ignore_ascii_case(extension.as_bytes())
    }
}

/// The members of an archive, which is not trusted, up to the first that is damaged.
pub(super) fn members<A: ReadAt>(archive: A) -> impl Iterator<Item = Result<Member>> {
    let mut next = Some(0);
    let members = std::iter::from_fn(move || {
        let member = member(&archive, next?).transpose()?;
        let end = member.as_ref().ok().map(|member| member.content.end);
        next = end.and_then(|end| end.checked_next_multiple_of(RECORD));
        Some(member)
    });
    members.take(MEMBERS_MAX)
}

/// The member whose header is at `at`; `None` at the end of the archive.
fn member<A: ReadAt>(archive: &A, at: u64) -> Result<Option<Member>> {
    let mut header = Header::new_old();
    if archive.size().saturating_sub(at) < RECORD {
        return Ok(None);
    }
    archive.read_at(at, header.as_mut_bytes())?;
    if header.as_bytes().iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    let corrupt = |message: String| Error::new(Kind::Corrupt, "archive", message);
    let size = header.entry_size().ok().filter(|_| is_sealed(&header));
    let size = size.ok_or_else(|| corrupt(format!("the header at {at} is damaged")))?;
    let start = at + RECORD;
    let end = start.checked_add(size).filter(|&end| end <= archive.size());
    let end = end.ok_or_else(|| corrupt(format!("the member at {at} is cut off")))?;
    let is_file = header.entry_type() == EntryType::Regular;
    Ok(Some(Member { path: header.path_bytes().into_owned(), is_file, content: start..end }))
}

/// Whether it is a header of POSIX or GNU, and its checksum is right.
fn is_sealed(header: &Header) -> bool {
    let is_known = header.as_ustar().is_some() || header.as_gnu().is_some();
    let mut sealed = header.clone();
    sealed.set_cksum();
    is_known && header.cksum().is_ok_and(|sum| Some(sum) == sealed.cksum().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESS: Access = Access { mode: 0o644, owner: 0 };

    #[test]
    fn the_members_of_an_archive_are_read() {
        let mut archive = directory("disk/", ACCESS).as_bytes().to_vec();
        append(&mut archive, "disk/a", ACCESS, b"content");
        archive.extend(ustar_file("B.OVF", ACCESS, 0).as_bytes());
        archive.extend([0; END as usize]);
        archive.extend(b"what lies behind is no member");
        let members: Vec<_> = members(&*archive).map(Result::unwrap).collect();
        let told = members.iter().map(|member| (&*member.path, member.is_file, member.content.clone()));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [(&b"disk/"[..], false, 512..512), (b"disk/a", true, 1024..1031), (b"B.OVF", true, 2048..2048)]
        );
        assert!(members[2].ends_in(".ovf") && !members[2].ends_in("a longer.ovf"));
    }

    #[test]
    fn sizes_of_any_length_are_read() {
        for make in [file, ustar_file] {
            for size in [0, 511, (1 << 33) - 1, 1 << 33, 1 << 62] {
                let header = make("a", ACCESS, size);
                assert!(is_sealed(&header));
                assert_eq!(header.entry_size().unwrap(), size);
            }
        }
    }

    #[test]
    fn damage_ends_an_archive() {
        let mut archive = Vec::new();
        append(&mut archive, "first", ACCESS, b"content");
        append(&mut archive, "second", ACCESS, b"content");
        let corrupt = |archive: &[u8]| {
            let read: Vec<_> = members(archive).collect();
            let error = read.last().unwrap().as_ref().err();
            error.map(|error| (read.len(), error.kind().clone()))
        };
        assert_eq!(corrupt(&archive), None);
        for at in 0..RECORD as usize {
            let mut broken = archive.clone();
            broken[1024 + at] ^= 1;
            assert_eq!(corrupt(&broken), Some((2, Kind::Corrupt)), "byte {at}");
        }
        assert_eq!(corrupt(&archive[..1024 + 515]), Some((2, Kind::Corrupt)));
    }
}
