//! Files that a bake definition wants to have written where nobody has allowed it.
//!
//! A definition may be anybody's, that of a git repository for one. buildx (0.20 and later) lets it write to the
//! working directory and to what the command line names, and asks for all else (`bake --allow`). It cannot ask
//! here: a disk is no output that it knows, and what it is told by `--set` it takes for typed. So the same is
//! asked before anything is built, whatever the version of buildx.
//!
//! <https://docs.docker.com/reference/cli/docker/buildx/bake/#allow>

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use super::destination;
use super::line::Line;
use super::output::Output;
use super::words::Item;
use crate::base::{Error, Result, shell, terminal};

/// What every version of buildx says of it.
const REQUESTED: &str = "additional privileges requested";

/// Lets the files of a definition be written, each with the target whose it is, or asks the user.
///
/// # Errors
/// If some lie where the definition may not write, and there is nobody who says that it may.
pub(super) fn check(line: &Line, files: &[(&str, PathBuf)], is_remote: bool) -> Result<()> {
    if is_switched_off(is_remote, |name| env::var_os(name)) {
        return Ok(());
    }
    let granted = Granted::read(line)?;
    let mut missing = BTreeMap::new();
    for (target, file) in files {
        let places = destination::places(file)?.into_iter().filter(|place| !granted.covers(place));
        missing.extend(places.map(|place| (place, *target)));
    }
    let Some(request) = Question::new(line, &missing)? else { return Ok(()) };
    if !is_for_programs(line) && io::stdin().is_terminal() && request.is_consented() {
        return Ok(());
    }
    Err(Error::user(format!("{}: {REQUESTED}", request.what))
        .with_hint(format!("if you trust the definition: {}", request.command)))
}

/// `--allow=fs…`: what buildx before 0.17 does not know, and has no need of.
pub(super) fn is_grant(item: &Item) -> bool {
    item.value_of(&["allow"]).is_some_and(|value| value.as_encoded_bytes().starts_with(b"fs"))
}

/// The value of a `--set` of outputs: `web.output=…`, `*.output+=…`.
pub(super) fn set_output(value: &OsStr) -> Option<&str> {
    let (key, value) = value.to_str()?.split_once('=')?;
    let (_, key) = key.split_once('.')?;
    (key.trim_end_matches('+') == "output").then_some(value)
}

/// Whether a variable of buildx's own says that nothing is to be asked.
fn is_switched_off(is_remote: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let says = |name: &str, words: &[&str]| {
        variable(name).map(|value| words.iter().any(|word| value.eq_ignore_ascii_case(word)))
    };
    let all = says("BUILDX_BAKE_ENTITLEMENTS_FS", &["0", "f", "false"]);
    let remote = || is_remote && says("BAKE_ALLOW_REMOTE_FS_ACCESS", &["1", "t", "true"]) == Some(true);
    all.unwrap_or_else(remote)
}

/// Where a definition may write.
#[derive(Debug)]
enum Granted {
    Everywhere,
    /// These, and all that is in them.
    Places(Vec<PathBuf>),
}

impl Granted {
    /// What the command line names, by `--allow` or in an output of its own, and the working directory.
    fn read(line: &Line) -> Result<Self> {
        let allowed = line.values(&["allow"]).filter_map(OsStr::to_str).filter_map(|value| {
            let (key, path) = value.split_once('=')?;
            (["fs", "fs.write"].contains(&key) && !path.is_empty()).then(|| PathBuf::from(path))
        });
        let allowed: Vec<_> = allowed.collect();
        if allowed.iter().any(|path| path == "*") {
            return Ok(Self::Everywhere);
        }
        let typed = line.values(&["set"]).filter_map(set_output).filter_map(Output::parse);
        let typed: Vec<_> = typed.filter_map(|output| output.file()).collect();
        let places = std::iter::once(PathBuf::from(".")).chain(allowed).chain(typed);
        places.map(|place| destination::follow(&place)).collect::<Result<_>>().map(Self::Places)
    }

    fn covers(&self, place: &Path) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Places(places) => places.iter().any(|granted| place.starts_with(granted)),
        }
    }
}

/// What is asked of the user.
struct Question {
    what: String,
    /// The command that was typed, with what it takes not to be asked.
    command: String,
}

impl Question {
    /// `None` if nothing is missing.
    fn new(line: &Line, missing: &BTreeMap<PathBuf, &str>) -> Result<Option<Self>> {
        if let Some((place, target)) = missing.iter().find(|(place, _)| has_control(place)) {
            let message = format!("target {target}: {place:?}: has characters that hide what it says");
            return Err(Error::user(message).with_hint("name the file in plain characters"));
        }
        let writes =
            missing.iter().map(|(place, target)| format!("target {target} writes to {}", place.display()));
        let what = format!("{}, outside the working directory", writes.collect::<Vec<_>>().join(" and "));
        let flags = missing.keys().map(|place| format!("--allow=fs.write={}", place.display()));
        let words = std::iter::once(program(line)).chain(line.with(|_| true, flags));
        let command = words.map(shell::quote).collect::<Vec<_>>().join(" ");
        Ok((!missing.is_empty()).then_some(Self { what, command }))
    }

