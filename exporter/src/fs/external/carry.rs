//! What the tools carry from a folder into a file system. What they leave out, or change, without a word is refused.
//!
//! Found by the kernel's own view of what they made: mkfs.xfs 7.2 opens devices, stores an ACL as an attribute of that name
//! that means nothing, and leaves out an attribute whose value is empty; mkfs.btrfs 7.3 makes every device 0:0; mksquashfs 4.7 leaves ACLs out. Attributes of
//! `trusted.…` and most of `security.…` are nobody's to set who has no privileges in the kernel, as a build has none.
//! mkfs.xfs makes a directory as the kernel does, so one below a set-group-ID directory gets that bit; and where the kernel
//! stores an ACL, as mkfs.btrfs has it from there, it changes the mode by it.

use super::Tool;
use crate::error::Result;
use crate::fs::refusal::{refuse, show_entry, show_inode};
use crate::tree::{Inode, InodeKind, Tree, posix_acl};

/// The longest path that the tools can open, with that of the folder in front of it (`PATH_MAX`).
const PATH_MAX: usize = 4000;
/// The longest target of a symbolic link in an XFS (`XFS_SYMLINK_MAXLEN`), without the byte behind it that mkfs.xfs wants.
const XFS_TARGET_MAX: usize = 1023;
/// `S_ISGID`.
const SET_GROUP_ID: u16 = 0o2000;

/// That `tool` carries all of `tree`.
///
/// # Errors
/// `Input` names the first path of which it does not.
pub(super) fn check(tree: &Tree, tool: Tool) -> Result<()> {
    if let Some(reason) = refused(tree.inode(Tree::ROOT), tool) {
        return Err(refuse(show_inode(tree, Tree::ROOT), reason));
    }
    // The directories above the entry, each with the length of its path.
    let mut above = vec![(Tree::ROOT, 0)];
    for (parent, name, id) in tree.walk() {
        while above.pop_if(|(id, _)| *id != parent).is_some() {}
        let len = above.last().map_or(0, |(_, len)| *len) + 1 + name.len();
        let too_long = || format!("a path of {len} bytes, {} takes {PATH_MAX}", tool.program());
        let reason = refused(tree.inode(id), tool)
            .or_else(|| inherits(tree.inode(parent), tree.inode(id), tool))
            .or_else(|| (len > PATH_MAX).then(too_long));
        if let Some(reason) = reason {
            return Err(refuse(show_entry(tree, parent, name), reason));
        }
        if tree.entries(id).is_some() {
            above.push((id, len));
        }
    }
    Ok(())
}

/// Why an inode is not carried as it is.
fn refused(Inode { meta, kind }: &Inode, tool: Tool) -> Option<String> {
    let is_device = matches!(kind, InodeKind::CharDevice(_) | InodeKind::BlockDevice(_));
    if is_device && tool != Tool::Squashfs {
        return Some(format!("a device, which {} does not carry", tool.program()));
    }
    if let (InodeKind::Symlink(target), Tool::Xfs) = (kind, tool)
        && target.len() > XFS_TARGET_MAX
    {
        return Some(format!("a target of {} bytes, xfs takes {XFS_TARGET_MAX}", target.len()));
    }
    let (first, last) = tool.years();
    if !(first..=last).contains(&meta.mtime.seconds) {
        return Some(format!(
            "a time ({} s since 1970) that {} does not carry",
            meta.mtime.seconds,
            tool.name()
        ));
    }
    if let Some(name) = meta.xattrs.keys().find(|name| !tool.carries(name)) {
        let name = String::from_utf8_lossy(name).into_owned();
        return Some(format!("has the attribute {name}, which {} does not carry", tool.program()));
    }
    if tool == Tool::Xfs
        && let Some((name, _)) = meta.xattrs.iter().find(|(_, value)| value.is_empty())
    {
        let name = String::from_utf8_lossy(name).into_owned();
        return Some(format!("the attribute {name} has no value, mkfs.xfs would leave it out"));
    }
    let acl = meta.xattrs.get(&b"system.posix_acl_access"[..])?;
    let (of_mode, of_acl) = (meta.permissions & 0o777, posix_acl::permissions(acl));
    if of_acl == Some(of_mode) {
        return None;
    }
    let of_acl = of_acl.map_or_else(|| "is none".to_owned(), |mode| format!("says {mode:03o}"));
    Some(format!("its mode is {of_mode:03o} and its ACL {of_acl}; Linux has one for both"))
}

