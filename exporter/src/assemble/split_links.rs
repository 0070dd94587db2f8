//! Files with names on several partitions: a hard link cannot lead from one file system to another.

use std::collections::HashMap;

use super::resolve::Named;
use crate::error::show_path;
use crate::spec::layout::Content;
use crate::tree::{InodeId, Places, Tree};

/// A line on those of `root`, of which each partition gets a file of its own.
pub(super) fn note(root: &Tree, partitions: &[Named]) -> Option<String> {
    let paths = partitions.iter().filter_map(|named| match &named.slot.content {
        Content::Subtree(path) => Some(path.as_str()),
        _ => None,
    });
    let split = split(root, paths);
    let first = split.first()?;
    let more = match split.len() - 1 {
        0 => String::new(),
        more => format!(", as {more} more"),
    };
    Some(format!(
        "{}: is a file of its own, its other names are on another partition{more}",
        show_path(first)
    ))
}

/// The names whose file has one on another partition before; those at and below each of `paths` are on one.
fn split<'a>(root: &Tree, paths: impl Iterator<Item = &'a str>) -> Vec<Vec<u8>> {
    let taken: HashMap<_, _> = paths.filter_map(|path| root.lookup(path)).zip(1..).collect();
    let (mut split, mut places) = (Vec::new(), Places::default());
    if taken.is_empty() {
        return split;
    }
    let mut partition_of: HashMap<InodeId, usize> = [(Tree::ROOT, 0)].into();
    for (parent, name, id) in root.walk() {
        let around = partition_of.get(&parent).copied().unwrap_or_default();
        let partition = taken.get(&id).copied().unwrap_or(around);
        if *partition_of.entry(id).or_insert(partition) != partition {
            let directory =
                if parent == Tree::ROOT { Vec::new() } else { [b"/", &*places.path(parent)].concat() };
            split.push([&directory, name].join(&b'/'));
        }
        if root.entries(id).is_some() {
            places.insert(id, parent, name);
        }
    }
    split
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::tree;

    #[test]
    fn names_of_one_file_on_two_partitions_are_told_and_others_are_not() {
        let mut root = tree(&[("/app/page", "hello"), ("/srv/www/alone", ""), ("/srv/log/x", "")]);
        let link = |root: &mut Tree, directory: &str, name: &[u8], to: &str| {
            let (directory, file) = (root.lookup(directory).unwrap(), root.lookup(to).unwrap());
            root.link(directory, name, file);
        };
        link(&mut root, "/srv/www", b"alone too", "/srv/www/alone");
        let found = |root: &Tree, paths: &[&str]| split(root, paths.iter().copied());
        assert!(found(&root, &["/srv"]).is_empty());

        link(&mut root, "/srv/www", b"page", "/app/page");
        link(&mut root, "/srv/log", b"alone", "/srv/www/alone");
        assert!(found(&root, &[]).is_empty());
        let page: &[u8] = b"/srv/www/page";
        assert_eq!(found(&root, &["/srv"]), [page]);
        assert_eq!(
            found(&root, &["/srv", "/srv/log"]),
            [b"/srv/www/alone", &b"/srv/www/alone too"[..], page]
        );
        assert_eq!(found(&root, &["/app"]), [page]);
    }
}
