//! The program of an image, as `docker run` lets one say what it is: what the machine's first process is told of it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use exporter::spec::Container;
use serde::Serialize;

use super::share::{Share, Volume};
use crate::base::{Error, Result};

/// The largest drive that tells a machine something, and what its size is a multiple of: a sector.
const MOST: usize = 1 << 20;
const SECTOR: usize = 512;

/// What can be said of the program.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Program options, for images, build contexts and microVMs")]
pub(super) struct ProgramArgs {
    /// Pass this process's standard input on
    #[arg(short, long)]
    pub(super) interactive: bool,
    /// Give the program a terminal
    #[arg(short, long)]
    pub(super) tty: bool,
    /// Set a variable; NAME alone takes its value from here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(super) env: Vec<String>,
    /// Set the variables in a file, one in a line
    #[arg(long, value_name = "FILE")]
    pub(super) env_file: Vec<PathBuf>,
    /// Who runs it
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(super) user: Option<String>,
    /// Where it starts
    #[arg(short, long, value_name = "DIR")]
    pub(super) workdir: Option<String>,
    /// The program in place of the image's ENTRYPOINT
    #[arg(long, value_name = "PROGRAM")]
    pub(super) entrypoint: Option<String>,
    /// The name of the machine
    #[arg(long, value_name = "NAME")]
    pub(super) hostname: Option<String>,
    /// Share a folder of this host with the machine, at a path there
    #[arg(short, long, value_name = "HOST:GUEST[:ro][,uid=N][,gid=N]")]
    pub(super) volume: Vec<Volume>,
}

/// The document on the drive, as the first process reads it (docs/init.md).
#[derive(Default, PartialEq, Serialize)]
pub(super) struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Service>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    held: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shares: Vec<Shared>,
}

/// What is said in place of the image's configuration.
#[derive(Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<String>,
}

#[derive(PartialEq, Serialize)]
struct Shared {
    tag: String,
    at: String,
    r#type: &'static str,
    read_only: bool,
}

impl ProgramArgs {
    /// What is told beside what the image says; `held`: this program starts it, by the agent.
    ///
    /// # Errors
    /// If a file of variables is not to be had, or a word is none.
    pub(super) fn told(&self, command: &[String], shares: &[Share], held: bool) -> Result<Told> {
        let service = Service {
            entrypoint: self.entrypoint_words(),
            cmd: self.cmd(command),
            user: self.user.clone(),
            working_dir: self.workdir.clone(),
        };
        let shares = shares.iter().map(|share| Shared {
            tag: share.tag.clone(),
            at: share.at.clone(),
            r#type: share.transport.name(),
            read_only: share.read_only,
        });
        let container = (service != Service::default()).then_some(service);
        Ok(Told {
            hostname: self.hostname.clone(),
            container,
            env: self.variables()?,
            held,
            shares: shares.collect(),
        })
    }

    /// Whether there would be a program in an image that says this of its own.
    pub(super) fn has_program(&self, command: &[String], image: &Container) -> bool {
        let entrypoint = self.entrypoint_words().unwrap_or_else(|| image.entrypoint.clone());
        let cmd = self.cmd(command).unwrap_or_else(|| image.cmd.clone());
        !entrypoint.is_empty() || !cmd.is_empty()
    }

    /// As with docker, an empty word takes the image's away.
    fn entrypoint_words(&self) -> Option<Vec<String>> {
        let word = self.entrypoint.as_ref()?;
        Some(if word.is_empty() { Vec::new() } else { vec![word.clone()] })
    }

    /// With another entrypoint the image's `CMD` means nothing.
    fn cmd(&self, command: &[String]) -> Option<Vec<String>> {
        (!command.is_empty() || self.entrypoint.is_some()).then(|| command.to_vec())
    }

    /// Those of files first, and then those that were typed.
    fn variables(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for path in &self.env_file {
            let shown = format!("--env-file {}", path.display());
            let text = fs::read_to_string(path)
                .map_err(|error| Error::user(format!("{shown}: cannot be read")).because(error))?;
            let lines =
                text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
            for line in lines {
                all.extend(variable(line).map_err(|why| Error::user(format!("{shown}: {line:?}: {why}")))?);
            }
        }
        for text in &self.env {
            all.extend(variable(text).map_err(|why| Error::user(format!("--env {text:?}: {why}")))?);
        }
        Ok(all)
    }
}

/// `NAME=VALUE`; of a name alone, what it is here, and nothing where it is not.
fn variable(text: &str) -> Result<Option<String>, &'static str> {
    let name = text.split('=').next().unwrap_or_default();
    if name.is_empty() || name.contains(char::is_whitespace) || text.contains('\0') {
        return Err("is no variable: write NAME=VALUE");
    }
    if name.len() < text.len() {
        return Ok(Some(text.to_owned()));
    }
    match env::var(name) {
        Ok(value) => Ok(Some(format!("{name}={value}"))),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err("is here no text of UTF-8"),
    }
}

