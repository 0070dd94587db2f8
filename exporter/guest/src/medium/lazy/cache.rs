//! What was read of the root last, in pieces: a file system asks for little at a time, and often for the same.

use std::collections::VecDeque;
use std::io::Read;
use std::ops::Range;

/// Bytes of a piece; the last one is shorter.
const PIECE: u64 = 128 << 10;
/// How many are kept: 16 MiB.
const KEPT: usize = 128;

/// The file on the server, through what is kept of it.
pub(super) struct Cache<F> {
    fetch: F,
    /// Of the file.
    len: u64,
    /// By their numbers, the one that was used last at the end.
    pieces: VecDeque<(u64, Vec<u8>)>,
}

/// Hands the bytes of a range to the other function, from their start.
pub(super) trait Fetch {
    /// A reader of exactly these bytes.
    ///
    /// # Errors
    /// If they cannot be had.
    fn fetch(&mut self, range: Range<u64>) -> Result<Box<dyn Read + '_>, String>;
}

impl<F: Fetch> Cache<F> {
    pub(super) fn new(fetch: F, len: u64) -> Self {
        Self { fetch, len, pieces: VecDeque::with_capacity(KEPT) }
    }

    /// The bytes from `at` on. Behind the end of the file there are zeroes, as far as its last sector goes.
    pub(super) fn read(&mut self, at: u64, to: &mut [u8]) -> Result<(), String> {
        let end = at.saturating_add(to.len() as u64).min(self.len);
        to.fill(0);
        let mut here = at;
        while here < end {
            let number = here / PIECE;
            self.require(number, end)?;
            let (_, piece) = self.pieces.back().ok_or("nothing was read")?;
            let from = (here - number * PIECE) as usize;
            let found = piece.get(from..).unwrap_or_default();
            let wanted = to.get_mut((here - at) as usize..(end - at) as usize).unwrap_or_default();
            let len = found.len().min(wanted.len());
            if len == 0 {
                return Err("a piece of the root is too short".to_owned());
            }
            wanted[..len].copy_from_slice(&found[..len]);
            here += len as u64;
        }
        Ok(())
    }

    /// Make a piece the one that was used last. Those behind it that are wanted up to `end` come with it, in one request.
    fn require(&mut self, number: u64, end: u64) -> Result<(), String> {
        if let Some(place) = self.place(number) {
            let piece = self.pieces.remove(place);
            self.pieces.extend(piece);
            return Ok(());
        }
        let most = number + (KEPT as u64) / 2;
        let behind =
            (number + 1..end.div_ceil(PIECE).min(most)).take_while(|next| self.place(*next).is_none());
        let last = behind.last().unwrap_or(number);
        let range = number * PIECE..((last + 1) * PIECE).min(self.len);
        let mut reader = self.fetch.fetch(range.clone())?;
        let mut come = Vec::new();
        for next in number..=last {
            let len = (range.end - next * PIECE).min(PIECE);
            let mut bytes = vec![0; len as usize];
            reader.read_exact(&mut bytes).map_err(|error| error.to_string())?;
            come.push((next, bytes));
        }
        drop(reader);
        // In the order in which they are used.
        come.rotate_left(1);
        for piece in come {
            if self.pieces.len() == KEPT {
                self.pieces.pop_front();
            }
            self.pieces.push_back(piece);
        }
        Ok(())
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.pieces.iter().position(|(known, _)| *known == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that tell where they are, and what was asked for.
    struct Content(Vec<u8>, Vec<(u64, u64)>);

    impl Fetch for Content {
        fn fetch(&mut self, range: Range<u64>) -> Result<Box<dyn Read + '_>, String> {
            self.1.push((range.start, range.end));
            Ok(Box::new(&self.0[range.start as usize..range.end as usize]))
        }
    }

    fn content(len: u64) -> Cache<Content> {
        let bytes = (0..len).map(|at| (at / 251 + at % 251) as u8).collect();
        Cache::new(Content(bytes, Vec::new()), len)
    }

    fn read(cache: &mut Cache<Content>, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![7; len];
        cache.read(at, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_was_read_is_not_asked_for_again() {
        let mut cache = content(3 * PIECE + 100);
        let all = cache.fetch.0.clone();
        assert_eq!(read(&mut cache, PIECE - 4, 8), all[PIECE as usize - 4..PIECE as usize + 4]);
        assert_eq!(cache.fetch.1, [(0, 2 * PIECE)], "both pieces in one request");
        assert_eq!(read(&mut cache, 10, 4096), all[10..4106]);
        assert_eq!(cache.fetch.1.len(), 1);
        assert_eq!(read(&mut cache, 0, all.len()), all);
        assert_eq!(cache.fetch.1[1..], [(2 * PIECE, 3 * PIECE + 100)]);
    }

    #[test]
    fn behind_the_end_there_are_zeroes() {
        let mut cache = content(1000);
        let bytes = read(&mut cache, 512, 512);
        assert_eq!(bytes[..488], cache.fetch.0[512..]);
        assert_eq!(bytes[488..], [0; 24]);
        assert_eq!(read(&mut cache, 4096, 4), [0; 4]);
    }

    #[test]
    fn memory_does_not_grow_with_the_root() {
        let pieces = KEPT as u64 * 3;
        let mut cache = content(pieces * PIECE);
        let all = cache.fetch.0.clone();
        assert_eq!(read(&mut cache, 0, all.len()), all);
        assert_eq!(cache.pieces.len(), KEPT);
        let longest = cache.fetch.1.iter().map(|(start, end)| end - start).max();
        assert_eq!(longest, Some(KEPT as u64 / 2 * PIECE));
    }

    #[test]
    fn a_source_that_is_short_is_an_error() {
        struct Short;
        impl Fetch for Short {
            fn fetch(&mut self, _: Range<u64>) -> Result<Box<dyn Read + '_>, String> {
                Ok(Box::new(&b"abc"[..]))
            }
        }
        let mut cache = Cache::new(Short, 1000);
        assert!(cache.read(0, &mut [0; 512]).is_err());
    }
}
