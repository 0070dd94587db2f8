//! `/etc/passwd`, `/etc/group` and their shadows: lines of fields between colons, the first a name.

use super::{lines, read};
use crate::error::Result;
use crate::tree::{Editor, Tree};

/// One of these files. Lines that are not changed stay as they are, byte for byte.
pub(super) struct Database {
    path: &'static str,
    permissions: u16,
    lines: Vec<Vec<u8>>,
    is_changed: bool,
}

/// A line's fields.
pub(super) type Row = Vec<Vec<u8>>;

/// Fields of passwd(5).
pub(super) mod passwd {
    pub(in crate::machine) const UID: usize = 2;
    pub(in crate::machine) const GID: usize = 3;
    pub(in crate::machine) const COMMENT: usize = 4;
    pub(in crate::machine) const HOME: usize = 5;
    pub(in crate::machine) const SHELL: usize = 6;
}

/// Fields of group(5); gshadow(5) has its members in the same one.
pub(super) mod group {
    pub(in crate::machine) const GID: usize = 2;
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
        let lines = lines(&text).map(|line| line.strip_suffix(b"\n").unwrap_or(line).to_vec()).collect();
        Ok(Self { path, permissions, lines, is_changed: false })
    }

    /// The row of a name.
    pub(super) fn get(&self, name: &str) -> Option<Row> {
        self.rows().find(|row| row[0] == name.as_bytes())
    }

    /// Every row.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row> {
        self.lines.iter().map(|line| line.split(|&byte| byte == b':').map(<[u8]>::to_vec).collect())
    }

    /// Whether some row has this number in this field.
    pub(super) fn has_number(&self, field: usize, number: u32) -> bool {
        self.rows().any(|row| self::number(&row, field) == Some(number))
    }

    /// Put a row in the place of the one with its name, or at the end.
    pub(super) fn put(&mut self, row: Row) {
        let line = row.join(&b':');
        let prefix = [&row[0][..], b":"].concat();
        match self.lines.iter_mut().find(|line| line.starts_with(&prefix)) {
            Some(old) if *old == line => return,
            Some(old) => *old = line,
            None => self.lines.push(line),
        }
        self.is_changed = true;
    }

    /// Write it back, with the owner and the permissions it had. Whether it was changed.
    pub(super) fn write(self, editor: &mut Editor<'_>) -> Result<bool> {
        if self.is_changed {
            let mut text = self.lines.join(&b'\n');
            text.push(b'\n');
            editor.rewrite_file(self.path, text, self.permissions)?;
        }
        Ok(self.is_changed)
    }
}

/// A row of texts.
pub(super) fn row<const N: usize>(fields: [&str; N]) -> Row {
    fields.map(|field| field.as_bytes().to_vec()).to_vec()
}

/// A field as a number.
pub(super) fn number(row: &Row, field: usize) -> Option<u32> {
    std::str::from_utf8(row.get(field)?).ok()?.parse().ok()
}

/// A field as a text, empty if there is none.
pub(super) fn text(row: &Row, field: usize) -> String {
    row.get(field).map(|field| String::from_utf8_lossy(field).into_owned()).unwrap_or_default()
}

/// Add a name to a list between commas; whether it was not there.
pub(super) fn add_to_list(row: &mut Row, field: usize, name: &str) -> bool {
    row.resize(row.len().max(field + 1), Vec::new());
    let list = &mut row[field];
    if list.split(|&byte| byte == b',').any(|member| member == name.as_bytes()) {
        return false;
    }
    if !list.is_empty() {
        list.push(b',');
    }
    list.extend(name.as_bytes());
    true
}

/// The first number from 1000 that neither a user nor a group has: it can be both.
pub(super) fn free_number(passwd: &Database, group: &Database) -> u32 {
    let is_free =
        |number: &u32| !passwd.has_number(passwd::UID, *number) && !group.has_number(group::GID, *number);
    (1000..60_000).find(is_free).expect("files of a mebibyte hold less than 59,000 accounts")
}
