//! Machines of other inits, other networks, and of cloud-init: `testdata/variants`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::boot::{boots_and_grows, boots_on, machine_on};
use super::lab::{Report, boot, nonce, run, scratch, testdata};

/// Build a folder of `testdata/variants`; the name of the image.
fn base(name: &str) -> String {
    let image = format!("vmimage-test/{name}");
    let context = testdata("variants").join(name);
    run(Command::new("docker").args(["build", "-q", "-t", &image]).arg(context));
    image
}

/// The name servers of the two networks; who writes /etc/resolv.conf alone keeps the last.
const NAME_SERVERS: [&str; 2] = ["10.0.2.3", "10.0.3.3"];

/// Both of two cards have an address, and programs find a name server.
fn every_card_gets_an_address(name: &str) -> Report {
    let base = base(name);
    let folder = scratch();
    let disk = machine_on(&base, folder.path(), &[]);
    let second = [
        "--qemu-arg=-netdev",
        "--qemu-arg=user,id=second,net=10.0.3.0/24",
        "--qemu-arg=-device",
        "--qemu-arg=virtio-net-pci,netdev=second,romfile=",
    ];
    let report = boots_and_grows(&base, &disk, "--bios", &second);
    let mut networks: Vec<_> =
        report.get("addresses").split_whitespace().filter_map(|address| address.rsplit_once('.')).collect();
    networks.sort_unstable();
    let networks: Vec<_> = networks.into_iter().map(|(network, _)| network).collect();
    assert_eq!(networks, ["10.0.2", "10.0.3"], "{}", report.get("addresses"));
    let servers = report.get("name-servers");
    assert!(NAME_SERVERS.into_iter().any(|server| servers.contains(server)), "{servers}");
    report
}

#[test]
#[ignore = "long: make matrix"]
fn sysvinit_is_kept_and_boots() {
    let report = every_card_gets_an_address("sysvinit");
    assert_eq!((report.get("init"), report.get("systemd")), ("init", ""));
    assert_eq!(report.get("serial-logins"), "1");
}

/// As Buildroot makes systems: the image's own scripts do the rest.
#[test]
#[ignore = "long: make matrix"]
fn busybox_alone_boots() {
    boots_on(&base("busybox"), &["--bios"]);
}

#[test]
#[ignore = "long: make matrix"]
fn network_manager_takes_every_card() {
    every_card_gets_an_address("network-manager");
}

#[test]
#[ignore = "long: make matrix"]
fn ifupdown_takes_every_card_that_it_is_told_of() {
    every_card_gets_an_address("ifupdown");
}

#[test]
#[ignore = "long: make matrix"]
fn netplan_takes_every_card_that_it_is_told_of() {
    every_card_gets_an_address("netplan");
}

/// A drive for cloud-init's NoCloud: a FAT labelled `CIDATA`.
fn seed(folder: &Path, word: &str) -> PathBuf {
    let drive = folder.join("seed.img");
    run(Command::new("mkfs.fat").args(["-C", "-n", "CIDATA"]).arg(&drive).arg("1024"));
    let user_data =
        format!("#cloud-config\nhostname: seeded\nwrite_files:\n- path: /srv/seeded\n  content: {word}\n");
    for (name, text) in [("meta-data", format!("instance-id: {word}\n")), ("user-data", user_data)] {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        run(Command::new("mcopy").arg("-i").arg(&drive).arg(&file).arg(format!("::{name}")));
    }
    drive
}

#[test]
#[ignore = "long: make matrix"]
fn cloud_init_does_what_a_seed_says_and_nothing_without_one() {
    let base = base("cloud-init");
    let folder = scratch();
    let disk = machine_on(&base, folder.path(), &[]);

    let report = boots_and_grows(&base, &disk, "--bios", &[]);
    assert_eq!((report.get("cloud-init"), report.get("seeded")), ("status: disabled", ""));
    let seconds: u32 = report.get("uptime").parse().unwrap();
    assert!(seconds < 120, "the machine looked for a seed for {seconds} s");

    let word = nonce();
    let drive = format!("--qemu-arg=if=virtio,format=raw,file={}", seed(folder.path(), &word).display());
    let report = boot(&disk, "--bios", &["--qemu-arg=-drive", &drive]);
    assert_eq!((report.get("state"), report.get("failed")), ("running", ""));
    assert_eq!((report.get("cloud-init"), report.get("seeded")), ("status: done", &*word));
    assert_eq!(report.get("hostname"), "seeded");
    assert!(report.get("address").starts_with("10.0.2."), "{}", report.get("address"));
}

/// Layers of images have no labels: the first boot makes them, and boots once more. Debian's kernel has to be told which
/// of its security modules is meant.
#[test]
#[ignore = "long: make matrix"]
fn the_first_boot_labels_every_file_for_selinux() {
    let base = base("selinux");
    let folder = scratch();
    let disk = machine_on(&base, folder.path(), &["--cmdline", "security=selinux"]);
    let report = boots_and_grows(&base, &disk, "--bios", &[]);
    assert_eq!(report.get("label"), "system_u:object_r:shadow_t:s0");
    assert_eq!(report.get("unlabelled"), "0");
}
