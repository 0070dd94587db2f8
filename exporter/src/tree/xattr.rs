//! Extended attributes of files of this machine, read through `/proc/self/fd` (`scan.rs` says why).

use std::ffi::CStr;
use std::io::Result;
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{PROC_SUPER_MAGIC, lgetxattr, lgetxattr_query, llistxattr, llistxattr_query, statfs};
use rustix::io::Errno;

use super::Xattrs;
use crate::error;

/// An error with a hint where `/proc` is not what it should be.
pub(super) fn require_proc() -> error::Result<()> {
    match statfs("/proc/self/fd") {
        Ok(status) if status.f_type == PROC_SUPER_MAGIC => Ok(()),
        _ => Err(error::Error::new(
            error::Kind::NotFound,
            "/proc",
            "is not mounted, xattrs are read through it",
        )
        .with_hint("mount -t proc proc /proc")),
    }
}

/// All xattrs of `name` in the directory `fd`, except those that mean something on this machine only.
pub(super) fn read_all(fd: impl AsFd, name: &CStr) -> Result<Xattrs> {
    let mut path = format!("/proc/self/fd/{}/", fd.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    let mut xattrs = Xattrs::new();
    for name in list(&path)?.split(|&byte| byte == 0).filter(|name| !name.is_empty() && !is_local(name)) {
        xattrs.insert(name.into(), portable(name, get(&path, name)?).into());
    }
    Ok(xattrs)
}

/// All of these xattrs, as they are to be in the machine.
pub(crate) fn portable_xattrs(xattrs: &Xattrs) -> Xattrs {
    let kept = xattrs.iter().filter(|(name, _)| !is_local(name));
    kept.map(|(name, value)| (name.clone(), portable(name, value.to_vec()).into())).collect()
}

/// The value of an xattr, as it is to be in the machine.
fn portable(name: &[u8], value: Vec<u8>) -> Vec<u8> {
    if name == b"security.capability" { without_root_id(value) } else { value }
}

/// The names, each with a NUL behind it.
fn list(path: &[u8]) -> Result<Vec<u8>> {
    // Nearly every file has none: asking for the length first costs one call and no buffer.
    let mut names = match llistxattr_query(path) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Ok(len) => vec![0; len],
        Err(error) => return Err(error.into()),
    };
    let len = llistxattr(path, &mut names[..])?;
    names.truncate(len);
    Ok(names)
}

fn get(path: &[u8], name: &[u8]) -> Result<Vec<u8>> {
    let mut value = vec![0; lgetxattr_query(path, name)?];
    let len = lgetxattr(path, name, &mut value[..])?;
    value.truncate(len);
    Ok(value)
}

/// SELinux labels and EVM hashes belong to this machine's policy and keys; the others to its overlayfs.
fn is_local(name: &[u8]) -> bool {
    matches!(name, b"security.selinux" | b"security.evm")
        || name.starts_with(b"trusted.overlay.")
        || name.starts_with(b"user.overlay.")
}

/// `VFS_CAP_REVISION_*` in the upper byte of `magic_etc` (linux/capability.h).
const REVISION_2: u8 = 2;
const REVISION_3: u8 = 3;
/// `XATTR_CAPS_SZ_2` and `XATTR_CAPS_SZ_3`: revision 3 appends the id of the namespace's root.
const SIZE_2: usize = 20;
const SIZE_3: usize = 24;

/// File capabilities that count in any user namespace. A revision 3 value names the root user of the
/// namespace it was set in, which does not exist in the machine.
fn without_root_id(mut value: Vec<u8>) -> Vec<u8> {
    // magic_etc is little endian: its last byte is the revision.
    if value.len() == SIZE_3
        && let Some(revision) = value.get_mut(3)
        && *revision == REVISION_3
    {
        *revision = REVISION_2;
        value.truncate(SIZE_2);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_lose_the_root_id_and_nothing_else() {
        // cap_net_raw=ep: magic_etc, permitted, inheritable (twice), root id.
        let revision_3 = [&[1, 0, 0, 3, 0, 0x20, 0, 0][..], &[0; 12], &1000_u32.to_le_bytes()].concat();
        let revision_2 = [&[1, 0, 0, 2, 0, 0x20, 0, 0][..], &[0; 12]].concat();
        assert_eq!(without_root_id(revision_3), revision_2);
        assert_eq!(without_root_id(revision_2.clone()), revision_2);
        assert_eq!(without_root_id(vec![3; 3]), vec![3; 3]);
    }

    #[test]
    fn what_belongs_to_this_machine_is_left_out() {
        for name in ["security.selinux", "security.evm", "trusted.overlay.opaque", "user.overlay.origin"] {
            assert!(is_local(name.as_bytes()), "{name}");
        }
        for name in
            ["security.capability", "user.note", "trusted.note", "system.posix_acl_access", "security.ima"]
        {
            assert!(!is_local(name.as_bytes()), "{name}");
        }
    }
}
