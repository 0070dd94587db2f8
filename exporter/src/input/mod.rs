//! Where file trees come from beside directories: tars, and images of containers.
//!
//! ```text
//! rootfs.tar ───────────────────────────────────────────┐
//! OCI layout, oci-archive ─▶ index ─▶ manifest ─▶ layers ┼─read once, verify, merge─▶ Tree
//! fetched by the caller ────▶ index ─▶ manifest ─▶ layers ┤
//! docker save ─▶ manifest.json ───────────────▶ layers ─┤
//! before 1.10 ─▶ repositories ────────────────▶ layers ─┘  (or the one of /os.tar, if that is all there is)
//! ```
//!
//! This crate opens no connection and starts no program: what comes from a registry, the caller fetches
//! ([`Fetch`]); what a program writes, the caller hands on as a stream ([`read_stream`]).
//!
//! Nothing is unpacked. Reading an input once gives the tree, checks all digests, and notes where in the
//! (decoded) tar the content of each file lies ([`Content::Archive`](crate::tree::Content)); the bytes are
//! read again when the disk is written. So memory grows with the number of files and not with their size.
//!
//! Only what cannot be read twice is kept on this machine, in a nameless file of a directory that the
//! caller chooses: the standard input and pipes, as they come (sizes must be known before the first byte
//! of a disk is), and a compressed *archive of an image*, whose blobs are needed in any order, without its
//! compression, as is an `/os.tar` in a compressed layer. Compressed layers and compressed tars of a tree are not kept.
//!
//! Whiteouts, opaque directories and hard links across layers are those of the OCI specification. Masked
//! by a higher layer, a file lives on under its other names. Paths with `..` are refused, absolute ones
//! start at the root of the tree; a symlink on the way leads to another place of the tree, never to one of
//! this machine. One of a lower layer gives way to a directory, as where engines mount layers over each other.

mod blobs;
mod choice;
mod cost;
mod digest;
mod docker;
mod fault;
mod image;
mod layer;
mod legacy;
mod location;
mod merge;
mod oci;
mod os_tar;
mod platform;
mod spool;
mod tar;

use std::collections::HashSet;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use oci_spec::image::{Descriptor, ImageConfiguration};

pub use blobs::Fetch;
pub use location::{Input, Location};
pub use platform::Platform;

use crate::error::Result;
use crate::limits::{decoded_again, decoded_bytes, lookups};
use crate::spec::ImageConfig;
use crate::tree::{Compression, Decoders, HostDir, Section, Tree, scan};
use blobs::Blobs;
use cost::{Memory, Meter};
use image::{Configuration, Image, Layer};
use layer::{Change, Reading};
use merge::Merge;

/// Batches of a layer that wait to be merged.
const BATCHES: usize = 4;
/// What counts how far a small file goes.
const DECODED: &str = "decoded bytes";

/// How far the reading is, in bytes as they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub done: u64,
    /// Bytes there are; 0 while a stream is spooled, whose length nobody knows.
    pub total: u64,
}

/// How to read an input: only the platform changes what comes out.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// For which machine the image is to be, where there are several.
    pub platform: &'a Platform,
    /// At most so many layers are decoded at once.
    pub threads: NonZeroUsize,
    /// The directory for temporary files; the one the disk goes to has room for large ones.
    pub spool: &'a Path,
    /// Called from several threads while archives are read.
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

/// What an input gave.
#[derive(Debug)]
pub struct Loaded {
    /// The files.
    pub tree: Tree,
    /// Of an image: for which platform it is, and more.
    pub config: Option<ImageConfiguration>,
    /// The same with all that its makers wrote, whether OCI names it or not.
    pub config_json: Option<serde_json::Value>,
    /// Of an image: what it says of containers, and its labels.
    pub image: Option<ImageConfig>,
}

