//! The machine whose slot is written, behind what the updater has to know of it: the one that it runs in, or files
//! ([`super::simulated`]).

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};

use super::config::{self, Config};
pub(super) use crate::choice::machine::{SlotView, View};
use crate::choice::{Slot, machine};
use crate::grow::device::in_file;
use crate::init::boot;

/// Held by whoever changes a slot.
const LOCK: &str = "/run/vmimage-update.lock";

/// The program of the first process.
const FIRST: &str = "/proc/1/exe";
/// Ours, as the kernel names it: that of the root, or that of an initramfs, which is no more.
const OURS: [&str; 2] = [boot::PROGRAM, "/init (deleted)"];

/// A machine with two slots.
pub(super) trait Machine {
    fn config(&self) -> Result<Config, String>;

    /// What is held while a slot is changed.
    fn lock(&self) -> Result<File, String>;

    fn view(&self) -> Result<View, String>;

    /// The partition of a slot, to be read.
    fn open(&self, slot: Slot) -> Result<File, String>;

    /// The same, to be written to. Nobody else may have it.
    fn open_for_writing(&self, slot: Slot) -> Result<File, String>;

    fn set_bad(&self, slot: Slot) -> Result<(), String>;

    /// A slot is to be tried first, which is going to have this label.
    fn set_next(&self, slot: Slot, label: &str) -> Result<(), String>;

    fn set_label(&self, slot: Slot, label: &str) -> Result<(), String>;

    /// Have the kernels written that lie beside a slot, into a folder that is empty.
    fn set_kernels(
        &self,
        slot: Slot,
        write: &mut dyn FnMut(&Path) -> Result<(), String>,
    ) -> Result<(), String>;

    fn restart(&self) -> Result<(), String>;
}

/// The one that this program runs in.
pub(super) struct Real;

impl Machine for Real {
    fn config(&self) -> Result<Config, String> {
        Config::read(Path::new(config::PATH))
    }

    fn lock(&self) -> Result<File, String> {
        lock(Path::new(LOCK))
    }

    fn view(&self) -> Result<View, String> {
        machine::view()
    }

    fn open(&self, slot: Slot) -> Result<File, String> {
        let device = slot.of(&machine::view()?.slots).device.clone();
        File::open(&device).map_err(in_file(&device))
    }

    fn open_for_writing(&self, slot: Slot) -> Result<File, String> {
        let device = slot.of(&machine::view()?.slots).device.clone();
        machine::unmount_slot()?;
        // The kernel refuses one that is mounted.
        let exclusive = OFlags::EXCL.bits() as i32;
        let opened = File::options().read(true).write(true).custom_flags(exclusive).open(&device);
        opened.map_err(|error| match error.kind() {
            std::io::ErrorKind::ResourceBusy => {
                format!("{}: {error}\nhint: unmount it, and end who else writes to it", device.display())
            }
            _ => in_file(&device)(error),
        })
    }

    fn set_bad(&self, slot: Slot) -> Result<(), String> {
        machine::set_bad(slot)
    }

    fn set_next(&self, slot: Slot, label: &str) -> Result<(), String> {
        machine::set_next(slot, label)
    }

    fn set_label(&self, slot: Slot, label: &str) -> Result<(), String> {
        machine::set_label(slot, label)
    }

    fn set_kernels(
        &self,
        slot: Slot,
        write: &mut dyn FnMut(&Path) -> Result<(), String>,
    ) -> Result<(), String> {
        machine::set_kernels(slot, write)
    }

    /// By what the distribution has for it, which stops services first; else the init is told what Ctrl-Alt-Del tells it.
    fn restart(&self) -> Result<(), String> {
        // What an image without an init has by this name is not for ours.
        let is_own =
            std::fs::read_link(FIRST).is_ok_and(|first| OURS.iter().any(|ours| first == Path::new(ours)));
        if !is_own && Command::new("reboot").status().is_ok_and(|status| status.success()) {
            return Ok(());
        }
        kill_process(Pid::INIT, Signal::INT)
            .map_err(|error| format!("the init cannot be told to restart: {error}"))
    }
}

/// Of two at once the second one does nothing.
pub(super) fn lock(path: &Path) -> Result<File, String> {
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(in_file(path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(format!("{}: another vmimage-update is at work", path.display()))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(in_file(path)(error)),
    }
}

/// Bytes of a partition, or of the file in its place.
pub(super) fn size(file: &File) -> Result<u64, String> {
    let mut file = file;
    file.seek(SeekFrom::End(0)).map_err(|error| format!("the slot: {error}"))
}
