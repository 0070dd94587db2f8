//! Updates of machines that are files: what is installed, what is refused, and what a cut leaves.

use std::io::{self, Read};
use std::ops::Range;

use super::super::archive::testing as tar;
use super::super::index::BLOCK;
use super::super::rollback::rollback;
use super::super::source::open_source;
use super::super::source::stream::Stream;
use super::super::testing::{Files, Folder, SLOT, Signer, machine, root};
use super::*;

fn install(files: &Files, from: &str, is_forced: bool) -> Result<String, String> {
    let machine = files.simulated();
    let config = machine.config()?;
    let mut source = open_source(from, &config)?;
    match apply(&machine, &config, &mut *source, is_forced)? {
        Applied::Done(said) | Applied::Before(said) => Ok(said),
        Applied::Unwanted(why) => Err(why),
    }
}

fn update(files: &Files, folder: &Folder) -> Result<String, String> {
    install(files, folder.path().to_str().unwrap(), false)
}

#[track_caller]
fn assert_installed(files: &Files, root: &[u8]) {
    let state = files.state();
    assert_eq!((&*state.slots[1].label, state.slots[1].ok), ("kiosk_1.5.0", true));
    assert_eq!((state.booted, state.order[0], &*state.slots[0].label), (Slot::A, Slot::B, "kiosk_1.4.0"));
    assert!(files.slot(Slot::B)[..root.len()] == *root);
}

/// Of what was refused before anything was written nothing is seen.
#[track_caller]
fn assert_untouched(files: &Files, update: impl Fn(&Files) -> Result<String, String>, said: &str) {
    let before = (files.state(), files.slot(Slot::A), files.slot(Slot::B));
    let error = update(files).unwrap_err();
    assert!(error.contains(said), "{error}");
    assert!(before == (files.state(), files.slot(Slot::A), files.slot(Slot::B)), "{error}");
}

#[test]
fn what_the_machine_has_is_not_fetched() {
    let (files, folder) = (machine("1.4.0", &root(1)), Folder::new("1.5.0", &root(2)));
    let said = update(&files, &folder).unwrap();
    assert_installed(&files, &root(2));
    assert!(files.slot(Slot::A)[..root(1).len()] == root(1));
    // The block of this version, and the short one at its end; the zeroes are there.
    assert!(said.contains("2 were fetched, 4 copied from this machine, and 1 there already"), "{said}");
    // Said again, there is nothing to do.
    assert!(update(&files, &folder).unwrap().contains("is installed"));
    assert!(install(&files, folder.path().to_str().unwrap(), true).unwrap().contains("7 there already"));
}

#[test]
fn an_archive_is_as_good_as_a_folder() {
    let folder = Folder::new("1.5.0", &root(2));
    let files = machine("1.4.0", &root(1));
    let archive = files.simulated().0.join("update.tar");
    std::fs::write(&archive, folder.archive()).unwrap();
    assert!(install(&files, archive.to_str().unwrap(), false).unwrap().contains("2 were fetched"));
    assert_installed(&files, &root(2));
}

/// `-`
#[test]
fn an_archive_is_read_once_from_its_front() {
    let menu = tar::archive(&[tar::member("boot/grub/grub.cfg", b"menu")]);
    let signer = Signer::new();
    let archive = Folder::new("1.5.0", &root(2)).with_kernels(&menu).signed(&signer).archive();
    for (has_keys, len) in
        [(true, archive.len()), (false, archive.len()), (true, archive.len() - 2000), (true, 100)]
    {
        let files = machine("1.4.0", &root(1));
        files.set_config("kernels", true.into());
        if has_keys {
            files.set_config("public-keys", vec![signer.key()].into());
        }
        let machine = files.simulated();
        let mut stream = Stream::new(&archive[..len]);
        match apply(&machine, &machine.config().unwrap(), &mut stream, false) {
            Ok(_) => {
                assert_eq!(len, archive.len());
                assert_installed(&files, &root(2));
                assert_eq!(files.kernel("B/boot/grub/grub.cfg"), b"menu");
            }
            Err(error) => {
                assert!(error.contains("ends before"), "{error}");
                assert_eq!((files.state().slots[1].ok, files.state().order[0]), (false, Slot::A));
            }
        }
    }
}

