//! What is wrong with the tables of a disk file: what `qemu-img check` would name, and what would let a machine
//! that writes to one block change another.

use std::fmt::Display;
use std::ops::Range;

use crate::limits;
use crate::read_at::ReadAt;

/// What is found on the way through the tables of one file.
pub(super) struct Findings {
    file_len: u64,
    /// What one thing alone lies in, and what several share.
    taken: Places,
    shared: Places,
    problems: Vec<String>,
    /// How often something was wrong, named or not.
    found: usize,
}

impl Findings {
    /// For a file whose blocks and tables begin and end at multiples of `unit` bytes.
    pub(super) fn of<F: ReadAt + ?Sized>(file: &F, unit: u64) -> Self {
        // The last unit may not be whole: what is read of it is there.
        let file_len = file.size().checked_next_multiple_of(unit).unwrap_or(u64::MAX);
        let (taken, shared) = (Places::new(file_len, unit), Places::new(file_len, unit));
        Self { file_len, taken, shared, problems: Vec::new(), found: 0 }
    }

    /// That `what` lies at `range` of the file, and nothing else does; whether that is so.
    pub(super) fn takes(&mut self, what: impl Display, range: Range<u64>) -> bool {
        let is_new = self.is_inside(&what, &range) && self.is_free(&what, &range, true);
        self.taken.set(&range);
        is_new
    }

    /// That `what` lies at `range` with others of its kind.
    pub(super) fn shares(&mut self, what: impl Display, range: Range<u64>) {
        if self.is_inside(&what, &range) && self.is_free(&what, &range, false) {
            self.shared.set(&range);
        }
    }

    fn is_inside(&mut self, what: &impl Display, range: &Range<u64>) -> bool {
        let is_inside = range.end <= self.file_len;
        if !is_inside {
            self.problem(format!("{what} lies at byte {}, outside of the file", range.start));
        }
        is_inside
    }

    fn is_free(&mut self, what: &impl Display, range: &Range<u64>, alone: bool) -> bool {
        let is_used = self.taken.has(range) || alone && self.shared.has(range);
        if is_used {
            self.problem(format!("{what} lies at byte {}, where something else is", range.start));
        }
        !is_used
    }

    /// Something that is wrong. What was said already, or comes after many others, is left out.
    pub(super) fn problem(&mut self, problem: impl Into<String>) {
        let problem = problem.into();
        if !self.is_full() && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
        self.found += 1;
    }

    /// Whether no more is written down, so that nobody need look further.
    pub(super) fn is_full(&self) -> bool {
        self.found >= limits::TABLE_PROBLEMS
    }

    /// All of them, with the name of the format in front.
    pub(super) fn named(self, format: &str) -> Vec<String> {
        self.problems.into_iter().map(|problem| format!("{format}: {problem}")).collect()
    }
}

/// Which units of a file something lies in, a bit for each.
struct Places {
    unit: u64,
    words: Vec<u64>,
}

impl Places {
    /// None. Of a file that has more units than memory should have bits, the first are looked after.
    fn new(file_len: u64, unit: u64) -> Self {
        let units = file_len.div_ceil(unit).min(limits::PLACES);
        Self { unit, words: vec![0; units.div_ceil(64) as usize] }
    }

    /// The words that `range` has bits in, and which bits.
    fn words(&self, range: &Range<u64>) -> impl Iterator<Item = (usize, u64)> + use<> {
        let (first, end) = (range.start / self.unit, range.end.div_ceil(self.unit));
        let words = first / 64..end.div_ceil(64).min(self.words.len() as u64);
        words.map(move |word| {
            let below = |end: u64| match end.saturating_sub(word * 64) {
                len @ 0..64 => (1 << len) - 1,
                _ => u64::MAX,
            };
            (word as usize, below(end) & !below(first))
        })
    }

    fn has(&self, range: &Range<u64>) -> bool {
        self.words(range).any(|(word, bits)| self.words.get(word).is_some_and(|word| word & bits != 0))
    }

    fn set(&mut self, range: &Range<u64>) {
        for (word, bits) in self.words(range) {
            if let Some(word) = self.words.get_mut(word) {
                *word |= bits;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_once() {
        let mut findings = Findings::of(&[0; 100_000][..], 10);
        assert!(findings.takes("a", 0..630));
        assert!(findings.takes("b", 630..660));
        assert!(findings.takes("c", 650 * 10..99_990));
        assert!(!findings.takes("d", 650..670) && !findings.takes("e", 99_980..100_000));
        assert!(findings.takes("f", 670..680));
        assert!(!findings.takes("g", 99_995..100_005));
        findings.shares("h", 700..715);
        findings.shares("i", 705..720);
        findings.shares("j", 670..675);
        assert!(!findings.takes("k", 710..720));
        let expected = [
            "x: d lies at byte 650, where something else is",
            "x: e lies at byte 99980, where something else is",
            "x: g lies at byte 99995, outside of the file",
            "x: j lies at byte 670, where something else is",
            "x: k lies at byte 710, where something else is",
        ];
        assert_eq!(findings.named("x"), expected);
    }

    #[test]
    fn many_problems_are_no_more_than_one_reads() {
        let mut findings = Findings::of(&[0; 512][..], 512);
        (0..1000).for_each(|block| assert!(!findings.takes(format!("block {block}"), 512..1024)));
        assert!(findings.is_full());
        assert_eq!(findings.named("x").len(), limits::TABLE_PROBLEMS);
    }
}
