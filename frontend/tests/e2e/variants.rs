//! Machines of other inits, other networks, of cloud-init and Ignition: `testdata/variants`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::boot::{boots_and_grows, boots_on, machine_on};
use super::config::ssh_key;
use super::lab::{Report, boot, fat, nonce, run, scratch, testdata};

/// Build a folder of `testdata/variants`; the name of the image.
pub(crate) fn base(name: &str) -> String {
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

/// A drive for cloud-init's NoCloud.
fn seed(folder: &Path, word: &str) -> PathBuf {
    let user_data =
        format!("#cloud-config\nhostname: seeded\nwrite_files:\n- path: /srv/seeded\n  content: {word}\n");
    let meta_data = format!("instance-id: {word}\n");
    fat(folder, "CIDATA", &[("meta-data", &meta_data), ("user-data", &user_data)])
}

#[test]
#[ignore = "long: make matrix"]
fn cloud_init_does_what_a_seed_says_and_nothing_without_one() {
    let base = base("cloud-init");
    let folder = scratch();
    let disk = machine_on(&base, folder.path(), &[]);

    let report = boots_and_grows(&base, &disk, "--bios", &[]);
    assert_eq!((report.get("cloud-init"), report.get("seeded")), ("status: disabled", ""));

    let word = nonce();
    let drive = format!("--qemu-arg=if=virtio,format=raw,file={}", seed(folder.path(), &word).display());
    let report = boot(&disk, "--bios", &["--qemu-arg=-drive", &drive]);
    assert_eq!((report.get("state"), report.get("failed")), ("running", ""));
    assert_eq!((report.get("cloud-init"), report.get("seeded")), ("status: done", &*word));
    assert_eq!(report.get("hostname"), "seeded");
    assert!(report.get("address").starts_with("10.0.2."), "{}", report.get("address"));
}

/// What QEMU hands to Ignition: a file with `word` in it.
fn ignition(folder: &Path, word: &str) -> String {
    let file = folder.join(word).with_extension("ign");
    let config = serde_json::json!({
        "ignition": { "version": "3.3.0" },
        "storage": { "files": [{ "path": "/srv/ignited", "contents": { "source": format!("data:,{word}") } }] },
        "passwd": { "users": [{ "name": "core", "sshAuthorizedKeys": [ssh_key(word)] }] },
    });
    std::fs::write(&file, config.to_string()).unwrap();
    format!("--qemu-arg=name=opt/com.coreos/config,file={}", file.display())
}

#[test]
#[ignore = "long: make matrix"]
fn ignition_does_what_it_is_told_at_the_first_boot_alone() {
    let base = base("ignition");
    let folder = scratch();
    let packages = "VMIMAGE_INSTALL=dracut,dracut-network,curl";
    let disk = machine_on(&base, folder.path(), &["--build-arg", packages]);

    let report = boots_and_grows(&base, &disk, "--uefi", &[]);
    assert_eq!(report.get("ignited"), "", "nobody has told it anything");
    let [first, second] = [nonce(), nonce()];
    for (word, is_first) in [(&first, true), (&second, false)] {
        let config = ignition(folder.path(), word);
        let report = boot(&disk, "--bios", &["--qemu-arg=-fw_cfg", &config]);
        assert_eq!((report.get("state"), report.get("failed")), ("running", ""));
        assert_eq!(report.get("ignited"), first);
        assert_eq!(report.get("core-keys"), ssh_key(&first));
        let words: Vec<_> = report.get("cmdline").split(' ').collect();
        assert!(words.contains(&"ignition.platform.id=qemu"), "{words:?}");
        assert_eq!(words.contains(&"ignition.firstboot"), is_first, "{words:?}");
    }
}

/// As it is where the Dockerfile installs it, above the layer of the kernel.
#[test]
#[ignore = "long: make matrix"]
fn an_initramfs_without_ignition_is_a_failed_unit() {
    let folder = scratch();
    let disk = machine_on(&base("ignition"), folder.path(), &[]);
    let config = ignition(folder.path(), &nonce());
    let report = boot(&disk, "--bios", &["--qemu-arg=-fw_cfg", &config]);
    assert_eq!((report.get("state"), report.get("failed")), ("degraded", "vmimage-ignition.service"));
    assert_eq!(report.get("ignited"), "");
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
