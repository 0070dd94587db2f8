//! Both slots of this machine, for whoever writes a root into one (`vmimage-update`). Each word is said to the boot loader as
//! `vmimage-boot` says it, under the same lock.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::record::{Record, State, Trial};
use super::{Command, Slot, booted, lock, run};
use crate::grow::device::in_file;

/// What is known of the slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) booted: Slot,
    /// The slot that is tried first.
    pub(crate) first: Option<Slot>,
    /// The last slot that was good.
    pub(crate) good: Option<Slot>,
    /// Slot A and slot B.
    pub(crate) slots: [SlotView; 2],
}

/// What is known of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlotView {
    pub(crate) device: PathBuf,
    /// What the partition is called: the id and the version of its root.
    pub(crate) label: String,
    pub(crate) trial: Trial,
}

/// What the table and the boot loader say.
pub(crate) fn view() -> Result<View, String> {
    let booted = booted()?;
    let _lock = lock()?;
    let disk = Disk::of_root()?;
    let [a, b] = disk.slots()?;
    let State { order, good, slots: [trial_a, trial_b], .. } =
        Record::on(&disk.boot_volume()?.path).state(booted)?;
    let slots = [(a, trial_a), (b, trial_b)];
    let slots =
        slots.map(|(partition, trial)| SlotView { device: partition.path, label: partition.label, trial });
    Ok(View { booted, first: order.first().copied(), good, slots })
}

/// A slot is not to be started any more.
pub(crate) fn set_bad(slot: Slot) -> Result<(), String> {
    run(Command::Bad(Some(slot)), false).map(drop)
}

/// A slot is to be tried first.
pub(crate) fn set_next(slot: Slot) -> Result<(), String> {
    run(Command::Next(slot), false).map(drop)
}

/// Call the partition of a slot something else.
pub(crate) fn set_label(slot: Slot, label: &str) -> Result<(), String> {
    let _lock = lock()?;
    let disk = Disk::of_root()?;
    let slots = disk.slots()?;
    disk.relabel(slot.of(&slots), label)
}

/// Have the kernels of a slot written that lie beside it, into a folder that is empty. What writes them may take its time:
/// meanwhile others ask the boot loader, and may say that this boot is good.
pub(crate) fn set_kernels(
    slot: Slot,
    write: &mut dyn FnMut(&Path) -> Result<(), String>,
) -> Result<(), String> {
    let volume = {
        let _lock = lock()?;
        Disk::of_root()?.kernel_volume()?
    };
    let folder = volume.path.join(slot.name());
    let written = empty(&folder).and_then(|()| write(&folder)).and_then(|()| sync(&folder));
    // Who has the lock may use what is mounted.
    let _lock = lock()?;
    drop(volume);
    written
}

/// Make a folder, in the place of all that was.
pub(crate) fn empty(folder: &Path) -> Result<(), String> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(in_file(folder)(error)),
        _ => fs::create_dir(folder).map_err(in_file(folder)),
    }
}

/// All of its file system.
fn sync(folder: &Path) -> Result<(), String> {
    let synced = || -> io::Result<()> { Ok(rustix::fs::syncfs(File::open(folder)?)?) };
    synced().map_err(in_file(folder))
}
