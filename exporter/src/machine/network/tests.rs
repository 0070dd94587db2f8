//! Each manager's own words for one network, and who is asked to write them.

use super::*;
use crate::tree::os;
use crate::tree::testing::{text, tree};
use crate::tree::{InodeKind, Time};

const INSTALL: &str = "[Install]\nWantedBy=multi-user.target\n";
const SYSTEMD: [(&str, &str); 5] = [
    ("/etc/os-release", "ID=debian\n"),
    ("/lib", "-> usr/lib"),
    ("/usr/sbin/init", "-> /lib/systemd/systemd"),
    ("/sbin", "-> usr/sbin"),
    ("/usr/lib/systemd/systemd", ""),
];
const IS_NETWORKD: (&str, &str) = ("/usr/lib/systemd/system/systemd-networkd.service", INSTALL);
const IS_RESOLVED: (&str, &str) =
    ("/usr/lib/systemd/system/systemd-resolved.service", "[Install]\nWantedBy=sysinit.target\n");
const IS_MANAGER: (&str, &str) = ("/usr/lib/systemd/system/NetworkManager.service", INSTALL);
const IS_IFUPDOWN: (&str, &str) = ("/usr/sbin/ifup", "");
const IS_DPKG: (&str, &str) = ("/usr/bin/dpkg", "");
const IS_NETPLAN: (&str, &str) = ("/usr/sbin/netplan", "");
const OPENRC: [(&str, &str); 6] = [
    ("/etc/os-release", "ID=alpine\n"),
    ("/sbin/init", "-> /bin/busybox"),
    ("/bin/busybox", ""),
    ("/sbin/openrc", ""),
    ("/sbin/ifup", ""),
    ("/etc/init.d/networking", ""),
];

/// A server with a second card, a VLAN on it, and a bond.
const EVERYTHING: &str = r#"{"interfaces":[
    {"name":"en*","addresses":["10.0.2.50/24","fd00::50/64"],"gateway":["10.0.2.2","fd00::1"],"dns":["10.0.2.3"],"mtu":1400},
    {"mac":"52:54:00:00:00:01","dhcp":"ipv4","dns":["10.0.3.3","10.0.3.4"]},
    {"name":"lan","vlan":{"id":5,"link":"52:54:00:00:00:01"},"addresses":["10.0.5.1/24"]},
    {"name":"bond0","bond":{"members":["eth2","52:54:00:00:00:02"],"mode":"802.3ad"}},
    {"driver":"e1000","dhcp":"none"}]}"#;

fn network(text: &str) -> Network {
    serde_json::from_str(text).unwrap()
}

/// The tree with this network, and the report.
fn edit(base: &[(&str, &str)], files: &[(&str, &str)], asked: &str) -> Result<(Tree, String)> {
    let mut tree = tree(&[base, files].concat());
    let os = os::detect(&tree)?;
    let notes = configure(&mut Editor::new(&mut tree, Time::default()), &os, &network(asked))?;
    Ok((tree, notes.join("\n")))
}

#[track_caller]
fn holds(tree: &Tree, path: &str, expected: &str) {
    assert_eq!(text(tree, path).as_deref(), Some(expected), "{path}");
}

fn permissions(tree: &Tree, path: &str) -> u16 {
    tree.inode(tree.lookup(path).unwrap()).meta.permissions
}

