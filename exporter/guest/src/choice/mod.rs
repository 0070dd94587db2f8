//! `vmimage-boot`: which of two roots the machine is started from, and whether that went well.
//!
//! ```text
//! vmimage-boot status       what the boot loader would do
//! vmimage-boot good         this boot went well: its slot has all its tries again, and nobody restarts the machine
//! vmimage-boot healthy      the same once the machine is healthy, unless its slot was chosen by hand: what its init runs
//! vmimage-boot bad [A|B]    a slot is not to be started any more
//! vmimage-boot next A|B     a slot is to be tried first from now on
//! vmimage-boot adopt        the same of the other slot, if another program has written a new root into it (systemd-boot)
//! ```

mod adopt;
mod block;
mod copies;
mod disk;
mod entries;
mod entry_name;
mod health;
mod images;
pub(crate) mod machine;
mod mounted;
mod record;
mod status;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::early::guard;
use crate::init::words::{LIVE, Words};
use disk::{Disk, Partition};
pub(crate) use record::Trial;
use record::{Record, State};
use status::Status;
pub(crate) use status::shown_state;

/// What it is asked for.
pub const WORDS: &[&str] = &["status", "good", "healthy", "bad", "next", "adopt"];
const USAGE: &str = "usage: vmimage-boot status|good|healthy|bad [A|B]|next A|B|adopt [--json]";
/// What a person does who wants another thing.
const STAYS: &str = "grubenv stays as it is, unless you say vmimage-boot good or next";
/// Where the disk's builder puts this program.
const PROGRAM: &str = "/usr/bin/vmimage-boot";
/// Where the slots have names.
const DEVICES: &str = "/dev/vmimage";
/// The whole disk, by a name that is there while the booted slot is good. Who finds it by this one writes into the other slot
/// at no other time: that one may be where the machine has to go back to.
const GOOD_DISK: &str = "/dev/vmimage/good-disk";
const CMDLINE: &str = "/proc/cmdline";
/// How the boot loader says which slot it has started.
const BOOTED: &str = "rauc.slot=";
/// How an image says that it may be in either, and the root tells in which.
const OF_ROOT: &str = "rauc.slot=of-root";
/// What it says beside that of one which somebody has chosen in its menu.
const BY_HAND: &str = "vmimage.by-hand";
/// What it says of such a one, and where no slot has a try left.
const NO_GUARD: &str = "vmimage.guard=off";
/// Held by whoever reads what the boot loader knows to write it.
const LOCK: &str = "/run/vmimage-boot.lock";
/// There once a slot was made the next one in this boot.
const NEXT: &str = "/run/vmimage-boot.next";
/// There if another slot than the one that is booted was tried first when this boot was called good: the boot loader has passed
/// over it, which finds nothing in it to be started, and a restart would not lead there.
const PASSED_OVER: &str = "/run/vmimage-boot.passed-over";
/// There once the booted slot was called bad: who goes back because it is not healthy does not want to hear later that it is.
const BAD: &str = "/run/vmimage-boot.bad";
/// The label of a slot without a root.
pub(crate) const EMPTY: &str = "_empty";
/// The label of one that has all of a root, and that `vmimage-update` has not called by its name yet.
pub(crate) const NEW: &str = "_new";

/// A place for a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Slot {
    A,
    B,
}

