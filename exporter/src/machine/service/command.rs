//! What an image runs, as far as its words tell: a program, a shell for somebody at a terminal, an init.
//!
//! Only what is idle from its first word to its last is no service: whatever cannot be judged is one.

use super::script::{self, Simple, is_assignment};
use crate::limits::{self, Budget};
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
/// Their options that only make the terminal another one.
const TERMINAL_OPTIONS: [&str; 6] = ["-", "-i", "-l", "-q", "-u", "--interactive"];
/// Their options before a word that is no program.
const VALUED_OPTIONS: [&str; 8] =
    ["-W", "-X", "-classpath", "-cp", "-r", "--class-path", "--import", "--require"];
/// Their options before a word that is a program's text.
const TEXT_OPTIONS: [&str; 3] = ["-c", "-e", "--eval"];
/// Those that take a line of shell.
const SHELLS: [&str; 7] = ["ash", "bash", "dash", "ksh", "rbash", "sh", "zsh"];
/// Letters of a shell's options before a word that belongs to them: `-o pipefail`.
const SHELLS_VALUED: &str = "oO";
/// What a shell does by itself, with no effect on anything else.
const HARMLESS: [&str; 13] =
    [":", "[", "cd", "exec", "exit", "export", "false", "set", "test", "true", "umask", "unset", "wait"];
/// What a program is started by, such as the small inits of containers (a machine has its own): the letters
/// of the options before a word that belongs to them, and how many words come before the program's.
const WRAPPERS: [(&str, &str, usize); 19] = [
    ("catatonit", "", 0),
    ("docker-init", "ep", 0),
    ("dumb-init", "r", 0),
    ("env", "CSu", 0),
    ("exec", "a", 0),
    ("gosu", "", 1),
    ("ionice", "cnp", 0),
    ("nice", "n", 0),
    ("nohup", "", 0),
    ("podman-init", "ep", 0),
    ("runuser", "gGu", 0),
    ("s6-setuidgid", "", 1),
    ("setsid", "", 0),
    ("stdbuf", "eio", 0),
    ("su-exec", "", 1),
    ("timeout", "ks", 1),
    ("tini", "ep", 0),
    ("tini-static", "ep", 0),
    ("with-contenv", "", 0),
];
/// What works as the first process only.
const INITS: [&str; 4] = ["init", "openrc-init", "runit-init", "systemd"];
/// Endings that a service's name is better without.
const SCRIPT_ENDINGS: [&str; 8] = [".jar", ".js", ".mjs", ".php", ".pl", ".py", ".rb", ".sh"];
/// More shells in shells than anybody writes.
const DEPTH: usize = 16;

/// Look at the words of `container`.
pub(super) fn classify(container: &Container) -> Command {
    let words: Vec<String> = container.command().map(str::to_owned).collect();
    if words.first().is_none_or(String::is_empty) {
        return Command::Nothing;
    }
    let mut work = Budget::new("bytes of commands", limits::COMMANDS);
    judge(&words, DEPTH, &mut work).unwrap_or(Command::Program(None))
}

/// What the words of one command come to; `None` if they do nothing.
fn judge(words: &[String], depth: usize, work: &mut Budget) -> Option<Command> {
    let cost = words.iter().map(|word| word.len() as u64 + 1).sum();
    let program =
        unwrapped(words).split_first().zip(depth.checked_sub(1)).filter(|_| work.spend(cost).is_ok());
    let Some(((program, arguments), depth)) = program else { return Some(Command::Program(None)) };
    let name = base_name(program);
    if HARMLESS.contains(&&**program) {
        return None;
    }
    if INITS.contains(&name) {
        return Some(Command::Init(program.clone()));
    }
    if SHELLS.contains(&name) {
        return shell(name, arguments, depth, work);
    }
    let waits = match name {
        "sleep" => true,
        "tail" => follows_nothing(arguments),
        _ => is_interpreter(name) && arguments.iter().all(|word| TERMINAL_OPTIONS.contains(&&**word)),
    };
    if waits {
        return Some(Command::Idle(name.to_owned()));
    }
    let named = if is_interpreter(name) { interpreted(arguments) } else { Some(name) };
    Some(program_called(named))
}

/// A script that prepares others gives no name, and neither does a word that only a shell can tell.
fn program_called(name: Option<&str>) -> Command {
    let name =
        name.map(base_name).filter(|name| !name.contains("entrypoint") && !name.starts_with(['$', '`']));
    Command::Program(name.map(|name| without_ending(name).to_owned()))
}

/// Whether many services are this program, with another script each.
pub(super) fn is_interpreter(name: &str) -> bool {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    INTERPRETERS.contains(&name) || SHELLS.contains(&name)
}

