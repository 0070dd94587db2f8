//! A command line as the program it is for reads it: flags with their values, and words.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// How a program reads its flags.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grammar {
    /// The flags with a value, which may be the next word: `output` for `--output`, `o` for `-o`; with spaces
    /// between them.
    pub(super) with_value: &'static str,
    pub(super) dashes: Dashes,
}

/// What one dash means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dashes {
    /// Letters follow: `-qo X`, `-oX`, `-o=X` (docker).
    Letters,
    /// The same as two: `-output X` (buildctl).
    Same,
}

/// A part of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// `--name`, `--name=value`, `--name value`, `-n value`, …
    Flag {
        name: String,
        value: Option<OsString>,
        /// The words it is made of.
        typed: Vec<OsString>,
    },
    /// Anything else, a lone dash included.
    Word(OsString),
    /// `--`: only words follow.
    End,
}

impl Item {
    /// The words it was typed as.
    pub(super) fn typed(&self) -> Vec<OsString> {
        match self {
            Self::Flag { typed, .. } => typed.clone(),
            Self::Word(word) => vec![word.clone()],
            Self::End => vec!["--".into()],
        }
    }

    /// Whether it is a flag with one of these names.
    pub(super) fn is(&self, names: &[&str]) -> bool {
        matches!(self, Self::Flag { name, .. } if names.contains(&name.as_str()))
    }

    /// The value, if it is one of these flags and has one.
    pub(super) fn value_of(&self, names: &[&str]) -> Option<&OsStr> {
        match self {
            Self::Flag { value, .. } if self.is(names) => value.as_deref(),
            _ => None,
        }
    }

    /// Whether it switches one of these flags on: `--push`, `--push=true`.
    pub(super) fn switches_on(&self, names: &[&str]) -> bool {
        let off = |value: &OsStr| ["false", "0", "f", "F", "FALSE", "False"].iter().any(|off| value == *off);
        self.is(names) && !self.value_of(names).is_some_and(off)
    }
}

/// Reads a command line item by item.
pub(super) struct Reader<'a> {
    words: std::slice::Iter<'a, OsString>,
    grammar: Grammar,
    only_words: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(words: &'a [OsString], grammar: Grammar) -> Self {
        Self { words: words.iter(), grammar, only_words: false }
    }

    /// What is not read yet, by another grammar.
    pub(super) fn rest(self, grammar: Grammar) -> Self {
        Self { grammar, ..self }
    }

    /// The next item; several for joined letters. `None` at the end.
    pub(super) fn read(&mut self) -> Option<Vec<Item>> {
        let word = self.words.next()?;
        let bytes = word.as_bytes();
        let rest = bytes.strip_prefix(b"-").filter(|rest| !rest.is_empty() && !self.only_words);
        let Some(rest) = rest else { return Some(vec![Item::Word(word.clone())]) };
        if bytes == b"--" {
            self.only_words = true;
            return Some(vec![Item::End]);
        }
        match (rest.strip_prefix(b"-"), self.grammar.dashes) {
            (Some(name), _) => Some(vec![self.flag(word, name)]),
            (None, Dashes::Same) => Some(vec![self.flag(word, rest)]),
            (None, Dashes::Letters) => Some(self.letters(rest)),
        }
    }

    /// All that is left.
    pub(super) fn all(mut self) -> Vec<Item> {
        std::iter::from_fn(|| self.read()).flatten().collect()
    }

    /// `name`, `name=value`, or `name` with the next word as its value.
    fn flag(&mut self, word: &OsString, text: &[u8]) -> Item {
        let mut typed = vec![word.clone()];
        let mut parts = text.splitn(2, |byte| *byte == b'=');
        let (name, value) = match (parts.next(), parts.next()) {
            (Some(name), Some(value)) => (name, Some(owned(value))),
            _ => (text, self.value_for(text, &mut typed)),
        };
        Item::Flag { name: String::from_utf8_lossy(name).into_owned(), value, typed }
    }

    /// Each letter is a flag; the rest of the first one with a value is that value.
    fn letters(&mut self, letters: &[u8]) -> Vec<Item> {
        let mut items = Vec::new();
        let mut rest = letters;
        while let Some((letter, after)) = rest.split_first() {
            let name = std::slice::from_ref(letter);
            let joined = match after {
                [b'=', value @ ..] => Some(value),
                [_, ..] if self.has_value(name) => Some(after),
                _ => None,
            };
            let (own, left) = if joined.is_some() { (rest, &[][..]) } else { (name, after) };
            let mut typed = vec![owned(&[&b"-"[..], own].concat())];
            rest = left;
            let value = joined.map(owned).or_else(|| self.value_for(name, &mut typed));
            items.push(Item::Flag { name: char::from(*letter).to_string(), value, typed });
        }
        items
    }

    fn has_value(&self, name: &[u8]) -> bool {
        self.grammar.with_value.split(' ').any(|known| known.as_bytes() == name)
    }

    fn value_for(&mut self, name: &[u8], typed: &mut Vec<OsString>) -> Option<OsString> {
        let value = self.has_value(name).then(|| self.words.next().cloned()).flatten()?;
        typed.push(value.clone());
        Some(value)
    }
}

