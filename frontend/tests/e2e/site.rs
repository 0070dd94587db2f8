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
/// The bridge, in the namespace.
const BRIDGE: &str = "lan";

/// Taken away when dropped.
pub(crate) struct Site {
    namespace: String,
}

impl Site {
    /// With so many ports.
    pub(crate) fn new(ports: usize) -> Self {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("vmsite{}x{count}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &namespace]));
        let site = Self { namespace };
        site.ip(&["link", "set", "lo", "up"]);
        site.ip(&["link", "add", "name", BRIDGE, "type", "bridge"]);
        site.ip(&["address", "add", &format!("{SERVER}/24"), "dev", BRIDGE]);
        site.ip(&["link", "set", BRIDGE, "up"]);
        for port in 0..ports {
            site.ip(&["tuntap", "add", "dev", &Self::port(port), "mode", "tap"]);
            site.ip(&["link", "set", &Self::port(port), "master", BRIDGE, "up"]);
        }
        site
    }

    /// A program that runs in it. It has the process that is spawned to itself: there is none between.
    pub(crate) fn within(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]);
        command
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
        served.waits_for(SERVER);
        served
    }

    /// A DHCP server that is not ours, with `args` beside what gives addresses.
    pub(crate) fn dhcp(&self, args: &[&str], folder: &Path) -> Served {
        let mut command = dnsmasq(self.within("dnsmasq"), NETWORK, BRIDGE, folder);
        command.args(args);
        Served::start(command, folder.join("dnsmasq.log"))
    }

    /// A web server that is not ours, of a folder, at the port of ours.
    pub(crate) fn web(&self, folder: &Path, log: &Path) -> Served {
        let mut command = self.within("python3");
        command.args(["-u", "-m", "http.server", "8080", "--bind", SERVER, "--directory"]).arg(folder);
        let served = Served::start(command, log.join("web.log"));
        served.waits_for(SERVER);
        served
    }

    fn ip(&self, args: &[&str]) {
        run(self.within("ip").args(args));
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).status();
    }
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
