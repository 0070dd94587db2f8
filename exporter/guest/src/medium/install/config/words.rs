//! Single keys on the kernel's command line: `vmimage.install.disk=/dev/sda`, `vmimage.install.disk.serial=S4EV`.
//!
//! A value is written as in the file, or, where that is a text or a list with one, as it is.

use toml::{Table, Value};

use super::Layer;

/// What they are called in messages.
const FROM: &str = "vmimage.install";
/// What a text is, whatever it looks like.
const TEXTS: [&str; 9] = [
    "hostname",
    "root-password",
    "user",
    "source",
    "source-digest",
    "after",
    "disk.serial",
    "disk.model",
    "disk.path",
];
/// Lists of texts.
const LISTS: [&str; 1] = ["ssh-keys"];

/// What they say; those that come later count.
///
/// # Errors
/// A key below one that has no keys.
pub(super) fn layer(words: &[(String, String)]) -> Result<Layer, String> {
    let mut table = Table::new();
    for (key, text) in words {
        let value = value(key, text);
        let Some((outer, inner)) = key.split_once('.') else {
            table.insert(key.clone(), value);
            continue;
        };
        let within = table.entry(outer.to_owned()).or_insert_with(|| Value::Table(Table::new()));
        // A word before it has named another disk.
        if !within.is_table() {
            *within = Value::Table(Table::new());
        }
        if let Value::Table(within) = within {
            within.insert(inner.to_owned(), value);
        }
    }
    Ok(Layer { from: FROM.to_owned(), table })
}

fn value(key: &str, text: &str) -> Value {
    let plain = || Value::String(text.to_owned());
    if TEXTS.contains(&key) {
        return plain();
    }
    let read = toml::from_str::<Table>(&format!("value = {text}\n")).ok();
    let read = read.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    match read {
        Some(value) => value,
        None if LISTS.contains(&key) => Value::Array(vec![plain()]),
        None => plain(),
    }
}
