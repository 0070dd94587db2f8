//! How long a machine of systemd waits for its network (`network-online.target`), which is what the service of
//! an image waits for.
//!
//! | there is | it waits |
//! |---|---|
//! | no card | not at all |
//! | no card with a carrier | ten seconds |
//! | a carrier | until one card has its address, but no longer than twenty seconds more |
//!
//! systemd-networkd would wait for two minutes in each case, and count as failed then.

use super::systemd;
use crate::error::Result;
use crate::tree::Editor;

const UNIT: &str = "systemd-networkd-wait-online.service";
const CARRIER: &str = "/usr/lib/vmimage/vmimage-carrier";
const PROGRAMS: [&str; 2] =
    ["/usr/lib/systemd/systemd-networkd-wait-online", "/lib/systemd/systemd-networkd-wait-online"];
/// The driver of every card that is there at boot has been asked for by then.
const CONDITION: &str = "\
[Unit]
After=systemd-udev-trigger.service

[Service]
ExecCondition=/usr/lib/vmimage/vmimage-carrier 10
";

/// Wait for any of networkd's cards, if there is one to wait for.
pub(super) fn wait_for_any(editor: &mut Editor<'_>) -> Result<()> {
    let program = PROGRAMS.into_iter().find(|path| editor.tree().resolve(path).is_some());
    let wait = program.map(|program| format!("ExecStart=\nExecStart=-{program} --any --timeout=20\n"));
    write(editor, &wait.unwrap_or_default())
}

/// Wait as somebody else says, if there is something to wait for.
pub(super) fn wait_for_carrier(editor: &mut Editor<'_>) -> Result<()> {
    write(editor, "")
}

/// Who has a drop-in of their own knows better.
fn write(editor: &mut Editor<'_>, wait: &str) -> Result<()> {
    let directory = format!("{}/{UNIT}.d", systemd::ETC);
    let own = editor.tree().children(&directory).any(|(name, _)| name != b"vmimage.conf");
    if own || systemd::unit_file(editor.tree(), UNIT).is_none() {
        return Ok(());
    }
    install_carrier(editor)?;
    editor.write_file(format!("{directory}/vmimage.conf"), [CONDITION, wait].concat().into_bytes(), 0o644)?;
    Ok(())
}

/// The program that waits for a carrier.
pub(super) fn install_carrier(editor: &mut Editor<'_>) -> Result<()> {
    editor.write_file(CARRIER, include_str!("carrier.sh").as_bytes(), 0o755)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;
    use crate::tree::Time;
    use crate::tree::testing::{text, tree};

    const DROP_IN: &str = "/etc/systemd/system/systemd-networkd-wait-online.service.d";
    const UNIT_FILE: (&str, &str) =
        ("/usr/lib/systemd/system/systemd-networkd-wait-online.service", "[Service]\nType=oneshot\n");

    fn drop_in(files: &[(&str, &str)]) -> Option<String> {
        let mut tree = tree(files);
        wait_for_any(&mut Editor::new(&mut tree, Time::default())).unwrap();
        let once = tree.dump(Default::default()).unwrap();
        wait_for_any(&mut Editor::new(&mut tree, Time::default())).unwrap();
        assert_eq!(tree.dump(Default::default()).unwrap(), once, "a second time changes something");
        let text = text(&tree, &format!("{DROP_IN}/vmimage.conf"));
        assert_eq!(tree.lookup(CARRIER).is_some(), text.is_some());
        text
    }

    #[test]
    fn the_wait_for_a_network_has_an_end_and_does_not_fail() {
        let merged = ("/lib", "-> usr/lib");
        let program = |path| (path, "");
        for path in PROGRAMS {
            let expected = format!("{CONDITION}ExecStart=\nExecStart=-{path} --any --timeout=20\n");
            assert_eq!(drop_in(&[UNIT_FILE, program(path)]), Some(expected));
        }
        let expected = format!("{CONDITION}ExecStart=\nExecStart=-{} --any --timeout=20\n", PROGRAMS[0]);
        assert_eq!(drop_in(&[merged, UNIT_FILE, program(PROGRAMS[0])]), Some(expected));
        assert_eq!(drop_in(&[UNIT_FILE, (&format!("{DROP_IN}/mine.conf"), "[Service]\n")]), None);
        assert_eq!(drop_in(&[program(PROGRAMS[0])]), None);
    }

    /// Cards by their name and carrier; what cannot be read is that of one which is off.
    fn has_carrier(cards: &[(&str, Option<&str>)], is_hardware: bool, udev_is_busy: bool) -> bool {
        let scratch = Scratch::new();
        let root = scratch.path();
        for (name, carrier) in cards {
            let card = root.join("sys/class/net").join(name);
            std::fs::create_dir_all(&card).unwrap();
            if is_hardware {
                std::fs::create_dir(card.join("device")).unwrap();
            }
            if let Some(carrier) = carrier {
                std::fs::write(card.join("carrier"), format!("{carrier}\n")).unwrap();
            }
        }
        if udev_is_busy {
            std::fs::create_dir_all(root.join("run/udev")).unwrap();
            std::fs::write(root.join("run/udev/queue"), "").unwrap();
        }
        let script = scratch.write("carrier", include_bytes!("carrier.sh"));
        let ends = [&["sh"][..], &["bash", "--posix"], &["busybox", "sh"]].map(|shell| {
            let mut command = std::process::Command::new(shell[0]);
            let output = command.args(&shell[1..]).args([&script, "1"]).arg(root).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{shell:?}");
            output.status.code().unwrap()
        });
        assert!(ends == [ends[0]; 3] && ends[0] <= 1, "{ends:?}");
        ends[0] == 0
    }

    #[test]
    fn a_carrier_of_any_card_is_seen() {
        assert!(has_carrier(&[("eth0", Some("1"))], true, false));
        assert!(has_carrier(&[("eth0", Some("0")), ("eth1", Some("1"))], true, false));
        assert!(has_carrier(&[("eth0", None), ("wlan0", Some("1"))], true, true));
    }

    #[test]
    fn without_a_carrier_there_is_nothing_to_wait_for() {
        assert!(!has_carrier(&[], true, false), "no card");
        assert!(!has_carrier(&[], true, true), "no card in time");
        assert!(!has_carrier(&[("eth0", Some("0")), ("eth1", None)], true, false), "no cable");
        assert!(!has_carrier(&[("lo", Some("1")), ("docker0", Some("1"))], false, false), "no hardware");
    }
}
