//! Networks of `vmimage.toml`: each manager makes of one text the same network, and the machine reaches this one by it.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::thread;

use super::boot::check_report;
use super::lab::{Report, boot, build, copy_of, nonce, scratch};
use super::scratch::Machine;
use super::variants::base;

/// QEMU's own network gives 10.0.2.15 by DHCP, and takes any of 10.0.2.0/24.
const FIRST: &str = "52:54:00:12:34:56";
const SECOND: &str = "52:54:00:12:34:57";

/// A card with an address of its own, one without any, and a VLAN on that. The names of cards are the kernel's.
fn config(second: &str, link: &str, port: u16) -> String {
    format!(
        r#"
cmdline = "net.ifnames=0"
hostname = "web"

[network]
dns = ["192.0.2.53"]
search = ["corp.example"]
hosts = ["db:192.0.2.5"]

[[network.interfaces]]
mac = "{FIRST}"
addresses = ["10.0.2.50/24", "fd00::50/64"]
gateway = "10.0.2.2"
mtu = 1400
[[network.interfaces]]
{second}
dhcp = "none"
[[network.interfaces]]
name = "lan"
vlan = {{ id = 5, link = "{link}" }}
addresses = ["10.9.5.1/24"]

[[files]]
path = "/etc/report.d/network"
content = '''
fact cards "$(ip -o -4 addr show scope global | awk '{{ print $2 "=" $4 }}' | sort | tr '\n' ' ')"
fact six "$(ip -o -6 addr show dev eth0 scope global | awk '{{ print $4 }}')"
fact second "$(cat /sys/class/net/eth1/operstate)"
fact mtu "$(cat /sys/class/net/eth0/mtu)"
fact vlan "$(sed -n 's/.*VID: \([0-9]*\).*/\1/p' /proc/net/vlan/lan)"
fact route "$(ip route show default | awk '{{ print $3 }}')"
fact host "$(getent hosts db | awk '{{ print $1 }}')"
fact search "$(awk '$1 == "search" {{ print $2 }}' /etc/resolv.conf)"
if command -v bash >/dev/null; then
	fact reached "$(bash -c 'cat </dev/tcp/10.0.2.2/{port}')"
else
	fact reached "$(nc 10.0.2.2 {port} </dev/null)"
fi
'''
"#
    )
}

/// Say a word to each that comes to this port of this machine.
fn greet(word: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = (&stream).write_all(word.as_bytes());
        }
    });
    port
}

/// Boot a machine of `base` with two cards and this network.
fn boots_with(base: &str, second: &str, link: &str, args: &[&str], folder: &Path) -> (Report, String) {
    let word = nonce();
    let context = copy_of("machine", folder);
    std::fs::write(context.join("vmimage.toml"), config(second, link, greet(word.clone()))).unwrap();
    let disk = folder.join("machine.qcow2");
    build(&context, &disk, &[&["--build-arg", &format!("BASE={base}")], args].concat());
    let device = format!("--qemu-arg=virtio-net-pci,netdev=second,romfile=,mac={SECOND}");
    let cards =
        ["--qemu-arg=-netdev", "--qemu-arg=user,id=second,net=10.0.3.0/24", "--qemu-arg=-device", &device];
    let report = boot(&disk, "--bios", &cards);
    check_report(base, "--bios", &report);
    (report, word)
}

#[track_caller]
fn is_as_asked(report: &Report, word: &str) {
    assert_eq!(report.get("cards"), "eth0=10.0.2.50/24 lan=10.9.5.1/24");
    assert_eq!((report.get("six"), report.get("mtu")), ("fd00::50/64", "1400"));
    assert_eq!((report.get("second"), report.get("vlan")), ("up", "5"));
    assert_eq!((report.get("route"), report.get("host")), ("10.0.2.2", "192.0.2.5"));
    assert_eq!(report.get("search"), "corp.example");
    let servers = report.get("name-servers");
    assert!(servers.contains("192.0.2.53") && !servers.contains("10.0.2.3"), "{servers}");
    assert_eq!(report.get("reached"), word);
}

