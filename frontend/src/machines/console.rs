//! The console of a machine: kept, and the terminal of the process that keeps it, where it is in the foreground.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use super::log::Log;
use super::qmp::Qmp;
use super::{Machine, QMP_SOCKET};

/// Leads the keys that are for the keeper and not for the machine, as QEMU has it: Ctrl-A.
const ESCAPE: u8 = 1;

/// Keeps what is on the console, and shows it where somebody looks.
pub(super) fn keep(mut console: UnixStream, mut log: Log, is_shown: bool) {
    let mut chunk = [0; 16 << 10];
    let mut stdout = io::stdout();
    loop {
        let bytes = match console.read(&mut chunk) {
            Ok(0) => return,
            Ok(len) => chunk.get(..len).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        // A disk that is full is no reason to stop the machine.
        let _ = log.write_all(bytes);
        if is_shown {
            let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
        }
    }
}

/// Types what comes on stdin into the console. Of a terminal, Ctrl-A X ends the machine, and Ctrl-A twice is one.
pub(super) fn type_into(mut console: UnixStream, machine: &Machine, has_escape: bool) {
    let mut stdin = io::stdin().lock();
    let (mut chunk, mut is_escaped) = ([0; 1024], false);
    while let Ok(len @ 1..) = stdin.read(&mut chunk) {
        let bytes = chunk.get(..len).unwrap_or_default();
        let (typed, asks) =
            if has_escape { unescape(bytes, &mut is_escaped) } else { (bytes.to_vec(), false) };
        if console.write_all(&typed).is_err() {
            return;
        }
        if asks && let Ok(mut qmp) = machine.connect(QMP_SOCKET).and_then(Qmp::connect) {
            let _ = qmp.execute("quit");
        }
    }
}

/// What of typed keys is the machine's, and whether they ask for its end.
fn unescape(bytes: &[u8], is_escaped: &mut bool) -> (Vec<u8>, bool) {
    let (mut typed, mut asks) = (Vec::new(), false);
    for &byte in bytes {
        match (std::mem::take(is_escaped), byte) {
            (false, ESCAPE) => *is_escaped = true,
            (true, b'x' | b'X') => asks = true,
            (true, ESCAPE) | (false, _) => typed.push(byte),
            (true, _) => typed.extend([ESCAPE, byte]),
        }
    }
    (typed, asks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_machines_but_for_those_of_the_keeper() {
        let mut is_escaped = false;
        let mut typed = |bytes: &[u8]| unescape(bytes, &mut is_escaped);
        assert_eq!(typed(b"ls\r\x03"), (b"ls\r\x03".to_vec(), false));
        assert_eq!(typed(b"\x01\x01b\x01c"), (b"\x01b\x01c".to_vec(), false));
        assert_eq!(typed(b"x\x01"), (b"x".to_vec(), false));
        assert_eq!(typed(b"xy"), (b"y".to_vec(), true));
    }
}
