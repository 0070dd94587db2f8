//! What the machine tells of its program's end: lines of JSON through a virtio-serial port, of which the last one counts.
//! A machine may send whatever it likes.

use std::io::Read;

use serde::Deserialize;

/// A line that is longer is none.
const LONGEST: usize = 16 << 10;

/// How the image's program has ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct End {
    /// Docker's numbers: 125 where it was not set up, 126 and 127 where it cannot be run and is not there, 128 and a
    /// signal's number.
    pub(crate) status: u8,
    /// Why it was not run.
    pub(crate) error: Option<String>,
}

/// Reads until the machine is gone; the last end that it has told.
pub(crate) fn read(mut port: impl Read) -> Option<End> {
    let mut lines = Lines::default();
    let mut chunk = [0; 4096];
    loop {
        match port.read(&mut chunk) {
            Ok(0) => return lines.last,
            Ok(length) => chunk[..length].iter().for_each(|byte| lines.take(*byte)),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return lines.last,
        }
    }
}

/// The line that is coming, and the last one that was an end.
#[derive(Default)]
struct Lines {
    coming: Vec<u8>,
    last: Option<End>,
}

impl Lines {
    fn take(&mut self, byte: u8) {
        if byte != b'\n' {
            // One more than a line may have, so that it is seen to be too long.
            if self.coming.len() <= LONGEST {
                self.coming.push(byte);
            }
            return;
        }
        if self.coming.len() <= LONGEST {
            self.last = serde_json::from_slice(&self.coming).ok().or(self.last.take());
        }
        self.coming.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<(u8, Option<String>)> {
        read(text.as_bytes()).map(|end| (end.status, end.error))
    }

    #[test]
    fn the_last_end_counts() {
        assert_eq!(told("{\"status\":42}\n"), Some((42, None)));
        assert_eq!(told("{\"status\":137,\"signal\":9}\n{\"status\":0}\n"), Some((0, None)));
        let missing = "{\"status\":127,\"error\":\"/app: is not there\"}\n";
        assert_eq!(told(missing), Some((127, Some("/app: is not there".to_owned()))));
    }

    #[test]
    fn what_is_no_end_is_none() {
        for nothing in [
            "",
            "\n",
            "{\"status\":42}",
            "{\"status\":256}\n",
            "{\"status\":-1}\n",
            "{}\n",
            "42\n",
            "\u{0}\n",
        ] {
            assert_eq!(told(nothing), None, "{nothing:?}");
            let before = format!("{{\"status\":7}}\n{nothing}");
            assert_eq!(told(&before), Some((7, None)), "{nothing:?}");
        }
        let long = format!("{{\"status\":42,\"error\":\"{}\"}}\n", "x".repeat(LONGEST));
        assert_eq!(told(&long), None);
    }

    /// A flood without a line's end takes no memory.
    #[test]
    fn what_comes_without_end_is_not_kept() {
        let mut lines = Lines::default();
        (0..1 << 20).for_each(|_| lines.take(b'x'));
        assert!(lines.coming.len() == LONGEST + 1);
        b"\n{\"status\":3}\n".iter().for_each(|byte| lines.take(*byte));
        assert_eq!(lines.last.map(|end| end.status), Some(3));
    }
}
