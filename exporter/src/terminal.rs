//! Text on its way to a terminal, a log or whoever else shows it.
//!
//! Names, labels and messages come from whoever made an image, a disk or a registry. Shown as they are, they could
//! move the cursor, rename the window, turn a line around or look like a line of ours. Whoever prints escapes them
//! once, in the form that Rust writes such characters in; all other text stays as it is.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` as a part of one line: its line breaks are escaped as well.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, &|c| c == '\n' || is_command(c), &escape)
}

/// `text` whose line breaks are ours, each part of which is a [`line`] already.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, &is_command, &escape)
}

/// JSON that says the same: such characters are only in its strings, where it has escapes of its own.
pub fn json(text: &str) -> Cow<'_, str> {
    escaped(text, &is_command, &|out, c| {
        let _ = write!(out, "\\u{:04x}", u32::from(c));
    })
}

/// An address without what may be secret in it: a login, and the query, where signatures are. Other text as it is.
pub fn address(text: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = text.split_once("://") else { return Cow::Borrowed(text) };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    Cow::Owned(format!("{scheme}://{host}{path}"))
}

/// Whether a terminal obeys it rather than shows it: control characters (C0, DEL, C1) but for what lays text out, line
/// separators, and marks that turn the direction of text around, all of which are in the first plane of Unicode.
fn is_command(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        other => other.is_control(),
    }
}

/// As Rust writes it.
fn escape(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        other => out.extend(other.escape_unicode()),
    }
}

fn escaped<'a>(
    text: &'a str,
    is_escaped: &dyn Fn(char) -> bool,
    escape: &dyn Fn(&mut String, char),
) -> Cow<'a, str> {
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| if is_escaped(c) { escape(&mut out, c) } else { out.push(c) });
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each kind one, and its neighbours.
    const COMMANDS: [(char, &str); 17] = [
        ('\0', "\\u{0}"),
        ('\u{7}', "\\u{7}"),
        ('\u{8}', "\\u{8}"),
        ('\u{b}', "\\u{b}"),
        ('\u{1b}', "\\u{1b}"),
        ('\u{7f}', "\\u{7f}"),
        ('\u{80}', "\\u{80}"),
        ('\u{85}', "\\u{85}"),
        ('\u{9b}', "\\u{9b}"),
        ('\u{9f}', "\\u{9f}"),
        ('\u{61c}', "\\u{61c}"),
        ('\u{200f}', "\\u{200f}"),
        ('\u{2028}', "\\u{2028}"),
        ('\u{202a}', "\\u{202a}"),
        ('\u{202e}', "\\u{202e}"),
        ('\u{2066}', "\\u{2066}"),
        ('\u{2069}', "\\u{2069}"),
    ];
    /// Umlauts in both forms, CJK, Arabic with its joiner, emoji of several parts, and what is ours.
    const READABLE: &str = "Gr\u{fc}\u{df}e o\u{308} \u{65e5}\u{672c}\u{8a9e} \u{a0} \u{645}\u{200c}\u{647} \
                            \u{1f469}\u{200d}\u{1f680} C:\\u{1b} \"it's\"\t100 %";

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_nothing_else() {
        for (c, shown) in COMMANDS {
            let text = format!("a{c}b");
            assert_eq!(line(&text), format!("a{shown}b"));
            assert_eq!(lines(&text), format!("a{shown}b"));
        }
        assert!(matches!(line(READABLE), Cow::Borrowed(READABLE)));
        assert!(matches!(lines(READABLE), Cow::Borrowed(READABLE)));
    }

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(line("no kernel\r\nhint: rm -rf /"), "no kernel\\r\\nhint: rm -rf /");
        assert_eq!(lines("one\ntwo\r\n"), "one\ntwo\\r\n");
        // Nothing is escaped a second time.
        assert_eq!(line(&line("\u{1b}\n")), "\\u{1b}\\n");
    }

    #[test]
    fn an_address_is_shown_without_secrets() {
        for (text, shown) in [
            (
                "https://me:se@cret@git.example:8443/a.git#main:folder",
                "https://git.example:8443/a.git#main:folder",
            ),
            ("https://store.example/blob?X-Signature=secret", "https://store.example/blob"),
            ("https://token@git.example?ref=main", "https://git.example"),
            ("git@git.example:team/app.git", "git@git.example:team/app.git"),
            ("a folder/b@c", "a folder/b@c"),
            ("://", "://"),
        ] {
            assert_eq!(address(text), shown);
        }
    }

    #[test]
    fn json_says_the_same_without_what_a_terminal_obeys() {
        for (c, _) in COMMANDS {
            let value = serde_json::json!({ format!("{c}key\n"): format!("{READABLE}{c}") });
            let text = serde_json::to_string_pretty(&value).unwrap();
            let shown = json(&text);
            assert!(!shown.contains(is_command), "{shown:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
    }
}
