//! An archive of a tree.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags, Stat, fstat, major, minor, open, openat, readlinkat};

use super::{DEPTH_MAX, Failure, Kind, LINKED_MAX, Member, PATH_MAX, archive, meta, of_file};
use crate::message::Text;

/// Write an archive of `path`: a file, or a folder with all that is in it, in depth first; a link as a link. Its name in
/// the archive is `name`, or its own.
///
/// # Errors
/// What could not be read; an archive that was begun has no end then. What was read is written as it came: a file that
/// becomes shorter meanwhile is an error.
pub fn pack(path: &Path, name: Option<&Text>, out: &mut dyn Write) -> Result<(), Failure> {
    let shown = path.as_os_str().as_bytes();
    let name =
        name.map(|name| name.0.as_bytes()).or(path.file_name().map(OsStrExt::as_bytes)).unwrap_or(b".");
    let file = open(path, PLACE, Mode::empty()).map_err(of_file(shown))?;
    let stat = fstat(&file).map_err(of_file(shown))?;
    let linked = HashMap::new();
    let mut packer = Packer { out, device: stat.st_dev, linked, linked_len: 0, path: name.to_owned() };
    packer.tree(file, &stat)?;
    Ok(archive::end(packer.out)?)
}

/// To look at whatever it is: a device or a FIFO is not opened by it.
const PLACE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Bytes of a file that are read at once.
const CHUNK: usize = 8 << 10;

struct Packer<'a> {
    out: &'a mut dyn Write,
    /// The file system it stays in.
    device: u64,
    /// Inodes with several names: device, number, and the name they have in the archive.
    linked: HashMap<(u64, u64), Vec<u8>>,
    /// What they take of memory, about.
    linked_len: usize,
    /// Of what is read.
    path: Vec<u8>,
}

/// A folder that is being read, and the length of its path.
struct Open {
    entries: Dir,
    path_len: usize,
}

impl Packer<'_> {
    fn tree(&mut self, file: OwnedFd, stat: &Stat) -> Result<(), Failure> {
        let mut folders: Vec<_> = self.inode(file.as_fd(), stat)?.into_iter().collect();
        while let Some(folder) = folders.last_mut() {
            self.path.truncate(folder.path_len);
            let Some(entry) = folder.entries.next() else {
                folders.pop();
                continue;
            };
            let entry = entry.map_err(of_file(&self.path))?;
            let name = entry.file_name().to_bytes();
            if [&b"."[..], b".."].contains(&name) {
                continue;
            }
            self.path.push(b'/');
            self.path.extend(name);
            if self.path.len() >= PATH_MAX {
                return Err(of_file(&self.path)("the path is too long"));
            }
            let parent = folder.entries.fd().map_err(of_file(&self.path))?;
            let file = openat(parent, name, PLACE, Mode::empty()).map_err(of_file(&self.path))?;
            let stat = fstat(&file).map_err(of_file(&self.path))?;
            folders.extend(self.inode(file.as_fd(), &stat)?);
            if folders.len() > DEPTH_MAX {
                return Err(of_file(&self.path)(format!(
                    "more than {DEPTH_MAX} folders lie within one another"
                )));
            }
        }
        Ok(())
    }

    /// Write what is at the path; if it is a folder, what is in it is to be read.
    fn inode(&mut self, file: BorrowedFd<'_>, stat: &Stat) -> Result<Option<Open>, Failure> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Socket {
            return Ok(None);
        }
        let mut member = meta::collect(file, stat).map_err(of_file(&self.path))?;
        member.path.clone_from(&self.path);
        member.kind = match self.earlier(kind, stat) {
            Some(path) => Kind::Hardlink(path),
            None => self.kind(file, kind, stat)?,
        };
        match member.kind {
            Kind::File(len) => self.content(file, &member, len).map(|()| None),
            Kind::Folder => {
                archive::write(self.out, &member)?;
                self.entries(file, stat)
            }
            _ => Ok(archive::write(self.out, &member).map(|()| None)?),
        }
    }

    fn kind(&self, file: BorrowedFd<'_>, kind: FileType, stat: &Stat) -> Result<Kind, Failure> {
        Ok(match kind {
            FileType::Directory => Kind::Folder,
            FileType::Symlink => {
                let target = readlinkat(file, "", Vec::new()).map_err(of_file(&self.path))?;
                Kind::Symlink(target.into_bytes())
            }
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice => Kind::Device(false, major(stat.st_rdev), minor(stat.st_rdev)),
            FileType::BlockDevice => Kind::Device(true, major(stat.st_rdev), minor(stat.st_rdev)),
            _ => Kind::File(u64::try_from(stat.st_size).unwrap_or_default()),
        })
    }

    /// The path by which the archive has this inode already.
    fn earlier(&mut self, kind: FileType, stat: &Stat) -> Option<Vec<u8>> {
        if kind == FileType::Directory || stat.st_nlink < 2 {
            return None;
        }
        let inode = (stat.st_dev, stat.st_ino);
        let earlier = self.linked.get(&inode).cloned();
        if earlier.is_none() && self.linked_len < LINKED_MAX {
            self.linked_len += 2 * size_of::<((u64, u64), Vec<u8>)>() + self.path.len();
            self.linked.insert(inode, self.path.clone());
        }
        earlier
    }

    fn content(&mut self, file: BorrowedFd<'_>, member: &Member, len: u64) -> Result<(), Failure> {
        let file = File::open(meta::path(file)).map_err(of_file(&self.path))?;
        archive::write(self.out, member)?;
        let (mut content, mut bytes) = (file.take(len), [0; CHUNK]);
        loop {
            match content.read(&mut bytes) {
                Ok(0) => break,
                Ok(read) => self.out.write_all(bytes.get(..read).unwrap_or_default())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(of_file(&self.path)(error)),
            }
        }
        if content.limit() > 0 {
            return Err(of_file(&self.path)("became shorter while it was read"));
        }
        Ok(archive::pad(self.out, len)?)
    }

    /// What is mounted there is left out.
    fn entries(&self, file: BorrowedFd<'_>, stat: &Stat) -> Result<Option<Open>, Failure> {
        if stat.st_dev != self.device {
            return Ok(None);
        }
        let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let entries = openat(file, ".", folder, Mode::empty()).and_then(Dir::new);
        Ok(Some(Open { entries: entries.map_err(of_file(&self.path))?, path_len: self.path.len() }))
    }
}
