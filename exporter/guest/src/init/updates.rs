//! The process that looks for the next version of the machine, where its image asks for one.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

use serde::Deserialize;

/// Where the disk's builder puts the program, and what it was asked; a machine without slots has neither.
const PROGRAM: &str = "/usr/bin/vmimage-update";
const CONFIG: &str = "/usr/lib/vmimage/update.json";

/// Of what was asked, what matters here; all else is the program's.
#[derive(Deserialize)]
struct Asked {
    /// Seconds between two looks.
    every: Option<u64>,
}

/// Start the process that looks every few hours. It goes on by itself, and is nobody's to wait for.
pub(super) fn start_watch() -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{CONFIG}: {error}");
    let text = match fs::read(CONFIG) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(|error| failed(&error))?,
    };
    if !looks(&text).map_err(|error| failed(&error))? {
        return Ok(());
    }
    let watch = Command::new(PROGRAM).arg("watch").stdin(Stdio::null()).spawn();
    watch.map(drop).map_err(|error| format!("{PROGRAM}: cannot be started: {error}"))
}

/// Whether a machine with this configuration looks by itself.
fn looks(text: &[u8]) -> serde_json::Result<bool> {
    serde_json::from_slice(text).map(|Asked { every }| every.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_looks_by_itself_where_it_is_said_how_often() {
        assert!(looks(br#"{"id":"kiosk","from":"https://a/","every":21600,"public-keys":[]}"#).unwrap());
        assert!(!looks(br#"{"id":"kiosk","from":"https://a/"}"#).unwrap());
        for text in [&b""[..], b"[]", br#"{"every":"6h"}"#, br#"{"every":-1}"#] {
            assert!(looks(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }
}
