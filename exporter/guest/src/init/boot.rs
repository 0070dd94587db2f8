//! The steps from the first process to the service, and back.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::early;
use crate::init::console::{self, say, say_error};
use crate::init::devices;
use crate::init::growth;
use crate::init::modules::Modules;
use crate::init::mounts;
use crate::init::network::Network;
use crate::init::power;
use crate::init::service::Service;
use crate::init::shutdown;
use crate::init::supervise::Supervisor;
use crate::init::updates;

/// How long the service waits for addresses.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(20);
/// How long for one of a card without a carrier.
const CARRIER_TIMEOUT: Duration = Duration::from_secs(10);
/// Where the disk's builder puts this program.
pub(crate) const PROGRAM: &str = "/usr/lib/vmimage/init";
/// systemd's limit of open files for services that ask for more than the first.
const OPEN_FILES: (u64, u64) = (1024, 524_288);

/// As process 1.
pub(crate) fn run() -> ExitCode {
    mounts::virtual_file_systems();
    console::open();
    let (events, inbox) = channel();
    say_error(power::watch_signals(events.clone()));
    match early::prepared() {
        None => {
            mounts::root();
            growth::begin(Path::new("/"));
            mounts::run();
        }
        Some(prepared) => prepared.growing.iter().for_each(|at| growth::begin(at)),
    }
    name_machine();
    settings();

    let network = Network::start();
    let (mut modules, found_network) = (Modules::read(), network.clone());
    modules.load_asked();
    devices::watch(move |device| {
        if let Some(node) = &device.node {
            power::watch_button(node, &events);
        }
        if let Some(interface) = &device.interface {
            found_network.configure(interface);
        }
        if let Some(alias) = &device.modalias {
            modules.load(alias);
        }
    });
    network.wait(NETWORK_TIMEOUT, CARRIER_TIMEOUT);
    // Before the service: a version in which it never comes up is mended by the next one.
    say_error(updates::start_watch());

    let action = match Service::read() {
        Ok(service) => Supervisor::new(service, inbox).run(),
        Err(error) => {
            say(format_args!("{error}: there is nothing to run"));
            Supervisor::wait(&inbox)
        }
    };
    shutdown::end(action);
    // Process 1 must not end.
    loop {
        std::thread::park();
    }
}

fn name_machine() {
    let name = fs::read_to_string("/etc/hostname").unwrap_or_default();
    if !name.trim().is_empty() {
        let result = rustix::system::sethostname(name.trim().as_bytes());
        say_error(result.map_err(|error| format!("host name {}: {error}", name.trim())));
    }
}

/// What programs know from containers and from machines with an init.
fn settings() {
    // Any user may listen on port 80, and ping.
    mounts::set("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    mounts::set("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
    // Modules that the kernel wants later are loaded by this program, unless the image has its own.
    let modprobe = fs::read_to_string("/proc/sys/kernel/modprobe").unwrap_or_default();
    if !Path::new(modprobe.trim()).exists() {
        mounts::set("/proc/sys/kernel/modprobe", PROGRAM);
    }
    let (current, maximum) = (Some(OPEN_FILES.0), Some(OPEN_FILES.1));
    let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
}
