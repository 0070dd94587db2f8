//! The trees of the growth table: made from nothing, always the same, each of one kind of load.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, this_program};

/// The first argument of the process that makes a tree.
pub(crate) const ROLE: &str = "synthetic";

/// Bytes of a file of [`Load::Content`]; 1 GB is 1000 of them.
const LARGE_FILE: usize = 1_000_000;
/// Bytes of the files whose number is what counts.
const SMALL_FILE: usize = 1000;
/// Files in a directory where their number has no part.
const PER_DIRECTORY: u64 = 500;
/// Bytes of data in each GB of a sparse file.
const ISLAND: usize = 64 << 10;

/// What there is much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Content, in MB.
    Content,
    /// Small files.
    Files,
    /// Small files in one directory.
    OneDirectory,
    /// Holes, in GB of one file.
    Sparse,
}

impl Load {
    const ALL: [Self; 4] = [Self::Content, Self::Files, Self::OneDirectory, Self::Sparse];

    fn name(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Files => "files",
            Self::OneDirectory => "one-directory",
            Self::Sparse => "sparse",
        }
    }

    /// A tree of `amount` in words.
    pub(crate) fn tree(self, amount: u64) -> String {
        match self {
            Self::Content => format!("{} GB of content", amount as f64 / 1e3),
            Self::Files => format!("{amount} small files"),
            Self::OneDirectory => format!("{amount} files in one directory"),
            Self::Sparse => format!("one sparse file of {amount} GB"),
        }
    }

    /// Regular files in a tree of `amount`.
    pub(crate) fn files(self, amount: u64) -> u64 {
        if self == Self::Sparse { 1 } else { amount }
    }

    /// The process that makes a tree of `amount` at `path`.
    pub(crate) fn command(self, amount: u64, path: &Path) -> Result<Command> {
        let mut command = this_program()?;
        command.args([ROLE, self.name(), &amount.to_string()]).arg(path);
        Ok(command)
    }
}

/// That process.
pub(crate) fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(2);
    let mut next = || arguments.next().ok_or("usage: synthetic LOAD AMOUNT PATH");
    let (name, amount, path) = (next()?, next()?, PathBuf::from(next()?));
    let load = Load::ALL.into_iter().find(|load| load.name() == name).ok_or("no such load")?;
    let amount: u64 = amount.to_str().ok_or("the amount is no number")?.parse()?;
    std::fs::create_dir_all(&path)?;
    match load {
        Load::Content => files(&path, amount, LARGE_FILE, PER_DIRECTORY),
        Load::Files => files(&path, amount, SMALL_FILE, PER_DIRECTORY),
        Load::OneDirectory => files(&path, amount, SMALL_FILE, amount),
        Load::Sparse => sparse(&path, amount),
    }
}

fn files(path: &Path, count: u64, size: usize, per_directory: u64) -> Result<()> {
    let mut content = Content(1);
    let mut bytes = vec![0; size];
    for number in 0..count {
        let directory = path.join(format!("{:05}", number / per_directory));
        if number % per_directory == 0 {
            std::fs::create_dir(&directory)?;
        }
        content.fill(&mut bytes);
        File::create_new(directory.join(format!("file-{number:07}")))?.write_all(&bytes)?;
    }
    Ok(())
}

fn sparse(path: &Path, gigabytes: u64) -> Result<()> {
    let mut content = Content(1);
    let mut island = vec![0; ISLAND];
    let file = File::create_new(path.join("sparse"))?;
    for gigabyte in 0..gigabytes {
        content.fill(&mut island);
        file.write_all_at(&island, gigabyte * 1_000_000_000)?;
    }
    Ok(file.set_len(gigabytes * 1_000_000_000)?)
}

/// Bytes that compress to about a half, as a system's files do: the state of a xorshift generator
/// (Marsaglia, 2003), each followed by a word that is always the same.
struct Content(u64);

impl Content {
    fn fill(&mut self, bytes: &mut [u8]) {
        for pair in bytes.chunks_mut(16) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let mut both = *b"........and more";
            both[..8].copy_from_slice(&self.0.to_le_bytes());
            pair.copy_from_slice(&both[..pair.len()]);
        }
    }
}
