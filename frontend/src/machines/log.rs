//! What is on the console of a machine, kept: a file, and the one before it. A machine may print whatever it likes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use super::Machine;
use crate::base::{Error, Result};

const NOW: &str = "console.log";
const BEFORE: &str = "console.log.1";
/// Bytes of each of the two.
const LONGEST: u64 = 8 << 20;
/// Between two looks for more.
const PAUSE: Duration = Duration::from_millis(100);

/// The file that is written.
pub(super) struct Log {
    now: PathBuf,
    before: PathBuf,
    file: File,
    len: u64,
}

impl Log {
    /// Goes on behind what is there.
    pub(super) fn open(machine: &Machine) -> io::Result<Self> {
        let (now, before) = (machine.path(NOW), machine.path(BEFORE));
        let file = File::options().create(true).append(true).open(&now)?;
        let len = file.metadata()?.len();
        Ok(Self { now, before, file, len })
    }

    fn turn(&mut self) -> io::Result<()> {
        fs::rename(&self.now, &self.before)?;
        self.file = File::options().create(true).append(true).open(&self.now)?;
        self.len = 0;
        Ok(())
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.len > 0 && self.len + bytes.len() as u64 > LONGEST {
            self.turn()?;
        }
        let len = self.file.write(bytes)?;
        self.len += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes all that is kept, and with `follow` what comes until the machine ends.
///
/// # Errors
/// If it cannot be read, or not be written.
pub(crate) fn print(machine: &Machine, follow: bool, out: &mut dyn Write) -> Result<()> {
    let cannot =
        |error| Error::user(format!("the log of {}: cannot be printed", machine.name())).because(error);
    for name in [BEFORE, NOW] {
        let Some(mut file) = open(machine, name).map_err(cannot)? else { continue };
        io::copy(&mut file, out).map_err(cannot)?;
        if follow && name == NOW {
            return go_on(machine, file, out).map_err(cannot);
        }
    }
    out.flush().map_err(cannot)
}

fn open(machine: &Machine, name: &str) -> io::Result<Option<File>> {
    match File::open(machine.path(name)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn go_on(machine: &Machine, mut file: File, out: &mut dyn Write) -> io::Result<()> {
    loop {
        // Asked before the file is read: what comes after that is nothing.
        let runs = machine.is_running();
        let next = open(machine, NOW)?;
        io::copy(&mut file, out)?;
        out.flush()?;
        match next {
            Some(next) if next.metadata()?.ino() != file.metadata()?.ino() => file = next,
            _ if runs => std::thread::sleep(PAUSE),
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_kept_as_far_as_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("web");
        fs::create_dir(&folder).unwrap();
        let machine = Machine::in_folder(&folder).unwrap();
        let mut log = Log::open(&machine).unwrap();
        let line = [b'x'; 65536];
        for _ in 0..4 * LONGEST / 65536 {
            log.write_all(&line).unwrap();
        }
        log.write_all(b"the end\n").unwrap();
        let mut printed = Vec::new();
        print(&machine, false, &mut printed).unwrap();
        assert!(printed.len() as u64 > LONGEST && printed.len() as u64 <= 2 * LONGEST, "{}", printed.len());
        assert!(printed.ends_with(b"the end\n"));
        // Of a machine that does not run there is an end to follow.
        drop(log);
        let mut again = Log::open(&machine).unwrap();
        again.write_all(b"started again\n").unwrap();
        printed.clear();
        print(&machine, true, &mut printed).unwrap();
        assert!(printed.ends_with(b"the end\nstarted again\n"));
    }
}
