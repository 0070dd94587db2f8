//! LZMA as it is in GRUB's core image for a BIOS, for one purpose: to have another end of what was packed.
//!
//! ```text
//! stream:  symbols up to a place, as they are │ from there on: each byte as a literal
//! ```
//!
//! A decoder at that place knows all that an encoder there would: the probabilities, the range, and by what it has read and what of it is
//! still open (`code`) also what the encoder had written (`low`). So one goes on as the other.
//!
//! The stream has neither header nor end mark, its properties are `lc=3 lp=0 pb=2` (GRUB, `util/mkimage.c`).
//! Source: Igor Pavlov's specification of LZMA (`lzma-specification.txt`, LZMA SDK), whose names are taken.

#![expect(
    clippy::indexing_slicing,
    reason = "states, positions and slots are smaller than their tables, and what is copied lies behind"
)]

/// A probability of one half, of 11 bits.
const HALF: u16 = 1 << 10;
const PROBABILITY_BITS: u32 = 11;
/// How fast a probability follows.
const MOVE_BITS: u32 = 5;
/// Below it a range gets a byte more.
const TOP: u32 = 1 << 24;

const STATES: usize = 12;
/// From this one on, the symbol before was no literal.
const AFTER_MATCH: usize = 7;
/// Positions modulo `1 << pb`.
const POSITIONS: usize = 4;
/// Literals by the highest `lc` bits of the byte before.
const LITERALS: usize = 0x300 << 3;
const MIN_MATCH: usize = 2;

/// Who decides a bit: the stream, or what is to be written to one.
trait Coder {
    /// The next bit, with the `probability` that it is 0; `None`: the stream has ended. Who writes is told the bit.
    fn bit(&mut self, probability: &mut u16, bit: bool) -> Option<bool>;
}

/// What is known at a place of a stream.
struct Model {
    state: usize,
    reps: [usize; 4],
    is_match: [[u16; POSITIONS]; STATES],
    is_rep: [u16; STATES],
    is_rep_other: [[u16; STATES]; 3],
    is_rep_long: [[u16; POSITIONS]; STATES],
    literals: Vec<u16>,
    matches: Lengths,
    rep_matches: Lengths,
    slots: [[u16; 64]; 4],
    distances: [[u16; 32]; 10],
    align: [u16; 16],
}

/// The lengths of matches.
struct Lengths {
    is_longer: [u16; 2],
    short: [[u16; 8]; POSITIONS],
    middle: [[u16; 8]; POSITIONS],
    long: [u16; 256],
}

impl Lengths {
    const fn new() -> Self {
        let (short, middle) = ([[HALF; 8]; POSITIONS], [[HALF; 8]; POSITIONS]);
        Self { is_longer: [HALF; 2], short, middle, long: [HALF; 256] }
    }

    fn read(&mut self, decoder: &mut Decoder<'_>, position: usize) -> Option<usize> {
        let [middle, long] = &mut self.is_longer;
        let len = if !decoder.read(middle)? {
            decoder.tree(&mut self.short[position])?
        } else if !decoder.read(long)? {
            8 + decoder.tree(&mut self.middle[position])?
        } else {
            16 + decoder.tree(&mut self.long)?
        };
        Some(len + MIN_MATCH)
    }
}

impl Model {
    fn new() -> Self {
        Self {
            state: 0,
            reps: [0; 4],
            is_match: [[HALF; POSITIONS]; STATES],
            is_rep: [HALF; STATES],
            is_rep_other: [[HALF; STATES]; 3],
            is_rep_long: [[HALF; POSITIONS]; STATES],
            literals: vec![HALF; LITERALS],
            matches: Lengths::new(),
            rep_matches: Lengths::new(),
            slots: [[HALF; 64]; 4],
            distances: [[HALF; 32]; 10],
            align: [HALF; 16],
        }
    }

    /// Read the next symbol: one byte or several, behind those that are there.
    fn symbol(&mut self, decoder: &mut Decoder<'_>, text: &mut Vec<u8>) -> Option<()> {
        let position = text.len() % POSITIONS;
        if !decoder.read(&mut self.is_match[self.state][position])? {
            let byte = self.literal(decoder, text, 0)?;
            text.push(byte);
            return Some(());
        }
        let len = match decoder.read(&mut self.is_rep[self.state])? {
            false => self.new_match(decoder, position)?,
            true => self.rep_match(decoder, position)?,
        };
        let from = text.len().checked_sub(self.reps[0] + 1)?;
        // What is copied may be what this very symbol has written.
        (from..from + len).for_each(|at| text.push(text[at]));
        Some(())
    }

