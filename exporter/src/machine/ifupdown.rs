//! `/etc/network/interfaces` with DHCP on every Ethernet card, for ifupdown.
//!
//! Debian's ifupdown knows patterns for names (interfaces(5)). busybox's and ifupdown-ng don't: there a
//! service lists the cards at boot, as files of a directory that the configuration includes.

use super::{fields, lines, openrc, read, systemd};
use crate::error::Result;
use crate::tree::os::{Init, Os};
use crate::tree::{Editor, Tree};

pub(super) const INTERFACES: &str = "/etc/network/interfaces";

const LOOPBACK: &str = "\
auto lo
iface lo inet loopback

";
const BY_PATTERN: &str = "\
auto /en*=ethernet /eth*=ethernet
iface ethernet inet dhcp
";
const BY_SERVICE: &str = "\
# One file for each Ethernet card: /etc/init.d/vmimage-nics writes them at boot.
source-directory /run/vmimage/interfaces.d
";
const FIRST_CARD: &str = "\
auto eth0
iface eth0 inet dhcp
";

const SERVICE: &str = "vmimage-nics";
/// A card is what has hardware behind it and is of type 1, Ethernet (`ARPHRD_ETHER`).
const SCRIPT: &str = "\
#!/sbin/openrc-run

description=\"List the Ethernet cards for networking, with DHCP on each\"

depend()
{
\tneed localmount
\tafter bootmisc hwdrivers modules dev-settle
\tbefore networking
\tkeyword -docker -lxc -prefix
}

start()
{
\tebegin \"Listing the Ethernet cards\"
\tmkdir -p /run/vmimage/interfaces.d
\tfor card in /sys/class/net/*; do
\t\t[ -e \"$card/device\" ] && [ \"$(cat \"$card/type\")\" = 1 ] || continue
\t\tname=${card##*/}
\t\tprintf 'auto %s\\niface %s inet dhcp\\n' \"$name\" \"$name\" >\"/run/vmimage/interfaces.d/$name\"
\tdone
\teend 0
}
";

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
        editor.write_file(format!("/etc/init.d/{SERVICE}"), SCRIPT.as_bytes(), 0o755)?;
        openrc::enable(editor, SERVICE, "boot")?;
    }
    match os.init {
        Some(Init::OpenRc) if openrc::enable(editor, "networking", "boot")? => {
            notes.push("OpenRC: networking added to runlevel boot".into());
        }
        Some(Init::Systemd) if systemd::enable(editor, "networking.service")? => {
            notes.push("systemd: networking enabled".into());
        }
        _ => {}
    }
    Ok(notes)
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
    use super::super::network;
    use super::*;
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
        let notes = network::configure(&mut Editor::new(&mut tree, Time::default()), &os).unwrap();
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
}
