//! The one engine that turns extents into bytes: in parallel, in bounded memory, in a fixed order.
//!
//! ```text
//!            ┌ worker: fill · encode ┐
//! chunks ───▶├ worker: fill · encode ┤──▶ commit in order ──▶ files
//!            └ worker: fill · encode ┘    (one at a time)
//! ```
//!
//! The image is cut into chunks of [`CHUNK`] bytes. Any worker fills and encodes any chunk; commits come
//! strictly in the order of offsets, so what a sink decides there (where a cluster goes) is the same at
//! every number of threads. The worker whose chunk is next commits and writes, while the others go on:
//! Linux lets one writer at a time into a file, and two would only wait for each other. Chunks that no
//! extent covers, and chunks that turn out to be zero, never reach a sink.
//!
//! Each content byte is read once, whatever the number of sinks, into a buffer that is reused; blocks that
//! the only sink shares with their file are not read at all. Chunks that read one compressed archive are
//! filled one after the other, in order, since it can only be decoded forward; meanwhile the other workers
//! encode.
//!
//! A [`View`] is for who reads an image here and there instead, and writes nothing.

mod chunks;
mod fill;
mod sink;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use sink::is_zero;
pub use sink::{Chunk, Piece, Sink, Stored};
pub use view::View;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use chunks::{Chunks, Job};
use fill::{Filler, Rendered};

use crate::error::{Error, Kind, Result};
use crate::extent::Extents;
use crate::tree::Turn;

/// Bytes of a chunk: a multiple of the clusters, grains and blocks of every container.
pub const CHUNK: usize = 1 << 20;

/// Chunks in flight per worker: enough that one slow chunk does not stop the others.
const WINDOW: u64 = 4;

/// An image: its size, and where its bytes come from.
#[derive(Clone, Copy, Debug)]
pub struct RawImage<'a> {
    /// Size in bytes.
    pub size: u64,
    /// All inside the size; what no extent covers is zero.
    pub extents: &'a dyn Extents,
}

/// How far the engine is, in bytes of extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are committed.
    pub done: u64,
    /// Bytes there are.
    pub total: u64,
}

/// How to run: nothing here changes a byte of the output.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// Workers.
    pub threads: NonZeroUsize,
    /// Called from the workers when a chunk is committed, in order and never twice at once.
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// Set, from a signal's handler or another thread, it ends the run with [`Kind::Interrupted`].
    pub stop: &'a AtomicBool,
    /// The folder for large temporary files.
    pub spool: &'a Path,
}

impl Run<'static> {
    /// A run that tells nobody how far it is, ends by itself, and has its temporary files in `/tmp`.
    pub fn silent(threads: NonZeroUsize) -> Self {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Self { threads, progress: &|_| {}, stop: &NEVER, spool: Path::new("/tmp") }
    }
}

/// Give the bytes of `image` to every sink. The sinks are not finished.
///
/// # Errors
/// The error at the lowest offset that was met; the other workers stop.
pub fn run(image: RawImage<'_>, sinks: &[&dyn Sink], run: &Run<'_>) -> Result<()> {
    let threads = run.threads.get();
    let engine = Engine {
        sinks,
        progress: run.progress,
        stop: run.stop,
        done: AtomicU64::new(0),
        total: image.extents.iter().map(|extent| extent.len).sum(),
        window: WINDOW * threads as u64,
        queue: Mutex::new(Queue::new(image)),
        moved: Condvar::new(),
        large: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| engine.work());
        }
        engine.work();
    });
    let queue = engine.queue.into_inner().unwrap_or_else(PoisonError::into_inner);
    queue.failed.map_or(Ok(()), |(_, error)| Err(error))
}

struct Engine<'a> {
    sinks: &'a [&'a dyn Sink],
    progress: &'a (dyn Fn(Progress) + Sync),
    stop: &'a AtomicBool,
    done: AtomicU64,
    total: u64,
    window: u64,
    queue: Mutex<Queue<'a>>,
    /// A chunk was committed, or the run failed.
    moved: Condvar,
    /// The last rendered extent that is larger than a chunk.
    large: Mutex<Rendered>,
}

/// What the workers share. Tickets number the chunks in the order of their offsets.
struct Queue<'a> {
    chunks: Chunks<'a>,
    /// The ticket of the next chunk to be taken.
    taken: u64,
    /// The ticket of the next chunk to be committed.
    committed: u64,
    /// Whether a worker is committing that one.
    committing: bool,
    /// Encoded chunks that wait for their turn.
    encoded: BTreeMap<u64, Work>,
    spare: Vec<Work>,
    /// The lowest ticket that failed, and how.
    failed: Option<(u64, Error)>,
}

impl<'a> Queue<'a> {
    fn new(image: RawImage<'a>) -> Self {
        Self {
            chunks: Chunks::new(image),
            taken: 0,
            committed: 0,
            committing: false,
            encoded: BTreeMap::new(),
            spare: Vec::new(),
            failed: None,
        }
    }
}

