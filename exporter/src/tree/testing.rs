//! Trees for tests, written down as lists.

use super::{Editor, Meta, Time, Tree};

/// A tree of these paths: `-> target` is a symlink, a path that ends in `/` a directory, all else a
/// file of this text.
pub(crate) fn tree(entries: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::new(Meta { permissions: 0o755, ..Meta::default() });
    let mut editor = Editor::new(&mut tree, Time::default());
    for (path, text) in entries {
        let made = match text.strip_prefix("-> ") {
            Some(target) => editor.symlink(path, target),
            None if path.ends_with('/') => editor.mkdir_all(path),
            None => editor.write_file(path, text.as_bytes(), 0o644),
        };
        made.expect("the tree of a test can be made");
    }
    tree
}

/// The text of a file of the tree, through symlinks.
pub(crate) fn text(tree: &Tree, path: &str) -> Option<String> {
    let bytes = tree.read(path, 1 << 20).expect("the file of a test can be read");
    bytes.map(|bytes| String::from_utf8(bytes).expect("the file of a test is text"))
}
