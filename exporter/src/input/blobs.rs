//! Files by name, in a directory or in a tar: what images are stored in. Or by descriptor, from elsewhere.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use oci_spec::image::Descriptor;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::digest::Digest;
use super::fault::Fault;
use super::tar::{Members, Next, What};
use crate::error::{Error, Kind, Result};
use crate::limits::{BLOBS, Budget, MANIFEST, MANIFESTS};
use crate::tree::{HostDir, Section};

/// How many links one name may lead through in a tar.
const LINKS_MAX: u32 = 8;

/// Gets manifests, configurations and layers from elsewhere: a file for each descriptor, in their order.
///
/// It is asked for all layers at once, so that several can be on their way together; it may be asked for
/// the same descriptor again. What it gives is checked against size and digest.
pub type Fetch<'a> = dyn Fn(&[Descriptor]) -> Result<Vec<File>> + 'a;

/// Where the files of an image are.
pub(super) struct Blobs<'a> {
    /// Of the directory or tar, for messages.
    pub(super) shown: String,
    store: Store<'a>,
    /// What may still be read of manifests and configurations.
    json: RefCell<Budget>,
}

enum Store<'a> {
    Directory(Arc<HostDir>),
    Tar(HashMap<Vec<u8>, Entry>),
    Elsewhere(&'a Fetch<'a>),
}

enum Entry {
    File(Section),
    /// Another name: older `docker save` stores equal layers once.
    Link(Vec<u8>),
}

impl<'a> Blobs<'a> {
    /// The files below a directory.
    pub(super) fn directory(path: &Path) -> Result<Self> {
        Ok(Self::new(path.display().to_string(), Store::Directory(HostDir::open(path)?)))
    }

    /// The files in a tar that is not compressed.
    pub(super) fn tar(section: &Section, shown: &str) -> Result<Self> {
        let entries = index(section).map_err(|fault| fault.at(shown))?;
        Ok(Self::new(shown.to_owned(), Store::Tar(entries)))
    }

    /// Files that have descriptors and no names.
    pub(super) fn elsewhere(shown: &str, fetch: &'a Fetch<'a>) -> Self {
        Self::new(shown.to_owned(), Store::Elsewhere(fetch))
    }

    fn new(shown: String, store: Store<'a>) -> Self {
        let json = RefCell::new(Budget::new("bytes of manifests and configurations", MANIFESTS));
        Self { shown, store, json }
    }

    /// The files of these descriptors, if they have to be fetched.
    pub(super) fn fetch(&self, descriptors: &[Descriptor]) -> Option<Result<Vec<Section>>> {
        let Store::Elsewhere(fetch) = &self.store else { return None };
        let unreadable = |error| Error::io(&self.shown, "cannot read what was fetched", error);
        let section = |file| Section::whole(file).map_err(unreadable);
        Some(fetch(descriptors).and_then(|files| files.into_iter().map(section).collect()))
    }

    /// A file, if it is there.
    pub(super) fn find(&self, name: &str) -> Result<Option<Section>> {
        match &self.store {
            Store::Directory(directory) => {
                let unreadable = |error| Error::io(&self.shown, format!("cannot open {name}"), error);
                let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK;
                match directory.open_below(name.as_bytes(), flags) {
                    Ok(fd) => Section::whole(File::from(fd)).map(Some).map_err(unreadable),
                    Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => Ok(None),
                    Err(error) => Err(unreadable(error)),
                }
            }
            Store::Tar(entries) => Ok(resolve(entries, name)),
            Store::Elsewhere(_) => Ok(None),
        }
    }

    /// The names of all files of a tar, in any order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let entries = match &self.store {
            Store::Tar(entries) => Some(entries),
            Store::Directory(_) | Store::Elsewhere(_) => None,
        };
        entries.into_iter().flat_map(HashMap::keys).filter_map(|name| std::str::from_utf8(name).ok())
    }

    /// A file that must be there.
    pub(super) fn open(&self, name: &str) -> Result<Section> {
        self.find(name)?.ok_or_else(|| Error::new(Kind::NotFound, &self.shown, format!("there is no {name}")))
    }

    /// All of a file of JSON, which must have this digest.
    pub(super) fn json(&self, name: &str, digest: Option<Digest>) -> Result<Vec<u8>> {
        self.read_json(&self.open(name)?, name, digest)
    }

    /// The same of a file that is open already.
    pub(super) fn read_json(&self, section: &Section, name: &str, digest: Option<Digest>) -> Result<Vec<u8>> {
        self.check_json_len(name, section.len())?;
        let spent = self.json.borrow_mut().spend(section.len());
        spent.map_err(|exceeded| self.corrupt(format!("{name}: {exceeded}")))?;
        let mut bytes = vec![0; section.len() as usize];
        section
            .read_exact_at(0, &mut bytes)
            .map_err(|error| Error::io(&self.shown, format!("cannot read {name}"), error))?;
        match digest {
            Some(digest) if Digest::of(&bytes) != digest => {
                Err(self.corrupt(format!("{name} does not have the digest {digest}")))
            }
            _ => Ok(bytes),
        }
    }

    /// That a file of so many bytes may be one of JSON.
    pub(super) fn check_json_len(&self, name: &str, len: u64) -> Result<()> {
        match len {
            ..=MANIFEST => Ok(()),
            _ => Err(self.corrupt(format!("{name} has {len} bytes, too many for JSON"))),
        }
    }

    /// An error of this image.
    pub(super) fn corrupt(&self, message: impl Into<String>) -> Error {
        Error::new(Kind::Corrupt, &self.shown, message)
    }
}

/// Where the files of a tar lie.
fn index(section: &Section) -> Result<HashMap<Vec<u8>, Entry>, Fault> {
    let mut reader = section.reader();
    let mut members = Members::new(&mut reader);
    let mut entries = HashMap::new();
    let mut files = Budget::new("files in an archive of images", BLOBS);
    while let Next::Member(member) = members.next()? {
        files.spend(1).map_err(|exceeded| Fault::corrupt(exceeded.to_string()))?;
        let entry = match member.what {
            What::File(data) if data.pieces.is_none() => {
                let part = section.part(data.offset, data.len);
                Entry::File(part.ok_or_else(|| Fault::corrupt("the archive is truncated"))?)
            }
            What::HardLink(target) => Entry::Link(target),
            What::Symlink(target) => match beside(&member.path, &target) {
                Some(target) => Entry::Link(target),
                None => continue,
            },
            _ => continue,
        };
        entries.insert(member.path, entry);
    }
    Ok(entries)
}

fn resolve(entries: &HashMap<Vec<u8>, Entry>, name: &str) -> Option<Section> {
    let mut name = name.strip_prefix("./").unwrap_or(name).as_bytes();
    for _ in 0..LINKS_MAX {
        match entries.get(name)? {
            Entry::File(section) => return Some(section.clone()),
            Entry::Link(target) => name = target,
        }
    }
    None
}

/// The target of a symlink as a name in the archive; `None` if it leads out of it.
fn beside(link: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let mut names: Vec<&[u8]> = link.split(|&byte| byte == b'/').collect();
    names.pop();
    for name in target.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop()?;
            }
            name => names.push(name),
        }
    }
    Some(names.join(&b'/'))
}
