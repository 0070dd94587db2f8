//! systemd-sysupdate's view of a machine with two slots that systemd-boot starts (sysupdate.d(5) of systemd 257, which Debian 13
//! has): which file of an update it takes, into which partition, and who makes the new root the next one.
//!
//! It knows a version by the label of its partition, and so does the disk: slot A is labelled `ID_VERSION`, slot B `_empty`. Of
//! entries with our names it knows nothing, and it runs no program when it is done. So `vmimage-boot adopt` does the rest when
//! the machine shuts down, whoever has asked for the update, and at the next boot if the power went before that.

use super::systemd;
use crate::container::update::GZIP;
use crate::error::Result;
use crate::tree::os::Init;
use crate::tree::{Editor, InodeKind, Tree};

const PROGRAM: &str = "/usr/lib/systemd/systemd-sysupdate";
/// Where it looks for what to update.
const FOLDERS: [&str; 3] = ["/etc/sysupdate.d", "/usr/local/lib/sysupdate.d", "/usr/lib/sysupdate.d"];
const TRANSFER: &str = "/usr/lib/sysupdate.d/50-root.transfer";
/// The keys that it believes in place of those of distributions.
const KEYRING: &str = "/etc/systemd/import-pubring.gpg";
/// What it asks whether they have signed.
const GPG: [&str; 2] = ["/usr/bin/gpg", "/usr/bin/gpg2"];

const UNIT: &str = "vmimage-adopt.service";
/// Where it is stopped, the volumes of the machine are there still.
const SERVICE: &str = "\
# Made by vmimage: a root that systemd-sysupdate has written is started next, docs/fleets.md.
[Unit]
Description=Start a root next that was written into the other slot
ConditionKernelCommandLine=rauc.slot

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutSec=5min
ExecStart=-/usr/bin/vmimage-boot adopt
ExecStop=/usr/bin/vmimage-boot adopt

[Install]
WantedBy=multi-user.target
";

/// GPT has labels of so many units of UTF-16.
const LABEL_MAX: usize = 36;

/// What is known of the updates of a machine.
#[derive(Clone, Copy, Debug)]
pub struct Updates<'a> {
    /// What the system is, the same in all its versions.
    pub id: &'a str,
    /// Which of them.
    pub version: &'a str,
    /// Where the next one is looked for.
    pub from: Option<&'a str>,
    /// The keyring with the key of GPG that signs them.
    pub keyring: Option<&'a [u8]>,
    /// Whether somebody signs them by a key that this build was not given: no keyring then says that none is needed.
    pub lacks_keys: bool,
    /// Whether a root is started by an image that comes beside it.
    pub has_images: bool,
    /// Whether a server is believed by an authority of its own, or wants to know the machine.
    pub has_certificates: bool,
}

/// Whether the machine takes the updates of its build by systemd-sysupdate.
pub fn is_set_up(tree: &Tree) -> bool {
    tree.lookup(format!("{}/{UNIT}", systemd::USR)).is_some()
}

/// Have systemd-sysupdate take the updates of this machine, if it has that. Returns a line for each thing that was done, or why
/// nothing was.
///
/// # Errors
/// If something is in the way of what is written.
pub fn install(editor: &mut Editor<'_>, init: Option<Init>, updates: &Updates<'_>) -> Result<Vec<String>> {
    if init != Some(Init::Systemd) || editor.tree().resolve(PROGRAM).is_none() {
        return Ok(Vec::new());
    }
    let Updates { id, version, from, .. } = *updates;
    if updates.has_images {
        return Ok(vec![left_out(
            "it brings a root, and not the image with its root hash: vmimage-update brings both",
        )]);
    }
    let label = format!("{id}_{version}");
    if label.len() > LABEL_MAX {
        return Ok(vec![left_out(&format!("{label} is too long for the label of a partition"))]);
    }
    let mut notes = Vec::new();
    if let Some(own) = own_transfer(editor.tree()) {
        notes.push(format!("systemd-sysupdate: {own} is the image's own, and stays"));
    } else {
        let is_url = |from: &&str| from.starts_with("http://") || from.starts_with("https://");
        let Some(from) = from.filter(is_url) else {
            return Ok(vec![left_out("from of [update] names no web server")]);
        };
        editor.write_file(TRANSFER, transfer(updates, from).into_bytes(), 0o644)?;
        notes.push(format!("{TRANSFER}: systemd-sysupdate takes the root of {id} from {from}"));
        notes.extend(trust(editor, updates)?);
    }
    editor.write_file(format!("{}/{UNIT}", systemd::USR), SERVICE.as_bytes(), 0o644)?;
    systemd::enable(editor, UNIT)?;
    Ok(notes)
}

