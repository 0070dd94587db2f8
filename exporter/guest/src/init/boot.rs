//! The steps from the first process to the service, and back.

use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::agent::keeper;
use crate::early;
use crate::init::asked::Asked;
use crate::init::clock;
use crate::init::console::{self, Log, say, say_error};
use crate::init::ending::{Ending, NOT_SET_UP};
use crate::init::growth;
use crate::init::hardware::Hardware;
use crate::init::hostname;
use crate::init::left::{self, Left};
use crate::init::mounts;
use crate::init::network::{Network, Patience};
use crate::init::power;
use crate::init::resolver::Resolvers;
use crate::init::shutdown;
use crate::init::standing::{Board, Hold};
use crate::init::status;
use crate::init::supervise::{Action, Desk, Event, Supervisor};
use crate::init::told::{OnCrash, Refused, Told};
use crate::init::updates;
use crate::init::view;
use crate::init::words::Words;

/// How long the service waits for addresses: of a machine, and of one that is for its service alone, whose host answers at once
/// or not at all.
const MACHINES: Patience = Patience { address: Duration::from_secs(20), carrier: Duration::from_secs(10) };
const MICROVMS: Patience = Patience { address: Duration::from_secs(5), carrier: Duration::from_secs(1) };
/// Where the disk's builder puts this program.
pub(crate) const PROGRAM: &str = "/usr/lib/vmimage/init";
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// systemd's limit of open files for services that ask for more than the first.
const OPEN_FILES: (u64, u64) = (1024, 524_288);

/// As process 1, which may have been that of the initramfs before.
pub(crate) fn run(left: Option<Left>) -> ExitCode {
    mounts::virtual_file_systems();
    console::open();
    let words = Words::read();
    let (events, inbox) = channel();
    say_error(power::watch_signals(events.clone()));
    prepare_root();

    let mut hardware = Hardware::find();
    let told = Told::read(&words);
    if let Some(left) = left {
        left::leave(left);
    }
    let desk = Desk { log: Log::default(), board: Board::default(), events: events.clone() };
    if told.as_ref().is_ok_and(Told::is_held) {
        desk.board.change(|standing| standing.hold = Hold::Coming);
    }
    keeper::start(&desk);
    let action = match told.and_then(|told| set_up(&told, &mut hardware).map(|()| told)) {
        Ok(told) => {
            let network = start_network(&told);
            hardware.follow(network.clone(), events);
            network.wait(if told.is_for_service() { MICROVMS } else { MACHINES });
            // Before the service: a version in which it never comes up is mended by the next one.
            say_error(updates::start_watch());
            serve(&told, desk, inbox)
        }
        Err(refused) => {
            hardware.follow(start_network(&Told::default()), events);
            // Whoever wants to look at it may.
            desk.board.change(|standing| standing.hold = Hold::Ready);
            refuse(&refused, &inbox)
        }
    };
    keeper::settle();
    shutdown::end(action, &words);
    // Process 1 must not end.
    loop {
        std::thread::park();
    }
}

/// Writable and grown, where nothing has prepared it.
fn prepare_root() {
    match early::prepared() {
        None => {
            mounts::root();
            growth::begin(Path::new("/"));
            mounts::run();
        }
        Some(prepared) => prepared.growing.iter().for_each(|at| growth::begin(at)),
    }
}

/// What programs know from containers and from machines with an init.
fn set_up(told: &Told, hardware: &mut Hardware) -> Result<(), Refused> {
    // Others may want any device as soon as they start, and a host that starts the service comes by one of them.
    if !told.is_confined() || told.is_held() {
        left::finish();
    }
    say_error(clock::set(told.not_before));
    say_error(hostname::set(told.hostname.as_deref()));
    // Any user may listen on port 80, and ping.
    mounts::set("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    mounts::set("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
    let (current, maximum) = (Some(OPEN_FILES.0), Some(OPEN_FILES.1));
    let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
    let mounted = told.shares().iter().try_for_each(|share| share.mount(hardware.modules()));
    // A host may look at a machine that lacks a share: its programs see what the service would.
    let viewed = match told.is_confined() {
        true => view::make(told.has_terminal().then(console::device).as_deref()),
        false => Ok(()),
    };
    mounted.and(viewed).map_err(|error| Refused { error, on_crash: told.on_crash() })
}

fn start_network(told: &Told) -> Network {
    let asked = match &told.network {
        Some(list) => Asked::of_list(list.clone()),
        None => Asked::read().unwrap_or_else(|error| {
            say(format_args!("{error}"));
            Asked::default()
        }),
    };
    let resolvers = match &told.resolvers {
        Some(servers) => Resolvers::fixed(RESOLV_CONF, servers),
        None => Ok(Resolvers::new(RESOLV_CONF)),
    };
    let resolvers = resolvers.unwrap_or_else(|error| {
        say(format_args!("{error}"));
        Resolvers::new(RESOLV_CONF)
    });
    Network::start(asked, resolvers)
}

/// Run the service until the machine is to stop.
fn serve(told: &Told, desk: Desk, inbox: Receiver<Event>) -> Action {
    if told.is_held() {
        desk.board.change(|standing| standing.hold = Hold::Ready);
    }
    match told.service() {
        Ok(Some(_)) if told.is_held() => Supervisor::wait(&inbox),
        Ok(Some(service)) => {
            Supervisor::new(service, told.on_crash(), told.has_terminal(), desk, inbox).run()
        }
        Ok(None) => {
            say(format_args!("the image has no program: there is nothing to run"));
            Supervisor::wait(&inbox)
        }
        Err(error) => refuse(&Refused { error, on_crash: told.on_crash() }, &inbox),
    }
}

/// Where the service cannot be what was asked for, nothing is run.
fn refuse(refused: &Refused, inbox: &Receiver<Event>) -> Action {
    let ending = Ending::Failed(NOT_SET_UP, refused.error.clone());
    say(format_args!("{ending}: nothing is run"));
    say_error(status::tell(&ending));
    match refused.on_crash {
        OnCrash::PowerOff => Action::PowerOff,
        OnCrash::Restart | OnCrash::Halt => Supervisor::wait(inbox),
    }
}
