//! The one error of this crate: what a caller can do about it, where it happened, and why.

use std::fmt;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The input holds something that can't be represented, or was asked for wrongly.
    Input,
    /// It does not fit. Both in bytes.
    NoSpace {
        /// Bytes that would do.
        needed: u64,
        /// Bytes there are.
        available: u64,
    },
    /// Asked for something this version does not do.
    Unsupported,
    /// A thing that must be there is not (a kernel, a boot loader, a file).
    NotFound,
    /// The caller asked to stop.
    Interrupted,
    /// Bytes that were read break their own format.
    Corrupt,
    /// The operating system refused.
    Io,
}

/// An error with its place (a path, a partition, an offset) and, where one is known, a hint.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    place: String,
    message: String,
    hint: Option<String>,
    source: Option<std::io::Error>,
}

impl Error {
    /// An error of `kind` at `place`; `message` is lower case without a full stop.
    pub fn new(kind: Kind, place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, place: place.into(), message: message.into(), hint: None, source: None }
    }

    /// An error from the operating system while doing `message` at `place`.
    pub fn io(place: impl Into<String>, message: impl Into<String>, source: std::io::Error) -> Self {
        Self { source: Some(source), ..Self::new(Kind::Io, place, message) }
    }

    /// The same error with the thing to type next.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// What happened, without its place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The thing to try next, if one is known.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// A path that may not be UTF-8, for a message.
pub fn show_path(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path.strip_prefix(b"/").unwrap_or(path)).escape_debug())
}

/// Bytes in the unit a person would use, for a message: `1536 MiB` is `1.5 GiB`.
pub fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value.fract() < 0.05 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}
