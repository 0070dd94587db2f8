//! The last words of a program, of which it may have any number.

use std::collections::VecDeque;
use std::io::Read;

/// Bytes that are kept.
const LONGEST: usize = 4096;

/// Reads to the end; the last line that says something.
pub(super) fn last_line(mut stream: impl Read) -> Option<String> {
    let (mut kept, mut chunk) = (VecDeque::<u8>::new(), [0; 1024]);
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(len) => kept.extend(&chunk[..len]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
        kept.drain(..kept.len().saturating_sub(LONGEST));
    }
    let text = String::from_utf8_lossy(kept.make_contiguous()).into_owned();
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_kept_of_however_many() {
        assert_eq!(last_line(&b""[..]), None);
        assert_eq!(last_line(&b"first\nlast\n\n"[..]).as_deref(), Some("last"));
        let flood = std::io::repeat(b'x').take(1 << 20).chain(&b"\nwhy\n"[..]);
        assert_eq!(last_line(flood).as_deref(), Some("why"));
        let endless = last_line(std::io::repeat(b'x').take(1 << 20)).unwrap();
        assert_eq!(endless.len(), LONGEST);
    }
}
