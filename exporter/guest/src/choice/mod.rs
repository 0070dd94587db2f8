//! `vmimage-boot`: which of two roots the machine is started from, and whether that went well.
//!
//! ```text
//! vmimage-boot status       what the boot loader would do
//! vmimage-boot good         this boot went well: its slot has all its tries again, and nobody restarts the machine
//! vmimage-boot healthy      the same once the machine is healthy, unless its slot was chosen by hand: what its init runs
//! vmimage-boot bad [A|B]    a slot is not to be started any more
//! vmimage-boot next A|B     a slot is to be tried first from now on
//! ```

mod block;
mod copies;
mod disk;
mod health;

use std::fs::{self, File};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::early::guard;
use block::Block;
use copies::Copies;
use disk::{Disk, Partition};

/// What it is asked for.
pub const WORDS: &[&str] = &["status", "good", "healthy", "bad", "next"];
const USAGE: &str = "usage: vmimage-boot status|good|healthy|bad [A|B]|next A|B [--json]";
/// What a person does who wants another thing.
const STAYS: &str = "grubenv stays as it is, unless you say vmimage-boot good or next";
/// Where the disk's builder puts this program.
const PROGRAM: &str = "/usr/bin/vmimage-boot";
/// Where the slots have names.
const DEVICES: &str = "/dev/vmimage";
const CMDLINE: &str = "/proc/cmdline";
/// How the boot loader says which slot it has started.
const BOOTED: &str = "rauc.slot=";
/// What it says beside that of one which somebody has chosen in its menu.
const BY_HAND: &str = "vmimage.by-hand";
/// What it says of such a one, and where no slot has a try left.
const NO_GUARD: &str = "vmimage.guard=off";
/// Held by whoever reads grubenv to write it.
const LOCK: &str = "/run/vmimage-boot.lock";
/// The label of a slot without a root.
const EMPTY: &str = "_empty";

/// A place for a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Slot {
    A,
    B,
}

impl Slot {
    const ALL: [Self; 2] = [Self::A, Self::B];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|slot| slot.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }

    fn other(self) -> Self {
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
}

/// The program.
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
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
    let disk = Disk::of_root()?;
    let slots = disk.slots()?;
    let esp = disk.esp()?;
    let copies = Copies::on(&esp.path);
    let block = copies.read();
    let is_whole = block.is_some();
    let mut block = block.unwrap_or_else(|| Block::new(booted));
    match command {
        Command::Status => {}
        Command::Good | Command::Healthy => block.set_good(booted),
        Command::Bad(slot) => block.set_bad(slot.unwrap_or(booted)),
        Command::Next(slot) => {
            require_root(&slots, slot)?;
            block.set_next(slot);
        }
    }
    if command != Command::Status {
        copies.write(&block)?;
    }
    // Once it is on the disk.
    if matches!(command, Command::Good | Command::Healthy) {
        guard::tell_good()?;
    }
    Status::new(booted, &block, &slots, is_whole).shown(is_json)
}

/// Of two at once, one would undo what the other has said, or unmount the ESP below it.
fn lock() -> Result<File, String> {
    let failed = |error: std::io::Error| format!("{LOCK}: {error}");
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(LOCK);
    let file = file.map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
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
    fs::read_to_string(CMDLINE).is_ok_and(|words| says(&words, BY_HAND) || slot_in(&words).is_none())
}

/// Whether no slot has a try left, or this one was chosen by hand: nobody restarts the machine.
pub(crate) fn is_unguarded() -> bool {
    is_by_hand() || fs::read_to_string(CMDLINE).is_ok_and(|words| says(&words, NO_GUARD))
}

fn says(words: &str, word: &str) -> bool {
    words.split_ascii_whitespace().any(|other| other == word)
}

/// The slot that the boot loader has started.
fn booted() -> Result<Slot, String> {
    let words = fs::read_to_string(CMDLINE).map_err(|error| format!("{CMDLINE}: {error}"))?;
    slot_in(&words).ok_or_else(|| {
        format!("{CMDLINE}: no {BOOTED}A or B, this machine has no slots or was started by hand")
    })
}

