//! What systemd-boot starts a root in a slot by that has verity: a unified kernel image with its root hash, which cannot lie
//! in the root and comes beside it.
//!
//! All that is in an image is signed, so it is the same in either slot, and for systemd-boot one is like the other but for the name of
//! its file: `kiosk-7-B+3-0.efi` is slot B's, and is tried before those with a lesser number. `vmimage-boot` gives it that name.

use serde::Serialize;

use super::menu::Menu;
use super::slot_entry::{self, in_place};
use super::type_one::type_one;
use crate::boot::{Entry, slots, systemd_boot};
use crate::error::Result;
use crate::spec::Identity;
use crate::tree::os::Os;
use crate::tree::{Editor, Tree};

/// What a root says of its image, as `vmimage-boot` reads it.
#[derive(Serialize)]
struct Start<'a> {
    token: &'a str,
    /// How many starts may end in no good boot.
    tries: u8,
}

/// What systemd-boot orders images by before it looks at their names: `sort-key` and version; and what it calls them.
const ORDERED_BY: [&[u8]; 3] = [b"IMAGE_ID=", b"IMAGE_VERSION=", b"PRETTY_NAME="];

impl Menu<'_> {
    /// The entry that boots, the menu with its image alone, and a line for each thing that was done.
    pub(super) fn write_slot_image(
        &self,
        editor: &mut Editor<'_>,
    ) -> Result<(Entry, systemd_boot::Menu, Vec<String>)> {
        let ((first, kernel), _) = self.entries(editor.tree());
        let tree: &Tree = editor.tree();
        let kernel = &in_place(tree, kernel)?;
        let entry = Entry { cmdline: slots::template(&first.cmdline), ..first };
        let (token, tries) = (self.token(tree)?, self.spec.update.tries());
        let [slot, _] = slots::NAMES;
        let name = format!("{}-{slot}", slot_entry::FIRST_VERSION);
        let image = systemd_boot::TypeOne { name, ..type_one(tree, &entry, kernel)? };
        slot_entry::write(editor, &Start { token: &token, tries })?;
        let mut notes =
            vec!["slots: an image is the same for both, and finds its root by the root hash".to_owned()];
        notes.extend(self.left_out());
        let timeout = self.defaults.timeout;
        let (tries, entries) = (Some(tries.into()), vec![image]);
        let (images, enroll) = (None, None);
        Ok((
            entry,
            systemd_boot::Menu { token, tries, timeout, is_saved: false, entries, images, enroll },
            notes,
        ))
    }
}

/// os-release(5) of an image of slots, made of that of the root: what orders images is the same in all of a machine.
pub(super) fn release(text: &[u8], image: &Identity, os: &Os) -> Vec<u8> {
    let id = image.id.as_ref().unwrap_or(&os.id);
    let is_ordering = |line: &&[u8]| ORDERED_BY.iter().any(|key| line.trim_ascii_start().starts_with(key));
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty() && !is_ordering(line));
    let mut release = lines.collect::<Vec<_>>().join(&b'\n');
    let version = image.version.as_ref().map(|version| format!(", {id} {version}")).unwrap_or_default();
    // Within quotes nothing but these means more than itself.
    let name: String =
        os.pretty_name.chars().filter(|next| !next.is_control() && !"\"\\$`".contains(*next)).collect();
    let own = format!("\nIMAGE_ID={id}\nIMAGE_VERSION=1\nPRETTY_NAME=\"{name}{version}\"\n");
    release.extend_from_slice(own.as_bytes());
    release
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::os;
    use crate::tree::testing::tree;

    const RELEASE: &str =
        "PRETTY_NAME=\"Debian $1\"\nID=debian\nVERSION_ID=\"13\"\nIMAGE_ID=old\n  IMAGE_VERSION=9";

    #[test]
    fn images_of_a_machine_differ_in_what_they_are_called_alone() {
        let os = os::detect(&tree(&[("/etc/os-release", RELEASE)])).unwrap();
        let of = |image: &str| {
            let image = serde_json::from_str(image).unwrap();
            String::from_utf8(release(RELEASE.as_bytes(), &image, &os)).unwrap()
        };
        assert_eq!(
            of(r#"{"id":"kiosk","version":"1.4.0"}"#),
            "ID=debian\nVERSION_ID=\"13\"\nIMAGE_ID=kiosk\nIMAGE_VERSION=1\nPRETTY_NAME=\"Debian 1, kiosk 1.4.0\"\n"
        );
        assert!(of("{}").ends_with("\nIMAGE_ID=debian\nIMAGE_VERSION=1\nPRETTY_NAME=\"Debian 1\"\n"));
    }
}
