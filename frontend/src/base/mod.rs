//! The ground floor: what every other room stands on, and what stands on none of them.

pub(crate) mod builtin;
pub(crate) mod child;
pub(crate) mod disk;
pub(crate) mod docker;
mod error;
pub(crate) mod interrupt;
pub(crate) mod make;
pub(crate) mod previous;
pub(crate) mod programs;
pub(crate) mod progress;
pub(crate) mod ready;
pub(crate) mod reference;
pub(crate) mod shell;
pub(crate) mod temporary;
pub(crate) mod terminal;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod text;

pub(crate) use error::{Error, Place, Position, Result};
pub(crate) use progress::{Meter, ShowArgs, Stage, Style};
