//! The tar stream of a finished build → artifacts: files with holes where they are zero, folders, or stdout.
//!
//! ```text
//! one platform         disk.qcow2  disk.vhdx  disk-ovf/web.ovf  disk-ovf/web-disk1.vmdk  …
//! several platforms    linux_amd64/disk.qcow2  linux_amd64/disk.vhdx  linux_arm64/disk.qcow2  …
//! ```
//!
//! The name of a file may have `.sparse` behind it: that is a stream of what the file holds, and where, without its
//! zeroes.
//!
//! Nothing else is accepted: no link, no file that was not asked for, no path that leads anywhere. To stdout goes a file
//! as it is, and of a folder an archive of its files.

mod entries;
mod pass_on;
mod sparse;

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use exporter::container::{FileName, Format, Members};
use exporter::error::show_size;

use super::destination::{Destination, Over, Unnamed};
use crate::ask::request::{TRANSPORT, Transport};
pub(crate) use crate::base::child::Undelivered;
use crate::base::disk::{DiskInfo, Made};
use crate::base::{Error, Result};
use entries::FileEntry;
pub(crate) use pass_on::pass_on;

/// An artifact that arrives, or has arrived whole, still under a temporary name.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Of several platforms, this one's: `linux-arm64`.
    platform: Option<String>,
    /// The format that was asked for.
    format: Format,
    /// Its name in the stream, if it is a folder.
    folder: Option<String>,
    /// Which files of the folder are there.
    members: Members,
    /// The name it is for.
    path: PathBuf,
    /// What it is written over.
    over: Option<Over>,
    /// Its bytes.
    output: Unnamed,
}

impl From<io::Error> for Undelivered {
    /// Of a stream that cannot be read on.
    fn from(error: io::Error) -> Self {
        entries::broken(error)
    }
}

/// The build argument that asks for streams; none where stdout takes what does not come in order.
pub(crate) fn transport(formats: &[Format], to_stdout: bool) -> Option<(String, String)> {
    let takes = !to_stdout || formats.iter().all(|format| format.streams());
    takes.then(|| (TRANSPORT.to_owned(), Transport::Sparse.name().to_owned()))
}

/// Stores the artifacts of a tar stream beside their destinations; on any failure nothing is left.
///
/// The destinations are of different formats, and every platform must send an artifact for each. They come back by
/// platform, in the order of the destinations.
pub(crate) fn store(stream: impl Read, destinations: &[Destination]) -> Result<Vec<Arrived>, Undelivered> {
    let mut arrived: Vec<Arrived> = Vec::new();
    entries::each(stream, |entry, bytes| {
        let destination = destinations.iter().find(|destination| entry.is_of(destination.arrives()));
        let destination =
            destination.ok_or_else(|| unasked(&entry, destinations.iter().map(Destination::arrives)))?;
        if let Some(folder) = arrived.iter_mut().find(|other| other.is_folder_of(&entry)) {
            return folder.take(&entry, bytes);
        }
        if arrived.iter().any(|other| other.excludes(&entry, destination.format())) {
            return Err(one_too_many(destination.format()));
        }
        let mut begun = Arrived::begin(&entry, destination)?;
        begun.take(&entry, bytes)?;
        arrived.push(begun);
        Ok(())
    })?;
    none_is_missing(&arrived, destinations)?;
    let place = |format| destinations.iter().position(|destination| destination.format() == format);
    arrived.sort_by_cached_key(|artifact| (artifact.platform.clone(), place(artifact.format)));
    Ok(arrived)
}

impl Arrived {
    /// Starts the artifact that `entry` is the first file of.
    fn begin(entry: &FileEntry, destination: &Destination) -> Result<Self, Undelivered> {
        let (format, platform) = (destination.format(), entry.platform.clone());
        let path = destination.path(platform.as_deref());
        if platform.is_some() && path.is_symlink() {
            return Err(leads_elsewhere(&path));
        }
        let output = Unnamed::create(&path, format).map_err(Undelivered::Refused)?;
        let folder = entry.folder.clone();
        let over = destination.base().cloned();
        Ok(Self { platform, format, folder, members: Members::new(format), path, over, output })
    }

    /// Whether it is the folder that a file is in.
    fn is_folder_of(&self, entry: &FileEntry) -> bool {
        self.folder.is_some() && self.folder == entry.folder && self.platform == entry.platform
    }

    /// Whether there can be no other artifact of this format, of the platform of `entry`.
    fn excludes(&self, entry: &FileEntry, format: Format) -> bool {
        let is_same_platform = self.platform == entry.platform;
        self.format == format && (is_same_platform || self.platform.is_none() || entry.platform.is_none())
    }

