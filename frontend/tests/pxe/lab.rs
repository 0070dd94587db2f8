//! Hosts on one network: network namespaces with a card each, on a bridge in one of their own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

use super::{lines, program, wait};

/// The network.
pub(super) struct Lab {
    name: String,
}

/// A machine on it.
pub(super) struct Host {
    name: String,
}

/// A process that ends with this.
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(args: &[&str]) -> Output {
    let output = Command::new(args[0]).args(&args[1..]).output();
    output.unwrap_or_else(|error| panic!("{} must be installed: {error}", args[0]))
}

fn ip(args: &str) {
    let words: Vec<_> = ["ip"].into_iter().chain(args.split(' ')).collect();
    let output = run(&words);
    assert!(output.status.success(), "ip {args} (as root): {output:?}");
}

impl Lab {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pxe{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        ip(&format!("netns add {name}"));
        let lab = Self { name };
        ip(&format!("-n {} link add bridge type bridge", lab.name));
        ip(&format!("-n {} link set bridge up", lab.name));
        lab
    }

    /// A host with a card `eth0` that has these addresses.
    pub(super) fn host(&self, name: &str, addresses: &[&str]) -> Host {
        let host = Host { name: format!("{}-{name}", self.name) };
        ip(&format!("netns add {}", host.name));
        ip(&format!("-n {} link add {name} type veth peer name eth0 netns {}", self.name, host.name));
        ip(&format!("-n {} link set {name} master bridge up", self.name));
        for address in addresses {
            ip(&format!("-n {} address add {address} dev eth0", host.name));
        }
        ip(&format!("-n {} link set lo up", host.name));
        ip(&format!("-n {} link set eth0 up", host.name));
        host
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        run(&["ip", "netns", "del", &self.name]);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        run(&["ip", "netns", "del", &self.name]);
    }
}

impl Host {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).args(args).stdin(Stdio::null());
        command
    }

    pub(super) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub(super) fn start(&self, args: &[&str]) -> Running {
        Running(self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Does something as a process of this host would.
    pub(super) fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.name)).unwrap();
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                act()
            });
            thread.join().unwrap()
        })
    }

    /// What is listened on, as `ss` says it.
    pub(super) fn listening(&self) -> Vec<String> {
        let output = self.run(&["ss", "--no-header", "--listening", "--numeric", "--tcp", "--udp"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let socket = |line: &str| {
            let words: Vec<_> = line.split_whitespace().collect();
            format!("{} {}", words[0], words[4])
        };
        let mut sockets: Vec<_> = text.lines().map(socket).collect();
        sockets.sort();
        sockets
    }

    /// A DHCP server that is not ours.
    pub(super) fn dnsmasq(&self, dir: &Path, configuration: &str) -> Running {
        let file = dir.join("dnsmasq.conf");
        fs::write(&file, configuration).unwrap();
        let configuration = format!("--conf-file={}", file.display());
        let leases = format!("--dhcp-leasefile={}", dir.join("leases").display());
        let pid = format!("--pid-file={}", dir.join("pid").display());
        let dnsmasq = self.start(&[
            "dnsmasq",
            "--keep-in-foreground",
            &configuration,
            "--user=root",
            "--port=0",
            "--interface=eth0",
            "--bind-interfaces",
            "--dhcp-authoritative",
            "--no-ping",
            &leases,
            &pid,
        ]);
        wait(|| self.listening().iter().any(|socket| socket.ends_with(":67")));
        dnsmasq
    }

    /// Has busybox's client ask for an address; which server gave one, and whether that is of the network.
    pub(super) fn udhcpc(&self, dir: &Path, args: &[&str]) -> Option<(String, bool)> {
        let script = dir.join("script");
        let text = "#!/bin/sh\n[ \"$1\" != bound ] || echo \"$serverid $ip\" >\"$0.lease\"\n";
        if !script.exists() {
            fs::write(&script, text).unwrap();
            run(&["chmod", "+x", script.to_str().unwrap()]);
        }
        let lease = dir.join("script.lease");
        let _ = fs::remove_file(&lease);
        let client = ["busybox", "udhcpc", "-f", "-q", "-n", "-i", "eth0", "-s", script.to_str().unwrap()];
        let output = self.run(&[&client, args].concat());
        let lease = fs::read_to_string(&lease).ok().filter(|_| output.status.success())?;
        let (server, address) = lease.trim().split_once(' ')?;
        Some((server.to_owned(), address.starts_with("10.9.0.1")))
    }
}

/// `vmimage serve pxe` on a host.
pub(super) struct Serve {
    process: Running,
    out: BufReader<ChildStdout>,
}

impl Serve {
    /// Waits until all servers listen.
    pub(super) fn start(host: &Host, folder: &Path, args: &[&str]) -> Self {
        let program = program();
        let words = [program.to_str().unwrap(), "serve", "pxe", folder.to_str().unwrap(), "--json"];
        let mut command = host.command(&[&words, args].concat());
        let mut process = Running(command.stdout(Stdio::piped()).spawn().unwrap());
        let mut out = BufReader::new(process.0.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).expect("it has said why not");
        assert_eq!(ready["serving"], "web");
        Self { process, out }
    }

    /// Ends it in order; what it has said.
    pub(super) fn end(self) -> Vec<Value> {
        self.end_by("TERM")
    }

    pub(super) fn end_by(mut self, signal: &str) -> Vec<Value> {
        let number = match signal {
            "TERM" => Signal::TERM,
            "INT" => Signal::INT,
            _ => Signal::HUP,
        };
        kill_process(Pid::from_child(&self.process.0), number).unwrap();
        let mut text = String::new();
        self.out.read_to_string(&mut text).unwrap();
        assert_eq!(self.process.0.wait().unwrap().code(), Some(0), "{signal}");
        lines(&text)
    }
}
