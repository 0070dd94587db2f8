//! A file that is hashed while it is written.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use super::place::Place;
use crate::error::Result;

/// A place whose bytes are hashed on the way to it; they have to come in order.
pub(super) struct Hashed<P> {
    place: P,
    seen: Mutex<Seen>,
}

struct Seen {
    len: u64,
    hasher: Sha256,
}

impl<P> Hashed<P> {
    pub(super) fn new(place: P) -> Self {
        Self { place, seen: Mutex::new(Seen { len: 0, hasher: Sha256::new() }) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The length, and the digest in hexadecimal.
    pub(super) fn digest(&self) -> (u64, String) {
        let seen = self.seen();
        (seen.len, format!("{:x}", seen.hasher.clone().finalize()))
    }
}

impl<P: Place> Hashed<P> {
    /// Write `bytes` behind what was written.
    pub(super) fn append(&self, bytes: &[u8]) -> Result<()> {
        let mut seen = self.seen();
        let end = seen.len;
        seen.take(bytes);
        self.place.write_at(bytes, end)
    }
}

impl<P: Place> Place for Hashed<P> {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut seen = self.seen();
        seen.pad(offset);
        seen.take(bytes);
        self.place.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.seen().pad(len);
        self.place.set_len(len)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.place.read_at(offset, out)
    }
}

impl Seen {
    fn take(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
    }

    /// Hash the zeroes that were left out up to `len`.
    fn pad(&mut self, len: u64) {
        const ZEROES: &[u8] = &[0; 4096];
        assert!(self.len <= len, "what is hashed is written in order");
        while self.len < len {
            let zeroes = (len - self.len).min(ZEROES.len() as u64);
            self.hasher.update(&ZEROES[..zeroes as usize]);
            self.len += zeroes;
        }
    }
}