/// One chunk on its way, and its buffers.
struct Work {
    offset: u64,
    len: usize,
    /// Bytes of it that extents cover.
    covered: u64,
    is_zero: bool,
    /// [`CHUNK`] long, zero behind `len`.
    bytes: Vec<u8>,
    /// One for each sink.
    stored: Vec<Stored>,
}

/// Lets the other workers end when one panics, or they would wait for its chunk for ever.
struct StopOnPanic<'e, 'a>(&'e Engine<'a>);

impl Drop for StopOnPanic<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(0, Error::new(Kind::Io, "", "a worker panicked"));
        }
    }
}

impl<'a> Engine<'a> {
    fn work(&self) {
        let _stop = StopOnPanic(self);
        // For other sinks the bytes have to be read anyway.
        let sharer = if let [only] = self.sinks { Some(*only) } else { None };
        let mut filler = Filler::new(sharer, &self.large);
        while let Some((ticket, job, turns, mut work)) = self.take() {
            if self.stop.load(Ordering::Relaxed) {
                return self.fail(ticket, Error::new(Kind::Interrupted, "", "interrupted"));
            }
            match self.prepare(&job, turns, &mut filler, &mut work) {
                Ok(()) => {
                    self.queue().encoded.insert(ticket, work);
                    self.drain();
                }
                Err(error) => self.fail(ticket, error),
            }
        }
    }

    /// The next chunk, when there is room for one more in flight; `None` when all are taken.
    fn take(&self) -> Option<(u64, Job, Vec<Turn>, Work)> {
        let is_full =
            |queue: &mut Queue<'_>| queue.failed.is_none() && queue.taken - queue.committed >= self.window;
        let mut queue = self.moved.wait_while(self.queue(), is_full).unwrap_or_else(PoisonError::into_inner);
        if queue.failed.is_some() {
            return None;
        }
        let job = queue.chunks.next()?;
        // Under the lock: the rows then have the order of the tickets.
        let turns = job.turns();
        let ticket = queue.taken;
        queue.taken += 1;
        let work = queue.spare.pop().unwrap_or_else(|| self.new_work());
        Some((ticket, job, turns, work))
    }

    fn new_work(&self) -> Work {
        let stored = self.sinks.iter().map(|_| Stored::default()).collect();
        Work { offset: 0, len: 0, covered: 0, is_zero: true, bytes: vec![0; CHUNK], stored }
    }

    fn prepare(&self, job: &Job, turns: Vec<Turn>, filler: &mut Filler, work: &mut Work) -> Result<()> {
        (work.offset, work.len, work.covered) = (job.offset, job.len, job.covered());
        turns.iter().for_each(Turn::wait);
        filler.fill(job.offset, &mut work.bytes[..job.len], &job.extents)?;
        drop(turns);
        work.bytes[job.len..].fill(0);
        work.is_zero = sink::is_zero(&work.bytes);
        if work.is_zero {
            return Ok(());
        }
        let chunk = Chunk::new(work.offset, work.len, &work.bytes);
        for (sink, stored) in self.sinks.iter().zip(&mut work.stored) {
            stored.clear();
            sink.encode(&chunk, stored)?;
        }
        Ok(())
    }

    /// Commit what has its turn, until the next chunk is not there yet or another worker
    /// commits it.
    fn drain(&self) {
        while let Some((ticket, mut work)) = self.start_commit() {
            if let Err(error) = self.commit(&mut work) {
                return self.fail(ticket, error);
            }
            self.end_commit(work);
        }
    }

    fn start_commit(&self) -> Option<(u64, Work)> {
        let mut queue = self.queue();
        if queue.committing || queue.failed.is_some() {
            return None;
        }
        let ticket = queue.committed;
        let work = queue.encoded.remove(&ticket)?;
        queue.committing = true;
        Some((ticket, work))
    }

    fn commit(&self, work: &mut Work) -> Result<()> {
        if !work.is_zero {
            let chunk = Chunk::new(work.offset, work.len, &work.bytes);
            let mut sinks = self.sinks.iter().zip(&mut work.stored);
            sinks.try_for_each(|(sink, stored)| sink.commit(&chunk, stored))?;
        }
        let done = self.done.fetch_add(work.covered, Ordering::Relaxed) + work.covered;
        (self.progress)(Progress { done, total: self.total });
        Ok(())
    }

    fn end_commit(&self, work: Work) {
        let mut queue = self.queue();
        queue.spare.push(work);
        queue.committing = false;
        queue.committed += 1;
        self.moved.notify_all();
    }

    fn fail(&self, ticket: u64, error: Error) {
        let mut queue = self.queue();
        if queue.failed.as_ref().is_none_or(|(lowest, _)| ticket < *lowest) {
            queue.failed = Some((ticket, error));
        }
        self.moved.notify_all();
    }

    fn queue(&self) -> MutexGuard<'_, Queue<'a>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
