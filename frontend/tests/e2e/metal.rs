//! `testdata/metal`: a container of a full distribution that becomes a physical machine, and a container again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::installer::{exported, files};
use super::lab::{Report, build, nonce, refused, reporting, run, scratch};
use super::media::{LARGE, blank, is_as_written, is_from_disk, stick};
use super::rack::{Bus, Firmware, Rack};

/// What one looks at on a machine that was set up by hand.
const FACTS: &str = r#"
[[files]]
path = "/etc/report.d/metal"
content = '''
echo 'written by the machine' >/srv/written && sync
fact root "$(awk '$2 == "/" { type = $3 } END { print type }' /proc/mounts)"
fact users "$(id -nG ada)"
fact password "$(getent shadow root | cut -d: -f2 | cut -c 1-3) $(getent shadow ada | cut -d: -f2 | cut -c 1-3)"
fact manager "$(nmcli -t -f DEVICE,STATE device | sed -n 's/^\(en[^:]*\):connected$/connected/p')"
fact driver "$(basename "$(readlink /sys/class/net/en*/device/driver)")"
fact disk-driver "$(basename "$(readlink -f /sys/block/sda/device/../../../../driver)")"
fact host "$(getent hosts db | awk '{ print $1 }')"
fact work "$(awk '$2 == "/srv/work" { print $3 }' /proc/mounts)"
fact swappiness "$(cat /proc/sys/vm/swappiness)"
fact zone "$(date +%Z)"
fact firmware-files "$(ls /lib/firmware | wc -l)"
fact microcode "$(dpkg-query -Wf '${db:Status-Abbrev}' intel-microcode amd64-microcode | tr -d ' ')"
'''
"#;

/// The ISO, with passwords that nothing else has.
fn iso(folder: &Path) -> (PathBuf, String) {
    let context = reporting("metal", FACTS, folder);
    let password = nonce();
    let file = folder.join("password");
    fs::write(&file, &password).unwrap();
    let secrets =
        ["root-password", "ada-password"].map(|id| format!("--secret=id={id},src={}", file.display()));
    let iso = folder.join("metal.iso");
    let [root, ada] = secrets.each_ref().map(String::as_str);
    build(&context, &iso, &["--format=iso", root, ada]);
    (iso, password)
}

#[track_caller]
fn check(report: &Report, firmware: &str) {
    is_from_disk(report);
    assert_eq!((report.get("state"), report.get("failed")), ("running", ""), "{}", report.console());
    assert_eq!((report.get("hostname"), report.get("firmware")), ("metal-1", firmware));
    assert!(report.get("kernel").ends_with("-amd64") && !report.get("kernel").contains("cloud"));
    assert_eq!((report.get("manager"), report.get("driver")), ("connected", "e1000e"));
    assert_eq!(report.get("disk-driver"), "ahci");
    assert!(report.get("address").starts_with("10.0.2."), "{}", report.get("address"));
    assert!(report.get("name-servers").contains("192.0.2.53"), "{}", report.get("name-servers"));
    assert_eq!(report.get("users"), "ada sudo");
    assert!(
        report.get("password").split(' ').all(|hash| hash.starts_with('$')),
        "{}",
        report.get("password")
    );
    assert_eq!((report.get("host"), report.get("work")), ("192.0.2.5", "tmpfs"));
    assert_eq!(report.get("swappiness"), "7");
    assert!(report.get("zone").starts_with("CE"), "{}", report.get("zone"));
    assert!(report.get("firmware-files").parse::<u32>().unwrap() > 20, "{}", report.get("firmware-files"));
    assert_eq!(report.get("microcode"), "iiii");
}

#[test]
#[ignore = "long: make matrix"]
fn a_container_becomes_a_physical_machine_and_a_container_again() {
    let folder = scratch();
    let (iso, password) = iso(folder.path());
    // No secret is on the medium as it is.
    refused(Command::new("grep").args(["-q", "-a", "-F", &password]).arg(&iso));
    let stick = stick(&iso, folder.path());
    for (firmware, name) in [(Firmware::Bios, "bios"), (Firmware::Uefi, "uefi")] {
        let target = blank(folder.path(), "target", 2 * LARGE);
        let rack = Rack::new(firmware, folder.path()).drive(Bus::Usb, &stick).drive(Bus::Ahci, &target);
        rack.online().takes_an_hour().ends();
        is_as_written(&iso, &stick);
        let report = Rack::new(firmware, folder.path()).drive(Bus::Ahci, &target).online().reports();
        check(&report, name);
    }
    let archive = exported(&folder.path().join("target.raw"), folder.path());
    let files = files(&archive);
    for file in ["srv/written", "etc/NetworkManager/", "home/ada/"] {
        assert!(files.contains(file), "{file} is not in it");
    }
    let fstab = run(Command::new("tar").args(["-xOf"]).arg(&archive).args(["--wildcards", "*etc/fstab"]));
    assert!(fstab.contains("tmpfs /srv/work tmpfs"), "{fstab}");
}
