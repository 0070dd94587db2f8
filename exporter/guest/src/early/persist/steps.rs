//! Changes of what is kept, each there as a whole or not at all, wherever the machine is stopped.
//!
//! ```text
//! seed:   discard new ▶ copy to new, entry by entry ▶ write through ▶ rename new to its place ▶ write through
//! reset:  make reset ▶ write through ▶ discard all else ▶ write through ▶ discard reset
//! ```
//!
//! They are made step by step, so that tests can stop them after each.

use std::collections::HashMap;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, CWD, FileType, IFlags, Mode, SeekFrom, Timespec, Timestamps, XattrFlags, ioctl_getflags,
    ioctl_setflags, lgetxattr, llistxattr, lsetxattr, mknodat, seek, syncfs, utimensat,
};
use rustix::io::Errno;

use crate::grow::device::in_file;

/// `XATTR_LIST_MAX` and `XATTR_SIZE_MAX` (linux/limits.h).
const XATTR_MAX: usize = 64 << 10;

/// A change that is being made.
pub(super) struct Steps {
    /// What is left to do, the next one last.
    left: Vec<Step>,
    /// Where files of several names were copied to, by their device and number.
    links: HashMap<(u64, u64), PathBuf>,
}

/// Each is one change, or none.
enum Step {
    /// Remove what is there, and all in it.
    Discard(PathBuf),
    /// Remove what is in a directory, but for a file; of the file system's own directory, too, what is in it.
    Empty(PathBuf, PathBuf),
    /// An empty file.
    Mark(PathBuf),
    /// An empty directory.
    Folder(PathBuf),
    /// One entry, and then all that is in it.
    Copy(PathBuf, PathBuf),
    /// Owner, permissions, attributes and times as at the first path, of what has all its entries.
    Dress(PathBuf, PathBuf),
    /// All of the file system is on the disk.
    WriteThrough(PathBuf),
    /// It is there from now on.
    Rename(PathBuf, PathBuf),
}

/// What fsck(8) puts there.
const LOST_AND_FOUND: &str = "lost+found";

impl Steps {
    /// All of `source` at `place`, made at `new` on the same file system.
    pub(super) fn seed(source: &Path, new: &Path, place: &Path) -> Self {
        Self::at(place, new, vec![Step::Copy(source.to_owned(), new.to_owned())])
    }

    /// An empty directory like `source` at `place`.
    pub(super) fn seed_empty(source: &Path, new: &Path, place: &Path) -> Self {
        let dress = Step::Dress(source.to_owned(), new.to_owned());
        Self::at(place, new, vec![dress, Step::Folder(new.to_owned())])
    }

    /// Nothing in `root`. As long as `mark` is there, it is not done.
    pub(super) fn reset(root: &Path, mark: &Path) -> Self {
        let (root, mark, write_through) =
            (root.to_owned(), mark.to_owned(), || Step::WriteThrough(root.to_owned()));
        Self::new(vec![
            write_through(),
            Step::Discard(mark.clone()),
            write_through(),
            Step::Empty(root.clone(), mark.clone()),
            write_through(),
            Step::Mark(mark),
        ])
    }

    /// `made` at `new`, and then all at once at `place`.
    fn at(place: &Path, new: &Path, made: Vec<Step>) -> Self {
        // A file system is the same one by any path in it.
        let write_through = || Step::WriteThrough(place.parent().unwrap_or(place).to_owned());
        let rename = Step::Rename(new.to_owned(), place.to_owned());
        let mut steps = vec![write_through(), rename, write_through()];
        steps.extend(made);
        steps.push(Step::Discard(new.to_owned()));
        Self::new(steps)
    }

    fn new(left: Vec<Step>) -> Self {
        Self { left, links: HashMap::new() }
    }

    /// Do them all.
    pub(super) fn run(mut self) -> Result<(), String> {
        while self.next()? {}
        Ok(())
    }

