//! POSIX ACLs: between the form of the system call and ext4's own, shorter one.
//!
//! The system call's form (version 2) gives every entry eight bytes: tag, permissions, id. On disk
//! (version 1) an id follows only where it means something: a named user or group.

use crate::tree::posix_acl::{self, GROUP, GROUP_OBJ, MASK, OTHER, UNDEFINED_ID, USER, USER_OBJ, VERSION};

/// `a_version` on disk.
const DISK_VERSION: u32 = 1;

/// `value`, as `getxattr` gives it, as ext4 stores it; `None` if it is no ACL.
pub(super) fn to_disk(value: &[u8]) -> Option<Vec<u8>> {
    let mut disk = DISK_VERSION.to_le_bytes().to_vec();
    for entry in posix_acl::entries(value)? {
        let has_id = matches!(posix_acl::tag(entry), USER | GROUP);
        disk.extend(if has_id { &entry[..] } else { &entry[..4] });
    }
    Some(disk)
}

/// `value`, as ext4 stores it, as `getxattr` gives it; `None` if it is no ACL.
pub(super) fn from_disk(value: &[u8]) -> Option<Vec<u8>> {
    let (version, mut rest) = value.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != DISK_VERSION {
        return None;
    }
    let mut syscall = VERSION.to_le_bytes().to_vec();
    while let Some((short, after)) = rest.split_first_chunk::<4>() {
        syscall.extend(short);
        rest = match u16::from_le_bytes([short[0], short[1]]) {
            USER | GROUP => {
                let (id, after) = after.split_first_chunk::<4>()?;
                syscall.extend(id);
                after
            }
            USER_OBJ | GROUP_OBJ | MASK | OTHER => {
                syscall.extend(UNDEFINED_ID.to_le_bytes());
                after
            }
            _ => return None,
        };
    }
    rest.is_empty().then_some(syscall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_users_and_groups_keep_an_id() {
        let syscall = [
            [2, 0, 0, 0].as_slice(),
            &[1, 0, 7, 0, 255, 255, 255, 255],
            &[2, 0, 6, 0, 232, 3, 0, 0],
            &[4, 0, 5, 0, 255, 255, 255, 255],
            &[16, 0, 7, 0, 255, 255, 255, 255],
            &[32, 0, 4, 0, 255, 255, 255, 255],
        ];
        let disk = [
            [1, 0, 0, 0].as_slice(),
            &[1, 0, 7, 0],
            &[2, 0, 6, 0, 232, 3, 0, 0],
            &[4, 0, 5, 0],
            &[16, 0, 7, 0],
            &[32, 0, 4, 0],
        ];
        assert_eq!(to_disk(&syscall.concat()), Some(disk.concat()));
        assert_eq!(from_disk(&disk.concat()), Some(syscall.concat()));
    }

    #[test]
    fn what_is_no_acl_is_refused() {
        assert_eq!(to_disk(b""), None);
        assert_eq!(to_disk(&[1, 0, 0, 0]), None, "the version on disk");
        assert_eq!(to_disk(&[2, 0, 0, 0, 1, 0, 7, 0]), None, "half an entry");
        assert_eq!(to_disk(&[2, 0, 0, 0, 3, 0, 7, 0, 0, 0, 0, 0]), None, "an unknown tag");
        assert_eq!(from_disk(&[2, 0, 0, 0]), None, "the version of the system call");
        assert_eq!(from_disk(&[1, 0, 0, 0, 2, 0, 7, 0]), None, "no id");
        assert_eq!(from_disk(&[1, 0, 0, 0, 1, 0, 7]), None, "half an entry");
        assert_eq!(from_disk(&[1, 0, 0, 0, 3, 0, 7, 0]), None, "an unknown tag");
    }
}