/// Read `input`.
///
/// # Errors
/// `Corrupt` if a digest is wrong or bytes are missing, with the file and the layer; `NotFound` if there is
/// no such image, with a hint that lists those there are; `Unsupported` for types and compressions that are
/// not read.
pub fn read(input: &Input, options: &Options<'_>) -> Result<Loaded> {
    let reference = input.reference.as_deref();
    match &input.location {
        Location::Path(path) if path.join(oci::LAYOUT).is_file() => layout(path, reference, options),
        Location::Path(path) if path.is_dir() => directory(path, options),
        Location::Path(path) => any_tar(spool::open(path, options)?, &shown(path), options),
        Location::Directory(path) => directory(path, options),
        Location::Tar(path) => rootfs(spool::open(path, options)?, shown(path), options),
        Location::Stdin => read_stream(&mut std::io::stdin().lock(), "standard input", options),
        Location::OciLayout(path) => layout(path, reference, options),
        Location::OciArchive(path) => {
            image(oci::find(&archive(path, options)?, reference, options.platform)?, options)
        }
        Location::DockerArchive(path) => {
            image(docker::find(&archive(path, options)?, reference, options.platform)?, options)
        }
    }
}

/// Read a tar, of a tree or of one image, that can be read only once; `shown` is what messages call it.
///
/// # Errors
/// As [`read`].
pub fn read_stream(reader: &mut dyn Read, shown: &str, options: &Options<'_>) -> Result<Loaded> {
    any_tar(spool::spool(reader, shown, options)?, shown, options)
}

