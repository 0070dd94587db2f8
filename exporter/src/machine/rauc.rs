//! RAUC's view of a machine with two slots (<https://rauc.readthedocs.io/en/latest/reference.html#system-configuration-file>),
//! for an image that has RAUC and says nothing of its slots.

use crate::boot::choice;
use crate::error::Result;
use crate::fs::FileSystem;
use crate::tree::Editor;

const PROGRAMS: [&str; 2] = ["/usr/bin/rauc", "/usr/local/bin/rauc"];
const CONFIG: &str = "/etc/rauc/system.conf";
/// Where RAUC looks for one.
const CONFIGS: [&str; 2] = [CONFIG, "/usr/lib/rauc/system.conf"];
/// What RAUC remembers of slots, which are only read.
const STATE: &str = "/var/lib/rauc";

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
    Ok(Some(format!("{CONFIG}: both slots; add [keyring] for bundles")))
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
        assert!(note.is_some() && tree.lookup(STATE).is_some());
        assert!(text(&edit(&rauc, FileSystem::Erofs).0, CONFIG).unwrap().contains("type=raw\nbootname=A"));
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
