//! Reading and writing what [`format`](super::format) has, and how a conversation breaks off.

use std::fmt;
use std::io::{self, Read, Write};

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Why a conversation ended before its time. It is the end of that one alone.
#[derive(Debug)]
pub enum Lost {
    /// The client has gone, or is too slow.
    Stream(io::Error),
    /// What it sends is not the protocol.
    Protocol(&'static str),
    /// The image could not be read to the end of an answer that had begun.
    Answer,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("hung up in the middle of a message")
            }
            Self::Stream(error) if error.kind() == io::ErrorKind::TimedOut => {
                f.write_str("took too long to say what it wants")
            }
            Self::Stream(error) => write!(f, "hung up: {error}"),
            Self::Protocol(what) => f.write_str(what),
            Self::Answer => f.write_str("was left in the middle of an answer, which could not be read"),
        }
    }
}

impl std::error::Error for Lost {}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

/// A structure, unless the client has gone before its first byte.
pub(super) fn receive_next<T: FromBytes + IntoBytes>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut value = T::new_zeroed();
    let bytes = value.as_mut_bytes();
    let len = loop {
        match from.read(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    if len == 0 {
        return Ok(None);
    }
    from.read_exact(bytes.get_mut(len..).unwrap_or_default())?;
    Ok(Some(value))
}

/// Sends a structure with what follows it, at once.
pub(super) fn send(to: &mut impl Write, head: &(impl IntoBytes + Immutable), rest: &[u8]) -> io::Result<()> {
    to.write_all(&[head.as_bytes(), rest].concat())
}