/// Why a directory would not have the mode that it has in the tree.
fn inherits(above: &Inode, inode: &Inode, tool: Tool) -> Option<String> {
    let has_bit = |inode: &Inode| inode.meta.permissions & SET_GROUP_ID != 0;
    let is_changed = tool == Tool::Xfs
        && matches!(inode.kind, InodeKind::Directory(_))
        && has_bit(above)
        && !has_bit(inode);
    let reason = "a directory without the set-group-ID bit inside one with it, to which mkfs.xfs gives it as well: \
                  set it here (chmod g+s), or take it from the one above";
    is_changed.then(|| reason.to_owned())
}

impl Tool {
    fn carries(self, attribute: &[u8]) -> bool {
        let is_acl = attribute.starts_with(b"system.posix_acl_");
        let is_settable = attribute.starts_with(b"user.") || attribute == b"security.capability";
        is_settable || is_acl && self == Self::Btrfs
    }

    /// The first and the last second since 1970. For the two that are written to they are those of the ext4 and XFS on
    /// which builds unpack: 1901 to 2446; a squashfs counts in 32 bits, to 2106.
    fn years(self) -> (i64, i64) {
        match self {
            Self::Xfs | Self::Btrfs => (-(1 << 31), (1 << 34) - (1 << 31) - 1),
            Self::Squashfs => (0, (1 << 32) - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::tree;
    use crate::tree::{Device, InodeId, Time};

    const TOOLS: [Tool; 3] = [Tool::Xfs, Tool::Btrfs, Tool::Squashfs];

    /// What each of the tools says of a tree whose file `/etc/os` was changed so.
    fn said(change: impl Fn(&mut Tree, InodeId)) -> [String; 3] {
        TOOLS.map(|tool| {
            let mut tree = tree(&[("/etc/os", "text")]);
            let file = tree.lookup("/etc/os").unwrap();
            change(&mut tree, file);
            check(&tree, tool).map_or_else(|error| error.to_string(), |()| "fine".to_owned())
        })
    }

    fn attribute(name: &'static str) -> [String; 3] {
        said(|tree, file| {
            drop(tree.inode_mut(file).meta.xattrs.insert(name.as_bytes().into(), (*b"x").into()))
        })
    }

    #[test]
    fn what_a_tool_does_not_carry_is_named() {
        let device = said(|tree, file| {
            tree.inode_mut(file).kind = InodeKind::CharDevice(Device { major: 1, minor: 3 })
        });
        assert_eq!(
            device,
            [
                "/etc/os: a device, which mkfs.xfs does not carry",
                "/etc/os: a device, which mkfs.btrfs does not carry",
                "fine"
            ]
        );
        let link = |len| {
            said(move |tree, file| tree.inode_mut(file).kind = InodeKind::Symlink(vec![b'x'; len].into()))
        };
        assert_eq!(link(1023), ["fine"; 3]);
        assert_eq!(link(1024), ["/etc/os: a target of 1024 bytes, xfs takes 1023", "fine", "fine"]);
        for name in ["user.note", "security.capability"] {
            assert_eq!(attribute(name), ["fine"; 3]);
        }
        let acl = attribute("system.posix_acl_access");
        assert_eq!(
            acl[0],
            "/etc/os: has the attribute system.posix_acl_access, which mkfs.xfs does not carry"
        );
        assert_eq!(acl[1], "/etc/os: its mode is 644 and its ACL is none; Linux has one for both");
        assert!(acl[2].contains("mksquashfs"), "{acl:?}");
        for name in ["trusted.overlay.opaque", "security.selinux", "nobody.knows"] {
            assert!(attribute(name).iter().all(|said| said.contains(name)), "{name}");
        }
        let empty = said(|tree, file| {
            drop(tree.inode_mut(file).meta.xattrs.insert((*b"user.note").into(), (*b"").into()))
        });
        let left_out = "/etc/os: the attribute user.note has no value, mkfs.xfs would leave it out";
        assert_eq!(empty, [left_out, "fine", "fine"]);
        let at = |seconds| {
            said(move |tree, file| tree.inode_mut(file).meta.mtime = Time { seconds, nanoseconds: 0 })
        };
        assert_eq!(at(1 << 31), ["fine"; 3]);
        let [xfs, btrfs, squashfs] = at(-1);
        assert_eq!([xfs, btrfs], ["fine"; 2]);
        assert_eq!(squashfs, "/etc/os: a time (-1 s since 1970) that squashfs does not carry");
        assert!(at(1 << 35).iter().all(|said| said.contains("a time")));
    }

    #[test]
    fn a_directory_below_one_of_a_group_has_its_bit_or_is_refused_for_an_xfs() {
        let said = |above: u16, below: u16, path: &str| {
            TOOLS.map(|tool| {
                let mut tree = tree(&[("/srv/team/file", "text"), ("/srv/team/docs/", "")]);
                for (path, mode) in [("/srv/team", above), (path, below)] {
                    let id = tree.lookup(path).unwrap();
                    tree.inode_mut(id).meta.permissions = mode;
                }
                check(&tree, tool).map_or_else(|error| error.to_string(), |()| "fine".to_owned())
            })
        };
        let [xfs, btrfs, squashfs] = said(0o2775, 0o755, "/srv/team/docs");
        assert!(xfs.starts_with("/srv/team/docs: a directory without the set-group-ID bit"), "{xfs}");
        assert_eq!([btrfs, squashfs], ["fine"; 2]);
        for (above, below) in [(0o2775, 0o2755), (0o775, 0o755), (0o775, 0o2755)] {
            assert_eq!(said(above, below, "/srv/team/docs"), ["fine"; 3]);
        }
        let mut tree = tree(&[("/file", "text"), ("/docs/", "")]);
        tree.inode_mut(Tree::ROOT).meta.permissions = 0o2755;
        assert!(check(&tree, Tool::Xfs).unwrap_err().to_string().starts_with("/docs: "));
        tree.inode_mut(tree.lookup("/docs").unwrap()).meta.permissions = 0o2755;
        check(&tree, Tool::Xfs).unwrap();
    }

    #[test]
    fn an_acl_and_the_mode_beside_it_say_the_same() {
        let said = |mode, mask: Option<u8>| {
            let [_, btrfs, _] = said(|tree, file| {
                let meta = &mut tree.inode_mut(file).meta;
                let entries = [(1, 6), (4, 4), (32, 0)].into_iter().chain(mask.map(|mask| (16, mask)));
                let entries = entries.flat_map(|(tag, allowed)| [tag, 0, allowed, 0, 255, 255, 255, 255]);
                let acl: Vec<u8> = [2, 0, 0, 0].into_iter().chain(entries).collect();
                meta.permissions = mode;
                meta.xattrs.insert((*b"system.posix_acl_access").into(), acl.into());
            });
            btrfs
        };
        assert_eq!(said(0o640, None), "fine");
        assert_eq!(said(0o4660, Some(6)), "fine");
        let refused = "/etc/os: its mode is 640 and its ACL says 660; Linux has one for both";
        assert_eq!(said(0o640, Some(6)), refused);
    }

    #[test]
    fn the_root_and_deep_paths_are_looked_at_too() {
        let root = said(|tree, _| {
            let meta = &mut tree.inode_mut(Tree::ROOT).meta;
            meta.xattrs.insert((*b"trusted.x").into(), (*b"x").into());
        });
        assert!(root.iter().all(|said| said.starts_with("/: has the attribute trusted.x")), "{root:?}");
        let deep = format!("/{}file", "a-folder/".repeat(450));
        let deep = tree(&[(&deep, "")]);
        let error = check(&deep, Tool::Btrfs).unwrap_err().to_string();
        assert!(error.ends_with("a path of 4005 bytes, mkfs.btrfs takes 4000"), "{error}");
    }
}
