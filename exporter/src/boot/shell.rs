//! Settings in files that a shell reads, such as `/etc/default/grub`, as far as no shell is needed for them: nothing of
//! an image is run here.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use crate::limits::{Budget, Exceeded};

/// Variables by name; `None`: only a shell can tell the value.
pub(super) type Variables = BTreeMap<String, Option<String>>;

/// Read the assignments of a file over those of the files before it. `values` is what variables in values may come to.
pub(super) fn assign(text: &str, variables: &mut Variables, values: &mut Budget) -> Result<(), Exceeded> {
    // How many of `if`, `case` and loops the line is in: what they do depends on the machine.
    let mut depth = 0_u32;
    for line in logical_lines(text) {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        match line.split(|c: char| c.is_whitespace() || c == ';').next().unwrap_or_default() {
            "if" | "case" | "for" | "while" | "until" => depth += 1,
            "fi" | "esac" | "done" => depth = depth.saturating_sub(1),
            _ => {}
        }
        match assignment(line).filter(|_| depth == 0) {
            Some((name, value)) => {
                let value = expand(value, variables, values)?;
                variables.insert(name.to_owned(), value);
            }
            None => forget_mentioned(line, variables),
        }
        if line.trim_end().ends_with("fi") && line.starts_with("if ") {
            depth = depth.saturating_sub(1);
        }
    }
    Ok(())
}

/// The name before a `=`, and what follows.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    is_name(name).then_some((name, value))
}

fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What a command assigns, nobody knows.
fn forget_mentioned(line: &str, variables: &mut Variables) {
    if line.starts_with('#') {
        return;
    }
    let mut words = line.split('=');
    words.next_back();
    for before in words {
        let name = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
        if is_name(name) {
            variables.insert(name.to_owned(), None);
        }
    }
}

/// Lines, of which those go on that end within quotes or with a backslash. Comments are left as they are.
fn logical_lines(text: &str) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    let (mut quote, mut is_begun, mut is_comment) = (None, false, false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, '\n') => {
                lines.push(std::mem::take(&mut line));
                (is_begun, is_comment) = (false, false);
                continue;
            }
            (None, _) if is_comment => line.push(character),
            (None, '#') if !is_begun => {
                is_comment = true;
                line.push(character);
            }
            (None | Some('"'), '\\') => match characters.next() {
                None | Some('\n') => continue,
                Some(next) => line.extend(['\\', next]),
            },
            (open, '"' | '\'') => {
                line.push(character);
                quote = if open.is_none() { Some(character) } else { open.filter(|&open| open != character) };
            }
            _ => line.push(character),
        }
        is_begun |= !character.is_whitespace();
    }
    lines.push(line);
    lines
}

/// The value of a word: without quotes, and with the variables that are known. It ends at the first blank.
fn expand(word: &str, variables: &Variables, values: &mut Budget) -> Result<Option<String>, Exceeded> {
    let mut value = String::new();
    let mut quote = None;
    let mut characters = word.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, ';' | '&' | '|') => break,
            (None, blank) if blank.is_whitespace() => break,
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, '\\') => value.extend(characters.next()),
            (Some('"'), '\\') => match characters.next_if(|next| "\"$`\\".contains(*next)) {
                Some(next) => value.push(next),
                None => value.push('\\'),
            },
            (None | Some('"'), '`') => return Ok(None),
            (None | Some('"'), '$') => {
                let Some(known) = variable(&mut characters, variables) else { return Ok(None) };
                values.spend(known.len() as u64)?;
                value.push_str(known);
            }
            _ => value.push(character),
        }
    }
    Ok(Some(value))
}

/// The value of `NAME` or `{NAME}` after a `$`; one that nobody has set is empty.
fn variable<'v>(characters: &mut Peekable<Chars<'_>>, variables: &'v Variables) -> Option<&'v str> {
    let is_braced = characters.next_if_eq(&'{').is_some();
    let mut name = String::new();
    while let Some(next) = characters.next_if(|next| next.is_ascii_alphanumeric() || *next == '_') {
        name.push(next);
    }
    if !is_name(&name) || is_braced && characters.next() != Some('}') {
        return None;
    }
    variables.get(&name).map_or(Some(""), Option::as_deref)
}

/// Text within double quotes.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::new();
    for character in text.chars() {
        if "\"$`\\".contains(character) {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<String> {
        let mut variables = Variables::new();
        assign(text, &mut variables, &mut Budget::new("bytes of values", 100)).unwrap();
        variables.remove("A").expect("A is assigned")
    }

    #[test]
    fn values_are_those_of_a_shell() {
        for (text, expected) in [
            ("A=quiet\n", "quiet"),
            ("A=\"quiet splash\" # why", "quiet splash"),
            ("  export A='a $B'", "a $B"),
            ("B=b\nA=\"a $B ${B}c\"", "a b bc"),
            ("A=a\nA=\"$A b\"", "a b"),
            ("A=\"a $UNSET\"", "a "),
            ("A=\"one\\\n two\"", "one two"),
            ("A=\"one\ntwo\"", "one\ntwo"),
            ("# A=no it's\nA=yes", "yes"),
            ("A=\"\\\"x\\\" \\y\"", "\"x\" \\y"),
            ("A=; B=b", ""),
            ("if true; then A=b; fi\nA=a", "a"),
        ] {
            assert_eq!(value(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_only_a_shell_can_tell_is_not_guessed() {
        for text in [
            "A=$(uname -r)",
            "A=\"a `uname -r`\"",
            "A=a\nif true; then\n\tA=b\nfi",
            "A=a\n[ -e /x ] || A=b",
            "A=a\nif [ -e /x ]; then A=b; fi",
            "A=\"${B:-x}\"",
            "B=$(b)\nA=\"a $B\"",
            "A=a\ncase x in\nx) A=b ;;\nesac",
        ] {
            assert_eq!(value(text), None, "{text}");
        }
    }

    /// Each can be twice the one before.
    #[test]
    fn values_of_values_have_a_limit() {
        let doubled: String = (1..60).map(|at| format!("A{at}=$A{0}$A{0}\n", at - 1)).collect();
        let text = format!("A0=0123456789\n{doubled}");
        let mut work = Budget::new("bytes of values", 1 << 20);
        assert!(assign(&text, &mut Variables::new(), &mut work).is_err());
        // A long one that is used often, and as often a short one.
        let often = |len: usize| format!("A={}\n{}", "a".repeat(len), "B=$A\n".repeat(10_000));
        for (len, is_right) in [(10_000, false), (10, true)] {
            let mut work = Budget::new("bytes of values", 1 << 20);
            assert_eq!(assign(&often(len), &mut Variables::new(), &mut work).is_ok(), is_right);
        }
    }

    /// A mebibyte in one line, of what is looked at again and again: in hours or at once.
    #[test]
    fn long_lines_are_read_once() {
        for text in [" ", " #", "a", "=", "a=", "\"", "\\\n", "# ", "''", "$A", "${"] {
            let text = text.repeat((1 << 20) / text.len());
            for text in [format!("A={text}"), format!("{text}A"), format!("  a{text}")] {
                let mut work = Budget::new("bytes of values", 1 << 20);
                assign(&text, &mut Variables::new(), &mut work).unwrap();
            }
        }
    }

    #[test]
    fn what_is_quoted_comes_back() {
        for text in ["plain", "note='$(evil)'", "a\"b\\c`d", ""] {
            assert_eq!(value(&format!("A=\"{}\"", quote(text))).as_deref(), Some(text));
        }
    }
}
