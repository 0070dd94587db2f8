//! A network that nothing else is in: a namespace with a bridge, ports for machines, and whatever a test serves there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use super::lab::{VMIMAGE, run};
use super::lan::dnsmasq;

/// How many there were: tests run side by side.
static COUNT: AtomicU8 = AtomicU8::new(0);

/// What every site's addresses begin with: no site knows of another.
pub(crate) const NETWORK: &str = "10.77.0.";
/// The address of what a test serves.
pub(crate) const SERVER: &str = "10.77.0.1";
/// The address of a host that knows nothing of ours.
pub(crate) const OTHER: &str = "10.77.0.2";
/// The bridge, in the namespace.
const BRIDGE: &str = "lan";
/// The card of that other host, in a namespace of its own.
const CARD: &str = "card";

/// Taken away when dropped.
pub(crate) struct Site {
    namespace: String,
    other: String,
}

impl Site {
    /// With so many ports.
    pub(crate) fn new(ports: usize) -> Self {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("vmsite{}x{count}", std::process::id());
        let site = Self { other: format!("{namespace}n"), namespace };
        for namespace in [&site.namespace, &site.other] {
            run(Command::new("ip").args(["netns", "add", namespace]));
        }
        site.ip(&["link", "set", "lo", "up"]);
        site.ip(&["link", "add", "name", BRIDGE, "type", "bridge"]);
        site.ip(&["address", "add", &format!("{SERVER}/24"), "dev", BRIDGE]);
        site.ip(&["link", "set", BRIDGE, "up"]);
        site.ip(&[
            "link",
            "add",
            "name",
            "other",
            "type",
            "veth",
            "peer",
            "name",
            CARD,
            "netns",
            &site.other,
        ]);
        site.ip(&["link", "set", "other", "master", BRIDGE, "up"]);
        run(site.beside("ip").args(["address", "add", &format!("{OTHER}/24"), "dev", CARD]));
        run(site.beside("ip").args(["link", "set", CARD, "up"]));
        for port in 0..ports {
            site.ip(&["tuntap", "add", "dev", &Self::port(port), "mode", "tap"]);
            site.ip(&["link", "set", &Self::port(port), "master", BRIDGE, "up"]);
        }
        site
    }

    /// A program that runs in it. It has the process that is spawned to itself: there is none between.
    pub(crate) fn within(&self, program: &str) -> Command {
        within(&self.namespace, program)
    }

    /// The same on the other host.
    fn beside(&self, program: &str) -> Command {
        within(&self.other, program)
    }

    /// The interface that is a port of the bridge.
    pub(crate) fn port(number: usize) -> String {
        format!("port{number}")
    }

    /// `vmimage serve pxe` of a folder, once it answers, with `args`; what it says is a file in `folder`.
    pub(crate) fn serve(&self, netboot: &Path, args: &[&str], folder: &Path) -> Served {
        let mut command = self.within(VMIMAGE);
        command.args(["serve", "pxe"]).arg(netboot);
        command.args(["--listen", SERVER, "--interface", BRIDGE]).args(args);
        let served = Served::start(command, folder.join("serve.log"));
        served.waits_for("serving ");
        served
    }

    /// A DHCP server that is not ours, on the other host, with `args` beside what gives addresses.
    pub(crate) fn dhcp(&self, args: &[&str], folder: &Path) -> Served {
        let mut command = dnsmasq(self.beside("dnsmasq"), NETWORK, CARD, folder);
        command.args(args);
        Served::start(command, folder.join("dnsmasq.log"))
    }

    /// A web server that is not ours, on the other host, of a folder; what it says is a file in `log`.
    pub(crate) fn web(&self, folder: &Path, log: &Path) -> Served {
        let mut command = self.beside("python3");
        command.args(["-u", "-m", "http.server", "80", "--bind", OTHER, "--directory"]).arg(folder);
        let served = Served::start(command, log.join("web.log"));
        served.waits_for(OTHER);
        served
    }

    fn ip(&self, args: &[&str]) {
        run(self.within("ip").args(args));
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for namespace in [&self.other, &self.namespace] {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

fn within(namespace: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, program]);
    command
}

/// A program that serves until it is dropped.
pub(crate) struct Served {
    child: Child,
    log: PathBuf,
}

impl Served {
    fn start(mut command: Command, log: PathBuf) -> Self {
        let output = File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        Self { child: command.spawn().unwrap(), log }
    }

    /// All that it has said.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    fn waits_for(&self, word: &str) {
        let start = Instant::now();
        while !self.log().contains(word) {
            assert!(start.elapsed() < Duration::from_secs(30), "it does not say {word}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Interrupt it, as one does at a terminal. It has to end by itself, and well.
    pub(crate) fn interrupt(mut self) {
        run(Command::new("kill").args(["-INT", &self.child.id().to_string()]));
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        };
        assert!(status.success(), "{status}:\n{}", self.log());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
