//! `/etc/passwd`, `/etc/group` and their shadows: lines of fields between colons, the first a name.

use std::collections::{HashMap, HashSet};

use super::{lines, read};
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::tree::{Editor, Tree};

/// One of these files. Lines that are not changed stay as they are, byte for byte.
pub(super) struct Database {
    path: &'static str,
    permissions: u16,
    lines: Vec<Vec<u8>>,
    /// The first line of each name.
    names: HashMap<Vec<u8>, usize>,
    /// Those of users or groups.
    numbers: HashSet<u32>,
    is_changed: bool,
}

/// The first field of all of them.
pub(super) const NAME: usize = 0;
/// The field with the number of a user or a group.
const NUMBER: usize = 2;

/// Fields of passwd(5).
pub(super) mod passwd {
    pub(in crate::machine) const UID: usize = super::NUMBER;
    pub(in crate::machine) const GID: usize = 3;
    pub(in crate::machine) const COMMENT: usize = 4;
    pub(in crate::machine) const HOME: usize = 5;
    pub(in crate::machine) const SHELL: usize = 6;
}

/// Fields of group(5); gshadow(5) has its members in the same one.
pub(super) mod group {
    pub(in crate::machine) const GID: usize = super::NUMBER;
    pub(in crate::machine) const MEMBERS: usize = 3;
}

impl Database {
    /// The users.
    pub(super) fn passwd(tree: &Tree) -> Result<Self> {
        Self::read(tree, "/etc/passwd", 0o644)
    }

    /// The groups.
    pub(super) fn group(tree: &Tree) -> Result<Self> {
        Self::read(tree, "/etc/group", 0o644)
    }

    /// Read one; it is empty if it is not there. A new one gets these permissions.
    pub(super) fn read(tree: &Tree, path: &'static str, permissions: u16) -> Result<Self> {
        let text = read(tree, path)?;
        if lines(&text).nth(limits::ACCOUNTS).is_some() {
            let message = format!("has more than {} lines, which is the limit", limits::ACCOUNTS);
            return Err(Error::new(Kind::Input, path, message));
        }
        let (names, numbers) = Default::default();
        let mut database = Self { path, permissions, lines: Vec::new(), names, numbers, is_changed: false };
        for line in lines(&text) {
            database.push(line.strip_suffix(b"\n").unwrap_or(line).to_vec());
        }
        Ok(database)
    }

    fn push(&mut self, line: Vec<u8>) {
        let row = Row::read(&line);
        self.numbers.extend(row.number(NUMBER));
        self.names.entry(row.field(NAME).to_vec()).or_insert(self.lines.len());
        self.lines.push(line);
    }

    /// The row of a name.
    pub(super) fn get(&self, name: &str) -> Option<Row> {
        self.names.get(name.as_bytes()).and_then(|&at| self.lines.get(at)).map(|line| Row::read(line))
    }

    /// Every row.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row> {
        self.lines.iter().map(|line| Row::read(line))
    }

    /// Whether some row has this number.
    pub(super) fn has_number(&self, number: u32) -> bool {
        self.numbers.contains(&number)
    }

    /// Put a row in the place of the one with its name, or at the end.
    pub(super) fn put(&mut self, row: &Row) {
        let line = row.0.join(&b':');
        match self.names.get(row.field(NAME)).and_then(|&at| self.lines.get_mut(at)) {
            Some(old) if *old == line => return,
            Some(old) => {
                *old = line;
                // The one it had stays taken: files may belong to it.
                self.numbers.extend(row.number(NUMBER));
            }
            None => self.push(line),
        }
        self.is_changed = true;
    }

    /// Write it back, with the owner and the permissions it had, if it was changed.
    pub(super) fn write(&self, editor: &mut Editor<'_>) -> Result<()> {
        if self.is_changed {
            let mut text = self.lines.join(&b'\n');
            text.push(b'\n');
            editor.rewrite_file(self.path, text, self.permissions)?;
        }
        Ok(())
    }
}

/// A line's fields. One that is not there is empty.
#[derive(Clone)]
pub(super) struct Row(Vec<Vec<u8>>);

impl Row {
    /// A row of texts.
    pub(super) fn new<const N: usize>(fields: [&str; N]) -> Self {
        Self(fields.map(|field| field.as_bytes().to_vec()).to_vec())
    }

