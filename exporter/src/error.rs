//! The one error of this crate: what a caller can do about it, where it happened, and why.

use std::borrow::Cow;
use std::fmt;

use crate::hint::Hint;
use crate::limits::{self, Exceeded};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The input holds something that cannot be represented, or was asked for wrongly.
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
    hint: Option<Hint>,
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
    pub fn with_hint(self, hint: impl Into<Hint>) -> Self {
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
    pub fn hint(&self) -> Option<&Hint> {
        self.hint.as_ref()
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

impl Exceeded {
    /// The error of an input that costs too much at `place`.
    pub fn at(self, place: impl Into<String>) -> Error {
        Error::new(Kind::Input, place, self.to_string())
    }
}

/// A path that may not be UTF-8, for a message.
pub fn show_path(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path.strip_prefix(b"/").unwrap_or(path)).escape_debug())
}

/// The first of `names` between commas, and how many more there are.
pub fn show_list(names: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 10;
    let mut shown: Vec<_> = names.iter().take(SHOWN).map(|name| Cow::Borrowed(name.as_ref())).collect();
    if let Some(more) = names.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        shown.push(Cow::Owned(format!("and {more} more")));
    }
    shown.join(", ")
}

/// A text with as many characters as people read in a line.
pub fn show_text(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(limits::SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

/// Bytes in the unit a person would use, for a message: `1536 MiB` is `1.5 GiB`.
pub fn show_size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "bytes");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    let digits = usize::from(value.fract() >= 0.05);
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_unit_of_a_person() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536 << 20, "1.5 GiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(show_size(bytes), shown);
        }
    }

    #[test]
    fn long_lists_and_texts_are_cut() {
        let names: Vec<_> = (1..=12).map(|number| number.to_string()).collect();
        assert_eq!(show_list(&names[..10]), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10");
        assert_eq!(show_list(&names), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, and 2 more");
        assert_eq!(show_text("grün"), "grün");
        assert_eq!(show_text(&"ü".repeat(limits::SHOWN)), "ü".repeat(limits::SHOWN));
        assert_eq!(show_text(&"ü".repeat(limits::SHOWN + 1)), format!("{}…", "ü".repeat(limits::SHOWN)));
    }
}
