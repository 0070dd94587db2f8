//! The consoles of the machine: what a person is told is on all that the command line names, and either of them answers.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::termios::{QueueSelector, tcflush};

/// The terminals that are the console, those that come last on the command line last.
const ACTIVE: &str = "/sys/class/tty/console/active";
/// The longest answer.
const LINE: usize = 4096;

/// One of them.
#[derive(Debug)]
pub(crate) struct Console {
    pub(crate) path: PathBuf,
    pub(super) file: File,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Consoles(Vec<Console>);

impl Consoles {
    /// Those that can be opened.
    pub(crate) fn open() -> Self {
        let paths = paths(&fs::read_to_string(ACTIVE).unwrap_or_default());
        Self(paths.into_iter().filter_map(Console::open).collect())
    }

    /// Those of a machine without one.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// Each of them, to run something on.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Console> {
        self.0.iter()
    }

    /// Say one line on all of them, or some. One that cannot be written to is no reason to stop.
    pub(crate) fn say(&self, lines: impl Display) {
        lines.to_string().lines().for_each(|line| self.write(&format!("vmimage: {line}\n")));
    }

    /// Write as it is.
    pub(crate) fn write(&self, text: &str) {
        for console in &self.0 {
            let _ = (&console.file).write_all(text.as_bytes());
        }
    }

    /// Ask a question, and take the first line that somebody answers on any of them, without blanks around it.
    ///
    /// # Errors
    /// If there is none that could be asked.
    pub(crate) fn ask(&self, question: impl Display) -> Result<String, String> {
        // What was typed before was no answer to this.
        self.0.iter().for_each(Console::forget_input);
        self.write(&format!("vmimage: {question} "));
        let mut open: Vec<&Console> = self.0.iter().collect();
        while !open.is_empty() {
            let Some(at) = ready(&open) else { break };
            let mut line = [0; LINE];
            match open.get(at).map(|console| (&console.file).read(&mut line)) {
                Some(Ok(len)) if len > 0 => {
                    return Ok(String::from_utf8_lossy(&line[..len]).trim().to_owned());
                }
                Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                // Nobody is there any more.
                _ => drop(open.remove(at)),
            }
        }
        Err("there is no console on which somebody could answer".to_owned())
    }
}

impl Console {
    /// What was typed and not read yet.
    pub(super) fn forget_input(&self) {
        let _ = tcflush(&self.file, QueueSelector::IFlush);
    }

    pub(super) fn open(path: PathBuf) -> Option<Self> {
        // It is nobody's terminal thereby.
        let flags = OFlags::NOCTTY.bits().cast_signed();
        let file = File::options().read(true).write(true).custom_flags(flags).open(&path).ok()?;
        Some(Self { path, file })
    }
}

/// The first that has a line, or is gone; `None` if that cannot be waited for.
fn ready(consoles: &[&Console]) -> Option<usize> {
    let mut polled: Vec<_> =
        consoles.iter().map(|console| PollFd::new(&console.file, PollFlags::IN)).collect();
    loop {
        match poll(&mut polled, None) {
            Ok(_) => return polled.iter().position(|it| !it.revents().is_empty()),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

/// `tty0` is whichever of the screens is shown: a terminal of its own is the first of them.
fn paths(active: &str) -> Vec<PathBuf> {
    let names = active.split_whitespace().map(|name| if name == "tty0" { "tty1" } else { name });
    let paths: Vec<_> = names.map(|name| Path::new("/dev").join(name)).collect();
    if paths.is_empty() { vec!["/dev/console".into()] } else { paths }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consoles(text: &str) -> (tempfile::TempDir, Consoles) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tty");
        fs::write(&path, text).unwrap();
        let consoles = Consoles(vec![Console::open(path).unwrap()]);
        (folder, consoles)
    }

    #[test]
    fn every_console_of_the_command_line_is_one() {
        assert_eq!(paths("tty0 ttyS0\n"), [PathBuf::from("/dev/tty1"), "/dev/ttyS0".into()]);
        assert_eq!(paths("hvc0"), [PathBuf::from("/dev/hvc0")]);
        assert_eq!(paths("\n"), [PathBuf::from("/dev/console")]);
    }

    #[test]
    fn what_is_said_is_on_them() {
        let (folder, consoles) = consoles("");
        consoles.say("a line");
        assert_eq!(fs::read_to_string(folder.path().join("tty")).unwrap(), "vmimage: a line\n");
    }

    #[test]
    fn where_nobody_can_answer_nobody_is_waited_for() {
        let (_folder, consoles) = consoles("");
        assert!(consoles.ask("which?").unwrap_err().contains("no console"));
        assert!(Consoles::none().ask("which?").is_err());
    }
}
