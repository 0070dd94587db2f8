//! Programs as a linker would make them, signed here and judged by others, and the other way round.

use std::path::Path;
use std::sync::LazyLock;

use ::authenticode::{AttributeCertificateIterator, authenticode_digest};
use object::read::pe::PeFile64;

use super::program::Program;
use super::*;
use crate::extent::Extent;
use crate::fs::Contents;
use crate::pki::{Certificates, Signer};
use crate::testing::{Scratch, accepts, flatten, tool};

const HEADERS: usize = 0x400;
const SECTION: usize = 0x600;
/// Where the optional header begins, and the section table.
const OPTIONAL: usize = 0x98;
const TABLE: usize = OPTIONAL + 240;
const DIRECTORY: usize = OPTIONAL + 112 + 8 * 4;

/// Numbers of a header, little endian.
fn put(bytes: &mut [u8], at: usize, number: u32, len: usize) {
    bytes[at..at + len].copy_from_slice(&number.to_le_bytes()[..len]);
}

/// A program of two sections, with some bytes behind them.
fn program(behind: usize) -> Vec<u8> {
    let mut bytes = vec![0; HEADERS + 2 * SECTION];
    bytes[..2].copy_from_slice(b"MZ");
    put(&mut bytes, 0x3c, 0x80, 4);
    bytes[0x80..0x84].copy_from_slice(b"PE\0\0");
    for (at, number, len) in [
        (0x84, 0x8664, 2),
        (0x86, 2, 2),
        (0x94, 240, 2),
        // Executable, of large addresses.
        (0x96, 0x22, 2),
        (OPTIONAL, 0x20b, 2),
        (OPTIONAL + 16, 0x1000, 4),
        (OPTIONAL + 32, 0x1000, 4),
        (OPTIONAL + 36, 0x200, 4),
        (OPTIONAL + 56, 0x5000, 4),
        (OPTIONAL + 60, HEADERS as u32, 4),
        (OPTIONAL + 64, 0xdead, 4),
        (OPTIONAL + 68, 10, 2),
        (OPTIONAL + 108, 16, 4),
    ] {
        put(&mut bytes, at, number, len);
    }
    for (index, name) in [".text", ".data"].into_iter().enumerate() {
        let at = TABLE + 40 * index;
        bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
        let start = (HEADERS + SECTION * index) as u32;
        let numbers = [0x1000, 0x1000 + 0x2000 * index as u32, SECTION as u32, start];
        numbers
            .into_iter()
            .enumerate()
            .for_each(|(word, number)| put(&mut bytes, at + 8 + 4 * word, number, 4));
        put(&mut bytes, at + 36, 0x6000_0020, 4);
    }
    bytes[HEADERS..].iter_mut().enumerate().for_each(|(at, byte)| *byte = (at * 7 + at / 251) as u8);
    bytes.extend((0..behind).map(|at| at as u8 | 1));
    bytes
}

/// A certificate that has signed itself, and its key.
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Pair {
    fn new(name: &'static str) -> Self {
        let scratch = Scratch::new();
        let [certificate, key] = ["crt", "key"].map(|name| scratch.file(name));
        let files = ["-nodes", "-keyout", key.to_str().unwrap(), "-out", certificate.to_str().unwrap()];
        let subject = format!("/CN={name}");
        let named = ["req", "-x509", "-newkey", "rsa:2048", "-days", "36500", "-subj", &subject];
        accepts("openssl", &[&named[..], &files].concat());
        Self { certificate: std::fs::read(certificate).unwrap(), key: std::fs::read(key).unwrap() }
    }

    fn signer(&self) -> Signer {
        let certificates = Certificates::read("db.crt", &self.certificate).unwrap();
        Signer::new(certificates, "db.key", &self.key).unwrap()
    }

    fn files(&self, scratch: &Scratch) -> [String; 2] {
        [("db.crt", &self.certificate), ("db.key", &self.key)].map(|(name, pem)| scratch.write(name, pem))
    }
}

static OWNER: LazyLock<Pair> = LazyLock::new(|| Pair::new("owner"));
static OTHER: LazyLock<Pair> = LazyLock::new(|| Pair::new("other"));

