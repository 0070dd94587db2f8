//! The commands of the documentation and of `--help`, each held against what really reads it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::Cli;
use crate::ask::config::{Config, FILE};
use crate::ask::request::Request;
use crate::engine::dockerfile::{Target, Variables, predefined};
use crate::engine::frontend;
use crate::shim;

/// Programs that are other people's.
const FOREIGN: [&str; 17] = [
    "buildah",
    "cat",
    "curl",
    "dd",
    "gpg",
    "jq",
    "less",
    "ls",
    "minisign",
    "nbd-client",
    "nbdcopy",
    "qemu-img",
    "rauc",
    "skopeo",
    "ssh",
    "systemctl",
    "veritysetup",
];
/// What a name of the shell's, or a file that is written to, is taken for.
const NO_PROGRAM: &str = ">";

/// The README and the pages of docs/, by their names.
fn pages() -> Vec<(String, String)> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = docs.chain([root().join("README.md")]).collect();
    paths.sort();
    let read = |path: PathBuf| (path.display().to_string(), std::fs::read_to_string(path).unwrap());
    paths.into_iter().map(read).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn every_block_of_the_docs_is_what_the_program_takes() {
    let mut blocks = 0;
    for (page, text) in pages() {
        for block in text.split("```").skip(1).step_by(2) {
            let (language, block) = block.split_once('\n').unwrap();
            assert_eq!(check_block(language, block), Ok(()), "{page}:\n{block}");
            blocks += 1;
        }
    }
    assert!(blocks > 20, "{blocks}");
}

#[test]
fn every_command_in_a_line_of_the_docs_is_there() {
    let mut commands = 0;
    for (page, text) in pages() {
        let prose: String = text.split("```").step_by(2).collect();
        let in_machine = guest::COMMANDS.iter().map(|(program, _)| format!("{program} "));
        let begins = ["vmimage ", "make ", "docker build ", "docker buildx build "].map(str::to_owned);
        let begins: Vec<_> = begins.into_iter().chain(in_machine).collect();
        for code in prose.split('`').skip(1).step_by(2) {
            if begins.iter().any(|begin| code.starts_with(begin.as_str())) {
                assert_eq!(check_line(code, Whole::No), Ok(()), "{page}: {code}");
                commands += 1;
            }
        }
    }
    assert!(commands > 20, "{commands}");
}

#[test]
fn every_example_of_the_help_is_what_the_program_takes() {
    let program = Cli::command();
    let commands =
        program.get_subcommands().flat_map(|command| [command].into_iter().chain(command.get_subcommands()));
    let all = [&program].into_iter().chain(commands);
    let helps: Vec<_> = all.filter_map(|command| Some(command.get_after_help()?.to_string())).collect();
    let lines: Vec<_> = helps.iter().flat_map(|help| examples(help)).collect();
    for line in &lines {
        assert_eq!(check_line(line, Whole::Yes), Ok(()), "{line}");
    }
    assert!(lines.len() > 30, "{}", lines.len());
}