    /// Do the next one; whether there was one.
    fn next(&mut self) -> Result<bool, String> {
        let Some(step) = self.left.pop() else { return Ok(false) };
        match step {
            Step::Discard(path) => discard(&path).map_err(in_file(&path))?,
            Step::Empty(root, mark) => self.empty(&root, &mark).map_err(in_file(&root))?,
            Step::Mark(path) => File::create(&path).map(drop).map_err(in_file(&path))?,
            Step::Folder(path) => fs::create_dir(&path).map_err(in_file(&path))?,
            Step::Copy(from, to) => self.copy(from, to)?,
            Step::Dress(from, to) => dress(&from, &to).map_err(in_file(&from))?,
            Step::WriteThrough(path) => write_through(&path).map_err(in_file(&path))?,
            Step::Rename(from, to) => fs::rename(&from, &to).map_err(in_file(&to))?,
        }
        Ok(true)
    }

    fn empty(&mut self, root: &Path, mark: &Path) -> io::Result<()> {
        for path in list(root)?.into_iter().filter(|path| *path != mark) {
            match path.ends_with(LOST_AND_FOUND) {
                true => self.left.push(Step::Empty(path, mark.to_owned())),
                false => self.left.push(Step::Discard(path)),
            }
        }
        Ok(())
    }

    fn copy(&mut self, from: PathBuf, to: PathBuf) -> Result<(), String> {
        let meta = fs::symlink_metadata(&from).map_err(in_file(&from))?;
        if let Some(first) = self.links.get(&(meta.dev(), meta.ino())) {
            return fs::hard_link(first, &to).map_err(in_file(&from));
        }
        if meta.nlink() > 1 && !meta.is_dir() {
            self.links.insert((meta.dev(), meta.ino()), to.clone());
        }
        make(&from, &meta, &to).map_err(in_file(&from))?;
        let entries = if meta.is_dir() { entries(&from, &meta).map_err(in_file(&from))? } else { Vec::new() };
        self.left.push(Step::Dress(from, to.clone()));
        self.left.extend(entries.into_iter().map(|entry| {
            let to = to.join(entry.file_name().unwrap_or_default());
            Step::Copy(entry, to)
        }));
        Ok(())
    }
}

/// Nothing that was done before this is lost.
pub(super) fn write_through(path: &Path) -> io::Result<()> {
    Ok(syncfs(File::open(path)?)?)
}

/// What is in a directory, but not in another file system that is mounted there.
fn entries(directory: &Path, meta: &Metadata) -> io::Result<Vec<PathBuf>> {
    let is_mount_point = |path: &Path| {
        // An overlay has files of several devices, and directories of its own.
        fs::symlink_metadata(path).is_ok_and(|entry| entry.is_dir() && entry.dev() != meta.dev())
    };
    let mut entries = list(directory)?;
    entries.retain(|path| !is_mount_point(path));
    Ok(entries)
}

fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
}

/// Something of the same kind with the same content.
fn make(from: &Path, meta: &Metadata, to: &Path) -> io::Result<()> {
    let kind = meta.file_type();
    if kind.is_dir() {
        fs::create_dir(to)
    } else if kind.is_symlink() {
        symlink(fs::read_link(from)?, to)
    } else if kind.is_file() {
        copy_data(&File::open(from)?, &File::create_new(to)?, meta.len())
    } else {
        let kind = match kind {
            _ if kind.is_char_device() => FileType::CharacterDevice,
            _ if kind.is_block_device() => FileType::BlockDevice,
            _ if kind.is_fifo() => FileType::Fifo,
            _ => FileType::Socket,
        };
        Ok(mknodat(CWD, to, kind, Mode::from_raw_mode(0o600), meta.rdev())?)
    }
}

/// The data of a file between its holes.
fn copy_data(from: &File, to: &File, len: u64) -> io::Result<()> {
    to.set_len(len)?;
    let mut at = 0;
    while at < len {
        let start = match seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Only a hole is left.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        at = seek(from, SeekFrom::Hole(start))?;
        seek(from, SeekFrom::Start(start))?;
        seek(to, SeekFrom::Start(start))?;
        io::copy(&mut from.take(at - start), &mut &*to)?;
    }
    Ok(())
}

