//! The disk that another one is written over. Whoever names it has asked for it to be read, and for what it names in its
//! own folder; nothing else is opened. It is never written to.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use zerocopy::{FromZeros, IntoBytes};

use super::format::{BACKING_NAME_MAX, Extension, Header};
use super::read::{Reader, corrupt, read_header, read_padded};
use crate::container::{Format, detect, raw};
use crate::error::{Error, Kind, Result, show_size};
use crate::hint::{Hint, Setting};
use crate::read_at::{ReadAt, Shared};

/// Files that may lie over each other: as a disk that is written anew each week for some months, and far from what QEMU
/// can open.
const DEPTH: usize = 32;

/// A disk that another one is written over: the new one has what differs alone, and is read with this one below it.
#[derive(Clone)]
pub struct Base {
    image: Shared,
    /// Its path, as the new disk names it.
    name: Vec<u8>,
    format: Format,
    /// It, and what it lies over itself.
    files: Vec<Layer>,
}

/// A file of a base.
#[derive(Clone, Debug)]
struct Layer {
    path: PathBuf,
    stamp: Stamp,
}

/// What changes when a file is written to, or another one takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    len: u64,
    written: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Base")
            .field("format", &self.format)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Base {
    /// The disk at `path`, for one that will be at `new`.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] if it is neither qcow2 nor raw, or needs what is not read; [`Kind::Input`] if `new` is one of its
    /// files, or it lies over a file outside of its folder.
    pub fn open(path: &Path, new: &Path) -> Result<Self> {
        let mut files = Vec::new();
        let (format, image) = open(path, None, &mut files)?;
        if let Ok(there) = fs::metadata(new)
            && files.iter().any(|layer| layer.stamp.file == (there.dev(), there.ino()))
        {
            let message = "is the disk that is to be made, or one that its base lies over";
            return Err(Error::new(Kind::Input, new.display().to_string(), message)
                .with_hint("give the new disk another name: its base has to stay"));
        }
        let real = |path: &Path| fs::canonicalize(path).map_err(|error| unreadable(path, error));
        let name = named_from(&real(path)?, &folder_of_new(new)?);
        if name.len() > BACKING_NAME_MAX {
            let message = format!("has a path of more than {BACKING_NAME_MAX} bytes from the new disk on");
            return Err(Error::new(Kind::Unsupported, path.display().to_string(), message));
        }
        Ok(Self { image, name, format, files })
    }

    /// Bytes of the disk in it.
    pub(super) fn size(&self) -> u64 {
        self.image.size()
    }

    /// As of every image.
    pub(super) fn data_from(&self, offset: u64) -> u64 {
        self.image.data_from(offset)
    }

    /// Fill `out` with its bytes from `offset` on, with zeroes behind its end.
    pub(super) fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        read_padded(&*self.image, offset, out).map_err(|error| {
            Error::new(error.kind().clone(), self.shown(), format!("the base cannot be read: {error}"))
        })
    }

    /// That a disk of `size` bytes can lie over it.
    pub(super) fn check_size(&self, size: u64) -> Result<()> {
        let own = self.size();
        if own <= size {
            return Ok(());
        }
        let [own_size, size] = [own, size].map(show_size);
        let message = format!("the base has {own_size}, and the new disk {size}: it cannot be smaller");
        let hint = Hint::from("make it as large, ").set(Setting::Size, own.to_string());
        Err(Error::new(Kind::Input, self.shown(), message).with_hint(hint.text(", or leave the base out")))
    }

    /// That its files are what they were when it was opened: a machine may run on them.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        for Layer { path, stamp } in &self.files {
            let now = fs::metadata(path).map_err(|error| unreadable(path, error))?;
            if Stamp::of(&now) != *stamp {
                let message = "has changed while it was read as a base";
                return Err(Error::new(Kind::Input, path.display().to_string(), message)
                    .with_hint("stop the machine that runs on it, or take a copy for a base"));
            }
        }
        Ok(())
    }

    fn shown(&self) -> String {
        self.files.first().map(|layer| layer.path.display().to_string()).unwrap_or_default()
    }

    /// The first bytes of a disk with this header over it.
    pub(super) fn named_in(&self, header: Header) -> Vec<u8> {
        name_base(header, &self.name, self.format.name())
    }
}