    fn new_match(&mut self, decoder: &mut Decoder<'_>, position: usize) -> Option<usize> {
        let len = self.matches.read(decoder, position)?;
        let distance = self.distance(decoder, len)?;
        self.reps.rotate_right(1);
        self.reps[0] = distance;
        self.state = if self.state < AFTER_MATCH { 7 } else { 10 };
        Some(len)
    }

    /// One that lies as far back as one of the last four.
    fn rep_match(&mut self, decoder: &mut Decoder<'_>, position: usize) -> Option<usize> {
        let [first, second, third] = &mut self.is_rep_other;
        let state = self.state;
        let rep = if !decoder.read(&mut first[state])? {
            if !decoder.read(&mut self.is_rep_long[state][position])? {
                self.state = if state < AFTER_MATCH { 9 } else { 11 };
                return Some(1);
            }
            0
        } else if !decoder.read(&mut second[state])? {
            1
        } else {
            2 + usize::from(decoder.read(&mut third[state])?)
        };
        self.reps[..=rep].rotate_right(1);
        self.state = if state < AFTER_MATCH { 8 } else { 11 };
        self.rep_matches.read(decoder, position)
    }

    fn distance(&mut self, decoder: &mut Decoder<'_>, len: usize) -> Option<usize> {
        let slot = decoder.tree(&mut self.slots[(len - MIN_MATCH).min(3)])?;
        if slot < 4 {
            return Some(slot);
        }
        let bits = slot / 2 - 1;
        let base = (2 | slot % 2) << bits;
        Some(if slot < 14 {
            base + decoder.reverse_tree(&mut self.distances[slot - 4], bits)?
        } else {
            let high = decoder.direct(bits - 4)?;
            base + (high << 4) + decoder.reverse_tree(&mut self.align, 4)?
        })
    }

    /// A byte by itself behind `text`; which one, `byte` says to who writes.
    fn literal(&mut self, coder: &mut impl Coder, text: &[u8], byte: u8) -> Option<u8> {
        let before = text.last().map_or(0, |byte| usize::from(byte >> 5));
        let literals = &mut self.literals[0x300 * before..][..0x300];
        let expected = match self.state < AFTER_MATCH {
            true => None,
            false => Some(*text.get(text.len().checked_sub(self.reps[0] + 1)?)?),
        };
        let mut is_expected = expected.is_some();
        let mut symbol = 1_usize;
        for at in (0..8).rev() {
            let bit_of = |byte: u8| byte >> at & 1 != 0;
            let guess = bit_of(expected.unwrap_or_default());
            let row = if is_expected { (1 + usize::from(guess)) << 8 } else { 0 };
            let bit = coder.bit(&mut literals[row + symbol], bit_of(byte))?;
            symbol = symbol << 1 | usize::from(bit);
            is_expected &= bit == guess;
        }
        self.state = match self.state {
            0..4 => 0,
            4..10 => self.state - 3,
            _ => self.state - 6,
        };
        Some(symbol as u8)
    }
}

/// A stream that is read.
struct Decoder<'a> {
    stream: &'a [u8],
    /// How many of its bytes were read.
    read: usize,
    range: u32,
    code: u32,
}

impl<'a> Decoder<'a> {
    fn new(stream: &'a [u8]) -> Option<Self> {
        let (head, _) = stream.split_first_chunk::<5>()?;
        let [0, code @ ..] = *head else { return None };
        Some(Self { stream, read: head.len(), range: u32::MAX, code: u32::from_be_bytes(code) })
    }

    fn read(&mut self, probability: &mut u16) -> Option<bool> {
        self.bit(probability, false)
    }

    fn normalize(&mut self) -> Option<()> {
        if self.range < TOP {
            self.code = self.code << 8 | u32::from(*self.stream.get(self.read)?);
            self.range <<= 8;
            self.read += 1;
        }
        Some(())
    }

    /// As many bits as the tree has levels, the highest first.
    fn tree(&mut self, probabilities: &mut [u16]) -> Option<usize> {
        let mut node = 1;
        while node < probabilities.len() {
            node = node << 1 | usize::from(self.read(&mut probabilities[node])?);
        }
        Some(node - probabilities.len())
    }

