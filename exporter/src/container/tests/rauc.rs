//! Bundles, taken and refused by RAUC itself and by OpenSSL.

use std::ops::Range;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::*;
use crate::container::rauc::{Bundle, Purpose};
use crate::pki::{Certificates, Signer};

const SIZE: u64 = 16 * MIB;

/// A certificate that has signed itself, and its key, in PEM.
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Made by OpenSSL, with what is behind `openssl req -x509 -new`.
fn pair(arguments: &[&str]) -> Pair {
    let scratch = Scratch::new();
    let [certificate, key] = ["crt", "key"].map(|name| scratch.file(name));
    let files = ["-nodes", "-keyout", key.to_str().unwrap(), "-out", certificate.to_str().unwrap()];
    let named = ["req", "-x509", "-subj", "/CN=release", "-days", "36500"];
    accepts("openssl", &[&named, &files[..], arguments].concat());
    Pair { certificate: std::fs::read(certificate).unwrap(), key: std::fs::read(key).unwrap() }
}

const RSA: [&str; 2] = ["-newkey", "rsa:2048"];
static RELEASE: LazyLock<Pair> = LazyLock::new(|| pair(&RSA));

impl Pair {
    fn certificates(&self) -> Result<Certificates> {
        Certificates::read("release.crt", &self.certificate)
    }

    fn signer(&self) -> Result<Signer> {
        Signer::new(self.certificates()?, "secret release", &self.key)
    }

    fn bundle(&self) -> Bundle {
        Bundle { signer: self.signer().unwrap(), salt: [0x5a; 32], time: 1_700_000_000 }
    }
}

pub(super) fn signed() -> Bundle {
    RELEASE.bundle()
}

/// The bundle of that root, and the bytes of the root.
fn written(scratch: &Scratch, root: Range<u64>, bundle: Bundle) -> (PathBuf, Vec<u8>) {
    let extents = extents(SIZE);
    let plain = flatten(SIZE, &extents)[root.start as usize..root.end as usize].to_vec();
    let update = Update { bundle: Some(bundle), ..update::kiosk(root) };
    let target = Target { update: Some(update), ..any_target(scratch, Format::Rauc) };
    write_one(RawImage { size: SIZE, extents: &extents }, &target, 3);
    (target.path, plain)
}

/// Have RAUC check all of a bundle and unpack it to a new folder.
fn extract(scratch: &Scratch, bundle: &Path, keyring: &[u8], words: &str) -> (bool, String, PathBuf) {
    let keyring = scratch.write("keyring.pem", keyring);
    let text = format!("[system]\ncompatible=x\nbootloader=noop\n\n[keyring]\npath={keyring}\n{words}");
    let (config, out) = (scratch.write("system.conf", text.as_bytes()), scratch.file("out"));
    let _ = std::fs::remove_dir_all(&out);
    let (config, bundle) = (format!("--conf={config}"), bundle.to_str().unwrap());
    let (ok, said) = tool("rauc", &[&config, "extract", bundle, out.to_str().unwrap()]);
    (ok, said, out)
}

/// Data, gaps of many blocks, and ends of every kind: of a chunk, of a block of 64 KiB, of one of 4 KiB.
const ROOTS: [Range<u64>; 4] =
    [0..SIZE, MIB..11 * MIB + 64 * KIB, MIB..8 * MIB + 8192, 10 * MIB..10 * MIB + 4096];

#[test]
fn rauc_takes_the_root_and_the_index_out_of_it() {
    for root in ROOTS {
        let scratch = Scratch::new();
        let (bundle, plain) = written(&scratch, root.clone(), signed());
        let (ok, said, out) = extract(&scratch, &bundle, &RELEASE.certificate, "");
        assert!(ok, "{root:?}: {said}");
        assert!(std::fs::read(out.join("rootfs.ext4")).unwrap() == plain, "{root:?}");
        let index: Vec<u8> = plain.chunks(4096).flat_map(Sha256::digest).collect();
        assert!(std::fs::read(out.join("rootfs.ext4.block-hash-index")).unwrap() == index, "{root:?}");

        let manifest = std::fs::read_to_string(out.join("manifest.raucm")).unwrap();
        let (sum, size) = (format!("{:x}", Sha256::digest(&plain)), plain.len());
        let expected = format!(
            "[update]\ncompatible=acme kiosk-2\nversion=1.4.0\n\n[bundle]\nformat=verity\n\n[image.rootfs]\n\
             sha256={sum}\nsize={size}\nfilename=rootfs.ext4\nadaptive=block-hash-index;\n"
        );
        assert_eq!(manifest, expected);
    }
}

