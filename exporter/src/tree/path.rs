//! Paths inside a tree. A symlink leads to another place of the tree, never to this machine.
//!
//! An absolute target starts again at the tree's root and `..` stops there, as after `chroot`.

use std::io::Read;

use super::{InodeId, InodeKind, Name, Tree};
use crate::error::{self, Error, Result, show_path};
use crate::limits::{PATH, SYMLINKS};

/// A walk along a path, one name at a time.
pub(super) struct Walk {
    /// The directories from the root to here, each with the length of its path; the last entry may be something else.
    trail: Vec<(InodeId, usize)>,
    /// The names still to go, the next one last.
    rest: Vec<Name>,
    symlinks: u32,
    /// Names gone so far.
    lookups: u64,
}

/// Where a [`Walk`] stopped.
pub(super) enum Stop {
    /// At the end of the path.
    Found(InodeId),
    /// `name` is not in this directory; [`Walk::enter`] goes on when it has been made.
    Missing(InodeId, Name),
    /// A name on the way is no directory, or the symlinks don't end.
    Blocked(&'static str),
}

impl Walk {
    pub(super) fn new(path: &[u8]) -> Self {
        let mut walk = Self { trail: vec![(Tree::ROOT, 0)], rest: Vec::new(), symlinks: 0, lookups: 0 };
        walk.push(path);
        walk
    }

    /// Put the names of `path` in front of those still to go.
    fn push(&mut self, path: &[u8]) {
        self.rest.extend(names(path).rev().map(Name::from));
    }

    /// Go on from `id`, the inode that was missing under `name`.
    pub(super) fn enter(&mut self, id: InodeId, name: &Name) {
        self.trail.push((id, self.path_len(name)));
    }

    /// The length of the path of `name` here.
    fn path_len(&self, name: &Name) -> usize {
        self.trail.last().map_or(0, |(_, len)| len + 1 + name.len())
    }

    /// Names gone so far, those of symlinks among them.
    pub(super) fn lookups(&self) -> u64 {
        self.lookups
    }

    /// Go as far as the tree allows.
    pub(super) fn run(&mut self, tree: &Tree) -> Stop {
        while let Some(name) = self.rest.pop() {
            let here = self.here();
            self.lookups += 1;
            let Some(entries) = tree.entries(here) else { return Stop::Blocked("not a directory") };
            if *name == *b".." {
                self.trail.truncate((self.trail.len() - 1).max(1));
                continue;
            }
            if self.path_len(&name) > PATH {
                return Stop::Blocked("its path is longer than Linux takes");
            }
            let Some(&id) = entries.get(&name) else { return Stop::Missing(here, name) };
            let InodeKind::Symlink(target) = &tree.inode(id).kind else {
                self.enter(id, &name);
                continue;
            };
            self.symlinks += 1;
            if self.symlinks > SYMLINKS {
                return Stop::Blocked("too many levels of symbolic links");
            }
            if target.starts_with(b"/") {
                self.trail.truncate(1);
            }
            self.push(target);
        }
        Stop::Found(self.here())
    }

    /// The names of the directories from the root to here: each has one.
    fn names(&self, tree: &Tree) -> Option<Vec<Name>> {
        let named = |pair: &[(InodeId, usize)]| match pair {
            [(parent, _), (child, _)] => {
                let entry = tree.entries(*parent)?.iter().find(|(_, id)| *id == child)?;
                Some(entry.0.clone())
            }
            _ => None,
        };
        self.trail.windows(2).map(named).collect()
    }

    fn here(&self) -> InodeId {
        self.trail.last().map_or(Tree::ROOT, |&(id, _)| id)
    }
}

/// The names of a path: without the empty ones and `.`, which lead nowhere else.
fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."))
}

/// The directory part of a path and its last name; `None` if that is `..` or there is none.
pub(super) fn split(mut path: &[u8]) -> Option<(&[u8], &[u8])> {
    while let Some(shorter) = path.strip_suffix(b"/").or_else(|| path.strip_suffix(b"/.")) {
        path = shorter;
    }
    let start = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    let (directory, name) = path.split_at(start);
    (!matches!(name, b"" | b"." | b"..")).then_some((directory, name))
}

