//! One layer, read once from start to end: its digests are checked, and its members handed on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::cost::{Memory, Meter};
use super::digest::{Digest, Hashing};
use super::fault::Fault;
use super::image::Layer;
use super::tar::{Data, End, Member, Members, Next, Stream, What};
use crate::error::{Error, Result, show_path};
use crate::limits::{Budget, SMALL_FILES};
use crate::tree::memory::{DIRECTORY, ENTRY};
use crate::tree::{Archive, ArchiveFile, Compression, Content, Decoders, Device, Meta, Room};

/// Members handed on at once, and bytes of memory that they have.
const BATCH: usize = 256;
const BATCH_BYTES: u64 = 1 << 20;
/// Bytes of memory that are asked for at once.
const ASKED: u64 = 64 << 10;
/// Bytes of attributes that take as long as a name that is looked up.
const ATTRIBUTE: u64 = 64;
/// The largest file that is kept in memory.
const KEPT_MAX: u64 = 64 << 10;

/// What begins the name of a whiteout: the rest of the name is gone from the lower layers.
const WHITEOUT: &[u8] = b".wh.";
/// A whiteout of all that lower layers have in this directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Names of AUFS's own files.
const AUFS: &[u8] = b".wh..wh.";

/// A step from the lower layers to this one.
#[derive(Debug)]
pub(super) enum Change {
    /// What lower layers have at this path is gone.
    Remove(Vec<u8>),
    /// What lower layers have below this path is gone.
    Empty(Vec<u8>),
    /// This is at the path, in place of what was there.
    Add(Vec<u8>, Meta, New),
}

/// What is at a path.
#[derive(Debug)]
pub(super) enum New {
    /// A directory, or new metadata for one that is there.
    Directory,
    File(Content),
    /// One more name of what is at this path.
    HardLink(Vec<u8>),
    Symlink(Vec<u8>),
    Fifo,
    CharDevice(Device),
    BlockDevice(Device),
}

impl Change {
    /// Bytes of memory that it takes, on its way and in the tree.
    pub(super) fn memory(&self) -> u64 {
        match self {
            Self::Remove(path) | Self::Empty(path) => ENTRY + path.len() as u64,
            Self::Add(path, meta, new) => ENTRY + path.len() as u64 + meta.xattrs.memory() + new.memory(),
        }
    }

    /// As many names are looked up in about the time that it takes; a path has at most half as many as bytes.
    pub(super) fn lookups(&self) -> u64 {
        let attributes = match self {
            Self::Add(_, meta, _) => meta.xattrs.memory() / ATTRIBUTE,
            Self::Remove(_) | Self::Empty(_) => 0,
        };
        attributes + self.path().len() as u64 / 2
    }

    /// What it changes.
    pub(super) fn path(&self) -> &[u8] {
        match self {
            Self::Remove(path) | Self::Empty(path) | Self::Add(path, ..) => path,
        }
    }
}

impl New {
    fn memory(&self) -> u64 {
        match self {
            Self::Directory => DIRECTORY,
            Self::File(content) => content.memory(),
            Self::HardLink(target) | Self::Symlink(target) => target.len() as u64,
            Self::Fifo | Self::CharDevice(_) | Self::BlockDevice(_) => 0,
        }
    }
}

/// A layer that is about to be read.
pub(super) struct Opened {
    archive: Arc<Archive>,
    /// For what decodes it.
    _room: Room,
}

/// Open `layer`, which is number `order` from below. This waits for layers that were opened before, not for others.
pub(super) fn open(layer: &Layer, order: u32, decoders: &Arc<Decoders>) -> Result<Opened> {
    let archive = Archive::new(layer.shown.clone(), order, layer.section.clone(), decoders)?;
    let room = decoders.room(archive.compression().window());
    Ok(Opened { archive, _room: room })
}

/// How to read a layer.
pub(super) struct Reading<'a> {
    /// Nobody wants the rest.
    pub(super) stop: &'a AtomicBool,
    /// Told of stored bytes that were read.
    pub(super) seen: &'a (dyn Fn(u64) + Sync),
    /// Memory for what it changes.
    pub(super) memory: &'a Memory,
    /// Counts what is decoded.
    pub(super) decoded: &'a Meter,
    /// Takes the changes, batch by batch.
    pub(super) emit: &'a mut dyn FnMut(Vec<Change>),
}