/// A source whose bytes are gone at some place, as when the power is.
struct Cut<'a> {
    source: Box<dyn Source>,
    left: &'a mut u64,
}

struct CutReader<'a> {
    reader: Box<dyn Read + 'a>,
    left: &'a mut u64,
}

impl Source for Cut<'_> {
    fn small(&mut self, name: &str, max: u64) -> Result<Option<Vec<u8>>, String> {
        self.source.small(name, max)
    }

    fn open(&mut self, name: &str, range: Range<u64>) -> Result<Box<dyn Read + '_>, String> {
        let reader = self.source.open(name, range)?;
        Ok(Box::new(CutReader { reader, left: self.left }))
    }

    fn has_ranges(&self) -> bool {
        false
    }

    fn moved(&self) -> u64 {
        self.source.moved()
    }
}

impl Read for CutReader<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let len = to.len().min(usize::try_from(*self.left).unwrap());
        if len == 0 && !to.is_empty() {
            return Err(io::Error::other("cut"));
        }
        *self.left -= len as u64;
        self.reader.read(&mut to[..len])
    }
}

/// Whatever is there of it, the machine starts what it did, and the next attempt ends well.
#[test]
fn an_update_that_is_cut_goes_on_where_it_was() {
    let folder = Folder::new("1.5.0", &root(2));
    let len = folder.read("kiosk_1.5.0.root.zst").len() as u64;
    for cut in (0..len).step_by(97) {
        let files = machine("1.4.0", &[]);
        let simulated = files.simulated();
        let config = simulated.config().unwrap();
        let mut left = cut;
        let source = open_source(folder.path().to_str().unwrap(), &config).unwrap();
        let outcome = apply(&simulated, &config, &mut Cut { source, left: &mut left }, false);
        let state = files.state();
        match outcome {
            Err(error) => {
                assert!(error.contains("cut"), "{error}");
                assert_eq!(
                    (&*state.slots[1].label, state.slots[1].ok, state.order[0]),
                    (EMPTY, false, Slot::A)
                );
            }
            // What comes last was there already.
            Ok(_) => assert_installed(&files, &root(2)),
        }
        assert_eq!((state.slots[0].ok, state.good), (true, Some(Slot::A)));
        update(&files, &folder).unwrap();
        assert_installed(&files, &root(2));
    }
}

#[test]
fn blocks_that_were_written_are_not_fetched_again() {
    let (files, folder) = (machine("1.4.0", &[]), Folder::new("1.5.0", &root(2)));
    let mut half = root(2)[..3 * BLOCK].to_vec();
    half.resize(SLOT, 0xee);
    files.write_slot(Slot::B, &half);
    let said = update(&files, &folder).unwrap();
    assert!(said.contains("2 were fetched, 2 copied from this machine, and 3 there already"), "{said}");
    assert_installed(&files, &root(2));
}

/// All of it is there, and the boot loader was not told, or was and the name is missing.
#[test]
fn what_was_cut_at_the_very_end_is_not_taken_for_left() {
    let (files, folder) = (machine("1.4.0", &root(1)), Folder::new("1.5.0", &root(2)));
    update(&files, &folder).unwrap();
    files.change(|state| {
        NEW.clone_into(&mut state.slots[1].label);
        (state.slots[1].ok, state.order) = (false, vec![Slot::A, Slot::B]);
    });
    assert!(update(&files, &folder).unwrap().contains("0 were fetched"));
    assert_installed(&files, &root(2));
    files.set_config("version", "1.5.0".into());
    files.change(|state| {
        NEW.clone_into(&mut state.slots[1].label);
        (state.booted, state.good) = (Slot::B, Some(Slot::B));
    });
    assert!(update(&files, &folder).unwrap_err().contains("is what this machine runs"));
    assert_eq!(files.state().slots[1].label, "kiosk_1.5.0");
}

