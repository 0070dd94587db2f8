//! Damage: to bytes, to numbers, to the order of structures, to texts.

use std::ops::Range;

use fastrand::Rng;

/// What no input grows beyond.
const LARGEST: usize = 8 << 20;
/// How often a structure is repeated at most.
const COPIES: usize = 1 << 17;
/// The longest thing that is repeated that often.
const REPEATED: usize = 2 << 20;

/// Numbers at which sums overflow, and their neighbours.
const EXTREMES: [u64; 18] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// One input's worth of damage.
pub(crate) struct Mutator<'a> {
    pub(crate) random: &'a mut Rng,
    pub(crate) words: &'a [&'a [u8]],
    pub(crate) grain: usize,
    /// Another whole input, to take parts of.
    pub(crate) other: &'a [u8],
}

impl Mutator<'_> {
    /// Mostly little of it, so that what is behind the first check is reached.
    pub(crate) fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..1 << self.random.u32(0..4) {
            self.once(bytes);
            bytes.truncate(LARGEST);
        }
    }

    fn once(&mut self, bytes: &mut Vec<u8>) {
        match self.random.u8(0..13) {
            0 => self.flip(bytes),
            1 => self.random_bytes(bytes),
            2..=4 => self.number(bytes),
            5 => self.near(bytes),
            6 => self.digits(bytes),
            7 => self.word(bytes),
            8 => self.repeat(bytes),
            9 => drop(bytes.drain(self.range(bytes.len()))),
            10 => self.shift(bytes),
            11 => bytes.truncate(self.at(bytes)),
            _ => self.splice(bytes),
        }
    }

    /// A place, rather where something is than in the zeros between.
    fn at(&mut self, bytes: &[u8]) -> usize {
        let any = |random: &mut Rng| random.usize(0..bytes.len().max(1));
        let full =
            |at: &usize| bytes.get(*at..).is_some_and(|rest| rest.iter().take(16).any(|&byte| byte != 0));
        (0..32).map(|_| any(self.random)).find(full).unwrap_or_else(|| any(self.random))
    }

    /// A part of so many bytes, half of the time one of whole structures.
    fn range(&mut self, len: usize) -> Range<usize> {
        let grain = if self.random.bool() { self.grain } else { 1 };
        let start = self.random.usize(0..len.max(1)) / grain * grain;
        let count = self.few(8);
        start.min(len)..start.saturating_add(count.saturating_mul(grain)).min(len)
    }

    /// From 1 on, rather few than many; less than two to the power of `bits`.
    fn few(&mut self, bits: u32) -> usize {
        let most = 1 << self.random.u32(0..bits);
        1 + self.random.usize(0..most)
    }

    fn flip(&mut self, bytes: &mut [u8]) {
        let (at, bit) = (self.at(bytes), self.random.u32(0..8));
        bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << bit);
    }

    fn random_bytes(&mut self, bytes: &mut [u8]) {
        let (at, len) = (self.at(bytes), self.random.usize(1..16));
        bytes.iter_mut().skip(at).take(len).for_each(|byte| *byte = self.random.u8(..));
    }

    /// A number of 1, 2, 4 or 8 bytes, on a place where such a number could be, becomes an extreme one.
    fn number(&mut self, bytes: &mut [u8]) {
        let number = self.random.choice(EXTREMES).unwrap_or_default();
        self.replace(bytes, |_| number);
    }

    /// The same becomes a little more or less.
    fn near(&mut self, bytes: &mut [u8]) {
        let by = self.random.u64(1..17);
        let by = if self.random.bool() { by } else { by.wrapping_neg() };
        self.replace(bytes, |number| number.wrapping_add(by));
    }

    fn replace(&mut self, bytes: &mut [u8], with: impl Fn(u64) -> u64) {
        let (width, is_big) = (1 << self.random.u32(0..4), self.random.bool());
        let at = self.at(bytes) / width * width;
        let Some(field) = bytes.get_mut(at..at + width) else { return };
        let mut number = [0; 8];
        number[..width].copy_from_slice(field);
        if is_big {
            number[..width].reverse();
        }
        number = with(u64::from_le_bytes(number)).to_le_bytes();
        if is_big {
            number[..width].reverse();
        }
        field.copy_from_slice(&number[..width]);
    }

    /// The digits at some place become those of another number.
    fn digits(&mut self, bytes: &mut Vec<u8>) {
        let from = self.at(bytes);
        let is_digit = |byte: &u8| byte.is_ascii_digit();
        let Some(start) = bytes.iter().skip(from).position(is_digit).map(|found| from + found) else {
            return;
        };
        let len = bytes[start..].iter().take_while(|byte| is_digit(byte)).count();
        let number = self.random.choice(EXTREMES).unwrap_or_default().to_string().into_bytes();
        let number = if self.random.bool() { [&b"-"[..], &number].concat() } else { number };
        // In a field of fixed width, as in a tar, what follows stays where it is.
        let number = match self.grain {
            1 => number,
            _ => number.into_iter().chain(std::iter::repeat(b'7')).take(len).collect(),
        };
        bytes.splice(start..start + len, number);
    }

    fn word(&mut self, bytes: &mut Vec<u8>) {
        let at = self.at(bytes);
        let Some(word) = self.random.choice(self.words) else { return };
        let end = if self.grain > 1 || self.random.bool() { (at + word.len()).min(bytes.len()) } else { at };
        bytes.splice(at.min(end)..end, word.iter().copied());
    }

    /// A part comes again, twice or very often.
    fn repeat(&mut self, bytes: &mut Vec<u8>) {
        let range = self.range(bytes.len());
        let most = (REPEATED / range.len().max(1)).clamp(1, COPIES);
        let copies = self.few(17).min(most);
        let part = bytes[range.clone()].repeat(copies);
        bytes.splice(range.end..range.end, part);
    }

    /// A part goes where another one is.
    fn shift(&mut self, bytes: &mut Vec<u8>) {
        let part = bytes[self.range(bytes.len())].to_vec();
        let at = self.range(bytes.len()).start;
        let end = (at + part.len()).min(bytes.len());
        bytes.splice(at..end, part);
    }

    /// A part of another input comes in.
    fn splice(&mut self, bytes: &mut Vec<u8>) {
        let part = &self.other[self.range(self.other.len())];
        let at = self.range(bytes.len()).start;
        let end = if self.random.bool() { at } else { (at + part.len()).min(bytes.len()) };
        bytes.splice(at..end, part.iter().copied());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_of_every_kind_and_size_does_no_harm_here() {
        for (number, whole) in (0..3000).zip([&b""[..], b"7", b"a=12\n", &[0; 2048]].iter().cycle()) {
            let mut bytes = whole.to_vec();
            let mut random = Rng::with_seed(number);
            let grain = if number % 2 == 0 { 1 } else { 512 };
            let words: &[&[u8]] = if number % 3 == 0 { &[] } else { &[b"word"] };
            Mutator { random: &mut random, words, grain, other: b"0123" }.mutate(&mut bytes);
            assert!(bytes.len() <= LARGEST);
        }
    }
}
