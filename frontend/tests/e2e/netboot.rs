//! Machines without a disk, in a network of their own: each firmware's way to boot from it, live and as an installer, by
//! `vmimage serve pxe` and by servers that are not ours.

use std::fs;
use std::path::{Path, PathBuf};

use super::disk::damage;
use super::lab::{Report, scratch};
use super::media::{
    ALPINE, DEBIAN, LARGE, UNATTENDED, blank, boots_alone, check_live, context, is_from_disk, netboot, words,
};
use super::rack::{Bus, Firmware, Rack};
use super::site::{NETWORK, SERVER, Served, Site};
use super::web::Server;

/// Addresses that `serve pxe` gives where there is no other server.
const RANGE: [&str; 2] = ["--dhcp-range", "10.77.0.10-10.77.0.99"];

/// A site with one machine, which is not on yet.
fn rack(site: &Site, firmware: Firmware, folder: &Path) -> Rack {
    Rack::within(|program| site.within(program), firmware, folder).card(&Site::port(0))
}

/// It has come from the site's server and from nowhere else.
#[track_caller]
fn check_from_site(base: &str, firmware: Firmware, report: &Report) {
    check_live(base, firmware, report, NETWORK);
    let medium = format!("vmimage.medium=http://{SERVER}:8080/");
    assert!(words(report).contains(&&*medium), "{}", report.get("cmdline"));
    assert_eq!(report.get("disks"), "", "it has a disk");
}

/// It was asked for each of these files.
#[track_caller]
fn has_served(served: &Served, files: &[&str]) {
    let log = served.log();
    for file in files {
        assert!(log.contains(file), "{file}:\n{log}");
    }
}

/// The folder of an Alpine whose machines run live.
fn alpine(folder: &Path) -> PathBuf {
    netboot(&context(folder, ""), ALPINE, folder, &[])
}

/// The folder of a Debian with a program for UEFI that has all in it: the image has the stub for that.
fn with_program(folder: &Path) -> PathBuf {
    netboot(&context(folder, ""), DEBIAN, folder, &["--install", "systemd-boot-efi"])
}

/// iPXE is in the card, and all of the network is ours.
#[test]
fn a_diskless_machine_runs_live_by_a_bios() {
    let (folder, site) = (scratch(), Site::new(1));
    let served = site.serve(&alpine(folder.path()), &RANGE, folder.path());
    let report = rack(&site, Firmware::Bios, folder.path()).reports();
    check_from_site(ALPINE, Firmware::Bios, &report);
    has_served(&served, &["boot.ipxe", "vmlinuz", "initramfs", "root.erofs"]);
    served.interrupt();
}

/// Shim and GRUB are signed, and so is the kernel.
#[test]
#[ignore = "long: make matrix"]
fn a_diskless_machine_runs_live_by_uefi_pxe_under_secure_boot() {
    let (folder, site) = (scratch(), Site::new(1));
    let netboot = netboot(&context(folder.path(), ""), DEBIAN, folder.path(), &[]);
    let served = site.serve(&netboot, &RANGE, folder.path());
    let report = rack(&site, Firmware::SecureBoot, folder.path()).memory("3G").reports();
    check_from_site(DEBIAN, Firmware::SecureBoot, &report);
    has_served(&served, &["shimx64.efi", "grubx64.efi", "grub.cfg", "vmlinuz", "root.erofs"]);
}

/// Where nobody has signed a boot loader, ours is started.
#[test]
#[ignore = "long: make matrix"]
fn a_diskless_alpine_runs_live_by_uefi_pxe() {
    let (folder, site) = (scratch(), Site::new(1));
    let served = site.serve(&alpine(folder.path()), &RANGE, folder.path());
    let report = rack(&site, Firmware::Uefi, folder.path()).reports();
    check_from_site(ALPINE, Firmware::Uefi, &report);
    has_served(&served, &["vmlinuz", "root.erofs"]);
}

/// One program, by HTTP alone: the root is in it.
#[test]
#[ignore = "long: make matrix"]
fn a_diskless_machine_runs_live_by_uefi_http_boot() {
    let (folder, site) = (scratch(), Site::new(1));
    let served = site.serve(&with_program(folder.path()), &RANGE, folder.path());
    let report = rack(&site, Firmware::Uefi, folder.path()).by_http().memory("4G").reports();
    check_live(DEBIAN, Firmware::Uefi, &report, NETWORK);
    has_served(&served, &["netboot.efi"]);
    assert!(!served.log().contains("root.erofs"), "the root came beside it:\n{}", served.log());
}

/// The address is of the other host's server, which knows nothing of booting. iPXE follows a proxy; UEFI gets one program,
/// since GRUB does not.
#[test]
#[ignore = "long: make matrix"]
fn beside_another_dhcp_server_ours_is_a_proxy_alone() {
    for (firmware, base, file) in
        [(Firmware::Bios, ALPINE, "boot.ipxe"), (Firmware::Uefi, DEBIAN, "TFTP netboot.efi")]
    {
        let (folder, site) = (scratch(), Site::new(1));
        let netboot = if base == ALPINE { alpine(folder.path()) } else { with_program(folder.path()) };
        let _dhcp = site.dhcp(&[], folder.path());
        let served = site.serve(&netboot, &[], folder.path());
        let report = rack(&site, firmware, folder.path()).memory("4G").reports();
        check_live(base, firmware, &report, NETWORK);
        has_served(&served, &[file]);
        let leases = fs::read_to_string(folder.path().join("leases")).unwrap();
        let address = report.get("address").split('/').next().unwrap();
        assert!(leases.contains(address), "{address}: {leases}");
        served.interrupt();
    }
}

