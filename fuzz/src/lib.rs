//! Hostile input for every reader of the project.
//!
//! ```text
//! Target: seeds, words, repair, run
//!    │
//!    ├─▶ campaign ─▶ worker (a process under limits): input 0, 1, 2 … of a random seed   stable Rust
//!    │      └─ one that ends badly: confirmed, made smaller, kept
//!    └─▶ libfuzzer                                                                       cargo-fuzz, nightly
//! ```
//!
//! A [`Target`] begins with whole inputs, made by the project's own writers, and knows how to make the checksums of
//! a damaged one right again: what is refused for its checksum says nothing of the code behind it. It may accept or
//! refuse an input, with a message; a panic, an abort, more memory or more time than [`limits`] allow is a finding.
//! So is whatever a target asserts of what it has accepted: that it reads back as it was written, that others read
//! the same.

pub mod campaign;
mod finding;
mod inputs;
pub mod limits;
mod mutate;
mod repair;
pub mod targets;
pub mod worker;

pub use inputs::Inputs;

/// A reader, and what inputs for it are made of.
#[derive(Debug)]
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// Whole inputs, which it has to accept.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What stands in inputs: names, signs, magic numbers.
    pub words: &'static [&'static [u8]],
    /// Structures begin at multiples of so many bytes; 1 for a text.
    pub grain: usize,
    /// Makes checksums, digests and lengths right again, as far as there is something to recognise.
    pub repair: fn(&mut [u8]),
    /// Reads an input.
    ///
    /// # Errors
    /// Why it is refused.
    pub run: fn(&[u8]) -> Result<(), String>,
}

impl Target {
    /// By its name.
    pub fn find(name: &str) -> Option<&'static Self> {
        targets::ALL.iter().chain(targets::PLANTED).copied().find(|target| target.name == name)
    }
}
