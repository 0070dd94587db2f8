//! A tree of an archive.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, fstat, linkat, makedev, mkdirat, mknodat, openat, openat2,
    symlinkat, unlinkat,
};
use rustix::io::{Errno, Result as Answer};

use super::{DEPTH_MAX, Failure, Kind, Member, Rights, archive, damaged, meta, of_file};

/// Unpack an archive into an open folder. What is there stays, but a file in the place of a member gives way. A link in
/// the folder, or of the archive, leads nowhere: what would lie behind one is an error.
///
/// # Errors
/// What could not be written, or what is wrong with the archive; what was unpacked before stays.
pub fn unpack(archive: &mut dyn Read, into: BorrowedFd<'_>, rights: Rights) -> Result<(), Failure> {
    unpack_named(archive, into, rights, b".")
}

/// The same of an archive that may have nothing but `name` and what is below it; `.` is all.
///
/// # Errors
/// As of [`unpack`], and a member with another name.
pub fn unpack_named(
    archive: &mut dyn Read,
    into: BorrowedFd<'_>,
    rights: Rights,
    name: &[u8],
) -> Result<(), Failure> {
    let mut unpacker = Unpacker { root: into, rights, only: clean(name)?, folders: Vec::new() };
    while let Some(member) = archive::read(archive)? {
        unpacker.member(member, archive)?;
    }
    unpacker.leave_all_but(b"")
}

/// To hold an inode, whatever it is.
const PLACE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Not out of the folder, and through no link.
const BELOW: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

struct Unpacker<'a> {
    root: BorrowedFd<'a>,
    rights: Rights,
    /// What every member is, or lies below; empty: anything.
    only: Vec<u8>,
    /// Folders around the last member: they get their modes and times when all is in them.
    folders: Vec<(OwnedFd, Member)>,
}

impl Unpacker<'_> {
    fn member(&mut self, mut member: Member, archive: &mut dyn Read) -> Result<(), Failure> {
        member.path = clean(&member.path)?;
        self.leave_all_but(&member.path)?;
        if member.path.is_empty() {
            // The folder itself, as `tar -c .` has it.
            return Ok(());
        }
        if !self.only.is_empty() && member.path != self.only && !is_below(&member.path, &self.only) {
            return Err(damaged("a member has another name than was asked for"));
        }
        if let Kind::File(len) = member.kind {
            let file = self.new_file(&member.path).map_err(at(&member.path))?;
            fill(&file, archive, len, &member.path)?;
            let applied = meta::apply(file.as_fd(), FileType::RegularFile, &member, self.rights);
            return applied.map_err(at(&member.path));
        }
        let folder = self.make(&member).map_err(at(&member.path))?;
        self.folders.extend(folder.map(|folder| (folder, member)));
        Ok(())
    }

    /// A file that nobody else has: one with several names stays under the others.
    fn new_file(&self, path: &[u8]) -> Answer<File> {
        let (folder, name) = self.place(path)?;
        let folder = folder.as_ref().map_or(self.root, OwnedFd::as_fd);
        remove(folder, name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(folder, name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
    }

    /// Make what has no content. A folder, which may be there already, is given back: it is not done yet.
    fn make(&self, member: &Member) -> Answer<Option<OwnedFd>> {
        let (folder, name) = self.place(&member.path)?;
        let folder = folder.as_ref().map_or(self.root, OwnedFd::as_fd);
        if member.kind == Kind::Folder {
            return match mkdirat(folder, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {
                    openat(folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()).map(Some)
                }
                Err(error) => Err(error),
            };
        }
        remove(folder, name)?;
        self.make_node(folder, name, &member.kind)?;
        if !matches!(member.kind, Kind::Hardlink(_)) {
            let inode = openat(folder, name, PLACE, Mode::empty())?;
            let kind = FileType::from_raw_mode(fstat(&inode)?.st_mode);
            meta::apply(inode.as_fd(), kind, member, self.rights)?;
        }
        Ok(None)
    }

    fn make_node(&self, folder: BorrowedFd<'_>, name: &[u8], kind: &Kind) -> Answer<()> {
        let mode = Mode::RUSR | Mode::WUSR;
        match kind {
            Kind::Symlink(to) => symlinkat(&**to, folder, name),
            Kind::Hardlink(to) => self.link(to, folder, name),
            Kind::Fifo => mknodat(folder, name, FileType::Fifo, mode, 0),
            Kind::Device(..) if self.rights == Rights::Own => Err(Errno::PERM),
            Kind::Device(is_block, major, minor) => {
                let kind = if *is_block { FileType::BlockDevice } else { FileType::CharacterDevice };
                mknodat(folder, name, kind, mode, makedev(*major, *minor))
            }
            Kind::File(_) | Kind::Folder => Ok(()),
        }
    }

    fn link(&self, to: &[u8], folder: BorrowedFd<'_>, name: &[u8]) -> Answer<()> {
        let to = clean(to).map_err(|_| Errno::XDEV)?;
        let (other_folder, other) = split(&to);
        let other_folder = open_below(self.root, other_folder)?;
        let other_folder = other_folder.as_ref().map_or(self.root, OwnedFd::as_fd);
        linkat(other_folder, other, folder, name, AtFlags::empty())
    }

    /// The folder that a path is in, and the name there; `None`: the one that all is unpacked in.
    fn place<'p>(&self, path: &'p [u8]) -> Answer<(Option<OwnedFd>, &'p [u8])> {
        let (folder, name) = split(path);
        self.folder(folder).map(|folder| (folder, name))
    }

    /// The folder by that path, made if it is not there.
    fn folder(&self, path: &[u8]) -> Answer<Option<OwnedFd>> {
        match open_below(self.root, path) {
            Err(Errno::NOENT) => {}
            found => return found,
        }
        let (parent, name) = self.place(path)?;
        let parent = parent.as_ref().map_or(self.root, OwnedFd::as_fd);
        mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
        open_below(self.root, path)
    }

    /// Leave the folders that what comes at `path` is not in.
    fn leave_all_but(&mut self, path: &[u8]) -> Result<(), Failure> {
        while let Some((folder, member)) = self.folders.pop_if(|(_, member)| !is_below(path, &member.path)) {
            let applied = meta::apply(folder.as_fd(), FileType::Directory, &member, self.rights);
            applied.map_err(at(&member.path))?;
        }
        Ok(())
    }
}

fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/"))
}

/// The path without `.` and empty names.
fn clean(path: &[u8]) -> Result<Vec<u8>, Failure> {
    let names: Vec<_> =
        path.split(|byte| *byte == b'/').filter(|name| ![&b""[..], b"."].contains(name)).collect();
    if names.contains(&&b".."[..]) {
        return Err(damaged("a name leads out of it (..)"));
    }
    match names.len() {
        ..=DEPTH_MAX => Ok(names.join(&b'/')),
        _ => Err(damaged("too many folders lie within one another")),
    }
}

/// The folder and the name in it.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}

fn open_below(root: BorrowedFd<'_>, path: &[u8]) -> Answer<Option<OwnedFd>> {
    if path.is_empty() {
        return Ok(None);
    }
    openat2(root, path, FOLDER, Mode::empty(), BELOW).map(Some)
}

fn remove(folder: BorrowedFd<'_>, name: &[u8]) -> Answer<()> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

fn fill(mut file: &File, archive: &mut dyn Read, len: u64, path: &[u8]) -> Result<(), Failure> {
    let mut buffer = [0; 16 << 10];
    let mut left = len;
    while left > 0 {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = match archive.read(buffer.get_mut(..wanted).unwrap_or_default()) {
            Ok(0) => return Err(damaged("it ends within a file")),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        io::Write::write_all(&mut file, buffer.get(..read).unwrap_or_default()).map_err(of_file(path))?;
        left -= read as u64;
    }
    Ok(archive::skip_padding(archive, len)?)
}

/// What an error means here.
fn at(path: &[u8]) -> impl Fn(Errno) -> Failure + '_ {
    |error| {
        of_file(path)(match error {
            Errno::LOOP | Errno::NOTDIR => {
                "would lie behind a link or a file, which is not followed".to_owned()
            }
            Errno::XDEV => "leads out of the folder".to_owned(),
            Errno::ISDIR => "is a folder already".to_owned(),
            error => error.to_string(),
        })
    }
}
