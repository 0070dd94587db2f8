//! The kernel's command line, in the words the kernel itself makes of it (`next_arg` of lib/cmdline.c): between blanks, quotes
//! hold blanks together, `--` ends what is the kernel's.

use std::fs;

/// What the machine was started with (proc_cmdline(5)).
const PATH: &str = "/proc/cmdline";

/// What a machine is started for that is started from a medium.
pub(crate) const MODE: &str = "vmimage.mode";
/// What programs say that have nothing to do then.
pub(crate) const LIVE: &str = "the system runs from its medium (vmimage.mode=live): nothing to do";

/// All that the machine was started with, as it stands; `/proc` has to be mounted.
pub(crate) fn line() -> String {
    String::from_utf8_lossy(&fs::read(PATH).unwrap_or_default()).into_owned()
}

/// The words, in their order.
#[derive(Debug, Default)]
pub(crate) struct Words(Vec<String>);

impl Words {
    /// Those of the running kernel; `/proc` has to be mounted.
    pub(crate) fn read() -> Self {
        Self::parse(&line())
    }

    pub(crate) fn parse(line: &str) -> Self {
        let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
        for character in line.trim_end_matches(['\n', '\0']).chars() {
            match character {
                '"' => is_quoted = !is_quoted,
                ' ' | '\t' | '\n' if !is_quoted => words.push(std::mem::take(&mut word)),
                other => word.push(other),
            }
        }
        words.push(word);
        let kernels = words.into_iter().filter(|word| !word.is_empty()).take_while(|word| word != "--");
        Self(kernels.collect())
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// What `name` was set to last.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let value = |word: &'_ String| word.strip_prefix(name)?.strip_prefix('=').map(str::len);
        let (word, len) = self.0.iter().rev().find_map(|word| Some((word, value(word)?)))?;
        word.get(word.len() - len..)
    }

    /// Whether the system is run from a medium: its disk is not written to, and those of the machine are not its own.
    pub(crate) fn is_live(&self) -> bool {
        self.value(MODE) == Some("live")
    }

    /// Which of two words stands last; `None`: neither is there.
    pub(crate) fn last_of<'a>(&self, either: &'a str, or: &'a str) -> Option<&'a str> {
        self.0.iter().rev().find_map(|word| [either, or].into_iter().find(|one| word == one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_kernel() {
        let words = Words::parse(
            "root=/dev/vda ro rootflags=\"a b\" \"init=/my init\" root=UUID=1=2  quiet= rw -- ro root=/dev/vdz\n",
        );
        assert_eq!(words.value("root"), Some("UUID=1=2"));
        assert_eq!((words.value("rootflags"), words.value("init")), (Some("a b"), Some("/my init")));
        assert_eq!((words.value("quiet"), words.value("oot"), words.value("rw")), (Some(""), None, None));
        assert_eq!(words.last_of("ro", "rw"), Some("rw"));
        assert_eq!(Words::parse("").last_of("ro", "rw"), None);
    }

    #[test]
    fn a_live_system_is_one_that_says_so() {
        assert!(Words::parse("quiet vmimage.mode=live").is_live());
        for not in
            ["", "vmimage.mode=install", "vmimage.mode=live vmimage.mode=rescue", "vmimage.mode", "mode=live"]
        {
            assert!(!Words::parse(not).is_live(), "{not}");
        }
    }
}
