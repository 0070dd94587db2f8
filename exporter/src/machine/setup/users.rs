//! Users: `/etc/passwd`, `/etc/shadow`, homes, SSH keys and the right to become root.

use std::collections::{BTreeSet, HashSet};

use super::accounts::{Row, passwd};
use super::groups::Accounts;
use super::{Materials, password};
use crate::error::{Error, Kind, Result};
use crate::seed::Seed;
use crate::spec::Setup;
use crate::spec::setup::{Keys, Root, User};
use crate::tree::{Editor, InodeId, Meta, Tree};

/// Fields of shadow(5).
const HASH: usize = 1;
const CHANGED: usize = 2;

/// No password is right, and the account is not locked: keys may log in where sshd does without PAM, too.
const NO_PASSWORD: &str = "*";

/// Sets up users.
pub(super) struct Users<'a> {
    pub(super) materials: &'a Materials,
    pub(super) seed: &'a Seed,
}

/// Where somebody lives, and as whom.
struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

impl Users<'_> {
    pub(super) fn set_up(
        &self,
        editor: &mut Editor<'_>,
        accounts: &mut Accounts,
        setup: &Setup,
    ) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        for user in &setup.users {
            let account = account(editor, accounts, user)?;
            let shadow = self.set_password(editor, accounts, user)?;
            self.add_keys(editor, &account, &user.authorized_keys)?;
            if user.sudo {
                allow_root(editor, &account, shadow.has_password)?;
            }
            notes.push(format!("user {}: number {}, {}", user.name, account.uid, shadow.shown));
        }
        if let Some(root) = &setup.root {
            notes.push(self.set_up_root(editor, accounts, root)?);
        }
        Ok(notes)
    }

    fn set_up_root(&self, editor: &mut Editor<'_>, accounts: &mut Accounts, root: &Root) -> Result<String> {
        let user = User { name: "root".into(), password: root.password.clone(), ..User::default() };
        let shadow = self.set_password(editor, accounts, &user)?;
        let account = Account { name: "root".into(), uid: 0, gid: 0, home: "/root".into() };
        self.add_keys(editor, &account, &root.authorized_keys)?;
        Ok(format!("user root: {}", shadow.shown))
    }

    /// The line of the shadow: what is asked, else what it has, else nothing that opens.
    fn set_password(&self, editor: &Editor<'_>, accounts: &mut Accounts, user: &User) -> Result<Shadow> {
        // Day 0 would mean that the password must be changed at once.
        let today = (editor.time().seconds / 86_400).max(1).to_string();
        let new = || Row::new([&user.name, NO_PASSWORD, &today, "0", "99999", "7", "", "", ""]);
        let mut entry = accounts.shadow.get(&user.name).filter(|row| row.has(CHANGED)).unwrap_or_else(new);
        if let Some(password) = &user.password {
            entry.set(HASH, password::hash(password, &user.name, self.materials, self.seed)?);
            entry.set(CHANGED, today);
        } else if !user.authorized_keys.is_empty() && matches!(entry.field(HASH), [b'!'] | [b'!', _]) {
            // sshd without PAM takes no key of an account that is locked.
            entry.set(HASH, NO_PASSWORD);
        }
        if user.locked && !entry.field(HASH).starts_with(b"!") {
            entry.set(HASH, [b"!", entry.field(HASH)].concat());
        }
        let has_password = entry.field(HASH).starts_with(b"$");
        let shown = match entry.field(HASH) {
            [] => "an empty password",
            [b'!', ..] => "locked",
            [b'$', ..] => "with a password",
            _ => "without a password",
        };
        accounts.shadow.put(&entry);
        Ok(Shadow { has_password, shown })
    }

    fn add_keys(&self, editor: &mut Editor<'_>, account: &Account, asked: &[Keys]) -> Result<()> {
        if asked.is_empty() {
            return Ok(());
        }
        let folder = format!("{}/.ssh", account.home);
        let path = format!("{folder}/authorized_keys");
        let mut text = super::read(editor.tree(), &path)?;
        if text.last().is_some_and(|&last| last != b'\n') {
            text.push(b'\n');
        }
        let mut known: HashSet<_> = super::lines(&text).map(|line| line.trim_ascii().to_vec()).collect();
        for keys in asked {
            for key in self.materials.keys(keys)? {
                if known.insert(key.as_bytes().to_vec()) {
                    text.extend(format!("{key}\n").as_bytes());
                }
            }
        }
        // sshd refuses keys that others could have written.
        let folder = editor.set_directory(&folder, 0o700)?;
        own(editor, folder, account);
        let file = editor.write_file(&path, text, 0o600)?;
        own(editor, file, account);
        Ok(())
    }
}

/// What became of the line of the shadow.
struct Shadow {
    has_password: bool,
    shown: &'static str,
}

