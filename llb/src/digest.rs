//! Digests of ops.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// SHA-256 of an encoded op: how edges, metadata and source locations name it.
///
/// Its text, `sha256:` and 64 lower-case hex digits, always has [`OpDigest::TEXT_LEN`] bytes: a graph
/// can be redirected by overwriting it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpDigest([u8; 32]);

const ALGORITHM: &str = "sha256:";

impl OpDigest {
    /// Bytes of the text form.
    pub const TEXT_LEN: usize = ALGORITHM.len() + 64;

    /// The digest of an encoded op.
    pub fn of(op: &[u8]) -> Self {
        Self(Sha256::digest(op).into())
    }
}

impl fmt::Display for OpDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ALGORITHM)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for OpDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotADigest;

impl fmt::Display for NotADigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not sha256: and 64 lower-case hex digits")
    }
}

impl std::error::Error for NotADigest {}

impl FromStr for OpDigest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let hex = text.strip_prefix(ALGORITHM).ok_or(NotADigest)?.as_bytes();
        let mut digest = [0; 32];
        if hex.len() != 2 * digest.len() {
            return Err(NotADigest);
        }
        for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(digest))
    }
}

fn nibble(digit: u8) -> Result<u8, NotADigest> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(NotADigest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn text_and_bytes_agree() {
        assert_eq!(OpDigest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(OpDigest::of(b"")));
        assert_eq!(EMPTY.len(), OpDigest::TEXT_LEN);
    }

    #[test]
    fn other_texts_are_refused() {
        let upper = EMPTY.to_uppercase().replace("SHA256", "sha256");
        for text in ["", "sha256:", &EMPTY[7..], &EMPTY[..70], &format!("{EMPTY}0"), &upper, "sha512:00"] {
            assert_eq!(text.parse::<OpDigest>(), Err(NotADigest), "{text}");
        }
    }
}
