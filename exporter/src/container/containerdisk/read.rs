//! An archive of a container image → the qcow2 disk in it. The file is not trusted.

use std::ops::Range;
use std::path::Path;

use super::{BLOBS, DIRECTORY};
use crate::container::archive::{Member, members};
use crate::container::{self, qcow2};
use crate::error::{Error, Kind, Result};
use crate::read_at::{Part, ReadAt};

/// Where the qcow2 file lies: in the first layer that holds one in `disk/`; `None` if the file is something
/// else.
pub(in crate::container) fn find<F: ReadAt>(file: &F) -> Option<Range<u64>> {
    let mut layers = members_in(file, 0..file.size()).filter(|member| is_below(member, BLOBS));
    layers.find_map(|layer| {
        let files = members_in(file, layer.content).filter(|member| is_below(member, DIRECTORY));
        let mut contents = files.map(|member| member.content);
        contents.find(|content| qcow2::is_qcow2(&Part::new(file, content.clone())))
    })
}

/// Where the qcow2 file lies in an archive that has one, in bytes.
///
/// # Errors
/// [`Kind::Corrupt`] if it has none, [`Kind::Io`] if it cannot be read.
pub fn disk_range(archive: &Path) -> Result<Range<u64>> {
    find(&container::open_raw(archive)?).ok_or_else(missing)
}

/// The disk in an archive that has one.
///
/// # Errors
/// As for a qcow2 file.
pub(in crate::container) fn open<F: ReadAt>(file: F) -> Result<qcow2::Reader<impl ReadAt>> {
    let disk = find(&file).ok_or_else(missing)?;
    qcow2::Reader::new(Part::new(file, disk))
}

fn missing() -> Error {
    Error::new(Kind::Corrupt, "containerdisk", "no layer holds a qcow2 disk")
}

/// The members of the archive at `within`, as far as it is one; their contents as places in `file`.
fn members_in<F: ReadAt>(file: &F, within: Range<u64>) -> impl Iterator<Item = Member> {
    let start = within.start;
    let members = members(Part::new(file, within)).map_while(Result::ok);
    members.map(move |Member { content, path, is_file }| {
        let content = start + content.start..start + content.end;
        Member { content, path, is_file }
    })
}

fn is_below(member: &Member, directory: &str) -> bool {
    member.path.starts_with(directory.as_bytes())
}