#[test]
fn networkd_has_a_file_for_each_interface() {
    let own = ("/etc/systemd/network/10-own.network", "[Match]\n");
    let (tree, notes) = edit(&SYSTEMD, &[IS_NETWORKD, IS_RESOLVED, own], EVERYTHING).unwrap();
    let file = |at: &str| format!("/etc/systemd/network/05-vmimage-{at}");
    holds(
        &tree,
        &file("000.network"),
        "[Match]\nType=ether\nKind=!*\nName=en*\n\n[Link]\nMTUBytes=1400\n\n[Network]\nDHCP=no\nIPv6AcceptRA=no\n\
         Address=10.0.2.50/24\nAddress=fd00::50/64\nGateway=10.0.2.2\nGateway=fd00::1\nDNS=10.0.2.3\n",
    );
    holds(
        &tree,
        &file("001.network"),
        "[Match]\nType=ether\nKind=!*\nPermanentMACAddress=52:54:00:00:00:01\n\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\n\
         DNS=10.0.3.3 10.0.3.4\nVLAN=lan\n\n[DHCPv4]\nUseDNS=no\n",
    );
    holds(&tree, &file("002.netdev"), "[NetDev]\nName=lan\nKind=vlan\n\n[VLAN]\nId=5\n");
    holds(
        &tree,
        &file("002.network"),
        "[Match]\nName=lan\n\n[Network]\nDHCP=no\nIPv6AcceptRA=no\nAddress=10.0.5.1/24\n",
    );
    holds(
        &tree,
        &file("003.netdev"),
        "[NetDev]\nName=bond0\nKind=bond\n\n[Bond]\nMode=802.3ad\nMIIMonitorSec=100ms\n",
    );
    holds(&tree, &file("003.network"), "[Match]\nName=bond0\n\n[Network]\nDHCP=yes\n");
    holds(
        &tree,
        &file("003-00.network"),
        "[Match]\nType=ether\nKind=!*\nName=eth2\n\n[Network]\nBond=bond0\n",
    );
    assert!(
        text(&tree, &file("003-01.network")).unwrap().contains("PermanentMACAddress=52:54:00:00:00:02\n")
    );
    assert!(text(&tree, &file("004.network")).unwrap().contains("Driver=e1000\n"));
    assert!(notes.contains("10-own.network: for cards that are not asked for"), "{notes}");
    assert!(text(&tree, "/etc/systemd/network/80-vmimage-dhcp.network").is_none());
    assert!(systemd::is_enabled(&tree, NETWORKD_SERVICE));
}

