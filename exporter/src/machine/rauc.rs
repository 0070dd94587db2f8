//! RAUC's view of a machine with two slots (<https://rauc.readthedocs.io/en/latest/reference.html#system-configuration-file>),
//! for an image that has RAUC and says nothing of its slots; and who says that a boot was good: not RAUC.

use sha2::{Digest, Sha256};

use super::{good, openrc, systemd};
use crate::boot::choice;
use crate::container::rauc::escaped;
use crate::error::Result;
use crate::fs::FileSystem;
use crate::tree::Editor;

const PROGRAMS: [&str; 2] = ["/usr/bin/rauc", "/usr/local/bin/rauc"];
/// By which it reads and writes grubenv.
const GRUB_EDITENV: &str = "/usr/bin/grub-editenv";
const CONFIG: &str = "/etc/rauc/system.conf";
/// Where RAUC looks for one.
const CONFIGS: [&str; 2] = [CONFIG, "/usr/lib/rauc/system.conf"];
/// What RAUC remembers of slots, which are only read, and where the digests of their blocks lie.
const STATE: &str = "/var/lib/rauc";
/// Where it mounts a bundle: the usual place is on a root that is only read.
const MOUNTS: &str = "/run/rauc/mnt";
/// What it runs before it writes anything; it writes nothing if that fails. RAUC itself would take the other slot at any time.
const HANDLER: &str = "/usr/lib/vmimage/rauc-pre-install";
const WAITS_FOR_GOOD: &str = "\
#!/bin/sh
# Made by vmimage: RAUC leaves the slot to go back to alone, docs/fleets.md.
[ -e /dev/vmimage/good-disk ] && exit 0
echo 'nobody has said that this boot is good, so the other slot is the one to go back to: see vmimage-boot status' >&2
exit 1
";

/// The certificates whose bundles it takes.
const KEYRING: &str = "/etc/rauc/keyring.pem";

/// The service that comes with RAUC, of systemd and of OpenRC.
const MARK_GOOD: &str = "rauc-mark-good";
/// No link in `/etc` has to be found, nor one that a preset makes at the first boot.
const MARKS_NOTHING: &str = "\
# Made by vmimage: vmimage-good.service says so once the machine is healthy, docs/fleets.md.
[Unit]
ConditionPathExists=!/usr/bin/vmimage-boot
";

/// Keep RAUC's own service from calling every boot good that has come far enough to start it: a slot that is not healthy would
/// have its tries again. Returns a line if there is one.
///
/// # Errors
/// If something is in the way of what is written.
pub fn leave_good(editor: &mut Editor<'_>) -> Result<Option<String>> {
    let unit = format!("{MARK_GOOD}.service");
    let has_unit = systemd::unit_file(editor.tree(), &unit).is_some();
    if has_unit {
        let drop_in = format!("{}/{unit}.d/vmimage.conf", systemd::USR);
        editor.write_file(drop_in, MARKS_NOTHING.as_bytes(), 0o644)?;
    }
    let was_in_runlevel = openrc::disable(editor, MARK_GOOD);
    let note = format!("{MARK_GOOD}: not started, {} says when a boot was good", good::PROGRAM);
    Ok((has_unit || was_in_runlevel).then_some(note))
}

/// Whose bundles a machine takes.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    /// Certificates in PEM.
    pub pem: Vec<u8>,
    /// What the table `[keyring]` says of them beside their path: whole lines.
    pub words: String,
}

impl Keyring {
    /// A hash of all that is written of it.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::new().chain_update(&self.pem).chain_update(&self.words).finalize().into()
    }
}

