//! `/etc/network/interfaces` with DHCP on every Ethernet card, for ifupdown.
//!
//! Debian's ifupdown knows patterns for names (interfaces(5)). busybox's and ifupdown-ng don't: there a
//! service lists the cards at boot, as files of a directory that the configuration includes.

use super::{LOOPBACK, fields, lines, online, openrc, read, systemd};
use crate::error::Result;
use crate::tree::os::{Init, Os};
use crate::tree::{Editor, Tree};

pub(super) const INTERFACES: &str = "/etc/network/interfaces";

const BY_PATTERN: &str = "\
auto /en*=ethernet /eth*=ethernet
iface ethernet inet dhcp
";
pub(super) const BY_SERVICE: &str = "\
# One file for each Ethernet card: /etc/init.d/vmimage-nics writes them at boot.
source-directory /run/vmimage/interfaces.d
";
const FIRST_CARD: &str = "\
auto eth0
iface eth0 inet dhcp
";

pub(super) const CLIENT: &str = "/etc/dhcp/dhclient.conf";
/// Of ISC's client, which would hold `ifup` for a minute where nobody answers (dhclient.conf(5)).
const CLIENT_LIMIT: &str = "
# The boot waits no longer than this for an address; the client goes on asking in the background.
timeout 10;
retry 30;
";

const SERVICE: &str = "vmimage-nics";
/// A card is what has hardware behind it and is of type 1, Ethernet (`ARPHRD_ETHER`).
pub(super) const SCRIPT: &str = include_str!("nics.openrc");

/// Write the file and start what reads it; the user's `source` lines stay.
pub(super) fn configure(editor: &mut Editor<'_>, os: &Os) -> Result<Vec<String>> {
    let cards = cards(editor.tree(), os);
    let old = read(editor.tree(), INTERFACES)?;
    let includes =
        lines(&old).filter(|line| fields(line).first().is_some_and(|word| word.starts_with("source")));
    let mut text = [LOOPBACK, cards].concat().into_bytes();
    text.extend(includes.filter(|line| !BY_SERVICE.as_bytes().ends_with(line)).flatten());
    editor.write_file(INTERFACES, text, 0o644)?;
    let which = if cards == FIRST_CARD { "eth0" } else { "every Ethernet card" };
    let mut notes = vec![format!("{INTERFACES}: DHCP on {which}")];
    if cards == BY_SERVICE {
        list_at_boot(editor, SCRIPT)?;
    }
    if cards == BY_PATTERN && limit_client(editor)? {
        notes.push(format!("{CLIENT}: the boot waits ten seconds for an address"));
    }
    notes.extend(start(editor, os)?);
    Ok(notes)
}

/// Start what reads the file.
pub(super) fn start(editor: &mut Editor<'_>, os: &Os) -> Result<Option<String>> {
    Ok(match os.init {
        Some(Init::OpenRc) if openrc::enable(editor, "networking", "boot")? => {
            Some("OpenRC: networking added to runlevel boot".into())
        }
        Some(Init::Systemd) if systemd::enable(editor, "networking.service")? => {
            Some("systemd: networking enabled".into())
        }
        _ => None,
    })
}

/// Have the cards listed at boot, by this script.
pub(super) fn list_at_boot(editor: &mut Editor<'_>, script: &str) -> Result<()> {
    online::install_carrier(editor)?;
    editor.write_file(format!("/etc/init.d/{SERVICE}"), script.as_bytes(), 0o755)?;
    openrc::enable(editor, SERVICE, "boot")?;
    Ok(())
}

/// Whether the cards are listed at boot: no file names one then.
pub(super) fn lists_at_boot(tree: &Tree) -> bool {
    tree.resolve(format!("/etc/init.d/{SERVICE}")).is_some()
}

/// Whether the client's limit is ours now: an image that has set one keeps it.
pub(super) fn limit_client(editor: &mut Editor<'_>) -> Result<bool> {
    if editor.tree().resolve(CLIENT).is_none() {
        return Ok(false);
    }
    let mut text = read(editor.tree(), CLIENT)?;
    if lines(&text).any(|line| fields(line).first().is_some_and(|word| word == "timeout")) {
        return Ok(false);
    }
    text.extend_from_slice(CLIENT_LIMIT.as_bytes());
    editor.write_file(CLIENT, text, 0o644)?;
    Ok(true)
}

