//! Commands as text that a shell reads back the same.

use std::ffi::OsStr;
use std::process::Command;

use exporter::terminal::line;

/// One command line, each word quoted where it has to be.
pub(crate) fn show(command: &Command) -> String {
    let mut words = vec![quote(command.get_program())];
    words.extend(command.get_args().map(quote));
    words.join(" ")
}

/// One word, in single quotes unless it is made of harmless characters only.
pub(crate) fn quote(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref().to_string_lossy();
    if line(&word) != word {
        return format!("\"$(printf -- '{}')\"", printf_format(&word));
    }
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=,:+@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(harmless) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What printf(1) prints the word for, without the characters in it that a terminal would obey.
fn printf_format(word: &str) -> String {
    let escape = |byte: u8| match byte {
        b'%' => "%%".to_owned(),
        b'\\' => r"\\".to_owned(),
        b'\'' => r"'\''".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        other => format!("\\{other:03o}"),
    };
    word.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for word in ["plain", "a b", "", "it's", "$HOME", "a;b", "-x=1,2", "é", "-\u{1b}[2J%s\\'\u{202e}é\n."]
        {
            let script = format!("printf %s {}", quote(word));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
            assert_eq!(line(&quote(word)), quote(word));
        }
    }
}
