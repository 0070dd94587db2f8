//! Machines of one disk are not the same machine.

use std::collections::BTreeSet;

use super::lab::{Report, boot, build, copy_of, scratch, testdata};
use super::lan::Lan;

/// The user's image was started once, as a machine is set up by hand: it has keys and an id of its own.
const USED: &str = "\
RUN apt-get update && apt-get install -y --no-install-recommends openssh-server && ssh-keygen -A
RUN echo 0123456789abcdef0123456789abcdef >/etc/machine-id
";

fn addresses(report: &Report) -> Vec<&str> {
    report.get("addresses").split_whitespace().collect()
}

#[test]
fn two_machines_of_one_disk_differ_in_id_keys_and_addresses() {
    let folder = scratch();
    let context = copy_of("machine", folder.path());
    let dockerfile = context.join("Dockerfile");
    let text = std::fs::read_to_string(&dockerfile).unwrap();
    std::fs::write(&dockerfile, format!("{text}{USED}")).unwrap();
    let disk = folder.path().join("disk.qcow2");
    build(&context, &disk, &[]);
    let lan = Lan::new(2, folder.path());
    let machine = |port: usize| {
        let copy = folder.path().join(format!("{port}.qcow2"));
        std::fs::copy(&disk, &copy).unwrap();
        let card = lan.card(port);
        boot(&copy, "--bios", &card.each_ref().map(String::as_str))
    };
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| machine(0));
        let other = machine(1);
        (one.join().unwrap(), other)
    });
    for fact in ["machine-id", "host-key"] {
        assert!(one.get(fact).len() >= 32, "{fact}: {}", one.get(fact));
        assert_ne!(one.get(fact), other.get(fact), "{fact}");
    }
    assert_ne!(one.get("machine-id"), "0123456789abcdef0123456789abcdef");
    // The card behind user-mode NAT has the same address everywhere; on the shared network each has its own.
    let on_lan = |report| addresses(report).into_iter().find(|address| address.starts_with(&lan.network));
    let (one, other) = (on_lan(&one).unwrap(), on_lan(&other).unwrap());
    assert_ne!(one, other);
}

/// Alpine's ifupdown knows no patterns for the names of cards.
#[test]
fn every_card_of_an_alpine_gets_an_address() {
    let folder = scratch();
    let disk = folder.path().join("disk.vmdk");
    build(&testdata("machine"), &disk, &["--build-arg", "BASE=vmimage-test/alpine:3.23"]);
    let lan = Lan::new(1, folder.path());
    let card = lan.card(0);
    let report = boot(&disk, "--bios", &card.each_ref().map(String::as_str));
    let networks: BTreeSet<_> =
        addresses(&report).iter().map(|address| address.split('.').next().unwrap().to_owned()).collect();
    assert_eq!(networks, ["10", "172"].map(str::to_owned).into(), "{}", report.get("addresses"));
    assert_eq!(report.get("failed"), "");
}
