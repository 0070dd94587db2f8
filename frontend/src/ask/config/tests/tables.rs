//! Tables with rules of their own.

use std::collections::BTreeMap;

use super::*;
use crate::ask::request::Request;

#[test]
fn a_wrong_network_is_told_all_at_once_with_the_place_of_each_key() {
    let shown = problems(
        "[network]\nmanager = \"none\"\n[[network.interfaces]]\naddresses = [\"10.0.2.50/24\"]\ngateway = \"10.0.3.1\"\n\
         [[network.interfaces]]\nname = \"lan\"\nvlan = { id = 5000, link = \"eth0\" }\n",
    );
    let places = [
        "2:11: network.manager: manager is none, and there are interfaces",
        "5:11: network.interfaces.gateway: 10.0.3.1 is in none of the networks",
        "8:8: network.interfaces.vlan: 5000 is no number of a VLAN",
        "8:8: network.interfaces.vlan: eth0 is none of the interfaces",
    ];
    for place in places {
        assert!(shown.contains(place), "{place}:\n{shown}");
    }
    assert_eq!(shown.matches("vmimage.toml:").count(), places.len(), "{shown}");
    are_wrong(&[
        ("[network]\nmanager = \"wicked\"", "2:11", "network.manager is \"wicked\": one of auto, networkd"),
        ("[network]\ndns = [\"one\"]", "2:8", "network.dns is \"one\": expected an IP address"),
        ("[network]\nhosts = [\"db\"]", "2:10", "network.hosts is \"db\": expected a name with its address"),
        ("dns = [\"1.1.1.1\"]", "1:1", "unknown key dns"),
        (
            "[[network.interfaces]]\nmac = \"52:54\"",
            "2:7",
            "network.interfaces.mac is \"52:54\": expected the MAC address of a card",
        ),
        (
            "[[network.interfaces]]\naddresses = [\"10.0.2.50\"]",
            "2:14",
            "network.interfaces.addresses is \"10.0.2.50\": expected an address with the length",
        ),
        (
            "[[network.interfaces]]\nvlan = { id = 5 }",
            "2:8",
            "network.interfaces.vlan: the key link is required",
        ),
        ("profile = \"data\"\n[network]\ndns = []", "2:2", "network is for machines: profile is data"),
    ]);
}

#[test]
fn a_medium_is_read_and_to_other_formats_the_table_says_nothing() {
    let table = "[medium]\nmodes = [\"install\"]\ntimeout = 0\ninstall = \"install.toml\"";
    for (head, is_read) in
        [("format = \"iso\"\n", true), ("format = [\"raw\", \"netboot\"]\n", true), ("", false)]
    {
        let config = Config::parse(FILE, &format!("{head}{table}")).unwrap();
        assert_eq!(config.mounts(), [["install.toml"]]);
        let file = Configuration { config, ..Configuration::default() };
        let request = Request::new(&[], std::iter::empty()).unwrap().over(&BTreeMap::new(), &file).unwrap();
        let disk = request.disk;
        assert_eq!(disk.spec.medium.timeout == 0, is_read, "{head}");
        assert_eq!((disk.install.media, disk.install.full_kernel), (is_read, is_read), "{head}");
    }
    are_wrong(&[
        ("[medium]\nmodes = [\"try\"]", "2:10", "medium.modes is \"try\": one of live, install, rescue"),
        ("format = \"iso\"\n[medium]\nmodes = []", "3:9", "medium.modes: is empty"),
        ("format = \"iso\"\nloader = \"systemd-boot\"", "2:10", "loader: iso has a menu of GRUB's"),
        (
            "format = \"netboot\"\n[medium]\nmodes = [\"live\"]\ninstall = \"a.toml\"",
            "4:11",
            "medium.install: tells the installer",
        ),
        ("profile = \"data\"\n[medium]\ntimeout = 1", "2:2", "medium is for machines: profile is data"),
    ]);
}

#[test]
fn a_microvm_is_sealed_by_hashes_or_as_one_program() {
    let verified = "volatile = \"overlay\"\n[[partitions]]\ntype = \"root\"\nverity = true";
    let signed = "[secure-boot]\ncertificate = \"db.crt\"\nkey = \"db\"";
    for (format, table, expected) in [
        ("microvm", verified, ""),
        ("uki", verified, "a uki has its root within the program"),
        ("uki", signed, ""),
        ("microvm", signed, "secure-boot: is of disks that UEFI starts"),
    ] {
        for profile in ["", "profile = \"microvm\"\n"] {
            let parsed = Config::parse("vmimage.toml", &format!("{profile}format = \"{format}\"\n{table}"));
            let said = parsed.err().map(|problems| problems.to_string()).unwrap_or_default();
            assert!(
                said.contains(expected) && said.is_empty() == expected.is_empty(),
                "{format} {table}: {said}"
            );
        }
    }
}

#[test]
fn a_microvm_is_read_with_its_limits_and_of_others_the_table_says_nothing() {
    let table = "[microvm]\ncpus = 2\nulimits = { nofile = 4096, memlock = { soft = 1, hard = 8589934592 } }";
    for (head, is_read) in [
        ("profile = \"microvm\"\nformat = \"microvm\"\n", true),
        ("", false),
        ("profile = \"machine\"\n", false),
    ] {
        let config =
            Config::parse("f", &format!("{head}{table}")).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(config.microvm.ulimits["memlock"].both().hard, 8 << 30);
        let file = Configuration { config, ..Configuration::default() };
        let request = Request::new(&[], std::iter::empty()).unwrap().over(&BTreeMap::new(), &file).unwrap();
        assert_eq!(request.disk.spec.microvm.cpus == 2, is_read, "{head}");
        let flag =
            Request::new(&[], [("VMIMAGE_PROFILE", "microvm"), ("VMIMAGE_FORMAT", "microvm")].into_iter());
        assert_eq!(flag.unwrap().over(&BTreeMap::new(), &file).unwrap().disk.spec.microvm.cpus, 2);
    }
    are_wrong(&[
        (
            "[microvm]\nulimits = { nofile = \"many\" }",
            "2:22",
            "microvm.ulimits.nofile is a string, expected",
        ),
        (
            "[microvm]\nulimits = { nofile = { soft = 1 } }",
            "2:22",
            "microvm.ulimits.nofile: the key hard is required",
        ),
        (
            "[microvm]\non-crash = \"panic\"",
            "2:12",
            "microvm.on-crash is \"panic\": one of restart, poweroff, halt",
        ),
        ("[microvm]\ncpu = 1", "2:1", "unknown key microvm.cpu: did you mean cpus?"),
        ("profile = \"data\"\n[microvm]\ncpus = 1", "2:2", "microvm is for machines: profile is data"),
        (
            "profile = \"microvm\"\ninstall = [\"nginx\"]",
            "2:11",
            "install: nothing is installed in a microVM's image",
        ),
        (
            "profile = \"microvm\"\nhardware = \"metal\"",
            "2:12",
            "hardware: metal is for machines, and the profile is microvm: leave hardware out",
        ),
        ("profile = \"data\"\nhardware = \"metal\"", "2:1", "hardware is for machines: profile is data"),
        ("profile = \"microvm\"\nlocale = \"de_DE.UTF-8\"", "2:10", "locale: nothing is installed"),
    ]);
}
