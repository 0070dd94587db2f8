//! `vmimage logs`: what was on the console of a machine.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use crate::base::{Result, terminal};
use crate::machines::{Machine, Name, log};

/// Print what was on the console of a machine.
///
/// The last 8 to 16 MiB are kept, over all of its starts. In a terminal what would move the cursor or the like is shown, and
/// not done.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What it is called
    name: Name,
    /// Go on until the machine ends
    #[arg(short, long)]
    follow: bool,
}

const EXAMPLES: &str = "\
Examples:
  vmimage logs web
  vmimage logs -f web";

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let machine = Machine::find(&args.name)?;
    let stdout = io::stdout();
    match stdout.is_terminal() {
        true => log::print(&machine, args.follow, &mut Shown::default())?,
        false => log::print(&machine, args.follow, &mut stdout.lock())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A line that may become as long as a machine likes is cut.
const LINE_MAX: usize = 64 << 10;

/// Lines for a terminal.
#[derive(Default)]
struct Shown {
    line: Vec<u8>,
}

impl Shown {
    fn show(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        // The console of a machine is a terminal to it, whose lines end so.
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        terminal::print_line(String::from_utf8_lossy(line))
            .map_err(|error| io::Error::other(error.to_string()))
    }
}

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            match byte {
                b'\n' => self.show()?,
                byte => {
                    self.line.push(byte);
                    if self.line.len() >= LINE_MAX {
                        self.show()?;
                    }
                }
            }
        }
        Ok(bytes.len())
    }

    /// A line that has not ended is for whoever writes the rest of it.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            // Nobody is there to listen, which is no reason to stop.
            let _ = self.show();
        }
    }
}
