//! POSIX ACLs as the kernel's xattrs have them (linux/posix_acl_xattr.h): a version, then entries of tag,
//! permissions and id.

/// `a_version` of the xattr's value.
pub(crate) const VERSION: u32 = 2;
/// `e_id` of entries without one.
pub(crate) const UNDEFINED_ID: u32 = u32::MAX;

/// `e_tag`: the owner.
pub(crate) const USER_OBJ: u16 = 0x01;
/// `e_tag`: a named user.
pub(crate) const USER: u16 = 0x02;
/// `e_tag`: the owning group.
pub(crate) const GROUP_OBJ: u16 = 0x04;
/// `e_tag`: a named group.
pub(crate) const GROUP: u16 = 0x08;
/// `e_tag`: the upper bound for all but the owner and others.
pub(crate) const MASK: u16 = 0x10;
/// `e_tag`: everybody else.
pub(crate) const OTHER: u16 = 0x20;