fn contents(bytes: &[u8]) -> Contents {
    Contents::of_bytes(bytes)
}

fn signed_by(program: &[u8], pair: &Pair) -> Vec<u8> {
    let signature = sign("a.efi", &contents(program), &pair.signer()).unwrap().unwrap();
    let signed = signature.of(contents(program));
    flatten(signed.size, &*signed.extents)
}

/// What is found, a line each.
fn found(program: &[u8]) -> Vec<String> {
    let found = signatures("a.efi", &contents(program)).unwrap();
    found.into_iter().map(|found| format!("{} {:?}", found.signer, found.state)).collect()
}

/// Whether each of the others takes the program as one that `pair` has signed.
fn judge(program: &[u8], pair: &Pair) -> [bool; 2] {
    let scratch = Scratch::new();
    let [certificate, _] = pair.files(&scratch);
    let file = scratch.write("a.efi", program);
    let sbverify = tool("sbverify", &["--cert", &certificate, &file]).0;
    let (ok, said) = tool("osslsigncode", &["verify", "-CAfile", &certificate, "-in", &file]);
    // It is content with one of several, and says of each that is none.
    [sbverify, ok && !said.contains("Signature verification: failed")]
}

#[test]
fn others_take_what_is_signed_here() {
    for behind in [0, 1, 5, 8, 3 << 20] {
        let signed = signed_by(&program(behind), &OWNER);
        assert!(signed.len().is_multiple_of(8));
        assert_eq!(judge(&signed, &OWNER), [true; 2], "{behind}");
        assert_eq!(found(&signed), ["CN=owner Good"]);
        assert_eq!(judge(&signed, &OTHER), [false; 2], "another certificate");
    }
}

#[test]
fn the_digest_is_that_of_the_crate_authenticode() {
    for behind in [0, 3, 2 << 20] {
        let signed = signed_by(&program(behind), &OWNER);
        let file = PeFile64::parse(&*signed).unwrap();
        let mut digest = <sha2::Sha256 as sha2::Digest>::new();
        authenticode_digest(&file, &mut digest).unwrap();
        let digest = sha2::Digest::finalize(digest);
        let mut certificates = AttributeCertificateIterator::new(&file).unwrap().unwrap();
        let signature = certificates.next().unwrap().unwrap().get_authenticode_signature().unwrap();
        assert_eq!(signature.digest(), &digest[..], "{behind}");
        assert_eq!(signature.certificates().count(), 1);
        assert!(certificates.next().is_none());
    }
}

#[test]
fn a_changed_byte_anywhere_is_refused_by_all() {
    let signed = signed_by(&program(1000), &OWNER);
    let end = Program::read(&signed, signed.len() as u64).unwrap().signatures.start as usize;
    for at in [0x42, OPTIONAL + 24, TABLE + 36, HEADERS, HEADERS + 2 * SECTION - 1, end - 9, end - 1] {
        let mut changed = signed.clone();
        changed[at] ^= 1;
        assert_eq!(judge(&changed, &OWNER), [false; 2], "byte {at:#x}");
        assert_eq!(found(&changed), ["CN=owner Bad"], "byte {at:#x}");
    }
    // The last byte of the signature itself, before what fills it up.
    let mut changed = signed.clone();
    let at = changed.iter().rposition(|byte| *byte != 0).unwrap();
    changed[at] ^= 1;
    assert_eq!((judge(&changed, &OWNER), found(&changed)), ([false; 2], vec!["CN=owner Bad".to_owned()]));
}

/// Nobody has signed it, but whoever looks at it should find it right.
#[test]
fn the_sum_over_the_file_is_right() {
    for behind in [0, 1, 70_000] {
        let mut signed = signed_by(&program(behind), &OWNER);
        let scratch = Scratch::new();
        let [certificate, _] = OWNER.files(&scratch);
        let is_right = |signed: &[u8]| {
            let file = scratch.write("a.efi", signed);
            let said = accepts("osslsigncode", &["verify", "-CAfile", &certificate, "-in", &file]);
            !["invalid PE checksum", "MISMATCH"].iter().any(|wrong| said.contains(wrong))
        };
        assert!(is_right(&signed), "{behind}");
        signed[OPTIONAL + 64] ^= 1;
        assert!(!is_right(&signed), "{behind}");
    }
}

