//! Machines whose network is not there: they start all the same, and nothing in them has failed.

use std::path::Path;
use std::thread;

use super::boot::machine_on;
use super::lab::{Report, boot, scratch};
use super::qmp;
use super::variants::base;

/// Boot a disk of `testdata/machine` with a card that has no carrier.
fn without_carrier(disk: &Path, folder: &Path) -> Report {
    let socket = folder.join("qmp");
    let control = format!("--qemu-arg=unix:{},server=on,wait=off", socket.display());
    let unplug = thread::spawn(move || qmp::tell(&socket, &UNPLUGGED));
    let report = boot(disk, "--bios", &["--qemu-arg=-S", "--qemu-arg=-qmp", &control]);
    unplug.join().unwrap();
    report
}

/// Pull the cable of a machine that has not been started, and start it.
const UNPLUGGED: [&str; 2] =
    [r#"{"execute":"set_link","arguments":{"name":"net","up":false}}"#, r#"{"execute":"cont"}"#];

#[track_caller]
fn check_report(report: &Report, state: &str) {
    assert!(report.get("state").starts_with(state), "{}", report.get("state"));
    assert_eq!((report.get("failed"), report.get("address"), report.get("app")), ("", "", "version one"));
}

#[test]
fn a_card_without_a_carrier_fails_no_unit() {
    let folder = scratch();
    let disk = machine_on("vmimage-test/debian:12", folder.path(), &[]);
    check_report(&without_carrier(&disk, folder.path()), "running");
}

#[test]
#[ignore = "long: make matrix"]
fn no_card_fails_no_unit() {
    let folder = scratch();
    let disk = machine_on("vmimage-test/debian:12", folder.path(), &[]);
    check_report(&boot(&disk, "--bios", &["--no-network"]), "running");
}

#[test]
#[ignore = "long: make matrix"]
fn network_manager_and_netplan_fail_no_unit() {
    for name in ["network-manager", "netplan"] {
        let folder = scratch();
        let disk = machine_on(&base(name), folder.path(), &[]);
        check_report(&boot(&disk, "--bios", &["--no-network"]), "running");
        check_report(&without_carrier(&disk, folder.path()), "running");
    }
}

#[test]
#[ignore = "long: make matrix"]
fn openrc_starts_without_a_network() {
    let folder = scratch();
    let disk = machine_on("vmimage-test/alpine:3.23", folder.path(), &[]);
    check_report(&boot(&disk, "--bios", &["--no-network"]), "");
    check_report(&without_carrier(&disk, folder.path()), "");
}

/// ifupdown of Debian asks for one address after the other, and everything waits for it.
#[test]
#[ignore = "long: make matrix"]
fn ifupdown_fails_no_unit_without_a_carrier() {
    for (name, state) in [("ifupdown", "running"), ("sysvinit", "")] {
        let folder = scratch();
        let disk = machine_on(&base(name), folder.path(), &[]);
        check_report(&without_carrier(&disk, folder.path()), state);
    }
}