/// Write the configuration, with the ESP at `esp` and roots of `file_system`, and the keyring. Returns a line if it did.
pub fn install(
    editor: &mut Editor<'_>,
    compatible: &str,
    esp: &str,
    file_system: FileSystem,
    keyring: Option<&Keyring>,
) -> Result<Option<String>> {
    let is_there = |path: &&str| editor.tree().resolve(*path).is_some();
    let (has_program, config) = (PROGRAMS.iter().any(is_there), CONFIGS.into_iter().find(is_there));
    if has_program && let Some(keyring) = keyring {
        editor.write_file(KEYRING, keyring.pem.clone(), 0o644)?;
    }
    match (config, keyring) {
        _ if !has_program => {
            return Ok(keyring.map(|_| "RAUC: the image has none, so its keyring is left out".to_owned()));
        }
        (Some(config), Some(_)) => {
            return Ok(Some(format!("{KEYRING}: written; {config} is the image's own, and has to name it")));
        }
        (Some(_), None) => return Ok(None),
        (None, _) => {}
    }
    let kind = if file_system == FileSystem::Ext4 { "ext4" } else { "raw" };
    let [grubenv, _] = choice::COPIES;
    let folder = choice::FOLDER;
    let trusted =
        keyring.map_or(String::new(), |keyring| format!("\n[keyring]\npath={KEYRING}\n{}", keyring.words));
    let compatible = escaped(compatible);
    let text = format!(
        "# Made by vmimage: the slots of this machine, docs/fleets.md.\n\
         [system]\n\
         compatible={compatible}\n\
         bootloader=grub\n\
         grubenv={esp}{folder}/{grubenv}\n\
         statusfile={STATE}/central.raucs\n\
         data-directory={STATE}\n\
         mountprefix={MOUNTS}\n\
         \n\
         [handlers]\n\
         pre-install={HANDLER}\n\
         \n\
         [slot.rootfs.0]\n\
         device=/dev/vmimage/slot-A\n\
         type={kind}\n\
         bootname=A\n\
         \n\
         [slot.rootfs.1]\n\
         device=/dev/vmimage/slot-B\n\
         type={kind}\n\
         bootname=B\n{trusted}"
    );
    editor.mkdir_all(STATE)?;
    editor.write_file(CONFIG, text.into_bytes(), 0o644)?;
    editor.write_file(HANDLER, WAITS_FOR_GOOD.as_bytes(), 0o755)?;
    let has_tool = editor.tree().resolve(GRUB_EDITENV).is_some();
    let lack = if has_tool { "" } else { "; RAUC runs grub-editenv, and the image has none" };
    let bundles = if keyring.is_some() { "bundles of the keyring" } else { "add [keyring] for bundles" };
    Ok(Some(format!("{CONFIG}: both slots; {bundles}{lack}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Time;
    use crate::tree::testing::{text, tree};

    type Edited = (crate::tree::Tree, Option<String>);

    fn edit(files: &[(&str, &str)], file_system: FileSystem) -> Edited {
        edit_with(files, file_system, None)
    }

    fn edit_with(files: &[(&str, &str)], file_system: FileSystem, keyring: Option<&Keyring>) -> Edited {
        let mut tree = tree(files);
        let editor = &mut Editor::new(&mut tree, Time::default());
        let note = install(editor, "shop", "/boot/efi", file_system, keyring).unwrap();
        (tree, note)
    }

    #[test]
    fn rauc_is_told_whose_bundles_it_takes() {
        let keyring = Keyring { pem: b"PEM\n".to_vec(), words: "check-purpose=codesign\n".into() };
        let edit = |files: &[(&str, &str)]| edit_with(files, FileSystem::Ext4, Some(&keyring));
        let (tree, note) = edit(&[(PROGRAMS[0], ""), (GRUB_EDITENV, "")]);
        let config = text(&tree, CONFIG).unwrap();
        assert!(
            config.ends_with("\n\n[keyring]\npath=/etc/rauc/keyring.pem\ncheck-purpose=codesign\n"),
            "{config}"
        );
        assert_eq!(text(&tree, KEYRING).as_deref(), Some("PEM\n"));
        assert_eq!(note.unwrap(), "/etc/rauc/system.conf: both slots; bundles of the keyring");

        let (tree, note) = edit(&[(PROGRAMS[0], ""), (CONFIG, "mine")]);
        assert_eq!(
            (text(&tree, CONFIG).as_deref(), text(&tree, KEYRING).as_deref()),
            (Some("mine"), Some("PEM\n"))
        );
        assert!(note.unwrap().ends_with("system.conf is the image's own, and has to name it"));
        let (tree, note) = edit(&[]);
        assert!(note.is_some() && tree.lookup(KEYRING).is_none());
    }

    #[test]
    fn rauc_is_told_of_the_slots() {
        let rauc = [("/usr/bin/rauc", "")];
        let (tree, note) = edit(&rauc, FileSystem::Ext4);
        let config = text(&tree, CONFIG).unwrap();
        assert!(config.contains("\ncompatible=shop\nbootloader=grub\ngrubenv=/boot/efi/EFI/BOOT/grubenv\n"));
        assert!(config.contains("\ndevice=/dev/vmimage/slot-B\ntype=ext4\nbootname=B\n"), "{config}");
        let slash = &mut self::tree(&rauc);
        install(&mut Editor::new(slash, Time::default()), r"a\s", "/boot/efi", FileSystem::Ext4, None)
            .unwrap();
        assert!(
            text(slash, CONFIG).unwrap().contains("\ncompatible=a\\\\s\n"),
            "as in the manifest of a bundle"
        );
        assert!(note.unwrap().ends_with("; RAUC runs grub-editenv, and the image has none"));
        assert!(
            config.contains("\n[handlers]\npre-install=/usr/lib/vmimage/rauc-pre-install\n\n[slot."),
            "{config}"
        );
        let handler = text(&tree, HANDLER).unwrap();
        assert!(handler.starts_with("#!/bin/sh\n") && handler.ends_with("\nexit 1\n"), "{handler}");
        assert!(tree.lookup(STATE).is_some());
        let with_tool = [rauc[0], (GRUB_EDITENV, "")];
        assert!(edit(&with_tool, FileSystem::Ext4).1.unwrap().ends_with("[keyring] for bundles"));
        assert!(text(&edit(&rauc, FileSystem::Erofs).0, CONFIG).unwrap().contains("type=raw\nbootname=A"));
    }

    #[test]
    fn no_service_of_rauc_says_that_a_boot_was_good() {
        let leave = |files: &[(&str, &str)]| {
            let mut tree = tree(files);
            let note = leave_good(&mut Editor::new(&mut tree, Time::default())).unwrap();
            (tree, note)
        };
        let drop_in = "/usr/lib/systemd/system/rauc-mark-good.service.d/vmimage.conf";
        let condition = format!("[Unit]\nConditionPathExists=!{}\n", good::PROGRAM);
        for folder in ["/usr/lib/systemd/system", "/etc/systemd/system"] {
            let (tree, note) = leave(&[(&format!("{folder}/rauc-mark-good.service"), "[Service]\n")]);
            assert!(text(&tree, drop_in).unwrap().ends_with(&condition));
            let expected = "rauc-mark-good: not started, /usr/bin/vmimage-boot says when a boot was good";
            assert_eq!(note.as_deref(), Some(expected));
        }
        let link = "/etc/runlevels/default/rauc-mark-good";
        let (tree, note) =
            leave(&[(link, "-> /etc/init.d/rauc-mark-good"), ("/etc/init.d/rauc-mark-good", "")]);
        assert!(note.is_some() && tree.resolve_nofollow(link).is_none() && tree.lookup(drop_in).is_none());
        assert_eq!(leave(&[("/usr/lib/systemd/system/rauc.service", "")]).1, None);
    }

    #[test]
    fn what_the_image_says_is_kept() {
        for files in
            [&[][..], &[("/usr/bin/rauc", ""), (CONFIG, "mine")], &[("/usr/bin/rauc", ""), (CONFIGS[1], "")]]
        {
            let (tree, note) = edit(files, FileSystem::Ext4);
            assert_eq!((note, tree.lookup(STATE)), (None, None));
            assert!(text(&tree, CONFIG).is_none_or(|text| text == "mine") && tree.lookup(HANDLER).is_none());
        }
    }
}
