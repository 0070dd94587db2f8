//! What somebody asks `vmimage-update` for.

use std::path::PathBuf;

/// The words that come first.
pub(super) const WORDS: &[&str] = &["status", "check", "apply", "rollback", "auto", "watch"];
pub(super) const USAGE: &str = "\
usage: vmimage-update status [--json]
       vmimage-update check [FROM]
       vmimage-update apply [FROM] [--force] [--reboot]
       vmimage-update rollback [--reboot]
       vmimage-update auto|watch
FROM is the URL of a folder with an update, the reference of an image in a registry, the path of a folder or of a tar of it,
or - for a tar on stdin; without it, what [update] from of the image says";

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    Status { is_json: bool },
    Check { from: Option<String> },
    Apply { from: Option<String>, is_forced: bool, is_restarted: bool },
    Rollback { is_restarted: bool },
    Auto,
    Watch,
}

/// A command, and the folder that is taken for the machine.
pub(super) type Asked = (Command, Option<PathBuf>);

/// # Errors
/// How it is used.
pub(super) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Asked, String> {
    let (mut words, mut options) = (Vec::new(), Vec::new());
    let mut simulated = None;
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match &*argument {
            // For tests and benchmarks, see `simulated`.
            "--simulate" => simulated = Some(arguments.next().ok_or(USAGE)?.into()),
            option if option.starts_with('-') && option.len() > 1 => options.push(argument),
            _ => words.push(argument),
        }
    }
    let mut has = |name: &str| {
        let before = options.len();
        options.retain(|option| option != name);
        options.len() < before
    };
    let mut words = words.into_iter();
    let first = words.next();
    let command = match first.as_deref() {
        _ if has("--help") || has("-h") => return Ok((Command::Help, None)),
        Some("status") => Command::Status { is_json: has("--json") },
        Some("check") => Command::Check { from: words.next() },
        Some("apply") => {
            let (is_forced, is_restarted) = (has("--force"), has("--reboot"));
            Command::Apply { from: words.next(), is_forced, is_restarted }
        }
        Some("rollback") => Command::Rollback { is_restarted: has("--reboot") },
        Some("auto") => Command::Auto,
        Some("watch") => Command::Watch,
        _ => return Err(USAGE.to_owned()),
    };
    match words.next().is_none() && options.is_empty() {
        true => Ok((command, simulated)),
        false => Err(USAGE.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &str) -> Result<Asked, String> {
        parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_is_asked_is_understood_and_nothing_else() {
        let from = |text: &str| Some(text.to_owned());
        for (words, command) in [
            ("status --json", Command::Status { is_json: true }),
            ("check", Command::Check { from: None }),
            ("apply", Command::Apply { from: None, is_forced: false, is_restarted: false }),
            (
                "apply http://10.0.2.2:8000/ --reboot",
                Command::Apply { from: from("http://10.0.2.2:8000/"), is_forced: false, is_restarted: true },
            ),
            ("--force apply -", Command::Apply { from: from("-"), is_forced: true, is_restarted: false }),
            ("rollback", Command::Rollback { is_restarted: false }),
            ("auto", Command::Auto),
            ("watch", Command::Watch),
            ("status --help", Command::Help),
        ] {
            assert_eq!(asked(words), Ok((command, None)), "{words}");
        }
        assert_eq!(asked("--simulate d auto"), Ok((Command::Auto, Some("d".into()))));
        for words in [
            "",
            "statu",
            "status x",
            "check --force",
            "apply a b",
            "auto --json",
            "auto --simulate",
            "apply --forced",
        ] {
            assert_eq!(asked(words), Err(USAGE.to_owned()), "{words}");
        }
        assert!(WORDS.iter().all(|word| USAGE.contains(word)));
    }
}