/// Read `layer`, which is number `order` from below and was opened.
///
/// The lowest layer hands its members on as they come. Of another one all whiteouts come first, since they
/// apply to lower layers only and not to what the same layer has, wherever in the tar they are.
pub(super) fn read(layer: &Layer, order: u32, opened: Opened, reading: &mut Reading<'_>) -> Result<()> {
    let archive = &opened.archive;
    let is_plain = archive.compression() == Compression::None;
    let hashes = layer.digest.is_some() && !is_plain;
    let mut stored = Hashing::new(archive.section().reader(), hashes, reading.seen);
    let read = read_stream(layer, archive, &mut stored, order, reading);
    if reading.stop.load(Ordering::Relaxed) {
        return Ok(());
    }
    // Wrong bytes show in many ways; that they are wrong is the reason for all of them.
    let stored =
        stored.finish().map_err(|error| Error::io(&layer.shown, "cannot read the archive", error))?;
    let check = check(stored, layer.digest.filter(|_| hashes), "digest");
    check.and(read).map_err(|fault| fault.at(&layer.shown))
}

fn read_stream(
    layer: &Layer,
    archive: &Arc<Archive>,
    stored: impl std::io::Read + Send,
    order: u32,
    reading: &mut Reading<'_>,
) -> Result<(), Fault> {
    let expected = [layer.diff_id, layer.digest.filter(|_| archive.compression() == Compression::None)];
    let is_known = expected.iter().any(Option::is_some);
    let decoder = archive.compression().decoder(stored)?;
    let mut stream = Hashing::new(reading.decoded.on(decoder), is_known, |_| {});
    let mut sorter = Sorter::new(order, reading.memory, reading.emit);
    let members = read_members(layer, archive, &mut stream, &mut sorter, reading.stop);
    if reading.stop.load(Ordering::Relaxed) {
        return Ok(());
    }
    let digest = stream.finish().map_err(Fault::from);
    // As above; but of a stream that cannot be decoded there is nothing to compare.
    if let (Ok(digest), true) = (&digest, members.is_ok() || archive.compression() == Compression::None) {
        check(*digest, expected[1], "digest")?;
        check(*digest, expected[0], "diff_id")?;
    }
    let end = members?;
    digest?;
    if end == End::Unmarked && !is_known {
        return Err(Fault::corrupt("the archive is truncated: it has no end-of-archive block"));
    }
    sorter.finish();
    Ok(())
}

/// That a digest is the one expected, if one is.
fn check(is: Option<Digest>, expected: Option<Digest>, name: &str) -> Result<(), Fault> {
    match (is, expected) {
        (Some(is), Some(expected)) if is != expected => {
            Err(Fault::corrupt(format!("the content is damaged: its {name} is {is}, not {expected}")))
        }
        _ => Ok(()),
    }
}

fn read_members<S: Stream>(
    layer: &Layer,
    archive: &Arc<Archive>,
    stream: &mut S,
    sorter: &mut Sorter<'_>,
    stop: &AtomicBool,
) -> Result<End, Fault> {
    let mut members = Members::new(stream);
    let mut small_files = Budget::new("bytes of small files", SMALL_FILES);
    while !stop.load(Ordering::Relaxed) {
        let member = match members.next()? {
            Next::Member(member) => *member,
            Next::End(end) => return Ok(end),
        };
        if layer.has_whiteouts
            && let Some(whiteout) = whiteout(&member.path)?
        {
            whiteout.map_or(Ok(()), |whiteout| sorter.remove(whiteout))?;
            continue;
        }
        let Member { path, meta, what } = member;
        let new = match what {
            What::Directory => New::Directory,
            What::File(data) if is_kept(&path, &data) && small_files.spend(data.len).is_ok() => {
                let mut bytes = vec![0; data.len as usize];
                members.read_exact(&mut bytes)?;
                New::File(Content::Bytes(bytes.into()))
            }
            What::File(data) => New::File(content(archive, data)),
            What::HardLink(target) => New::HardLink(target),
            What::Symlink(target) => New::Symlink(target),
            What::Fifo => New::Fifo,
            What::CharDevice(device) => New::CharDevice(device),
            What::BlockDevice(device) => New::BlockDevice(device),
        };
        sorter.add(Change::Add(path, meta, new))?;
    }
    Ok(End::Marked)
}

