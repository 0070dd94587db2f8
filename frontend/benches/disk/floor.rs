//! What no exporter can beat: the bare work of reading a tree's content, and of copying or compressing it.
//!
//! Each regular file is opened and read once, hard links too, by as many threads as there are processors.
//! There is no metadata, no order and no file system: just the bytes.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use exporter::container::{DEFLATE_LEVEL, ZSTD_LEVEL};
use libdeflater::{CompressionLvl, Compressor};

use crate::{Result, this_program};

/// The first argument of the process that does the work.
pub(crate) const ROLE: &str = "floor";

/// As much is compressed at once as in a cluster of qcow2 and in a grain of VMDK.
const BLOCK: usize = 64 << 10;

/// What to do with the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Floor {
    /// Read it, so that the page cache has it.
    Read,
    /// Write it to one sparse file, each file at an offset of its own.
    Copy,
    /// Compress it with zstd and drop the result.
    Zstd,
    /// Compress it with deflate and drop the result.
    Deflate,
}

impl Floor {
    const ALL: [Self; 4] = [Self::Read, Self::Copy, Self::Zstd, Self::Deflate];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read alone",
            Self::Copy => "parallel copy",
            Self::Zstd => "zstd alone",
            Self::Deflate => "deflate alone",
        }
    }

    /// The process that does it; only [`Floor::Copy`] makes `output`.
    pub(crate) fn command(self, tree: &Path, output: &Path) -> Result<Command> {
        let mut command = this_program()?;
        command.args([ROLE, self.name()]).arg(tree).arg(output);
        Ok(command)
    }
}

/// That process.
pub(crate) fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(2);
    let mut next = || arguments.next().ok_or("usage: floor WHAT TREE OUTPUT");
    let name = next()?;
    let floor = Floor::ALL.into_iter().find(|floor| floor.name() == name).ok_or("no such floor")?;
    let (tree, output) = (PathBuf::from(next()?), PathBuf::from(next()?));
    let mut files = Vec::new();
    list(&tree, &mut files)?;
    let output = (floor == Floor::Copy).then(|| File::create(output)).transpose()?;
    let (taken, end, linked) = Default::default();
    let work = Work { floor, files, output, taken, end, linked };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..std::thread::available_parallelism()?.get())
            .map(|_| scope.spawn(|| work.work().map_err(|error| error.to_string())))
            .collect();
        workers.into_iter().try_for_each(|worker| Ok(worker.join().map_err(|_| "a worker panicked")??))
    })
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => list(&entry.path(), files)?,
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    Ok(())
}

struct Work {
    floor: Floor,
    files: Vec<PathBuf>,
    output: Option<File>,
    /// How many of the files are taken.
    taken: AtomicUsize,
    /// Where the next file goes in the output.
    end: AtomicU64,
    /// Inodes with several names that were met.
    linked: Mutex<HashSet<u64>>,
}

impl Work {
    fn work(&self) -> Result<()> {
        let mut sink = Sink::new(self.floor)?;
        let mut buffer = vec![0; 1 << 20];
        while let Some(path) = self.files.get(self.taken.fetch_add(1, Ordering::Relaxed)) {
            let mut file = File::open(path)?;
            let metadata = file.metadata()?;
            if metadata.nlink() > 1 && !self.is_first(metadata.ino()) {
                continue;
            }
            let mut offset = self.end.fetch_add(metadata.len().next_multiple_of(4096), Ordering::Relaxed);
            loop {
                let len = file.read(&mut buffer)?;
                if len == 0 {
                    break;
                }
                match &self.output {
                    Some(output) => output.write_all_at(&buffer[..len], offset)?,
                    None => sink.take(&buffer[..len])?,
                }
                offset += len as u64;
            }
        }
        sink.compress()
    }

    fn is_first(&self, inode: u64) -> bool {
        self.linked.lock().unwrap_or_else(PoisonError::into_inner).insert(inode)
    }
}

/// Compresses one thread's share, files end to end, block by block.
struct Sink {
    codec: Option<Codec>,
    block: Vec<u8>,
    packed: Vec<u8>,
}

enum Codec {
    Zstd(zstd::bulk::Compressor<'static>),
    Deflate(Compressor),
}

impl Sink {
    fn new(floor: Floor) -> Result<Self> {
        let codec = match floor {
            Floor::Read | Floor::Copy => None,
            Floor::Zstd => Some(Codec::Zstd(zstd::bulk::Compressor::new(ZSTD_LEVEL)?)),
            Floor::Deflate => {
                let level = CompressionLvl::new(DEFLATE_LEVEL).map_err(|_| "no such deflate level")?;
                Some(Codec::Deflate(Compressor::new(level)))
            }
        };
        Ok(Self { codec, block: Vec::with_capacity(BLOCK), packed: vec![0; 2 * BLOCK] })
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        while self.codec.is_some() && !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK {
                self.compress()?;
            }
        }
        Ok(())
    }

    fn compress(&mut self) -> Result<()> {
        match &mut self.codec {
            None => {}
            Some(Codec::Zstd(codec)) => {
                codec.compress_to_buffer(&self.block, &mut self.packed)?;
            }
            Some(Codec::Deflate(codec)) => {
                codec.deflate_compress(&self.block, &mut self.packed)?;
            }
        }
        self.block.clear();
        Ok(())
    }
}
