//! Trees as text, with the `lost+found` that every ext4 has, and of which nothing else is compared.

use std::path::Path;

use exporter::tree::Tree;

use crate::trees::dump;
pub(crate) use crate::trees::dump::{Line, Lines, add_range, sum, text};

const LOST_FOUND: &[u8] = b"/lost+found";

/// What `tree` is to look like once it is mounted.
pub(crate) fn of_tree(tree: &Tree) -> String {
    text(&lines_of_tree(tree))
}

pub(crate) fn lines_of_tree(tree: &Tree) -> Lines {
    let mut lines = dump::lines_of_tree(tree);
    if lines.remove(LOST_FOUND).is_none() {
        lines.get_mut(&b""[..]).unwrap().links += 1;
    }
    lines
}

/// What the kernel says of everything below `root`.
pub(crate) fn of_mount(root: &Path) -> String {
    let mut lines = dump::lines_of_mount(root, true);
    lines.remove(LOST_FOUND);
    text(&lines)
}
