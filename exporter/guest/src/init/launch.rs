//! The process that becomes the service: it takes on the user, the directory, the variables and the bounds that are asked for,
//! and then the program takes its place.
//!
//! A process of its own, because all of this belongs between fork and exec, where no Rust can run. Its standard input is a
//! pipe to process 1: what comes of it is why the program could not be run, and its end without a word is the program's start.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::fs::{FileType, Gid, Uid, fchown, fstat};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use crate::grow::device::in_file;
use crate::init::confine;
use crate::init::console::{self, say};
use crate::init::ending::{Ending, NOT_FOUND, NOT_RUN, NOT_SET_UP};
use crate::init::service::Service;
use crate::init::told::Told;
use crate::init::ulimits;
use crate::init::user::Identity;
use crate::init::view;
use crate::init::words::Words;

/// The argument that asks for it.
pub(crate) const ROLE: &str = "launch";

/// That of container engines.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const NULL: &str = "/dev/null";
/// No standard stream has this number.
const ABOVE_STREAMS: i32 = 3;

/// As that process. Returns only if the service could not be started.
pub(crate) fn run() -> ExitCode {
    let report = take_report();
    let told = Told::read(&Words::read()).map_err(|refused| refused.error);
    let started =
        told.and_then(|told| Ok((told.service()?.ok_or("the image names no program to run")?, told)));
    let (code, error) = match (started, &report) {
        (Ok((service, told)), Ok(_)) => become_program(&service, &told),
        (_, Err(error)) => (NOT_SET_UP, error.clone()),
        (Err(error), _) => (NOT_SET_UP, error),
    };
    match report {
        Ok(mut report) => drop(report.write_all(error.as_bytes())),
        Err(_) => say(format_args!("service: {error}")),
    }
    code.into()
}

/// Become a program with all that is told of the service; says why if it cannot.
pub(crate) fn become_or_fail(program: Result<Service, String>, told: &Told) -> ExitCode {
    let (code, error) = match program {
        Ok(program) => become_program(&program, told),
        Err(error) => (NOT_SET_UP, error),
    };
    say(format_args!("service: {error}"));
    code.into()
}

/// What process 1 makes of the pipe's text: `None`, if the program was started.
pub(crate) fn failure(report: &[u8], code: u8) -> Option<Ending> {
    (!report.is_empty()).then(|| Ending::Failed(code, String::from_utf8_lossy(report).into_owned()))
}

/// The pipe to process 1, which the program does not get; it gets an input with nothing in it.
fn take_report() -> Result<File, String> {
    let report =
        fcntl_dupfd_cloexec(io::stdin(), ABOVE_STREAMS).map_err(|error| format!("input: {error}"))?;
    let null = File::open(NULL).map_err(in_file(Path::new(NULL)))?;
    rustix::stdio::dup2_stdin(&null).map_err(in_file(Path::new(NULL)))?;
    Ok(File::from(report))
}

/// Returns only if it could not: docker's number for that, and why.
fn become_program(program: &Service, told: &Told) -> (u8, String) {
    let command = match prepare(program, told) {
        Ok(command) => command,
        Err(error) => return (NOT_SET_UP, error),
    };
    let (mut command, name) = command;
    let error = command.exec();
    match error.kind() {
        io::ErrorKind::NotFound => {
            (NOT_FOUND, format!("{name}: no such program in the image, or no such interpreter of it"))
        }
        _ => (NOT_RUN, format!("{name}: cannot be run: {error}")),
    }
}

/// Take on all but the program itself.
fn prepare(program: &Service, told: &Told) -> Result<(Command, String), String> {
    if told.is_confined() {
        view::enter()?;
    }
    let identity = Identity::find(program.user())?;
    let directory = program.working_dir();
    fs::create_dir_all(directory).map_err(|error| format!("working directory {directory}: {error}"))?;
    let _ = rustix::process::setsid();
    if told.has_terminal() {
        console::become_terminal()?;
    }
    for (name, limit) in told.ulimits() {
        ulimits::set(name, limit)?;
    }
    if let Some(kept) = told.capabilities()? {
        confine::keep_only(kept)?;
    }
    take_on(&identity).map_err(|error| format!("user {}: {error}", program.user()))?;

    let mut words = program.command();
    let name = words.next().ok_or("the image names no program to run")?;
    let mut command = Command::new(name);
    command.args(words).current_dir(directory).env_clear();
    command.envs(environment(program, &identity, told.has_terminal()));
    Ok((command, name.to_owned()))
}

/// Output becomes the user's own, so that `/dev/stdout` can be opened by name.
fn take_on(identity: &Identity) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    for output in [io::stdout().as_fd(), io::stderr().as_fd()] {
        if is_own(output)? {
            fchown(output, Some(uid), Some(gid))?;
        }
    }
    let groups: Vec<_> = identity.groups.iter().map(|&group| Gid::from_raw(group)).collect();
    set_thread_groups(&groups)?;
    set_thread_gid(gid)?;
    set_thread_uid(uid)?;
    Ok(())
}

/// Whether a stream is nobody else's: a pipe or a terminal, but not `/dev/null`.
fn is_own(stream: impl AsFd + Copy) -> io::Result<bool> {
    let kind = FileType::from_raw_mode(fstat(stream)?.st_mode);
    Ok(kind == FileType::Fifo || rustix::termios::isatty(stream))
}

/// The image's variables over those that every container has.
fn environment(program: &Service, identity: &Identity, has_terminal: bool) -> BTreeMap<String, String> {
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let given = [("PATH", DEFAULT_PATH), ("HOSTNAME", &*hostname), ("HOME", &*identity.home)];
    let terminal = has_terminal.then_some(("TERM", "xterm"));
    let all = given.into_iter().chain(terminal).chain(program.env());
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A pipe for the report: what process 1 reads, and the input of the process.
pub(crate) fn report() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_variables_count() {
        let environment_of = |json: &str, has_terminal| {
            let service: Service = serde_json::from_str(json).unwrap();
            let identity = Identity { uid: 0, gid: 0, groups: vec![], home: "/root".into() };
            environment(&service, &identity, has_terminal)
        };
        let default = environment_of("{}", false);
        assert_eq!((&*default["PATH"], &*default["HOME"]), (DEFAULT_PATH, "/root"));
        assert!(!default.contains_key("TERM"));
        let own = environment_of(r#"{"Env":["PATH=/app","A=b=c","broken","EMPTY="]}"#, true);
        assert_eq!((&*own["PATH"], &*own["A"], &*own["EMPTY"]), ("/app", "b=c", ""));
        assert_eq!((own.contains_key("broken"), &*own["TERM"]), (false, "xterm"));
    }

    #[test]
    fn a_report_is_a_failure_and_none_is_a_start() {
        assert_eq!(failure(b"", 0), None);
        assert_eq!(failure(b"no", 127), Some(Ending::Failed(127, "no".to_owned())));
    }

    #[test]
    fn a_device_of_all_is_nobodys_own() {
        assert!(!is_own(File::open(NULL).unwrap().as_fd()).unwrap());
        assert!(is_own(report().unwrap().0.as_fd()).unwrap());
    }
}