impl Tree {
    /// What lies at `path`, through no symlink at all; a symlink at the end is found itself.
    pub fn lookup(&self, path: impl AsRef<[u8]>) -> Option<InodeId> {
        names(path.as_ref()).try_fold(Self::ROOT, |here, name| self.entries(here)?.get(name).copied())
    }

    /// What lies at `path`, through symlinks within the tree, also one at the end.
    pub fn resolve(&self, path: impl AsRef<[u8]>) -> Option<InodeId> {
        self.resolve_counted(path.as_ref()).0
    }

    /// The same, and how many names were looked up for it.
    pub(crate) fn resolve_counted(&self, path: &[u8]) -> (Option<InodeId>, u64) {
        let mut walk = Walk::new(path);
        let found = match walk.run(self) {
            Stop::Found(id) => Some(id),
            Stop::Missing(..) | Stop::Blocked(_) => None,
        };
        (found, walk.lookups())
    }

    /// The path of the same place without symlinks; what the tree does not have stays as it is said. `None`: the links
    /// don't end, or lead through what is no directory.
    pub fn canonical(&self, path: &str) -> Option<String> {
        let mut walk = Walk::new(path.as_bytes());
        let missing = match walk.run(self) {
            Stop::Found(_) => None,
            Stop::Missing(_, name) => Some(name),
            Stop::Blocked(_) => return None,
        };
        let mut names = walk.names(self)?;
        names.extend(missing);
        names.extend(walk.rest.into_iter().rev());
        if names.iter().any(|name| **name == *b"..") {
            return None;
        }
        let path = names.iter().flat_map(|name| [&b"/"[..], name]).collect::<Vec<_>>().concat();
        String::from_utf8(if path.is_empty() { b"/".to_vec() } else { path }).ok()
    }

    /// What lies at `path`: symlinks on the way are followed, one at the end is found itself.
    pub fn resolve_nofollow(&self, path: impl AsRef<[u8]>) -> Option<InodeId> {
        let (directory, name) = split(path.as_ref())?;
        self.entries(self.resolve(directory)?)?.get(name).copied()
    }

    /// The entries of the directory at `path`, in byte order; none if there is no directory.
    pub fn children(&self, path: impl AsRef<[u8]>) -> impl Iterator<Item = (&[u8], InodeId)> {
        let entries = self.resolve(path).and_then(|id| self.entries(id));
        entries.into_iter().flatten().map(|(name, &id)| (&**name, id))
    }

    /// The bytes of the regular file at `path`, through symlinks within the tree; `None` if there is no
    /// regular file. A file of more than `limit` bytes is an error.
    pub fn read(&self, path: impl AsRef<[u8]>, limit: u64) -> Result<Option<Vec<u8>>> {
        let path = path.as_ref();
        let Some(id) = self.resolve(path) else { return Ok(None) };
        let InodeKind::File(content) = &self.inode(id).kind else { return Ok(None) };
        if content.len() > limit {
            let message = format!("{} bytes, at most {limit} were expected", content.len());
            return Err(Error::new(error::Kind::Input, show_path(path), message));
        }
        let mut bytes = Vec::new();
        content
            .reader()?
            .read_to_end(&mut bytes)
            .map_err(|error| Error::io(show_path(path), "cannot read the file", error))?;
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Content, Inode, Meta};
    use super::*;

    fn symlink(target: &[u8]) -> Inode {
        Inode { meta: Meta::default(), kind: InodeKind::Symlink(target.into()) }
    }

    fn directory() -> Inode {
        Inode { meta: Meta::default(), kind: InodeKind::Directory(Default::default()) }
    }

