//! Whose program it is: `USER` by the rules of containers.
//!
//! A name has to be in `/etc/passwd`, a number does not: its group is 0 then, its home `/`. A group that is
//! named stands alone; otherwise the user's further groups count too.

use crate::error::{Error, Kind, Result, show_text};
use crate::hint::{Hint, Setting};
use crate::machine::accounts::{Database, NAME, Row, group, passwd};
use crate::tree::Tree;

/// A user and the group of its processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The user's name, if it has one.
    pub(super) name: Option<String>,
    /// The user's home directory.
    pub(super) home: String,
}

impl Account {
    /// The account that `user` names: `name`, `uid`, and perhaps `:group` or `:gid`.
    ///
    /// # Errors
    /// [`Kind::Input`] for names that are in neither file.
    pub(super) fn find(tree: &Tree, user: &str) -> Result<Self> {
        let (user, group) = user.split_once(':').unwrap_or((user, ""));
        let mut account = by_user(tree, if user.is_empty() { "0" } else { user })?;
        if !group.is_empty() {
            account.gid = gid(tree, group)?;
        }
        Ok(account)
    }

    /// Whether it may do everything.
    pub(super) fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// The name, where every program takes it for one, else the number.
    pub(super) fn shown(&self) -> String {
        let is_plain = |name: &&String| {
            name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                && name.len() < 32
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
        };
        self.name.as_ref().filter(is_plain).cloned().unwrap_or_else(|| self.uid.to_string())
    }
}

fn by_user(tree: &Tree, user: &str) -> Result<Account> {
    let users = Database::passwd(tree)?;
    // Entries that are none are passed over.
    let known: Vec<_> = users.rows().filter_map(|row| account(&row)).collect();
    let number: Option<u32> = user.parse().ok();
    let named = known.iter().find(|account| account.name.as_deref() == Some(user));
    let found = named.or_else(|| known.iter().find(|account| Some(account.uid) == number));
    match (found, number) {
        (Some(account), _) => Ok(account.clone()),
        (None, Some(uid)) => Ok(Account { uid, gid: 0, name: None, home: "/".into() }),
        (None, None) => Err(unknown(user, "/etc/passwd")),
    }
}

/// Whose entry of passwd(5) it is; `None` if it has no numbers or no home.
fn account(row: &Row) -> Option<Account> {
    if !row.has(passwd::HOME) {
        return None;
    }
    let home = Some(row.text(passwd::HOME)).filter(|home| home.starts_with('/'));
    Some(Account {
        uid: row.number(passwd::UID)?,
        gid: row.number(passwd::GID)?,
        name: Some(row.text(NAME)),
        home: home.unwrap_or_else(|| "/".into()),
    })
}

/// The number of a group.
fn gid(tree: &Tree, group: &str) -> Result<u32> {
    let groups = Database::group(tree)?;
    let mut named = groups.rows().filter(|row| row.field(NAME) == group.as_bytes());
    let known = named.find_map(|row| row.number(group::GID));
    known.or_else(|| group.parse().ok()).ok_or_else(|| unknown(group, "/etc/group"))
}

fn unknown(name: &str, file: &str) -> Error {
    Error::new(Kind::Input, "USER", format!("{:?} is not in the image's {file}", show_text(name))).with_hint(
        Hint::from("add it in the Dockerfile (useradd, adduser), or make no service: ")
            .set(Setting::Service, "off"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::tree;

    fn find(user: &str) -> Result<(u32, u32, String, String)> {
        let tree = tree(&[
            (
                "/etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\nbroken\n10:x:77:78::/ten:\nwww:x:33:34:w:/var/www:/bin/false\n\
                 Odd.Name:x:44:45::relative:\n",
            ),
            ("/etc/group", "root:x:0:\nssl:x:110:www\nwww:x:34:\n7:x:8:\n"),
        ]);
        Account::find(&tree, user).map(|found| (found.uid, found.gid, found.shown(), found.home))
    }

    #[test]
    fn users_and_groups_are_found_as_in_a_container() {
        for (user, uid, gid, shown, home) in [
            ("", 0, 0, "root", "/root"),
            ("www", 33, 34, "www", "/var/www"),
            ("33", 33, 34, "www", "/var/www"),
            ("www:ssl", 33, 110, "www", "/var/www"),
            ("www:999", 33, 999, "www", "/var/www"),
            ("1234", 1234, 0, "1234", "/"),
            ("1234:5678", 1234, 5678, "1234", "/"),
            (":ssl", 0, 110, "root", "/root"),
            ("10", 77, 78, "77", "/ten"),
            ("0:7", 0, 8, "root", "/root"),
            ("Odd.Name", 44, 45, "44", "/"),
        ] {
            assert_eq!(find(user).unwrap(), (uid, gid, shown.to_owned(), home.to_owned()), "{user}");
        }
    }

    #[test]
    fn names_that_nobody_has_are_refused() {
        for (user, message) in [
            ("nobody", r#"USER: "nobody" is not in the image's /etc/passwd"#),
            ("www:none", r#"USER: "none" is not in the image's /etc/group"#),
            ("-1", r#"USER: "-1" is not in the image's /etc/passwd"#),
            ("4294967296", r#"USER: "4294967296" is not in the image's /etc/passwd"#),
        ] {
            assert_eq!(find(user).unwrap_err().to_string(), message);
        }
    }
}