/// The words of the program that others only start.
fn unwrapped(mut words: &[String]) -> &[String] {
    while let Some((program, rest)) = words.split_first() {
        let name = base_name(program);
        if let Some((_, valued, operands)) = WRAPPERS.into_iter().find(|(wrapper, ..)| *wrapper == name) {
            let (_, rest) = rest.split_at(options(rest, valued));
            let variables = rest.iter().take_while(|word| name == "env" && is_assignment(word)).count();
            let inner = rest.get(operands + variables..).unwrap_or_default();
            if inner.is_empty() && program == "exec" {
                return words;
            }
            words = inner;
        } else if name.contains("entrypoint") && rest.first().is_some_and(|word| !word.starts_with('-')) {
            // A script that prepares what its arguments start.
            words = rest;
        } else {
            break;
        }
    }
    words
}

/// How many of `words` are options and what belongs to them; `valued` are the letters before a word more.
fn options(words: &[String], valued: &str) -> usize {
    let mut count = 0;
    while let Some(word) = words.get(count).filter(|word| word.starts_with(['-', '+'])) {
        count += 1;
        if word == "--" {
            break;
        }
        count += usize::from(!word.starts_with("--") && word.ends_with(|letter| valued.contains(letter)));
    }
    count.min(words.len())
}

/// A shell with a line, with the name of a script, or with nothing to do.
fn shell(name: &str, arguments: &[String], depth: usize, work: &mut Budget) -> Option<Command> {
    let (options, operands) = arguments.split_at(options(arguments, SHELLS_VALUED));
    let takes_line = options
        .iter()
        .any(|option| option.starts_with('-') && !option.starts_with("--") && option.contains('c'));
    match operands.split_first() {
        None => Some(Command::Idle(name.to_owned())),
        Some((line, parameters)) if takes_line => line_of_shell(line, parameters, depth, work),
        Some((file, _)) => Some(program_called(Some(file))),
    }
}

/// What a line of shell comes to: what takes the shell's place, or what it ends in.
fn line_of_shell(line: &str, parameters: &[String], depth: usize, work: &mut Budget) -> Option<Command> {
    let Some(commands) = script::read(line) else { return Some(Command::Program(None)) };
    let (mut idle, mut other, mut last) = (None, None, None);
    for command in &commands {
        let replaces_shell = command.words.first().is_some_and(|word| word == "exec");
        match judge_simple(command, parameters, depth, work) {
            None => {}
            Some(Command::Idle(name)) => idle = Some(Command::Idle(name)),
            Some(found) if replaces_shell => return Some(found),
            Some(_) if command.is_aside => other = Some(Command::Program(None)),
            Some(found) => last = Some(found),
        }
    }
    last.or(other).or(idle)
}

/// One command of a line whose shell was given `parameters`: `$0`, `$1` and so on.
fn judge_simple(command: &Simple, parameters: &[String], depth: usize, work: &mut Budget) -> Option<Command> {
    let words = unwrapped(&command.words);
    let judged = match words.first().map(String::as_str) {
        Some("$0") => judge(parameters, depth, work),
        Some("$@" | "$*") => judge(parameters.get(1..).unwrap_or_default(), depth, work),
        // Signals that do no more than end the shell.
        Some("trap") => match words.get(1) {
            Some(action) if is_harmless(action) => None,
            _ => Some(Command::Program(None)),
        },
        // `"$@"` is something else from there on.
        Some("set") if words.get(1).is_some_and(|word| word == "--" || !word.starts_with(['-', '+'])) => {
            Some(Command::Program(None))
        }
        Some(_) => judge(words, depth, work),
        None => None,
    };
    let is_known = !command.is_fed || matches!(&judged, Some(Command::Program(_) | Command::Init(_)));
    if is_known { judged } else { Some(Command::Program(None)) }
}

fn is_harmless(action: &str) -> bool {
    script::read(action).is_some_and(|commands| {
        commands.iter().all(|command| {
            !command.is_fed && command.words.first().is_none_or(|word| HARMLESS.contains(&&**word))
        })
    })
}

/// Whether `tail` has no file but that without an end.
fn follows_nothing(arguments: &[String]) -> bool {
    let is_file = |word: &&String| !word.starts_with('-') && !word.bytes().all(|byte| byte.is_ascii_digit());
    let mut files = arguments.iter().filter(is_file).peekable();
    files.peek().is_some() && files.all(|file| file == "/dev/null")
}

