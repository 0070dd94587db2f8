//! Where nothing is asked: an address by DHCP on every Ethernet card, whatever its name; whoever configured a network
//! keeps it.
//!
//! | there is | done |
//! |---|---|
//! | NetworkManager, enabled | nothing: it takes every card by itself |
//! | NetworkManager of a distribution whose own it is | enabled |
//! | netplan | what networkd needs beside it: systemd-resolved |
//! | a configured `/etc/network/interfaces`, an enabled dhcpcd or connman | nothing: the user's |
//! | systemd-networkd | enabled, with a `.network` file unless the user has one, and systemd-resolved |
//! | wicked (SLES) | enabled, with DHCP on eth0, as SLES calls the first card |
//! | ifupdown | [`/etc/network/interfaces`](super::ifupdown) |

use super::{
    NETPLAN, NETWORK_MANAGER, NETWORKD, Texts, has_card, ifupdown, networkd, online, openrc, resolver,
    systemd,
};
use crate::error::Result;
use crate::tree::os::{Family, Init, Os};
use crate::tree::{Editor, Tree};
use ifupdown::INTERFACES;

const WICKED: &str = "/etc/sysconfig/network";

/// `Kind=!*` is no bridge, bond or other virtual card.
const NETWORKD_DHCP: &str = "\
[Match]
Type=ether
Kind=!*

[Network]
DHCP=yes
";

pub(super) fn configure(editor: &mut Editor<'_>, os: &Os) -> Result<Vec<String>> {
    let tree = editor.tree();
    if let Some(owner) = configured_by(tree)? {
        let mut notes = vec![format!("network: left to {owner}")];
        // Without the service the file would mean nothing.
        if os.init == Some(Init::OpenRc)
            && owner == INTERFACES
            && openrc::enable(editor, "networking", "boot")?
        {
            notes.push("OpenRC: networking added to runlevel boot".into());
        }
        if os.init == Some(Init::Systemd) && owner == NETPLAN {
            online::wait_for_carrier(editor)?;
            notes.extend(resolver::start(editor)?);
        }
        return Ok(notes);
    }
    if os.init == Some(Init::Systemd) {
        let there = |service: &str| systemd::unit_file(tree, service).is_some();
        // Debian's, if it is there and not enabled, is switched off.
        if there(NETWORK_MANAGER) && matches!(os.family, Family::RedHat | Family::Suse) {
            systemd::enable(editor, NETWORK_MANAGER)?;
            return Ok(vec!["systemd: NetworkManager enabled".into()]);
        }
        if there("systemd-networkd.service") {
            return by_networkd(editor);
        }
        if there("wicked.service") {
            return wicked(editor);
        }
    }
    if ["/sbin/ifup", "/usr/sbin/ifup"].into_iter().any(|path| tree.resolve(path).is_some()) {
        return ifupdown::configure(editor, os);
    }
    Ok(vec!["network: not configured, there is no systemd-networkd, NetworkManager or ifupdown".into()])
}

/// Whose the network is already.
pub(super) fn configured_by(tree: &Tree) -> Result<Option<&'static str>> {
    for service in ["NetworkManager", "dhcpcd", "connman"] {
        let in_runlevel =
            tree.resolve_nofollow(format!("/etc/runlevels/default/{}", service.to_lowercase())).is_some();
        if in_runlevel || systemd::is_enabled(tree, &format!("{service}.service")) {
            return Ok(Some(service));
        }
    }
    if tree.children(NETPLAN).any(|(name, _)| name.ends_with(b".yaml")) {
        return Ok(Some(NETPLAN));
    }
    let more =
        tree.children("/etc/network/interfaces.d").filter_map(|(name, _)| std::str::from_utf8(name).ok());
    let mut texts = Texts::new();
    for path in
        std::iter::once(INTERFACES.to_owned()).chain(more.map(|name| format!("{INTERFACES}.d/{name}")))
    {
        if has_card(&texts.read(tree, &path)?) {
            return Ok(Some(INTERFACES));
        }
    }
    Ok(None)
}

fn wicked(editor: &mut Editor<'_>) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let is_card = |name: &[u8]| name.starts_with(b"ifcfg-") && name != b"ifcfg-lo";
    if !editor.tree().children(WICKED).any(|(name, _)| is_card(name)) {
        editor.write_file(format!("{WICKED}/ifcfg-eth0"), *b"BOOTPROTO='dhcp'\nSTARTMODE='auto'\n", 0o644)?;
        notes.push(format!("{WICKED}: DHCP on eth0"));
    }
    if systemd::enable(editor, "wicked.service")? {
        notes.push("systemd: wicked enabled".into());
    }
    Ok(notes)
}

