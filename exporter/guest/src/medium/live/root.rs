//! The root of the live system, as a block device.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};

use super::super::checked::{self, Checked};
use super::super::lazy::{self, Remote};
use super::super::manifest::{Partition, Root as Said};
use super::super::network::Online;
use super::super::words::{Place, Words};
use super::super::{Host, Medium, disc, loop_device, memory, open};
use crate::grow::device::{Device, in_file};

/// Sectors of files that are no disk.
const SECTOR: u32 = 512;

/// Where the root is.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) device: PathBuf,
    /// Its file system.
    pub(super) kind: String,
    /// The medium's disk, whose other partitions may belong to the system.
    pub(super) disk: Option<PathBuf>,
    /// Whether it is read from a web server for as long as the machine runs.
    pub(super) is_lazy: bool,
}

/// Have it ready.
pub(super) fn find(
    medium: &mut Medium,
    words: &Words,
    online: Option<&Online>,
    host: &mut Host,
) -> Result<Root, String> {
    let said = medium.manifest.root.clone();
    match said.ok_or("this medium has no live system: it was not asked for, see modes in [medium]")? {
        Said::Partition(partition) => of_disk(medium, &partition, words, host),
        Said::File { file, bytes, sha256, r#type } => {
            let remote = remote(words, &file, bytes, online);
            let device = match remote.filter(|_| words.is_lazy) {
                Some(remote) => lazy::attach(&remote, &mut host.modules)?,
                // It has come as a whole with its kernel.
                None if words.place == Place::Initramfs => {
                    loop_device::attach(&open::within().join(&file), SECTOR, &mut host.modules)?
                }
                None => in_memory(medium, &file, bytes, &sha256, host)?,
            };
            Ok(Root { device, kind: r#type, disk: None, is_lazy: words.is_lazy })
        }
    }
}

/// The partition of the disk that is a file on the disc.
fn of_disk(
    medium: &mut Medium,
    partition: &Partition,
    words: &Words,
    host: &mut Host,
) -> Result<Root, String> {
    let disk = medium.manifest.disk.clone().ok_or("medium.json: the root is in a disk that is not there")?;
    if matches!(words.place, Place::Folder(_)) || disk.packed {
        return Err("medium.json: the root is in a disk that cannot be mounted".to_owned());
    }
    let whole = loop_device::attach(&open::folder().join(&disk.file), disk.sector_size, &mut host.modules)?;
    let found = Device::named(whole.file_name().unwrap_or_default())?.child(partition.number)?;
    let kind = partition.r#type.clone();
    if !words.is_in_memory {
        return Ok(Root { device: found.path, kind, disk: Some(whole), is_lazy: false });
    }
    let len = found.size()?;
    let start = found.partition()?.map_or(0, |partition| partition.start);
    let part = start..start.saturating_add(len);
    let from: Box<dyn Read> = match checked::entries(&part) {
        Some(entries) => {
            Box::new(Checked::new(open_file(&found.path)?, medium.open(&disk.index, entries)?, part))
        }
        None => Box::new(open_file(&found.path)?),
    };
    let (copy, _) = memory::copy(from, len, &host.consoles)?;
    loop_device::detach(&whole)?;
    let device = loop_device::attach(&copy, disk.sector_size, &mut host.modules)?;
    // What is still open of it goes with this program.
    unmount(disc::AT, UnmountFlags::DETACH).map_err(in_file(Path::new(disc::AT)))?;
    host.consoles.say("the medium may be taken out");
    Ok(Root { device, kind, disk: None, is_lazy: false })
}

fn open_file(path: &Path) -> Result<File, String> {
    File::open(path).map_err(in_file(path))
}

/// A file of the medium, copied while it is checked.
fn in_memory(
    medium: &mut Medium,
    file: &str,
    bytes: u64,
    sha256: &str,
    host: &mut Host,
) -> Result<PathBuf, String> {
    let (copy, digest) = memory::copy(medium.open(file, 0..bytes)?, bytes, &host.consoles)?;
    if !digest.eq_ignore_ascii_case(sha256) {
        return Err(format!(
            "{file} has the SHA-256 {digest}, and medium.json says {sha256}\nhint: serve all files of one build together; this \
             one is of another, or damaged"
        ));
    }
    loop_device::attach(&copy, SECTOR, &mut host.modules)
}

fn remote<'a>(words: &'a Words, file: &'a str, bytes: u64, online: Option<&'a Online>) -> Option<Remote<'a>> {
    let Place::Folder(folder) = &words.place else { return None };
    let card = online.filter(|online| online.is_leased()).map(|online| &*online.card);
    Some(Remote { folder, file, bytes, card })
}
