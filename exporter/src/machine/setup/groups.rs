//! Groups: `/etc/group` and `/etc/gshadow`.

use super::accounts::{Database, add_to_list, free_number, group, number, row};
use crate::error::{Error, Kind, Result};
use crate::spec::setup::Group;
use crate::tree::{Editor, Tree};

/// Both files.
pub(super) struct Groups {
    pub(super) group: Database,
    /// `None`: the image has none, as Alpine's.
    gshadow: Option<Database>,
}

impl Groups {
    pub(super) fn read(tree: &Tree) -> Result<Self> {
        let gshadow = match tree.resolve("/etc/gshadow") {
            Some(_) => Some(Database::read(tree, "/etc/gshadow", 0o640)?),
            None => None,
        };
        Ok(Self { group: Database::group(tree)?, gshadow })
    }

    pub(super) fn gid(&self, name: &str) -> Option<u32> {
        number(&self.group.get(name)?, group::GID)
    }

    /// Make a group that is not there.
    pub(super) fn make(&mut self, name: &str, gid: u32) {
        self.group.put(row([name, "x", &gid.to_string(), ""]));
        if let Some(gshadow) = &mut self.gshadow {
            gshadow.put(row([name, "!", "", ""]));
        }
    }

    /// Make `user` a member of a group; whether it was none.
    pub(super) fn add_member(&mut self, name: &str, user: &str) -> Result<bool> {
        let missing = || {
            Error::new(Kind::NotFound, format!("group {name}"), "is not on the machine")
                .with_hint("make it in [[groups]], or install the package that has it")
        };
        let mut entry = self.group.get(name).ok_or_else(missing)?;
        let is_new = add_to_list(&mut entry, group::MEMBERS, user);
        self.group.put(entry);
        if let Some(gshadow) = &mut self.gshadow
            && let Some(mut entry) = gshadow.get(name)
        {
            add_to_list(&mut entry, group::MEMBERS, user);
            gshadow.put(entry);
        }
        Ok(is_new)
    }

    pub(super) fn write(self, editor: &mut Editor<'_>) -> Result<()> {
        self.group.write(editor)?;
        self.gshadow.map(|gshadow| gshadow.write(editor)).transpose().map(drop)
    }
}

/// Make the groups that are not there.
pub(super) fn make(editor: &mut Editor<'_>, asked: &[Group]) -> Result<Vec<String>> {
    let mut groups = Groups::read(editor.tree())?;
    let passwd = Database::passwd(editor.tree())?;
    let mut notes = Vec::new();
    for Group { name, gid, .. } in asked {
        match (groups.gid(name), *gid) {
            (Some(has), Some(gid)) if has != gid => {
                let message = format!("has the number {has} in the image, {gid} is asked for");
                return Err(Error::new(Kind::Input, format!("group {name}"), message));
            }
            (Some(_), _) => {}
            (None, Some(gid)) if groups.group.has_number(group::GID, gid) => {
                let message = format!("the number {gid} is another group's");
                return Err(Error::new(Kind::Input, format!("group {name}"), message));
            }
            (None, gid) => {
                let gid = gid.unwrap_or_else(|| free_number(&passwd, &groups.group));
                groups.make(name, gid);
                notes.push(format!("group {name}: made with the number {gid}"));
            }
        }
    }
    groups.write(editor)?;
    Ok(notes)
}

/// Add the members that groups are asked to have, all of which are there by now.
pub(super) fn add_members(editor: &mut Editor<'_>, asked: &[Group]) -> Result<Vec<String>> {
    let mut groups = Groups::read(editor.tree())?;
    let passwd = Database::passwd(editor.tree())?;
    let mut notes = Vec::new();
    for Group { name, members, .. } in asked {
        for member in members {
            if passwd.get(member).is_none() {
                let message = format!("its member {member} is no user of the machine");
                return Err(Error::new(Kind::NotFound, format!("group {name}"), message)
                    .with_hint("make the user in [[users]]"));
            }
            if groups.add_member(name, member)? {
                notes.push(format!("group {name}: {member} added"));
            }
        }
    }
    groups.write(editor)?;
    Ok(notes)
}