fn left_out(why: &str) -> String {
    format!("systemd-sysupdate: is not set up, {why}")
}

/// The first file of the image that says what to update.
fn own_transfer(tree: &Tree) -> Option<String> {
    FOLDERS.into_iter().find_map(|folder| {
        let is_transfer = |name: &[u8]| name.ends_with(b".transfer");
        let (name, _) = tree.children(folder).find(|(name, _)| is_transfer(name))?;
        Some(format!("{folder}/{}", String::from_utf8_lossy(name)))
    })
}

/// The partition that has the running root is not overwritten, and while that is on trial, none is: the disk has no such name.
fn transfer(updates: &Updates<'_>, from: &str) -> String {
    let Updates { id, keyring, lacks_keys, .. } = updates;
    let is_verified = keyring.is_some() || *lacks_keys;
    let (verify, from) = (if is_verified { "yes" } else { "no" }, from.replace('%', "%%"));
    format!(
        "\
# Made by vmimage: the root of the other slot, docs/fleets.md.
[Transfer]
ProtectVersion=%A
Verify={verify}

[Source]
Type=url-file
Path={from}
MatchPattern={id}_@v{GZIP}

[Target]
Type=partition
Path=/dev/vmimage/good-disk
MatchPartitionType=root
MatchPattern={id}_@v
"
    )
}

/// Whom it believes.
fn trust(editor: &mut Editor<'_>, updates: &Updates<'_>) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    match updates.keyring {
        Some(keyring) => {
            editor.write_file(KEYRING, keyring.to_vec(), 0o644)?;
            let has_gpg = GPG.iter().any(|path| is_file(editor.tree(), path));
            let lack = if has_gpg { "" } else { "; it asks gpg, which the image lacks, and takes nothing without" };
            notes.push(format!("{KEYRING}: systemd-sysupdate believes the key that signs, and no other{lack}"));
        }
        None if updates.lacks_keys => notes.push(
            "systemd-sysupdate: takes nothing, this build was not given every key of sign in [update]".into(),
        ),
        None => notes.push(
            "systemd-sysupdate: believes whoever hands an update out, no key of GPG signs it: see sign of [update]".into(),
        ),
    }
    if updates.has_certificates {
        notes.push("systemd-sysupdate: knows nothing of ca, certificate and key of [update]".into());
    }
    Ok(notes)
}