/// Without ours, the servers of others do: the folder is one that any of them has. iPXE acts for the BIOS's own PXE, and
/// starts GRUB.
#[test]
#[ignore = "long: make matrix"]
fn a_folder_is_served_by_others_too() {
    let (folder, site) = (scratch(), Site::new(1));
    let netboot = alpine(folder.path());
    let root = format!("--tftp-root={}", netboot.display());
    let _dhcp = site.dhcp(&["--enable-tftp", &root, "--dhcp-boot=grub.pxe"], folder.path());
    let web = site.web(&netboot, folder.path());
    let report = rack(&site, Firmware::Bios, folder.path()).reports();
    check_live(ALPINE, Firmware::Bios, &report, NETWORK);
    has_served(&web, &["root.erofs"]);
}

/// From the network to a disk, by itself; then the disk starts without a network to boot from.
#[test]
#[ignore = "long: make matrix"]
fn a_machine_installs_itself_over_the_network() {
    let (folder, site) = (scratch(), Site::new(1));
    let context =
        context(folder.path(), "[medium]\ndefault = \"install\"\ntimeout = 1\ninstall = \"install.toml\"\n");
    fs::write(context.join("install.toml"), UNATTENDED).unwrap();
    let netboot = netboot(&context, ALPINE, folder.path(), &[]);
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        let served = site.serve(&netboot, &[&RANGE[..], &["--mode", "install"]].concat(), folder.path());
        let target = blank(folder.path(), "target", LARGE);
        rack(&site, firmware, folder.path()).drive(Bus::Ahci, &target).ends();
        has_served(&served, &["disk.index", "disk.zst"]);
        assert!(!served.log().contains("root.erofs"), "{}", served.log());
        boots_alone(ALPINE, firmware, Bus::Ahci, &target, folder.path());
    }
}

/// The kernel of a folder on a server of the test, in this mode: no firmware and no loader have a part in it.
fn by_its_kernel(netboot: &Path, server: &Server, mode: &str, words: &str, folder: &Path) -> Rack {
    let medium = format!("http://10.0.2.2:{}/netboot/", server.port());
    let words = format!("console=ttyS0 vmimage.mode={mode} vmimage.medium={medium} ip=dhcp {words}");
    Rack::new(Firmware::Bios, folder).kernel(netboot, &words).online()
}

/// What a machine needs of its root is fetched when it needs it: less than all. The card that it comes over is left alone by
/// the system, as Alpine has to be told.
#[test]
#[ignore = "long: make matrix"]
fn a_lazy_root_comes_in_parts() {
    let folder = scratch();
    let alone = "[[network.interfaces]]\nname = \"eth0\"\ndhcp = \"none\"\n";
    let netboot = netboot(&context(folder.path(), alone), ALPINE, folder.path(), &[]);
    let server = Server::start(folder.path()).unwrap();
    let root = fs::metadata(netboot.join("root.erofs")).unwrap().len();
    let report = by_its_kernel(&netboot, &server, "live", "vmimage.lazy", folder.path()).reports();
    check_live(ALPINE, Firmware::Bios, &report, "10.0.2.");
    let sent = server.sent();
    assert!(sent > 1 << 20 && sent < root * 3 / 4, "{sent} of {root} bytes");
}

/// A root that somebody has changed is not started.
#[test]
#[ignore = "long: make matrix"]
fn a_root_that_is_not_the_mediums_is_not_started() {
    let folder = scratch();
    let netboot = alpine(folder.path());
    let server = Server::start(folder.path()).unwrap();
    let root = netboot.join("root.erofs");
    damage(&root, fs::metadata(&root).unwrap().len() / 2, || {
        let mut machine = by_its_kernel(&netboot, &server, "live", "", folder.path()).start();
        machine.says("vmimage: root.erofs has the SHA-256 ");
        machine.says("Enter restarts the machine:");
        let console = machine.switch_off();
        assert!(!console.contains("report:token="), "{console}");
    });
}

/// One folder for a fleet, and what each machine becomes from a URL.
#[test]
#[ignore = "long: make matrix"]
fn an_installer_is_told_by_a_url() {
    let folder = scratch();
    let netboot = alpine(folder.path());
    let server = Server::start(folder.path()).unwrap();
    let target = blank(folder.path(), "target", LARGE);
    let install = format!("{UNATTENDED}hostname = \"rack-7\"\n");
    fs::write(folder.path().join("rack-7.toml"), install).unwrap();
    let word = format!("vmimage.install=http://10.0.2.2:{}/rack-7.toml", server.port());
    let rack = by_its_kernel(&netboot, &server, "install", &word, folder.path());
    rack.drive(Bus::Ahci, &target).ends();
    let report = Rack::new(Firmware::Bios, folder.path()).drive(Bus::Ahci, &target).online().reports();
    is_from_disk(&report);
    assert_eq!((report.get("hostname"), report.get("app")), ("rack-7", "version one"));
}
