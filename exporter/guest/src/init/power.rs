//! What asks the machine to stop: its power button, Ctrl-Alt-Del, and signals to the first process.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::thread;

use rustix::process::{WaitOptions, wait};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use zerocopy::byteorder::native_endian::{I32, U16, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::init::supervise::{Action, Event};

/// What a power supply that fails makes some daemons send (signal(7)).
const SIGPWR: i32 = 30;
/// What ACPI's tiny power button driver sends (`CONFIG_ACPI_TINY_POWER_BUTTON_SIGNAL`), and systemd's
/// signal to power off: SIGRTMIN+4.
const SIGRTMIN_4: i32 = 38;

/// `struct input_event` of 64-bit machines (linux/input.h).
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct InputEvent {
    tv_sec: U64,
    tv_usec: U64,

    r#type: U16,
    code: U16,
    value: I32,
}

const _: () = assert!(size_of::<InputEvent>() == 24);

const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;
const KEY_POWER2: u16 = 0x164;
const PRESSED: i32 = 1;

impl InputEvent {
    fn is_power_button(&self) -> bool {
        self.r#type == EV_KEY && [KEY_POWER, KEY_POWER2].contains(&self.code.get()) && self.value == PRESSED
    }
}

/// Watch an input device for a power button, if `node` of `/dev` is one.
pub(crate) fn watch_button(node: &str, events: &Sender<Event>) {
    if !node.starts_with("input/event") {
        return;
    }
    let (path, events) = (Path::new("/dev").join(node), events.clone());
    thread::spawn(move || follow(path, &events));
}

/// Until the device is gone.
fn follow(path: PathBuf, events: &Sender<Event>) {
    let Ok(mut device) = File::open(path) else { return };
    let mut bytes = [0; size_of::<InputEvent>()];
    while device.read_exact(&mut bytes).is_ok() {
        if InputEvent::read_from_bytes(&bytes).is_ok_and(|event| event.is_power_button()) {
            let _ = events.send(Event::Asked(Action::PowerOff));
        }
    }
}

/// Turn signals into events: children that ended, and requests to stop.
pub(crate) fn watch_signals(events: Sender<Event>) -> Result<(), String> {
    // Without it the kernel restarts the machine at once, where it stands.
    let _ = rustix::system::reboot(rustix::system::RebootCommand::CadOff);
    let known = [SIGCHLD, SIGHUP, SIGINT, SIGPWR, SIGTERM, SIGUSR1, SIGUSR2, SIGRTMIN_4];
    let mut signals = Signals::new(known).map_err(|error| format!("signals: {error}"))?;
    thread::spawn(move || {
        for signal in signals.forever() {
            let action = match signal {
                SIGCHLD => {
                    reap(&events);
                    continue;
                }
                // Ctrl-Alt-Del.
                SIGINT => Action::Restart,
                SIGHUP => continue,
                _ => Action::PowerOff,
            };
            let _ = events.send(Event::Asked(action));
        }
    });
    Ok(())
}

/// Take leave of every child that ended, also of those that other processes left behind.
fn reap(events: &Sender<Event>) {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        let _ = events.send(Event::Ended(pid, status));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pressed_power_button_counts() {
        let event = |kind: u16, code: u16, value: i32| {
            let mut bytes = [0; 24];
            bytes[16..18].copy_from_slice(&kind.to_ne_bytes());
            bytes[18..20].copy_from_slice(&code.to_ne_bytes());
            bytes[20..].copy_from_slice(&value.to_ne_bytes());
            InputEvent::read_from_bytes(&bytes).unwrap().is_power_button()
        };
        assert!(event(1, 116, 1) && event(1, 0x164, 1));
        assert!(!event(1, 116, 0) && !event(1, 30, 1) && !event(2, 116, 1));
    }
}
