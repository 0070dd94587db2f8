//! The keys that there are. One that is none is named, with the one that was probably meant.

use toml::{Table, Value};

/// At the top.
pub(in crate::medium::install) const TOP: &[&str] = &[
    "disk",
    "overwrite",
    "source",
    "source-digest",
    "hostname",
    "root-password",
    "user",
    "ssh-keys",
    "interfaces",
    "unattended",
    "after",
    "boot-entry",
];
/// Of `disk`.
pub(in crate::medium::install) const DISK: &[&str] =
    &["path", "serial", "model", "min-size", "max-size", "transport"];
/// Of each of `interfaces`.
pub(in crate::medium::install) const INTERFACE: &[&str] =
    &["name", "mac", "dhcp", "addresses", "gateway", "dns"];

/// # Errors
/// The first key that is none.
pub(super) fn check(table: &Table) -> Result<(), String> {
    known("", table, TOP)?;
    if let Some(Value::Table(disk)) = table.get("disk") {
        known("disk.", disk, DISK)?;
    }
    let interfaces = table.get("interfaces").and_then(Value::as_array).into_iter().flatten();
    interfaces
        .filter_map(Value::as_table)
        .try_for_each(|interface| known("interfaces.", interface, INTERFACE))
}

fn known(within: &str, table: &Table, keys: &[&str]) -> Result<(), String> {
    match table.keys().find(|key| !keys.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(match nearest(key, keys) {
            Some(meant) => {
                format!("{within}{key}: unknown key\nhint: {within}{meant} is probably meant")
            }
            None => format!("{within}{key}: unknown key\nhint: there are {}", keys.join(", ")),
        }),
    }
}

/// Of `known` the word that was probably meant.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase().replace('_', "-");
    let best = known.iter().map(|other| (distance(&word, other), *other)).min()?;
    (best.0 <= (word.chars().count() / 3).max(1)).then_some(best.1)
}

/// Letters to insert, delete or exchange (Levenshtein's distance), of words that are no longer than a key is.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (index, letter) in left.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (at, other) in right.chars().enumerate() {
            let exchanged = diagonal + usize::from(letter != other);
            diagonal = row[at + 1];
            row[at + 1] = exchanged.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_none_is_named_with_what_was_meant() {
        for (text, said) in [
            ("hostnam = 'a'", "hostnam: unknown key\nhint: hostname is probably meant"),
            ("ssh_keys = []", "hint: ssh-keys is probably meant"),
            ("disk = { serail = 'x' }", "disk.serail: unknown key\nhint: disk.serial is probably meant"),
            ("[[interfaces]]\naddreses = 1", "interfaces.addreses: unknown key\nhint: interfaces.addresses"),
            ("quite-another = 1", "hint: there are disk, overwrite, "),
        ] {
            let error = check(&toml::from_str(text).unwrap()).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert_eq!((distance("kitten", "sitting"), distance("", "ab"), distance("ab", "ab")), (3, 2, 0));
        assert!(check(&Table::from_iter([("x".repeat(1 << 20), Value::Boolean(true))])).is_err());
    }
}