    /// So many bits, the lowest first.
    fn reverse_tree(&mut self, probabilities: &mut [u16], bits: usize) -> Option<usize> {
        let (mut node, mut number) = (1, 0);
        for at in 0..bits {
            let bit = usize::from(self.read(probabilities.get_mut(node)?)?);
            node = node << 1 | bit;
            number |= bit << at;
        }
        Some(number)
    }

    /// So many bits of which nothing is known.
    fn direct(&mut self, bits: usize) -> Option<usize> {
        let mut number = 0;
        for _ in 0..bits {
            self.range >>= 1;
            let bit = self.code >= self.range;
            if bit {
                self.code -= self.range;
            }
            number = number << 1 | usize::from(bit);
            self.normalize()?;
        }
        Some(number)
    }
}

impl Coder for Decoder<'_> {
    fn bit(&mut self, probability: &mut u16, _: bool) -> Option<bool> {
        let bound = bound(self.range, *probability);
        let bit = self.code >= bound;
        if bit {
            (self.code, self.range) = (self.code - bound, self.range - bound);
        } else {
            self.range = bound;
        }
        follow(probability, bit);
        self.normalize()?;
        Some(bit)
    }
}

/// A stream that is written.
struct Encoder {
    stream: Vec<u8>,
    low: u32,
    range: u32,
}

impl Encoder {
    /// The one that has written what a decoder has read.
    fn after(decoder: &Decoder<'_>) -> Option<Self> {
        let (stream, open) = decoder.stream.get(..decoder.read)?.split_last_chunk::<4>()?;
        let (low, borrows) = u32::from_be_bytes(*open).overflowing_sub(decoder.code);
        let mut stream = stream.to_vec();
        if borrows {
            let less = |byte: &mut u8| {
                *byte = byte.wrapping_sub(1);
                *byte == u8::MAX
            };
            // A zero borrows from what is in front of it.
            let _ = stream.iter_mut().rev().all(less);
        }
        Some(Self { stream, low, range: decoder.range })
    }

    /// A sum that is too large for `low` is one more in what was written.
    fn add(&mut self, bound: u32) {
        let (low, carries) = self.low.overflowing_add(bound);
        self.low = low;
        if carries {
            let more = |byte: &mut u8| {
                *byte = byte.wrapping_add(1);
                *byte == 0
            };
            let _ = self.stream.iter_mut().rev().all(more);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.stream.extend(self.low.to_be_bytes());
        self.stream
    }
}

impl Coder for Encoder {
    fn bit(&mut self, probability: &mut u16, bit: bool) -> Option<bool> {
        let bound = bound(self.range, *probability);
        if bit {
            self.add(bound);
            self.range -= bound;
        } else {
            self.range = bound;
        }
        follow(probability, bit);
        while self.range < TOP {
            let [first, rest @ ..] = self.low.to_be_bytes();
            self.stream.push(first);
            self.low = u32::from_be_bytes([rest[0], rest[1], rest[2], 0]);
            self.range <<= 8;
        }
        Some(bit)
    }
}

fn bound(range: u32, probability: u16) -> u32 {
    (range >> PROBABILITY_BITS) * u32::from(probability)
}

/// The probability that it is 0, once more is known.
fn follow(probability: &mut u16, bit: bool) {
    if bit {
        *probability -= *probability >> MOVE_BITS;
    } else {
        *probability += ((1 << PROBABILITY_BITS) - *probability) >> MOVE_BITS;
    }
}

/// The `len` bytes that are packed in a stream; `None`: it has not as many.
pub(super) fn unpacked(stream: &[u8], len: usize) -> Option<Vec<u8>> {
    let (mut decoder, mut model, mut text) = (Decoder::new(stream)?, Model::new(), Vec::new());
    while text.len() < len {
        model.symbol(&mut decoder, &mut text)?;
    }
    // The last symbol may have more than is asked for.
    text.truncate(len);
    Some(text)
}

/// The stream with `text` packed in it, which up to `kept` is what `stream` has; `None`: that has not as much.
pub(super) fn repacked(stream: &[u8], kept: usize, text: &[u8]) -> Option<Vec<u8>> {
    let whole_symbols = symbols_within(stream, kept)?;
    let (mut decoder, mut model, mut before) = (Decoder::new(stream)?, Model::new(), Vec::new());
    for _ in 0..whole_symbols {
        model.symbol(&mut decoder, &mut before)?;
    }
    let mut encoder = Encoder::after(&decoder)?;
    for at in before.len()..text.len() {
        encoder.bit(&mut model.is_match[model.state][at % POSITIONS], false)?;
        model.literal(&mut encoder, &text[..at], text[at])?;
    }
    Some(encoder.finish())
}

/// How many symbols end in the first so many bytes.
fn symbols_within(stream: &[u8], len: usize) -> Option<usize> {
    let (mut decoder, mut model, mut text) = (Decoder::new(stream)?, Model::new(), Vec::new());
    let mut symbols = 0;
    while text.len() < len {
        model.symbol(&mut decoder, &mut text)?;
        symbols += usize::from(text.len() <= len);
    }
    Some(symbols)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scratch, accepts};

