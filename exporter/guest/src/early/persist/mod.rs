//! What is kept: directories of the machine on a partition of its own, beside a root that is only read.
//!
//! ```text
//! disk of the root ─label─▶ partition ▶ opened, if it is encrypted ▶ checked ▶ mounted ─▶ overlays and binds, seeded from the image
//!                               └ missing or damaged: the same directories in memory, and the machine says so
//! ```

mod encrypted;
mod partition;
mod steps;
pub(crate) mod store;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, mount_bind, unmount};
use serde::{Deserialize, Serialize};

use super::{make_volatile, overlay};
use crate::grow;
use crate::grow::device::{Device, in_file};
use crate::init::console::{say, say_error};
use crate::init::mounts;
use store::Store;

/// A word of the kernel's command line: empty the partition.
const RESET: &str = "vmimage.reset";
/// Where host keys are made at the first boot.
const SSH: &str = "/etc/ssh";
/// What became of it, for programs of the machine.
const STATE: &str = "/run/vmimage/persist.json";

/// What the disk's builder says of it.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Persist {
    /// That of the partition in the table.
    label: String,
    /// Where the partition is mounted.
    at: PathBuf,
    /// Directories with an overlay.
    overlay: Vec<String>,
    /// Directories that are on the partition.
    bind: Vec<String>,
    /// Directories of the partition.
    create: Vec<String>,
    /// Whether it grows with the disk.
    grows: bool,
}

/// What programs of the machine are told.
#[derive(Serialize)]
struct State<'a> {
    /// The partition, if it is mounted.
    device: Option<&'a Path>,
    /// Directories that are in memory although they were to be kept, and why.
    in_memory: &'a BTreeMap<String, String>,
}

impl Persist {
    /// Mount the partition; which one it is. To be done before something lies over the root, which tells the disk.
    pub(super) fn open(&self) -> Result<PathBuf, String> {
        mounts::needed("/sys");
        let device = encrypted::open(partition::find(&self.label)?, &self.label)?;
        let mount = || partition::mount(&device, &self.at);
        partition::check(&device).and_then(|()| mount()).or_else(|error| {
            if !is_reset_asked() {
                return Err(error);
            }
            say(format_args!("{error}: made anew"));
            partition::make_anew(&device, &self.label).and_then(|()| mount())
        })?;
        Ok(device.path)
    }

    /// Mount what is kept over the root, as it is by now. What cannot be kept is in memory, and the machine says so.
    pub(super) fn set_up(&self, opened: Result<PathBuf, String>) -> Result<(), String> {
        let in_memory = match &opened {
            Ok(_) => self.keep(),
            Err(why) => self.nothing_kept(why),
        };
        for (directory, why) in &in_memory {
            say(format_args!("{directory}: NOT KEPT, what is written to it is gone after a reboot: {why}"));
        }
        make_volatile(&in_memory.keys().cloned().collect::<Vec<_>>())?;
        let store = Store::new(&self.at);
        self.create.iter().for_each(|path| say_error(store.create(path)));
        say_error(tell(&State { device: opened.as_deref().ok(), in_memory: &in_memory }));
        Ok(())
    }

    /// Where it is mounted, if it grows with the disk.
    pub(super) fn growing(&self) -> Option<&Path> {
        self.grows.then_some(&*self.at)
    }

    /// Have the next boot empty it.
    pub(super) fn ask_for_reset(&self) -> Result<(), String> {
        if Device::of(&self.at)?.is_none() {
            return Err(format!(
                "{}: is in memory, {STATE} says why: there is nothing to empty",
                self.at.display()
            ));
        }
        Store::new(&self.at).ask_for_reset()
    }

    /// Mount all that is kept; what could not be, and why.
    fn keep(&self) -> BTreeMap<String, String> {
        let store = Store::new(&self.at);
        if is_reset_asked() || store.is_to_be_reset() {
            say(format_args!("{}: is emptied", self.at.display()));
            say_error(store.reset());
        }
        if self.grows {
            // A first room for what is copied to it; the machine's service does the rest.
            say_error(grow::begin(&self.at).map(drop));
        }
        let overlays = self.overlay.iter().map(|directory| (directory, keep_changes(&store, directory)));
        let binds = self.bind.iter().map(|directory| (directory, keep_all(&store, directory)));
        let failed =
            overlays.chain(binds).filter_map(|(directory, kept)| Some((directory.clone(), kept.err()?)));
        let failed = failed.collect();
        forget_cut_keys(Path::new(SSH));
        failed
    }

    fn nothing_kept(&self, why: &str) -> BTreeMap<String, String> {
        let at = self.at.to_string_lossy().into_owned();
        let directories = self.overlay.iter().chain(&self.bind).cloned().chain([at]);
        directories.map(|directory| (directory, why.to_owned())).collect()
    }
}

/// What is changed in a directory of the root.
fn keep_changes(store: &Store, directory: &str) -> Result<(), String> {
    uncover(directory);
    let [upper, work] = store.over(Path::new(directory))?;
    overlay::mount_kept(directory, &upper, &work)
}

/// All that is in a directory.
fn keep_all(store: &Store, directory: &str) -> Result<(), String> {
    uncover(directory);
    let bound = store.bound(Path::new(directory))?;
    mount_bind(&bound, directory).map_err(|error| format!("{}: cannot be mounted: {error}", bound.display()))
}

/// What the initramfs has mounted there is none of the disk's.
fn uncover(directory: &str) {
    let _ = unmount(directory, UnmountFlags::DETACH);
}

/// Keys that a boot was cut in before they were on the disk are empty, and stand in the way of others.
fn forget_cut_keys(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_key = entry.file_name().as_encoded_bytes().starts_with(b"ssh_host_");
        if is_key && entry.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 0) {
            say_error(fs::remove_file(entry.path()).map_err(in_file(&entry.path())));
        }
    }
}

fn is_reset_asked() -> bool {
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    cmdline.split_ascii_whitespace().any(|word| word == RESET)
}

fn tell(state: &State<'_>) -> Result<(), String> {
    let path = Path::new(STATE);
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(in_file(folder))?;
    let text = serde_json::to_vec(state).map_err(in_file(path))?;
    fs::write(path, text).map_err(in_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_empty_are_made_again() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("ssh_host_rsa_key", ""), ("ssh_host_ed25519_key", "key"), ("sshd_config", "")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        forget_cut_keys(folder.path());
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, ["ssh_host_ed25519_key", "sshd_config"]);
        forget_cut_keys(Path::new("/nonexistent"));
    }
}
