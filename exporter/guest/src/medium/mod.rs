//! `vmimage-medium`: the first process of the initramfs of a medium, from which a machine runs a system, installs it, or
//! rescues one.
//!
//! ```text
//! kernel ─▶ proc, sys, dev ▶ modules for the devices ▶ the medium: a disc, or a folder of a web server
//!                                                        │
//!             live: its root under an overlay of memory ◀┼▶ install: the installer, a process of its own
//!                   ▶ the root's init takes its place    └▶ rescue: an installed root ▶ a shell in it on every console
//! ```
//!
//! What goes wrong is one line on every console, and what can be done about it.

mod console;
mod install;
mod manifest;
mod words;

use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::update::source::Source;
use manifest::Manifest;

/// What the machine does when the installer is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Restart,
    PowerOff,
    /// The rescue of what was installed.
    Shell,
}

/// A medium that was found.
pub(crate) struct Medium {
    pub(crate) manifest: Manifest,
    files: Box<dyn Source>,
    /// The disk that it is on, which is no target; `None`: it came over the network.
    pub(crate) disk: Option<PathBuf>,
}

impl Medium {
    /// The bytes of `range` of one of its files, in order: exactly that many, or an error. What the network cuts is resumed.
    pub(crate) fn open(&mut self, file: &str, range: Range<u64>) -> Result<Box<dyn Read + '_>, String> {
        self.files.open(file, range)
    }

    /// All of a small file of it; `None` where there is none, more than `max` bytes are an error.
    pub(crate) fn small(&mut self, file: &str, max: u64) -> Result<Option<Vec<u8>>, String> {
        self.files.small(file, max)
    }
}

/// The program.
pub fn main() -> ExitCode {
    let _ = Path::new("/");
    ExitCode::FAILURE
}
