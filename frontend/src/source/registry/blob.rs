//! Layers and other files of an image, several at once, into files without a name.
//!
//! A layer is read twice, to lay the disk out and to write it, so it is kept as it comes, compressed.

use std::fs::File;
use std::io::{Error as IoError, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use exporter::engine::Progress;
use exporter::error::{Error, Kind, Result, show_size};
use http::{StatusCode, header};
use oci_spec::image::Descriptor;

use super::client::{Client, MANIFESTS};
use super::failure::{Failure, explain};
use crate::source::Access;

/// Downloads at the same time.
const AT_ONCE: usize = 4;
const BUFFER: usize = 256 << 10;

/// The files of `wanted`, in their order.
///
/// # Errors
/// Of the first of them that cannot be had.
pub(super) fn download(
    client: &Client<'_>,
    wanted: &[&Descriptor],
    access: &Access<'_>,
    spool: &Path,
) -> Result<Vec<File>> {
    let total = wanted.iter().fold(0, |total: u64, descriptor| total.saturating_add(descriptor.size()));
    let shared =
        Shared { client, access, spool, total, done: AtomicU64::new(0), failed: AtomicBool::new(false) };
    let jobs = Mutex::new(wanted.iter().enumerate());
    let results = Mutex::new(Vec::with_capacity(wanted.len()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(wanted.len()) {
            scope.spawn(|| {
                let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some((number, descriptor)) = next() {
                    let result = shared.download(descriptor);
                    if result.is_err() && shared.failed.swap(true, Ordering::Relaxed) {
                        // It was told to stop, or failed as another one did.
                        return;
                    }
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(failed) = results.iter().position(|(_, result)| result.is_err()) {
        return results.swap_remove(failed).1.map(|_| Vec::new());
    }
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

/// What all downloads have in common.
struct Shared<'a> {
    client: &'a Client<'a>,
    access: &'a Access<'a>,
    spool: &'a Path,
    total: u64,
    done: AtomicU64,
    /// One of them cannot be had, so nobody wants the others.
    failed: AtomicBool,
}

impl Shared<'_> {
    fn download(&self, wanted: &Descriptor) -> Result<File> {
        let place = self.client.place();
        let file = tempfile::tempfile_in(self.spool);
        let file = file.map_err(|error| cannot_keep(place, self.spool, error))?;
        let mut done = 0;
        self.client.insist(|| self.go_on(wanted, &file, &mut done))?;
        Ok(file)
    }

    /// Get what is still missing behind the first `done` bytes.
    fn go_on(&self, wanted: &Descriptor, file: &File, done: &mut u64) -> Result<(), Failure> {
        let kind = wanted.media_type().to_string();
        let is_manifest = MANIFESTS.contains(&&*kind);
        let folder = if is_manifest { "manifests" } else { "blobs" };
        let range = format!("bytes={done}-");
        let mut headers = Vec::new();
        headers.extend(is_manifest.then_some(("Accept", &*kind)));
        headers.extend((*done > 0).then_some(("Range", &*range)));
        let response = self.client.get(&format!("{folder}/{}", wanted.digest()), &headers)?;
        if response.status() != StatusCode::PARTIAL_CONTENT
            && response.status() != StatusCode::RANGE_NOT_SATISFIABLE
        {
            // All of it again: not every store knows ranges.
            self.done.fetch_sub(*done, Ordering::Relaxed);
            *done = 0;
        }
        let len = response.headers().get(header::CONTENT_LENGTH);
        let len = len.and_then(|len| len.to_str().ok()?.parse::<u64>().ok());
        let is_short = response.status() == StatusCode::RANGE_NOT_SATISFIABLE;
        if is_short || len.is_some_and(|len| done.saturating_add(len) != wanted.size()) {
            let has = if is_short { *done } else { done.saturating_add(len.unwrap_or(0)) };
            return Err(self.wrong_size(wanted, has));
        }
        self.copy(response.into_body().into_reader(), wanted, file, done)
    }

    fn copy(
        &self,
        mut reader: impl Read,
        wanted: &Descriptor,
        file: &File,
        done: &mut u64,
    ) -> Result<(), Failure> {
        let mut buffer = vec![0; BUFFER];
        loop {
            if self.failed.load(Ordering::Relaxed) {
                return Err(Failure::Final(Error::new(Kind::Interrupted, "", "another download failed")));
            }
            let len = match reader.read(&mut buffer) {
                Ok(0) if *done == wanted.size() => return Ok(()),
                Ok(0) => return Err(self.broken(wanted, *done, "it ended")),
                Ok(len) => len,
                Err(error) => return Err(self.broken(wanted, *done, &explain(&error.into()))),
            };
            if *done + len as u64 > wanted.size() {
                return Err(self.wrong_size(wanted, *done + len as u64));
            }
            file.write_all_at(&buffer[..len], *done)
                .map_err(|error| Failure::Final(cannot_keep(self.client.place(), self.spool, error)))?;
            *done += len as u64;
            let all = self.done.fetch_add(len as u64, Ordering::Relaxed) + len as u64;
            (self.access.progress)(Progress { done: all.min(self.total), total: self.total });
        }
    }

    fn broken(&self, wanted: &Descriptor, done: u64, reason: &str) -> Failure {
        let (done, size) = (show_size(done), show_size(wanted.size()));
        Failure::Passing(format!("the connection broke after {done} of {size}: {reason}"))
    }

    fn wrong_size(&self, wanted: &Descriptor, has: u64) -> Failure {
        let (digest, size) = (wanted.digest(), wanted.size());
        let message = format!("{digest} has {has} bytes in the registry, {size} are expected");
        Failure::Final(Error::new(Kind::Corrupt, self.client.place(), message))
    }
}

/// A file that has these bytes and no name.
pub(super) fn keep(bytes: &[u8], spool: &Path) -> Result<File, IoError> {
    let file = tempfile::tempfile_in(spool)?;
    file.write_all_at(bytes, 0)?;
    Ok(file)
}

/// There is no room beside the disk.
pub(super) fn cannot_keep(place: &str, spool: &Path, error: IoError) -> Error {
    let spool = spool.display();
    let message = format!("cannot keep what is downloaded in a temporary file in {spool}");
    Error::io(place, message, error)
        .with_hint(format!("free some space where {spool} lies, or write elsewhere"))
}