    /// Stores a file of it.
    fn take(&mut self, entry: &FileEntry, bytes: &mut dyn Read) -> Result<(), Undelivered> {
        let store = if entry.is_stream { sparse::store_stream } else { sparse::store };
        match (&self.output, &self.over) {
            (Unnamed::File(output), Some(over)) => sparse::store_over(bytes, entry, over, output),
            (Unnamed::File(output), None) => store(bytes, entry.len, output),
            (Unnamed::Folder(folder), _) => {
                self.members
                    .add(&entry.name)
                    .map_err(|reason| Undelivered::Refused(not_as_asked(&reason)))?;
                let output = folder.file(&entry.name).map_err(|error| Undelivered::Refused(error.into()))?;
                store(bytes, entry.len, &output)
            }
        }
    }
}

fn none_is_missing(arrived: &[Arrived], destinations: &[Destination]) -> Result<(), Undelivered> {
    let platforms: BTreeSet<_> = arrived.iter().map(|artifact| &artifact.platform).collect();
    for format in destinations.iter().map(Destination::format) {
        let there = arrived.iter().filter(|artifact| artifact.format == format).count();
        if there < platforms.len().max(1) {
            return Err(missing(format));
        }
    }
    arrived.iter().try_for_each(|artifact| is_whole(artifact.format, &artifact.members))
}

/// That no file of a folder is missing.
fn is_whole(format: Format, members: &Members) -> Result<(), Undelivered> {
    match members.missing() {
        Some(name) => Err(missing_member(format, name)),
        None => Ok(()),
    }
}

/// Gives the artifacts their names, once all of them are what was asked for.
pub(crate) fn persist(arrived: Vec<Arrived>) -> Result<Vec<Made>> {
    arrived.iter().try_for_each(check_format)?;
    let paths: Vec<_> = arrived.iter().map(|artifact| artifact.path.clone()).collect();
    arrived.into_iter().try_for_each(|artifact| artifact.output.persist())?;
    paths.iter().map(|path| Made::read(path)).collect()
}

fn check_format(artifact: &Arrived) -> Result<()> {
    let (found, asked) = (DiskInfo::read(artifact.output.temporary())?.format, artifact.format);
    if found == asked {
        return Ok(());
    }
    let message = format!("the build's result: is a {found} disk, {asked} was asked for");
    Err(Error::build(message).with_hint("the frontend image makes the disk: is it the right one?"))
}

/// A name that nobody has typed, so nobody knows where it leads.
fn leads_elsewhere(path: &Path) -> Undelivered {
    let message = format!("{}: is a link, and not what was named", path.display());
    Undelivered::Refused(Error::user(message).with_hint("remove the link, or build one platform"))
}

fn unasked(entry: &FileEntry, asked: impl IntoIterator<Item = Format>) -> Undelivered {
    let FileEntry { folder, name, .. } = entry;
    let files = asked.into_iter().filter(|format| !format.is_folder());
    let suffixes: Vec<_> = files.map(Format::suffix).collect();
    let reason = match (folder, &suffixes[..]) {
        (Some(folder), _) => format!("{:?} is not where an artifact belongs", format!("{folder}/{name}")),
        (None, []) => format!("{name:?} is not in a folder"),
        (None, suffixes) => format!("{name:?} does not end in {}", suffixes.join(" or ")),
    };
    Undelivered::Refused(not_as_asked(&reason))
}

fn one_too_many(format: Format) -> Undelivered {
    Undelivered::Refused(not_as_asked(&format!("there is more than one {format} {} in it", kind(format))))
}

fn missing(format: Format) -> Undelivered {
    Undelivered::EndedEarly(not_as_asked(&format!("there is no {format} {} in it", kind(format))))
}

fn missing_member(format: Format, name: FileName) -> Undelivered {
    Undelivered::EndedEarly(not_as_asked(&format!("there is no {name} in the {format} folder")))
}

fn kind(format: Format) -> &'static str {
    if format.is_folder() { "folder" } else { "file" }
}

fn ended_early(arrived: u64, len: u64) -> Undelivered {
    let message = format!("the stream ended after {} of {}", show_size(arrived), show_size(len));
    Undelivered::EndedEarly(Error::build(message))
}

fn not_as_asked(reason: &str) -> Error {
    Error::build(format!("the build's result: is not what was asked for: {reason}"))
        .with_hint("the frontend image makes the disk: is it the right one?")
}

#[cfg(test)]
mod tests;