impl Told {
    /// Whether nothing is told.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The bytes of the drive: whole sectors.
    ///
    /// # Errors
    /// If it is more than a machine reads.
    pub(super) fn drive(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)
            .map_err(|error| Error::internal("JSON: cannot be written").because(error))?;
        bytes.resize(bytes.len().next_multiple_of(SECTOR), b'\n');
        if bytes.len() > MOST {
            let message = format!(
                "the command and its variables: are {} bytes, more than the {MOST} that a machine reads",
                bytes.len()
            );
            return Err(Error::user(message).with_hint("share a folder with a file of them: --volume"));
        }
        Ok(bytes)
    }

    /// Writes the drive into a folder that nobody else reads.
    ///
    /// # Errors
    /// If it is too large, or cannot be written.
    pub(super) fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join("told");
        fs::write(&path, self.drive()?)
            .map_err(|error| Error::user(format!("{}: cannot be written", path.display())).because(error))?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: ProgramArgs,
        #[arg(last = true)]
        command: Vec<String>,
    }

    fn typed(words: &[&str]) -> Typed {
        Typed::parse_from(["run"].iter().chain(words))
    }

    fn told(words: &[&str]) -> String {
        let Typed { args, command } = typed(words);
        serde_json::to_string(&args.told(&command, &[], false).unwrap()).unwrap()
    }

    #[test]
    fn a_machine_is_told_what_was_typed_and_nothing_else() {
        assert_eq!(told(&[]), "{}");
        assert_eq!(told(&["--", "sh", "-c", "exit 42"]), r#"{"container":{"Cmd":["sh","-c","exit 42"]}}"#);
        assert_eq!(told(&["--entrypoint", "/a"]), r#"{"container":{"Entrypoint":["/a"],"Cmd":[]}}"#);
        assert_eq!(told(&["--entrypoint", "", "--", "b"]), r#"{"container":{"Entrypoint":[],"Cmd":["b"]}}"#);
        let words = ["-u", "app:web", "-w", "/srv", "--hostname", "web", "-e", "A=b=c", "-e", "EMPTY="];
        assert_eq!(
            told(&words),
            r#"{"hostname":"web","container":{"User":"app:web","WorkingDir":"/srv"},"env":["A=b=c","EMPTY="]}"#
        );
    }

    #[test]
    fn a_share_and_a_program_that_the_host_starts_are_told() {
        let share = Share::plan9("share0", "/src", "/host/src".into(), true);
        let told = typed(&["-it"]).args.told(&[], &[share], true).unwrap();
        assert_eq!(
            serde_json::to_string(&told).unwrap(),
            r#"{"held":true,"shares":[{"tag":"share0","at":"/src","type":"9p","read_only":true}]}"#
        );
        assert!(!told.is_empty());
    }

    #[test]
    fn variables_come_from_files_and_from_here() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "# comment\n\n  A=1\nPATH\nNO_SUCH_VARIABLE_HERE\nB=two words # and more\n")
            .unwrap();
        let path = file.path().to_str().unwrap();
        let Typed { args, .. } = typed(&["-e", "A=2", "--env-file", path, "-e", "NO_SUCH_VARIABLE_HERE"]);
        let here = format!("PATH={}", env::var("PATH").unwrap());
        assert_eq!(args.variables().unwrap(), ["A=1", &here, "B=two words # and more", "A=2"]);
        for wrong in ["", "=x", "A B=c", "A\u{a0}=c"] {
            assert!(
                typed(&["-e", wrong]).args.variables().unwrap_err().to_string().starts_with("--env "),
                "{wrong}"
            );
        }
        let error = typed(&["--env-file", "/missing"]).args.variables().unwrap_err().to_string();
        assert!(error.starts_with("--env-file /missing: cannot be read: No such file"), "{error}");
    }

    #[test]
    fn an_image_without_a_program_needs_a_command() {
        let has = |words: &[&str], image: &Container| {
            let Typed { args, command } = typed(words);
            args.has_program(&command, image)
        };
        let none = Container::default();
        let cmd = Container { cmd: vec!["bash".into()], ..Container::default() };
        assert!(!has(&[], &none) && has(&["--", "ls"], &none) && has(&["--entrypoint", "a"], &none));
        assert!(has(&[], &cmd) && !has(&["--entrypoint", ""], &cmd));
    }

    #[test]
    fn a_drive_is_whole_sectors_and_has_an_end() {
        let of = |value: usize| {
            let variable = format!("A={}", "x".repeat(value));
            typed(&["-e", &variable]).args.told(&[], &[], false).unwrap().drive()
        };
        let drive = of(1).unwrap();
        assert_eq!((drive.len(), drive.last()), (512, Some(&b'\n')));
        assert!(drive.starts_with(b"{\"env\":[\"A=x\"]}\n"));
        assert_eq!(of(MOST - 100).unwrap().len(), MOST);
        assert!(of(MOST).unwrap_err().to_string().contains("more than the 1048576 that a machine reads"));
    }
}
