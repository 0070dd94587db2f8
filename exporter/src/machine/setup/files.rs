//! Files that were asked for.

use super::Materials;
use super::accounts::{Database, group, passwd};
use super::groups::Accounts;
use crate::error::{Error, Kind, Result};
use crate::spec::setup::File;
use crate::tree::{self, Editor, InodeId, Meta, Tree, Xattrs};

/// The modes of files that say none.
const MODE: u16 = 0o644;
const SECRET_MODE: u16 = 0o600;

pub(super) fn write(
    editor: &mut Editor<'_>,
    files: &[File],
    materials: &Materials,
    accounts: &Accounts,
) -> Result<Vec<String>> {
    files.iter().map(|file| write_one(editor, file, materials, accounts)).collect()
}

fn write_one(
    editor: &mut Editor<'_>,
    file: &File,
    materials: &Materials,
    accounts: &Accounts,
) -> Result<String> {
    let owner = owner(accounts, file)?;
    let mode = mode(file)?;
    let own = |editor: &mut Editor<'_>, id: InodeId| {
        let meta = editor.meta_mut(id);
        (meta.uid, meta.gid) = owner;
    };
    match (&file.content, &file.source, &file.secret) {
        (Some(content), None, None) => {
            let id = editor.write_file(&file.path, content.as_bytes(), mode.unwrap_or(MODE))?;
            own(editor, id);
            Ok(format!("{}: written", file.path))
        }
        (None, Some(source), None) => {
            let context = &materials.context;
            let id = materials.file(source)?;
            // What a folder holds keeps its permissions; those of the one file are asked for here.
            let is_folder = context.entries(id).is_some();
            let change = |meta: &mut Meta| {
                (meta.uid, meta.gid) = owner;
                meta.xattrs = Xattrs::default();
                if !is_folder {
                    meta.permissions = mode.unwrap_or(MODE);
                }
            };
            refuse_special(context, id, source)?;
            let made = editor.overlay(file.path.as_bytes(), context, id, &change)?;
            if let Some(mode) = mode {
                editor.meta_mut(made).permissions = mode;
            }
            Ok(format!("{}: copied from {source}", file.path))
        }
        (None, None, Some(secret)) => {
            let bytes = materials.secret(secret)?;
            let id = editor.write_file(&file.path, bytes, mode.unwrap_or(SECRET_MODE))?;
            own(editor, id);
            Ok(format!("{}: written, of the secret {secret}", file.path))
        }
        _ => Err(Error::new(Kind::Input, &*file.path, "takes exactly one of content, source and secret")),
    }
}

/// A link at the top would be copied as the link; that of another context could lead anywhere.
fn refuse_special(context: &Tree, id: InodeId, source: &str) -> Result<()> {
    match context.inode(id).kind {
        tree::InodeKind::File(_) | tree::InodeKind::Directory(_) => Ok(()),
        _ => Err(Error::new(Kind::Input, source, "is neither a file nor a folder of the build context")),
    }
}

fn mode(file: &File) -> Result<Option<u16>> {
    let Some(text) = &file.mode else { return Ok(None) };
    let mode = u16::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.map(Some)
        .ok_or_else(|| Error::new(Kind::Input, &*file.path, format!("{text:?} is no mode such as 0644")))
}

/// Numbers, or names of the machine's users and groups. Without a group it is the user's own.
fn owner(accounts: &Accounts, file: &File) -> Result<(u32, u32)> {
    let Some(owner) = &file.owner else { return Ok((0, 0)) };
    let Accounts { passwd: users, group: groups, .. } = accounts;
    let missing = |what: &str, name: &str| {
        Error::new(Kind::NotFound, &*file.path, format!("its {what} {name} is not on the machine"))
            .with_hint("make it in [[users]] or [[groups]], or name it by its number")
    };
    let find = |database: &Database, name: &str, field| {
        name.parse().ok().or_else(|| database.get(name)?.number(field))
    };
    let (user, group) = match owner.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (owner.as_str(), None),
    };
    let uid = find(users, user, passwd::UID).ok_or_else(|| missing("owner", user))?;
    let gid = match group {
        Some(group) => find(groups, group, group::GID).ok_or_else(|| missing("group", group))?,
        None => users.get(user).and_then(|row| row.number(passwd::GID)).unwrap_or(uid),
    };
    Ok((uid, gid))
}
