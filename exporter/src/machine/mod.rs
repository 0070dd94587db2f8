//! Edits that turn a container's tree into a machine's.
//!
//! Each edit is pure, does one thing, keeps what the user configured, and says what it changed in short
//! lines for the report.

use std::sync::Arc;

use crate::error::Result;
use crate::limits;
use crate::spec::Network;
use crate::tree::os::Os;
use crate::tree::{Editor, Texts, Time, Tree};

mod accounts;
pub mod bind;
mod console;
mod container_base;
pub mod crypttab;
pub mod early;
mod first_boot;
mod fstab;
pub mod good;
mod grow;
mod hostname;
mod identity;
mod ignition;
pub mod init;
mod leftovers;
mod network;
mod openrc;
pub mod os_release;
pub mod persist;
pub mod rauc;
mod reencrypt;
mod reproducible;
mod selinux;
mod service;
mod setup;
mod stand_in;
mod systemd;
pub mod sysupdate;
pub mod update;

pub use container_base::documented as documented_container_base;
pub use fstab::{FsSpec, Mount};
pub use hostname::write as write_hostname;
pub use ignition::platform as ignition_platform;
pub use leftovers::{STEP, forget_container, forget_engine};
pub use network::configure as configure_network;
pub use network::owner as network_owner;
pub use reproducible::forget_build;
pub use selinux::{AUTORELABEL, label};
pub(crate) use service::wanted as wanted_service;
pub use service::{PlannedService, plan as plan_service, require_start};
pub use setup::{Materials, grub_password, set_up};
pub(crate) use stand_in::shape as stand_in_shape;
pub use stand_in::{DIRECTORIES as PROGRAM_FOLDERS, PROGRAMS as STOOD_IN_FOR, find as stand_ins};

/// What the tree must know of the machine it is for.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The partitions that it mounts, each after what it lies in.
    pub mounts: Vec<Mount>,
    /// The partitions that it opens.
    pub opened: Vec<crypttab::Opened>,
    /// The partitions that it swaps to.
    pub swaps: Vec<FsSpec>,
    /// The host name; without one the image's own is kept, else the distribution's id is taken.
    pub hostname: Option<String>,
    /// What is asked of its network.
    pub network: Network,
    /// The serial port for a login beside the screen (`ttyS0`, `ttyAMA0`).
    pub serial: Option<String>,
    /// Where the partition is mounted that grows with the disk, if one does.
    pub grows: Option<String>,
    /// Whether its first boot may label all files for SELinux.
    pub is_labelled_at_boot: bool,
    /// The program `vmimage-grow` for the machine's architecture; without it nothing grows.
    pub grow: Option<Arc<[u8]>>,
    /// The time of every file made here.
    pub time: Time,
}

/// Make `tree`, which holds `os`, the root of `machine`. Returns what was changed, a line for each change.
pub fn apply(
    tree: &mut Tree,
    os: &Os,
    machine: &Machine,
    service: &PlannedService<'_>,
) -> Result<Vec<String>> {
    let editor = &mut Editor::new(tree, machine.time);
    let mut notes = identity::clear(editor, os)?;
    notes.extend(crypttab::write(editor, os, &machine.opened)?);
    notes.extend(fstab::write(editor, os.init, &machine.mounts, &machine.swaps)?);
    notes.extend(hostname::write(editor, machine.hostname.as_deref(), os)?);
    notes.extend(openrc::fill_runlevels(editor, os)?);
    notes.extend(network::configure(editor, os, &machine.network)?);
    notes.extend(console::add_logins(editor, os, machine.serial.as_deref())?);
    if machine.is_labelled_at_boot {
        notes.extend(selinux::relabel(editor)?);
    }
    notes.extend(ignition::prepare(editor, os)?);
    if let Some(mount_point) = &machine.grows {
        notes.extend(match &machine.grow {
            Some(program) => grow::install(editor, os, program.clone(), mount_point)?,
            None => vec![grow::MISSING.to_owned()],
        });
    }
    notes.extend(service::install(editor, os, service)?);
    Ok(notes)
}

/// A file of the tree, empty if there is none. Bytes, so that what the user wrote stays as it is.
fn read(tree: &Tree, path: &str) -> Result<Vec<u8>> {
    Ok(tree.read(path, limits::TEXT)?.unwrap_or_default())
}

/// The lines of a text, each with its line feed except perhaps the last.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|&byte| byte == b'\n')
}

/// The fields of a line that are no comment, as far as they are text.
fn fields(line: &[u8]) -> Vec<String> {
    let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
    String::from_utf8_lossy(line).split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