#[test]
fn network_manager_has_a_keyfile_that_root_alone_reads() {
    let own = ("/etc/NetworkManager/system-connections/own.nmconnection", "");
    let unmanaged = ("/usr/lib/NetworkManager/conf.d/10-globally-managed-devices.conf", "[keyfile]\n");
    let asked = EVERYTHING.replacen('{', r#"{"manager":"networkmanager","#, 1);
    let (tree, notes) = edit(&SYSTEMD, &[IS_NETWORKD, IS_MANAGER, own, unmanaged], &asked).unwrap();
    let file = |at: &str| format!("/etc/NetworkManager/system-connections/vmimage-{at}.nmconnection");
    holds(
        &tree,
        &file("000"),
        "[connection]\nid=vmimage-000\ntype=ethernet\nautoconnect-priority=100\nmulti-connect=3\n\n[match]\ninterface-name=en*;\n\n\
         [ethernet]\nmtu=1400\n\n[ipv4]\nmethod=manual\naddress1=10.0.2.50/24\ngateway=10.0.2.2\ndns=10.0.2.3;\n\n\
         [ipv6]\nmethod=manual\naddress1=fd00::50/64\ngateway=fd00::1\n",
    );
    holds(
        &tree,
        &file("001"),
        "[connection]\nid=vmimage-001\ntype=ethernet\nautoconnect-priority=100\n\n[ethernet]\nmac-address=52:54:00:00:00:01\n\n\
         [ipv4]\nmethod=auto\ndns=10.0.3.3;10.0.3.4;\nignore-auto-dns=true\n\n[ipv6]\nmethod=link-local\n",
    );
    holds(
        &tree,
        &file("002"),
        "[connection]\nid=vmimage-002\ntype=vlan\nautoconnect-priority=100\ninterface-name=lan\n\n\
         [ethernet]\nmac-address=52:54:00:00:00:01\n\n[vlan]\nid=5\n\n[ipv4]\nmethod=manual\naddress1=10.0.5.1/24\n\n[ipv6]\nmethod=link-local\n",
    );
    holds(
        &tree,
        &file("003"),
        "[connection]\nid=vmimage-003\ntype=bond\nautoconnect-priority=100\ninterface-name=bond0\n\n[bond]\nmode=802.3ad\n\
         miimon=100\n\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n",
    );
    holds(
        &tree,
        &file("003-01"),
        "[connection]\nid=vmimage-003-01\ntype=ethernet\nautoconnect-priority=100\nmaster=bond0\nslave-type=bond\n\n\
         [ethernet]\nmac-address=52:54:00:00:00:02\n",
    );
    assert!(
        text(&tree, &file("004")).unwrap().contains("[match]\ndriver=e1000;\n\n[ipv4]\nmethod=disabled\n")
    );
    for at in ["000", "003-00"] {
        assert_eq!(permissions(&tree, &file(at)), 0o600);
    }
    holds(&tree, "/etc/NetworkManager/conf.d/90-vmimage.conf", "[main]\nno-auto-default=*\n");
    holds(&tree, "/etc/NetworkManager/conf.d/10-globally-managed-devices.conf", "");
    assert!(notes.contains("own.nmconnection: for cards that are not asked for"), "{notes}");
    assert!(systemd::is_enabled(&tree, NETWORK_MANAGER));
}

#[test]
fn netplan_has_one_file() {
    let own = ("/etc/netplan/50-cloud-init.yaml", "network: {}\n");
    let files = [IS_NETWORKD, IS_RESOLVED, IS_NETPLAN, own];
    let (tree, notes) = edit(&SYSTEMD, &files, EVERYTHING).unwrap();
    let expected = r#"network:
  version: 2
  ethernets:
    vmimage-000:
      match: {name: "en*"}
      dhcp4: false
      dhcp6: false
      accept-ra: false
      addresses: ["10.0.2.50/24", "fd00::50/64"]
      routes: [{to: "0.0.0.0/0", via: "10.0.2.2"}, {to: "::/0", via: "fd00::1"}]
      nameservers: {addresses: ["10.0.2.3"]}
      mtu: 1400
    vmimage-001:
      match: {macaddress: "52:54:00:00:00:01"}
      dhcp4: true
      dhcp4-overrides: {use-dns: false}
      dhcp6: false
      accept-ra: false
      nameservers: {addresses: ["10.0.3.3", "10.0.3.4"]}
    vmimage-004:
      match: {driver: "e1000"}
      dhcp4: false
      dhcp6: false
      accept-ra: false
    vmimage-003-00:
      match: {name: "eth2"}
      dhcp4: false
      dhcp6: false
      accept-ra: false
      link-local: []
    vmimage-003-01:
      match: {macaddress: "52:54:00:00:00:02"}
      dhcp4: false
      dhcp6: false
      accept-ra: false
      link-local: []
  bonds:
    bond0:
      interfaces: ["vmimage-003-00", "vmimage-003-01"]
      parameters: {mode: 802.3ad, mii-monitor-interval: 100}
      dhcp4: true
      dhcp6: true
      accept-ra: true
  vlans:
    lan:
      id: 5
      link: vmimage-001
      dhcp4: false
      dhcp6: false
      accept-ra: false
      addresses: ["10.0.5.1/24"]
"#;
    holds(&tree, "/etc/netplan/90-vmimage.yaml", expected);
    assert_eq!(permissions(&tree, "/etc/netplan/90-vmimage.yaml"), 0o600);
    assert!(text(&tree, own.0).is_none() && notes.contains("50-cloud-init.yaml: removed"), "{notes}");
    // Asked for by its name alone, it has DHCP on every card.
    let (tree, _) = edit(&SYSTEMD, &files[..3], r#"{"manager":"netplan"}"#).unwrap();
    let every = "    vmimage-000:\n      match: {name: \"e*\"}\n      dhcp4: true\n";
    assert!(text(&tree, "/etc/netplan/90-vmimage.yaml").unwrap().contains(every));
}

/// Without MAC addresses where ifupdown knows names alone.
fn by_name() -> String {
    EVERYTHING
        .replace(r#""link":"52:54:00:00:00:01""#, r#""link":"bond0""#)
        .replace(r#","52:54:00:00:00:02"]"#, r#","eth3"]"#)
}

const BOND: &str = "\
auto bond0
iface bond0 inet dhcp
    pre-up [ -e /sys/class/net/bond0 ] || ip link add bond0 type bond || [ -e /sys/class/net/bond0 ]
    pre-up echo 802.3ad >/sys/class/net/bond0/bonding/mode
    pre-up echo 100 >/sys/class/net/bond0/bonding/miimon
    pre-up ip link set dev eth2 down
    pre-up ip link set dev eth2 master bond0
    pre-up ip link set dev eth3 down
    pre-up ip link set dev eth3 master bond0
    post-down ip link del dev bond0 || :

";
const VLAN: &str = "\
auto lan
iface lan inet static
    address 10.0.5.1
    netmask 255.255.255.0
    pre-up ip link set dev bond0 up
    pre-up [ -e /sys/class/net/lan ] || ip link add link bond0 name lan type vlan id 5
    post-down ip link del dev lan || :
    pre-up echo 0 >/proc/sys/net/ipv6/conf/$IFACE/accept_ra || :

";
const FIRST: &str = "    address 10.0.2.50
    netmask 255.255.255.0
    gateway 10.0.2.2
    pre-up ip link set dev $IFACE mtu 1400
    pre-up echo 0 >/proc/sys/net/ipv6/conf/$IFACE/accept_ra || :
    up ip -6 addr add fd00::50/64 dev $IFACE
    up ip -6 route replace default via fd00::1 dev $IFACE

";

#[test]
fn debians_ifupdown_asks_which_card_it_is() {
    let own = ("/etc/network/interfaces", "auto ens3\niface ens3 inet dhcp\n");
    let more = ("/etc/network/interfaces.d/more", "iface ens4 inet dhcp\n");
    let (tree, notes) = edit(&SYSTEMD, &[IS_IFUPDOWN, IS_DPKG, own, more], &by_name()).unwrap();
    let program = "/usr/lib/vmimage/vmimage-card";
    let expected = format!(
        "{LOOPBACK}mapping en* eth*\n    script {program}\nauto /en* /eth*\niface vmimage-none inet manual\n\
         iface vmimage-000 inet static\n{FIRST}iface vmimage-001 inet dhcp\n    \
         pre-up echo 0 >/proc/sys/net/ipv6/conf/$IFACE/accept_ra || :\n\niface vmimage-004 inet manual\n    \
         pre-up echo 0 >/proc/sys/net/ipv6/conf/$IFACE/accept_ra || :\n    up ip link set dev $IFACE up\n\n{BOND}{VLAN}"
    );
    holds(&tree, "/etc/network/interfaces", &expected);
    let cases = "en*' '*' '*) echo vmimage-000 ;;\n*' '52:54:00:00:00:01' '*) echo vmimage-001 ;;\n\
                 *' '*' 'e1000) echo vmimage-004 ;;\n*) echo vmimage-none ;;\nesac\n";
    assert!(text(&tree, program).unwrap().ends_with(cases));
    assert_eq!(permissions(&tree, program), 0o755);
    assert!(text(&tree, more.0).is_none() && notes.contains("interfaces.d/more: removed"), "{notes}");
    // As one list for all of them.
    holds(&tree, "/etc/resolv.conf", "nameserver 10.0.2.3\nnameserver 10.0.3.3\nnameserver 10.0.3.4\n");
}

/// Names need nobody to look for them.
#[test]
fn a_card_that_is_known_by_its_name_has_a_stanza_of_that_name() {
    let asked = r#"{"interfaces":[{"name":"eth0","addresses":["10.0.2.50/24","10.0.2.51/24"],"dhcp":"ipv6"},
        {"name":"eth1","dhcp":"both","addresses":["10.0.3.50/24"],"gateway":"10.0.3.1"}]}"#;
    let expected = format!(
        "{LOOPBACK}auto eth0\niface eth0 inet static\n    address 10.0.2.50\n    netmask 255.255.255.0\n    \
         up ip addr add 10.0.2.51/24 dev $IFACE\n\nauto eth1\niface eth1 inet dhcp\n    \
         up ip addr add 10.0.3.50/24 dev $IFACE\n    up ip route replace default via 10.0.3.1 dev $IFACE\n\n"
    );
    for base in [&OPENRC[..], &[&SYSTEMD[..], &[IS_IFUPDOWN, IS_DPKG]].concat()] {
        let (tree, _) = edit(base, &[], asked).unwrap();
        holds(&tree, "/etc/network/interfaces", &expected);
        assert!(text(&tree, "/usr/lib/vmimage/vmimage-card").is_none());
    }
}

#[test]
fn openrc_lists_the_cards_that_fit_at_boot() {
    let (tree, _) = edit(&OPENRC, &[], &by_name()).unwrap();
    let service = "# One file for each Ethernet card: /etc/init.d/vmimage-nics writes them at boot.\n\
                   source-directory /run/vmimage/interfaces.d\n";
    holds(&tree, "/etc/network/interfaces", &format!("{LOOPBACK}{service}{BOND}{VLAN}"));
    holds(&tree, "/usr/lib/vmimage/interfaces/vmimage-000", &format!("iface CARD inet static\n{FIRST}"));
    assert!(text(&tree, "/etc/init.d/vmimage-nics").unwrap().contains("vmimage-card"));
    assert!(openrc::is_in_runlevel(&tree, "networking") && openrc::is_in_runlevel(&tree, "vmimage-nics"));
}

#[test]
fn our_own_init_is_told_and_says_what_it_cannot() {
    let install = |asked: &str| {
        let mut tree =
            tree(&[("/etc/resolv.conf", "nameserver 192.0.2.1\n"), ("/etc/hosts", "10.0.0.1 db\n")]);
        let notes = install_for_own_init(&mut Editor::new(&mut tree, Time::default()), &network(asked));
        notes.map(|notes| (tree, notes.join("\n")))
    };
    let interfaces = r#"[{"name":"eth0","addresses":["10.0.2.50/24"],"gateway":"10.0.2.2"}]"#;
    let asked = format!(r#"{{"dns":["1.1.1.1"],"hosts":["db:10.0.0.5"],"interfaces":{interfaces}}}"#);
    let (tree, notes) = install(&asked).unwrap();
    holds(&tree, "/usr/lib/vmimage/network.json", interfaces);
    holds(&tree, "/etc/resolv.conf", "nameserver 1.1.1.1\n");
    holds(&tree, "/etc/hosts", "10.0.0.5\tdb\n10.0.0.1 db\n");
    assert!(notes.contains("own name servers are left out"), "{notes}");
    let (tree, notes) = install("{}").unwrap();
    assert!(notes.contains("name servers are used (192.0.2.1)"), "{notes}");
    assert!(text(&tree, "/usr/lib/vmimage/network.json").is_none());
    for (asked, said) in [
        (EVERYTHING.to_owned(), "lan: vmimage's own init makes no VLANs"),
        (
            r#"{"interfaces":[{"name":"b","bond":{"members":["eth0"]}}]}"#.to_owned(),
            "b: vmimage's own init makes no bonds",
        ),
        (r#"{"manager":"networkd"}"#.to_owned(), "networkd is not started"),
    ] {
        let error = install(&asked).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn who_is_asked_for_or_there_writes_it_and_the_others_are_switched_off() {
    let enabled = ("/etc/systemd/system/multi-user.target.wants/NetworkManager.service", "-> /lib/none");
    let all = [IS_NETWORKD, IS_RESOLVED, IS_MANAGER, IS_IFUPDOWN, IS_DPKG, IS_NETPLAN];
    let card = r#""interfaces":[{"name":"eth0"}]"#;
    let files = [
        "/etc/systemd/network/05-vmimage-000.network",
        "/etc/NetworkManager/system-connections/vmimage-000.nmconnection",
        "/etc/netplan/90-vmimage.yaml",
        "/etc/network/interfaces",
    ];
    for (manager, own, at) in [
        ("auto", None, 0),
        ("auto", Some(enabled), 1),
        ("auto", Some(("/etc/netplan/50.yaml", "")), 2),
        ("auto", Some(("/etc/network/interfaces", "iface ens3 inet dhcp\n")), 3),
        ("networkd", Some(enabled), 0),
        ("networkmanager", None, 1),
        ("netplan", Some(enabled), 2),
        ("ifupdown", Some(enabled), 3),
    ] {
        let asked = format!(r#"{{"manager":"{manager}",{card}}}"#);
        let own: Vec<_> = own.into_iter().collect();
        let (tree, notes) = edit(&SYSTEMD, &[&all[..], &own].concat(), &asked).unwrap();
        for (which, file) in files.iter().enumerate() {
            assert_eq!(text(&tree, file).is_some(), which == at, "{manager} {own:?} {file}");
        }
        let runs = systemd::is_enabled(&tree, NETWORK_MANAGER);
        assert_eq!(runs, at == 1, "{manager} {own:?}");
        assert_eq!(
            notes.contains("NetworkManager: switched off"),
            own.contains(&enabled) && at != 1,
            "{notes}"
        );
    }
    for (base, asked, said, hint) in [
        (
            &SYSTEMD[..],
            r#"{"manager":"networkmanager"}"#,
            "networkmanager is to configure it, and is not",
            "network-manager",
        ),
        (&SYSTEMD[..], r#"{"manager":"ifupdown"}"#, "ifupdown is to configure it", "ifupdown"),
        (&OPENRC[..], r#"{"manager":"netplan"}"#, "netplan is to configure it", "needs systemd"),
        (&SYSTEMD[..], r#"{"interfaces":[{}]}"#, "nobody in the image could", "systemd"),
        (&OPENRC[..5], r#"{"manager":"none","interfaces":[{}]}"#, "somebody has to configure", ""),
    ] {
        let error = edit(base, &[], asked).unwrap_err();
        let shown = error.hint().map(|hint| hint.spelled(|_, value| value.unwrap_or_default().to_owned()));
        assert!(error.to_string().contains(said), "{error}");
        assert!(shown.unwrap_or_default().contains(hint), "{said}");
    }
}

/// By its name alone, a manager has DHCP on every card, and what the image has for it stays.
#[test]
fn a_manager_by_its_name_alone_takes_every_card() {
    let files = [IS_NETWORKD, IS_IFUPDOWN, IS_DPKG, IS_MANAGER];
    let after =
        |asked: &str, more: &[(&str, &str)]| edit(&SYSTEMD, &[&files[..], more].concat(), asked).unwrap().0;
    let tree = after(r#"{"manager":"networkd"}"#, &[]);
    assert!(text(&tree, "/etc/systemd/network/80-vmimage-dhcp.network").is_some());
    let tree = after(r#"{"manager":"ifupdown"}"#, &[]);
    assert!(text(&tree, "/etc/network/interfaces").unwrap().contains("iface ethernet inet dhcp"));
    let tree = after(r#"{"manager":"networkmanager"}"#, &[]);
    assert!(systemd::is_enabled(&tree, NETWORK_MANAGER) && tree.lookup("/etc/NetworkManager").is_none());
    let own = "auto ens3\niface ens3 inet static\n";
    let tree = after(r#"{"manager":"ifupdown"}"#, &[("/etc/network/interfaces", own)]);
    holds(&tree, "/etc/network/interfaces", own);
    let tree = after(r#"{"manager":"none"}"#, &[]);
    assert!(tree.lookup("/etc/network").is_none() && tree.lookup(NETWORKD).is_none());
}

#[test]
fn name_servers_are_told_to_whoever_keeps_the_file() {
    let asked = r#"{"dns":["1.1.1.1","9.9.9.9"],"search":["a.example","b.example"],"hosts":["db:10.0.0.5"]}"#;
    let own = ("/etc/resolv.conf", "nameserver 192.0.2.1\n");
    let (tree, notes) = edit(&SYSTEMD, &[IS_NETWORKD, IS_RESOLVED, own], asked).unwrap();
    let resolved = "[Resolve]\nDNS=1.1.1.1 9.9.9.9\nDomains=~. a.example b.example\n";
    holds(&tree, "/etc/systemd/resolved.conf.d/vmimage.conf", resolved);
    let link = tree.lookup("/etc/resolv.conf").map(|id| &tree.inode(id).kind);
    assert!(matches!(link, Some(InodeKind::Symlink(_))) && notes.contains("left out"), "{notes}");
    holds(&tree, "/etc/hosts", "10.0.0.5\tdb\n");
    assert!(text(&tree, "/etc/systemd/network/80-vmimage-dhcp.network").is_some(), "DHCP as without a word");

    let enabled = ("/etc/systemd/system/multi-user.target.wants/NetworkManager.service", "-> /lib/none");
    let (tree, _) = edit(&SYSTEMD, &[IS_MANAGER, enabled], asked).unwrap();
    let global =
        "[global-dns]\nsearches=a.example,b.example\n\n[global-dns-domain-*]\nservers=1.1.1.1,9.9.9.9\n";
    holds(&tree, "/etc/NetworkManager/conf.d/90-vmimage-dns.conf", global);

    let clients = [
        ("/etc/dhcpcd.conf", "hostname"),
        ("/etc/udhcpc/udhcpc.conf", ""),
        ("/etc/dhcp/dhclient.conf", "timeout 5;\n"),
    ];
    let (tree, _) = edit(&OPENRC, &clients, asked).unwrap();
    holds(&tree, "/etc/resolv.conf", "search a.example b.example\nnameserver 1.1.1.1\nnameserver 9.9.9.9\n");
    holds(&tree, "/etc/dhcpcd.conf", "hostname\nnohook resolv.conf\n");
    holds(&tree, "/etc/udhcpc/udhcpc.conf", "RESOLV_CONF=\"no\"\n");
    let supersede = "timeout 5;\nsupersede domain-name-servers 1.1.1.1, 9.9.9.9;\n\
                     supersede domain-search \"a.example\", \"b.example\";\n";
    holds(&tree, "/etc/dhcp/dhclient.conf", supersede);

    let error = |asked: &str| edit(&OPENRC, &[], asked).unwrap_err().to_string();
    assert!(error(r#"{"search":["a.example"]}"#).contains("would be lost"));
    assert!(error(r#"{"dns":["1.1.1.1","1.1.1.2","1.1.1.3","1.1.1.4"]}"#).contains("4 name servers"));
}

#[test]
fn cloud_init_leaves_the_network_alone_where_one_is_asked_for() {
    let cloud = ("/etc/cloud/cloud.cfg", "");
    let file = "/etc/cloud/cloud.cfg.d/99-vmimage-network.cfg";
    for (asked, is_told) in
        [(r#"{"interfaces":[{"name":"eth0"}]}"#, true), (r#"{"dns":["1.1.1.1"]}"#, false), ("{}", false)]
    {
        let (tree, notes) = edit(&SYSTEMD, &[IS_NETWORKD, IS_RESOLVED, cloud], asked).unwrap();
        assert_eq!(
            (text(&tree, file).is_some(), notes.contains("cloud-init leaves")),
            (is_told, is_told),
            "{asked}"
        );
    }
}

#[test]
fn what_a_manager_cannot_find_is_an_error() {
    let error = |base: &[(&str, &str)], asked: &str| edit(base, &[], asked).unwrap_err().to_string();
    assert!(error(&OPENRC, EVERYTHING).contains("lan: ifupdown knows 52:54:00:00:00:01 by its name alone"));
    let busybox = [("/sbin/init", "-> /bin/busybox"), ("/bin/busybox", ""), ("/sbin/ifup", "")];
    assert!(
        error(&busybox, r#"{"interfaces":[{"name":"eth*"}]}"#).contains("eth*: this ifupdown finds cards")
    );
}