#[test]
fn an_update_for_another_machine_is_refused() {
    let files = machine("1.4.0", &root(1));
    for (key, value, said) in [
        (
            "compatible",
            "acme kiosk-3",
            r#"for machines that are "acme kiosk-3", and this machine is "acme kiosk-2""#,
        ),
        ("architecture", "aarch64", r#"for the architecture "aarch64", and this machine is "x86_64""#),
        ("loader", "systemd-boot", r#"for machines started by "systemd-boot", and this machine is "grub""#),
    ] {
        let folder = Folder::new("1.5.0", &root(2)).with(key, value);
        assert_untouched(&files, |files| update(files, &folder), said);
        assert_untouched(&files, |files| install(files, folder.path().to_str().unwrap(), true), said);
    }
    files.set_config("id", "signage".into());
    let folder = Folder::new("1.5.0", &root(2));
    assert_untouched(
        &files,
        |files| update(files, &folder),
        r#"of the system "kiosk", and this machine is "signage""#,
    );
}

#[test]
fn what_is_not_newer_is_refused_unless_it_is_forced() {
    let files = machine("1.4.0", &root(1));
    for (version, said) in
        [("1.3.9", "is older than 1.4.0"), ("1.4.0", "is what this machine runs"), ("1.4.0~rc1", "older")]
    {
        let folder = Folder::new(version, &root(2));
        assert_untouched(&files, |files| update(files, &folder), said);
    }
    let folder = Folder::new("1.3.9", &root(2));
    install(&files, folder.path().to_str().unwrap(), true).unwrap();
    assert_eq!(files.state().slots[1].label, "kiosk_1.3.9");
}

#[test]
fn a_version_that_was_left_is_refused_unless_it_is_forced() {
    let (files, folder) = (machine("1.4.0", &root(1)), Folder::new("1.5.0", &root(2)));
    for (ok, tries) in [(true, 3), (false, 0)] {
        files.change(|state| {
            (state.slots[1].ok, state.slots[1].tries) = (ok, tries);
            "kiosk_1.5.0".clone_into(&mut state.slots[1].label);
        });
        assert_untouched(&files, |files| update(files, &folder), "was tried by this machine, and left again");
    }
    install(&files, folder.path().to_str().unwrap(), true).unwrap();
    assert_installed(&files, &root(2));
}

#[test]
fn only_what_is_signed_is_taken_by_who_has_keys() {
    let (signer, other) = (Signer::new(), Signer::new());
    let files = machine("1.4.0", &root(1));
    files.set_config("public-keys", vec![signer.key()].into());
    let unsigned = Folder::new("1.5.0", &root(2));
    assert_untouched(&files, |files| update(files, &unsigned), "SHA256SUMS.minisig: is not there");
    let wrong = Folder::new("1.5.0", &root(2)).signed(&other);
    assert_untouched(&files, |files| update(files, &wrong), "none of the keys");
    // Signed, and then changed.
    let changed = Folder::new("1.5.0", &root(2)).signed(&signer).with("compatible", "acme kiosk-2");
    changed.write("SHA256SUMS", &[&changed.read("SHA256SUMS")[..], b"\n"].concat());
    assert_untouched(&files, |files| update(files, &changed), "is not what was signed");
    let swapped = Folder::new("1.5.0", &root(2)).signed(&signer);
    swapped.write("manifest.json", &Folder::new("1.5.0", &root(3)).read("manifest.json"));
    assert_untouched(&files, |files| update(files, &swapped), "manifest.json: its digest is another one");
    update(&files, &Folder::new("1.5.0", &root(2)).signed(&signer)).unwrap();
    assert_installed(&files, &root(2));
}

#[test]
fn a_folder_that_is_incomplete_or_damaged_is_refused_before_anything_is_written() {
    let files = machine("1.4.0", &root(1));
    let damaged = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let folder = Folder::new("1.5.0", &root(2));
        let mut bytes = folder.read(name);
        change(&mut bytes);
        folder.write(name, &bytes);
        folder
    };
    let cut: &dyn Fn(&mut Vec<u8>) = &|bytes| bytes.truncate(bytes.len() - 1);
    let longer: &dyn Fn(&mut Vec<u8>) = &|bytes| bytes.push(b' ');
    let flipped: &dyn Fn(&mut Vec<u8>) = &|bytes| bytes[40] ^= 1;
    for (name, change, said) in [
        ("manifest.json", cut, "manifest.json: its digest"),
        ("manifest.json", longer, "manifest.json: its digest"),
        ("kiosk_1.5.0.root.index", cut, "it is cut short"),
        ("kiosk_1.5.0.root.index", longer, "more than 252 bytes"),
        ("kiosk_1.5.0.root.index", flipped, "root.index: its digest"),
        ("SHA256SUMS", &|bytes| bytes.clear(), "has no manifest.json"),
        ("SHA256SUMS", &|bytes| bytes.resize(70000, b'\n'), "more than 65536 bytes"),
        ("manifest.json", &|bytes| bytes.resize(70000, b' '), "more than 65536 bytes"),
    ] {
        let folder = damaged(name, change);
        assert_untouched(&files, |files| update(files, &folder), said);
    }
    let empty = tempfile::tempdir().unwrap();
    assert_untouched(
        &files,
        |files| install(files, empty.path().to_str().unwrap(), false),
        "so this is no update",
    );
}

#[test]
fn blocks_that_are_damaged_or_missing_are_never_started() {
    for (change, said) in [
        (
            &(|bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1) as &dyn Fn(&mut Vec<u8>),
            "block 6 is damaged",
        ),
        (&|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1), "it is cut short"),
        (&|bytes: &mut Vec<u8>| bytes.fill(0), "block 2 is damaged"),
    ] {
        let (files, folder) = (machine("1.4.0", &root(1)), Folder::new("1.5.0", &root(2)));
        let mut bytes = folder.read("kiosk_1.5.0.root.zst");
        change(&mut bytes);
        folder.write("kiosk_1.5.0.root.zst", &bytes);
        let error = update(&files, &folder).unwrap_err();
        assert!(error.contains(said), "{error}");
        let state = files.state();
        assert_eq!((&*state.slots[1].label, state.slots[1].ok, state.order[0]), (EMPTY, false, Slot::A));
        assert!(files.slot(Slot::A)[..root(1).len()] == root(1));
    }
}

