//! `vmimage man`: the manual, a page for each command, made of what its `--help` says.
//!
//! For those who package the program, so `--help` does not list it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap_mangen::Man;

use crate::base::{Error, Result};

/// Write the manual pages.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder for the pages
    folder: PathBuf,
}

/// Writes a page for `program` and one for each of its commands.
pub(crate) fn run(args: &Args, program: clap::Command) -> Result<ExitCode> {
    let written = fs::create_dir_all(&args.folder).and_then(|()| write_pages(&args.folder, program));
    let place = args.folder.display();
    written.map_err(|error| Error::user(format!("{place}: the pages cannot be written")).because(error))?;
    Ok(ExitCode::SUCCESS)
}

fn write_pages(folder: &Path, program: clap::Command) -> io::Result<()> {
    let version = format!("{} {}", program.get_name(), program.get_version().unwrap_or_default());
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let commands = program.get_subcommands().filter(|command| !command.is_hide_set());
    let all = commands.flat_map(|command| [command].into_iter().chain(command.get_subcommands()));
    for command in all.chain([&program]) {
        let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let man = Man::new(command.clone().after_help(None::<&str>)).source(&version);
        let mut page = Vec::new();
        man.render(&mut page)?;
        page.write_all(last_section(&examples).as_bytes())?;
        fs::write(folder.join(man.get_filename()), page)?;
    }
    Ok(())
}

/// What stands behind the flags in `--help`, its lines as they are.
fn last_section(text: &str) -> String {
    let (heading, text) = match text.strip_prefix("Examples:\n") {
        Some(examples) => ("EXAMPLES", examples),
        None => ("NOTES", text),
    };
    let lines: String = text.lines().map(|line| format!("{}\n", escape(line))).collect();
    if lines.is_empty() { lines } else { format!(".SH {heading}\n.nf\n{lines}.fi\n") }
}

/// A line that roff takes for nothing but text.
fn escape(line: &str) -> String {
    let text = line.replace('\\', r"\e").replace('-', r"\-").replace('\'', r"\(aq");
    // A period would begin a request, and so would an apostrophe if there were one left.
    if text.starts_with('.') { format!(r"\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_an_example_is_a_request_or_an_escape() {
        let text = "Examples:\n.SH x\n'br\n  a\\fB -o it's";
        let section = ".SH EXAMPLES\n.nf\n\\&.SH x\n\\(aqbr\n  a\\efB \\-o it\\(aqs\n.fi\n";
        assert_eq!(last_section(text), section);
        assert_eq!(last_section("Exit code 0"), ".SH NOTES\n.nf\nExit code 0\n.fi\n");
        assert_eq!(last_section(""), "");
    }
}
