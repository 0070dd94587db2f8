//! What no file system of Linux can hold, and where in a tree it is, for a message.

use std::collections::HashMap;

use crate::error::{Error, Kind, show_path};
use crate::tree::{InodeId, Tree};

/// The longest name (`NAME_MAX` of `linux/limits.h`).
const NAME_MAX: usize = 255;
/// The longest target that the kernel reads: a page with its final NUL (`PATH_MAX`).
const TARGET_MAX: usize = 4095;

/// That an entry can have this name.
pub(super) fn check_name(name: &[u8], file_system: &str) -> Result<(), String> {
    match name {
        b"" | b"." | b".." => Err("not a name for an entry".to_owned()),
        name if name.len() > NAME_MAX => {
            Err(format!("a name of {} bytes, {file_system} allows {NAME_MAX}", name.len()))
        }
        name if name.iter().any(|byte| matches!(byte, 0 | b'/')) => {
            Err("a name cannot contain '/' or NUL".to_owned())
        }
        _ => Ok(()),
    }
}

/// That a symbolic link can have this target.
pub(super) fn check_target(target: &[u8], file_system: &str) -> Result<(), String> {
    if target.is_empty() || target.contains(&0) {
        return Err("the target of a symbolic link is empty or contains NUL".to_owned());
    }
    if target.len() > TARGET_MAX {
        return Err(format!("a target of {} bytes, {file_system} allows {TARGET_MAX}", target.len()));
    }
    Ok(())
}

/// The error of what cannot be held.
pub(super) fn refuse(place: String, reason: String) -> Error {
    Error::new(Kind::Input, place, reason)
}

/// The path of the entry `name` in the directory `parent`.
pub(super) fn show_entry(tree: &Tree, parent: InodeId, name: &[u8]) -> String {
    let mut above = HashMap::new();
    for (directory, name, id) in tree.walk() {
        if parent == Tree::ROOT || above.contains_key(&parent) {
            break;
        }
        above.entry(id).or_insert((directory, name));
    }
    let mut path = vec![name];
    let mut at = parent;
    while let Some((directory, name)) = above.remove(&at) {
        path.push(name);
        at = directory;
    }
    path.reverse();
    show_path(&path.join(&b'/'))
}

/// The first path of an inode.
pub(super) fn show_inode(tree: &Tree, id: InodeId) -> String {
    match tree.walk().find(|&(_, _, child)| child == id) {
        Some((parent, name, _)) => show_entry(tree, parent, name),
        None => show_path(b""),
    }
}