    /// Text in which xz finds matches of every kind, and bytes in which it finds none.
    fn sample() -> Vec<u8> {
        let noise = (0..3000_u32).flat_map(|n| n.wrapping_mul(0x9e37_79b9).rotate_left(7).to_le_bytes());
        let lines = (0..2000).flat_map(|n| format!("{} line {n}, as long as others\n", n % 7).into_bytes());
        let far = [b'z'; 300].into_iter();
        lines.clone().chain(noise).chain(far).chain(lines.step_by(3)).collect()
    }

    /// As xz packs it, without the header (properties, dictionary and size: 13 bytes).
    fn packed(text: &[u8]) -> Vec<u8> {
        let scratch = Scratch::new();
        let path = scratch.write("text", text);
        accepts("xz", &["--format=lzma", "--lzma1=lc=3,lp=0,pb=2,dict=1MiB", &path]);
        std::fs::read(format!("{path}.lzma")).unwrap().split_off(13)
    }

    /// As xz unpacks it.
    fn unpacked_by_xz(stream: &[u8], len: usize) -> Vec<u8> {
        let scratch = Scratch::new();
        let head = [&[0x5d][..], &(1_u32 << 20).to_le_bytes(), &(len as u64).to_le_bytes()].concat();
        let path = scratch.write("text.lzma", &[&head, stream].concat());
        accepts("xz", &["--decompress", "--format=lzma", &path]);
        std::fs::read(path.trim_end_matches(".lzma")).unwrap()
    }

    #[test]
    fn what_xz_has_packed_is_unpacked() {
        let text = sample();
        let stream = packed(&text);
        assert!(stream.len() < text.len() / 2, "{} of {}", stream.len(), text.len());
        assert!(unpacked(&stream, text.len()).unwrap() == text);
        assert!(unpacked(&stream, 1000).unwrap() == text[..1000]);
    }

    #[test]
    fn another_end_is_one_that_xz_unpacks() {
        let text = sample();
        let stream = packed(&text);
        let ends = [b"another end".to_vec(), vec![0xff; 700], sample(), Vec::new()];
        // At the front, within a match, behind noise, and at the end.
        for kept in [0, 1, 41, 20_000, text.len() - 5000, text.len() - 1, text.len()] {
            for end in &ends {
                let other = [&text[..kept], end].concat();
                let stream = repacked(&stream, kept, &other).unwrap();
                assert!(unpacked(&stream, other.len()).unwrap() == other, "{kept}");
                if !other.is_empty() {
                    assert!(unpacked_by_xz(&stream, other.len()) == other, "{kept}");
                }
            }
        }
    }

    #[test]
    fn what_is_torn_is_none() {
        let text = sample();
        let stream = packed(&text);
        for len in [0, 4, 5, 100, stream.len() / 2] {
            assert!(unpacked(&stream[..len], text.len()).is_none(), "{len}");
            assert!(repacked(&stream[..len], text.len(), &text).is_none(), "{len}");
        }
        // No stream begins so, and this one with a match of what is not there.
        assert!(unpacked(&[1, 0, 0, 0, 0, 0], 1).is_none());
        assert!(unpacked(&[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 1).is_none());
        for at in (0..stream.len()).step_by(97) {
            let mut other = stream.clone();
            other[at] ^= 0x55;
            // Whatever comes of it, it comes to an end.
            assert!(unpacked(&other, text.len()) != Some(text.clone()), "{at}");
        }
    }
}
