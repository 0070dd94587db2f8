//! The inputs of a target: one for each number, the same for the same random seed.

use fastrand::Rng;

use crate::Target;
use crate::mutate::Mutator;

/// The inputs that one random seed gives.
#[derive(Debug)]
pub struct Inputs {
    target: &'static Target,
    whole: Vec<Vec<u8>>,
    random: u64,
}

impl Inputs {
    /// Those of `target`.
    pub fn new(target: &'static Target, random: u64) -> Self {
        Self { target, whole: (target.seeds)(), random }
    }

    /// Whether it is one of those that the target has to accept.
    pub fn is_whole(&self, number: u64) -> bool {
        number < self.whole.len() as u64
    }

    /// Whole ones first, then damaged ones without an end.
    pub fn get(&self, number: u64) -> Vec<u8> {
        match usize::try_from(number).ok().and_then(|number| self.whole.get(number)) {
            Some(whole) => whole.clone(),
            None => self.damaged(number),
        }
    }

    fn damaged(&self, number: u64) -> Vec<u8> {
        let mut random = Rng::with_seed(self.random ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let choose = |random: &mut Rng| random.choice(&self.whole).map(Vec::as_slice).unwrap_or_default();
        let (mut bytes, other) = (choose(&mut random).to_vec(), choose(&mut random));
        let mut mutator =
            Mutator { random: &mut random, words: self.target.words, grain: self.target.grain, other };
        mutator.mutate(&mut bytes);
        // Checksums are looked at as well: now and then they stay wrong.
        if random.u8(..) >= 32 {
            (self.target.repair)(&mut bytes);
        }
        bytes
    }
}
