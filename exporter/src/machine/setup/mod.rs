//! What the user asked to be set up: groups, users, files, services, time zone, locale, modules.
//!
//! Pure edits like the others, and the last ones, so that what was asked wins.

use super::{accounts, lines, openrc, read, systemd};
use crate::error::Result;
use crate::seed::Seed;
use crate::spec::Setup;
use crate::tree::Editor;
use crate::tree::os::Os;

mod files;
mod groups;
mod grub_password;
mod materials;
mod modules;
mod password;
mod place;
mod services;
mod users;

pub use grub_password::grub_password;
pub use materials::Materials;

/// Set up what `setup` asks for. Returns what was changed, a line for each change; no line has a secret in it.
///
/// `seed` is where the salts of passwords come from.
///
/// # Errors
/// What contradicts the image (a number that is taken, a group that is not there), and what `materials` lack.
pub fn set_up(
    editor: &mut Editor<'_>,
    os: &Os,
    setup: &Setup,
    materials: &Materials,
    seed: &Seed,
) -> Result<Vec<String>> {
    if setup.is_empty() {
        return Ok(Vec::new());
    }
    let accounts = &mut groups::Accounts::read(editor.tree())?;
    let mut notes = groups::make(accounts, &setup.groups)?;
    let users = users::Users { materials, seed };
    notes.extend(users.set_up(editor, accounts, setup)?);
    notes.extend(groups::add_members(accounts, &setup.groups)?);
    accounts.write(editor)?;
    notes.extend(files::write(editor, &setup.files, materials, accounts)?);
    notes.extend(services::switch(editor, os, &setup.services)?);
    notes.extend(place::time_zone(editor, os, setup.timezone.as_deref())?);
    notes.extend(place::locale(editor, os, setup.locale.as_deref())?);
    notes.extend(modules::load(editor, &setup.modules)?);
    Ok(notes)
}

#[cfg(test)]
mod tests;