#[test]
fn networkd_makes_the_network_that_is_asked_for() {
    let folder = scratch();
    let second = format!("mac = \"{SECOND}\"");
    let (report, word) = boots_with("vmimage-test/debian:12", &second, SECOND, &[], folder.path());
    is_as_asked(&report, &word);
}

#[test]
#[ignore = "long: make matrix"]
fn network_manager_makes_the_network_that_is_asked_for() {
    let folder = scratch();
    let second = format!("mac = \"{SECOND}\"");
    let args = ["--network-manager", "networkmanager"];
    let (report, word) = boots_with(&base("network-manager"), &second, SECOND, &args, folder.path());
    is_as_asked(&report, &word);
}

#[test]
#[ignore = "long: make matrix"]
fn netplan_makes_the_network_that_is_asked_for() {
    let folder = scratch();
    let second = format!("mac = \"{SECOND}\"");
    let (report, word) = boots_with(&base("netplan"), &second, SECOND, &[], folder.path());
    is_as_asked(&report, &word);
}

/// It knows what a VLAN lies on by its name alone.
#[test]
#[ignore = "long: make matrix"]
fn ifupdown_makes_the_network_that_is_asked_for() {
    for base in [base("ifupdown"), base("sysvinit")] {
        let folder = scratch();
        let (report, word) = boots_with(&base, "name = \"eth1\"", "eth1", &[], folder.path());
        is_as_asked(&report, &word);
    }
}

#[test]
#[ignore = "long: make matrix"]
fn openrc_makes_the_network_that_is_asked_for() {
    let folder = scratch();
    let (report, word) =
        boots_with("vmimage-test/alpine:3.23", "name = \"eth1\"", "eth1", &[], folder.path());
    is_as_asked(&report, &word);
}

/// The address of DHCP, which QEMU sends to what reaches the machine, and nobody has been asked for it.
#[test]
#[ignore = "long: make matrix"]
fn our_own_init_makes_the_network_that_is_asked_for() {
    let folder = scratch();
    let context = copy_of("scratch", folder.path());
    let config = "[network]\ndns = [\"192.0.2.53\", \"192.0.2.54\"]\n[[network.interfaces]]\ndriver = \"virtio_net\"\n\
                  addresses = [\"10.0.2.15/24\", \"fd00::50/64\"]\ngateway = [\"10.0.2.2\", \"fd00::2\"]\nmtu = 1400\n";
    std::fs::write(context.join("vmimage.toml"), config).unwrap();
    let disk = folder.path().join("server.qcow2");
    build(&context, &disk, &[]);
    let mut machine = Machine::boot(&disk, "--bios");
    let report = machine.report();
    assert!(report.contains(&("nameserver".to_owned(), "2".to_owned())), "{report:?}");
    machine.power_down();
    let console = machine.console();
    // The initramfs may have given the card another name than the kernel.
    for line in [": 10.0.2.15/24", ": fd00::50/64"] {
        assert!(console.contains(line), "{line:?} is not in:\n{console}");
    }
    assert!(!console.contains("10.0.2.15/24 from") && !console.contains("eth0: route"), "{console}");
}

/// Refused before a kernel is installed, with every place.
#[test]
fn a_network_that_cannot_be_is_refused_with_its_places() {
    let folder = scratch();
    let context = copy_of("machine", folder.path());
    let config = "[network]\nmanager = \"none\"\n[[network.interfaces]]\naddresses = [\"10.0.2.50/24\"]\ngateway = \"10.0.3.1\"\n";
    std::fs::write(context.join("vmimage.toml"), config).unwrap();
    let mut command = std::process::Command::new(super::lab::VMIMAGE);
    let said =
        super::lab::refused(command.arg("build").arg(&context).arg("-o").arg(folder.path().join("d.raw")));
    for part in [
        "vmimage.toml:2:11: network.manager: manager is none",
        "vmimage.toml:5:11: network.interfaces.gateway: 10.0.3.1 is in none",
    ] {
        assert!(said.contains(part), "{said}");
    }
}
