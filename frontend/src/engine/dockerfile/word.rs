//! Variables in the words of a Dockerfile: `$NAME`, `${NAME}`, `${NAME:-word}`, `${NAME:+word}`, and quotes
//! as in a shell.
//!
//! Reference: <https://docs.docker.com/reference/dockerfile/#environment-replacement>

use std::iter::Peekable;
use std::str::Chars;

use super::Variables;
use crate::cli::{Error, Result};

/// `text` with the values of its variables and without its quotes; what is not set is empty.
pub(super) fn expand(text: &str, variables: &Variables, escape: char) -> Result<String> {
    let mut word = Word { text, rest: text.chars().peekable(), variables, escape };
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
            out.push_str(if name.is_empty() { "$" } else { value });
            return Ok(());
        }
        match (self.rest.next(), self.rest.peek()) {
            (Some('}'), _) if !name.is_empty() => out.push_str(value),
            (Some(':'), Some(&modifier @ ('-' | '+'))) if !name.is_empty() => {
                self.rest.next();
                let mut other = String::new();
                self.expand_until(Some('}'), &mut other)?;
                match modifier {
                    '-' if value.is_empty() => out.push_str(&other),
                    '-' => out.push_str(value),
                    _ if value.is_empty() => {}
                    _ => out.push_str(&other),
                }
            }
            _ => return Err(self.wrong("is no variable that can be expanded")),
        }
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
        Error::user(format!("the Dockerfile: {}: {why}", self.text))
            .with_hint("there are $NAME, ${NAME}, ${NAME:-default} and ${NAME:+other}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        [("A", "one"), ("B", "two"), ("EMPTY", "")].map(|(name, value)| (name.into(), value.into())).into()
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
