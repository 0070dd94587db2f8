//! RAUC's view of a machine with two slots (<https://rauc.readthedocs.io/en/latest/reference.html#system-configuration-file>),
//! for an image that has RAUC and says nothing of its slots; and who says that a boot was good: not RAUC.

use super::{good, openrc, systemd};
use crate::boot::choice;
use crate::error::Result;
use crate::fs::FileSystem;
use crate::tree::Editor;

const PROGRAMS: [&str; 2] = ["/usr/bin/rauc", "/usr/local/bin/rauc"];
/// By which it reads and writes grubenv.
const GRUB_EDITENV: &str = "/usr/bin/grub-editenv";
const CONFIG: &str = "/etc/rauc/system.conf";
/// Where RAUC looks for one.
const CONFIGS: [&str; 2] = [CONFIG, "/usr/lib/rauc/system.conf"];
/// What RAUC remembers of slots, which are only read.
const STATE: &str = "/var/lib/rauc";

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

/// Write the configuration, with the ESP at `esp` and roots of `file_system`. Returns a line if it did.
pub fn install(
    editor: &mut Editor<'_>,
    compatible: &str,
    esp: &str,
    file_system: FileSystem,
) -> Result<Option<String>> {
    let is_there = |path: &&str| editor.tree().resolve(*path).is_some();
    if !PROGRAMS.iter().any(is_there) || CONFIGS.iter().any(is_there) {
        return Ok(None);
    }
    let kind = if file_system == FileSystem::Ext4 { "ext4" } else { "raw" };
    let [grubenv, _] = choice::COPIES;
    let folder = choice::FOLDER;
    let text = format!(
        "# Made by vmimage: the slots of this machine, docs/fleets.md.\n\
         [system]\n\
         compatible={compatible}\n\
         bootloader=grub\n\
         grubenv={esp}{folder}/{grubenv}\n\
         statusfile={STATE}/central.raucs\n\
         \n\
         [slot.rootfs.0]\n\
         device=/dev/vmimage/slot-A\n\
         type={kind}\n\
         bootname=A\n\
         \n\
         [slot.rootfs.1]\n\
         device=/dev/vmimage/slot-B\n\
         type={kind}\n\
         bootname=B\n"
    );
    editor.mkdir_all(STATE)?;
    editor.write_file(CONFIG, text.into_bytes(), 0o644)?;
    let has_tool = editor.tree().resolve(GRUB_EDITENV).is_some();
    let lack = if has_tool { "" } else { "; RAUC runs grub-editenv, and the image has none" };
    Ok(Some(format!("{CONFIG}: both slots; add [keyring] for bundles{lack}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Time;
    use crate::tree::testing::{text, tree};

    fn edit(files: &[(&str, &str)], file_system: FileSystem) -> (crate::tree::Tree, Option<String>) {
        let mut tree = tree(files);
        let editor = &mut Editor::new(&mut tree, Time::default());
        let note = install(editor, "shop", "/boot/efi", file_system).unwrap();
        (tree, note)
    }

    #[test]
    fn rauc_is_told_of_the_slots() {
        let rauc = [("/usr/bin/rauc", "")];
        let (tree, note) = edit(&rauc, FileSystem::Ext4);
        let config = text(&tree, CONFIG).unwrap();
        assert!(config.contains("\ncompatible=shop\nbootloader=grub\ngrubenv=/boot/efi/EFI/BOOT/grubenv\n"));
        assert!(config.contains("\ndevice=/dev/vmimage/slot-B\ntype=ext4\nbootname=B\n"), "{config}");
        assert!(note.unwrap().ends_with("; RAUC runs grub-editenv, and the image has none"));
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
            assert!(text(&tree, CONFIG).is_none_or(|text| text == "mine"));
        }
    }
}