#[test]
fn what_others_have_signed_is_checked() {
    let scratch = Scratch::new();
    let ([certificate, key], plain) = (OWNER.files(&scratch), scratch.write("plain.efi", &program(5)));
    let out = scratch.file("signed.efi");
    let signed = out.to_str().unwrap();
    let sbsign = ["--key", &key, "--cert", &certificate, "--output", signed, &plain];
    let osslsigncode =
        ["sign", "-certs", &certificate, "-key", &key, "-h", "sha256", "-in", &plain, "-out", signed];
    for (program, arguments) in [("sbsign", &sbsign[..]), ("osslsigncode", &osslsigncode[..])] {
        let _ = std::fs::remove_file(&out);
        accepts(program, arguments);
        let mut bytes = std::fs::read(&out).unwrap();
        assert_eq!(found(&bytes), ["CN=owner Good"], "{program}");
        bytes[HEADERS + 1] ^= 0x80;
        assert_eq!(found(&bytes), ["CN=owner Bad"], "{program}");
    }
}

#[test]
fn a_further_signature_leaves_the_others() {
    let (once, twice) = {
        let once = signed_by(&program(5), &OWNER);
        let twice = signed_by(&once, &OTHER);
        (once, twice)
    };
    assert_eq!(found(&twice), ["CN=owner Good", "CN=other Good"]);
    assert_eq!([judge(&twice, &OWNER)[0], judge(&twice, &OTHER)[0]], [true; 2]);
    for signed in [&once, &twice] {
        let again = sign("a.efi", &contents(signed), &OWNER.signer()).unwrap();
        assert!(again.is_none(), "it has signed this already");
    }
    assert!(once == signed_by(&program(5), &OWNER), "the same bytes each time");
    // One that is of something else is none, and does not keep it from being signed.
    let mut changed = once;
    changed[HEADERS] ^= 1;
    assert_eq!(found(&signed_by(&changed, &OWNER)), ["CN=owner Bad", "CN=owner Good"]);
}

#[test]
fn a_file_is_signed_in_its_place() {
    let scratch = Scratch::new();
    let path = scratch.write("a.efi", &program(77));
    let sign = || sign_file(Path::new(&path), "a.efi", &OWNER.signer()).unwrap();
    assert_eq!((sign(), sign()), (Some(true), Some(false)));
    assert!(std::fs::read(&path).unwrap() == signed_by(&program(77), &OWNER));
    let path = scratch.write("grub.cfg", b"MZ is how this text begins");
    assert_eq!(sign_file(Path::new(&path), "grub.cfg", &OWNER.signer()).unwrap(), None);
}

/// Parts of many kinds, with a hole between them that is larger than what is read at once.
#[test]
fn what_lies_in_parts_is_signed_as_it_is_read() {
    let mut whole = program(0);
    let hole = 3 << 20;
    whole.resize(whole.len() + hole, 0);
    whole.extend(b"the end");
    let (start, end) = (HEADERS + 2 * SECTION, whole.len());
    let parts = vec![
        Extent::bytes(0, &whole[..OPTIONAL + 3]),
        Extent::bytes((OPTIONAL + 3) as u64, &whole[OPTIONAL + 3..start]),
        Extent::bytes((end - 7) as u64, &whole[end - 7..]),
    ];
    let parts = Contents { size: end as u64, extents: Box::new(parts) };
    let signature = sign("a.efi", &parts, &OWNER.signer()).unwrap().unwrap();
    let signed = signature.of(parts);
    assert!(flatten(signed.size, &*signed.extents) == signed_by(&whole, &OWNER));
}

