//! The users and groups of the machine, each of their files read and written once, and the groups that are asked for.

use super::accounts::{Database, Row, group};
use crate::error::{Error, Kind, Result};
use crate::spec::setup::Group;
use crate::tree::{Editor, Tree};

/// The numbers that useradd(8) gives to people by itself: `UID_MIN` and what follows `UID_MAX`.
const FIRST_NUMBER: u32 = 1000;
const END_OF_NUMBERS: u32 = 60_000;

/// All of these files.
pub(super) struct Accounts {
    pub(super) passwd: Database,
    pub(super) shadow: Database,
    pub(super) group: Database,
    /// `None`: the image has none, as Alpine's.
    gshadow: Option<Database>,
    /// None below it is free.
    next_number: u32,
}

impl Accounts {
    pub(super) fn read(tree: &Tree) -> Result<Self> {
        let gshadow = match tree.resolve("/etc/gshadow") {
            Some(_) => Some(Database::read(tree, "/etc/gshadow", 0o640)?),
            None => None,
        };
        let shadow = Database::read(tree, "/etc/shadow", 0o640)?;
        let (passwd, group) = (Database::passwd(tree)?, Database::group(tree)?);
        Ok(Self { passwd, shadow, group, gshadow, next_number: FIRST_NUMBER })
    }

    pub(super) fn write(&self, editor: &mut Editor<'_>) -> Result<()> {
        let databases = [&self.group, &self.passwd, &self.shadow].into_iter().chain(&self.gshadow);
        databases.into_iter().try_for_each(|database| database.write(editor))
    }

    /// The number of a group.
    pub(super) fn gid(&self, name: &str) -> Option<u32> {
        self.group.get(name)?.number(group::GID)
    }

    /// The number of a group that is asked for.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if it is not there.
    pub(super) fn require_gid(&self, name: &str) -> Result<u32> {
        self.gid(name).ok_or_else(|| missing(name))
    }

    /// The first number that neither a user nor a group has: it can be both.
    pub(super) fn free_number(&mut self) -> Result<u32> {
        let is_free = |number: &u32| !self.passwd.has_number(*number) && !self.group.has_number(*number);
        let none = || {
            let message = format!("no number from {FIRST_NUMBER} to {} is free", END_OF_NUMBERS - 1);
            Error::new(Kind::Input, "/etc/passwd and /etc/group", message)
                .with_hint("give it one: uid = …, gid = …")
        };
        self.next_number = (self.next_number..END_OF_NUMBERS).find(is_free).ok_or_else(none)?;
        Ok(self.next_number)
    }

    /// Make a group that is not there.
    pub(super) fn make_group(&mut self, name: &str, gid: u32) {
        self.group.put(&Row::new([name, "x", &gid.to_string(), ""]));
        if let Some(gshadow) = &mut self.gshadow {
            gshadow.put(&Row::new([name, "!", "", ""]));
        }
    }

    /// Make `users` members of a group; those who were none.
    pub(super) fn add_members<'a>(&mut self, name: &str, users: &[&'a str]) -> Result<Vec<&'a str>> {
        let mut entry = self.group.get(name).ok_or_else(|| missing(name))?;
        let added = entry.add_to_list(group::MEMBERS, users);
        self.group.put(&entry);
        if let Some(gshadow) = &mut self.gshadow
            && let Some(mut entry) = gshadow.get(name)
        {
            entry.add_to_list(group::MEMBERS, users);
            gshadow.put(&entry);
        }
        Ok(added)
    }
}

fn missing(name: &str) -> Error {
    Error::new(Kind::NotFound, format!("group {name}"), "is not on the machine")
        .with_hint("make it in [[groups]], or install the package that has it")
}

/// Make the groups that are not there.
pub(super) fn make(accounts: &mut Accounts, asked: &[Group]) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for Group { name, gid, .. } in asked {
        match (accounts.gid(name), *gid) {
            (Some(has), Some(gid)) if has != gid => {
                let message = format!("has the number {has} in the image, {gid} is asked for");
                return Err(Error::new(Kind::Input, format!("group {name}"), message));
            }
            (Some(_), _) => {}
            (None, Some(gid)) if accounts.group.has_number(gid) => {
                let message = format!("the number {gid} is another group's");
                return Err(Error::new(Kind::Input, format!("group {name}"), message));
            }
            (None, gid) => {
                let gid = gid.map_or_else(|| accounts.free_number(), Ok)?;
                accounts.make_group(name, gid);
                notes.push(format!("group {name}: made with the number {gid}"));
            }
        }
    }
    Ok(notes)
}

/// Add the members that groups are asked to have, all of which are there by now.
pub(super) fn add_members(accounts: &mut Accounts, asked: &[Group]) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for Group { name, members, .. } in asked.iter().filter(|group| !group.members.is_empty()) {
        if let Some(member) = members.iter().find(|member| accounts.passwd.get(member).is_none()) {
            let message = format!("its member {member} is no user of the machine");
            return Err(Error::new(Kind::NotFound, format!("group {name}"), message)
                .with_hint("make the user in [[users]]"));
        }
        let members: Vec<_> = members.iter().map(String::as_str).collect();
        let added = accounts.add_members(name, &members)?;
        notes.extend(added.iter().map(|member| format!("group {name}: {member} added")));
    }
    Ok(notes)
}
