//! Variables in the words of a Dockerfile: `$NAME`, `${NAME}`, `${NAME:-word}`, `${NAME:+word}`, and quotes
//! as in a shell.
//!
//! Reference: <https://docs.docker.com/reference/dockerfile/#environment-replacement>

use std::iter::Peekable;
use std::str::Chars;

use exporter::error::show_text;
use exporter::limits::{self, Budget};

use super::Variables;
use crate::base::{Error, Result};

/// `text` with the values of its variables and without its quotes; what is not set is empty. `values` is what the values
/// may come to: each variable can be twice the one before.
pub(super) fn expand(text: &str, variables: &Variables, escape: char, values: &mut Budget) -> Result<String> {
    let mut word = Word { text, rest: text.chars().peekable(), variables, escape, values, depth: 0 };
    let mut out = String::new();
    word.expand_until(None, &mut out)?;
    Ok(out)
}

/// The names of an `ARG` and their defaults, still to be expanded.
pub(super) fn assignments(text: &str, escape: char) -> impl Iterator<Item = (&str, Option<&str>)> {
    words(text, escape).map(|word| match word.split_once('=') {
        Some((name, default)) => (name, Some(default)),
        None => (word, None),
    })
}

/// The parts of `text` between spaces that are not quoted.
fn words(text: &str, escape: char) -> impl Iterator<Item = &str> {
    let (mut quote, mut escaped) = (None, false);
    let is_end = move |c: char| {
        if escaped {
            escaped = false;
        } else if c == escape && quote != Some('\'') {
            escaped = true;
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && matches!(c, '\'' | '"') {
            quote = Some(c);
        } else {
            return quote.is_none() && c.is_whitespace();
        }
        false
    };
    text.split(is_end).filter(|word| !word.is_empty())
}

struct Word<'a> {
    /// The whole, for messages.
    text: &'a str,
    rest: Peekable<Chars<'a>>,
    variables: &'a Variables,
    escape: char,
    values: &'a mut Budget,
    /// How many braces it is in.
    depth: u32,
}

