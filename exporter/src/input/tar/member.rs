//! What a member of an archive is.

use super::super::fault::Fault;
use super::format::{Header, number};
use super::pax::Records;
use crate::error::show_path;
use crate::limits::{PATH, SHOWN};
use crate::tree::{Device, Meta, Piece, Time, portable_xattrs};

/// A member of an archive.
#[derive(Debug)]
pub(in super::super) struct Member {
    /// Names with `/` between them: no `.`, no `..`, no slash in front. Empty for the root.
    pub(in super::super) path: Vec<u8>,
    pub(in super::super) meta: Meta,
    pub(in super::super) what: What,
}

/// What a member is.
#[derive(Debug)]
pub(in super::super) enum What {
    Directory,
    File(Data),
    /// One more name of another member, whose path is clean too.
    HardLink(Vec<u8>),
    Symlink(Vec<u8>),
    Fifo,
    CharDevice(Device),
    BlockDevice(Device),
}

/// The content of a regular file.
#[derive(Debug)]
pub(in super::super) struct Data {
    /// Length of the file in bytes.
    pub(in super::super) len: u64,
    /// First byte in the stream.
    pub(in super::super) offset: u64,
    /// Of a sparse file, what is stored of it.
    pub(in super::super) pieces: Option<Box<[Piece]>>,
}

/// A path as it is in the archive, for a message.
pub(super) fn show(path: &[u8]) -> String {
    match path.get(..SHOWN) {
        Some(start) if path.len() > SHOWN => format!("{}…", show_path(start)),
        _ => show_path(path),
    }
}

/// That the path or target of a member is none that no kernel takes.
pub(super) fn check_len(path: &[u8], shown: &str) -> Result<(), Fault> {
    match path.len() {
        ..=PATH => Ok(()),
        len => Err(Fault::corrupt(format!("{shown}: a path of {len} bytes, Linux takes {PATH}"))),
    }
}

/// The names of a path that lead somewhere. `..` is refused: no program that packs a root file system
/// writes it, and there is nothing above the root.
pub(super) fn clean_path(path: &[u8]) -> Result<Vec<u8>, Fault> {
    check_len(path, &show(path))?;
    let names = path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    let names: Vec<_> = names.collect();
    if names.contains(&&b".."[..]) {
        return Err(Fault::corrupt(format!("{}: a path with '..' is refused", show(path))));
    }
    if path.contains(&0) {
        return Err(Fault::corrupt(format!("{}: a path with NUL is refused", show(path))));
    }
    Ok(names.join(&b'/'))
}

/// Owner, mode, time and xattrs; `None` if one of them is no such number.
pub(super) fn meta(header: &Header, records: &mut Records) -> Option<Meta> {
    let id = |record: Option<i64>, field: &[u8]| u32::try_from(record.or_else(|| number(field))?).ok();
    let mtime = match records.mtime {
        Some(time) => time,
        None => Time { seconds: number(&header.mtime)?, nanoseconds: 0 },
    };
    Some(Meta {
        permissions: (number(&header.mode)? & 0o7777) as u16,
        uid: id(records.uid, &header.uid)?,
        gid: id(records.gid, &header.gid)?,
        mtime,
        xattrs: portable_xattrs(&records.xattrs),
    })
}

pub(super) fn device(header: &Header, records: &Records, shown: &str) -> Result<Device, Fault> {
    let part = |record: Option<i64>, field: &[u8]| u32::try_from(record.or_else(|| number(field))?).ok();
    let major = part(records.device_major, &header.devmajor);
    let minor = part(records.device_minor, &header.devminor);
    let device = major.zip(minor).map(|(major, minor)| Device { major, minor });
    device.ok_or_else(|| Fault::corrupt(format!("{shown}: the device has no number")))
}
