//! The console: what the init says, and what the service prints.

use std::fmt::Arguments;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::grow::device::in_file;
pub(crate) use crate::init::log::Log;

const PATH: &str = "/dev/console";
/// The terminals that are the console, that of `/dev/console` last.
const ACTIVE: &str = "/sys/class/tty/console/active";

/// Make the console this process's standard input and output, whatever the initramfs left.
pub(crate) fn open() {
    let Ok(console) = File::options().read(true).write(true).open(PATH) else { return };
    let _ = use_for_all(&console);
}

fn use_for_all(terminal: &File) -> rustix::io::Result<()> {
    rustix::stdio::dup2_stdin(terminal)?;
    rustix::stdio::dup2_stdout(terminal)?;
    rustix::stdio::dup2_stderr(terminal)
}

/// The console's own device.
pub(crate) fn device() -> PathBuf {
    let active = fs::read_to_string(ACTIVE).unwrap_or_default();
    Path::new("/dev").join(active.split_whitespace().last().unwrap_or("console"))
}

/// Make the console's own device the terminal of this process, the first of a session: who opens one has it.
pub(crate) fn become_terminal() -> Result<(), String> {
    let path = device();
    let terminal = File::options().read(true).write(true).open(&path).map_err(in_file(&path))?;
    use_for_all(&terminal).map_err(in_file(&path))
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

/// Copy what comes out of a pipe to the console and the log until its last writer is gone.
pub(crate) fn copy(pipe: OwnedFd, log: &Log) {
    drain(pipe, &mut |printed| {
        log.write(printed);
        let _ = io::stderr().write_all(printed);
    });
}

/// Give somebody what comes out of a pipe until its last writer is gone.
pub(crate) fn drain(pipe: OwnedFd, take: &mut dyn FnMut(&[u8])) {
    let mut pipe = File::from(pipe);
    let mut bytes = [0; 4096];
    loop {
        match pipe.read(&mut bytes) {
            Ok(0) => return,
            Ok(len) => take(bytes.get(..len).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
