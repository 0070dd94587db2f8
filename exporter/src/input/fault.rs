//! What is wrong, before it is known where: readers of a stream don't know the name of its file.

use crate::error::{Error, Kind};

/// An error without its place.
#[derive(Debug)]
pub(super) struct Fault {
    kind: Kind,
    message: String,
    source: Option<std::io::Error>,
}

impl Fault {
    pub(super) fn corrupt(message: impl Into<String>) -> Self {
        Self { kind: Kind::Corrupt, message: message.into(), source: None }
    }

    pub(super) fn unsupported(message: impl Into<String>) -> Self {
        Self { kind: Kind::Unsupported, message: message.into(), source: None }
    }

    /// The error with its place.
    pub(super) fn at(self, place: &str) -> Error {
        match self.source {
            Some(source) => Error::io(place, self.message, source),
            None => Error::new(self.kind, place, self.message),
        }
    }
}

impl From<std::io::Error> for Fault {
    /// Decoders report bytes that are no stream of theirs, and streams that end too early, as I/O errors.
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
        match error.kind() {
            UnexpectedEof => Self::corrupt("the archive is truncated"),
            InvalidData | InvalidInput | Other => Self::corrupt(format!("the archive is corrupt: {error}")),
            _ => Self { kind: Kind::Io, message: "can't read the archive".into(), source: Some(error) },
        }
    }
}