fn owned(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKER: Grammar = Grammar { with_value: "output o file f build-arg", dashes: Dashes::Letters };
    const GO: Grammar = Grammar { with_value: "output o", dashes: Dashes::Same };

    fn items(line: &str, grammar: Grammar) -> Vec<Item> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let items = Reader::new(&words, grammar).all();
        let letters = grammar.dashes == Dashes::Letters;
        let again: Vec<OsString> = items.iter().flat_map(Item::typed).collect();
        // Joined letters come out apart; all else as it was.
        assert!(again == words || (letters && line.contains(" -q") || line.starts_with("-q")), "{line}");
        items
    }

    /// The items as `name=value`, `name` or `'word'`.
    fn shown(line: &str, grammar: Grammar) -> String {
        let show = |item: Item| match item {
            Item::Flag { name, value: Some(value), .. } => format!("{name}={}", value.display()),
            Item::Flag { name, value: None, .. } => name,
            Item::Word(word) => format!("'{}'", word.display()),
            Item::End => "--".to_owned(),
        };
        items(line, grammar).into_iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn flags_and_words_are_told_apart_as_docker_does() {
        for (line, expected) in [
            ("-o X .", "o=X '.'"),
            ("-oX .", "o=X '.'"),
            ("-o=X .", "o=X '.'"),
            ("--output X .", "output=X '.'"),
            ("--output=X .", "output=X '.'"),
            ("-qoX .", "q o=X '.'"),
            ("-qo X .", "q o=X '.'"),
            ("-q=true .", "q=true '.'"),
            (". -o X", "'.' o=X"),
            ("--build-arg -o . --pull", "build-arg=-o '.' pull"),
            ("-f - .", "f=- '.'"),
            ("-", "'-'"),
            ("-o X -- -o Y", "o=X -- '-o' 'Y'"),
            ("--new-flag=-o .", "new-flag=-o '.'"),
            (". -o", "'.' o"),
            ("--output= .", "output= '.'"),
        ] {
            assert_eq!(shown(line, DOCKER), expected, "{line}");
        }
    }

    #[test]
    fn one_dash_is_as_good_as_two_for_buildctl() {
        for (line, expected) in [
            ("-output X", "output=X"),
            ("--o=X", "o=X"),
            ("-o X --no-cache", "o=X no-cache"),
            ("-oX Y", "oX 'Y'"),
        ] {
            assert_eq!(shown(line, GO), expected, "{line}");
        }
    }

    #[test]
    fn letters_come_apart_without_a_change_of_meaning() {
        let typed: Vec<_> = items("-qof X", DOCKER).iter().flat_map(Item::typed).collect();
        assert_eq!(typed, ["-q", "-of", "X"]);
    }

    #[test]
    fn flags_are_switched_on_unless_it_says_otherwise() {
        for (line, on) in
            [("--push", true), ("--push=true", true), ("--push=false", false), ("--pull", false)]
        {
            assert_eq!(items(line, DOCKER)[0].switches_on(&["push"]), on, "{line}");
        }
    }
}
