//! Tree → the tar of a layer.
//!
//! ```text
//! directories, parents first │ all else that is no directory │ further names
//! ```
//!
//! Source: OCI image specification 1.1, "Image Layer Filesystem Changeset".

use std::io::{Read, Write, copy};

use super::pax;
use crate::error::{Error, Kind, Result, show_path};
use crate::tree::{Content, Device, Inode, InodeId, InodeKind, Places, Tree};

/// Names in layers that begin like this take away what lower layers have.
const WHITEOUT: &[u8] = b".wh.";

/// Bytes of file contents in the layer of `tree`.
pub(super) fn content_len(tree: &Tree) -> u64 {
    Members::new(tree).list.iter().map(|member| member.content(tree).map_or(0, Content::len)).sum()
}

/// Write the layer of `tree`. `seen` is told of every piece of content, and may end the writing.
///
/// # Errors
/// `Unsupported` for a file that means something else in a layer; `Io` for what cannot be read or written.
pub(super) fn write(
    tree: &Tree,
    out: &mut impl Write,
    seen: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    let members = Members::new(tree);
    for member in &members.list {
        let inode = tree.inode(member.inode);
        let Some(what) = members.what(member, inode) else { continue };
        let path = members.path(member);
        check_name(member.name, &path)?;
        put(out, &pax::header(&path, &inode.meta, what.kind())?)?;
        if let What::File(content) = what {
            put_content(out, &path, content, seen)?;
        }
    }
    put(out, &pax::END)
}

/// An entry of the tree.
struct Member<'a> {
    parent: InodeId,
    name: &'a [u8],
    inode: InodeId,
    /// Whether the inode has come already, under another name.
    is_link: bool,
}

impl Member<'_> {
    fn content<'a>(&self, tree: &'a Tree) -> Option<&'a Content> {
        match &tree.inode(self.inode).kind {
            InodeKind::File(content) if !self.is_link => Some(content),
            _ => None,
        }
    }
}

/// That a name means itself in a layer.
///
/// # Errors
/// `Unsupported` for one that means that something is removed.
pub(crate) fn check_name(name: &[u8], path: &[u8]) -> Result<()> {
    if !name.starts_with(WHITEOUT) {
        return Ok(());
    }
    let message = "begins with .wh., by which layers of images name what they remove";
    Err(Error::new(Kind::Unsupported, show_path(path), message).with_hint("rename it"))
}

/// Every entry of the tree once, and each after what it needs: its directory, or the other name.
struct Members<'a> {
    list: Vec<Member<'a>>,
    places: Places<'a>,
}

impl<'a> Members<'a> {
    fn new(tree: &'a Tree) -> Self {
        let mut places = Places::default();
        let root = Member { parent: Tree::ROOT, name: b"", inode: Tree::ROOT, is_link: false };
        let (mut directories, mut others, mut links) = (vec![root], Vec::new(), Vec::new());
        for (parent, name, inode) in tree.walk() {
            let is_link = places.contains(inode);
            let list = match (is_link, tree.entries(inode)) {
                (true, _) => &mut links,
                (false, Some(_)) => &mut directories,
                (false, None) => &mut others,
            };
            list.push(Member { parent, name, inode, is_link });
            if !is_link {
                places.insert(inode, parent, name);
            }
        }
        // A compressed archive can only be decoded forward.
        others.sort_by_key(|member| match &tree.inode(member.inode).kind {
            InodeKind::File(Content::Archive(file)) => Some(file.order()),
            _ => None,
        });
        Self { list: directories.into_iter().chain(others).chain(links).collect(), places }
    }

    /// Without a slash in front; `./` for the root.
    fn path(&self, member: &Member<'_>) -> Vec<u8> {
        match (member.inode, member.parent) {
            (Tree::ROOT, _) => b"./".to_vec(),
            (_, Tree::ROOT) => member.name.to_vec(),
            (_, parent) => [&self.places.path(parent)[..], member.name].join(&b'/'),
        }
    }

    /// `None` for sockets: archives have none, and one without the program that made it is of no use.
    fn what<'t>(&self, member: &Member<'_>, inode: &'t Inode) -> Option<What<'t>> {
        Some(match &inode.kind {
            InodeKind::Socket => return None,
            _ if member.is_link => What::Link(self.places.path(member.inode)),
            InodeKind::Directory(_) => What::Directory,
            InodeKind::File(content) => What::File(content),
            InodeKind::Symlink(target) => What::Symlink(target),
            InodeKind::Fifo => What::Fifo,
            InodeKind::CharDevice(device) => What::CharDevice(*device),
            InodeKind::BlockDevice(device) => What::BlockDevice(*device),
        })
    }
}

/// What a member is.
enum What<'a> {
    Directory,
    File(&'a Content),
    Symlink(&'a [u8]),
    /// Another name of what has come under this one.
    Link(Vec<u8>),
    Fifo,
    CharDevice(Device),
    BlockDevice(Device),
}

impl What<'_> {
    fn kind(&self) -> pax::MemberKind<'_> {
        match self {
            Self::Directory => pax::MemberKind::Directory,
            Self::File(content) => pax::MemberKind::File(content.len()),
            Self::Symlink(target) => pax::MemberKind::Symlink(target),
            Self::Link(target) => pax::MemberKind::Link(target),
            Self::Fifo => pax::MemberKind::Fifo,
            Self::CharDevice(device) => pax::MemberKind::CharDevice(*device),
            Self::BlockDevice(device) => pax::MemberKind::BlockDevice(*device),
        }
    }
}

fn put_content(
    out: &mut impl Write,
    path: &[u8],
    content: &Content,
    seen: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    let failed = |error| Error::io(show_path(path), "cannot be copied into a layer", error);
    let mut reader = content.reader()?;
    let mut left = content.len();
    while left > 0 {
        let piece = left.min(1 << 20);
        let copied = copy(&mut reader.by_ref().take(piece), out).map_err(failed)?;
        if copied < piece {
            return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
        }
        left -= piece;
        seen(piece)?;
    }
    put(out, pax::padding(content.len()))
}

fn put(out: &mut impl Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes).map_err(|error| Error::io("layer", "cannot be written", error))
}