impl Word<'_> {
    /// Up to `end`, which is consumed, or to the end of the text.
    fn expand_until(&mut self, end: Option<char>, out: &mut String) -> Result<()> {
        while let Some(c) = self.rest.next() {
            match c {
                _ if Some(c) == end => return Ok(()),
                '\'' => self.single_quoted(out)?,
                '"' => self.double_quoted(out)?,
                '$' => self.variable(out)?,
                _ if c == self.escape => out.extend(self.rest.next()),
                _ => out.push(c),
            }
        }
        match end {
            Some(end) => Err(self.unfinished(end)),
            None => Ok(()),
        }
    }

    fn single_quoted(&mut self, out: &mut String) -> Result<()> {
        loop {
            match self.rest.next() {
                Some('\'') => return Ok(()),
                Some(c) => out.push(c),
                None => return Err(self.unfinished('\'')),
            }
        }
    }

    fn double_quoted(&mut self, out: &mut String) -> Result<()> {
        loop {
            match self.rest.next() {
                Some('"') => return Ok(()),
                Some('$') => self.variable(out)?,
                Some(c) if c == self.escape => match self.rest.next_if(|&next| "\"$\\".contains(next)) {
                    Some(escaped) => out.push(escaped),
                    None => out.push(c),
                },
                Some(c) => out.push(c),
                None => return Err(self.unfinished('"')),
            }
        }
    }

    /// After a `$`.
    fn variable(&mut self, out: &mut String) -> Result<()> {
        let is_braced = self.rest.next_if_eq(&'{').is_some();
        let name = self.name();
        let value = self.variables.get(&name).map_or("", String::as_str);
        if !is_braced {
            // Followed by no name, it is a dollar.
            return self.put(if name.is_empty() { "$" } else { value }, out);
        }
        match (self.rest.next(), self.rest.peek()) {
            (Some('}'), _) if !name.is_empty() => self.put(value, out),
            (Some(':'), Some(&modifier @ ('-' | '+'))) if !name.is_empty() => {
                self.rest.next();
                let other = self.other()?;
                match (modifier, value) {
                    ('-', "") => self.put(&other, out),
                    ('-', value) => self.put(value, out),
                    (_, "") => Ok(()),
                    _ => self.put(&other, out),
                }
            }
            _ => Err(self.wrong("is no variable that can be expanded")),
        }
    }

    /// The word after `:-` and `:+`, which may have variables in it in turn.
    fn other(&mut self) -> Result<String> {
        if self.depth == limits::NESTED_VARIABLES {
            return Err(self.wrong(&format!("has variables in variables, more than {}", self.depth)));
        }
        self.depth += 1;
        let mut other = String::new();
        self.expand_until(Some('}'), &mut other)?;
        self.depth -= 1;
        Ok(other)
    }

    fn put(&mut self, value: &str, out: &mut String) -> Result<()> {
        self.values.spend(value.len() as u64).map_err(|exceeded| self.wrong(&exceeded.to_string()))?;
        out.push_str(value);
        Ok(())
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.rest.next_if(|&c| c.is_ascii_alphanumeric() || c == '_') {
            name.push(c);
        }
        name
    }

    fn unfinished(&self, end: char) -> Error {
        self.wrong(&format!("its {end} is missing"))
    }

    fn wrong(&self, why: &str) -> Error {
        Error::user(format!("the Dockerfile: {}: {why}", show_text(self.text)))
            .with_hint("there are $NAME, ${NAME}, ${NAME:-default} and ${NAME:+other}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        [("A", "one"), ("B", "two"), ("EMPTY", "")].map(|(name, value)| (name.into(), value.into())).into()
    }

    fn expand(text: &str, variables: &Variables, escape: char) -> Result<String> {
        super::expand(text, variables, escape, &mut Budget::new("bytes", 1000))
    }

    #[test]
    fn words_are_expanded_as_by_a_shell() {
        for (text, expanded) in [
            ("debian:12", "debian:12"),
            ("$A:${B}", "one:two"),
            ("x$A.y", "xone.y"),
            ("${A:-else}${NONE:-else}${EMPTY:-else}", "oneelseelse"),
            ("${A:+yes}${NONE:+yes}", "yes"),
            ("${NONE:-${B}-$A}", "two-one"),
            ("$NONE", ""),
            ("\"$A b\"'$A'", "one b$A"),
            (r#"\$A"\$B\n""#, r"$A$B\n"),
            ("a$", "a$"),
        ] {
            assert_eq!(expand(text, &variables(), '\\').unwrap(), expanded, "{text}");
        }
        assert_eq!(expand(r"a`$A\b", &variables(), '`').unwrap(), r"a$A\b");
    }

    #[test]
    fn what_cannot_be_expanded_is_named() {
        for text in ["${A", "${A:?gone}", "${A#o}", "${}", "'a", "\"a", "${A:-x"] {
            let error = expand(text, &variables(), '\\').unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    /// 15,000 of them overflowed the stack.
    #[test]
    fn variables_in_variables_come_to_an_end() {
        let nested = |depth: usize| "${NONE:-".repeat(depth) + &"}".repeat(depth);
        let most = usize::try_from(limits::NESTED_VARIABLES).unwrap();
        assert_eq!(expand(&nested(most), &variables(), '\\').unwrap(), "");
        for text in [nested(most + 1), nested(15_000), "${A:+".repeat(1 << 17), "\"${A:-".repeat(1 << 17)] {
            let error = expand(&text, &variables(), '\\').unwrap_err().to_string();
            assert!(error.ends_with("…: has variables in variables, more than 50"), "{error}");
        }
    }

    #[test]
    fn values_have_a_limit() {
        for text in ["$A".repeat(334), "${A}".repeat(334), "${NONE:-$A}".repeat(167), "${A:+$A}".repeat(167)]
        {
            let error = expand(&text, &variables(), '\\').unwrap_err().to_string();
            assert!(error.ends_with(": more than 1000 bytes, which is the limit"), "{error}");
        }
        assert_eq!(expand(&"$A".repeat(333), &variables(), '\\').unwrap().len(), 999);
    }

    #[test]
    fn an_argument_has_names_and_defaults() {
        let found: Vec<_> = assignments(r#"A B=2  C="a b" D='x y'z E=a\ b"#, '\\').collect();
        assert_eq!(
            found,
            [
                ("A", None),
                ("B", Some("2")),
                ("C", Some("\"a b\"")),
                ("D", Some("'x y'z")),
                ("E", Some(r"a\ b"))
            ]
        );
    }
}
