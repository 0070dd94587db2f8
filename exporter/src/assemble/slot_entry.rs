//! What systemd-boot starts a root in a slot by: the entry of the first slot, and in the root what the machine makes one of for
//! the slot that the root is copied into.

use serde::Serialize;

use super::menu::Menu;
use super::type_one::type_one;
use crate::boot::slots::{self, Slots};
use crate::boot::{Entry, systemd_boot};
use crate::error::{Error, Kind, Result};
use crate::tree::kernel::Kernel;
use crate::tree::{Editor, Tree};

/// Where a root says how it is started.
const PATH: &str = "/usr/lib/vmimage/entry.json";
/// Whoever makes a slot the next one counts on from this.
pub(super) const FIRST_VERSION: u64 = 1;

/// What a root says of its entry, as `vmimage-boot` reads it.
#[derive(Serialize)]
struct Recipe<'a> {
    token: &'a str,
    title: &'a str,
    /// The kernel's command line, with the variables of the slot.
    options: &'a str,
    /// Paths that lead through no links.
    linux: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    initrd: Option<&'a str>,
    /// How many starts may end in no good boot.
    tries: u8,
}

impl Menu<'_> {
    /// The entry that boots, the menu with it alone, and a line for each thing that was done.
    pub(super) fn write_slot_entry(
        &self,
        editor: &mut Editor<'_>,
        slots: &Slots,
    ) -> Result<(Entry, systemd_boot::Menu, Vec<String>)> {
        if self.root.has_verity {
            return self.write_slot_image(editor);
        }
        let ((first, kernel), others) = self.entries(editor.tree());
        let tree = editor.tree();
        let kernel = &in_place(tree, kernel)?;
        let (token, tries) = (self.token(tree)?, self.spec.update.tries());
        let [name, _] = slots::NAMES;
        let [partition, _] = slots.partitions;
        let entry = Entry { cmdline: slots::filled(&first.cmdline, name, partition), ..first.clone() };
        let type_one = systemd_boot::TypeOne {
            name: name.to_owned(),
            title: format!("{}, slot {name}", entry.title),
            version: FIRST_VERSION.to_string(),
            root: Some(self.label.to_owned()),
            ..type_one(tree, &entry, kernel)?
        };
        let options = slots::template(&first.cmdline);
        let (title, linux, initrd) = (&*first.title, &*kernel.image, kernel.initramfs.as_deref());
        let recipe = Recipe { token: &token, title, options: &options, linux, initrd, tries };
        write(editor, &recipe)?;
        let mut notes =
            vec![format!("{PATH}: what systemd-boot starts this root by, in whichever slot it lies")];
        let left_out = others.iter().map(|(_, kernel)| &kernel.image);
        notes.extend(left_out.map(|image| format!("{image}: not in the menu, a slot has one entry")));
        let timeout = self.defaults.timeout;
        let (tries, entries) = (Some(tries.into()), vec![type_one]);
        // What was booted last is of no account: the entries say which slot is the next one.
        let menu = systemd_boot::Menu {
            token,
            tries,
            timeout,
            is_saved: false,
            entries,
            images: None,
            enroll: None,
        };
        Ok((entry, menu, notes))
    }
}

/// Write what a root says.
pub(super) fn write(editor: &mut Editor<'_>, said: &impl Serialize) -> Result<()> {
    let failed = |error: serde_json::Error| Error::new(Kind::Input, PATH, error.to_string());
    editor.write_file(PATH, serde_json::to_vec(said).map_err(failed)?, 0o644).map(drop)
}

/// The kernel by paths that lead through no links: its files have the same names on this disk and where the machine copies
/// them.
pub(super) fn in_place(tree: &Tree, kernel: &Kernel) -> Result<Kernel> {
    let place = |path: &String| {
        tree.canonical(path).ok_or_else(|| Error::new(Kind::NotFound, path, "leads to no file of the tree"))
    };
    let (image, initramfs) = (place(&kernel.image)?, kernel.initramfs.as_ref().map(place).transpose()?);
    Ok(Kernel { image, initramfs, ..kernel.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::kernel::Origin;
    use crate::tree::testing::tree;

    #[test]
    fn files_behind_links_are_called_as_they_are_where_they_lie() {
        let files = [
            ("/boot/vmlinuz-6.1", "-> ../usr/lib/modules/6.1/vmlinuz"),
            ("/usr/lib/modules/6.1/vmlinuz", "MZ"),
            ("/boot/initrd.img-6.1", "-> /usr/lib/initramfs.img"),
            ("/usr/lib/initramfs.img", "initramfs"),
        ];
        let kernel = Kernel {
            version: "6.1".into(),
            image: "/boot/vmlinuz-6.1".into(),
            initramfs: Some("/boot/initrd.img-6.1".into()),
            modules: None,
            stable: None,
            origin: Origin::Image,
        };
        let placed = in_place(&tree(&files), &kernel).unwrap();
        assert_eq!(placed.image, "/usr/lib/modules/6.1/vmlinuz");
        assert_eq!(placed.initramfs.as_deref(), Some("/usr/lib/initramfs.img"));
        let lost = tree(&[("/boot/vmlinuz-6.1", "-> vmlinuz-6.1")]);
        let error = in_place(&lost, &kernel).unwrap_err().to_string();
        assert!(error.starts_with("/boot/vmlinuz-6.1: leads to no file"), "{error}");
    }
}