#[test]
fn rauc_and_openssl_read_what_is_signed() {
    let scratch = Scratch::new();
    let (bundle, _) = written(&scratch, ROOTS[1].clone(), signed());
    let keyring = scratch.write("release.crt", &RELEASE.certificate);
    let keyring_option = format!("--keyring={keyring}");
    let said = accepts("rauc", &["info", "--output-format=shell", &keyring_option, shown_path(&bundle)]);
    for line in [
        "RAUC_MF_COMPATIBLE='acme kiosk-2'",
        "RAUC_MF_VERSION='1.4.0'",
        "RAUC_IMAGE_CLASS_0='rootfs'",
        "RAUC_IMAGE_ADAPTIVE_0='block-hash-index'",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }

    let bytes = std::fs::read(&bundle).unwrap();
    let (rest, length) = bytes.split_last_chunk().unwrap();
    let (payload, signature) = rest.split_at(rest.len() - u64::from_be_bytes(*length) as usize);
    assert!(payload.len().is_multiple_of(4096));
    let der = scratch.write("signature.der", signature);
    let verify = ["cms", "-verify", "-inform", "DER", "-binary", "-in", &der, "-CAfile", &keyring];
    let manifest = accepts("openssl", &verify);
    assert!(manifest.contains("\nverity-salt=5a5a5a") && manifest.contains("\nverity-hash="), "{manifest}");
    let told = accepts("openssl", &["cms", "-cmsout", "-print", "-inform", "DER", "-in", &der]);
    assert!(told.contains("UTCTIME:Nov 14 22:13:20 2023 GMT"), "{told}");
}

fn shown_path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn what_was_changed_or_is_of_another_signer_is_refused() {
    let scratch = Scratch::new();
    let (bundle, _) = written(&scratch, ROOTS[1].clone(), signed());
    let whole = std::fs::read(&bundle).unwrap();
    let signature = u64::from_be_bytes(*whole.last_chunk().unwrap()) as usize;
    let tree = whole.len() - 8 - signature - 10;
    let text = whole.windows(12).rposition(|word| word == b"[image.rootf").unwrap();
    for (at, why) in [
        (5000, "bundle payload is corrupted"),
        (40, "bundle payload is corrupted"),
        (tree, "bundle payload is corrupted"),
        (text, "signature verification failed"),
    ] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&bundle, bytes).unwrap();
        let (ok, said, out) = extract(&scratch, &bundle, &RELEASE.certificate, "");
        assert!(!ok && said.contains(why) && !out.exists(), "byte {at}: {said}");
    }
    std::fs::write(&bundle, &whole).unwrap();
    let (ok, said, _) = extract(&scratch, &bundle, &pair(&RSA).certificate, "");
    assert!(!ok && said.contains("signature verification failed"), "{said}");
    assert!(extract(&scratch, &bundle, &RELEASE.certificate, "").0);
}

#[test]
fn rauc_is_told_the_purpose_that_it_needs() {
    let scratch = Scratch::new();
    let usage = |usages: &[&str]| {
        let usages: Vec<_> = usages.iter().flat_map(|usage| ["-addext", usage]).collect();
        pair(&[&RSA[..], &usages].concat())
    };
    let code = ["keyUsage=critical,digitalSignature", "extendedKeyUsage=codeSigning"];
    // Whether RAUC takes it by default, and for signing code.
    for (release, purpose, is_taken) in [
        (&usage(&code), Some(Purpose::CodeSigning), [false, true]),
        (&usage(&["extendedKeyUsage=emailProtection,codeSigning"]), Some(Purpose::Default), [true, true]),
        (&*RELEASE, Some(Purpose::Default), [true, false]),
        (&usage(&["extendedKeyUsage=serverAuth"]), None, [false, false]),
        (&usage(&["keyUsage=keyCertSign"]), None, [false, false]),
    ] {
        assert_eq!(Purpose::of(&release.certificates().unwrap()), purpose);
        let (bundle, _) = written(&scratch, ROOTS[3].clone(), release.bundle());
        let takes = |words| extract(&scratch, &bundle, &release.certificate, words).0;
        assert_eq!(["", "check-purpose=codesign\n"].map(takes), is_taken, "{purpose:?}");
    }
}

