//! An ESP in a folder: what the names of its images say, and what becomes of them.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::super::record::{State, Trial};
use super::*;

struct Esp {
    folder: TempDir,
    entries: Entries,
}

impl Esp {
    /// With images of these names.
    fn with(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join(FOLDER);
        fs::create_dir_all(&image).unwrap();
        assert!(Entries::on(folder.path()).is_none(), "that of another boot loader");
        fs::create_dir_all(folder.path().join("loader")).unwrap();
        fs::write(folder.path().join(SETTINGS), "timeout 1\n").unwrap();
        names.iter().for_each(|name| fs::write(image.join(name), format!("the image of {name}")).unwrap());
        Self { entries: Entries::on(folder.path()).unwrap(), folder }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// An image has come with a root for a slot.
    fn bring(&self, slot: Slot) {
        fs::create_dir(self.path(slot.name())).unwrap();
        fs::write(self.path(slot.name()).join(NEW), format!("the next image of {}", slot.name())).unwrap();
    }

    /// Each image with what is in it.
    fn images(&self) -> Vec<(String, String)> {
        let files = fs::read_dir(self.path(FOLDER)).unwrap().map(|file| file.unwrap());
        let image = |file: fs::DirEntry| {
            (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap())
        };
        let mut images: Vec<_> = files.map(image).collect();
        images.sort();
        images
    }

    fn names(&self) -> String {
        self.images().into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ")
    }

    /// The order of the slots, the last good one, and each with its state.
    fn says(&self) -> String {
        let State { order, good, slots, .. } = self.entries.state(Slot::A).unwrap();
        let order: String = order.into_iter().map(Slot::name).collect();
        let trial = |trial: &Trial| match trial {
            Trial { is_ok: false, tries, .. } => format!("bad{tries}"),
            Trial { is_tried: true, tries, .. } => format!("trying{tries}"),
            _ => "good".to_owned(),
        };
        format!("{order} {} {} {}", good.map_or("-", Slot::name), trial(&slots[0]), trial(&slots[1]))
    }
}

#[test]
fn names_of_images_say_what_systemd_boot_would_do() {
    for (names, expected) in [
        (&[][..], " - bad0 bad0"),
        (&["kiosk-1-A+3-0.efi"], "A - trying0 bad0"),
        (&["kiosk-1-A.efi", "kiosk-2-B+3-0.efi"], "BA A good trying0"),
        (&["kiosk-9-A.efi", "kiosk-10-B+1-2.efi"], "BA A good trying2"),
        (&["kiosk-1-A.efi", "kiosk-2-B+0-3.efi"], "AB A good bad3"),
        (&["kiosk-3-A.efi", "kiosk-2-B.efi"], "AB A good good"),
        // An entry of type 1 counts for nobody here, nor what is of no slot.
        (&["kiosk-1-A.efi", "kiosk-B.conf", "debian-6.1+3-0.efi", "memtest.efi"], "A A good bad0"),
    ] {
        assert_eq!(Esp::with(names).says(), expected, "{names:?}");
    }
}

#[test]
fn a_mark_of_entries_beside_images_changes_nothing() {
    let on = |esp: &Esp| Entries::on(esp.folder.path()).unwrap().are_images();
    let (empty, with) = (Esp::with(&[]), Esp::with(&["kiosk-1-A.efi", "memtest.efi"]));
    assert!(on(&empty) && on(&with));
    for esp in [&empty, &with] {
        fs::write(esp.path("loader/entries.srel"), "type1\n").unwrap();
    }
    assert!(!on(&empty) && on(&with), "entries are none yet, or images are there");
    fs::remove_file(with.path(SETTINGS)).unwrap();
    assert!(!on(&with), "nobody reads what is there");
}

#[test]
fn an_image_is_renamed_for_all_that_is_said_of_its_slot() {
    let esp = Esp::with(&["kiosk-1-A.efi", "kiosk-2-B+2-1.efi", "memtest.efi"]);
    let image = |name: &str| esp.images().into_iter().find(|(known, _)| known == name).map(|(_, text)| text);
    esp.entries.set_bad(Slot::B).unwrap();
    assert_eq!(esp.names(), "kiosk-1-A.efi kiosk-2-B+0-1.efi memtest.efi");
    for _ in 0..2 {
        assert!(esp.entries.set_good(Slot::B).unwrap());
        assert_eq!(esp.names(), "kiosk-1-A.efi kiosk-2-B.efi memtest.efi");
    }
    // By somebody who goes back, and has brought nothing.
    esp.entries.adopt_image(Slot::A, true).unwrap();
    assert_eq!(esp.names(), "kiosk-2-B.efi kiosk-3-A+3-0.efi memtest.efi");
    assert_eq!(esp.says(), "AB B trying0 good");
    assert_eq!(image("kiosk-2-B.efi").unwrap(), "the image of kiosk-2-B+2-1.efi");
    assert_eq!(image("kiosk-3-A+3-0.efi").unwrap(), "the image of kiosk-1-A.efi");
}

#[test]
fn an_image_that_has_come_takes_the_place_of_that_of_its_slot() {
    let esp = Esp::with(&["shop-7-A.efi", "shop-6-B+0-3.efi"]);
    esp.bring(Slot::B);
    assert_eq!(esp.says(), "AB A good bad3", "it is started once it is the next one");
    esp.entries.adopt_image(Slot::B, true).unwrap();
    let expected =
        [("shop-7-A.efi", "the image of shop-7-A.efi"), ("shop-8-B+3-0.efi", "the next image of B")];
    assert_eq!(esp.images(), expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    assert!(!esp.path("B").exists());
    assert_eq!(esp.says(), "BA A good trying0");
    esp.bring(Slot::B);
    esp.entries.adopt_image(Slot::B, false).unwrap();
    assert_eq!(esp.names(), "shop-7-A.efi shop-9-B.efi");
}

/// Where the plug was pulled between two steps, both names of an image are there, or what has come was left.
#[test]
fn a_change_that_was_cut_is_done_by_the_next_one() {
    let torn = Esp::with(&["kiosk-1-A.efi", "kiosk-2-B+0-2.efi", "kiosk-3-B+2-0.efi"]);
    assert_eq!(torn.says(), "BA A good trying0");
    torn.entries.set_good(Slot::B).unwrap();
    assert_eq!(torn.names(), "kiosk-1-A.efi kiosk-3-B.efi");
    torn.bring(Slot::B);
    fs::write(torn.path("B").join("half"), "").unwrap();
    torn.entries.adopt_image(Slot::B, true).unwrap();
    assert!(!torn.path("B").exists());
}

#[test]
fn a_slot_without_an_image_is_not_the_next_one() {
    let esp = Esp::with(&["kiosk-1-A.efi"]);
    let error = esp.entries.adopt_image(Slot::B, true).unwrap_err();
    assert!(error.starts_with("slot B has no image in EFI/Linux"), "{error}");
    assert_eq!(esp.names(), "kiosk-1-A.efi");
    esp.entries.forget(Slot::A).unwrap();
    assert_eq!(esp.says(), " - bad0 bad0");
}
