//! Paths → directories in the order of the path table (9.4): level by level, and in each by their names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::names::Identifier;
use crate::error::{Error, Kind, Result};

/// Levels of directories, the root among them (6.8.2.1).
const LEVELS: usize = 8;
/// Bytes of a name: with it, a record is as long as one may be with the longest identifier.
const NAME_MAX: usize = 128;
/// Directories that the path table can number (9.4.4).
const DIRECTORIES_MAX: usize = u16::MAX as usize;

/// The directories of a volume, the root first; each lies behind the one that it is in.
pub(super) struct Tree {
    pub(super) directories: Vec<Directory>,
}

/// One directory.
pub(super) struct Directory {
    /// Its name for those who read no Rock Ridge; the root has none.
    pub(super) identifier: Option<Identifier>,
    /// The one that it is in; of the root, itself.
    pub(super) parent: usize,
    /// In the order of their identifiers.
    pub(super) children: Vec<Child>,
}

/// What is in a directory.
pub(super) struct Child {
    pub(super) name: String,
    pub(super) identifier: Identifier,
    pub(super) node: Node,
}

/// By their numbers.
#[derive(Clone, Copy)]
pub(super) enum Node {
    Directory(usize),
    File(usize),
}

/// What paths say, before anything has a number.
#[derive(Default)]
struct Folder(BTreeMap<String, Item>);

enum Item {
    Folder(Folder),
    File(usize),
}

impl Tree {
    /// Of files at these paths, which are their numbers in this order.
    pub(super) fn new<'a>(paths: impl Iterator<Item = &'a str>) -> Result<Self> {
        let mut root = Folder::default();
        for (number, path) in paths.enumerate() {
            root.insert(path, number).map_err(|why| Error::new(Kind::Input, path, why))?;
        }
        let tree = Self::number(root);
        if tree.directories.len() > DIRECTORIES_MAX {
            let message = format!("has more than the {DIRECTORIES_MAX} folders of an ISO");
            return Err(Error::new(Kind::Input, "ISO", message));
        }
        Ok(tree)
    }

    fn number(root: Folder) -> Self {
        let mut directories = Vec::new();
        let mut waiting = VecDeque::from([(None, 0, root)]);
        while let Some((identifier, parent, folder)) = waiting.pop_front() {
            let number = directories.len();
            let next = number + waiting.len() + 1;
            let mut children = folder.children();
            children.sort_by(|(one, _), (other, _)| one.identifier.cmp(&other.identifier));
            let mut folders = Vec::new();
            for (child, folder) in &mut children {
                if let Some(folder) = folder.take() {
                    child.node = Node::Directory(next + folders.len());
                    folders.push((Some(child.identifier.clone()), number, folder));
                }
            }
            waiting.extend(folders);
            let children = children.into_iter().map(|(child, _)| child).collect();
            directories.push(Directory { identifier, parent, children });
        }
        Self { directories }
    }
}

impl Directory {
    /// Names that lead to it: its own, `.` in it, and `..` in each that is in it.
    pub(super) fn links(&self) -> u32 {
        2 + self.children.iter().filter(|child| matches!(child.node, Node::Directory(_))).count() as u32
    }
}

impl Folder {
    fn insert(&mut self, path: &str, file: usize) -> Result<(), String> {
        let names: Vec<_> = path.split('/').collect();
        let (name, folders) = names.split_last().expect("a text without a slash is one name");
        if folders.len() >= LEVELS {
            return Err(format!(
                "lies in more than the {} folders that an ISO may have in each other",
                LEVELS - 1
            ));
        }
        let mut folder = self;
        for name in folders {
            check(name)?;
            folder = match folder.0.entry((*name).to_owned()).or_insert_with(|| Item::Folder(Self::default()))
            {
                Item::Folder(folder) => folder,
                Item::File(_) => return Err(format!("lies in {name:?}, which is a file")),
            };
        }
        check(name)?;
        match folder.0.insert((*name).to_owned(), Item::File(file)) {
            None => Ok(()),
            Some(_) => Err("is there twice".to_owned()),
        }
    }

    /// Each child, and of a folder what is in it; those have no number yet.
    fn children(self) -> Vec<(Child, Option<Self>)> {
        let mut taken = BTreeSet::new();
        let child = |(name, item): (String, Item)| match item {
            Item::File(number) => {
                let identifier = Identifier::of_file(&name, &mut taken);
                (Child { name, identifier, node: Node::File(number) }, None)
            }
            Item::Folder(folder) => {
                let identifier = Identifier::of_directory(&name, &mut taken);
                (Child { name, identifier, node: Node::Directory(0) }, Some(folder))
            }
        };
        self.0.into_iter().map(child).collect()
    }
}

fn check(name: &str) -> Result<(), String> {
    match name {
        "" => Err("has an empty name in it".to_owned()),
        "." | ".." => Err(format!("has {name} in it, which is no name")),
        _ if name.contains('\0') => Err("has a NUL in it".to_owned()),
        _ if name.len() > NAME_MAX => {
            Err(format!("has a name of {} bytes in it, and in an ISO of ours one has {NAME_MAX}", name.len()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> Result<Tree> {
        Tree::new(paths.iter().copied())
    }

    #[test]
    fn directories_are_numbered_level_by_level() {
        let tree = tree(&["b/x/1", "a/z/2", "a/y/3", "4", "c.d"]).unwrap();
        let name = |number: usize| {
            tree.directories[number].identifier.as_ref().map(|it| String::from_utf8(it.bytes()).unwrap())
        };
        let names: Vec<_> =
            (0..tree.directories.len()).map(|number| name(number).unwrap_or_default()).collect();
        assert_eq!(names, ["", "A", "B", "Y", "Z", "X"]);
        let parents: Vec<_> = tree.directories.iter().map(|directory| directory.parent).collect();
        assert_eq!(parents, [0, 0, 0, 1, 1, 2]);
        assert_eq!(tree.directories[0].links(), 4);
        for (number, directory) in tree.directories.iter().enumerate() {
            for child in &directory.children {
                if let Node::Directory(below) = child.node {
                    assert_eq!(tree.directories[below].parent, number);
                    assert_eq!(tree.directories[below].identifier.as_ref(), Some(&child.identifier));
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_in_a_volume_is_refused_by_its_path() {
        let long = "ü".repeat(65);
        for (paths, why) in [
            (&["a", "a"][..], "is there twice"),
            (&["a/b", "a"], "is there twice"),
            (&["a", "a/b"], "lies in \"a\", which is a file"),
            (&["/a"], "has an empty name in it"),
            (&["a//b"], "has an empty name in it"),
            (&["a/"], "has an empty name in it"),
            (&[""], "has an empty name in it"),
            (&["a/../b"], "has .. in it, which is no name"),
            (&["a\0"], "has a NUL in it"),
            (&[&long], "has a name of 130 bytes in it, and in an ISO of ours one has 128"),
            (&["1/2/3/4/5/6/7/8/9"], "lies in more than the 7 folders that an ISO may have in each other"),
        ] {
            let error = tree(paths).err().unwrap_or_else(|| panic!("{paths:?} was taken"));
            assert_eq!((error.kind(), error.message()), (&Kind::Input, why));
            assert!(error.to_string().starts_with(paths.last().unwrap()), "{error}");
        }
        assert!(tree(&["1/2/3/4/5/6/7/8", &"ü".repeat(64)]).is_ok());
    }
}