    fn read(line: &[u8]) -> Self {
        Self(line.split(|&byte| byte == b':').map(<[u8]>::to_vec).collect())
    }

    /// Whether it has so many fields that this one is among them.
    pub(super) fn has(&self, field: usize) -> bool {
        field < self.0.len()
    }

    pub(super) fn field(&self, field: usize) -> &[u8] {
        self.0.get(field).map(Vec::as_slice).unwrap_or_default()
    }

    fn field_mut(&mut self, field: usize) -> Option<&mut Vec<u8>> {
        if !self.has(field) {
            self.0.resize(field + 1, Vec::new());
        }
        self.0.get_mut(field)
    }

    pub(super) fn set(&mut self, field: usize, value: impl Into<Vec<u8>>) {
        if let Some(old) = self.field_mut(field) {
            *old = value.into();
        }
    }

    /// A field as a number.
    pub(super) fn number(&self, field: usize) -> Option<u32> {
        std::str::from_utf8(self.field(field)).ok()?.parse().ok()
    }

    /// A field as a text.
    pub(super) fn text(&self, field: usize) -> String {
        String::from_utf8_lossy(self.field(field)).into_owned()
    }

    /// Add names to a list between commas; those that were not there.
    pub(super) fn add_to_list<'a>(&mut self, field: usize, names: &[&'a str]) -> Vec<&'a str> {
        let mut known: HashSet<_> =
            self.field(field).split(|&byte| byte == b',').map(<[u8]>::to_vec).collect();
        let added: Vec<_> =
            names.iter().copied().filter(|name| known.insert(name.as_bytes().to_vec())).collect();
        if let Some(list) = self.field_mut(field) {
            for name in &added {
                if !list.is_empty() {
                    list.push(b',');
                }
                list.extend(name.as_bytes());
            }
        }
        added
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Time;
    use crate::tree::testing::{text, tree};

    #[test]
    fn the_first_of_a_name_counts_and_others_stay() {
        let mut tree = tree(&[("/etc/passwd", "ada:x:1:\nbob\nada:x:2:\n:x:3:\n#\n")]);
        let mut passwd = Database::passwd(&tree).unwrap();
        let mut ada = passwd.get("ada").unwrap();
        assert_eq!(ada.number(passwd::UID), Some(1));
        ada.set(passwd::SHELL, "/bin/sh");
        passwd.put(&ada);
        passwd.put(&Row::new(["eve", "x", "4"]));
        assert!((1..=4).all(|number| passwd.has_number(number)) && !passwd.has_number(5));
        assert!(
            passwd.get("bob").is_some_and(|row| !row.has(passwd::UID)) && passwd.get("mallory").is_none()
        );
        passwd.write(&mut Editor::new(&mut tree, Time::default())).unwrap();
        let written = "ada:x:1::::/bin/sh\nbob\nada:x:2:\n:x:3:\n#\neve:x:4\n";
        assert_eq!(text(&tree, "/etc/passwd").as_deref(), Some(written));
    }

    #[test]
    fn a_list_takes_each_name_once() {
        let mut row = Row::new(["sudo", "x", "27", "ada"]);
        assert_eq!(row.add_to_list(group::MEMBERS, &["bob", "ada", "eve", "bob"]), ["bob", "eve"]);
        assert_eq!(row.field(group::MEMBERS), b"ada,bob,eve");
        let mut short = Row::new(["sudo"]);
        assert_eq!(short.add_to_list(group::MEMBERS, &["ada"]), ["ada"]);
        assert_eq!(short.0.join(&b':'), b"sudo:::ada");
    }

    #[test]
    fn so_many_accounts_are_none() {
        for (rows, is_right) in [(limits::ACCOUNTS, true), (limits::ACCOUNTS + 1, false)] {
            let tree = tree(&[("/etc/passwd", &"::1000\n".repeat(rows))]);
            let read = Database::passwd(&tree).map(|database| database.rows().count());
            assert_eq!(read.as_ref().ok(), is_right.then_some(&rows));
            let names_it = |error: crate::Error| {
                error.to_string() == "/etc/passwd: has more than 65536 lines, which is the limit"
            };
            assert!(read.err().is_none_or(names_it));
        }
    }
}
