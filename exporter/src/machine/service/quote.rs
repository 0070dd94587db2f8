//! Words of other languages: units of systemd, and shell.

/// Characters that mean nothing but themselves, there and there.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:,+@=".contains(c))
}

/// A word of `ExecStart=`, where variables and specifiers would be replaced: systemd.service(5), "Command lines".
pub(super) fn argument(text: &str) -> String {
    unit_word(text, &[('$', "$$"), ('%', "%%")])
}

/// A word of another setting that is a list, such as `Environment=`: specifiers would be replaced.
pub(super) fn word(text: &str) -> String {
    unit_word(text, &[('%', "%%")])
}

/// In quotes, escaped as in C: systemd.syntax(7), "Quoting".
fn unit_word(text: &str, doubled: &[(char, &str)]) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut out = String::from('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            control if control.is_ascii_control() => out.push_str(&format!("\\x{:02x}", control as u32)),
            other => match doubled.iter().find(|(from, _)| *from == other) {
                Some((_, to)) => out.push_str(to),
                None => out.push(other),
            },
        }
    }
    out.push('"');
    out
}

/// Text to the end of a line, such as that of `Description=`: what would end it or lead on is left out.
pub(super) fn line(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().trim_end_matches('\\').replace('%', "%%")
}

/// A word of shell.
pub(super) fn shell(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_units_are_quoted_where_they_have_to_be() {
        for (text, quoted) in [
            ("/usr/sbin/nginx", "/usr/sbin/nginx"),
            ("-g", "-g"),
            ("daemon off;", r#""daemon off;""#),
            ("", r#""""#),
            (";", r#"";""#),
            ("$HOME ${A} 100%", r#""$$HOME $${A} 100%%""#),
            (r#"a"b\c"#, r#""a\"b\\c""#),
            ("it's", r#""it's""#),
            ("a\nb\tc\x07", r#""a\nb\tc\x07""#),
            ("grün", r#""grün""#),
            ("#no comment", r##""#no comment""##),
        ] {
            assert_eq!(argument(text), quoted);
        }
        assert_eq!(word("A=$B %h"), r#""A=$B %%h""#);
    }

    #[test]
    fn a_line_stays_one() {
        assert_eq!(line(" 100% of\nit\\"), "100%% of it");
    }

    #[test]
    fn words_of_shell_come_back_as_they_were() {
        for text in ["", "plain", "it's", "$HOME `id` \"a\" \\", "a\nb", "''", "*", "grün"] {
            let output =
                std::process::Command::new("sh").args(["-c", &format!("printf %s {}", shell(text))]).output();
            assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap(), text);
        }
    }
}
