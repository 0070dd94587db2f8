//! What is wrong in a file, all of it, each with the line it is on.

use std::fmt;
use std::ops::Range;

use exporter::terminal::line as escaped;

use crate::cli::Error;
use crate::gateway::Failure;

/// The problems of one file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problems {
    name: String,
    text: String,
    found: Vec<Problem>,
}

#[derive(Clone, Debug, PartialEq)]
struct Problem {
    /// In bytes of the text.
    at: Range<usize>,
    message: String,
    /// Whether what is marked must not be shown.
    is_hidden: bool,
}

impl Problems {
    /// None yet.
    pub(super) fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned(), found: Vec::new() }
    }

    pub(super) fn add(&mut self, at: Range<usize>, message: impl Into<String>) {
        self.found.push(Problem { at, message: message.into(), is_hidden: false });
    }

    /// The same of something that is not to be shown.
    pub(super) fn add_hidden(&mut self, at: Range<usize>, message: impl Into<String>) {
        self.found.push(Problem { at, message: message.into(), is_hidden: true });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// In the order of the file.
    pub(super) fn sorted(mut self) -> Self {
        self.found.sort_by_key(|problem| (problem.at.start, problem.at.end));
        self.found.dedup();
        self
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, problem: &Problem) -> fmt::Result {
        let start = self.text.floor_char_boundary(problem.at.start.min(self.text.len()));
        let before = &self.text[..start];
        let first = before.rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[first..].lines().next().unwrap_or_default();
        let number = before.matches('\n').count() + 1;
        let column = before[first..].chars().count() + 1;
        // What goes on in the next lines is marked to the end of this one.
        let end = self.text.floor_char_boundary(problem.at.end.min(first + line.len()).max(start));
        let width = self.text[start..end].chars().count().max(1);
        let indent: String = before[first..].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let shown = if problem.is_hidden {
            line.replace(&self.text[start..end], &"*".repeat(width))
        } else {
            line.to_owned()
        };
        let margin = " ".repeat(number.to_string().len());
        writeln!(f, "{}:{number}:{column}: {}", escaped(&self.name), escaped(&problem.message))?;
        writeln!(f, " {number} | {}", escaped(&shown))?;
        write!(f, " {margin} | {indent}{}", "^".repeat(width))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.found.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            self.write(f, problem)?;
        }
        Ok(())
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::of_lines(&problems.to_string().lines().collect::<Vec<_>>())
    }
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        Self::of_lines(problems.to_string().lines())
    }
}

/// Of `known` the word that was probably meant by `word`.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('_', "-");
    let near = |other: &str| distance(&word, other);
    let best = known.map(|other| (near(other), other)).min()?;
    (best.0 <= (word.chars().count() / 3).max(1)).then_some(best.1)
}

/// Letters to insert, delete or exchange (Levenshtein's distance).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<_> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (at, other) in right.iter().enumerate() {
            let exchanged = diagonal + usize::from(letter != *other);
            diagonal = row[at + 1];
            row[at + 1] = exchanged.min(row[at] + 1).min(row[at + 1] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        let known = || ["size", "format", "hostname", "authorized-keys"].into_iter();
        for (word, expected) in [
            ("sise", Some("size")),
            ("Size", Some("size")),
            ("formats", Some("format")),
            ("host-name", Some("hostname")),
            ("authorized_keys", Some("authorized-keys")),
            ("boat", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known()), expected, "{word}");
        }
    }

    #[test]
    fn a_caret_is_under_what_is_wrong() {
        let text = "a = 1\n\u{e4}\t= \"\u{fc}\" # x\nc = [\n1]";
        let shown = |at| {
            let mut problems = Problems::new("f", text);
            problems.add(at, "no");
            problems.to_string()
        };
        assert_eq!(shown(0..1), "f:1:1: no\n 1 | a = 1\n   | ^");
        assert_eq!(shown(11..15), "f:2:5: no\n 2 | \u{e4}\t= \"\u{fc}\" # x\n   |  \t  ^^^");
        assert_eq!(shown(24..28), "f:3:5: no\n 3 | c = [\n   |     ^");
        // Beyond the end, and inside of a letter.
        assert!(shown(90..99).starts_with("f:4:3: no\n 4 | 1]\n   |   ^"), "{}", shown(90..99));
        assert!(shown(7..7).starts_with("f:2:1: no"));
    }
}