/// A frame is what the index says, whatever its own checksum is.
#[test]
fn a_block_of_another_root_is_refused() {
    let (files, folder) = (machine("1.4.0", &[]), Folder::new("1.5.0", &root(2)));
    let other = Folder::new("1.5.0", &root(2).iter().map(|byte| byte ^ 0x55).collect::<Vec<_>>());
    let (mut bytes, theirs) = (folder.read("kiosk_1.5.0.root.zst"), other.read("kiosk_1.5.0.root.zst"));
    bytes[..theirs.len().min(100)].copy_from_slice(&theirs[..theirs.len().min(100)]);
    folder.write("kiosk_1.5.0.root.zst", &bytes);
    assert!(update(&files, &folder).unwrap_err().contains("block 0 is damaged: it was not written"));
    assert!(files.slot(Slot::B)[..BLOCK] == [0; BLOCK]);
}

#[test]
fn a_slot_that_is_too_small_is_left_alone() {
    let files = machine("1.4.0", &root(1));
    let folder = Folder::new("1.5.0", &vec![7; SLOT + 1]);
    assert_untouched(
        &files,
        |files| update(files, &folder),
        "the root has 1048577 bytes, and slot B only 1048576",
    );
    update(&files, &Folder::new("1.5.0", &vec![7; SLOT])).unwrap();
    assert_installed(&files, &vec![7; SLOT]);
}