/// Whether a file's bytes are kept: distribution detection and machine edits read text files before the
/// disk is laid out, and each read of a compressed layer decodes all of the layer in front of the file.
fn is_kept(path: &[u8], data: &Data) -> bool {
    let is_read = path.starts_with(b"etc/")
        || path == b"usr/lib/os-release"
        || path.starts_with(b"usr/lib/modules/") && path.ends_with(b"/pkgbase")
        || path.starts_with(b"lib/modules/") && path.ends_with(b"/pkgbase");
    is_read && data.len <= KEPT_MAX && data.pieces.is_none()
}

fn content(archive: &Arc<Archive>, data: Data) -> Content {
    let archive = Arc::clone(archive);
    Content::Archive(match data.pieces {
        None => ArchiveFile::Whole { archive, offset: data.offset, len: data.len },
        Some(pieces) => ArchiveFile::sparse(archive, data.len, pieces),
    })
}

/// What a name says is gone: `None` if it is no whiteout, `Some(None)` if nothing is.
fn whiteout(path: &[u8]) -> Result<Option<Option<Change>>, Fault> {
    let start = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    let (directory, name) = path.split_at(start);
    Ok(match name.strip_prefix(WHITEOUT) {
        None => None,
        Some(_) if name == OPAQUE => Some(Some(Change::Empty(directory.to_vec()))),
        Some(_) if name.starts_with(AUFS) => Some(None),
        Some(b"" | b"." | b"..") => {
            return Err(Fault::corrupt(format!("{}: a whiteout of nothing", show_path(path))));
        }
        Some(name) => Some(Some(Change::Remove([directory, name].concat()))),
    })
}

/// Puts the changes of a layer into order.
struct Sorter<'a> {
    order: u32,
    removals: Vec<Change>,
    changes: Vec<Change>,
    /// Bytes of those that wait here.
    bytes: u64,
    /// Of which there is no room yet.
    asked: u64,
    memory: &'a Memory,
    emit: &'a mut dyn FnMut(Vec<Change>),
}

impl<'a> Sorter<'a> {
    fn new(order: u32, memory: &'a Memory, emit: &'a mut dyn FnMut(Vec<Change>)) -> Self {
        Self { order, removals: Vec::new(), changes: Vec::new(), bytes: 0, asked: 0, memory, emit }
    }

    /// Whether there is nothing below that could be removed.
    fn is_lowest(&self) -> bool {
        self.order == 0
    }

    fn remove(&mut self, change: Change) -> Result<(), Fault> {
        if self.is_lowest() {
            return Ok(());
        }
        self.wait(&change)?;
        self.removals.push(change);
        Ok(())
    }

    fn add(&mut self, change: Change) -> Result<(), Fault> {
        self.wait(&change)?;
        self.changes.push(change);
        if self.is_lowest() && (self.changes.len() >= BATCH || self.bytes >= BATCH_BYTES) {
            self.bytes = 0;
            (self.emit)(std::mem::take(&mut self.changes));
        }
        Ok(())
    }

    /// Make room for a change. Those of the lowest layer wait for nothing but to be merged, batch by batch.
    fn wait(&mut self, change: &Change) -> Result<(), Fault> {
        let bytes = change.memory();
        self.bytes += bytes;
        self.asked += bytes;
        if self.is_lowest() || self.asked < ASKED {
            return Ok(());
        }
        let waited = self.memory.wait(self.order, std::mem::take(&mut self.asked), self.bytes);
        waited.map_err(|exceeded| Fault::exceeded(&show_path(change.path()), exceeded))
    }

    fn finish(self) {
        (self.emit)(self.removals);
        (self.emit)(self.changes);
    }
}
