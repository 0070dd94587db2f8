//! `vmimage exec`: a program in a machine that runs.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write, stdin, stdout};
use std::os::fd::AsFd;
use std::process::ExitCode;

use agent::client::{Client, Session};
use agent::message::{Done, Exec, Request, Size};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;

use super::agent_of;
use crate::base::terminal::tell_line;
use crate::base::{Error, Result};
use crate::machines::tty::{self, Raw};
use crate::machines::{Machine, Name};

/// Run a program in a machine that runs, by its agent.
///
/// The exit code is the program's, in docker's numbers: 126 if it cannot be run, 127 if there is none, 128 and a signal's
/// number. It runs as the image's program does, unless something else is said.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What the machine is called
    name: Name,
    /// The program, and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// Give it what comes on stdin
    #[arg(short, long)]
    interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,
    /// Set a variable; one without a value has that of this host, if it has one
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Run it as this user
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Start it in this directory
    #[arg(short, long, value_name = "DIRECTORY")]
    workdir: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  vmimage exec web cat /etc/os-release
  vmimage exec -it web sh
  vmimage exec -u root -w /srv web tar -c . >srv.tar";

/// What a terminal of which nobody knows the size has.
const USUAL: Size = Size { rows: 24, columns: 80 };

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let machine = Machine::find(&args.name)?;
    if args.tty && args.interactive && !stdin().is_terminal() {
        return Err(
            Error::user("-t: stdin is no terminal").with_hint("leave -t out, or start it in a terminal")
        );
    }
    let client = agent_of(&machine)?;
    let done = match args.tty {
        true => in_terminal(&client, exec(args)?, args.interactive),
        false => in_pipes(&client, exec(args)?, args.interactive),
    };
    let done = done.map_err(|error| {
        Error::user(format!("{}: cannot be spoken to any more", args.name)).because(error)
    })?;
    if let Some(error) = &done.error {
        tell_line(format_args!("error: {error}"));
    }
    Ok(ExitCode::from(u8::try_from(done.status).unwrap_or(125)))
}

fn exec(args: &Args) -> Result<Exec> {
    let from_host = |word: &String| match word.contains('=') {
        true => Some(Ok(word.clone())),
        false => std::env::var_os(word).map(|value| match value.into_string() {
            Ok(value) => Ok(format!("{word}={value}")),
            Err(_) => Err(Error::user(format!("-e {word}: its value is no UTF-8"))),
        }),
    };
    Ok(Exec {
        argv: args.command.clone(),
        env: args.env.iter().filter_map(from_host).collect::<Result<_>>()?,
        user: args.user.clone(),
        workdir: args.workdir.clone(),
        tty: args.tty.then(|| tty::size().unwrap_or(USUAL)),
    })
}

/// Runs it with what it prints apart from its errors.
fn in_pipes(client: &Client, exec: Exec, is_interactive: bool) -> io::Result<Done> {
    match is_interactive {
        true => client.run(exec, stdin(), unbuffered()?, io::stderr()),
        false => client.run(exec, io::empty(), unbuffered()?, io::stderr()),
    }
}

/// This process's stdout, of which a part of a line is shown as soon as it comes.
fn unbuffered() -> io::Result<File> {
    Ok(File::from(stdout().as_fd().try_clone_to_owned()?))
}

/// Runs it in a terminal of the machine, which is shown in this one.
fn in_terminal(client: &Client, exec: Exec, is_interactive: bool) -> io::Result<Done> {
    let session = client.open(&Request::Exec(exec))?;
    let raw = is_interactive.then(Raw::enter).flatten();
    if is_interactive {
        let to = session.input();
        // A thread that waits for a key ends with this process.
        std::thread::spawn(move || copy(stdin().lock(), to));
    }
    let mut signals = Signals::new([SIGWINCH, SIGHUP, SIGINT, SIGTERM])?;
    let handle = signals.handle();
    let copied = std::thread::scope(|scope| {
        scope.spawn(|| signals.forever().for_each(|signal| heed(signal, &session, raw.as_ref())));
        let copied = unbuffered().and_then(|stdout| copy(session.output(), stdout));
        handle.close();
        copied
    });
    drop(raw);
    copied.map(|()| session.wait())
}

/// The size of this terminal may have changed. All other signals end this process, with the terminal as it was.
fn heed(signal: i32, session: &Session, raw: Option<&Raw>) {
    if signal == SIGWINCH {
        let _ = tty::size().map(|size| session.resize(size));
        return;
    }
    if let Some(raw) = raw {
        raw.leave();
    }
    std::process::exit(128 + signal);
}

/// Piece by piece, as they come.
fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut piece = [0; 16 << 10];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(len) => {
                to.write_all(piece.get(..len).unwrap_or_default())?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: Args,
    }

    fn typed(words: &[&str]) -> Args {
        Typed::parse_from(["exec"].iter().chain(words)).args
    }

    #[test]
    fn options_come_first_and_the_rest_is_the_command() {
        let args =
            typed(&["-it", "-e", "A=b c", "-u", "app:web", "-w", "/srv", "web", "sh", "-c", "exit -t"]);
        assert!(args.interactive && args.tty);
        let exec = exec(&args).unwrap();
        assert_eq!(
            (args.name.as_str(), exec.argv),
            ("web", ["sh", "-c", "exit -t"].map(str::to_owned).to_vec())
        );
        assert_eq!((exec.user.as_deref(), exec.workdir.as_deref()), (Some("app:web"), Some("/srv")));
        assert!(exec.env == ["A=b c"] && exec.tty.is_some());
        assert_eq!(typed(&["web", "ls", "-e", "-i"]).command, ["ls", "-e", "-i"]);
        assert!(Typed::try_parse_from(["exec", "web"]).is_err());
        assert!(Typed::try_parse_from(["exec", "../web", "ls"]).is_err());
    }

    #[test]
    fn a_variable_without_a_value_is_the_hosts() {
        let args = typed(&["-e", "PATH", "-e", "NOBODY_HAS_SET_THIS", "-e", "EMPTY=", "web", "env"]);
        let path = format!("PATH={}", std::env::var("PATH").unwrap());
        assert_eq!(exec(&args).unwrap().env, [path.as_str(), "EMPTY="]);
    }
}
