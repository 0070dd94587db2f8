//! What is wrong, before it is known where: readers of a stream don't know the name of its file.

use crate::error::{Error, Kind};
use crate::limits::Exceeded;

/// An error without its place.
#[derive(Debug)]
pub(super) struct Fault {
    kind: Kind,
    message: String,
    hint: Option<&'static str>,
    source: Option<std::io::Error>,
}

/// Every limit of a whole input grows with what is stored of it.
const DECOMPRESS: &str = "no usual archive is like this; if it is to be read, decompress it first (gzip -d, zstd -d, \
                          skopeo copy --dest-decompress)";

/// What zstd says of a frame with a larger window than it may have (`ZSTD_error_frameParameter_windowTooLarge`).
const WINDOW: &str = "Frame requires too much memory for decoding";

impl Fault {
    pub(super) fn corrupt(message: impl Into<String>) -> Self {
        Self { kind: Kind::Corrupt, message: message.into(), hint: None, source: None }
    }

    /// An input that costs too much at `place`.
    pub(super) fn exceeded(place: &str, exceeded: Exceeded) -> Self {
        Self { hint: Some(DECOMPRESS), ..Self::unsupported(format!("{place}: {exceeded}")) }
    }

    pub(super) fn unsupported(message: impl Into<String>) -> Self {
        Self { kind: Kind::Unsupported, message: message.into(), hint: None, source: None }
    }

    /// The error with its place.
    pub(super) fn at(self, place: &str) -> Error {
        let error = match self.source {
            Some(source) => Error::io(place, self.message, source),
            None => Error::new(self.kind, place, self.message),
        };
        match self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl From<std::io::Error> for Fault {
    /// Decoders report bytes that are no stream of theirs, and streams that end too early, as I/O errors.
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{FileTooLarge, InvalidData, InvalidInput, Other, UnexpectedEof};
        match error.kind() {
            UnexpectedEof => Self::corrupt("the archive is truncated"),
            Other if error.to_string() == WINDOW => {
                Self { hint: Some(DECOMPRESS), ..Self::unsupported("a frame of zstd has too large a window") }
            }
            InvalidData | InvalidInput | Other => Self::corrupt(format!("the archive is corrupt: {error}")),
            FileTooLarge => Self { hint: Some(DECOMPRESS), ..Self::unsupported(error.to_string()) },
            _ => Self {
                kind: Kind::Io,
                message: "cannot read the archive".into(),
                hint: None,
                source: Some(error),
            },
        }
    }
}
