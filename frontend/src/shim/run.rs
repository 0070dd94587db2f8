//! What is run in place of the command that was typed, and how its disks come to their files.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use exporter::container::Format;

use super::output::Disks;
use super::real::Real;
use super::stdin::Stdin;
use crate::base::Error;
use crate::base::child::{self, Ended};
use crate::base::terminal::refuse_terminal;
use crate::base::terminal::tell_line;
use crate::engine::destination::Destination;
use crate::engine::receive::persist;
use crate::engine::receive::{self, Arrived, Undelivered};

/// How a disk comes out of the client: as a tar on its stdout.
///
/// Nothing of a disk is written but the disk, holes left out, so nothing is left of it when a build fails,
/// and a client whose reader has been killed meets a closed pipe and ends. A directory (`type=local`) would
/// be written in place, zeros and all; a pipe with a name would keep the client waiting for a dead reader.
/// One stdout is enough, since a build has one vmdisk result: several formats are files in one tar.
pub(super) const TRANSPORT: &str = "type=tar,dest=-";

/// What is done in place of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// The real client does what was typed.
    PassOn,
    /// The real client does this.
    Instead(Vec<OsString>),
    /// It is run for each of these.
    Run(Builds),
}

/// The runs of the real client; each is its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Builds {
    /// Builds all disks at once, so that they are in the cache when each is fetched.
    pub(super) warm: Option<Vec<OsString>>,
    pub(super) disks: Vec<DiskRun>,
    /// What was asked for besides.
    pub(super) others: Option<Vec<OsString>>,
    /// Whether each run reads standard input.
    pub(super) reads_stdin: bool,
    /// Whether what was made is not shown.
    pub(super) quiet: bool,
}

/// A run whose stdout is a tar of disk files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DiskRun {
    pub(super) args: Vec<OsString>,
    pub(super) disks: Disks,
}

/// Why nothing was made.
#[derive(Debug)]
pub(super) enum Stop {
    /// This program has something to say about it.
    Error(Error),
    /// The real client failed, and said why.
    Client(ExitCode),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Builds {
    /// Runs everything; the disks get their names last, once all has gone well.
    pub(super) fn carry_out(self, real: &Real, mut stdin: Stdin) -> Result<(), Stop> {
        let places = self.disks.iter().map(|run| To::new(&run.disks)).collect::<Result<Vec<_>, _>>()?;
        let runs = self.disks.len() + usize::from(self.warm.is_some()) + usize::from(self.others.is_some());
        if self.reads_stdin && runs > 1 {
            stdin.keep().map_err(|error| Error::user("stdin: cannot be read").because(error))?;
        }
        let stdout_is_disk = self.disks.iter().any(|run| run.disks.to_stdout());
        let mut runner = Runner { real, stdin, stdout_is_disk };

        if let Some(args) = &self.warm {
            runner.run(args)?;
        }
        let mut arrived = Vec::new();
        for (run, to) in self.disks.iter().zip(&places) {
            arrived.extend(runner.receive(&run.args, to)?);
        }
        if let Some(args) = &self.others {
            runner.run(args)?;
        }
        let made = persist(arrived)?;
        if !self.quiet {
            // On stderr, like all that the client itself has to say.
            made.iter().for_each(tell_line);
        }
        Ok(())
    }
}

/// Where the files of a run go.
enum To {
    Files(Vec<Destination>),
    Stdout(Format),
}

impl To {
    /// Finds out before any run whether they can be written there.
    fn new(disks: &Disks) -> Result<Self, Error> {
        if disks.to_stdout() {
            refuse_terminal("dest=-")?;
            return Ok(Self::Stdout(disks.files[0].1));
        }
        let files = disks.files.iter().map(|(path, format)| Destination::new(path, *format));
        files.collect::<Result<_, _>>().map(Self::Files)
    }
}

/// Runs the real client.
struct Runner<'a> {
    real: &'a Real,
    stdin: Stdin,
    stdout_is_disk: bool,
}

impl Runner<'_> {
    /// A run for what it does, not for its stdout.
    fn run(&mut self, args: &[OsString]) -> Result<(), Stop> {
        let mut command = self.command(args)?;
        if self.stdout_is_disk {
            command.stdout(io::stderr());
        }
        let ended = child::run(&mut command).map_err(|error| self.real.cannot_start(error))?;
        if ended.well() { Ok(()) } else { Err(failed(ended)) }
    }

    /// A run for the disks on its stdout.
    fn receive(&mut self, args: &[OsString], to: &To) -> Result<Vec<Arrived>, Stop> {
        let mut command = self.command(args)?;
        let result = child::receive_from(&mut command, |stream| match to {
            To::Files(destinations) => receive::store(stream, destinations),
            To::Stdout(format) => {
                receive::pass_on(stream, *format, &mut io::stdout().lock()).map(|()| Vec::new())
            }
        });
        let (ended, received) = result.map_err(|error| self.real.cannot_start(error))?;
        match received {
            Ok(arrived) if ended.well() => Ok(arrived),
            Err(Undelivered::Refused(error)) if !ended.interrupted => Err(error.into()),
            Err(Undelivered::EndedEarly(error)) if ended.well() => Err(error.into()),
            _ => Err(failed(ended)),
        }
    }

    fn command(&mut self, args: &[OsString]) -> Result<Command, Stop> {
        let stdin = self.stdin.for_run();
        let stdin: Stdio =
            stdin.map_err(|error| Error::user("stdin: cannot be read again").because(error))?;
        let mut command = self.real.command();
        command.args(args).stdin(stdin);
        Ok(command)
    }
}

fn failed(ended: Ended) -> Stop {
    Stop::Client(ExitCode::from(code(ended.status)))
}

/// As a shell gives it; what was interrupted did not go well, whatever it says.
fn code(status: ExitStatus) -> u8 {
    const SIGINT: i32 = 2;
    let code = match (status.code(), status.signal()) {
        (Some(0), _) => 128 + SIGINT,
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    u8::try_from(code).unwrap_or(1)
}