    #[test]
    fn a_path_without_links_leads_to_the_same_place() {
        let tree = crate::tree::testing::tree(&[
            ("/var/run", "-> /run"),
            ("/run/lock/", ""),
            ("/data", "-> srv/../srv/data"),
            ("/srv/data", "-> ../new/place"),
            ("/new/", ""),
            ("/loop", "-> loop"),
            ("/lost", "-> none/../srv"),
            ("/file", "text"),
        ]);
        for (path, expected) in [
            ("/", Some("/")),
            ("/srv", Some("/srv")),
            ("/var/run/lock/a", Some("/run/lock/a")),
            ("/data/a", Some("/new/place/a")),
            ("/none/a/b", Some("/none/a/b")),
            ("/../../run", Some("/run")),
            ("/loop", None),
            ("/lost", None),
            ("/file/below", None),
        ] {
            assert_eq!(tree.canonical(path).as_deref(), expected, "{path}");
        }
    }

    /// `/usr/lib/os`, `/lib -> usr/lib`, links that leave the root, and loops.
    fn sample() -> Tree {
        let mut tree = Tree::new(Meta::default());
        let usr = tree.insert(Tree::ROOT, b"usr", directory());
        let lib = tree.insert(usr, b"lib", directory());
        let file = Inode { meta: Meta::default(), kind: InodeKind::File(Content::Bytes((*b"text").into())) };
        tree.insert(lib, b"os", file);
        for (name, target) in [
            (&b"lib"[..], &b"usr/lib"[..]),
            (b"escape", b"../../../../usr/lib/os"),
            (b"absolute", b"/lib/./os"),
            (b"self", b"self"),
            (b"host", b"/etc/passwd"),
            (b"here", b"."),
        ] {
            tree.insert(Tree::ROOT, name, symlink(target));
        }
        tree
    }

    #[test]
    fn symlinks_stay_within_the_tree() {
        let tree = sample();
        let os = tree.lookup("/usr/lib/os");
        assert!(os.is_some());
        for path in [
            "/lib/os",
            "lib//os",
            "escape",
            "/absolute",
            "/usr/../lib/os",
            "/../usr/lib/os",
            "here/here/lib/os/",
        ] {
            assert_eq!(tree.resolve(path), os, "{path}");
        }
        for path in ["/self", "/host", "/usr/lib/os/..", "/usr/lib/os/below", "/none"] {
            assert_eq!(tree.resolve(path), None, "{path}");
        }
        assert_eq!(tree.lookup("/lib/os"), None);
        assert_eq!(tree.resolve("/"), Some(Tree::ROOT));
        assert_eq!(tree.resolve_nofollow("/here/lib"), tree.lookup("/lib"));
        assert_ne!(tree.lookup("/lib"), tree.resolve("/lib"));
    }

    #[test]
    fn forty_symlinks_are_followed_and_no_more() {
        let mut tree = sample();
        for index in 0..=SYMLINKS {
            let target = if index == 0 { "usr".to_owned() } else { format!("link{}", index - 1) };
            tree.insert(Tree::ROOT, format!("link{index}").as_bytes(), symlink(target.as_bytes()));
        }
        assert_eq!(tree.resolve("/link39"), tree.lookup("/usr"));
        assert_eq!(tree.resolve("/link40"), None);
    }

    #[test]
    fn only_small_files_are_read() {
        let tree = sample();
        assert_eq!(tree.read("/lib/os", 4).unwrap().as_deref(), Some(&b"text"[..]));
        assert_eq!(tree.read("/lib", 4).unwrap(), None);
        assert!(tree.read("/lib/os", 3).unwrap_err().to_string().starts_with("/lib/os: "));
    }

    #[test]
    fn a_path_splits_into_its_directory_and_its_last_name() {
        type Parts = Option<(&'static [u8], &'static [u8])>;
        let cases: [(&[u8], Parts); 8] = [
            (b"/a/b", Some((b"/a/", b"b"))),
            (b"a", Some((b"", b"a"))),
            (b"/a//b/./", Some((b"/a//", b"b"))),
            (b"/a/b.", Some((b"/a/", b"b."))),
            (b"/", None),
            (b"", None),
            (b".", None),
            (b"/a/..", None),
        ];
        for (path, parts) in cases {
            assert_eq!(split(path), parts, "{}", show_path(path));
        }
    }
}