/// The commands of a help text: two spaces before each, and two at least before what is said about it.
fn examples(help: &str) -> Vec<String> {
    let (help, _) = help.split_once("\n\nAttributes").unwrap_or((help, ""));
    let commands = help.replace("\\\n    ", "");
    let lines = commands.lines().filter_map(|line| line.strip_prefix("  "));
    let lines = lines.filter(|line| !line.starts_with(' ') && !line.contains(": {"));
    lines.map(|line| line.split("  ").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn what_no_program_takes_is_found() {
    for (language, block, part) in [
        ("console", "$ vmimage biuld .", "unrecognized subcommand"),
        ("console", "$ vmimage factory-rest", "unrecognized subcommand"),
        ("console", "$ vmimage build . --sise 10G", "unexpected argument"),
        ("console", "$ vmimage build . --size big", "invalid value"),
        ("console", "$ vmimage convert", "required"),
        ("console", "$ make out/vmimage && vmimage run a.qcow2 -p x:80", "invalid value"),
        ("console", "$ docker build -o type=vmdisk,dest=a.qcow2,sise=1G .", "unknown attribute"),
        ("console", "$ docker build -o type=vmdisk,dest=a.floppy .", "tells no format"),
        ("console", "$ docker bulid -o type=vmdisk,dest=a.raw .", "no disk is made"),
        ("console", "$ docker build --ouput type=vmdisk,dest=a.raw .", "unexpected argument"),
        ("console", "$ docker build --build-arg VMIMAGE_SISE=1G .", "not an argument of vmimage"),
        ("console", "$ docker build --build-arg VMIMAGE_STAGE=kernel .", "one of"),
        ("console", "$ make dmeo", "no target"),
        ("console", "$ make fuzz FUZ=tar", "FUZ is not"),
        ("console", "$ vmimgae build .", "no program"),
        ("console", "$ vmimage build testdata/no-such-demo", "is not in the repository"),
        ("console", "$ vmimage build . -f testdata/no-such/Dockerfile", "is not in the repository"),
        ("console", "$ cat Dockerfile\nFROM debian:12\nFORM debian:13", "unknown instruction"),
        ("console", "$ cat Dockerfile\n# syntax=example/vmimg\nFROM debian:12", "is not the frontend"),
        ("console", "$ vmimage doctor\n{\"a\": }", "expected value"),
        ("dockerfile", "RUN true", "cannot be read"),
        ("toml", "sise = \"20G\"", "sise"),
        ("json", "{\"a\": }", "expected value"),
        ("tomll", "size = \"20G\"", "tomll"),
    ] {
        let error = check_block(language, block).expect_err(block);
        assert!(error.contains(part), "{block}: {part:?} is not in {error}");
    }
}

#[test]
fn a_shells_words_are_its_words() {
    for (line, expected) in [
        ("a 'b c' \"d # e\" # f", &["a|b c|d # e"][..]),
        ("A=1 a --b=c | d && e; f &", &["A=1|a|--b=c", "d", "e", "f"]),
        ("source <(vmimage x) >y#z", &["source|<", "vmimage|x", ">|y#z"]),
        ("", &[]),
    ] {
        let commands: Vec<_> = split(line).iter().map(|words| words.join("|")).collect();
        assert_eq!(commands, expected, "{line}");
    }
}

/// Why a fenced block is wrong.
fn check_block(language: &str, block: &str) -> Result<(), String> {
    match language {
        "console" | "sh" | "" => check_session(block),
        "toml" => Config::parse(FILE, block).map(drop).map_err(|problems| problems.to_string()),
        "dockerfile" => check_dockerfile(block),
        // One value, or one behind the other, as `--json` has events.
        "json" => {
            let mut values = serde_json::Deserializer::from_str(block).into_iter::<serde_json::Value>();
            values.try_for_each(|value| value.map(drop)).map_err(text)
        }
        // What is printed or drawn.
        "text" => Ok(()),
        other => Err(format!("nobody knows what is right in {other}")),
    }
}

/// Of commands, each behind a `$`, with what they print below them.
fn check_session(block: &str) -> Result<(), String> {
    let block = block.replace("\\\n", "");
    let block = format!("\n{block}");
    let (before, commands) = block.split_once("\n$ ").ok_or("there is no command")?;
    if !before.is_empty() {
        return Err(format!("{before} is no command: a $ stands before one"));
    }
    for command in commands.split("\n$ ") {
        let (line, printed) = command.split_once('\n').unwrap_or((command, ""));
        check_line(line, Whole::Yes)?;
        match printed.chars().next() {
            _ if line == "cat Dockerfile" => check_dockerfile(printed)?,
            Some('{') => serde_json::from_str(printed).map(|_: serde_json::Value| ()).map_err(text)?,
            _ => {}
        }
    }
    Ok(())
}

/// It can be built, and a syntax line names the frontend.
fn check_dockerfile(dockerfile: &str) -> Result<(), String> {
    if dockerfile.starts_with("# syntax=") && !frontend::is_named_in(dockerfile, &frontend::image()) {
        return Err(format!("{} is not the frontend", dockerfile.lines().next().unwrap_or_default()));
    }
    Target::find(dockerfile, None, &Variables::new(), &predefined(None)).map(drop).map_err(text)
}

/// Whether all that a command needs stands there, or it is only named.
#[derive(Clone, Copy, PartialEq)]
enum Whole {
    Yes,
    No,
}

fn check_line(line: &str, whole: Whole) -> Result<(), String> {
    split(line).iter().try_for_each(|words| check_command(words, whole))
}

fn check_command(words: &[String], whole: Whole) -> Result<(), String> {
    let before = |word: &&String| word.as_str() == "sudo" || word.contains('=');
    let words = &words[words.iter().take_while(before).count()..];
    let (program, rest) = words.split_first().ok_or("there is no program")?;
    match program.as_str() {
        program if runs_in_machine(program, rest) => Ok(()),
        "vmimage" => check_paths(rest).and_then(|()| parse(words, whole)),
        "docker" | "nerdctl" => check_paths(rest).and_then(|()| check_docker(rest, whole)),
        "make" => rest.iter().try_for_each(|word| check_make(word)),
        "source" | NO_PROGRAM => Ok(()),
        other if FOREIGN.contains(&other) => Ok(()),
        other => Err(format!("{other} is no program that is known here")),
    }
}

/// Whether it is for a person in the machine, not for one who makes it.
fn runs_in_machine(program: &str, rest: &[String]) -> bool {
    let takes = |words: &[&str]| rest.first().is_some_and(|word| words.contains(&word.as_str()));
    guest::COMMANDS.iter().any(|(name, words)| *name == program && takes(words))
}

/// Reads what is typed as this program does.
fn parse(words: &[String], whole: Whole) -> Result<(), String> {
    match Cli::parse_words(words.iter().map(OsString::from)).map_err(|error| (error.kind(), error)) {
        Ok(_) | Err((ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, _)) => Ok(()),
        Err((ErrorKind::MissingRequiredArgument, _)) if whole == Whole::No => Ok(()),
        Err((_, error)) => Err(error.to_string()),
    }
}

/// Docker's flags are those that `vmimage build` takes, too; outputs and arguments of ours are the shim's and the
/// frontend's.
fn check_docker(rest: &[String], whole: Whole) -> Result<(), String> {
    let build = rest.iter().take(2).position(|word| word == "build");
    if let Some(build) = build {
        let words = ["vmimage", "build"].map(str::to_owned).into_iter().chain(rest[build + 1..].to_vec());
        parse(&words.collect::<Vec<_>>(), whole)?;
        let arguments = rest.iter().map(|word| word.strip_prefix("--build-arg=").unwrap_or(word));
        Request::new(&[], arguments.filter_map(|argument| argument.split_once('='))).map_err(text)?;
    }
    let typed: Vec<_> = rest.iter().map(OsString::from).collect();
    let asks = ["type=vmdisk", "format=containerdisk"];
    let is_ours = rest.iter().any(|word| asks.iter().any(|ask| word.contains(ask)));
    match shim::takes_over(&typed).map_err(text)? {
        false if is_ours => Err("no disk is made".to_owned()),
        _ => Ok(()),
    }
}

fn check_make(word: &str) -> Result<(), String> {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let variables = makefile.clone() + &std::fs::read_to_string(root().join("fuzz/run")).unwrap();
    match word.split_once('=') {
        Some((name, _))
            if [format!("{name}="), format!("$({name})")].iter().any(|use_of| variables.contains(use_of)) =>
        {
            Ok(())
        }
        Some((name, _)) => Err(format!("{name} is not asked for by make")),
        None if format!("\n{makefile}").contains(&format!("\n{word}:")) => Ok(()),
        None => Err(format!("make: there is no target {word}")),
    }
}

/// Those in folders of the repository are there.
fn check_paths(words: &[String]) -> Result<(), String> {
    let is_ours = |word: &&String| {
        let folder = word.split_once('/').map_or("", |(folder, _)| folder);
        ["agent", "dhcp-message", "docs", "exporter", "frontend", "fuzz", "llb", "testdata"].contains(&folder)
    };
    let missing = words.iter().filter(is_ours).find(|word| !root().join(word).exists());
    missing.map_or(Ok(()), |path| Err(format!("{path} is not in the repository")))
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// The words of each command of a line, without quotes and comments.
fn split(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let (mut word, mut quote) = (None::<String>, None);
    for c in line.chars().chain([' ']) {
        match (quote, c) {
            (Some(end), _) if c == end => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ' | '|' | '&' | ';' | '(' | ')' | '>') => {
                commands.last_mut().unwrap().extend(word.take());
                if c != ' ' {
                    commands.push(Vec::new());
                }
                if c == '>' {
                    commands.last_mut().unwrap().push(NO_PROGRAM.to_owned());
                }
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    commands.retain(|words| !words.is_empty());
    commands
}
