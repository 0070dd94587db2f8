//! The root of a microVM with its hashes behind it, as cryptsetup's own tool finds them; and a UKI that a key has signed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;

use exporter::assemble::{Input, Programs};
use exporter::container::Compression;
use exporter::container::Format;
use exporter::spec::{Spec, Volatile};
use exporter::tree::{Editor, Time};

use crate::images::{self, SIGNED, keys};
use crate::inputs::{self, input};
use crate::layouts::said;
use crate::microvm::{Made, STUB, is_whole, plain, refusal, scratch, spec, with_donor};

fn verified(root: &str) -> Spec {
    let layout = format!(r#"{{"partitions":[{{"type":"root","verity":true{root}}}]}}"#);
    let layout = serde_json::from_str(&layout).unwrap();
    Spec { layout, volatile: Volatile::Overlay, ..spec(Format::Microvm) }
}

/// What veritysetup finds wrong with the root of the folder, if something is.
fn wrong(made: &Made, hash: &str, offset: u64) -> Option<String> {
    let root = made.path("root.raw");
    let mut verify = Command::new("veritysetup");
    verify.arg(format!("--hash-offset={offset}")).arg("verify").args([&root, &root]).arg(hash);
    let output = verify.output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The root hash and the hash offset of its kernel's words.
fn told(words: &str) -> (String, u64) {
    let word = |name: &str| words.split(' ').find_map(|word| word.strip_prefix(name)).unwrap();
    let offset = word("systemd.verity_root_options=hash-offset=").parse().unwrap();
    (word("roothash=").to_owned(), offset)
}

fn judge(root: &str, checker: (&str, &[&str]), init: &str) {
    let made = Made::folder(&verified(root), scratch());
    let vm = made.vm();
    let (hash, offset) = told(&vm.cmdline);
    let file_system = root.split('"').nth(3).unwrap_or("ext4");
    let words = format!(
        "roothash={hash} systemd.verity_root_data=/dev/vda systemd.verity_root_hash=/dev/vda \
         systemd.verity_root_options=hash-offset={offset} rootfstype={file_system} ro {init} console=ttyS0 "
    );
    assert!(vm.cmdline.starts_with(&words), "{}", vm.cmdline);
    assert!(vm.drives[0].read_only);
    assert_eq!(made.json("firecracker.json")["drives"][0]["is_read_only"], true);
    assert!(made.json("firecracker.json")["boot-source"]["boot_args"].as_str().unwrap().contains(&hash));
    assert!(is_whole(checker.0, checker.1, &made.path("root.raw")));
    let initramfs = plain(&made.bytes("initramfs"));
    for name in ["vmimage-verity\0", "/dm-mod.ko", "/dm-verity.ko", "/overlay.ko"] {
        assert!(initramfs.contains(name), "{name}");
    }
    let by = format!("by the root hash {hash}");
    assert!(made.edits.iter().any(|edit| edit.ends_with(&by)), "{:?}", made.edits);
    assert!(made.edits.iter().any(|edit| edit.starts_with("integrity, not sealed: ")), "{:?}", made.edits);

    assert_eq!(wrong(&made, &hash, offset), None);
    let len = fs::metadata(made.path("root.raw")).unwrap().len();
    assert!(offset.is_multiple_of(4096) && offset < len && len.is_multiple_of(4096));
    let file = File::options().read(true).write(true).open(made.path("root.raw")).unwrap();
    for at in [0, offset - 1, offset, offset + 88, offset + 4096, len - 4096] {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[!byte[0]], at).unwrap();
        assert!(wrong(&made, &hash, offset).is_some(), "{at}");
        file.write_all_at(&byte, at).unwrap();
    }
    assert_eq!(wrong(&made, &hash, offset), None);
}

#[test]
fn the_hashes_of_an_ext4_lie_behind_it() {
    judge("", ("e2fsck", &["-fn"]), "init=/usr/lib/vmimage/early");
}

#[test]
fn the_hashes_of_an_erofs_lie_behind_it() {
    judge(r#","filesystem":"erofs""#, ("fsck.erofs", &[]), "init=/usr/lib/vmimage/early");
}

#[test]
fn a_packed_root_has_its_hashes_too() {
    let made = Made::of(&verified(""), scratch(), Compression::Zstd, 2);
    let (hash, offset) = told(&made.vm().cmdline);
    let raw = made.path("root.raw");
    said(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(made.path("root.qcow2")).arg(raw));
    assert_eq!(wrong(&made, &hash, offset), None);
}

#[test]
fn the_same_input_is_the_same_root_and_hash_whatever_runs() {
    let all = |threads| {
        let made = Made::of(&verified(""), scratch(), Compression::None, threads);
        (made.bytes("root.raw"), made.bytes("vm.json"))
    };
    assert!(all(1) == all(4));
}

#[test]
fn a_kernel_that_mounts_by_itself_has_an_initramfs_for_a_verified_root() {
    let mut donor = inputs::donor_without_kernel();
    crate::kernels::install(&mut donor, true, &[]);
    let made = Made::folder(&verified(""), Input { donor: Some(donor), ..input(inputs::scratch_image()) });
    assert!(plain(&made.bytes("initramfs")).contains("vmimage-verity\0"));
}

#[test]
fn what_cannot_be_checked_is_refused() {
    let said = refusal(&verified(""), with_donor(inputs::scratch_image(), &["dm-verity"]));
    assert!(said.contains("has no dm_verity"), "{said}");
    let whole = scratch();
    let programs = Programs { verity: None, ..whole.programs.clone() };
    let said = refusal(&verified(""), Input { programs, ..whole });
    assert!(said.starts_with("verity: is made into a device by vmimage's own program"), "{said}");
}

/// With the key as a secret, and the certificate in the build context.
fn with_keys(keys: &BTreeMap<String, Vec<u8>>) -> Input {
    let mut input = scratch();
    let donor = input.donor.as_mut().unwrap();
    let stub = images::of_systemd("linuxx64.efi.stub");
    Editor::new(donor, Time::default()).write_file(STUB, stub, 0o644).unwrap();
    let mut editor = Editor::new(&mut input.materials.context, Time::default());
    editor.write_file("keys/db.crt", &keys["db.crt"][..], 0o644).unwrap();
    input.materials.secrets.insert("secure-boot".into(), keys["db.key"].clone());
    input
}

#[test]
fn a_uki_is_signed_as_a_whole() {
    let keys = keys();
    let secure_boot = serde_json::from_str(&format!("{{{SIGNED}}}")).unwrap();
    let asked = Spec { secure_boot, ..spec(Format::Uki) };
    let made = Made::of(&asked, with_keys(&keys), Compression::None, 2);
    let (program, certificate) = (made.path(""), made.scratch.path().join("db.crt"));
    fs::write(&certificate, &keys["db.crt"]).unwrap();
    assert!(images::is_signed(&program, &certificate));
    assert!(made.edits.iter().any(|edit| edit.starts_with("sealed: ")), "{:?}", made.edits);
    assert!(made.edits.iter().any(|edit| edit.ends_with("signed by CN=Acme db")), "{:?}", made.edits);
    let bytes = made.bytes("");
    let root = bytes.windows(11).position(|window| window == b"root.erofs\0").unwrap() as u64;
    let file = File::options().read(true).write(true).open(&program).unwrap();
    for at in [0x100, root + 0x1000, bytes.len() as u64 - 0x1000] {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[!byte[0]], at).unwrap();
        assert!(!images::is_signed(&program, &certificate), "{at:#x}");
        file.write_all_at(&byte, at).unwrap();
    }
    // Who signs makes no other machine.
    let unsigned = Made::of(&spec(Format::Uki), with_keys(&keys), Compression::None, 2).bytes("");
    assert!(bytes[0x1000..unsigned.len()] == unsigned[0x1000..], "the key changes what is signed");
    let verified = Spec { formats: vec![Format::Uki], ..verified("") };
    assert!(refusal(&verified, scratch()).contains("a uki has its root within the program"));
}