/// The script, module or archive that an interpreter is given.
fn interpreted(arguments: &[String]) -> Option<&str> {
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if TEXT_OPTIONS.contains(&word) {
            return None;
        }
        if VALUED_OPTIONS.contains(&word) {
            words.next();
        } else if !word.starts_with('-') {
            return Some(word);
        }
    }
    None
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
            &["tail", "-n", "0", "-F", "/dev/null"],
            &["bash", "-o", "pipefail", "-c", "sleep infinity"],
            &["sh", "-c", "sleep 5; exec bash"],
            &["sh", "-c", "cd /srv && exec env A=1 tail -f /dev/null"],
            &["sh", "-c", "trap : TERM INT; sleep infinity & wait"],
            &["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 3600; done"],
            &["sh", "-c", "exec \"$@\"", "sh", "sleep", "infinity"],
            &["gosu", "www", "timeout", "-k", "5", "60", "bash"],
            &["sh", "-c"],
        ] {
            assert!(matches!(of(&[], words), Command::Idle(_)), "{words:?}: {:?}", of(&[], words));
        }
        assert_eq!(of(&[], &[]), Command::Nothing);
        assert_eq!(of(&[""], &[]), Command::Nothing);
    }

    #[test]
    fn an_app_after_a_sleep_is_started() {
        let program = |name: &str| Command::Program(Some(name.to_owned()));
        for (entrypoint, cmd, name) in [
            (&["/bin/sh", "-c"][..], &["sleep 10 && exec /app"][..], "app"),
            (&[], &["sh", "-c", "sleep 5; exec /app"], "app"),
            (&["sh", "-c"], &["sleep 1 && /srv/web"], "web"),
            (&["bash", "-o", "pipefail", "-c"], &["sleep 5; /srv/web | cat"], "web"),
            (&["sh", "-c"], &["/srv/web & exec sleep infinity"], "web"),
            (&["sh", "-c"], &["/srv/web & tail -f /dev/null"], "web"),
            (&["sh", "-c"], &["while true; do /srv/web; sleep 1; done"], "web"),
            (&["sh", "-c"], &["exec bash -lc 'sleep 1\n/srv/web'"], "web"),
            (&["sh", "-c"], &["sleep 1; exec \"$0\" \"$@\"", "/srv/web", "--port", "80"], "web"),
            (&["tini", "-e", "143", "--", "sh", "-c"], &["sleep 1; exec gosu www:www /srv/web"], "web"),
            (&["tail", "-f", "/var/log/app", "/dev/null"], &[], "tail"),
            (&["python3"], &["-mhttp.server"], ""),
            (&["sh", "-c"], &["sleep 1; /srv/web || sleep 1"], "web"),
            (&["sh", "-c"], &["true || /srv/web"], ""),
            (&["sh", "-c"], &["sleep $(/srv/web)"], ""),
            (&["sh", "-c"], &["sleep 1; trap /srv/web EXIT; sleep infinity"], ""),
            (&["sh", "-c"], &["case $A in a) sleep 1;; *) /srv/web;; esac"], ""),
            (&["/entrypoint.sh"], &["--sleep"], ""),
            (&["sh", "-c"], &["sleep 1; sh </srv/script"], ""),
            (&["sh", "-c"], &["cat /srv/script | bash"], "cat"),
            (&["sh", "-c", "set -- /srv/web; exec \"$@\"", "sh"], &["sleep", "1"], ""),
        ] {
            let expected = if name.is_empty() { Command::Program(None) } else { program(name) };
            assert_eq!(of(entrypoint, cmd), expected, "{entrypoint:?} {cmd:?}");
        }
    }

    #[test]
    fn a_name_is_not_the_first_word_of_a_script() {
        let program = |name: &str| Command::Program(Some(name.to_owned()));
        for (script, name) in [
            ("mkdir -p /run/web && exec /srv/web --all", "web"),
            ("true; set -e; export A=b; A=1 B=2 nginx -g 'daemon off;'", "nginx"),
            ("if [ -n \"$X\" ]; then prepare; fi\nexec java -cp '/a/*' -jar /srv/shop.jar", "shop"),
            ("for i in 1 2; do prepare $i; done; redis-server >/log 2>&1", "redis-server"),
            ("prepare || exec caddy run", "caddy"),
            ("exec ${JAVA_HOME}/bin/java -Dx=y -cp /srv/lib com.example.Main", "com.example.Main"),
            ("cd /srv && python3 -X dev -m gunicorn app:app", "gunicorn"),
            ("node -r ./telemetry.js server.js", "server"),
        ] {
            for shell in
                [&["sh", "-c"][..], &["bash", "-o", "pipefail", "-euc"], &["env", "-i", "bash", "-lc"]]
            {
                assert_eq!(of(shell, &[script]), program(name), "{shell:?} {script}");
            }
        }
        for nameless in ["sleep 1; while true; do `cat /cmd`; done", "python3 -c 'print(1)'", "true", "if"] {
            assert_eq!(of(&["sh", "-c"], &[nameless]), Command::Program(None), "{nameless}");
        }
    }

    #[test]
    fn shells_in_shells_come_to_an_end() {
        let words: Vec<_> = ["sh", "-c", "exec \"$0\" \"$@\""].into_iter().cycle().take(300_000).collect();
        assert_eq!(of(&words, &[]), Command::Program(None));
        assert_eq!(of(&vec!["env"; 300_000], &["sleep"]), Command::Idle("sleep".to_owned()));
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

    /// Every shell ran the next one a thousand times over.
    #[test]
    fn shells_within_shells_come_to_an_end() {
        for (line, times) in [("$@", 1000), ("$0", 1000), ("exec $@", 1), ("$@", 1)] {
            let line = [line].repeat(times).join("; ");
            let words = [["sh", "-c", &line, "sh"]].repeat(12).concat();
            let words = if line.starts_with("$0") { ["sh", "-c", &line].repeat(12) } else { words };
            let judged = of(&words, &["sleep", "1"]);
            let idle = Command::Idle("sleep".to_owned());
            assert_eq!(judged, if times == 1 { idle } else { Command::Program(None) }, "{line}");
        }
    }
}
