//! Headers of tar archives, in the old GNU format: what every reader takes.

use tar::{EntryType, Header};

/// Bytes of a header, and what members are padded to.
pub(super) const RECORD: u64 = size_of::<Header>() as u64;
/// Records of zeroes that end an archive.
pub(super) const END: u64 = 2 * RECORD;

/// Who may do what with a member.
#[derive(Clone, Copy)]
pub(super) struct Access {
    pub(super) mode: u32,
    /// User and group.
    pub(super) owner: u64,
}

/// The header of a file of `size` bytes; `path` is a constant of at most 100 bytes.
///
/// A size above 8 GiB, which the octal digits have no room for, is written in binary, as GNU tar does.
pub(super) fn file(path: &str, access: Access, size: u64) -> Header {
    header(path, access, EntryType::Regular, size)
}

/// The header of a directory; `path` ends with a slash.
pub(super) fn directory(path: &str, access: Access) -> Header {
    header(path, access, EntryType::Directory, 0)
}

fn header(path: &str, access: Access, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
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
