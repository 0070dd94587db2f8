//! What is wrong in a file, each with the line it is on.

use std::fmt;
use std::ops::Range;

use exporter::limits;
use exporter::terminal::line as escaped;

use crate::base::Error;

/// The problems of one file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problems {
    name: String,
    text: String,
    found: Vec<Problem>,
    /// What must not be shown, in bytes of the text.
    hidden: Vec<Range<usize>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Problem {
    /// In bytes of the text.
    at: Range<usize>,
    message: String,
}

impl Problems {
    /// None yet.
    pub(super) fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned(), found: Vec::new(), hidden: Vec::new() }
    }

    pub(super) fn add(&mut self, at: Range<usize>, message: impl Into<String>) {
        self.found.push(Problem { at, message: message.into() });
    }

    /// The same of something that is not to be shown, by this problem or another.
    pub(super) fn add_hidden(&mut self, at: Range<usize>, message: impl Into<String>) {
        self.hidden.push(at.clone());
        self.add(at, message);
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
        let start = self.text.floor_char_boundary(problem.at.start);
        let (before, after) = self.text.split_at_checked(start).unwrap_or((&self.text, ""));
        let number = before.matches('\n').count() + 1;
        let before = before.rsplit('\n').next().unwrap_or_default();
        let column = before.chars().count() + 1;
        let Excerpt { shown, indent, width } = self.excerpt(start, before, after, problem.at.end);
        let margin = " ".repeat(number.to_string().len());
        writeln!(f, "{}:{number}:{column}: {}", escaped(&self.name), escaped(&problem.message))?;
        writeln!(f, " {number} | {}", escaped(&shown))?;
        write!(f, " {margin} | {indent}{}", "^".repeat(width))
    }

    /// As much of the line as is shown. The place at `start` has `before` on its line and `after` behind, and goes on to
    /// `end`: what of it is in the next lines is marked to the end of this one.
    fn excerpt(&self, start: usize, before: &str, after: &str, end: usize) -> Excerpt {
        let after = after.lines().next().unwrap_or_default();
        let column = before.chars().count();
        let (all, most) = (column + after.chars().count(), limits::PROBLEM_LINE);
        // A part in whose middle the place is, moved as far as there is a line.
        let first = column.saturating_sub(most / 2).min(all.saturating_sub(most));
        let line_start = start - before.len();
        let line = before.char_indices().map(|(at, c)| (line_start + at, c));
        let line = line.chain(after.char_indices().map(|(at, c)| (start + at, c)));
        let part: Vec<_> = line.skip(first).take(most).collect();
        let cut = |is_cut: bool| if is_cut { "…" } else { "" };
        let (head, tail) = (cut(first > 0), cut(first + part.len() < all));
        let text: String = part.iter().map(|&(at, c)| if self.is_hidden(at) { '*' } else { c }).collect();
        let blank = |c: char| if c == '\t' { '\t' } else { ' ' };
        let indent = part.iter().filter(|(at, _)| *at < start).map(|&(_, c)| blank(c));
        Excerpt {
            shown: format!("{head}{text}{tail}"),
            indent: head.chars().map(blank).chain(indent).collect(),
            width: part.iter().filter(|(at, _)| (start..end).contains(at)).count().max(1),
        }
    }

    fn is_hidden(&self, at: usize) -> bool {
        self.hidden.iter().any(|hidden| hidden.contains(&at))
    }
}

/// A part of a line, with what stands below it.
struct Excerpt {
    shown: String,
    /// In front of the marks.
    indent: String,
    /// How many marks.
    width: usize,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.found.iter().take(limits::PROBLEMS).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            self.write(f, problem)?;
        }
        match self.found.len().saturating_sub(limits::PROBLEMS) {
            0 => Ok(()),
            more => write!(f, "\n{}: and {more} more", self.name),
        }
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
    // What the first letters of `left` take to become those of `right`.
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (index, letter) in left.chars().enumerate() {
        let (mut diagonal, mut last) = (index, index + 1);
        let mut next = vec![last];
        for (other, &above) in right.chars().zip(row.iter().skip(1)) {
            let exchanged = diagonal + usize::from(letter != other);
            (diagonal, last) = (above, exchanged.min(last + 1).min(above + 1));
            next.push(last);
        }
        row = next;
    }
    row.pop().unwrap_or_default()
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

    /// Every one of 13,800 problems printed its whole line, of 95 KB: gigabytes.
    #[test]
    fn many_problems_on_one_long_line_are_few_short_lines() {
        for text in ["\u{fc}".repeat(95_000), "a\t".repeat(50_000), "a=1,".repeat(25_000)] {
            let mut problems = Problems::new("f", &text);
            (0..text.len()).step_by(7).for_each(|at| problems.add(at..text.len(), "no"));
            let all = problems.len();
            let shown = problems.sorted().to_string();
            assert!(shown.ends_with(&format!("\nf: and {} more", all - limits::PROBLEMS)), "{shown}");
            assert_eq!(shown.lines().count(), 3 * limits::PROBLEMS + 1);
            let longest = shown.lines().map(|line| line.chars().count()).max();
            assert!(longest.is_some_and(|longest| longest < limits::PROBLEM_LINE + 10), "{longest:?}");
        }
    }

    #[test]
    fn the_part_of_a_long_line_is_that_around_the_place() {
        let text = format!("{}\u{fc}{}\nb", "a".repeat(1000), "c".repeat(1000));
        let shown = |at| {
            let mut problems = Problems::new("f", &text);
            problems.add(at, "no");
            problems.to_string()
        };
        let [most, half] = [limits::PROBLEM_LINE, limits::PROBLEM_LINE / 2];
        let middle = format!(
            "f:1:1001: no\n 1 | \u{2026}{}\u{fc}{}\u{2026}\n   | {}^",
            "a".repeat(half),
            "c".repeat(half - 1),
            " ".repeat(half + 1)
        );
        assert_eq!(shown(1000..1002), middle);
        assert_eq!(shown(0..1), format!("f:1:1: no\n 1 | {}\u{2026}\n   | ^", "a".repeat(most)));
        let end = format!("f:1:2001: no\n 1 | \u{2026}{}\n   | {}^", "c".repeat(most), " ".repeat(most));
        assert_eq!(shown(2001..2002), end);
    }

    /// One on the line of another is the same secret.
    #[test]
    fn what_is_hidden_is_hidden_in_every_problem() {
        let mut problems = Problems::new("f", "a = \"one\", b = \"two\"");
        problems.add_hidden(4..9, "no");
        problems.add_hidden(15..20, "no");
        problems.add(0..1, "no");
        let shown = problems.sorted().to_string();
        assert_eq!(shown.matches(" 1 | a = *****, b = *****\n").count(), 3, "{shown}");
    }
}