#[test]
fn the_slot_to_go_back_to_is_left_alone() {
    let (files, folder) = (machine("1.4.0", &root(1)), Folder::new("1.5.0", &root(2)));
    files.write_slot(Slot::B, &[9; SLOT]);
    files.change(|state| {
        state.slots[0].tries = 1;
        (state.slots[1].ok, state.good) = (true, Some(Slot::B));
        "kiosk_1.3.0".clone_into(&mut state.slots[1].label);
    });
    assert_untouched(
        &files,
        |files| update(files, &folder),
        "slot A is on trial, and slot B is the one to go back to",
    );
    assert_untouched(
        &files,
        |files| install(files, folder.path().to_str().unwrap(), true),
        "slot A is on trial",
    );
    // There is nothing to go back to.
    files.change(|state| (state.slots[1].ok, state.good) = (false, Some(Slot::A)));
    update(&files, &folder).unwrap();
    assert_installed(&files, &root(2));
}

/// RAUC gives the slot that it has written no other label.
#[test]
fn what_rauc_has_written_is_a_slot_to_go_back_to() {
    let (files, folder) = (machine("1.4.0", &root(1)), Folder::new("1.5.0", &root(2)));
    files.write_slot(Slot::B, &[9; SLOT]);
    files.change(|state| {
        state.slots[0].tries = 1;
        (state.slots[1].ok, state.good) = (true, Some(Slot::B));
    });
    assert_untouched(
        &files,
        |files| install(files, folder.path().to_str().unwrap(), true),
        "slot B is the one to go back to",
    );
    assert!(rollback(&files.simulated()).unwrap().contains("slot B with _empty is the next one"));
}

/// The name is what a version that was left is known by.
#[test]
fn who_goes_back_from_a_slot_whose_name_was_cut_off_does_not_get_the_same_again() {
    let (files, folder) = (machine("1.4.0", &root(1)), Folder::new("1.5.0", &root(2)));
    update(&files, &folder).unwrap();
    files.set_config("version", "1.5.0".into());
    files.change(|state| {
        NEW.clone_into(&mut state.slots[1].label);
        (state.booted, state.good) = (Slot::B, Some(Slot::B));
    });
    rollback(&files.simulated()).unwrap();
    files.change(|state| state.booted = Slot::A);
    assert_untouched(&files, |files| update(files, &folder), "left again");
}

#[test]
fn kernels_lie_beside_the_slot_if_those_of_the_machine_do() {
    let archive =
        tar::archive(&[tar::member("boot/vmlinuz", &[5; 700]), tar::member("boot/grub/grub.cfg", b"menu")]);
    let folder = Folder::new("1.5.0", &root(2)).with_kernels(&archive);
    let files = machine("1.4.0", &root(1));
    assert_untouched(&files, |files| update(files, &folder), "has kernels to lie beside the slots");
    files.set_config("kernels", true.into());
    assert_untouched(&files, |files| update(files, &Folder::new("1.5.0", &root(2))), "has no kernels");
    update(&files, &folder).unwrap();
    assert_installed(&files, &root(2));
    assert_eq!(
        (files.kernel("B/boot/vmlinuz").len(), files.kernel("B/boot/grub/grub.cfg")),
        (700, b"menu".to_vec())
    );
    // What was there before is gone.
    let archive = tar::archive(&[tar::member("boot/other", b"kernel")]);
    files.change(|state| "kiosk_1.4.9".clone_into(&mut state.slots[1].label));
    update(&files, &Folder::new("1.5.0", &root(2)).with_kernels(&archive)).unwrap();
    assert_eq!(files.kernel("B/boot/other"), b"kernel");
    assert!(!files.simulated().0.join("kernels/B/boot/vmlinuz").exists());
}

