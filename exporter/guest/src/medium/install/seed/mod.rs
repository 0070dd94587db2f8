//! What makes the machine the one it is, put into the system before it starts: its name, who may log in, its network.

mod access;
mod files;
mod hostname;
mod network;
mod partitions;

use super::closing::Closing;
use super::config::Config;
use crate::medium::manifest::Target as Installed;
use files::System;
use partitions::Mounts;

/// Who configures a network that nobody configures.
const NOBODY: &str = "none";

/// What would be wrong with it, as far as that is known before anything is written.
///
/// # Errors
/// If the system has no place for it.
pub(super) fn check(config: &Config, installed: Option<&Installed>) -> Result<(), String> {
    if !config.seeds() {
        return Ok(());
    }
    let Installed { root, persist, network, .. } = require(installed)?;
    if persist.is_none() && partitions::READ_ONLY.contains(&&*root.r#type) {
        return Err(format!(
            "the root of this system, {}, is only read, and nothing is kept beside it: there is no place for what is asked\n\
             hint: leave out hostname, root-password, ssh-keys and interfaces, and put them into the image",
            root.r#type
        ));
    }
    match config.interfaces.is_empty() {
        true => Ok(()),
        false => network::check(network.as_deref().unwrap_or(NOBODY), &config.interfaces),
    }
}

fn require(installed: Option<&Installed>) -> Result<&Installed, String> {
    installed.ok_or_else(|| {
        "medium.json: does not say where the root is, so nothing can be put into it".to_owned()
    })
}

/// Put it where the system will find it: in its root, or in what is kept beside one that is only read. Returns what was done.
///
/// # Errors
/// If a place is none that can be written to, or is not there.
pub(super) fn seed(
    config: &Config,
    disk: &std::path::Path,
    closing: &Closing,
    installed: Option<&Installed>,
) -> Result<Vec<String>, String> {
    if !config.seeds() {
        return Ok(Vec::new());
    }
    let installed = require(installed)?;
    let mounts = Mounts::of(disk, closing, installed)?;
    let system = System::open(mounts.root(), mounts.persist())?;
    let notes = write(config, &system, installed.network.as_deref().unwrap_or(NOBODY))?;
    drop(system);
    mounts.close()?;
    Ok(notes)
}

/// Each file that was asked for.
fn write(config: &Config, system: &System, manager: &str) -> Result<Vec<String>, String> {
    let mut notes = Vec::new();
    if let Some(name) = &config.hostname {
        notes.push(hostname::write(system, name)?);
    }
    if let Some(hash) = &config.root_password {
        notes.push(access::password(system, "root", hash)?);
    }
    if !config.ssh_keys.is_empty() {
        notes.push(access::ssh_keys(system, &config.user, &config.ssh_keys)?);
    }
    if !config.interfaces.is_empty() {
        notes.extend(network::write(system, manager, &config.interfaces)?);
    }
    Ok(notes)
}

#[cfg(test)]
mod tests;
