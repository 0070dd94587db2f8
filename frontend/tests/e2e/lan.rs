//! A network of this machine's that several guests share: a bridge, a port for each, and dnsmasq for DHCP.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use super::lab::run;

/// How many there were: tests run side by side.
static COUNT: AtomicU8 = AtomicU8::new(0);

/// Taken away when dropped.
pub(crate) struct Lan {
    /// Its addresses begin with this.
    pub(crate) network: String,
    bridge: String,
    ports: Vec<String>,
    dnsmasq: Child,
}

impl Lan {
    /// With so many ports; dnsmasq keeps its leases in `folder`.
    pub(crate) fn new(ports: usize, folder: &Path) -> Self {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}x{count}", std::process::id() % 100_000);
        let (bridge, network) = (format!("vmlan{id}"), format!("172.30.{}.", 200 + count));
        ip(&["link", "add", &bridge, "type", "bridge"]);
        ip(&["address", "add", &format!("{network}1/24"), "dev", &bridge]);
        ip(&["link", "set", &bridge, "up"]);
        let ports: Vec<_> = (0..ports).map(|number| format!("vmtap{id}p{number}")).collect();
        for port in &ports {
            ip(&["tuntap", "add", "dev", port, "mode", "tap"]);
            ip(&["link", "set", port, "master", &bridge, "up"]);
        }
        let dnsmasq = dnsmasq(Command::new("dnsmasq"), &network, &bridge, folder).spawn().unwrap();
        Self { network, bridge, ports, dnsmasq }
    }

    /// Arguments of `vmimage run` for a card more, in this port.
    pub(crate) fn card(&self, port: usize) -> [String; 4] {
        let name = &self.ports[port];
        [
            "--qemu-arg=-netdev".to_owned(),
            format!("--qemu-arg=tap,id=lan,ifname={name},script=no,downscript=no"),
            "--qemu-arg=-device".to_owned(),
            format!("--qemu-arg=virtio-net-pci,netdev=lan,mac=52:54:00:00:01:{port:02x}"),
        ]
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        let _ = self.dnsmasq.kill();
        let _ = self.dnsmasq.wait();
        for link in self.ports.iter().chain([&self.bridge]) {
            let _ = Command::new("ip").args(["link", "del", link]).status();
        }
    }
}

fn ip(args: &[&str]) {
    run(Command::new("ip").args(args));
}

/// dnsmasq as the DHCP server of an interface, which keeps its leases in `folder`. `command` is how it is started.
pub(crate) fn dnsmasq(mut command: Command, network: &str, interface: &str, folder: &Path) -> Command {
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--bind-interfaces"]);
    command.args(["--user=root", "--dhcp-authoritative"]);
    command.arg(format!("--dhcp-range={network}10,{network}99,1h"));
    command.arg(format!("--interface={interface}"));
    command.arg(format!("--dhcp-leasefile={}", folder.join("leases").display()));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}