/// Read an image that lies elsewhere: `root` describes its manifest, or an index with one for each platform;
/// `shown` is what messages call it.
///
/// # Errors
/// As [`read`], and those of `fetch`.
pub fn read_fetched(
    shown: &str,
    root: Descriptor,
    fetch: &Fetch<'_>,
    options: &Options<'_>,
) -> Result<Loaded> {
    image(oci::find_below(&Blobs::elsewhere(shown, fetch), &[root], None, options.platform)?, options)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn directory(path: &Path, options: &Options<'_>) -> Result<Loaded> {
    Ok(Loaded {
        tree: scan(&HostDir::open(path)?, options.threads, &mut |_| {})?,
        config: None,
        config_json: None,
        image: None,
    })
}

fn layout(path: &Path, reference: Option<&str>, options: &Options<'_>) -> Result<Loaded> {
    image(oci::find(&Blobs::directory(path)?, reference, options.platform)?, options)
}

/// The files in an archive of an image.
fn archive(path: &Path, options: &Options<'_>) -> Result<Blobs<'static>> {
    let (section, shown) = (spool::open(path, options)?, shown(path));
    Blobs::tar(&spool::decompressed(section, &shown, options)?, &shown)
}

/// An archive of an image, or else the tar of a tree.
fn any_tar(section: Section, shown: &str, options: &Options<'_>) -> Result<Loaded> {
    if !is_image(&section).map_err(|fault| fault.at(shown))? {
        return rootfs(section, shown.to_owned(), options);
    }
    let blobs = Blobs::tar(&spool::decompressed(section, shown, options)?, shown)?;
    let is_layout = blobs.find(oci::LAYOUT)?.is_some() && blobs.find(oci::INDEX)?.is_some();
    let find = if is_layout { oci::find } else { docker::find };
    image(find(&blobs, None, options.platform)?, options)
}

/// Whether a tar is an archive of an image: those have nothing in them but what belongs there, so the
/// first name of a tree's tar tells.
fn is_image(section: &Section) -> Result<bool, fault::Fault> {
    let decoder = Compression::detect(section)?.decoder(section.reader())?;
    let decoded = Meter::new(DECODED, decoded_bytes(section.len()));
    let mut stream = digest::Hashing::new(decoded.on(decoder), false, |_| {});
    let mut members = tar::Members::new(&mut stream);
    let mut is_legacy = false;
    while let tar::Next::Member(member) = members.next()? {
        let path = String::from_utf8_lossy(&member.path);
        let first = path.split(['/', '.']).next().unwrap_or_default();
        let belongs = matches!(&*path, "" | oci::INDEX | "repositories")
            || first == "blobs"
            || digest::Digest::from_hex(first).is_some();
        is_legacy |= legacy::is_description(&path);
        match &*path {
            oci::LAYOUT | docker::MANIFEST => return Ok(true),
            _ if belongs => {}
            _ => return Ok(false),
        }
    }
    Ok(is_legacy)
}

fn rootfs(section: Section, shown: String, options: &Options<'_>) -> Result<Loaded> {
    let layer = Layer { shown, section, digest: None, diff_id: None, has_whiteouts: false };
    Ok(Loaded { tree: merge(&[layer], options)?, config: None, config_json: None, image: None })
}

fn image(image: Image, options: &Options<'_>) -> Result<Loaded> {
    let mut tree = merge(&image.layers, options)?;
    if let Some(tar) = os_tar::find(&tree) {
        let shown = image.layers.last().map(|layer| format!("{}: /os.tar", layer.shown)).unwrap_or_default();
        tree = rootfs(os_tar::section(tar, &shown, options)?, shown, options)?.tree;
    }
    let Configuration { image: whole, config, json } = image.config;
    Ok(Loaded { tree, config: Some(whole), config_json: Some(json), image: Some(config) })
}

/// All layers as one tree. The layers are decoded beside each other and merged from below as they come.
fn merge(layers: &[Layer], options: &Options<'_>) -> Result<Tree> {
    let stop = AtomicBool::new(false);
    let done = AtomicU64::new(0);
    let total = layers.iter().map(|layer| layer.section.len()).sum();
    let seen = |bytes| {
        let done = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (options.progress)(Progress { done, total });
    };
    let stored = stored_len(layers);
    let memory = Memory::new(stored);
    let decoded = Meter::new(DECODED, decoded_bytes(stored));
    let decoders = Arc::new(Decoders::new(decoded_again(stored)));
    let (senders, receivers): (Vec<_>, Vec<_>) = layers.iter().map(|_| sync_channel(BATCHES)).unzip();
    // Owned by the workers alone: without them nobody sends, and nobody must wait.
    let jobs = Arc::new(Mutex::new((0..).zip(layers).zip(senders)));
    std::thread::scope(|scope| {
        for _ in 0..options.threads.get().min(layers.len()) {
            let (jobs, decoders) = (Arc::clone(&jobs), &decoders);
            let (stop, seen, memory, decoded) = (&stop, &seen, &memory, &decoded);
            scope.spawn(move || {
                let next = || {
                    let mut jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
                    let ((order, layer), sender) = jobs.next()?;
                    // One after the other: each waits for the layers below it only.
                    Some((layer, order, layer::open(layer, order, decoders), sender))
                };
                while let Some((layer, order, opened, sender)) = next() {
                    // Nobody receives any more after an error, and `stop` says so.
                    let mut emit = |changes| drop(sender.send(Ok(changes)));
                    let mut reading = Reading { stop, seen, memory, decoded, emit: &mut emit };
                    let read = opened.and_then(|opened| layer::read(layer, order, opened, &mut reading));
                    if let Err(error) = read {
                        drop(sender.send(Err(error)));
                    }
                }
            });
        }
        drop(jobs);
        let merged = merge_all(layers, receivers, &memory, Merge::new(&memory, lookups(stored)));
        stop.store(true, Ordering::Relaxed);
        // Who waits for memory reads on, and stops.
        memory.end();
        merged
    })
}

/// Bytes that are stored of `layers`, each counted once however often it is one of them.
fn stored_len(layers: &[Layer]) -> u64 {
    let distinct = layers.iter().map(|layer| (layer.digest, layer.diff_id, layer.section.len()));
    distinct.collect::<HashSet<_>>().iter().map(|(.., len)| len).sum()
}

/// The changes of a layer, batch by batch, or why there are no more.
type Batch = Result<Vec<Change>>;

fn merge_all(
    layers: &[Layer],
    receivers: Vec<Receiver<Batch>>,
    memory: &Memory,
    mut merge: Merge<'_>,
) -> Result<Tree> {
    for ((order, layer), receiver) in (0..).zip(layers).zip(receivers) {
        merge.begin_layer(order);
        while let Ok(batch) = receiver.recv() {
            let batch = batch?;
            let bytes = batch.iter().map(Change::memory).sum();
            let applied = batch.into_iter().try_for_each(|change| merge.apply(change));
            if let Err(fault) = applied {
                // If the layer is damaged too, that is the reason.
                let damage = receiver.into_iter().find_map(Batch::err);
                return Err(damage.unwrap_or_else(|| fault.at(&layer.shown)));
            }
            memory.merged(bytes);
        }
    }
    Ok(merge.finish())
}
