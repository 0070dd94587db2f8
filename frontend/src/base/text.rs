//! Texts of the user's that are read whole.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::base::{Error, Result};

/// The text of a file of at most `limit` bytes.
///
/// # Errors
/// If it cannot be read, is longer, or is no text.
pub(crate) fn read(path: &Path, limit: u64) -> Result<String> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| unreadable(&name, error))?;
    read_from(file, &name, limit)
}

/// The same of an open file called `name`.
pub(crate) fn read_from(file: impl Read, name: &str, limit: u64) -> Result<String> {
    let mut bytes = Vec::new();
    // One byte more tells that there are more.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| unreadable(name, error))?;
    if bytes.len() as u64 > limit {
        return Err(Error::user(format!("{name}: larger than {} KiB", limit >> 10)));
    }
    String::from_utf8(bytes).map_err(|error| unreadable(name, std::io::Error::other(error)))
}

fn unreadable(name: &str, error: std::io::Error) -> Error {
    Error::user(format!("{name}: cannot be read")).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_is_read_and_no_more() {
        let read = |bytes: &[u8]| read_from(bytes, "f", 1024).map_err(|error| error.to_string());
        assert_eq!(read(&[b'a'; 1024]).unwrap().len(), 1024);
        assert_eq!(read(&[b'a'; 1025]).unwrap_err(), "f: larger than 1 KiB");
        let endless = read_from(std::io::repeat(0xff), "f", 1024).unwrap_err();
        assert_eq!(endless.to_string(), "f: larger than 1 KiB");
        assert!(read(b"\xff").unwrap_err().starts_with("f: cannot be read"));
    }
}
