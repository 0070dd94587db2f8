//! What an image runs, as far as its words tell: a program, a shell for somebody at a terminal, an init.

use crate::spec::Container;

/// What `ENTRYPOINT` and `CMD` come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// There are none.
    Nothing,
    /// This program waits for somebody at a terminal, or for nothing at all.
    Idle(String),
    /// This program has to be the first process.
    Init(String),
    /// A program that serves; the name it goes by, if it has one.
    Program(Option<String>),
}

/// What does nothing without a terminal or further words; of `python3.12` the digits don't count.
const INTERPRETERS: [&str; 28] = [
    "ash", "bash", "bun", "busybox", "clojure", "dash", "deno", "erl", "fish", "ghci", "groovysh", "iex",
    "irb", "java", "jshell", "julia", "ksh", "lua", "node", "perl", "php", "pwsh", "python", "R", "ruby",
    "scala", "sh", "zsh",
];
/// Those that take a line of shell.
const SHELLS: [&str; 7] = ["ash", "bash", "dash", "ksh", "rbash", "sh", "zsh"];
/// The small inits of containers: a machine has its own, but the program behind them is what counts.
const WRAPPERS: [&str; 8] =
    ["catatonit", "docker-init", "dumb-init", "env", "exec", "podman-init", "tini", "tini-static"];
/// What works as the first process only.
const INITS: [&str; 4] = ["init", "openrc-init", "runit-init", "systemd"];
/// Endings that a service's name is better without.
const SCRIPT_ENDINGS: [&str; 8] = [".jar", ".js", ".mjs", ".php", ".pl", ".py", ".rb", ".sh"];

/// Look at the words of `container`.
pub(super) fn classify(container: &Container) -> Command {
    let mut words: Vec<&str> = container.command().collect();
    if words.first().is_none_or(|program| program.is_empty()) {
        return Command::Nothing;
    }
    while let Some(inner) = unwrap(&words) {
        words = inner;
    }
    let Some((program, arguments)) = words.split_first() else { return Command::Program(None) };
    let name = base_name(program);
    let operand = arguments.iter().find(|word| !word.starts_with('-'));
    if INITS.contains(&name) {
        return Command::Init((*program).to_owned());
    }
    let waits = match name {
        "sleep" => true,
        "tail" => arguments.last() == Some(&"/dev/null"),
        _ => is_interpreter(name) && operand.is_none(),
    };
    if waits {
        return Command::Idle(name.to_owned());
    }
    let named = if is_interpreter(name) { operand.map(|operand| base_name(operand)) } else { Some(name) };
    Command::Program(
        named.filter(|name| !name.contains("entrypoint")).map(|name| without_ending(name).to_owned()),
    )
}

/// Whether many services are this program, with another script each.
pub(super) fn is_interpreter(name: &str) -> bool {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    INTERPRETERS.contains(&name) || SHELLS.contains(&name)
}

/// The words of the program that another one starts; `None` if the first word is no such starter.
fn unwrap<'a>(words: &[&'a str]) -> Option<Vec<&'a str>> {
    let (program, rest) = words.split_first()?;
    let name = base_name(program);
    if WRAPPERS.contains(&name) {
        let after = rest.iter().position(|word| *word == "--").map(|dashes| dashes + 1);
        let is_own = |word: &&&str| word.starts_with('-') || name == "env" && word.contains('=');
        let start = after.unwrap_or_else(|| rest.iter().take_while(is_own).count());
        return Some(rest[start..].to_vec());
    }
    if SHELLS.contains(&name) {
        let options = rest.iter().take_while(|word| word.starts_with('-')).count();
        let takes_line = rest[..options].iter().any(|word| !word.starts_with("--") && word.contains('c'));
        // Good enough for the names of programs; quotes and variables stay what they are.
        return takes_line.then(|| rest.get(options)).flatten().map(|line| line.split_whitespace().collect());
    }
    // A script that prepares what its arguments start.
    (name.contains("entrypoint") && !rest.is_empty()).then(|| rest.to_vec())
}

/// The last name of a path.
pub(super) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn without_ending(name: &str) -> &str {
    SCRIPT_ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entrypoint: &[&str], cmd: &[&str]) -> Command {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        classify(&Container { entrypoint: owned(entrypoint), cmd: owned(cmd), ..Container::default() })
    }

    #[test]
    fn shells_and_what_only_waits_are_idle() {
        for words in [
            &["bash"][..],
            &["/bin/sh"],
            &["sh", "-l"],
            &["sh", "-c", "bash"],
            &["/bin/bash", "--login", "-i"],
            &["/bin/sh", "-c", "exec /bin/bash -l"],
            &["docker-entrypoint.sh", "node"],
            &["tini", "-g", "--", "python3.12"],
            &["python3"],
            &["irb"],
            &["jshell"],
            &["sleep", "infinity"],
            &["tail", "-f", "/dev/null"],
        ] {
            assert!(matches!(of(&[], words), Command::Idle(_)), "{words:?}: {:?}", of(&[], words));
        }
        assert_eq!(of(&[], &[]), Command::Nothing);
        assert_eq!(of(&[""], &[]), Command::Nothing);
    }

    #[test]
    fn inits_have_to_be_the_first_process() {
        for words in
            [&["/sbin/init"][..], &["/lib/systemd/systemd", "--system"], &["/init"], &["tini", "/init"]]
        {
            assert!(matches!(of(words, &[]), Command::Init(_)), "{words:?}");
        }
    }

    #[test]
    fn programs_are_known_by_their_names() {
        let program = |name: &str| Command::Program(Some(name.to_owned()));
        for (entrypoint, cmd, name) in [
            (&["/docker-entrypoint.sh"][..], &["nginx", "-g", "daemon off;"][..], "nginx"),
            (&["docker-entrypoint.sh"], &["postgres"], "postgres"),
            (&[], &["/bin/sh", "-c", "exec redis-server --port 1"], "redis-server"),
            (&["/usr/bin/tini", "-s", "--", "/opt/app/run.sh"], &[], "run"),
            (&["dumb-init", "node", "server.js"], &[], "server"),
            (&["java", "-Xmx1g", "-jar", "/srv/shop.jar"], &[], "shop"),
            (&["python", "-m", "http.server"], &[], "http.server"),
            (&["env", "A=1", "caddy", "run"], &[], "caddy"),
            (&[], &["tail", "-f", "/var/log/app"], "tail"),
            (&[], &["sh", "/start.sh"], "start"),
        ] {
            assert_eq!(of(entrypoint, cmd), program(name), "{entrypoint:?} {cmd:?}");
        }
        assert_eq!(of(&["/entrypoint.sh"], &[]), Command::Program(None));
        assert_eq!(of(&["sh", "-c", ""], &[]), Command::Program(None));
    }
}