pub(super) fn by_networkd(editor: &mut Editor<'_>) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    if !editor.tree().children(NETWORKD).any(|(name, _)| name.ends_with(b".network")) {
        editor.write_file(format!("{NETWORKD}/80-vmimage-dhcp.network"), NETWORKD_DHCP.as_bytes(), 0o644)?;
        notes.push(format!("{NETWORKD}: DHCP on every Ethernet card"));
    }
    notes.extend(networkd::start(editor)?);
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{text, tree};
    use crate::tree::{InodeKind, Time, os};

    const SYSTEMD: [(&str, &str); 5] = [
        ("/lib", "-> usr/lib"),
        ("/usr/sbin/init", "-> /lib/systemd/systemd"),
        ("/sbin", "-> usr/sbin"),
        ("/usr/lib/systemd/systemd", ""),
        ("/usr/lib/systemd/system/systemd-networkd.service", "[Install]\nWantedBy=multi-user.target\n"),
    ];
    const DHCP: &str = "/etc/systemd/network/80-vmimage-dhcp.network";
    const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service";

    fn edit(base: &[(&str, &str)], files: &[(&str, &str)]) -> (Tree, String) {
        let mut tree = tree(&base.iter().chain(files).copied().collect::<Vec<_>>());
        let os = os::detect(&tree).unwrap();
        let editor = &mut Editor::new(&mut tree, Time::default());
        let notes = super::super::configure(editor, &os, &Default::default()).unwrap();
        (tree, notes.join("\n"))
    }

    #[test]
    fn networkd_takes_every_card() {
        let (tree, _) = edit(&SYSTEMD, &[]);
        assert!(text(&tree, DHCP).unwrap().contains("DHCP=yes"));
        assert!(tree.resolve(ENABLED).is_some());
    }

    #[test]
    fn a_network_file_of_the_user_is_used_instead() {
        let (tree, _) = edit(&SYSTEMD, &[("/etc/systemd/network/10-static.network", "[Match]\n")]);
        assert!(tree.lookup(DHCP).is_none());
        assert!(tree.resolve(ENABLED).is_some());
    }

    #[test]
    fn a_network_that_is_configured_is_left_alone() {
        for (path, content) in [
            ("/etc/systemd/system/multi-user.target.wants/NetworkManager.service", "-> /lib/none"),
            ("/etc/netplan/50-mine.yaml", "network: {}"),
            ("/etc/network/interfaces", "auto ens3\n  iface ens3 inet static\n"),
            ("/etc/network/interfaces.d/mine", "iface ens3 inet dhcp\n"),
        ] {
            let (tree, notes) = edit(&SYSTEMD, &[(path, content)]);
            assert!(notes.starts_with("network: left to "), "{path}: {notes}");
            assert!(tree.lookup(DHCP).is_none() && tree.lookup(ENABLED).is_none(), "{path}");
        }
    }

    #[test]
    fn resolv_conf_leads_to_resolved_unless_it_says_something() {
        let resolved =
            ("/usr/lib/systemd/system/systemd-resolved.service", "[Install]\nWantedBy=sysinit.target\n");
        for (own, linked) in [
            ("", true),
            ("# comment\n", true),
            ("nameserver 10.0.0.1\n", false),
            ("-> /run/resolv.conf", false),
        ] {
            let (tree, _) = edit(&SYSTEMD, &[resolved, ("/etc/resolv.conf", own)]);
            let link = tree.lookup("/etc/resolv.conf").unwrap();
            let to_stub = matches!(&tree.inode(link).kind, InodeKind::Symlink(target) if target.ends_with(b"stub-resolv.conf"));
            assert_eq!(to_stub, linked, "{own:?}");
            assert!(
                tree.lookup("/etc/systemd/system/sysinit.target.wants/systemd-resolved.service").is_some()
            );
        }
        let (_, notes) = edit(&SYSTEMD, &[]);
        assert!(notes.contains("no name server"), "{notes}");
        // The image's own win with resolved and without it, and the report says so.
        for files in [&[resolved][..], &[], &[resolved, ("/etc/netplan/50-mine.yaml", "network: {}")]] {
            let own = ("/etc/resolv.conf", "nameserver 192.0.2.1\n");
            let (_, notes) = edit(&SYSTEMD, &[files, &[own]].concat());
            let last = notes.lines().last().unwrap();
            assert!(last.ends_with("own name servers are used (192.0.2.1), not DHCP's"), "{notes}");
        }
        // netplan has networkd do its work.
        let (tree, _) = edit(&SYSTEMD, &[resolved, ("/etc/netplan/50-mine.yaml", "network: {}")]);
        assert!(tree.lookup("/etc/resolv.conf").is_some());
    }

    #[test]
    fn network_manager_is_enabled_where_it_is_the_distributions_own() {
        let manager =
            ("/usr/lib/systemd/system/NetworkManager.service", "[Install]\nWantedBy=multi-user.target\n");
        let link = "/etc/systemd/system/multi-user.target.wants/NetworkManager.service";
        for (release, enabled) in [
            ("ID=fedora\n", true),
            ("ID=opensuse-leap\nID_LIKE=\"suse opensuse\"\n", true),
            ("ID=debian\n", false),
        ] {
            let (tree, _) = edit(&SYSTEMD, &[manager, ("/etc/os-release", release)]);
            assert_eq!(tree.lookup(link).is_some(), enabled, "{release}");
            assert_eq!(tree.lookup(DHCP).is_some(), !enabled, "{release}");
        }
    }

    #[test]
    fn wicked_brings_up_the_first_card() {
        let wicked = ("/usr/lib/systemd/system/wicked.service", "[Install]\nWantedBy=multi-user.target\n");
        let card = "/etc/sysconfig/network/ifcfg-eth0";
        let (tree, _) = edit(&SYSTEMD[..4], &[wicked]);
        assert!(text(&tree, card).unwrap().contains("BOOTPROTO='dhcp'"));
        assert!(tree.lookup("/etc/systemd/system/multi-user.target.wants/wicked.service").is_some());
        let (tree, _) = edit(&SYSTEMD[..4], &[wicked, ("/etc/sysconfig/network/ifcfg-ens3", "")]);
        assert!(tree.lookup(card).is_none());
    }

    #[test]
    fn a_tree_without_any_of_them_is_told_about() {
        assert!(edit(&[], &[]).1.starts_with("network: not configured"));
    }
}
