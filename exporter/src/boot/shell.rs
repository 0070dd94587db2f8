//! Settings in files that a shell reads, such as `/etc/default/grub`, as far as no shell is needed for them: nothing of
//! an image is run here.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// Variables by name; `None`: only a shell can tell the value.
pub(super) type Variables = BTreeMap<String, Option<String>>;

/// Read the assignments of a file over those of the files before it.
pub(super) fn assign(text: &str, variables: &mut Variables) {
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
                let value = expand(value, variables);
                variables.insert(name.to_owned(), value);
            }
            None => forget_mentioned(line, variables),
        }
        if line.trim_end().ends_with("fi") && line.starts_with("if ") {
            depth = depth.saturating_sub(1);
        }
    }
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
    for (end, _) in line.match_indices('=') {
        let start =
            line[..end].rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
        if is_name(&line[start..end]) {
            variables.insert(line[start..end].to_owned(), None);
        }
    }
}

/// Lines, of which those go on that end within quotes or with a backslash. Comments are left as they are.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let line = lines.last_mut().expect("there is one from the start");
        match (quote, character) {
            (None, '\n') => lines.push(String::new()),
            (None, _) if line.trim_start().starts_with('#') => line.push(character),
            (None | Some('"'), '\\') => match characters.next() {
                None | Some('\n') => {}
                Some(next) => line.extend(['\\', next]),
            },
            (open, '"' | '\'') => {
                line.push(character);
                quote = if open.is_none() { Some(character) } else { open.filter(|&open| open != character) };
            }
            _ => line.push(character),
        }
    }
    lines
}

/// The value of a word: without quotes, and with the variables that are known. It ends at the first blank.
fn expand(word: &str, variables: &Variables) -> Option<String> {
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
            (None | Some('"'), '`') => return None,
            (None | Some('"'), '$') => value.push_str(&variable(&mut characters, variables)?),
            _ => value.push(character),
        }
    }
    Some(value)
}

/// The value of `NAME` or `{NAME}` after a `$`; one that nobody has set is empty.
fn variable(characters: &mut Peekable<Chars<'_>>, variables: &Variables) -> Option<String> {
    let is_braced = characters.next_if_eq(&'{').is_some();
    let mut name = String::new();
    while let Some(next) = characters.next_if(|next| next.is_ascii_alphanumeric() || *next == '_') {
        name.push(next);
    }
    if !is_name(&name) || is_braced && characters.next() != Some('}') {
        return None;
    }
    variables.get(&name).cloned().unwrap_or_else(|| Some(String::new()))
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
        assign(text, &mut variables);
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

    #[test]
    fn what_is_quoted_comes_back() {
        for text in ["plain", "note='$(evil)'", "a\"b\\c`d", ""] {
            assert_eq!(value(&format!("A=\"{}\"", quote(text))).as_deref(), Some(text));
        }
    }
}
