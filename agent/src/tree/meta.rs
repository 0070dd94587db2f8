//! What an inode has besides its content, read and set through an open file, so that no link can come between.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Stat, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmod,
    chownat, getxattr, listxattr, setxattr, utimensat,
};
use rustix::io::{Errno, Result};

use super::{Member, Rights};

/// As many bytes as Linux keeps of the names of an inode's attributes, and of a value (`XATTR_LIST_MAX` and
/// `XATTR_SIZE_MAX` of linux/limits.h).
const XATTR_MAX: usize = 64 << 10;

/// The same inode by a path, for calls that take no file that was opened for its place alone (open(2), `O_PATH`). It
/// leads to a symbolic link itself where the file is one.
pub(super) fn path(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Whether an attribute goes with a copy.
fn is_copied(name: &[u8], rights: Rights) -> bool {
    let granting = [&b"security.capability"[..], b"system.posix_acl_access", b"system.posix_acl_default"];
    name.starts_with(b"user.") || (rights == Rights::All && granting.contains(&name))
}

/// A member of this inode, without its path and what it is.
pub(super) fn collect(file: BorrowedFd<'_>, stat: &Stat) -> Result<Member> {
    Ok(Member {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or_default()),
        xattrs: attributes(file)?,
        ..Member::default()
    })
}

fn attributes(file: BorrowedFd<'_>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let path = path(file);
    let mut names = vec![0; XATTR_MAX];
    let len = match listxattr(&*path, &mut names[..]) {
        Err(Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => return Ok(Vec::new()),
        len => len?,
    };
    names.truncate(len);
    let mut attributes = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| is_copied(name, Rights::All)) {
        let mut value = vec![0; XATTR_MAX];
        match getxattr(&*path, name, &mut value[..]) {
            // Gone since, or for nobody to see.
            Err(Errno::NODATA | Errno::PERM | Errno::ACCESS) => {}
            len => {
                value.truncate(len?);
                value.shrink_to_fit();
                attributes.push((name.to_owned(), value));
            }
        }
    }
    Ok(attributes)
}

/// Give an inode what a member has. The owner first: a new one takes rights away.
pub(super) fn apply(file: BorrowedFd<'_>, kind: FileType, member: &Member, rights: Rights) -> Result<()> {
    let path = path(file);
    if rights == Rights::All {
        let (uid, gid) = (Uid::from_raw(member.uid), Gid::from_raw(member.gid));
        chownat(file, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
    }
    if kind != FileType::Symlink {
        let kept = if rights == Rights::All { 0o7777 } else { 0o777 };
        chmod(&*path, Mode::from_raw_mode(member.mode & kept))?;
    }
    for (name, value) in member.xattrs.iter().filter(|(name, _)| is_copied(name, rights)) {
        match setxattr(&*path, &**name, value, XattrFlags::empty()) {
            // A file system that has none, such as a tmpfs before Linux 6.6.
            Err(Errno::NOTSUP) => {}
            result => result?,
        }
    }
    let (tv_sec, nanoseconds) = member.mtime;
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ },
        last_modification: Timespec { tv_sec, tv_nsec: nanoseconds.into() },
    };
    utimensat(CWD, &*path, &times, AtFlags::empty())
}
