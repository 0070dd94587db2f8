//! What the machine is made of: modules for its devices, and what is done with cards and buttons, also those that come later.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::mpsc::Sender;

use crate::init::boot;
use crate::init::devices::Devices;
use crate::init::modules::{self, Modules};
use crate::init::network::Network;
use crate::init::power;
use crate::init::supervise::Event;

/// Cards by name, and input devices.
const CARDS: &str = "/sys/class/net";
const INPUT: &str = "/dev/input";

/// The devices of the machine, all with their drivers.
pub(crate) struct Hardware {
    devices: Devices,
    modules: Modules,
}

impl Hardware {
    /// Load what the machine's files ask for and what its devices want. Without modules nothing is looked at: an initramfs
    /// has loaded what there is, or the kernel has all.
    pub(crate) fn find() -> Self {
        let (devices, mut modules) = (Devices::listen(), Modules::read());
        // What is loaded may want others at once (`crypto-crc32c`), which the kernel asks this program for.
        modules::serve_kernel(boot::PROGRAM, &modules);
        if !modules.is_empty() {
            modules.load_asked();
            devices.load(&mut modules);
        }
        Self { devices, modules }
    }

    /// The modules there are.
    pub(crate) fn modules(&mut self) -> &mut Modules {
        &mut self.modules
    }

    /// Configure cards and watch buttons, those that are there and in the background those that come.
    pub(crate) fn follow(self, network: Network, events: Sender<Event>) {
        let Self { devices, mut modules } = self;
        for card in names(CARDS) {
            network.configure(&card);
        }
        for input in names(INPUT) {
            power::watch_button(&format!("input/{input}"), &events);
        }
        devices.follow(move |device| {
            if let Some(alias) = &device.modalias {
                modules.load(alias);
            }
            if let Some(node) = &device.node {
                power::watch_button(node, &events);
            }
            if let Some(interface) = &device.interface {
                network.configure(interface);
            }
        });
    }
}

fn names(directory: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| OsStr::to_str(&entry.file_name()).map(str::to_owned)).collect()
}