/// The last one counts.
fn slot_in(words: &str) -> Option<Slot> {
    let slot = words.split_ascii_whitespace().filter_map(|word| word.strip_prefix(BOOTED)).next_back();
    slot.and_then(Slot::named)
}

fn require_root(slots: &[Partition; 2], slot: Slot) -> Result<(), String> {
    let [a, b] = slots;
    let partition = if slot == Slot::A { a } else { b };
    match partition.label == EMPTY {
        true => Err(format!("slot {} is empty ({})", slot.name(), partition.path.display())),
        false => Ok(()),
    }
}

/// What the boot loader would do.
#[derive(Serialize)]
struct Status<'a> {
    booted: Slot,
    /// The slots in the order in which they are tried.
    order: Vec<Slot>,
    /// The last slot that was good.
    good: Option<Slot>,
    /// Whether a copy of the environment block could be believed.
    environment: &'static str,
    slots: [SlotStatus<'a>; 2],
}

#[derive(Serialize)]
struct SlotStatus<'a> {
    name: Slot,
    state: &'static str,
    /// How many starts were not followed by a good boot.
    tries: u32,
    device: &'a Path,
    label: &'a str,
}

impl<'a> Status<'a> {
    fn new(booted: Slot, block: &Block, slots: &'a [Partition; 2], is_whole: bool) -> Self {
        let [a, b] = slots;
        let slots = [(Slot::A, a), (Slot::B, b)].map(|(slot, partition)| SlotStatus {
            name: slot,
            state: state(block, slot, partition),
            tries: block.tries(slot),
            device: &partition.path,
            label: &partition.label,
        });
        let environment = if is_whole { "whole" } else { "lost" };
        Self { booted, order: block.order(), good: block.good(), environment, slots }
    }

    fn shown(&self, is_json: bool) -> Result<String, String> {
        if is_json {
            return serde_json::to_string(self).map_err(|error| error.to_string());
        }
        let slots = self.slots.iter().map(|slot| {
            let SlotStatus { name, state, tries, device, label } = slot;
            let booted = if *name == self.booted { "booted" } else { "" };
            format!(
                "{:<2} {booted:<7} {state:<8} {tries} tries used  {}  {label}\n",
                name.name(),
                device.display()
            )
        });
        let order: Vec<_> = self.order.iter().map(|slot| slot.name()).collect();
        let good = self.good.map_or("none", Slot::name);
        let lost = if self.environment == "lost" { ", both copies of grubenv were damaged" } else { "" };
        Ok(format!(
            "{}tried in the order {}, last good: {good}{lost}",
            slots.collect::<String>(),
            order.join(" ")
        ))
    }
}

/// In the words of the glossary: `trying` until a boot was good.
fn state(block: &Block, slot: Slot, partition: &Partition) -> &'static str {
    match (block.is_ok(slot), block.tries(slot)) {
        _ if partition.label == EMPTY => "empty",
        (false, _) => "bad",
        (true, 0) => "good",
        (true, _) => "trying",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> [Partition; 2] {
        [("/dev/vda3", "root-a"), ("/dev/vda4", EMPTY)]
            .map(|(path, label)| Partition { path: path.into(), label: label.into() })
    }

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
    }

    #[test]
    fn an_empty_slot_is_not_the_next_one() {
        let slots = slots();
        assert!(require_root(&slots, Slot::A).is_ok());
        assert_eq!(require_root(&slots, Slot::B).unwrap_err(), "slot B is empty (/dev/vda4)");
    }

    #[test]
    fn the_status_is_for_people_and_programs() {
        let slots = slots();
        let status = Status::new(Slot::A, &Block::new(Slot::A), &slots, true);
        let json = r#"{"booted":"A","order":["A","B"],"good":"A","environment":"whole","slots":[{"name":"A","state":"good","tries":0,"device":"/dev/vda3","label":"root-a"},{"name":"B","state":"empty","tries":0,"device":"/dev/vda4","label":"_empty"}]}"#;
        assert_eq!(status.shown(true).unwrap(), json);
        let text = "A  booted  good     0 tries used  /dev/vda3  root-a\n\
                    B          empty    0 tries used  /dev/vda4  _empty\n\
                    tried in the order A B, last good: A";
        assert_eq!(status.shown(false).unwrap(), text);
    }
}
