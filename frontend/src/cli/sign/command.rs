//! Somebody else's command that signs, by a key that it does not hand out.

use std::io::{Read, Write};
use std::process::{self, Stdio};

use exporter::pki::Sign;
use exporter::terminal::line;
use exporter::{Error, Kind, Result};

/// The longest signature that is taken: that of a key of 16384 bits, and what is more is none.
const SIGNATURE_MAX: u64 = 2048;

/// A command for the shell.
pub(super) struct Command(String);

impl Command {
    pub(super) fn new(command: &str) -> Self {
        Self(command.to_owned())
    }

    fn failed(&self, what: impl Into<String>) -> Error {
        Error::new(Kind::Input, format!("--signer {:?}", line(&self.0)), what)
            .with_hint("it gets what is to be signed on stdin, and gives a signature of RSA, and nothing else, on stdout")
    }

    fn io(&self, what: &str, error: std::io::Error) -> Error {
        self.failed(format!("{what}: {error}"))
    }
}

impl Sign for Command {
    /// It may ask a person for a PIN, at the terminal that it has by `/dev/tty`, and say on stderr what it likes.
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>> {
        let mut command = process::Command::new("/bin/sh");
        command.args(["-c", &self.0]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| self.io("cannot be started", error))?;
        // One that reads nothing is told by what it gives. What is to be signed is shorter than any pipe.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(text));
        let mut signature = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            let read = stdout.take(SIGNATURE_MAX + 1).read_to_end(&mut signature);
            read.map_err(|error| self.io("cannot be read from", error))?;
        }
        let status = child.wait().map_err(|error| self.io("cannot be waited for", error))?;
        if !status.success() {
            return Err(self.failed(format!("has failed: {status}")));
        }
        if signature.is_empty() || signature.len() as u64 > SIGNATURE_MAX {
            return Err(self.failed("has given no signature"));
        }
        Ok(signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_gives_is_the_signature() {
        let sign = |command: &str| Command::new(command).sign(b"text").map_err(|error| error.to_string());
        assert_eq!(sign("tr a-z A-Z").unwrap(), b"TEXT");
        assert_eq!(sign("echo done").unwrap(), b"done\n", "one that does not read");
        for (command, why) in [
            ("exit 3", "has failed: exit status: 3"),
            ("cat; kill $$", "has failed: signal: 15"),
            ("true", "has given no signature"),
            ("head -c 2049 /dev/zero", "has given no signature"),
        ] {
            let error = sign(command).unwrap_err();
            assert!(error.starts_with(&format!("--signer {command:?}: {why}")), "{error}");
        }
    }
}