#[test]
fn what_cannot_be_signed_is_refused() {
    let with = |at: usize, value: u32, len: usize| {
        let mut program = program(16);
        put(&mut program, at, value, len);
        program
    };
    let table = |len: u32| {
        let mut program = with(DIRECTORY, (HEADERS + 2 * SECTION) as u32, 4);
        put(&mut program, DIRECTORY + 4, 16, 4);
        put(&mut program, HEADERS + 2 * SECTION, len, 4);
        program
    };
    for (program, why) in [
        (Vec::new(), "is no program for UEFI"),
        (vec![0; 4 << 20], "is no program for UEFI"),
        (b"\x7fELF".to_vec(), "is no program for UEFI"),
        (with(0x3c, 0xffff_fffc, 4), "is no program for UEFI"),
        (with(OPTIONAL, 0x107, 2), "is no program for UEFI"),
        (with(OPTIONAL + 68, 3, 2), "is no program for UEFI"),
        (program(0)[..TABLE + 10].to_vec(), "is cut off: it has not all of its headers"),
        (program(0)[..HEADERS + SECTION].to_vec(), "is cut off: it has not all of its sections"),
        (with(0x86, 97, 2), "has impossible headers"),
        (with(OPTIONAL + 60, 0x80, 4), "has impossible headers"),
        (with(OPTIONAL + 108, 4, 4), "has no place in its headers"),
        (with(0x94, 112 + 8 * 4, 2), "has no place in its headers"),
        (
            with(TABLE + 20, HEADERS as u32 + 0x200, 4),
            "has gaps between its sections, or sections over others",
        ),
        (
            with(TABLE + 16, SECTION as u32 + 0x200, 4),
            "has gaps between its sections, or sections over others",
        ),
        (with(TABLE + 40 + 16, u32::MAX, 4), "is cut off: it has not all of its sections"),
        (with(DIRECTORY + 4, 8, 4), "is cut off: it has not all of its sections"),
        (with(DIRECTORY + 4, u32::MAX, 4), "is cut off: it has not all of its sections"),
        (table(7), "has a broken table of signatures"),
        (table(17), "has a broken table of signatures"),
    ] {
        let error = sign("a.efi", &contents(&program), &OWNER.signer()).unwrap_err();
        assert!(error.to_string().starts_with(&format!("a.efi: {why}")), "{error}");
    }
    // Of the right place and length, and nothing that is known.
    assert_eq!(found(&table(16)), ["no message of CMS Unknown"]);
}

/// Of each byte of a message some are signed, and some only have to be read without harm.
#[test]
fn any_bytes_in_a_signature_are_told_of() {
    let signed = signed_by(&program(0), &OWNER);
    let start = Program::read(&signed, signed.len() as u64).unwrap().signatures.start as usize;
    let length = u32::from_le_bytes(signed[start..start + 4].try_into().unwrap()) as usize;
    let end = start + length;
    let find =
        |word: &[u8]| start + signed[start..].windows(word.len()).rposition(|found| found == word).unwrap();
    let digest = find(&super::indirect_data::encode(&[0; 32])[..44]);
    // The attributes up to the name of the algorithm, 15 bytes before the signature's tag and length.
    let attributes = find(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03") - 2;
    let protected = [digest..digest + 76, attributes..end - 256 - 4 - 15, end - 256..end];
    for at in start + 8..end {
        for byte in [0, 0xff, signed[at] ^ 0x20].into_iter().filter(|byte| *byte != signed[at]) {
            let mut changed = signed.clone();
            changed[at] = byte;
            let found = found(&changed);
            let is_protected = protected.iter().any(|range| range.contains(&at));
            assert!(
                found.len() == 1 && !(is_protected && found[0].ends_with("Good")),
                "byte {at:#x}: {found:?}"
            );
        }
    }
}

#[test]
fn a_signer_that_signs_something_else_is_found_out() {
    struct Liar;
    impl crate::pki::Sign for Liar {
        fn sign(&self, _text: &[u8]) -> crate::Result<Vec<u8>> {
            Ok(vec![1; 256])
        }
    }
    let certificates = Certificates::read("db.crt", &OWNER.certificate).unwrap();
    let signer = Signer::of(certificates, std::sync::Arc::new(Liar));
    let error = sign("a.efi", &contents(&program(0)), &signer).unwrap_err();
    let expected = "signature: no key of the certificate in db.crt has made this signature of 256 bytes";
    assert_eq!(error.to_string(), expected);
}