fn is_file(tree: &Tree, path: &str) -> bool {
    tree.resolve(path).is_some_and(|id| matches!(tree.inode(id).kind, InodeKind::File(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Time;
    use crate::tree::testing::{text, tree};

    const UPDATES: Updates<'_> = Updates {
        id: "kiosk",
        version: "1.4.0",
        from: Some("https://updates.example.com/a%20b/"),
        keyring: None,
        lacks_keys: false,
        has_images: false,
        has_certificates: false,
    };

    fn edit(files: &[(&str, &str)], init: Option<Init>, updates: &Updates<'_>) -> (Tree, Vec<String>) {
        let mut tree = tree(files);
        let notes = install(&mut Editor::new(&mut tree, Time::default()), init, updates).unwrap();
        (tree, notes)
    }

    #[test]
    fn it_takes_the_root_into_the_other_slot() {
        let (tree, notes) = edit(&[(PROGRAM, "")], Some(Init::Systemd), &UPDATES);
        let transfer = text(&tree, TRANSFER).unwrap();
        let source =
            "\nType=url-file\nPath=https://updates.example.com/a%%20b/\nMatchPattern=kiosk_@v.root.gz\n";
        assert!(transfer.contains(source), "{transfer}");
        assert!(transfer.contains("\nProtectVersion=%A\nVerify=no\n"), "{transfer}");
        assert!(transfer.ends_with("\nMatchPartitionType=root\nMatchPattern=kiosk_@v\n"), "{transfer}");
        assert!(notes[1].contains("believes whoever hands an update out"), "{notes:?}");
        assert!(is_set_up(&tree) && tree.lookup(KEYRING).is_none());
        let link = "/etc/systemd/system/multi-user.target.wants/vmimage-adopt.service";
        assert!(tree.resolve(link).is_some());
    }

    #[test]
    fn a_key_is_believed_and_no_other() {
        let signed = Updates { keyring: Some(b"keyring"), has_certificates: true, ..UPDATES };
        for (files, lacks) in [(&[(PROGRAM, "")][..], true), (&[(PROGRAM, ""), (GPG[0], "")], false)] {
            let (tree, notes) = edit(files, Some(Init::Systemd), &signed);
            assert!(text(&tree, TRANSFER).unwrap().contains("\nVerify=yes\n"));
            assert_eq!(text(&tree, KEYRING).as_deref(), Some("keyring"));
            assert_eq!(notes[1].ends_with("and takes nothing without"), lacks, "{notes:?}");
            assert!(notes[2].ends_with("ca, certificate and key of [update]"), "{notes:?}");
        }
    }

    /// The disk may be built by somebody who does not sign.
    #[test]
    fn without_the_key_that_signs_nothing_is_believed() {
        let unknown = Updates { lacks_keys: true, ..UPDATES };
        let (tree, notes) = edit(&[(PROGRAM, "")], Some(Init::Systemd), &unknown);
        assert!(text(&tree, TRANSFER).unwrap().contains("\nVerify=yes\n") && tree.lookup(KEYRING).is_none());
        assert!(notes[1].contains("takes nothing"), "{notes:?}");
    }

    #[test]
    fn what_the_image_says_is_kept() {
        for folder in FOLDERS {
            let own = format!("{folder}/10-own.transfer");
            let (tree, notes) = edit(&[(PROGRAM, ""), (&own, "own")], Some(Init::Systemd), &UPDATES);
            assert_eq!(notes, [format!("systemd-sysupdate: {own} is the image's own, and stays")]);
            assert!(
                text(&tree, &own).unwrap() == "own" && tree.lookup(TRANSFER).is_none() && is_set_up(&tree)
            );
        }
    }

    #[test]
    fn without_a_program_or_a_server_there_is_nothing_to_set_up() {
        let (long, registry) = ("k".repeat(31), Some("registry.example.com/kiosk:stable"));
        for (files, init, updates, expected) in [
            (&[][..], Some(Init::Systemd), UPDATES, None),
            (&[(PROGRAM, "")], Some(Init::OpenRc), UPDATES, None),
            (
                &[(PROGRAM, "")],
                Some(Init::Systemd),
                Updates { from: None, ..UPDATES },
                Some("names no web server"),
            ),
            (
                &[(PROGRAM, "")],
                Some(Init::Systemd),
                Updates { from: registry, ..UPDATES },
                Some("names no web server"),
            ),
            (
                &[(PROGRAM, "")],
                Some(Init::Systemd),
                Updates { id: &long, ..UPDATES },
                Some("label of a partition"),
            ),
            (
                &[(PROGRAM, "")],
                Some(Init::Systemd),
                Updates { has_images: true, ..UPDATES },
                Some("vmimage-update brings both"),
            ),
        ] {
            let (tree, notes) = edit(files, init, &updates);
            assert!(!is_set_up(&tree) && tree.lookup(TRANSFER).is_none());
            assert_eq!(notes.len(), usize::from(expected.is_some()), "{notes:?}");
            assert!(expected.is_none_or(|expected| notes[0].ends_with(expected)), "{notes:?}");
        }
    }
}