impl Slot {
    pub(crate) const ALL: [Self; 2] = [Self::A, Self::B];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|slot| slot.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }

    /// That of the two which is this one's.
    pub(crate) fn of<T>(self, [a, b]: &[T; 2]) -> &T {
        match self {
            Self::A => a,
            Self::B => b,
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Status,
    Good,
    Healthy,
    /// Without a slot, the one that is booted.
    Bad(Option<Slot>),
    Next(Slot),
    Adopt,
}

/// The program.
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if Words::read().is_live() {
        println!("vmimage-boot: {LIVE}");
        return ExitCode::SUCCESS;
    }
    if arguments == [health::ROLE] {
        return health::run();
    }
    match Command::parse(&arguments).and_then(|(command, is_json)| run(command, is_json)) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("vmimage-boot: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Command {
    fn parse(arguments: &[String]) -> Result<(Self, bool), String> {
        let words: Vec<_> = arguments.iter().map(String::as_str).filter(|word| *word != "--json").collect();
        let slot = |name: &str| Slot::named(name).ok_or_else(|| format!("{name:?} is no slot, A and B are"));
        let command = match words[..] {
            ["status"] => Self::Status,
            ["good"] => Self::Good,
            ["healthy"] => Self::Healthy,
            ["bad"] => Self::Bad(None),
            ["bad", name] => Self::Bad(Some(slot(name)?)),
            ["next", name] => Self::Next(slot(name)?),
            ["adopt"] => Self::Adopt,
            _ => return Err(USAGE.to_owned()),
        };
        Ok((command, words.len() < arguments.len()))
    }
}

fn run(command: Command, is_json: bool) -> Result<String, String> {
    let booted = booted()?;
    if command == Command::Healthy {
        health::wait()?;
        if is_by_hand() {
            guard::tell_good()?;
            return Ok(format!("slot {} is healthy, and was chosen by hand: {STAYS}", booted.name()));
        }
    }
    let _lock = lock()?;
    if command == Command::Healthy && Path::new(BAD).exists() {
        guard::tell_good()?;
        return Ok(format!(
            "slot {} is healthy, and stays bad unless you say vmimage-boot good",
            booted.name()
        ));
    }
    let disk = Disk::of_root()?;
    let slots = disk.slots()?;
    let volume = disk.boot_volume()?;
    let record = Record::on(&volume.path);
    let before = record.state(booted)?;
    match command {
        Command::Status => {}
        Command::Good | Command::Healthy => record.set_good(booted, &slots)?,
        Command::Bad(slot) => record.set_bad(slot.unwrap_or(booted), booted)?,
        Command::Next(slot) => {
            require_root(slot, slot.of(&slots), slot.of(&before.slots))?;
            record.set_next(slot, booted, &slots)?;
            mark(NEXT)?;
        }
        Command::Adopt => {
            if record.follow(booted, &slots)? {
                mark(NEXT)?;
            }
        }
    }
    // Once it is on the disk.
    match command {
        Command::Good | Command::Healthy => {
            if is_passed_over(before.order.first().copied(), booted) {
                mark(PASSED_OVER)?;
            }
            guard::tell_good()?;
            unmark(BAD)?;
            name_disk(disk.path())?;
        }
        Command::Bad(slot) if slot.is_none_or(|slot| slot == booted) => {
            mark(BAD)?;
            unmark(GOOD_DISK)?;
        }
        Command::Next(slot) if slot == booted => unmark(BAD)?,
        _ => {}
    }
    // What was lost, even if that is made good by now.
    let state = State { lost: before.lost, ..record.state(booted)? };
    Status::new(booted, &state, &slots).shown(is_json)
}

/// Of two at once, one would undo what the other has said, or unmount the ESP below it.
fn lock() -> Result<File, String> {
    let failed = |error: std::io::Error| format!("{LOCK}: {error}");
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(LOCK);
    let file = file.map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

/// Whether the slot that is tried first is not booted, and a restart would not lead to it. If neither this program nor
/// `vmimage-update` has made it the first one in this boot, another one may have, as RAUC does, but not before the boot is good.
fn is_passed_over(first: Option<Slot>, booted: Slot) -> bool {
    let is_there = |path: &str| Path::new(path).exists();
    let may_be_new = is_there(NEXT) || is_there(GOOD_DISK) && !is_there(PASSED_OVER);
    first == Some(booted.other()) && !may_be_new
}

/// What holds for this boot is a file in /run.
fn mark(path: &str) -> Result<(), String> {
    fs::write(path, "").map_err(|error| format!("{path}: {error}"))
}

fn unmark(path: &str) -> Result<(), String> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(format!("{path}: {error}")),
        _ => Ok(()),
    }
}

/// Names for both slots that stay, whatever they have as labels: `/dev/vmimage/slot-A`.
pub(crate) fn name_slots() -> Result<(), String> {
    let slots = Disk::of_root()?.slots()?;
    fs::create_dir_all(DEVICES).map_err(|error| format!("{DEVICES}: {error}"))?;
    for (slot, partition) in Slot::ALL.into_iter().zip(slots) {
        let link = format!("{DEVICES}/slot-{}", slot.name());
        symlink(&partition.path, &link).map_err(|error| format!("{link}: {error}"))?;
    }
    Ok(())
}

fn name_disk(disk: &Path) -> Result<(), String> {
    match fs::create_dir_all(DEVICES).and_then(|()| symlink(disk, GOOD_DISK)) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(format!("{GOOD_DISK}: {error}")),
        _ => Ok(()),
    }
}

/// Leave it to a process to say so once the machine is healthy. One without the program has no slots.
pub(crate) fn start_check() -> Result<(), String> {
    if !Path::new(PROGRAM).exists() {
        return Ok(());
    }
    let check = std::process::Command::new(PROGRAM).arg("healthy").spawn();
    check.map(drop).map_err(|error| format!("{PROGRAM}: cannot be started: {error}"))
}

/// Say that this boot was good. A machine without slots says nothing, nor one that was started by hand.
pub(crate) fn say_good() -> Result<(), String> {
    if is_by_hand() { Ok(()) } else { run(Command::Good, false).map(drop) }
}

