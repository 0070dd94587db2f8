//! An ESP in a folder: what its entries say, what becomes of them, and every state that a cut may leave.

use std::collections::BTreeMap;

use tempfile::TempDir;

use super::*;

const RECIPE: &str = r#"{"token":"kiosk","title":"Debian","linux":"/boot/vmlinuz","initrd":"/boot/initrd.img-6.1","tries":2,
    "options":"root=$slot_root ro rauc.slot=$slot quiet note=$slot","later":true}"#;

struct Esp {
    folder: TempDir,
    entries: Entries,
}

impl Esp {
    /// With entries of these names and versions.
    fn with(entries: &[(&str, u64)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(FOLDER)).unwrap();
        assert!(Entries::on(folder.path()).is_none());
        fs::write(folder.path().join(MARK), "type1\n").unwrap();
        let esp = Self { entries: Entries::on(folder.path()).unwrap(), folder };
        entries.iter().for_each(|(name, version)| esp.add(name, *version));
        esp
    }

    fn add(&self, name: &str, version: u64) {
        let slot = EntryName::parse(name).map_or("A", |name| name.slot.name());
        let text = format!("version    {version}\noptions    ro rauc.slot={slot}\n");
        fs::write(self.entries.folder().join(name), text).unwrap();
    }

    fn names(&self) -> String {
        let mut names: Vec<_> =
            fs::read_dir(self.entries.folder()).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names.iter().map(|name| name.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.folder.path().join(path)).unwrap()
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

/// The partition of a slot.
fn partition(id: &str) -> Partition {
    Partition { path: "/dev/vda4".into(), number: 4, label: "kiosk_1.5.0".into(), id: id.into() }
}

/// A root, whose kernel is behind links that lead from its own `/` on.
fn root(kernel: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in ["boot", "usr/lib/vmimage", "usr/lib/modules"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    std::os::unix::fs::symlink("/usr/lib/modules/vmlinuz", root.path().join("boot/vmlinuz")).unwrap();
    for (path, text) in [
        ("usr/lib/modules/vmlinuz", kernel),
        ("boot/initrd.img-6.1", "initramfs"),
        ("usr/lib/vmimage/entry.json", RECIPE),
    ] {
        fs::write(root.path().join(path), text).unwrap();
    }
    root
}

#[test]
fn entries_say_what_systemd_boot_would_do() {
    for (entries, expected) in [
        (&[][..], " - bad0 bad0"),
        (&[("kiosk-A+3-0.conf", 1)], "A - trying0 bad0"),
        (&[("kiosk-A.conf", 1)], "A A good bad0"),
        (&[("kiosk-A.conf", 1), ("kiosk-B+3-0.conf", 2)], "BA A good trying0"),
        (&[("kiosk-A.conf", 1), ("kiosk-B+1-2.conf", 2)], "BA A good trying2"),
        (&[("kiosk-A.conf", 1), ("kiosk-B+0-3.conf", 2)], "AB A good bad3"),
        (&[("kiosk-A.conf", 1), ("kiosk-B.conf", 2)], "BA B good good"),
        (&[("kiosk-A+3-0.conf", 10), ("kiosk-B.conf", 9)], "AB B trying0 good"),
        (&[("kiosk-A+0-3.conf", 1), ("kiosk-B+0.conf", 2)], "BA - bad3 bad0"),
        // Not of a slot, and not of this machine.
        (&[("kiosk-A.conf", 1), ("other-6.1+3-0.conf", 7), ("memtest.conf", 9)], "A A good bad0"),
    ] {
        assert_eq!(Esp::with(entries).says(), expected, "{entries:?}");
    }
    let esp = Esp::with(&[("kiosk-A.conf", 1)]);
    assert_eq!(esp.entries.state(Slot::A).unwrap().lost, None);
    assert!(esp.entries.state(Slot::B).unwrap().lost.is_some());
    // As somebody has edited it by hand.
    let text = "options ro quiet\n  options\trauc.slot=B\n version 2\n";
    fs::write(esp.entries.folder().join("kiosk-B.conf"), text).unwrap();
    assert_eq!(esp.says(), "BA B good good");
}

#[test]
fn a_good_boot_takes_the_counters_off_and_a_bad_slot_has_no_try_left() {
    let esp = Esp::with(&[("kiosk-A.conf", 1), ("kiosk-B+2-1.conf", 2), ("other-A.tmp", 3)]);
    esp.entries.set_bad(Slot::B).unwrap();
    assert_eq!(esp.names(), "kiosk-A.conf kiosk-B+0-1.conf other-A.tmp");
    for _ in 0..2 {
        assert!(esp.entries.set_good(Slot::B).unwrap());
        assert_eq!(esp.names(), "kiosk-A.conf kiosk-B.conf other-A.tmp");
    }
    esp.entries.set_bad(Slot::B).unwrap();
    assert_eq!(esp.names(), "kiosk-A.conf kiosk-B+0.conf other-A.tmp");
    let lost = Esp::with(&[]);
    assert!(!lost.entries.set_good(Slot::A).unwrap());
    lost.entries.set_bad(Slot::A).unwrap();
}

/// A folder in the place of the file that is written first.
#[test]
fn a_good_boot_is_said_even_where_no_file_can_be_written() {
    let esp = Esp::with(&[("kiosk-A.conf", 1), ("kiosk-B+2-1.conf", 2)]);
    fs::create_dir(esp.entries.folder().join("kiosk-B.tmp")).unwrap();
    assert!(esp.entries.set_good(Slot::B).unwrap());
    assert_eq!((&*esp.names(), &*esp.says()), ("kiosk-A.conf kiosk-B.conf kiosk-B.tmp", "BA B good good"));
    let error = esp.entries.adopt(Slot::B, root("kernel").path(), &partition("id"), true).unwrap_err();
    assert!(error.contains("kiosk-B+2-0.conf: "), "{error}");
}

#[test]
fn the_next_slot_gets_an_entry_of_what_its_root_says() {
    let (esp, root) = (Esp::with(&[("shop-A.conf", 1)]), root("kernel"));
    let next = |slot| esp.entries.adopt(slot, root.path(), &partition("1234-id"), true).unwrap();
    next(Slot::B);
    assert_eq!((&*esp.names(), &*esp.says()), ("shop-A.conf shop-B+2-0.conf", "BA A good trying0"));
    // As the names of the disk are, and not those of the root.
    let expected = "# Written by vmimage-boot.\n\
                    # Root: kiosk_1.5.0\n\
                    title      Debian, slot B\n\
                    version    2\n\
                    sort-key   shop\n\
                    options    root=PARTUUID=1234-id ro rauc.slot=B quiet note=$slot\n\
                    linux      /shop/B/linux\n\
                    initrd     /shop/B/initrd.img-6.1\n";
    assert_eq!(esp.text("loader/entries/shop-B+2-0.conf"), expected);
    assert_eq!(
        (esp.text("shop/B/linux"), esp.text("shop/B/initrd.img-6.1")),
        ("kernel".into(), "initramfs".into())
    );
    next(Slot::A);
    assert_eq!((&*esp.names(), &*esp.says()), ("shop-A+2-0.conf shop-B+2-0.conf", "AB - trying0 trying0"));
    next(Slot::B);
    assert!(esp.text("loader/entries/shop-B+2-0.conf").contains("\nversion    4\n"));
}

#[test]
fn another_root_in_a_slot_brings_its_own_kernel_and_nothing_is_left_of_the_first() {
    let esp = Esp::with(&[("kiosk-A.conf", 1)]);
    let first = root("kernel");
    esp.entries.adopt(Slot::B, first.path(), &partition("id"), true).unwrap();
    fs::write(esp.folder.path().join("kiosk/B/initrd.img-5.10"), "of an earlier one").unwrap();
    esp.entries.adopt(Slot::B, first.path(), &partition("id"), true).unwrap();
    assert!(esp.folder.path().join("kiosk/B/initrd.img-5.10").exists(), "nothing is copied that is there");
    esp.entries.adopt(Slot::B, root("KERNEL").path(), &partition("id"), true).unwrap();
    assert_eq!(esp.text("kiosk/B/linux"), "KERNEL");
    assert!(!esp.folder.path().join("kiosk/B/initrd.img-5.10").exists());
    assert_eq!(esp.names(), "kiosk-A.conf kiosk-B+2-0.conf");
}

/// As Debian 13 calls its own.
#[test]
fn an_initramfs_may_have_a_plus_in_its_name_and_no_place_but_its_folder() {
    let (esp, root) = (Esp::with(&[("kiosk-A.conf", 1)]), root("kernel"));
    let recipe = |initrd: &str| {
        let text = RECIPE.replace("/boot/initrd.img-6.1", initrd);
        fs::write(root.path().join("usr/lib/vmimage/entry.json"), text).unwrap();
        esp.entries.adopt(Slot::B, root.path(), &partition("id"), true)
    };
    fs::write(root.path().join("boot/initrd.img-6.12.38+deb13-amd64"), "of Debian 13").unwrap();
    recipe("/boot/initrd.img-6.12.38+deb13-amd64").unwrap();
    assert_eq!(esp.text("kiosk/B/initrd.img-6.12.38+deb13-amd64"), "of Debian 13");
    let entry = esp.text("loader/entries/kiosk-B+2-0.conf");
    assert!(entry.ends_with("\ninitrd     /kiosk/B/initrd.img-6.12.38+deb13-amd64\n"), "{entry}");
    for initrd in ["/boot/..", "/boot/", "/boot/two words"] {
        assert!(recipe(initrd).unwrap_err().ends_with("entry.json: is damaged"), "{initrd}");
    }
}

/// No entry names files that are not all there, and the other slot keeps its own.
#[test]
fn a_copy_that_fails_leaves_the_slot_without_an_entry() {
    let esp = Esp::with(&[("kiosk-A.conf", 1), ("kiosk-B.conf", 2)]);
    let root = root("kernel");
    // In the place of a folder, as on an ESP that is damaged.
    fs::write(esp.folder.path().join("kiosk"), "").unwrap();
    assert!(esp.entries.adopt(Slot::B, root.path(), &partition("id"), true).is_err());
    assert_eq!((&*esp.names(), &*esp.says()), ("kiosk-A.conf", "A A good bad0"));
    fs::remove_file(esp.folder.path().join("kiosk")).unwrap();
    fs::remove_file(root.path().join("boot/initrd.img-6.1")).unwrap();
    let error = esp.entries.adopt(Slot::B, root.path(), &partition("id"), true).unwrap_err();
    assert!(error.contains("/boot/initrd.img-6.1: No such file"), "{error}");
    assert!(error.ends_with("; slot B has no entry now: mend that, and say vmimage-boot next B"), "{error}");
    // The kernel was copied already, and would be in the way of the other slot's.
    assert!(!esp.folder.path().join("kiosk/B").exists());
    fs::remove_file(root.path().join("usr/lib/vmimage/entry.json")).unwrap();
    let error = esp.entries.adopt(Slot::B, root.path(), &partition("id"), true).unwrap_err();
    assert!(error.contains("was not built for systemd-boot"), "{error}");
}

#[test]
fn the_only_entry_stays_where_its_kernel_would_have_to_be_copied() {
    let (esp, root) = (Esp::with(&[("kiosk-A.conf", 1)]), root("kernel"));
    let error = esp.entries.adopt(Slot::A, root.path(), &partition("id"), true).unwrap_err();
    assert!(error.contains("has no entry but that of slot A, and its kernel is another one"), "{error}");
    assert_eq!((&*esp.names(), &*esp.says()), ("kiosk-A.conf", "A A good bad0"));
    // With its files there is nothing to copy.
    esp.entries.adopt(Slot::B, root.path(), &partition("id"), true).unwrap();
    fs::rename(esp.folder.path().join("kiosk/B"), esp.folder.path().join("kiosk/A")).unwrap();
    fs::remove_file(esp.entries.folder().join("kiosk-B+2-0.conf")).unwrap();
    esp.entries.adopt(Slot::A, root.path(), &partition("id"), true).unwrap();
    assert_eq!(esp.says(), "A - trying0 bad0");
}

/// Where the plug was pulled between two steps, there are both entries of a slot, or a file without its name, or one
/// without a content.
#[test]
fn a_change_that_was_cut_is_as_if_it_were_done_or_not_begun_and_the_next_one_tidies_up() {
    let torn = Esp::with(&[("kiosk-A.conf", 1), ("kiosk-B+0-2.conf", 2), ("kiosk-B+2-0.conf", 3)]);
    assert_eq!(torn.says(), "BA A good trying0");
    torn.entries.set_good(Slot::B).unwrap();
    assert_eq!(torn.names(), "kiosk-A.conf kiosk-B.conf");

    let unnamed = Esp::with(&[("kiosk-A.conf", 1), ("kiosk-B.tmp", 2)]);
    fs::write(unnamed.entries.folder().join("kiosk-B+2-0.conf"), "").unwrap();
    fs::write(unnamed.entries.folder().join("kiosk-B+2-1.conf"), [0; 512]).unwrap();
    assert_eq!(unnamed.says(), "A A good bad0");
    unnamed.entries.adopt(Slot::B, root("kernel").path(), &partition("id"), true).unwrap();
    assert_eq!(unnamed.says(), "BA A good trying0");
    assert!(!unnamed.names().contains(".tmp"));

    let half = Esp::with(&[("kiosk-A.conf", 1)]);
    fs::create_dir_all(half.folder.path().join("kiosk/B")).unwrap();
    fs::write(half.folder.path().join("kiosk/B/linux"), "ker").unwrap();
    half.entries.adopt(Slot::B, root("kernel").path(), &partition("id"), true).unwrap();
    assert_eq!(half.text("kiosk/B/linux"), "kernel");
}

/// An entry that somebody took away, of a machine that is up and good.
#[test]
fn a_good_boot_without_an_entry_gets_one_without_counters() {
    let esp = Esp::with(&[]);
    esp.entries.adopt(Slot::A, root("kernel").path(), &partition("id"), false).unwrap();
    assert_eq!((&*esp.names(), &*esp.says()), ("kiosk-A.conf", "A A good bad0"));
}

#[test]
fn a_restart_leads_elsewhere_as_long_as_a_boot_is_on_trial() {
    let answers: BTreeMap<_, _> = ["", "+3-0", "+2-1", "+0-3", "+0-4", "+0"]
        .into_iter()
        .map(|counter| {
            let esp = Esp::with(&[(&format!("kiosk-A{counter}.conf"), 1)]);
            (counter, esp.entries.is_last(Slot::A).unwrap())
        })
        .collect();
    let last: Vec<_> = answers.iter().filter(|(_, is_last)| **is_last).map(|(counter, _)| *counter).collect();
    assert_eq!(last, ["", "+0-4"]);
    assert!(Esp::with(&[]).entries.is_last(Slot::A).unwrap());
}

/// As systemd-sysupdate does it: the label is `_empty` while it writes, and then another one.
#[test]
fn a_root_that_another_program_has_written_is_new_until_it_has_an_entry() {
    let (esp, root) = (Esp::with(&[("kiosk-A.conf", 1)]), root("kernel"));
    let is_new = |label| esp.entries.is_new(Slot::B, label).unwrap();
    assert!(is_new("kiosk_1.5.0"), "it has no entry");
    esp.entries.adopt(Slot::B, root.path(), &partition("id"), true).unwrap();
    assert!(!is_new("kiosk_1.5.0") && is_new("kiosk_1.6.0"));
    // One that was tried and left stays left.
    esp.entries.set_bad(Slot::B).unwrap();
    assert!(!is_new("kiosk_1.5.0") && is_new("kiosk_1.6.0"));
    esp.entries.forget(Slot::B).unwrap();
    assert_eq!(esp.names(), "kiosk-A.conf");
    // An entry of an earlier vmimage.
    assert!(!esp.entries.is_new(Slot::A, "kiosk_1.6.0").unwrap());
}

#[test]
fn a_label_is_no_line_of_an_entry() {
    let esp = Esp::with(&[("kiosk-A.conf", 1)]);
    let label = "kiosk_2\noptions init=/bin/sh\r ";
    let partition = Partition { label: label.into(), ..partition("id") };
    esp.entries.adopt(Slot::B, root("kernel").path(), &partition, true).unwrap();
    let entry = esp.text("loader/entries/kiosk-B+2-0.conf");
    assert!(entry.contains("\n# Root: kiosk_2?options init=/bin/sh?\n"), "{entry}");
    assert!(!esp.entries.is_new(Slot::B, label).unwrap());
}
