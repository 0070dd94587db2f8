//! Tree → the tar of a layer.
//!
//! ```text
//! directories, parents first │ all else that is no directory │ further names
//! ```
//!
//! POSIX's pax format with the extensions that container engines read: `SCHILY.xattr.NAME` for extended
//! attributes, POSIX ACLs among them. Sources: IEEE Std 1003.1-2024, pax; OCI image specification 1.1,
//! "Image Layer Filesystem Changeset".

use std::io::{Read, Write, copy};

use tar::{EntryType, Header};

use crate::error::{Error, Kind, Result, show_path};
use crate::tree::{Content, Inode, InodeId, InodeKind, Meta, Places, Time, Tree};

/// What members are padded to.
const RECORD: u64 = size_of::<Header>() as u64;
/// Records of zeroes that end an archive.
const END: u64 = 2 * RECORD;
/// The largest owner in the seven octal digits of a header.
const OWNER_MAX: u64 = 0o777_7777;
/// The largest size, and the latest time, in eleven of them.
const NUMBER_MAX: u64 = 0o777_7777_7777;
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
        member.check_name(&path)?;
        put(out, &header(&path, &inode.meta, &what)?)?;
        if let What::File(content) = what {
            put_content(out, &path, content, seen)?;
        }
    }
    put(out, &[0; END as usize])
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

    fn check_name(&self, path: &[u8]) -> Result<()> {
        if !self.name.starts_with(WHITEOUT) {
            return Ok(());
        }
        let message = "begins with .wh., by which layers of images name what they remove";
        Err(Error::new(Kind::Unsupported, show_path(path), message).with_hint("rename it"))
    }
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
            InodeKind::CharDevice(device) => What::Device(EntryType::Char, device.major, device.minor),
            InodeKind::BlockDevice(device) => What::Device(EntryType::Block, device.major, device.minor),
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
    Device(EntryType, u32, u32),
}

impl What<'_> {
    fn entry_type(&self) -> EntryType {
        match self {
            Self::Directory => EntryType::Directory,
            Self::File(_) => EntryType::Regular,
            Self::Symlink(_) => EntryType::Symlink,
            Self::Link(_) => EntryType::Link,
            Self::Fifo => EntryType::Fifo,
            Self::Device(kind, ..) => *kind,
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::File(content) => content.len(),
            _ => 0,
        }
    }

    fn target(&self) -> &[u8] {
        match self {
            Self::Symlink(target) => target,
            Self::Link(target) => target,
            _ => b"",
        }
    }
}

/// The header of a member, behind an extended one for what it has no room for.
fn header(path: &[u8], meta: &Meta, what: &What<'_>) -> Result<Vec<u8>> {
    let mut records = Records::default();
    let mut header = Header::new_ustar();
    let old = header.as_old_mut();
    records.text("path", path, &mut old.name);
    records.text("linkpath", what.target(), &mut old.linkname);
    header.set_uid(records.number("uid", meta.uid.into(), OWNER_MAX));
    header.set_gid(records.number("gid", meta.gid.into(), OWNER_MAX));
    header.set_size(records.number("size", what.size(), NUMBER_MAX));
    header.set_mtime(records.time(meta.mtime));
    header.set_mode(meta.permissions.into());
    header.set_entry_type(what.entry_type());
    if let What::Device(_, major, minor) = *what {
        let set = header.set_device_major(major).and_then(|()| header.set_device_minor(minor));
        set.map_err(|error| Error::io(show_path(path), "is a device with too large a number", error))?;
    }
    header.set_cksum();
    // Other names share them.
    if !matches!(what, What::Link(_)) {
        for (name, value) in &meta.xattrs {
            records.put(&[b"SCHILY.xattr.", &name[..]].concat(), value);
        }
    }
    let mut bytes = records.finish();
    bytes.extend(header.as_bytes());
    Ok(bytes)
}

/// The records of an extended header: `LENGTH KEYWORD=VALUE\n`.
#[derive(Default)]
struct Records(Vec<u8>);

impl Records {
    fn put(&mut self, keyword: &[u8], value: &[u8]) {
        // The length counts its own digits.
        let rest = keyword.len() + value.len() + 3;
        let mut len = rest + 1;
        while len != rest + len.to_string().len() {
            len = rest + len.to_string().len();
        }
        self.0.extend(format!("{len} ").bytes());
        self.0.extend([keyword, b"=", value, b"\n"].concat());
    }

    /// A name, in the field of the header if it has room for it.
    fn text(&mut self, keyword: &str, text: &[u8], field: &mut [u8; 100]) {
        let len = text.len().min(field.len());
        field[..len].copy_from_slice(&text[..len]);
        if text.len() > field.len() {
            self.put(keyword.as_bytes(), text);
        }
    }

    /// What to set in the header for a number that has digits enough there up to `max`.
    fn number(&mut self, keyword: &str, number: u64, max: u64) -> u64 {
        if number <= max {
            return number;
        }
        self.put(keyword.as_bytes(), number.to_string().as_bytes());
        0
    }

    /// The same for a time, which there has no fractions and no sign.
    fn time(&mut self, time: Time) -> u64 {
        let seconds = u64::try_from(time.seconds).ok().filter(|&seconds| seconds <= NUMBER_MAX);
        if time.nanoseconds != 0 || seconds.is_none() {
            self.put(b"mtime", decimal(time).as_bytes());
        }
        seconds.unwrap_or(0)
    }

    /// The extended header, if it is needed.
    fn finish(self) -> Vec<u8> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let mut header = Header::new_ustar();
        let name = b"./PaxHeaders/0";
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(self.0.len() as u64);
        header.set_entry_type(EntryType::XHeader);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(self.0);
        bytes.resize(bytes.len().next_multiple_of(RECORD as usize), 0);
        bytes
    }
}

/// Seconds with a fraction. Before 1970 the nanoseconds count from the second below.
fn decimal(time: Time) -> String {
    match (time.seconds, time.nanoseconds) {
        (seconds, 0) => seconds.to_string(),
        (seconds @ ..0, nanoseconds) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
        (seconds, nanoseconds) => format!("{seconds}.{nanoseconds:09}"),
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
    let padding = content.len().next_multiple_of(RECORD) - content.len();
    put(out, &[0; RECORD as usize][..padding as usize])
}

fn put(out: &mut impl Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes).map_err(|error| Error::io("layer", "cannot be written", error))
}
