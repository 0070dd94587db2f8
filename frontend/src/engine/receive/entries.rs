//! The entries of the tar stream: which are files of artifacts, of which platform, and which must not be there.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read};
use std::path::{Component, Path};

use exporter::container::Format;
use exporter::container::sparse::EXTENSION;
use exporter::limits::Budget;
use tar::{Archive, EntryType};

use super::{Undelivered, not_as_asked};
use crate::base::Error;

/// A file of an artifact in the stream.
#[derive(Debug)]
pub(super) struct FileEntry {
    /// Of several platforms, this one's: `linux-arm64`.
    pub(super) platform: Option<String>,
    /// The folder that it is of.
    pub(super) folder: Option<String>,
    /// Its name.
    pub(super) name: String,
    /// Whether it is a stream of what it holds, without its zeroes.
    pub(super) is_stream: bool,
    /// Bytes that belong to it.
    pub(super) len: u64,
}

impl FileEntry {
    /// Whether it is of an artifact in that format.
    pub(super) fn is_of(&self, format: Format) -> bool {
        let named = self.folder.as_ref().unwrap_or(&self.name);
        self.folder.is_some() == format.is_folder() && named.ends_with(&format.suffix())
    }
}

/// Hands every such file of a tar stream to `take`, with a reader of its bytes.
pub(super) fn each(
    stream: impl Read,
    mut take: impl FnMut(FileEntry, &mut dyn Read) -> Result<(), Undelivered>,
) -> Result<(), Undelivered> {
    let allowance = Cell::new(0);
    let mut archive = Archive::new(Metered { stream, allowance: &allowance });
    let mut entries = archive.entries().map_err(broken)?;
    let mut all = Budget::new("entries", ENTRIES);
    loop {
        all.spend(1).map_err(|exceeded| Undelivered::Refused(not_as_asked(&exceeded.to_string())))?;
        allowance.set(METADATA_LIMIT);
        let Some(mut entry) = entries.next().transpose().map_err(broken)? else { break };
        allowance.set(u64::MAX);
        let path = entry.path().map_err(broken)?.into_owned();
        let kind = entry.header().entry_type();
        if let Place::File { platform, folder, name } = place_of(&path, kind).map_err(Undelivered::Refused)? {
            let (name, is_stream) = match name.strip_suffix(EXTENSION) {
                Some(name) => (name.to_owned(), true),
                None => (name, false),
            };
            take(FileEntry { platform, folder, name, is_stream, len: entry.size() }, &mut entry)?;
        }
    }
    allowance.set(u64::MAX);
    // The sender must not meet a closed pipe while it writes its last bytes.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
    Ok(())
}

/// Folders, files and attestations of all platforms and formats are far fewer.
const ENTRIES: u64 = 1000;
/// Bytes that headers may take between two files; they are kept in memory.
const METADATA_LIMIT: u64 = 1 << 20;

/// A reader that hands out no more than it is allowed to at the moment.
struct Metered<'a, R> {
    stream: R,
    allowance: &'a Cell<u64>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = usize::try_from(self.allowance.get()).unwrap_or(usize::MAX).min(buffer.len());
        if allowed == 0 && !buffer.is_empty() {
            return Err(io::Error::new(ErrorKind::InvalidData, "headers take more than 1 MiB"));
        }
        let read = self.stream.read(&mut buffer[..allowed])?;
        self.allowance.set(self.allowance.get() - read as u64);
        Ok(read)
    }
}

/// A stream that cannot be read on.
pub(super) fn broken(error: io::Error) -> Undelivered {
    let message = "the stream of the build's result: is not a whole tar archive";
    let wrapped = Error::build(message).because(error.to_string());
    match error.kind() {
        ErrorKind::InvalidData => Undelivered::Refused(wrapped),
        _ => Undelivered::EndedEarly(wrapped),
    }
}

enum Place {
    /// Of no interest: a directory, whose files tell its name, or what BuildKit attests.
    Beside,
    /// A file, of this platform if there are several, and in this folder if it is one of an artifact.
    File { platform: Option<String>, folder: Option<String>, name: String },
}

/// What an entry is, or why it must not be there.
fn place_of(path: &Path, kind: EntryType) -> Result<Place, Error> {
    let refuse = |reason: &str| {
        let name = path.to_string_lossy();
        Err(not_as_asked(&format!("{:?} {reason}", name.as_ref())))
    };
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => names.push(name.to_str().unwrap_or_default()),
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => {
                return refuse("leads out of it");
            }
        }
    }
    let (platform, names) = match &names[..] {
        [platform, names @ ..] if is_platform(platform) => (Some(platform.replace('_', "-")), names),
        names => (None, names),
    };
    let file = |folder: Option<&str>, name: &str| {
        Ok(Place::File { platform, folder: folder.map(str::to_owned), name: name.to_owned() })
    };
    match (kind, names) {
        (EntryType::Directory, [] | [_]) => Ok(Place::Beside),
        (EntryType::Regular, [name]) if is_attestation(name) => Ok(Place::Beside),
        (EntryType::Regular, [name]) => file(None, name),
        (EntryType::Regular, [folder, name]) => file(Some(folder), name),
        (EntryType::Regular | EntryType::Directory, _) => refuse("is not where an artifact belongs"),
        _ => refuse("is neither a file nor a directory"),
    }
}

/// What BuildKit adds for `--provenance` and `--sbom`; no artifact has such a name.
fn is_attestation(name: &str) -> bool {
    name == "provenance.json" || name.ends_with(".spdx.json")
}

/// BuildKit names the directory of a platform `linux_amd64` or `linux_arm_v7`.
fn is_platform(name: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (2..=3).contains(&name.split('_').count()) && name.split('_').all(word)
}
