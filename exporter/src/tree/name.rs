//! Names of entries, small enough that a million of them is no burden.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// As many bytes as fit beside the length where a long name has its pointer.
const SHORT_MAX: usize = 22;

/// A name in a directory: bytes, never empty, without `/` and NUL, not `.` or `..`.
#[derive(Clone)]
pub struct Name(Bytes);

/// Nearly all names are short and need no memory of their own; clones of a long one share it.
#[derive(Clone)]
enum Bytes {
    Short { len: u8, bytes: [u8; SHORT_MAX] },
    Long(Arc<[u8]>),
}

const _: () = assert!(size_of::<Name>() == 24);

impl From<&[u8]> for Name {
    fn from(name: &[u8]) -> Self {
        if name.len() > SHORT_MAX {
            return Self(Bytes::Long(name.into()));
        }
        let mut bytes = [0; SHORT_MAX];
        bytes[..name.len()].copy_from_slice(name);
        Self(Bytes::Short { len: name.len() as u8, bytes })
    }
}

impl Deref for Name {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Short { len, bytes } => &bytes[..usize::from(*len)],
            Bytes::Long(bytes) => bytes,
        }
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_length_keep_their_bytes_and_their_order() {
        let names: Vec<Vec<u8>> = (1..60).map(|len| vec![b'a' + len % 3; len.into()]).collect();
        let mut sorted: Vec<Name> = names.iter().map(|name| name[..].into()).collect();
        assert!(names.iter().zip(&sorted).all(|(bytes, name)| **name == **bytes));
        sorted.sort();
        assert!(sorted.is_sorted_by(|a, b| **a < **b));
    }
}