/// How the cards are named.
fn cards(tree: &Tree, os: &Os) -> &'static str {
    match os.init {
        _ if tree.resolve("/usr/bin/dpkg").is_some() => BY_PATTERN,
        Some(Init::OpenRc) => BY_SERVICE,
        _ => FIRST_CARD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::network;
    use crate::testing::Scratch;
    use crate::tree::testing::{text, tree};
    use crate::tree::{Time, os};

    const OPENRC: [(&str, &str); 5] = [
        ("/sbin/init", "-> /bin/busybox"),
        ("/bin/busybox", ""),
        ("/sbin/openrc", ""),
        ("/sbin/ifup", ""),
        ("/etc/init.d/networking", ""),
    ];

    fn edit(base: &[(&str, &str)], files: &[(&str, &str)]) -> (Tree, String) {
        let mut tree = tree(&base.iter().chain(files).copied().collect::<Vec<_>>());
        let os = os::detect(&tree).unwrap();
        let notes =
            network::configure(&mut Editor::new(&mut tree, Time::default()), &os, &Default::default())
                .unwrap();
        (tree, notes.join("\n"))
    }

    #[test]
    fn openrc_lists_every_card_at_boot() {
        let own = "auto lo\niface lo inet loopback\nsource /etc/x\n";
        let (mut tree, notes) = edit(&OPENRC, &[(INTERFACES, own)]);
        let expected = format!("{LOOPBACK}{BY_SERVICE}source /etc/x\n");
        assert_eq!(text(&tree, INTERFACES).unwrap(), expected);
        assert!(notes.contains("DHCP on every Ethernet card"), "{notes}");
        for service in ["networking", SERVICE] {
            assert!(tree.resolve(format!("/etc/runlevels/boot/{service}")).is_some(), "{service}");
        }
        let os = os::detect(&tree).unwrap();
        configure(&mut Editor::new(&mut tree, Time::default()), &os).unwrap();
        assert_eq!(text(&tree, INTERFACES).unwrap(), expected);
    }

    #[test]
    fn the_network_of_each_is_ifupdowns_and_of_nobody_where_there_is_none() {
        let owner = |base: &[(&str, &str)]| network::owner(&edit(base, &[]).0, false).unwrap();
        let debian = [("/usr/bin/dpkg", ""), ("/usr/sbin/ifup", "")];
        assert_eq!((owner(&OPENRC), owner(&debian), owner(&[])), ("ifupdown", "ifupdown", "none"));
    }

    #[test]
    fn a_card_of_the_user_is_left_alone() {
        let (tree, notes) = edit(&OPENRC, &[(INTERFACES, "iface eth0 inet static\n")]);
        assert_eq!(text(&tree, INTERFACES).unwrap(), "iface eth0 inet static\n");
        assert!(notes.contains("networking added"), "{notes}");
        assert!(tree.lookup("/etc/init.d/vmimage-nics").is_none());
    }

    #[test]
    fn ifupdown_of_debian_knows_patterns_and_busybox_alone_the_first_card() {
        let (tree, _) = edit(&[], &[("/usr/bin/dpkg", ""), ("/usr/sbin/ifup", "")]);
        assert!(text(&tree, INTERFACES).unwrap().contains("auto /en*=ethernet /eth*=ethernet\n"));
        let (tree, _) = edit(&[], &[("/sbin/ifup", "")]);
        assert!(text(&tree, INTERFACES).unwrap().contains("iface eth0 inet dhcp\n"));
    }

    #[test]
    fn ifupdown_of_debian_waits_ten_seconds_for_an_address_unless_told_otherwise() {
        let debian = [("/usr/bin/dpkg", ""), ("/usr/sbin/ifup", "")];
        for (own, limited) in [
            ("#timeout 60;\nrequest routers;\n", true),
            ("", true),
            ("timeout 45;\n", false),
            (&["#timeout 60;\n", CLIENT_LIMIT].concat(), false),
        ] {
            let (tree, notes) = edit(&debian, &[(CLIENT, own)]);
            let expected = if limited { [own, CLIENT_LIMIT].concat() } else { own.to_owned() };
            assert_eq!(text(&tree, CLIENT).unwrap(), expected);
            assert_eq!(notes.contains("ten seconds"), limited, "{notes}");
        }
        // Another client, and cards that the image has configured itself.
        assert!(text(&edit(&debian, &[]).0, CLIENT).is_none());
        let own = [(CLIENT, ""), (INTERFACES, "iface eth0 inet static\n")];
        assert_eq!(text(&edit(&debian, &own).0, CLIENT).unwrap(), "");
    }

    /// What the service lists for cards with their carrier, and which it brings up on its own.
    fn listed(cards: &[(&str, &str)]) -> (String, String) {
        let scratch = Scratch::new();
        let root = scratch.path().to_str().unwrap();
        for (name, carrier) in cards {
            let card = scratch.path().join("sys/class/net").join(name);
            std::fs::create_dir_all(card.join("device")).unwrap();
            std::fs::write(card.join("type"), "1\n").unwrap();
            std::fs::write(card.join("carrier"), format!("{carrier}\n")).unwrap();
        }
        let here = |text: &str| {
            ["/sys/", "/run/", "/usr/lib/vmimage/"]
                .into_iter()
                .fold(text.to_owned(), |text, path| text.replace(path, &format!("{root}{path}")))
        };
        std::fs::create_dir_all(scratch.path().join("usr/lib/vmimage")).unwrap();
        let tools = "ebegin() { :; }\neend() { return $1; }\nip() { [ $1$2 = linkset ]; }\n\
                     setsid() { echo \"$*\" >&3; }\n";
        let carrier = "#!/bin/sh\n[ $1 = 10 ]\n";
        let program = scratch.write("usr/lib/vmimage/vmimage-carrier", carrier.as_bytes());
        crate::testing::accepts("chmod", &["+x", &program]);
        let script = format!("{tools}{}\nset -e\nstart\nwait\n", here(SCRIPT));
        let script = scratch.write("script", script.as_bytes());
        let asked = scratch.file("asked");
        let line = format!("sh {script} 3>{}", asked.to_str().unwrap());
        crate::testing::accepts("sh", &["-c", &line]);
        let mut files: Vec<_> = std::fs::read_dir(scratch.path().join("run/vmimage/interfaces.d"))
            .unwrap()
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        files.sort();
        (files.concat(), std::fs::read_to_string(asked).unwrap())
    }

    #[test]
    fn openrc_does_not_wait_for_the_address_of_a_card_without_a_carrier() {
        let up = |name: &str| format!("iface {name} inet dhcp\nauto {name}\n");
        let down = |name: &str| format!("iface {name} inet dhcp\n");
        assert_eq!(listed(&[("eth0", "1")]), (up("eth0"), String::new()));
        let asked = "ifup eth1\n".to_owned();
        assert_eq!(listed(&[("eth0", "1"), ("eth1", "0")]), (up("eth0") + &down("eth1"), asked));
        assert_eq!(listed(&[("eth0", "0")]), (down("eth0"), "ifup eth0\n".to_owned()));
        assert_eq!(listed(&[]), (String::new(), String::new()));
    }
}
