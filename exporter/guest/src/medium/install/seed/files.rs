//! The files of the installed system, by the paths that they have in it. Links are those of the system, and lead nowhere else.
//!
//! What the system keeps beside a root that is only read lies on a partition of its own, as
//! `exporter/guest/src/early/persist` mounts it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{
    Mode, OFlags, ResolveFlags, XattrFlags, fchmod, fgetxattr, fsetxattr, mkdirat, openat2, renameat,
};
use rustix::io::Errno;
use serde::Deserialize;

use crate::early::persist::store::Store;
use crate::grow::device::in_file;

/// Where the disk's builder says what is kept.
const EARLY: &str = "/usr/lib/vmimage/early.json";
/// The largest file that is read.
const LEN_MAX: u64 = 4 << 20;
const SELINUX: &str = "security.selinux";

/// A system that does not run.
pub(super) struct System {
    root: PathBuf,
    kept: Option<Kept>,
}

/// What is kept beside its root, and where that is mounted now.
struct Kept {
    at: PathBuf,
    told: Told,
}

#[derive(Default, Deserialize)]
struct Early {
    persist: Option<Told>,
}

#[derive(Default, Deserialize)]
struct Told {
    #[serde(default)]
    overlay: Vec<String>,
    #[serde(default)]
    bind: Vec<String>,
}

/// Whose a file is, and who may do what with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

impl Owner {
    pub(super) const ROOT: Self = Self { uid: 0, gid: 0, mode: 0o644 };
}

impl System {
    /// That of a root, and of what is kept beside it.
    pub(super) fn open(root: &Path, persist: Option<&Path>) -> Result<Self, String> {
        let mut system = Self { root: root.to_owned(), kept: None };
        if let Some(at) = persist
            && let Some((text, _)) = system.read(EARLY)?
        {
            let early: Early = serde_json::from_slice(&text).map_err(|error| format!("{EARLY}: {error}"))?;
            system.kept = early.persist.map(|told| Kept { at: at.to_owned(), told });
        }
        Ok(system)
    }

    /// A file as the system will see it; `None`: it is not there.
    pub(super) fn read(&self, path: &str) -> Result<Option<(Vec<u8>, Owner)>, String> {
        let (folder, rest) = self.place(path)?;
        match read(&folder, &rest).map_err(in_file(Path::new(path)))? {
            None if folder != self.root => read(&self.root, path).map_err(in_file(Path::new(path))),
            found => Ok(found),
        }
    }

    /// Put a file in the place of the one that is there.
    pub(super) fn write(&self, path: &str, text: &[u8], owner: Owner) -> Result<(), String> {
        let (folder, rest) = self.place(path)?;
        write(&folder, &rest, text, owner).map_err(|error| match error {
            Errno::ROFS => format!(
                "{path}: the system only reads its root, and does not keep this file\nhint: keep its directory: \
                 persist.overlay or persist.bind of vmimage.toml"
            ),
            error => format!("{path}: cannot be written: {error}"),
        })
    }

    /// Make a directory, where it is not there yet.
    pub(super) fn make_folder(&self, path: &str, owner: Owner) -> Result<(), String> {
        let (folder, rest) = self.place(path)?;
        make_folder(&folder, &rest, owner).map_err(|error| format!("{path}: cannot be made: {error}"))
    }

    /// Where it is written: a directory, and the path below it.
    fn place(&self, path: &str) -> Result<(PathBuf, String), String> {
        let below = |directory: &String| {
            let rest = path.strip_prefix(directory.as_str())?;
            rest.starts_with('/').then(|| rest.to_owned())
        };
        let Some(Kept { at, told: Told { overlay, bind } }) = &self.kept else {
            return Ok((self.root.clone(), path.to_owned()));
        };
        let store = Store::of(at, &self.root);
        if let Some((directory, rest)) = bind.iter().find_map(|it| Some((it, below(it)?))) {
            return Ok((store.bound(Path::new(directory))?, rest));
        }
        match overlay.iter().find_map(|it| Some((it, below(it)?))) {
            Some((directory, rest)) => {
                let [upper, _] = store.over(Path::new(directory))?;
                Ok((upper, rest))
            }
            None => Ok((self.root.clone(), path.to_owned())),
        }
    }
}

/// A path below a directory, whatever its links say.
fn open(folder: &Path, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let top = rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path = path.trim_start_matches('/');
    openat2(top, if path.is_empty() { "." } else { path }, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

fn read(folder: &Path, path: &str) -> std::io::Result<Option<(Vec<u8>, Owner)>> {
    // What is no file is not waited for.
    let file = match open(folder, path, OFlags::RDONLY | OFlags::NONBLOCK) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() > LEN_MAX {
        return Err(std::io::Error::other("is no file, or a large one"));
    }
    let mut text = Vec::new();
    file.take(LEN_MAX).read_to_end(&mut text)?;
    Ok(Some((text, Owner { uid: meta.uid(), gid: meta.gid(), mode: meta.mode() & 0o7777 })))
}

fn write(folder: &Path, path: &str, text: &[u8], owner: Owner) -> Result<(), Errno> {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    make_folder(folder, parent, Owner { mode: 0o755, ..Owner::ROOT })?;
    let parent = open(folder, parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let new = format!(".{name}.vmimage");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(&parent, &new, flags, Mode::from_raw_mode(0o600))?);
    file.write_all(text).map_err(errno)?;
    let old = rustix::fs::openat(
        &parent,
        name,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK,
        Mode::empty(),
    );
    label(old.as_ref().unwrap_or(&parent), &file);
    dress(&file, owner)?;
    file.sync_all().map_err(errno)?;
    renameat(&parent, &new, &parent, name)
}

/// With those that it lies in.
fn make_folder(folder: &Path, path: &str, owner: Owner) -> Result<(), Errno> {
    let directory = OFlags::RDONLY | OFlags::DIRECTORY;
    let Err(error) = open(folder, path, directory) else { return Ok(()) };
    if error != Errno::NOENT {
        return Err(error);
    }
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    make_folder(folder, parent, Owner { mode: 0o755, ..Owner::ROOT })?;
    let parent = open(folder, parent, directory)?;
    mkdirat(&parent, name, Mode::from_raw_mode(0o700))?;
    let made = File::from(open(folder, path, directory)?);
    label(&parent, &made);
    dress(&made, owner)
}

/// What SELinux calls it is what it calls the other: no policy is there to ask.
fn label(of: &OwnedFd, file: &File) {
    let mut value = [0; 256];
    if let Ok(len) = fgetxattr(of, SELINUX, &mut value[..]) {
        let _ = fsetxattr(file, SELINUX, value.get(..len).unwrap_or_default(), XattrFlags::empty());
    }
}

fn dress(file: &File, owner: Owner) -> Result<(), Errno> {
    fchown(file, Some(owner.uid), Some(owner.gid)).map_err(errno)?;
    fchmod(file, Mode::from_raw_mode(owner.mode))
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// Whether there is a directory.
pub(super) fn is_folder(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_dir())
}
