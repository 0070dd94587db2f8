//! Who has signed the root hash of a disk, on a partition of its own: OpenSSL takes it for the signature of that text and of no
//! other.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use exporter::disk::kinds;
use exporter::spec::Spec;
use exporter::tree::{Editor, Time};
use serde_json::Value;
use tempfile::TempDir;

use crate::images::{AUTHS, FOLDER, SIGNED, keys, of_systemd, with_keys};
use crate::layouts::{Disk, said};
use crate::verity;

/// A disk with the signature that is on it, and the certificates of who may have made it and who has not.
struct Signed {
    disk: Disk,
    scratch: TempDir,
    /// What the JSON of the partition says.
    told: Value,
}

impl Signed {
    fn new(keys: &BTreeMap<String, Vec<u8>>) -> Self {
        let secure_boot = serde_json::from_str(&format!("{{{SIGNED}}}")).unwrap();
        let spec = Spec { uki: None, secure_boot, ..verity::of_systemd_boot() };
        let mut input = with_keys(keys, &AUTHS);
        input.root = verity::tree();
        let mut editor = Editor::new(&mut input.root, Time::default());
        for name in ["systemd-bootx64.efi", "linuxx64.efi.stub"] {
            editor.write_file(format!("{FOLDER}/{name}"), of_systemd(name), 0o644).unwrap();
        }
        let disk = Disk::with(&spec, input);
        let partition = fs::read(disk.volume(disk.partition("system-verity-sig"))).unwrap();
        let end = partition.iter().position(|byte| *byte == 0).unwrap();
        assert!(partition[end..].iter().all(|byte| *byte == 0) && partition.len().is_multiple_of(4096));
        let told = serde_json::from_slice(&partition[..end]).unwrap();
        let scratch = TempDir::new().unwrap();
        for name in ["db.crt", "KEK.crt"] {
            fs::write(scratch.path().join(name), &keys[name]).unwrap();
        }
        Self { disk, scratch, told }
    }

    fn text(&self, name: &str) -> &str {
        self.told[name].as_str().unwrap()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.scratch.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Whether OpenSSL takes the message for the signature of a text by one of the keys.
    fn is_of(&self, text: &str, message: &[u8], certificate: &str) -> bool {
        let (text, message) = (self.file("text", text.as_bytes()), self.file("message", message));
        let certificate = self.scratch.path().join(certificate);
        let mut verify = Command::new("openssl");
        verify.args(["cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any", "-in"]).arg(message);
        // As the kernel and systemd do, of no certificate but their own.
        verify.arg("-nointern").arg("-certfile").arg(&certificate).arg("-CAfile").arg(&certificate);
        verify.arg("-content").arg(text).output().unwrap().status.success()
    }
}

#[test]
fn the_signature_beside_the_hashes_is_of_the_root_hash() {
    let signed = Signed::new(&keys());
    let hash = verity::root_hash(&signed.disk);
    assert_eq!(signed.text("rootHash"), hash);
    let names: Vec<_> = signed.disk.parts.iter().map(|part| &*part.placed.name).collect();
    assert_eq!(names, ["esp", "system", "system-verity", "system-verity-sig", "persist"]);
    let entry = verity::entry(&signed.disk, "system-verity-sig");
    let entry = |key: &str| entry[key].as_str().unwrap().to_lowercase();
    assert_eq!(
        (entry("type"), entry("attrs")),
        (kinds::ROOT_X86_64_VERITY_SIG.to_string(), "guid:60".into())
    );

    let mut fingerprint = Command::new("openssl");
    let certificate = signed.scratch.path().join("db.crt");
    fingerprint.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(certificate);
    let fingerprint = said(&mut fingerprint);
    let (_, fingerprint) = fingerprint.trim().split_once('=').unwrap();
    assert_eq!(signed.text("certificateFingerprint"), fingerprint.replace(':', "").to_lowercase());

    let message = STANDARD.decode(signed.text("signature")).unwrap();
    assert!(signed.is_of(&hash, &message, "db.crt"));
    let other = if hash.starts_with('0') { "1" } else { "0" }.to_owned() + &hash[1..];
    assert!(!signed.is_of(&other, &message, "db.crt"), "it is the signature of any root");
    assert!(!signed.is_of(&hash, &message, "KEK.crt"), "it is a signature by any key");
    let mut altered = message;
    *altered.last_mut().unwrap() ^= 1;
    assert!(!signed.is_of(&hash, &altered, "db.crt"));
}

#[test]
fn the_same_key_signs_the_same_root_with_the_same_bytes() {
    let keys = keys();
    assert_eq!(Signed::new(&keys).told, Signed::new(&keys).told);
}

#[test]
fn a_root_without_a_key_has_hashes_alone() {
    let disk = Disk::of(&verity::of_systemd_boot(), verity::tree());
    let names: Vec<_> = disk.parts.iter().map(|part| &*part.placed.name).collect();
    assert_eq!(names, ["esp", "system", "system-verity", "persist"]);
}
