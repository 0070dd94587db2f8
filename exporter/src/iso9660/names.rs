//! Names for those who read no Rock Ridge: of A to Z, 0 to 9 and `_`, and of few of them.

use std::collections::BTreeSet;

/// Longest name of a volume (8.4.6).
const LABEL_MAX: usize = 32;
/// Longest name of a file with its extension, and of a directory (7.5.1, 7.6.3), so that no path has more than the 255
/// bytes that one may have (6.8.2.1).
const NAME_MAX: usize = 30;
/// Longest extension.
const EXTENSION_MAX: usize = 8;

/// The name of a file or a directory in its directory; they are sorted by it (9.3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identifier {
    name: String,
    /// Of a file.
    extension: Option<String>,
}

impl Identifier {
    /// Of a file, unlike those in `taken`, which has it then.
    pub(super) fn of_file(name: &str, taken: &mut BTreeSet<Self>) -> Self {
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, extension),
            _ => (name, ""),
        };
        let extension = plain(extension, EXTENSION_MAX);
        Self::unlike(stem, NAME_MAX - extension.len(), Some(extension), taken)
    }

    /// Of a directory, in the same way.
    pub(super) fn of_directory(name: &str, taken: &mut BTreeSet<Self>) -> Self {
        Self::unlike(name, NAME_MAX, None, taken)
    }

    /// With a number at its end, where another has the name.
    fn unlike(stem: &str, most: usize, extension: Option<String>, taken: &mut BTreeSet<Self>) -> Self {
        let numbered = |number: usize| {
            let number = number.to_string();
            let name = plain(stem, most - number.len()) + &number;
            Self { name, extension: extension.clone() }
        };
        let first = Self { name: plain(stem, most), extension: extension.clone() };
        let free = std::iter::once(first).chain((0..).map(numbered)).find(|it| !taken.contains(it));
        let free = free.expect("numbers do not end");
        taken.insert(free.clone());
        free
    }

    /// As a record has it: of a file with its version, which is the first.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match &self.extension {
            Some(extension) => format!("{}.{extension};1", self.name).into_bytes(),
            None => self.name.clone().into_bytes(),
        }
    }
}

/// The label of a volume with this name.
pub(super) fn label(name: &str) -> String {
    match plain(name, LABEL_MAX) {
        empty if empty.is_empty() => "VMIMAGE".to_owned(),
        label => label,
    }
}

/// `text` in d-characters (7.4.1), no more than `most`.
fn plain(text: &str, most: usize) -> String {
    let plain = |character: char| match character.to_ascii_uppercase() {
        letter @ ('A'..='Z' | '0'..='9') => letter,
        _ => '_',
    };
    text.chars().map(plain).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> String {
        String::from_utf8(Identifier::of_file(name, &mut BTreeSet::new()).bytes()).unwrap()
    }

    #[test]
    fn names_are_plain_and_short() {
        for (name, identifier) in [
            ("vmlinuz", "VMLINUZ.;1"),
            ("disk.raw", "DISK.RAW;1"),
            (".disk", "_DISK.;1"),
            ("grün.cfg", "GR_N.CFG;1"),
            ("0f8a1c32-6c1e-4e9b-9d6a-2f1f3b7c5d10", "0F8A1C32_6C1E_4E9B_9D6A_2F1F3B.;1"),
            ("a.configuration", "A.CONFIGUR;1"),
        ] {
            assert_eq!(file(name), identifier);
        }
        assert_eq!(label("web server 1.0"), "WEB_SERVER_1_0");
        assert_eq!(label(""), "VMIMAGE");
        assert_eq!(label(&"x".repeat(40)), "X".repeat(32));
    }

    #[test]
    fn what_would_be_the_same_is_numbered() {
        let mut taken = BTreeSet::new();
        let mut next = |name: &str| Identifier::of_file(name, &mut taken).bytes();
        assert_eq!(next("a-b.c"), b"A_B.C;1");
        assert_eq!(next("a+b.c"), b"A_B0.C;1");
        assert_eq!(next("A_B.C"), b"A_B1.C;1");
        let long = "x".repeat(100);
        assert_eq!(next(&long).len(), next(&format!("{long}y")).len());
        let mut taken = BTreeSet::new();
        let first = Identifier::of_directory("a.b", &mut taken);
        assert_eq!(first.bytes(), b"A_B");
        assert_ne!(Identifier::of_directory("a_b", &mut taken), first);
    }
}
