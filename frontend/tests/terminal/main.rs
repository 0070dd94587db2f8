//! What a person at a terminal sees: progress and the last line, completions, the manual.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod completion;
mod manual;
mod progress;

use std::process::{Command, Output};

fn vmimage(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    command.args(args);
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Runs it to its good end.
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    output
}

/// The commands that `vmimage --help` lists, but for `help`.
fn commands() -> Vec<String> {
    let output = run(&mut vmimage(&["--help"]));
    let help = text(&output.stdout);
    let (_, listed) = help.split_once("\nCommands:\n").unwrap();
    let (listed, _) = listed.split_once("\n\n").unwrap();
    // A command is indented by two; what goes on in a further line, by more.
    let names = listed.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !["", "help"].contains(name)).map(str::to_owned).collect()
}

#[test]
fn commands_are_found_in_the_help() {
    let found = commands();
    assert!(found.contains(&"convert".to_owned()) && !found.contains(&"man".to_owned()), "{found:?}");
}
