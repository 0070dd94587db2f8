//! POSIX ACLs: the text that tar stores (`acl_to_text`, POSIX.1e draft 17), and the value of the xattr
//! that the kernel has for it (linux/posix_acl_xattr.h).

use crate::tree::posix_acl::{GROUP, GROUP_OBJ, MASK, OTHER, UNDEFINED_ID, USER, USER_OBJ, VERSION};

/// The value of the xattr, empty if the ACL says no more than permissions do. `None` if the text is no ACL,
/// or has names: only numbers are sure to mean the same in the machine. star appends them as a fourth field,
/// GNU tar writes them for users and groups that the packing machine does not know.
pub(super) fn encode(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let lines = text.split([',', '\n']).map(|line| line.split('#').next().unwrap_or_default().trim());
    let mut entries = lines.filter(|line| !line.is_empty()).map(entry).collect::<Option<Vec<_>>>()?;
    // The kernel wants them in this order.
    entries.sort_unstable();
    if entries.iter().all(|(tag, ..)| matches!(*tag, USER_OBJ | GROUP_OBJ | OTHER)) {
        return Some(Vec::new());
    }
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, id, permissions) in entries {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&permissions.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    Some(value)
}

/// Tag, id and permissions of `TAG:[NAME]:PERMISSIONS[:ID]`.
fn entry(line: &str) -> Option<(u16, u32, u16)> {
    let mut fields = line.split(':');
    let (tag, name) = (fields.next()?, fields.next()?);
    // `other` and `mask` may come without the empty field.
    let permissions = fields.next().unwrap_or(name);
    let name = if permissions == name { "" } else { name };
    let id = fields.next().unwrap_or(name);
    let (named, own) = match tag {
        "user" | "u" => (USER, USER_OBJ),
        "group" | "g" => (GROUP, GROUP_OBJ),
        "mask" | "m" if name.is_empty() => (MASK, MASK),
        "other" | "o" if name.is_empty() => (OTHER, OTHER),
        _ => return None,
    };
    let (tag, id) = if name.is_empty() { (own, UNDEFINED_ID) } else { (named, id.parse().ok()?) };
    let bits = permissions.chars().take_while(|char| !char.is_whitespace()).try_fold(0, |bits, char| {
        Some(
            bits | match char {
                'r' => 4,
                'w' => 2,
                'x' => 1,
                '-' => 0,
                _ => return None,
            },
        )
    })?;
    Some((tag, id, bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Option<String> {
        Some(encode(text.as_bytes())?.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    #[test]
    fn texts_become_the_values_of_the_kernel() {
        // As getfattr shows it after setfacl.
        let expected =
            "0200000001000700ffffffff02000700e803000004000700ffffffff10000700ffffffff20000500ffffffff";
        for text in [
            "user::rwx,user:1000:rwx,group::rwx,mask::rwx,other::r-x",
            "user::rwx\nuser:alice:rwx:1000\ngroup::rwx\nmask::rwx\nother::r-x\n",
            "other:r-x,user::rwx,group::rwx,mask:rwx,user:1000:rwx  #effective:r-x",
        ] {
            assert_eq!(hex(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn permissions_alone_are_no_acl() {
        assert_eq!(hex("user::rw-\ngroup::r--\nother::r--").as_deref(), Some(""));
        assert_eq!(hex("").as_deref(), Some(""));
    }

    #[test]
    fn names_and_nonsense_are_refused() {
        for text in ["user:alice:rwx", "user::rwq", "owner::rwx", "user", "mask:1:rwx"] {
            assert_eq!(hex(text), None, "{text}");
        }
    }
}
