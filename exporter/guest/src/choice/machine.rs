//! Both slots of this machine, for whoever writes a root into one (`vmimage-update`). Each word is said to the boot loader as
//! `vmimage-boot` says it, under the same lock.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::mounted::Mounted;
use super::record::{Record, State, Trial};
use super::{Command, NEXT, Slot, booted, is_by_hand, is_empty, is_passed_over, lock, mark, run};
use crate::grow::device::in_file;

/// What is known of the slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) booted: Slot,
    /// Whether somebody has chosen it in the menu, so that nobody says whether it is good.
    pub(crate) is_by_hand: bool,
    /// The slot that is tried first.
    pub(crate) first: Option<Slot>,
    /// Whether it was made that in this boot, by this machine's own programs.
    pub(crate) is_first_new: bool,
    /// Whether the boot loader has found nothing in it to be started.
    pub(crate) is_first_passed_over: bool,
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

impl SlotView {
    /// Whether it has no root.
    pub(crate) fn is_empty(&self) -> bool {
        is_empty(&self.label, &self.trial)
    }
}

/// What the table and the boot loader say.
pub(crate) fn view() -> Result<View, String> {
    let booted = booted()?;
    let _lock = lock()?;
    let disk = Disk::of_root()?;
    let [a, b] = disk.slots()?;
    let State { order, good, slots: [trial_a, trial_b], .. } =
        Record::on(&disk.boot_volume()?.path).state(booted)?;
    let first = order.first().copied();
    let slots = [(a, trial_a), (b, trial_b)];
    let slots =
        slots.map(|(partition, trial)| SlotView { device: partition.path, label: partition.label, trial });
    Ok(View {
        booted,
        is_by_hand: is_by_hand(),
        first,
        is_first_new: Path::new(NEXT).exists(),
        is_first_passed_over: is_passed_over(first, booted),
        good,
        slots,
    })
}

/// A slot is not to be started any more.
pub(crate) fn set_bad(slot: Slot) -> Result<(), String> {
    run(Command::Bad(Some(slot)), false).map(drop)
}

/// A slot is to be tried first. It is going to have this label, which is what is known of its root.
pub(crate) fn set_next(slot: Slot, label: &str) -> Result<(), String> {
    let booted = booted()?;
    let _lock = lock()?;
    let disk = Disk::of_root()?;
    let mut slots = disk.slots()?;
    label.clone_into(&mut slots[slot as usize].label);
    let volume = disk.boot_volume()?;
    Record::on(&volume.path).set_next(slot, booted, &slots)?;
    mark(NEXT)
}

/// Take away what somebody has left who was killed while he looked into a slot.
pub(crate) fn unmount_slot() -> Result<(), String> {
    let _lock = lock()?;
    Mounted::leave_root();
    Ok(())
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
