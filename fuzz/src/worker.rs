//! The process in which inputs are read. It ends by itself only if nothing is found.
//!
//! Before each execution it notes the number of the input in a file: however it ends, that tells which one it was.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::limits::{self, Watch};
use crate::{Inputs, Target};

/// The exit code for a whole input that is refused.
pub(crate) const REFUSED: i32 = 103;
/// The exit code for a refusal that says nothing, or that memory was what it lacked.
pub(crate) const NO_REASON: i32 = 104;

/// Which inputs to read.
#[derive(Clone, Debug, clap::Args)]
pub struct Task {
    /// The target
    pub target: String,
    /// The random seed
    #[arg(long)]
    pub seed: u64,
    /// The first input
    #[arg(long)]
    pub from: u64,
    /// The input after the last one
    #[arg(long, default_value_t = u64::MAX)]
    pub to: u64,
    /// Milliseconds after which it is enough
    #[arg(long, default_value_t = u64::MAX)]
    pub milliseconds: u64,
    /// Milliseconds for one execution
    #[arg(long)]
    pub allowed: u64,
    /// Where its number is noted
    #[arg(long)]
    pub note: PathBuf,
}

/// How far a worker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// The input that is being read, or after the last one the next.
    pub(crate) number: u64,
    /// Those before it that were accepted.
    pub(crate) accepted: u64,
}

impl Note {
    fn write(self, file: &File) -> io::Result<()> {
        file.write_all_at(&[self.number.to_le_bytes(), self.accepted.to_le_bytes()].concat(), 0)
    }

    pub(crate) fn read(file: &File) -> io::Result<Self> {
        let (mut number, mut accepted) = ([0; 8], [0; 8]);
        file.read_exact_at(&mut number, 0)?;
        file.read_exact_at(&mut accepted, 8)?;
        Ok(Self { number: u64::from_le_bytes(number), accepted: u64::from_le_bytes(accepted) })
    }
}

impl Task {
    /// Reads inputs until there is enough.
    ///
    /// # Errors
    /// Nothing that an input is to blame for.
    pub fn run(&self) -> io::Result<()> {
        let target = Target::find(&self.target).ok_or_else(|| io::Error::other("no such target"))?;
        let inputs = Inputs::new(target, self.seed);
        let file = File::options().write(true).open(&self.note)?;
        let mut note = Note { number: self.from, accepted: 0 };
        let (began, most) = (Instant::now(), Duration::from_millis(self.milliseconds));
        limits::impose()?;
        let watch = Watch::start(Duration::from_millis(self.allowed));
        while note.number < self.to && began.elapsed() < most {
            note.write(&file)?;
            let input = inputs.get(note.number);
            watch.next();
            note.accepted += u64::from(execute(target, &input, inputs.is_whole(note.number)));
            note.number += 1;
        }
        note.write(&file)
    }
}

/// Reads one input again, under the same limits. What is found ends the process.
///
/// # Errors
/// Nothing that the input is to blame for.
pub fn again(target: &Target, input: &[u8], allowed: Duration) -> io::Result<()> {
    limits::impose()?;
    let _watch = Watch::start(allowed);
    execute(target, input, false);
    Ok(())
}

/// Whether the input is accepted.
fn execute(target: &Target, input: &[u8], is_whole: bool) -> bool {
    let Err(message) = (target.run)(input) else { return true };
    if is_whole {
        end(REFUSED, &format!("a whole input is refused: {message}"));
    }
    if message.trim().is_empty() {
        end(NO_REASON, "a refusal without a reason");
    }
    // As zstd says it: where C asks, nothing aborts.
    if message.contains("not enough memory") {
        end(NO_REASON, &message);
    }
    false
}

fn end(code: i32, message: &str) -> ! {
    eprintln!("{}", message.replace('\n', " "));
    std::process::exit(code)
}
