//! The console: what the init says, and what the service prints.

use std::fmt::Arguments;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

const PATH: &str = "/dev/console";

/// Make the console this process's standard input and output, whatever the initramfs left.
pub(crate) fn open() {
    let Ok(console) = File::options().read(true).write(true).open(PATH) else { return };
    let _ = rustix::stdio::dup2_stdin(&console);
    let _ = rustix::stdio::dup2_stdout(&console);
    let _ = rustix::stdio::dup2_stderr(&console);
}

/// Say one line. A console that cannot be written to is no reason to stop.
pub(crate) fn say(line: Arguments<'_>) {
    let _ = io::stderr().write_all(format!("vmimage: {line}\n").as_bytes());
}

/// Say what went wrong, if something did.
pub(crate) fn say_error(result: Result<(), String>) {
    if let Err(error) = result {
        say(format_args!("{error}"));
    }
}

/// Copy what comes out of a pipe to the console until its last writer is gone.
pub(crate) fn copy(pipe: OwnedFd) {
    let mut pipe = File::from(pipe);
    let mut bytes = [0; 4096];
    loop {
        match pipe.read(&mut bytes) {
            Ok(0) => return,
            Ok(len) => drop(io::stderr().write_all(bytes.get(..len).unwrap_or_default())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