#[test]
fn kernels_of_another_place_are_refused() {
    let link = tar::of_type(::tar::EntryType::Symlink, "boot/a", b"");
    for (members, said) in [
        (vec![tar::member("../A/boot/vmlinuz", b"x")], "is no place in it"),
        (vec![tar::member("/etc/shadow", b"x")], "is no place in it"),
        (vec![tar::member("boot/a:b", b"x")], "is no place in it"),
        (vec![tar::member("", b"x")], "is no place in it"),
        (vec![link], "\"boot/a\" is no file"),
        (vec![tar::member("a", b"x"), tar::member("a", b"y")], "exists"),
        (vec![tar::member("a", b"x"); 1], "ends before the archive does"),
    ] {
        let files = machine("1.4.0", &root(1));
        files.set_config("kernels", true.into());
        let archive = if said.starts_with("ends") { members.concat() } else { tar::archive(&members) };
        let error = update(&files, &Folder::new("1.5.0", &root(2)).with_kernels(&archive)).unwrap_err();
        assert!(error.contains(said), "{error}");
        assert_eq!(files.state().slots[1].label, EMPTY);
        assert!(!files.simulated().0.join("kernels/A").exists());
    }
}

#[test]
fn kernels_that_are_damaged_are_refused() {
    let archive = tar::archive(&[tar::member("boot/vmlinuz", &[5; 700])]);
    let folder = Folder::new("1.5.0", &root(2)).with_kernels(&archive);
    let packed = folder.read("kiosk_1.5.0.boot.tar.zst");
    for at in 0..packed.len() {
        let files = machine("1.4.0", &root(1));
        files.set_config("kernels", true.into());
        let mut damaged = packed.clone();
        damaged[at] ^= 1;
        folder.write("kiosk_1.5.0.boot.tar.zst", &damaged);
        let error = update(&files, &folder).unwrap_err();
        assert!(error.contains("kiosk_1.5.0.boot.tar.zst: "), "{error}");
        assert!(!files.state().slots[1].ok);
    }
}

#[test]
fn who_goes_back_does_not_get_the_same_again() {
    let (files, folder) = (machine("1.4.0", &root(1)), Folder::new("1.5.0", &root(2)));
    assert!(rollback(&files.simulated()).unwrap_err().contains("slot B has no root to go back to"));
    update(&files, &folder).unwrap();
    assert_eq!(rollback(&files.simulated()).unwrap(), "kiosk_1.5.0 in slot B is not started: slot A stays");
    let slots = files.state().slots;
    assert_eq!((slots[0].ok, slots[1].ok), (true, false));
    install(&files, folder.path().to_str().unwrap(), true).unwrap();
    // It was started, and was good.
    files.change(|state| (state.booted, state.good) = (Slot::B, Some(Slot::B)));
    // Also if it is said twice.
    for _ in 0..2 {
        let said = rollback(&files.simulated()).unwrap();
        assert!(said.starts_with("slot A with kiosk_1.4.0 is the next one, and slot B is bad"), "{said}");
        assert_eq!(files.state().slots.map(|slot| slot.ok), [true, false]);
    }
    files.change(|state| (state.booted, state.good) = (Slot::A, Some(Slot::A)));
    assert_eq!(files.state().order, [Slot::A, Slot::B]);
    assert_untouched(&files, |files| update(files, &folder), "left again");
    assert!(rollback(&files.simulated()).unwrap_err().contains("slot B was left"));
}

/// As one that is mounted: nobody has called it bad by then.
#[test]
fn a_slot_that_cannot_be_written_stays_as_good_as_it_was() {
    let (files, folder) = (machine("1.4.0", &root(1)), Folder::new("1.5.0", &root(2)));
    let path = files.simulated().path(Slot::B);
    files.change(|state| {
        state.slots[1].ok = true;
        "kiosk_1.3.0".clone_into(&mut state.slots[1].label);
    });
    let before = files.state();
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(update(&files, &folder).unwrap_err().contains("slot-b: "));
    assert!(files.state() == before);
}

#[test]
fn two_at_once_are_one() {
    let (files, folder) = (machine("1.4.0", &root(1)), Folder::new("1.5.0", &root(2)));
    let lock = files.simulated().lock().unwrap();
    assert_untouched(&files, |files| update(files, &folder), "another vmimage-update is at work");
    drop(lock);
    update(&files, &folder).unwrap();
}
