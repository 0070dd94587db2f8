//! POSIX ACLs as the kernel's xattrs have them (linux/posix_acl_xattr.h): a version, then entries of tag,
//! permissions and id.

/// `a_version` of the xattr's value.
pub(crate) const VERSION: u32 = 2;
/// `e_id` of entries without one.
pub(crate) const UNDEFINED_ID: u32 = u32::MAX;

/// The entries of an ACL; `None` if `value` is none.
pub(crate) fn entries(value: &[u8]) -> Option<&[[u8; 8]]> {
    let (version, entries) = value.split_first_chunk::<4>()?;
    let (entries, rest) = entries.as_chunks::<8>();
    let is_known = |entry| matches!(tag(entry), USER_OBJ | USER | GROUP_OBJ | GROUP | MASK | OTHER);
    (u32::from_le_bytes(*version) == VERSION && rest.is_empty() && entries.iter().all(is_known))
        .then_some(entries)
}

/// `e_tag` of an entry.
pub(crate) fn tag(entry: &[u8; 8]) -> u16 {
    u16::from_le_bytes([entry[0], entry[1]])
}

/// The permissions that a file with this access ACL has as well, as Linux keeps the two (`posix_acl_equiv_mode`); `None` if
/// `value` is no ACL.
pub(crate) fn permissions(value: &[u8]) -> Option<u16> {
    let entries = entries(value)?;
    let of = |wanted| {
        let entry = entries.iter().find(|entry| tag(entry) == wanted)?;
        Some(u16::from_le_bytes([entry[2], entry[3]]) & 7)
    };
    let group = of(MASK).or_else(|| of(GROUP_OBJ));
    Some(of(USER_OBJ).unwrap_or(0) << 6 | group.unwrap_or(0) << 3 | of(OTHER).unwrap_or(0))
}

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
