//! The installer: the disk of the medium is written on a disk of the machine.

use super::console::Consoles;
use super::words::Words;
use super::{After, Medium};

/// Install. What it has to say it says on the consoles.
///
/// # Errors
/// Why the machine is not installed: one line, and a hint.
pub(crate) fn run(medium: &mut Medium, words: &Words, consoles: &Consoles) -> Result<After, String> {
    let _ = (medium.small("install.toml", 1 << 20)?, words, consoles);
    Err("this medium cannot install yet".to_owned())
}
