//! Roots in slots whose hashes lie behind them: cryptsetup's own tool finds them there, and so do they who are told by an update.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use exporter::assemble::Input;
use exporter::clone;
use exporter::container;
use exporter::fs::DiskBudget;
use exporter::seed::Seed;
use exporter::spec::{Loader, Spec};
use tempfile::TempDir;

use crate::images::{self, AUTHS, SIGNED, inspect, is_signed, keys, with_keys};
use crate::inputs::{MIB, input};
use crate::layouts::said;
use crate::updates::{self, Built};
use crate::verity::flip;

/// With more of what is said of the root, and other partitions.
fn spec(more: &str) -> Spec {
    let root = format!(r#"{{"type":"root","verity":true{more}}}"#);
    Spec { loader: Loader::SystemdBoot, ..updates::spec(&root) }
}

fn built(spec: &Spec) -> Built {
    Built::new(spec, input(images::verified()))
}

/// A file of the ESP, taken out.
fn on_esp(built: &Built, path: &str, to: &Path) -> PathBuf {
    let image = format!("{}@@{}", built.disk().display(), built.partition("esp").start);
    let file = to.join("on-esp");
    said(Command::new("mcopy").args(["-n", "-i", &image, &format!("::{path}")]).arg(&file));
    file
}

/// The slot with the root, as a file of its own.
fn slot(built: &Built, to: &Path) -> PathBuf {
    let placed = built.partition("kiosk_1.4.0");
    let mut bytes = vec![0; placed.size as usize];
    File::open(built.disk()).unwrap().read_exact_at(&mut bytes, placed.start).unwrap();
    let file = to.join("slot");
    fs::write(&file, bytes).unwrap();
    file
}

/// The image that an update has brought.
fn brought(built: &Built, to: &Path) -> PathBuf {
    said(Command::new("tar").args(["--zstd", "-xf"]).arg(built.file("boot.tar.zst")).arg("-C").arg(to));
    to.join("image.efi")
}

/// The root hash and the byte at which the hashes begin, which a command line says; and all of that.
fn told(image: &Path) -> (String, u64, String) {
    let words = inspect(image).unwrap()[".cmdline"]["text"].as_str().unwrap().to_owned();
    let value = |name: &str| words.split(' ').find_map(|word| word.strip_prefix(name)).unwrap().to_owned();
    let offset = value("systemd.verity_root_options=hash-offset=").parse().unwrap();
    (value("roothash="), offset, words)
}

fn is_right(slot: &Path, root_hash: &str, offset: u64) -> bool {
    let mut verify = Command::new("veritysetup");
    verify.arg("verify").arg(format!("--hash-offset={offset}")).args([slot, slot]).arg(root_hash);
    verify.output().unwrap().status.success()
}

const EROFS: &str = r#","filesystem":"erofs""#;

#[test]
fn hashes_lie_behind_the_root_in_its_slot() {
    for more in ["", EROFS, r#","size":"96M""#] {
        let (built, scratch) = (built(&spec(more)), TempDir::new().unwrap());
        let image = on_esp(&built, "/EFI/Linux/kiosk-1-A+3-0.efi", scratch.path());
        let (root_hash, offset, words) = told(&image);
        assert!(
            words.contains(" systemd.verity=no ro rauc.slot=of-root ") && !words.contains('$'),
            "{words}"
        );
        assert!(!words.contains("root=PARTUUID") && words.contains(" panic=10"), "{words}");
        let slot = slot(&built, scratch.path());
        let size = fs::metadata(&slot).unwrap().len();
        assert!(is_right(&slot, &root_hash, offset), "{more}");
        assert!(offset < size && size - offset < MIB + size / 100, "{offset} of {size}");
        let file_system = scratch.path().join("file-system");
        let data = fs::read(&slot).unwrap();
        fs::write(&file_system, &data[..offset as usize]).unwrap();
        let check = if more == EROFS { &["fsck.erofs"][..] } else { &["e2fsck", "-fn"] };
        said(Command::new(check[0]).args(&check[1..]).arg(&file_system));
        for at in [0, 1080, offset - 1, offset + 88, offset + 4096, offset + 2 * 4096] {
            flip(&slot, at);
            assert!(!is_right(&slot, &root_hash, offset), "{more} {at}");
            flip(&slot, at);
        }
        let other = root_hash.replace(&root_hash[..1], if root_hash.starts_with('0') { "1" } else { "0" });
        assert!(is_right(&slot, &root_hash, offset) && !is_right(&slot, &other, offset));
    }
}

/// Whatever brings the root brings its hashes; the image that knows them comes beside it, and is that of the disk.
#[test]
fn an_update_has_the_hashes_and_the_image() {
    let keys = keys();
    let secure_boot = serde_json::from_str(&format!("{{{SIGNED}}}")).unwrap();
    let spec = Spec { secure_boot, ..spec("") };
    let built = Built::new(&spec, Input { root: images::verified(), ..with_keys(&keys, &AUTHS) });
    let scratch = TempDir::new().unwrap();
    assert!(built.has_the_slot(), "data and hashes are one root");
    let list = said(Command::new("tar").args(["--zstd", "-tf"]).arg(built.file("boot.tar.zst")));
    assert_eq!(list, "image.efi\n");
    let image = brought(&built, scratch.path());
    let on_esp = on_esp(&built, "/EFI/Linux/kiosk-1-A+3-0.efi", scratch.path());
    assert!(fs::read(&image).unwrap() == fs::read(on_esp).unwrap());
    let certificate = scratch.path().join("db.crt");
    fs::write(&certificate, &keys["db.crt"]).unwrap();
    assert!(is_signed(&image, &certificate));
    // A slot is known by its hashes, so that none is named.
    let root = built.partition("kiosk_1.4.0").id.to_string();
    let (root_hash, offset, words) = told(&image);
    assert!(!words.contains(&root) && !words.contains(&built.partition("_empty").id.to_string()), "{words}");
    assert!(is_right(&slot(&built, scratch.path()), &root_hash, offset));
    assert!(built.edits.iter().any(|edit| edit.starts_with("sealed: ")), "{:?}", built.edits);
    let release = inspect(&image).unwrap()[".osrel"]["text"].as_str().unwrap().to_owned();
    assert!(
        release.contains("\nIMAGE_ID=kiosk\nIMAGE_VERSION=1\nPRETTY_NAME=\"Debian GNU/Linux 12"),
        "{release}"
    );
    // That of the rescue, which ukify shows, is the same with an id of its own behind it.
    assert!(
        release.contains(", kiosk 1.4.0\"\n") && release.matches("IMAGE_VERSION").count() == 1,
        "{release}"
    );
}

/// A machine and an update know of each other what starts the root.
#[test]
fn a_root_says_that_its_image_comes_beside_it() {
    let (built, scratch) = (built(&spec("")), TempDir::new().unwrap());
    let slot = slot(&built, scratch.path());
    let cat = |path: &str| said(Command::new("debugfs").arg("-R").arg(format!("cat {path}")).arg(&slot));
    assert_eq!(cat("/usr/lib/vmimage/entry.json"), r#"{"token":"kiosk","tries":3}"#);
    assert!(cat("/usr/lib/vmimage/update.json").ends_with(r#""loader":"systemd-boot","kernels":true}"#));
    assert!(built.edits.iter().any(|edit| edit.starts_with("integrity, not sealed: ")), "{:?}", built.edits);
}

#[test]
fn the_next_version_keeps_to_the_places_of_the_last() {
    let first = built(&spec(""));
    let placement = fs::read(first.file("root.placement")).unwrap();
    let mut input = input(images::verified());
    input.materials.placement = Some(placement);
    let next = Built::new(&spec(""), input);
    let note = next.edits.iter().find(|edit| edit.starts_with("placement: ")).unwrap();
    assert!(note.ends_with("files are where the earlier build had them"), "{note}");
    let [one, other] = [&first, &next].map(|built| fs::read(built.disk()).unwrap());
    assert!(one == other, "the same files in the same places are the same disk");
}

#[test]
fn a_copy_with_other_names_would_not_be_what_the_hashes_are_of() {
    let built = built(&spec(""));
    let (_, opened) = container::open(&built.disk()).unwrap();
    let refused = clone::plan(opened, &Seed::new(b"copy"), &DiskBudget::new(1 << 30)).unwrap_err();
    assert!(refused.to_string().contains("has its own hashes (dm-verity) behind it"), "{refused}");
}
