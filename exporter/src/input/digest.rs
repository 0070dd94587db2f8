//! SHA-256 of what is read, while it is read.

use std::io::{Read, Result};

use sha2::{Digest as _, Sha256};

use super::fault::Fault;
use super::tar::Stream;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    /// From `sha256:` and 64 digits of hexadecimal.
    pub(super) fn parse(text: &str) -> std::result::Result<Self, Fault> {
        let hex = text.strip_prefix("sha256:");
        let hex =
            hex.ok_or_else(|| Fault::unsupported(format!("the digest {text:?} is not one of sha256")))?;
        Self::from_hex(hex).ok_or_else(|| Fault::corrupt(format!("{text:?} is no digest")))
    }

    /// From 64 digits of hexadecimal in lower case.
    pub(super) fn from_hex(hex: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
        let bytes = pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?));
        let bytes = bytes.collect::<Option<Vec<u8>>>().filter(|_| rest.is_empty())?;
        bytes.try_into().ok().map(Self)
    }

    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// 64 digits of hexadecimal.
    pub(super) fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// A reader that hashes what goes through it, if asked to, and says how much it was.
pub(super) struct Hashing<R, F> {
    reader: R,
    hasher: Option<Sha256>,
    seen: F,
}

impl<R: Read, F: FnMut(u64)> Hashing<R, F> {
    pub(super) fn new(reader: R, hashes: bool, seen: F) -> Self {
        Self { reader, hasher: hashes.then(Sha256::new), seen }
    }

    /// Read what is left; the digest of all, if it was asked for.
    pub(super) fn finish(mut self) -> Result<Option<Digest>> {
        std::io::copy(&mut self, &mut std::io::sink())?;
        Ok(self.hasher.map(|hasher| Digest(hasher.finalize().into())))
    }
}

impl<R: Read, F: FnMut(u64)> Read for Hashing<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let len = self.reader.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..len]);
        }
        (self.seen)(len as u64);
        Ok(len)
    }
}

impl<R: Read, F: FnMut(u64)> Stream for Hashing<R, F> {
    /// What is left out is hashed too.
    fn skip(&mut self, bytes: u64) -> Result<()> {
        match std::io::copy(&mut self.by_ref().take(bytes), &mut std::io::sink())? {
            copied if copied == bytes => Ok(()),
            _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