/// The image in a qcow2 that lies over others of its folder, and all its files; `None` for any other file.
pub(in crate::container) fn open_layers(path: &Path) -> Result<Option<(Shared, Vec<PathBuf>)>> {
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    let raw = raw::Reader::new(file, path.display().to_string())?;
    if detect(&raw) != Format::Qcow2 || backing_of(&raw)?.is_none() {
        return Ok(None);
    }
    let mut files = Vec::new();
    let (_, image) = open(path, None, &mut files)?;
    Ok(Some((image, files.into_iter().map(|layer| layer.path).collect())))
}

/// The first bytes of a disk with this header over the file that `name` leads to, in what QEMU calls this format.
pub(super) fn name_base(header: Header, name: &[u8], format: &str) -> Vec<u8> {
    let extension = |kind: u32, bytes: &[u8]| {
        let head = Extension { kind: kind.into(), len: (bytes.len() as u32).into() };
        let mut out = [head.as_bytes(), bytes].concat();
        out.resize(out.len().next_multiple_of(8), 0);
        out
    };
    let extensions =
        [extension(Extension::BACKING_FORMAT, format.as_bytes()), extension(Extension::END, b"")].concat();
    let header = Header {
        backing_file_offset: ((Header::SIZE + extensions.len()) as u64).into(),
        backing_file_size: (name.len() as u32).into(),
        ..header
    };
    [header.as_bytes(), &extensions, name].concat()
}

/// The image in a disk, with those of its folder below it that it names.
pub(super) fn files_of(path: &Path) -> Result<Shared> {
    open(path, None, &mut Vec::new()).map(|(_, image)| image)
}

/// Open a file of a base, which is in this format if that was said, and what lies below it.
fn open(path: &Path, said: Option<Format>, files: &mut Vec<Layer>) -> Result<(Format, Shared)> {
    let shown = path.display().to_string();
    // A pipe would be waited for.
    if !fs::metadata(path).map_err(|error| unreadable(path, error))?.is_file() {
        return Err(Error::new(Kind::Input, shown, "is not a regular file, and a base is one"));
    }
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    let stamp = Stamp::of(&file.metadata().map_err(|error| unreadable(path, error))?);
    if files.len() == DEPTH || files.iter().any(|layer| layer.stamp.file == stamp.file) {
        let message = format!("lies over itself, or over more than {DEPTH} files");
        return Err(Error::new(Kind::Unsupported, shown, message));
    }
    files.push(Layer { path: path.to_owned(), stamp });
    let raw = raw::Reader::new(file, shown.clone())?;
    let in_file = |error: Error| Error::new(error.kind().clone(), &shown, error.to_string());
    let format = said.unwrap_or_else(|| detect(&raw));
    // A machine that writes to its disk could name another one's below it.
    if said.is_none() && format == Format::Qcow2 && Format::from_path(path) == Some(Format::Raw) {
        return Err(Error::new(Kind::Input, shown, "has the name of a raw disk, and begins as a qcow2")
            .with_hint("call it .qcow2 if it is one"));
    }
    match format {
        Format::Raw => Ok((Format::Raw, Arc::new(raw))),
        Format::Qcow2 => {
            let image: Shared = match backing_of(&raw).map_err(in_file)? {
                None => Arc::new(Reader::new(raw).map_err(in_file)?),
                Some((name, format)) => {
                    let (_, below) = open(&beside(path, &name)?, Some(format), files)?;
                    Arc::new(Reader::over(raw, below).map_err(in_file)?)
                }
            };
            Ok((Format::Qcow2, image))
        }
        other => Err(Error::new(Kind::Unsupported, shown, format!("is {other}, and a base is qcow2 or raw"))
            .with_hint("make one of it: qemu-img convert -O qcow2")),
    }
}