/// The line of passwd with what is asked, the user's groups, and the home.
fn account(editor: &mut Editor<'_>, accounts: &mut Accounts, user: &User) -> Result<Account> {
    let known = accounts.passwd.get(&user.name).filter(|row| row.has(passwd::SHELL));
    // Homes that services don't have are not made for them.
    let has_home = known.is_none() || user.home.is_some();
    let gid = own_group(accounts, user)?;
    let mut entry = match known {
        Some(entry) => keep_numbers(entry, user, gid)?,
        None => new_entry(editor.tree(), accounts, user, gid)?,
    };
    for (field, asked) in
        [(passwd::COMMENT, &user.comment), (passwd::HOME, &user.home), (passwd::SHELL, &user.shell)]
    {
        if let Some(asked) = asked {
            entry.set(field, asked.as_bytes());
        }
    }
    if user.shell.is_some() && editor.tree().resolve(entry.field(passwd::SHELL)).is_none() {
        return Err(wrong(user, format!("the shell {} is not on the machine", entry.text(passwd::SHELL)))
            .with_hint("install it: install = [\"bash\"]"));
    }
    for group in BTreeSet::from_iter(&user.groups) {
        accounts.add_members(group, &[&user.name])?;
    }
    let number = |field| entry.number(field).ok_or_else(|| wrong(user, "/etc/passwd has no number for it"));
    let account = Account {
        name: user.name.clone(),
        uid: number(passwd::UID)?,
        gid: number(passwd::GID)?,
        home: entry.text(passwd::HOME),
    };
    accounts.passwd.put(&entry);
    if has_home {
        make_home(editor, &account)?;
    }
    Ok(account)
}

/// The number of the group that is asked for as its own, if one is.
fn own_group(accounts: &Accounts, user: &User) -> Result<Option<u32>> {
    match (&user.group, user.gid) {
        (None, gid) => Ok(gid),
        (Some(name), None) => accounts.require_gid(name).map(Some),
        (Some(_), Some(_)) => Err(wrong(user, "has a gid and a group").with_hint("leave one of them out")),
    }
}

/// Files belong to numbers: those of a user that is there cannot be changed.
fn keep_numbers(entry: Row, user: &User, gid: Option<u32>) -> Result<Row> {
    for (what, asked, field) in [("uid", user.uid, passwd::UID), ("gid", gid, passwd::GID)] {
        if let (Some(asked), Some(has)) = (asked, entry.number(field))
            && asked != has
        {
            return Err(wrong(user, format!("has the {what} {has} in the image, {asked} is asked for"))
                .with_hint(format!(
                    "leave {what} out, or change it in the Dockerfile, where its files are"
                )));
        }
    }
    Ok(entry)
}

fn new_entry(tree: &Tree, accounts: &mut Accounts, user: &User, gid: Option<u32>) -> Result<Row> {
    let uid = user.uid.map_or_else(|| accounts.free_number(), Ok)?;
    if accounts.passwd.has_number(uid) {
        return Err(wrong(user, format!("the uid {uid} is another user's")));
    }
    let gid = match (gid, accounts.gid(&user.name)) {
        (Some(gid), _) => gid,
        (None, Some(own)) => own,
        (None, None) if accounts.group.has_number(uid) => accounts.free_number()?,
        (None, None) => uid,
    };
    if !accounts.group.has_number(gid) {
        accounts.make_group(&user.name, gid);
    }
    let shell = if tree.resolve("/bin/bash").is_some() { "/bin/bash" } else { "/bin/sh" };
    let home = format!("/home/{}", user.name);
    Ok(Row::new([&user.name, "x", &uid.to_string(), &gid.to_string(), "", &home, shell]))
}

/// A home that is not there, with what `/etc/skel` has.
fn make_home(editor: &mut Editor<'_>, account: &Account) -> Result<()> {
    let home = account.home.as_str();
    if !home.starts_with('/') || editor.tree().resolve(home).is_some() {
        return Ok(());
    }
    let id = editor.set_directory(home, 0o700)?;
    own(editor, id, account);
    let Some(skeleton) = editor.tree().resolve("/etc/skel").filter(|&id| editor.tree().entries(id).is_some())
    else {
        return Ok(());
    };
    let skeleton = editor.tree().subtree(skeleton);
    let change = |meta: &mut Meta| (meta.uid, meta.gid) = (account.uid, account.gid);
    editor.overlay(home.as_bytes(), &skeleton, Tree::ROOT, &change).map(drop)
}

/// A rule for sudo or doas, whichever the machine has.
fn allow_root(editor: &mut Editor<'_>, account: &Account, by_password: bool) -> Result<()> {
    let Account { name, .. } = account;
    if editor.tree().resolve("/usr/bin/sudo").is_some() {
        let free = if by_password { "" } else { "NOPASSWD: " };
        let rule = format!("{name} ALL=(ALL:ALL) {free}ALL\n");
        return editor
            .write_file(format!("/etc/sudoers.d/90-vmimage-{name}"), rule.into_bytes(), 0o440)
            .map(drop);
    }
    if editor.tree().resolve("/usr/bin/doas").is_some() {
        let free = if by_password { "persist" } else { "nopass" };
        let rule = format!("permit {free} {name}\n");
        return editor
            .write_file(format!("/etc/doas.d/90-vmimage-{name}.conf"), rule.into_bytes(), 0o600)
            .map(drop);
    }
    Err(Error::new(
        Kind::NotFound,
        format!("user {name}"),
        "is to become root, and there is neither sudo nor doas",
    )
    .with_hint("install one: install = [\"sudo\"]"))
}

fn own(editor: &mut Editor<'_>, id: InodeId, account: &Account) {
    let meta = editor.meta_mut(id);
    (meta.uid, meta.gid) = (account.uid, account.gid);
}

fn wrong(user: &User, message: impl Into<String>) -> Error {
    Error::new(Kind::Input, format!("user {}", user.name), message)
}