/// Whether nobody says that this boot was good: its slot was chosen by hand, or is not known at all. Nothing follows from words
/// that cannot be read.
pub(crate) fn is_by_hand() -> bool {
    fs::read_to_string(CMDLINE)
        .is_ok_and(|words| says(&words, BY_HAND) || !says(&words, OF_ROOT) && slot_in(&words).is_none())
}

/// Whether no slot has a try left, or this one was chosen by hand: nobody restarts the machine.
pub(crate) fn is_unguarded() -> bool {
    is_by_hand() || fs::read_to_string(CMDLINE).is_ok_and(|words| says(&words, NO_GUARD))
}

fn says(words: &str, word: &str) -> bool {
    words.split_ascii_whitespace().any(|other| other == word)
}

/// Whether a restart would start the booted slot again, without a try that is counted.
pub(crate) fn is_last() -> Result<bool, String> {
    let booted = booted()?;
    let _lock = lock()?;
    let volume = Disk::of_root()?.boot_volume()?;
    Record::on(&volume.path).is_last(booted)
}

/// The slot that the boot loader has started.
fn booted() -> Result<Slot, String> {
    let words = fs::read_to_string(CMDLINE).map_err(|error| format!("{CMDLINE}: {error}"))?;
    if says(&words, OF_ROOT) {
        return Disk::of_root()?.slot_of_root();
    }
    slot_in(&words).ok_or_else(|| {
        format!("{CMDLINE}: no {BOOTED}A or B, this machine has no slots or was started by hand")
    })
}

/// The last one counts.
fn slot_in(words: &str) -> Option<Slot> {
    let slot = words.split_ascii_whitespace().filter_map(|word| word.strip_prefix(BOOTED)).next_back();
    slot.and_then(Slot::named)
}

/// Whether there is no root in a slot: its label says so, and nobody has said that it may be started. RAUC says that of what
/// it has written, and knows of no labels.
pub(crate) fn is_empty(label: &str, trial: &Trial) -> bool {
    label == EMPTY && !trial.is_ok
}

fn require_root(slot: Slot, partition: &Partition, trial: &Trial) -> Result<(), String> {
    match is_empty(&partition.label, trial) {
        true => Err(format!("slot {} is empty ({})", slot.name(), partition.path.display())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_understood_and_nothing_else() {
        let parse =
            |words: &str| Command::parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        for (words, command, is_json) in [
            ("status --json", Command::Status, true),
            ("good", Command::Good, false),
            ("healthy", Command::Healthy, false),
            ("bad", Command::Bad(None), false),
            ("--json bad B", Command::Bad(Some(Slot::B)), true),
            ("next A", Command::Next(Slot::A), false),
            ("adopt", Command::Adopt, false),
        ] {
            assert_eq!(parse(words), Ok((command, is_json)), "{words}");
        }
        for words in ["", "next", "good A", "status status", "reset"] {
            assert_eq!(parse(words), Err(USAGE.to_owned()), "{words}");
        }
        assert!(WORDS.iter().all(|word| USAGE.contains(word)) && !WORDS.contains(&"reset"));
        assert_eq!(parse("next C").unwrap_err(), "\"C\" is no slot, A and B are");
    }

    #[test]
    fn the_kernel_is_told_which_slot_was_started_and_whether_by_hand() {
        let slot = |words: &str| (slot_in(words), says(words, BY_HAND), says(words, NO_GUARD));
        assert_eq!(slot("root=x ro rauc.slot=A quiet\n"), (Some(Slot::A), false, false));
        assert_eq!(slot("rauc.slot=A rauc.slot=B vmimage.guard=off\n"), (Some(Slot::B), false, true));
        assert_eq!(slot("rauc.slot=B vmimage.guard=off vmimage.by-hand \n"), (Some(Slot::B), true, true));
        assert_eq!(slot("rauc.slot= vmimage.by-hands vmimage.guard=offs"), (None, false, false));
        let image = "roothash=00 ro rauc.slot=of-root quiet\n";
        assert!(says(image, OF_ROOT) && slot_in(image).is_none() && !says("rauc.slot=of-roots", OF_ROOT));
    }

    #[test]
    fn an_empty_slot_is_not_the_next_one() {
        let slots = status::testing::slots();
        let require =
            |slot: Slot, is_ok| require_root(slot, slot.of(&slots), &Trial { is_ok, ..Trial::default() });
        assert!(require(Slot::A, false).is_ok());
        assert_eq!(require(Slot::B, false).unwrap_err(), "slot B is empty (/dev/vda4)");
        assert!(require(Slot::B, true).is_ok(), "RAUC has written a root there");
    }
}
