//! The words behind `vmimage run`. Of an image or a build context, options come first and the rest is the command, as with
//! docker; of a disk, options may stand anywhere. Which it is decides what the words mean, so it is found out before
//! they are read, and what is a command stands behind `--` from then on.

use std::ffi::{OsStr, OsString};

use clap::Command;

use super::kind::SourceKind;

/// The command.
const RUN: &str = "run";
/// What ends options.
const END: &str = "--";

/// The words of a command line as the definition of this program reads them. `run` is the definition of the command.
pub(crate) fn settle(mut words: Vec<OsString>, run: &Command) -> Vec<OsString> {
    if words.get(1).is_none_or(|word| word != RUN) {
        return words;
    }
    let Some(mut at) = source(&words, run) else { return words };
    let is_marked = words[at - 1] == END;
    if is_marked {
        words.remove(at - 1);
        at -= 1;
    }
    let takes_rest = is_marked || SourceKind::of(&words[at]).has_command();
    if takes_rest && words.get(at + 1).is_some_and(|next| next != END) {
        words.insert(at + 1, END.into());
    }
    words
}

/// Where the first word is that is no option, and no value of one.
fn source(words: &[OsString], run: &Command) -> Option<usize> {
    let mut at = 2;
    while let Some(word) = words.get(at) {
        if word == END {
            at += 1;
            break;
        }
        match values_behind(word, run) {
            Some(values) => at += 1 + values,
            None => break,
        }
    }
    (at < words.len()).then_some(at)
}

/// How many words behind an option belong to it; `None`: it is none.
fn values_behind(word: &OsStr, run: &Command) -> Option<usize> {
    let text = word.to_string_lossy();
    let takes = |is_it: &dyn Fn(&clap::Arg) -> bool| {
        let argument = run.get_arguments().find(|argument| is_it(argument));
        argument.is_some_and(|argument| argument.get_action().takes_values())
    };
    if let Some(long) = text.strip_prefix(END) {
        let is_apart = !long.contains('=');
        return Some(usize::from(is_apart && takes(&|argument| argument.get_long() == Some(long))));
    }
    let letters = text.strip_prefix('-').filter(|letters| !letters.is_empty())?;
    let mut letters = letters.chars();
    let has_value = letters.by_ref().any(|letter| takes(&|argument| argument.get_short() == Some(letter)));
    // A value may follow at once: -p8080:80.
    Some(usize::from(has_value && letters.next().is_none()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn settled(line: &str) -> String {
        #[derive(clap::Parser)]
        struct Typed {
            #[command(flatten)]
            _args: super::super::Args,
        }
        let words = format!("vmimage {line}").split_whitespace().map(OsString::from).collect();
        let words = settle(words, &Typed::command());
        let words = words[1..].iter().map(|word| word.to_str().unwrap());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_behind_an_image_is_its_command() {
        for (typed, read) in [
            ("run docker-daemon:debian:12 sh -c x", "run docker-daemon:debian:12 -- sh -c x"),
            ("run -it debian:12 ls -l --color", "run -it debian:12 -- ls -l --color"),
            ("run -m 512M -p8080:80 --env A=b web -p 1:2", "run -m 512M -p8080:80 --env A=b web -- -p 1:2"),
            ("run -itm 512M web -m 1G", "run -itm 512M web -- -m 1G"),
            ("run --env=A=b web", "run --env=A=b web"),
            ("run web -- -x -- y", "run web -- -x -- y"),
            ("run -i -- web -x", "run -i web -- -x"),
            ("run . make", "run . -- make"),
            ("run https://host/app.git make -j", "run https://host/app.git -- make -j"),
        ] {
            assert_eq!(settled(typed), read, "{typed}");
        }
    }

    #[test]
    fn of_a_disk_options_stand_anywhere() {
        for line in [
            "run web.qcow2 -p 8080:80",
            "run -m 1G web.qcow2 --snapshot",
            "run ./web -p 8080:80",
            "run",
            "run --help",
            "run -m",
            "build . -- x",
            "inspect web y",
        ] {
            assert_eq!(settled(line), line);
        }
        assert_eq!(settled("run -- web.qcow2"), "run web.qcow2");
        assert_eq!(settled("run -- web.qcow2 -m 1G"), "run web.qcow2 -- -m 1G", "it is said so");
    }

    #[test]
    fn a_folder_with_a_dockerfile_is_a_context_and_one_of_a_microvm_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let typed = |behind: &str| settled(&format!("run {} {behind}", folder.path().display()));
        let read = |behind: &str| format!("run {} {behind}", folder.path().display());
        assert_eq!(typed("-m 1G"), read("-m 1G"));
        std::fs::write(folder.path().join("Containerfile"), "FROM scratch\n").unwrap();
        assert_eq!(typed("-m 1G"), read("-- -m 1G"));
        for name in ["vm.json", "vmlinuz"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(typed("-m 1G"), read("-m 1G"));
    }
}