    /// Whether the user, who is at a terminal, says yes. The question is buildx's own.
    fn is_consented(&self) -> bool {
        terminal::tell(&format!("{}.\nIn order not to be asked: {}\n\n", self.what, self.command));
        terminal::tell("Do you want to grant requested privileges and continue? [y/N] ");
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).is_ok() && answer.trim_end().eq_ignore_ascii_case("y")
    }
}

fn has_control(path: &Path) -> bool {
    path.to_string_lossy().contains(char::is_control)
}

/// Whether what goes to stderr is read by a program, which has no answer.
fn is_for_programs(line: &Line) -> bool {
    line.last(&["progress"]).is_some_and(|progress| progress == "rawjson")
}

/// What the command line began with.
fn program(line: &Line) -> OsString {
    let usual = if line.is_of_plugin() { "docker" } else { "docker-buildx" };
    env::var_os("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND").unwrap_or_else(|| usual.into())
}

#[cfg(test)]
mod tests {
    use super::super::docker_buildx::CLIENT;
    use super::*;

    fn line(typed: &str) -> Line {
        let words: Vec<OsString> = typed.split_whitespace().map(OsString::from).collect();
        Line::read(&words, &CLIENT).unwrap()
    }

    #[test]
    fn a_definition_writes_where_the_command_line_says() {
        for (typed, written, refused) in [
            (
                "bake",
                &["web.qcow2", "out/../web.qcow2"][..],
                &["/web.qcow2", "../web.qcow2", "out/../../x"][..],
            ),
            ("bake --allow fs.write=/a", &["/a", "/a/b/c", "x"], &["/ab", "/a/../b", "/"]),
            ("bake --allow=fs=/a --allow fs.write=/b/../c", &["/a/x", "/c/x"], &["/b/x"]),
            ("bake --allow=fs.write=*", &["/a", "../x"], &[]),
            ("bake --allow=fs=*", &["/a"], &[]),
            (
                "bake --allow=fs.read=* --allow fs.read=/a --allow=network.host --allow=fs --allow=fs=",
                &["x"],
                &["/a"],
            ),
            ("bake --set *.output=type=vmdisk,dest=/a/web.qcow2", &["/a/web.qcow2"], &["/a/b", "/a"]),
            ("bake --set web.output+=/a", &["/a/b"], &["/b"]),
            ("bake --set=web.args.output=type=local,dest=/a --set *.output=type=tar,dest=-", &["-"], &["/a"]),
        ] {
            let granted = Granted::read(&line(typed)).unwrap();
            let covers = |file: &&&str| {
                let places = destination::places(Path::new(file)).unwrap();
                places.iter().all(|place| granted.covers(place))
            };
            let all: Vec<_> = written.iter().chain(refused).filter(covers).collect();
            assert_eq!(all, written.iter().collect::<Vec<_>>(), "{typed}");
        }
    }

    #[test]
    fn variables_of_buildx_say_whether_it_is_asked() {
        for (is_remote, all, remote, expected) in [
            (false, None, None, false),
            (false, None, Some("1"), false),
            (true, None, Some("true"), true),
            (true, None, Some("0"), false),
            (true, Some("1"), Some("1"), false),
            (true, Some("False"), None, true),
            (false, Some("0"), None, true),
            (false, Some("yes"), None, false),
            (false, Some(""), None, false),
        ] {
            let variable = |name: &str| match name {
                "BUILDX_BAKE_ENTITLEMENTS_FS" => all.map(OsString::from),
                _ => remote.map(OsString::from),
            };
            assert_eq!(is_switched_off(is_remote, variable), expected, "{is_remote} {all:?} {remote:?}");
        }
    }

    #[test]
    fn the_request_is_for_what_was_typed() {
        let missing = BTreeMap::from([(PathBuf::from("/a/it's"), "web"), (PathBuf::from("/b"), "db")]);
        let request = |typed: &str| Question::new(&line(typed), &missing).unwrap().unwrap();
        let what = "target web writes to /a/it's and target db writes to /b, outside the working directory";
        assert_eq!(request("bake").what, what);
        let flags = r"'--allow=fs.write=/a/it'\''s' --allow=fs.write=/b";
        for (typed, expected) in [
            ("buildx bake -f x.hcl web", format!("docker buildx bake -f x.hcl web {flags}")),
            (
                "bake --set *.pull=true -- web",
                format!("docker-buildx bake --set '*.pull=true' {flags} -- web"),
            ),
        ] {
            assert_eq!(request(typed).command, expected);
        }
        assert!(Question::new(&line("bake"), &BTreeMap::new()).unwrap().is_none());
    }

    #[test]
    fn no_name_hides_what_the_request_says() {
        for name in ["/etc/\u{1b}[2K", "/etc/a\nb", "/etc/a\rb", "/etc/\u{9b}2K"] {
            let missing = BTreeMap::from([(PathBuf::from(name), "web")]);
            let error = Question::new(&line("bake"), &missing).err().unwrap().to_string();
            assert!(
                error.starts_with("target web: \"/etc/") && !error.contains(char::is_control),
                "{error:?}"
            );
        }
    }
}
