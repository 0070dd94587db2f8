//! What a kernel says of itself, found while its bytes pass by: a kernel is not held in memory.

use std::io::{Read, Result};
use std::ops::Range;

use flate2::bufread::GzDecoder;

use super::{Config, HEAD, elf, release};
use crate::limits;

/// What a kernel begins its messages with (`linux_banner` of init/version-timestamp.c).
const BANNER: &[u8] = b"Linux version ";
/// What follows of it: more than any release has.
const BANNER_LEN: usize = 128;
/// What the configuration lies behind, packed by gzip (kernel/configs.c).
const CONFIG: &[u8] = b"IKCFG_ST";
/// Bytes of it: those of distributions are of 70 KiB.
const CONFIG_LEN: usize = 1 << 20;
/// Bytes of notes that are read: kernels have some hundreds.
const NOTES_LEN: u64 = 64 << 10;
/// `XEN_ELFNOTE_PHYS32_ENTRY` (include/xen/interface/elfnote.h), of the name `Xen`.
const PHYS32_ENTRY: u32 = 18;
const XEN: &[u8] = b"Xen\0";

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    /// Bytes in all.
    pub(super) len: u64,
    /// The first of them.
    pub(super) head: Vec<u8>,
    pub(super) release: Option<String>,
    pub(super) pvh: Option<u64>,
    pub(super) config: Config,
}

/// Read a kernel to its end.
pub(super) fn scan(mut reader: impl Read) -> Result<Scan> {
    let mut head = Vec::new();
    reader.by_ref().take(HEAD).read_to_end(&mut head)?;
    let (mut banner, mut config) = (Behind::new(BANNER, BANNER_LEN), Behind::new(CONFIG, CONFIG_LEN));
    let mut notes: Vec<_> = elf::notes(&head).into_iter().map(Within::new).collect();
    let mut len = 0;
    let mut pass = |chunk: &[u8]| {
        banner.pass(chunk);
        config.pass(chunk);
        notes.iter_mut().for_each(|notes| notes.pass(len, chunk));
        len += chunk.len() as u64;
    };
    pass(&head);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            read => pass(buffer.get(..read).unwrap_or_default()),
        }
    }
    Ok(Scan {
        len,
        release: banner.found.as_deref().and_then(release),
        pvh: notes.iter().find_map(|notes| entry(&notes.bytes)),
        config: config.found.as_deref().and_then(unpacked).map_or_else(Config::unknown, Config::parse),
        head,
    })
}

/// The address of four or eight bytes.
fn entry(notes: &[u8]) -> Option<u64> {
    let address = elf::note(notes, XEN, PHYS32_ENTRY)?;
    let number = || address.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
    matches!(address.len(), 4 | 8).then(number)
}

fn unpacked(packed: &[u8]) -> Option<String> {
    let mut text = String::new();
    GzDecoder::new(packed).take(limits::TEXT).read_to_string(&mut text).ok()?;
    Some(text)
}

/// What lies behind a sign, wherever the pieces that pass by part.
struct Behind {
    sign: &'static [u8],
    limit: usize,
    /// The end of what has passed, shorter than the sign.
    tail: Vec<u8>,
    found: Option<Vec<u8>>,
}

impl Behind {
    fn new(sign: &'static [u8], limit: usize) -> Self {
        Self { sign, limit, tail: Vec::new(), found: None }
    }

    fn pass(&mut self, chunk: &[u8]) {
        if let Some(found) = &mut self.found {
            let room = self.limit.saturating_sub(found.len());
            found.extend(chunk.iter().take(room));
            return;
        }
        // The sign may have begun in the piece before.
        let overlap = chunk.len().min(self.sign.len() - 1);
        let seam = [&self.tail, chunk.get(..overlap).unwrap_or_default()].concat();
        let behind = memchr::memmem::find(&seam, self.sign)
            .map(|at| at + self.sign.len() - self.tail.len())
            .or_else(|| Some(memchr::memmem::find(chunk, self.sign)? + self.sign.len()));
        match behind.and_then(|at| chunk.get(at..)) {
            Some(rest) => self.found = Some(rest.iter().take(self.limit).copied().collect()),
            None => {
                self.tail.extend(chunk.get(chunk.len() - overlap..).unwrap_or_default());
                let surplus = self.tail.len().saturating_sub(self.sign.len() - 1);
                self.tail.drain(..surplus);
            }
        }
    }
}

/// What lies in a range.
struct Within {
    range: Range<u64>,
    bytes: Vec<u8>,
}

impl Within {
    fn new(range: Range<u64>) -> Self {
        let end = range.end.min(range.start.saturating_add(NOTES_LEN));
        Self { range: range.start..end, bytes: Vec::new() }
    }

    /// The bytes that lie from `at` on pass by.
    fn pass(&mut self, at: u64, chunk: &[u8]) {
        let end = at + chunk.len() as u64;
        let (start, stop) = (self.range.start.max(at), self.range.end.min(end));
        if start < stop {
            let (from, to) = ((start - at) as usize, (stop - at) as usize);
            self.bytes.extend(chunk.get(from..to).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_found_wherever_pieces_part() {
        let text = b"xxLinux Linux version 6.1.0 (gcc)";
        for piece in 1..=text.len() {
            let mut banner = Behind::new(BANNER, 5);
            text.chunks(piece).for_each(|chunk| banner.pass(chunk));
            assert_eq!(banner.found.as_deref(), Some(&b"6.1.0"[..]), "{piece}");
        }
        let mut none = Behind::new(BANNER, 5);
        b"Linux versio n".chunks(3).for_each(|chunk| none.pass(chunk));
        assert_eq!(none.found, None);
    }

    #[test]
    fn a_range_is_found_wherever_pieces_part() {
        for piece in 1..=10 {
            let mut within = Within::new(3..7);
            let mut at = 0;
            for chunk in b"0123456789".chunks(piece) {
                within.pass(at, chunk);
                at += chunk.len() as u64;
            }
            assert_eq!(within.bytes, b"3456", "{piece}");
        }
        assert_eq!(Within::new(u64::MAX - 1..u64::MAX).range, u64::MAX - 1..u64::MAX);
    }
}