/// The backing file that a qcow2 names, and its format.
fn backing_of<F: ReadAt>(file: &F) -> Result<Option<(PathBuf, Format)>> {
    let header = read_header(file)?;
    let (start, len) = (header.backing_file_offset.get(), header.backing_file_size.get() as usize);
    if start == 0 {
        return Ok(None);
    }
    // What the first cluster has at least is enough for the longest name.
    if len == 0 || len > BACKING_NAME_MAX || start > 1 << 21 {
        return Err(corrupt("the name of the backing file is impossible"));
    }
    let mut name = vec![0; len];
    file.read_at(start, &mut name)?;
    let format = match &format_of_backing(file, &header, start)?[..] {
        b"raw" => Format::Raw,
        b"qcow2" => Format::Qcow2,
        b"" => {
            let message = "does not say in which format its backing file is";
            return Err(Error::new(Kind::Unsupported, "qcow2", message)
                .with_hint("let it say so: qemu-img rebase -u -b FILE -F qcow2"));
        }
        other => {
            let message =
                format!("a backing file in the format {:?} cannot be read", String::from_utf8_lossy(other));
            return Err(Error::new(Kind::Unsupported, "qcow2", message));
        }
    };
    Ok(Some((PathBuf::from(std::ffi::OsString::from_vec(name)), format)))
}

/// What the extensions in front of `end` say of it.
fn format_of_backing<F: ReadAt>(file: &F, header: &Header, end: u64) -> Result<Vec<u8>> {
    let mut at = match header.version.get() {
        2 => Header::SIZE_V2 as u64,
        _ => u64::from(header.header_length.get()),
    };
    while at + Extension::SIZE as u64 <= end {
        let mut head = Extension::new_zeroed();
        file.read_at(at, head.as_mut_bytes())?;
        let (kind, len) = (head.kind.get(), head.len.get());
        match kind {
            Extension::END => break,
            Extension::BACKING_FORMAT if len < 16 => {
                let mut format = vec![0; len as usize];
                file.read_at(at + Extension::SIZE as u64, &mut format)?;
                return Ok(format);
            }
            _ => at += Extension::SIZE as u64 + u64::from(len).next_multiple_of(8),
        }
    }
    Ok(Vec::new())
}

/// The file called `name` in the folder of `path`: by whatever links, it lies there, or below.
fn beside(path: &Path, name: &Path) -> Result<PathBuf> {
    let real = |path: &Path| fs::canonicalize(path).map_err(|error| unreadable(path, error));
    let own = real(path)?;
    let folder = own.parent().unwrap_or(Path::new("/"));
    let found = real(&folder.join(name))?;
    if !found.starts_with(folder) {
        let message = format!("lies over {:?}, which is not in its folder", name.display().to_string());
        return Err(Error::new(Kind::Input, path.display().to_string(), message)
            .with_hint("make a whole disk of it: qemu-img convert -O qcow2"));
    }
    Ok(found)
}

/// The folder that a new disk will lie in, behind the links that lead to it.
fn folder_of_new(new: &Path) -> Result<PathBuf> {
    let folder = match new.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let real = match fs::canonicalize(new) {
        Ok(there) => there.parent().map(Path::to_owned).ok_or(std::io::ErrorKind::IsADirectory.into()),
        Err(_) => fs::canonicalize(folder),
    };
    real.map_err(|error| unreadable(folder, error))
}

/// The way from a folder to a file, both without links: where the two are moved together it still leads there. QEMU takes what
/// stands before a colon for a protocol.
fn named_from(file: &Path, folder: &Path) -> Vec<u8> {
    let common = file.components().zip(folder.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(common).map(|_| Component::ParentDir);
    let way: PathBuf = up.chain(file.components().skip(common)).collect();
    let way = way.into_os_string().into_vec();
    let first = way.split(|&byte| byte == b'/').next().unwrap_or_default();
    if first.contains(&b':') { [b"./", &way[..]].concat() } else { way }
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::io(path.display().to_string(), "cannot open the base", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_named_from_the_folder_of_the_new_disk() {
        for (file, folder, name) in [
            ("/disks/old.qcow2", "/disks", "old.qcow2"),
            ("/disks/old.qcow2", "/disks/new", "../old.qcow2"),
            ("/disks/old/a.qcow2", "/disks", "old/a.qcow2"),
            ("/disks/old/a.qcow2", "/new/b", "../../disks/old/a.qcow2"),
            ("/a.raw", "/", "a.raw"),
            ("/disks/a:b", "/disks", "./a:b"),
            ("/disks/a/b:c", "/disks", "a/b:c"),
        ] {
            assert_eq!(String::from_utf8(named_from(Path::new(file), Path::new(folder))).unwrap(), name);
        }
    }
}