/// In this order: a new owner takes away permissions and capabilities.
fn dress(from: &Path, to: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(from)?;
    lchown(to, Some(meta.uid()), Some(meta.gid()))?;
    if !meta.is_symlink() {
        fs::set_permissions(to, Permissions::from_mode(meta.mode() & 0o7777))?;
    }
    copy_attributes(from, to)?;
    let time = |tv_sec, nanoseconds: i64| Timespec { tv_sec, tv_nsec: nanoseconds as _ };
    let times = Timestamps {
        last_access: time(meta.atime(), meta.atime_nsec()),
        last_modification: time(meta.mtime(), meta.mtime_nsec()),
    };
    Ok(utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Extended attributes: labels, capabilities, access control lists.
fn copy_attributes(from: &Path, to: &Path) -> io::Result<()> {
    let mut names = Vec::with_capacity(XATTR_MAX);
    match llistxattr(from, spare_capacity(&mut names)) {
        Ok(_) => {}
        Err(Errno::NOTSUP) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = Vec::with_capacity(XATTR_MAX);
        lgetxattr(from, name, spare_capacity(&mut value))?;
        lsetxattr(to, name, &value, XattrFlags::empty())?;
    }
    Ok(())
}

/// Remove what is there, whatever it is.
pub(super) fn discard(path: &Path) -> io::Result<()> {
    let removed = remove(path).or_else(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => unlock(path).and_then(|()| remove(path)),
        _ => Err(error),
    });
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path)?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

/// So that it can be removed with what is in it, whatever chattr(1) was told.
fn unlock(path: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(path)?.file_type();
    if kind.is_dir() || kind.is_file() {
        let file = File::open(path)?;
        let flags = ioctl_getflags(&file)?;
        ioctl_setflags(&file, flags - (IFlags::IMMUTABLE | IFlags::APPEND))?;
    }
    if kind.is_dir() {
        fs::read_dir(path)?.try_for_each(|entry| unlock(&entry?.path()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::symlink;

    use super::*;

    /// In memory, where writing through takes no time.
    fn folder() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
    }

    /// What is in a directory: of each entry its kind, permissions, time and content, and whether it has holes; names of
    /// one file have one number.
    fn dump(directory: &Path) -> BTreeMap<PathBuf, String> {
        let (mut open, mut found, mut numbers) =
            (vec![directory.to_owned()], BTreeMap::new(), BTreeMap::new());
        while let Some(path) = open.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            let kind = meta.file_type();
            let content = match () {
                () if kind.is_file() => {
                    format!("{:?} {}", fs::read(&path).unwrap(), meta.blocks() * 512 < meta.len())
                }
                () if kind.is_symlink() => fs::read_link(&path).unwrap().display().to_string(),
                () => String::new(),
            };
            if kind.is_dir() {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            let same = if meta.nlink() > 1 && !kind.is_dir() {
                let next = numbers.len();
                *numbers.entry(meta.ino()).or_insert(next) + 1
            } else {
                0
            };
            let (mode, owner, time) =
                (meta.mode(), (meta.uid(), meta.gid()), (meta.mtime(), meta.mtime_nsec()));
            let name = path.strip_prefix(directory).unwrap().to_owned();
            found.insert(name, format!("{mode:o} {owner:?} {time:?} {same} {content}"));
        }
        found
    }

    /// A directory with all that a copy has to keep.
    fn source(folder: &Path) -> PathBuf {
        let source = folder.join("var");
        for directory in ["lib/app", "log", "empty"] {
            fs::create_dir_all(source.join(directory)).unwrap();
        }
        fs::write(source.join("lib/app/data"), "data").unwrap();
        fs::write(source.join("log/secret"), "secret").unwrap();
        fs::hard_link(source.join("log/secret"), source.join("lib/again")).unwrap();
        symlink("../lib/app", source.join("log/link")).unwrap();
        mknodat(CWD, source.join("log/pipe"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
        let sparse = File::create(source.join("log/lastlog")).unwrap();
        sparse.set_len(1 << 20).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"last", 700_000).unwrap();
        for (path, mode) in [("log/secret", 0o4600), ("lib/app", 0o2770), ("empty", 0o1777)] {
            fs::set_permissions(source.join(path), Permissions::from_mode(mode)).unwrap();
        }
        let _ = lsetxattr(source.join("lib/app"), "user.note", b"kept", XattrFlags::empty());
        source
    }

    /// What a power cut takes of what was not written through.
    fn cut(new: &Path) {
        let entries = dump_paths(new);
        for path in entries.iter().filter(|path| fs::symlink_metadata(path).unwrap().is_file()) {
            File::options().write(true).truncate(true).open(path).unwrap();
        }
    }

    fn dump_paths(directory: &Path) -> Vec<PathBuf> {
        if !directory.exists() {
            return Vec::new();
        }
        dump(directory).into_keys().map(|name| directory.join(name)).collect()
    }

    fn is_written_through(steps: &Steps) -> bool {
        !steps.left.iter().any(|step| matches!(step, Step::Rename(..)))
    }

    #[test]
    fn a_seed_that_is_cut_anywhere_is_all_there_or_not_at_all() {
        let folder = folder();
        let source = source(folder.path());
        let (new, place) = (folder.path().join("new"), folder.path().join("place"));
        let whole = dump(&source);
        let seed = || Steps::seed(&source, &new, &place);
        let mut steps_done = 0;
        loop {
            let mut steps = seed();
            let is_done = (0..steps_done).any(|_| !steps.next().unwrap());
            if !is_written_through(&steps) {
                assert!(!place.exists(), "half of it after {steps_done} steps");
                cut(&new);
                seed().run().unwrap();
            }
            assert_eq!(dump(&place), whole, "after {steps_done} steps");
            assert!(!new.exists());
            fs::remove_dir_all(&place).unwrap();
            if is_done {
                break;
            }
            steps_done += 1;
        }
        // As many as there is something to do.
        assert!(steps_done > 2 * whole.len(), "{steps_done}");
    }

    #[test]
    fn attributes_are_copied_where_there_are_some() {
        let folder = folder();
        let source = source(folder.path());
        let place = folder.path().join("place");
        Steps::seed(&source, &folder.path().join("new"), &place).run().unwrap();
        let note = |of: &Path| {
            let mut value = Vec::with_capacity(100);
            lgetxattr(of.join("lib/app"), "user.note", spare_capacity(&mut value)).map(|_| value)
        };
        assert_eq!(note(&place), note(&source));
    }

    #[test]
    fn an_empty_seed_looks_like_its_source() {
        let folder = folder();
        let source = source(folder.path()).join("lib/app");
        let (new, place) = (folder.path().join("new"), folder.path().join("place"));
        fs::create_dir(&new).unwrap();
        fs::write(new.join("left"), "by an earlier attempt").unwrap();
        Steps::seed_empty(&source, &new, &place).run().unwrap();
        assert_eq!(dump(&place).into_values().collect::<Vec<_>>(), [dump(&source)[Path::new("")].clone()]);
    }

    #[test]
    fn a_reset_that_is_cut_anywhere_is_not_done_as_long_as_its_mark_is_there() {
        let folder = folder();
        let (root, mark) = (folder.path(), folder.path().join("reset"));
        let mut steps_done = 1;
        loop {
            for directory in ["bind/var", "overlay/etc", "work/etc", LOST_AND_FOUND] {
                fs::create_dir_all(root.join(directory)).unwrap();
            }
            for file in ["bind/var/data", "lost+found/#12"] {
                fs::write(root.join(file), "data").unwrap();
            }
            let mut steps = Steps::reset(root, &mark);
            let is_done = (0..steps_done).any(|_| !steps.next().unwrap());
            let is_empty = dump_paths(root).len() == 2;
            assert_ne!(mark.exists(), is_empty, "after {steps_done} steps");
            Steps::reset(root, &mark).run().unwrap();
            assert_eq!(dump_paths(root), [root.to_owned(), root.join(LOST_AND_FOUND)]);
            if is_done {
                break;
            }
            steps_done += 1;
        }
        assert!(steps_done > 8, "{steps_done}");
    }

    #[test]
    fn what_was_made_immutable_is_removed_by_a_reset() {
        let folder = folder();
        let locked = folder.path().join("bind/var/locked");
        fs::create_dir_all(&locked).unwrap();
        fs::write(locked.join("file"), "data").unwrap();
        for path in [locked.join("file"), locked.clone()] {
            ioctl_setflags(File::open(path).unwrap(), IFlags::IMMUTABLE).unwrap();
        }
        assert!(remove(&locked).is_err());
        Steps::reset(folder.path(), &folder.path().join("reset")).run().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_cannot_be_copied_is_named() {
        let folder = folder();
        let nowhere = folder.path().join("nowhere");
        let error = Steps::seed(&nowhere, &folder.path().join("new"), &folder.path().join("place"))
            .run()
            .unwrap_err();
        assert!(error.starts_with(&*nowhere.to_string_lossy()), "{error}");
    }
}