#[test]
fn a_signer_that_another_one_has_signed_brings_its_certificates() {
    let scratch = Scratch::new();
    let ca = pair(&[&RSA[..], &["-addext", "keyUsage=keyCertSign"]].concat());
    let [ca_certificate, ca_key] =
        [("ca.crt", &ca.certificate), ("ca.key", &ca.key)].map(|(name, pem)| scratch.write(name, pem));
    let [request, key] = ["release.csr", "release.key"].map(|name| scratch.file(name));
    let files = ["-nodes", "-keyout", shown_path(&key), "-out", shown_path(&request)];
    accepts("openssl", &[&["req", "-new", "-subj", "/CN=builder"], &RSA[..], &files].concat());
    let signing = ["x509", "-req", "-days", "36500", "-set_serial", "7", "-in", shown_path(&request)];
    let certificate =
        accepts("openssl", &[&signing[..], &["-CA", &ca_certificate, "-CAkey", &ca_key]].concat());
    let start = certificate.find("-----BEGIN").unwrap();
    let release =
        Pair { certificate: certificate.as_bytes()[start..].into(), key: std::fs::read(key).unwrap() };

    assert!(!release.certificates().unwrap().is_self_issued() && ca.certificates().unwrap().is_self_issued());
    let (bundle, _) = written(&scratch, ROOTS[3].clone(), release.bundle());
    assert!(extract(&scratch, &bundle, &ca.certificate, "").0);
    assert!(!extract(&scratch, &bundle, &release.certificate, "").0);
    assert!(extract(&scratch, &bundle, &release.certificate, "allow-partial-chain=true\n").0);
}

#[test]
fn who_cannot_sign_is_told_why() {
    let other = pair(&RSA);
    let encrypted = {
        let scratch = Scratch::new();
        let key = scratch.write("key", &RELEASE.key);
        accepts("openssl", &["pkey", "-aes256", "-passout", "pass:x", "-in", &key]).into_bytes()
    };
    let elliptic = pair(&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    let small = pair(&["-newkey", "rsa:1024"]);
    for (certificate, key, message) in [
        (
            &RELEASE.certificate,
            &other.key,
            "secret release: is not the key of the certificate in release.crt",
        ),
        (
            &RELEASE.certificate,
            &encrypted,
            "secret release: is encrypted, and a build has nobody to ask for the passphrase",
        ),
        (&RELEASE.certificate, &b"hunter2".to_vec(), "secret release: is no private key in PEM"),
        (&elliptic.certificate, &elliptic.key, "secret release: is no RSA key of 2048 to 4096 bits"),
        (&small.certificate, &small.key, "secret release: is no RSA key of 2048 to 4096 bits"),
        (&RELEASE.key, &RELEASE.key, "release.crt: has no certificate"),
    ] {
        let pair = Pair { certificate: certificate.clone(), key: key.clone() };
        assert_eq!(pair.signer().unwrap_err().to_string(), message);
    }
    assert_eq!(format!("{:?}", RELEASE.signer().unwrap()), "Signer { .. }");
}

#[test]
fn a_bundle_is_told_from_a_disk() {
    let scratch = Scratch::new();
    let (bundle, _) = written(&scratch, ROOTS[2].clone(), signed());
    assert_eq!(identify(&bundle).unwrap(), (Format::Rauc, None));
    for error in [open(&bundle).err().unwrap(), check(&bundle).unwrap_err()] {
        assert_eq!(error.message(), "is a bundle of RAUC, and no disk is in it");
    }
    let mut bytes = std::fs::read(&bundle).unwrap();
    bytes.push(0);
    let path = scratch.write("longer", &bytes);
    assert_eq!(identify(Path::new(&path)).unwrap().0, Format::Raw, "a squashfs is a disk");
}

#[test]
fn what_is_no_bundle_leaves_nothing() {
    let scratch = Scratch::new();
    for (update, kind) in [
        (None, Kind::Unsupported),
        (Some(Update { bundle: None, ..update::kiosk(MIB..2 * MIB) }), Kind::Input),
        (Some(Update { bundle: Some(signed()), ..update::kiosk(MIB..2 * MIB + 5000) }), Kind::Unsupported),
        (Some(Update { bundle: Some(signed()), ..update::kiosk(0..SIZE + 4096) }), Kind::Input),
    ] {
        let target = Target { update, ..any_target(&scratch, Format::Rauc) };
        let image = RawImage { size: SIZE, extents: &extents(SIZE) };
        let error = write(image, &[target], &run(1)).unwrap_err();
        assert_eq!(*error.kind(), kind, "{error}");
        assert_eq!(names(&scratch), <[&str; 0]>::default());
    }
}
