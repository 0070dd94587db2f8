//! Keys, lists, updates and stores, judged by OpenSSL, sbsigntools and virt-firmware.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::*;
use crate::error::Kind;
use crate::pki::Certificates;
use crate::seed::Uuid;
use crate::testing::{Scratch, accepts, tool};

/// 2023-11-14T22:13:20Z
const NOW: i64 = 1_700_000_000;
const OWNER: Uuid = Uuid::from_text("77fa9abd-0359-4d32-bd60-28f4e78f784b");

static KEYS: LazyLock<Vec<File>> = LazyLock::new(|| generate("Acme & Söhne", NOW, 400).unwrap());

fn bytes(name: &str) -> &'static [u8] {
    &KEYS.iter().find(|file| file.name == name).unwrap_or_else(|| panic!("no {name}")).bytes
}

fn certificates(name: &str) -> Certificates {
    Certificates::read(name, bytes(name)).unwrap()
}

/// All files in a folder.
fn written() -> Scratch {
    let scratch = Scratch::new();
    KEYS.iter().for_each(|file| drop(scratch.write(&file.name, &file.bytes)));
    scratch
}

fn path(scratch: &Scratch, name: &str) -> String {
    scratch.file(name).to_str().unwrap().to_owned()
}

#[test]
fn openssl_takes_the_keys_and_their_certificates() {
    let scratch = written();
    let mut secrets = Vec::new();
    for name in ["PK", "KEK", "db"] {
        let [key, certificate] =
            ["key", "crt"].map(|extension| path(&scratch, &format!("{name}.{extension}")));
        accepts("openssl", &["pkey", "-check", "-noout", "-in", &key]);
        let checked = ["verify", "-check_ss_sig", "-x509_strict", "-attime", "1700000001"];
        accepts("openssl", &[&checked[..], &["-CAfile", &certificate, &certificate]].concat());
        let late = ["verify", "-attime", "1734600001", "-CAfile", &certificate, &certificate];
        assert!(!tool("openssl", &late).0, "after 400 days and a bit");
        let said = accepts("openssl", &["x509", "-noout", "-text", "-nameopt", "utf8", "-in", &certificate]);
        for part in [
            &format!("Subject: CN=Acme & Söhne {name}"),
            "Not Before: Nov 14 22:13:20 2023 GMT",
            "Not After : Dec 18 22:13:20 2024 GMT",
            "Public-Key: (2048 bit)",
            "sha256WithRSAEncryption",
            "CA:TRUE",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        secrets.push(bytes(&format!("{name}.key")));
    }
    assert!(secrets[0] != secrets[1] && secrets[1] != secrets[2] && secrets[0] != secrets[2]);
    let secret: Vec<_> = KEYS.iter().filter(|file| file.is_secret).map(|file| &*file.name).collect();
    assert_eq!((secret, KEYS.len()), (vec!["PK.key", "KEK.key", "db.key"], 12));
}

#[test]
fn what_no_certificate_says_is_refused() {
    for name in ["", &"a".repeat(62)] {
        let error = generate(name, NOW, 1).map(|_| ());
        // With " PK" behind it.
        assert_eq!(error.is_err(), name.len() > 61, "{name}");
    }
    // Later than a certificate can say is the last that it can.
    let keys = generate("Acme", NOW, u32::MAX).unwrap();
    let scratch = Scratch::new();
    let certificate = scratch.write("PK.crt", &keys.iter().find(|file| file.name == "PK.crt").unwrap().bytes);
    let said = accepts("openssl", &["x509", "-noout", "-enddate", "-in", &certificate]);
    assert_eq!(said.trim(), "notAfter=Dec 31 23:59:59 9999 GMT");
}

#[test]
fn a_list_is_that_of_sbsiglist() {
    let scratch = written();
    let (der, list) = (path(&scratch, "db.der"), path(&scratch, "theirs.esl"));
    accepts("openssl", &["x509", "-in", &path(&scratch, "db.crt"), "-outform", "DER", "-out", &der]);
    let owner = OWNER.to_string();
    accepts("sbsiglist", &["--owner", &owner, "--type", "x509", "--output", &list, &der]);
    let ours = certificate_list(&certificates("db.crt"), OWNER).unwrap();
    assert_eq!(ours, std::fs::read(list).unwrap());
    assert_eq!(check_list("db.esl", &[&ours[..], bytes("PK.esl")].concat()).unwrap(), 2);
}

#[test]
fn what_is_no_list_is_refused() {
    let list = bytes("db.esl");
    let with = |at: usize, value: u32| {
        let mut list = list.to_vec();
        list[at..at + 4].copy_from_slice(&value.to_le_bytes());
        list
    };
    for (list, kind) in [
        (Vec::new(), Kind::Input),
        (list[..27].to_vec(), Kind::Corrupt),
        (list[..list.len() - 1].to_vec(), Kind::Corrupt),
        ([list, b"x"].concat(), Kind::Corrupt),
        (with(16, 0), Kind::Corrupt),
        (with(16, 28), Kind::Corrupt),
        (with(16, u32::MAX), Kind::Corrupt),
        (with(20, 1), Kind::Corrupt),
        (with(20, u32::MAX), Kind::Corrupt),
        (with(24, 0), Kind::Corrupt),
        (with(24, 16), Kind::Corrupt),
        (with(24, u32::MAX), Kind::Corrupt),
        // The certificate.
        (with(28 + 16, 0), Kind::Corrupt),
    ] {
        assert_eq!(*check_list("db.esl", &list).unwrap_err().kind(), kind, "{list:02x?}");
    }
}

/// The message in an update, as OpenSSL reads it, and what it is of.
fn openssl_verifies(scratch: &Scratch, auth: &[u8], signed: &[u8], by: &str) -> bool {
    let length = u32::from_le_bytes(auth[16..20].try_into().unwrap()) as usize;
    let message = &auth[40..16 + length];
    // As a message on its own: a SEQUENCE of its type and it.
    let inner = [&[0xa0, 0x82][..], &(message.len() as u16).to_be_bytes(), message].concat();
    let kind = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
    let len = ((kind.len() + inner.len()) as u16).to_be_bytes();
    let whole = [&[0x30, 0x82][..], &len, kind, &inner].concat();
    let [message, content] =
        [("message.der", &whole[..]), ("content", signed)].map(|(name, bytes)| scratch.write(name, bytes));
    let certificate = path(scratch, by);
    let verify = ["cms", "-verify", "-inform", "DER", "-binary", "-no_check_time", "-purpose", "any"];
    let files = ["-in", &message, "-content", &content, "-CAfile", &certificate, "-out", "/dev/null"];
    tool("openssl", &[&verify[..], &files].concat()).0
}

#[test]
fn openssl_takes_an_update_for_the_variable_and_the_time_it_is_of() {
    let scratch = written();
    for (variable, by) in [(Variable::Pk, "PK.crt"), (Variable::Kek, "PK.crt"), (Variable::Db, "KEK.crt")] {
        let name = variable.name();
        let (auth, list) = (bytes(&format!("{name}.auth")), bytes(&format!("{name}.esl")));
        let read = Update::read(name, auth).unwrap();
        assert_eq!(read, Update { time: variable::EfiTime::new(NOW), lists: list.to_vec() });
        assert_eq!(auth[..8], [0xe7, 0x07, 11, 14, 22, 13, 20, 0]);
        let text = auth::signed_text(variable, read.time, list);
        assert!(openssl_verifies(&scratch, auth, &text, by), "{name}");
        let other = if by == "PK.crt" { "KEK.crt" } else { "PK.crt" };
        assert!(!openssl_verifies(&scratch, auth, &text, other), "{name}: not by {other}");
        let later = auth::signed_text(variable, variable::EfiTime::new(NOW + 1), list);
        assert!(!openssl_verifies(&scratch, auth, &later, by), "{name}: another time");
        let dbx = auth::signed_text(Variable::Dbx, read.time, list);
        assert!(!openssl_verifies(&scratch, auth, &dbx, by), "{name}: another variable");
    }
}

/// What sbvarsign signs at some time is what we sign then, but for how the message is spelled.
#[test]
fn an_update_is_of_what_sbvarsign_signs() {
    let scratch = written();
    let [key, certificate, list, out] =
        ["KEK.key", "KEK.crt", "db.esl", "theirs.auth"].map(|name| path(&scratch, name));
    let attributes = "NON_VOLATILE,BOOTSERVICE_ACCESS,RUNTIME_ACCESS,TIME_BASED_AUTHENTICATED_WRITE_ACCESS";
    let signing =
        ["--key", &key, "--cert", &certificate, "--attr", attributes, "--output", &out, "db", &list];
    accepts("sbvarsign", &signing);
    let theirs = std::fs::read(out).unwrap();
    let read = Update::read("theirs.auth", &theirs).unwrap();
    assert_eq!(read.lists, bytes("db.esl"));
    let text = auth::signed_text(Variable::Db, read.time, &read.lists);
    assert!(openssl_verifies(&scratch, &theirs, &text, "KEK.crt"));
}

#[test]
fn what_is_no_update_is_refused() {
    let auth = bytes("db.auth");
    let with = |at: usize, value: u8| {
        let mut auth = auth.to_vec();
        auth[at] = value;
        auth
    };
    let length = u32::from_le_bytes(auth[16..20].try_into().unwrap()) as usize;
    for auth in [
        Vec::new(),
        auth[..39].to_vec(),
        auth[..16 + length].to_vec(),
        auth[..auth.len() - 1].to_vec(),
        bytes("db.esl").to_vec(),
        with(16, 0),
        with(19, 0xff),
        with(21, 1),
        with(22, 0xf0),
        with(24, 0),
    ] {
        assert!(Update::read("db.auth", &auth).is_err(), "{} bytes", auth.len());
    }
}

/// A store as EDK II makes an empty one, with one variable in it that is nobody's of these, and one that is deleted.
fn template() -> Vec<u8> {
    let mut file = vec![0xff; 0x84000];
    file[..16].fill(0);
    file[16..32].copy_from_slice(&Uuid::from_text("fff12b8d-7696-4c8b-a985-2747075b4f50").to_guid_bytes());
    file[32..40].copy_from_slice(&0x84000_u64.to_le_bytes());
    file[40..56].copy_from_slice(b"_FVH\xff\xfe\x04\0\x48\0\0\0\0\0\0\x02");
    file[56..72].copy_from_slice(&[0x84, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let words = file[..72].chunks(2).map(|word| u16::from_le_bytes([word[0], word[1]]));
    let sum = words.fold(0, u16::wrapping_add);
    file[50..52].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
    file[72..88].copy_from_slice(&Uuid::from_text("aaf32c78-947b-439a-a180-2e144ec37792").to_guid_bytes());
    file[88..100].copy_from_slice(&[0xb8, 0xff, 3, 0, 0x5a, 0xfe, 0, 0, 0, 0, 0, 0]);
    let mut at = 100;
    for (name, state) in [("Kept", 0x3f_u8), ("PK", 0x3c), ("Lang", 0x3f)] {
        let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        let header = [&[0xaa, 0x55, state, 0, 7, 0, 0, 0][..], &[0; 28]].concat();
        let sizes = [&(name.len() as u32).to_le_bytes()[..], &5_u32.to_le_bytes()].concat();
        let guid = Uuid::from_text("8be4df61-93ca-11d2-aa0d-00e098032b8c").to_guid_bytes();
        let variable = [&header[..], &sizes, &guid, &name, b"hello"].concat();
        file[at..at + variable.len()].copy_from_slice(&variable);
        at += variable.len().next_multiple_of(4);
    }
    file
}

fn updates() -> Vec<(Variable, Update)> {
    let update = |variable: Variable| {
        let name = format!("{}.auth", variable.name());
        (variable, Update::read(&name, bytes(&name)).unwrap())
    };
    [Variable::Db, Variable::Kek, Variable::Pk].map(update).into()
}

/// The variables in a file as virt-firmware reads them, by their names, without their times.
fn variables(scratch: &Scratch, file: &str) -> BTreeMap<String, Value> {
    let json = path(scratch, "variables.json");
    accepts("virt-fw-vars", &["--input", file, "--output-json", &json]);
    let mut read: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let variables = read["variables"].as_array_mut().unwrap().iter_mut();
    let named = variables.map(|variable| {
        variable.as_object_mut().unwrap().remove("time");
        (variable["name"].as_str().unwrap().to_owned(), variable.take())
    });
    named.collect()
}

#[test]
fn virt_firmware_makes_the_same_variables() {
    let scratch = written();
    let template = template();
    let once = enroll("VARS.fd", &template, &updates()).unwrap();
    assert_eq!(once.len(), template.len());
    assert!(once[..100] == template[..100] && once[0x40000..] == template[0x40000..]);
    assert!(once == enroll("VARS.fd", &once, &updates()).unwrap(), "nothing is there twice");
    let [file, before, theirs] = ["VARS.fd", "before.fd", "theirs.fd"].map(|name| path(&scratch, name));
    std::fs::write(&file, &once).unwrap();
    std::fs::write(&before, &template).unwrap();

    let owner = Uuid::from_guid_bytes(bytes("db.esl")[28..44].try_into().unwrap()).to_string();
    let [pk, kek, db] = ["PK.crt", "KEK.crt", "db.crt"].map(|name| path(&scratch, name));
    let keys = ["--set-pk", &owner, &pk, "--add-kek", &owner, &kek, "--add-db", &owner, &db];
    let others = ["--input", &before, "--no-microsoft", "--sb", "--output", &theirs];
    accepts("virt-fw-vars", &[&others[..], &keys].concat());
    let (ours, theirs) = (variables(&scratch, &file), variables(&scratch, &theirs));
    for name in ["PK", "KEK", "db", "SecureBootEnable", "CustomMode", "Kept", "Lang"] {
        assert!(ours.contains_key(name) && ours[name] == theirs[name], "{name}: {ours:?}");
    }
    assert_eq!(ours.len(), 7, "{ours:?}");
    // It would see a difference.
    let mut changed = once.clone();
    let at = once.windows(4).position(|word| word == b"Acme").unwrap();
    changed[at] ^= 1;
    std::fs::write(&file, changed).unwrap();
    assert!(variables(&scratch, &file) != ours);
}

#[test]
fn what_is_no_store_is_refused_and_what_does_not_fit() {
    let with = |at: usize, bytes: &[u8]| {
        let mut file = template();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    for (file, kind) in [
        (Vec::new(), Kind::Input),
        (vec![0; 1 << 20], Kind::Input),
        (template()[..0x30000].to_vec(), Kind::Input),
        (with(16, &[0]), Kind::Input),
        (with(50, &[0, 0]), Kind::Input),
        (with(72, &[0]), Kind::Input),
        (with(88, &[0xff; 4]), Kind::Input),
        (with(88, &[0, 0, 0, 0]), Kind::Input),
        (with(92, &[0xff]), Kind::Input),
        // The name of the first variable, and what is in it.
        (with(100 + 36, &[0xff; 4]), Kind::Corrupt),
        (with(100 + 40, &[0xff; 4]), Kind::Corrupt),
    ] {
        assert_eq!(*enroll("VARS.fd", &file, &updates()).unwrap_err().kind(), kind, "{} bytes", file.len());
    }
    let small = with(88, &[0, 8, 0, 0]);
    let error = enroll("VARS.fd", &small, &updates()).unwrap_err();
    assert!(matches!(error.kind(), Kind::NoSpace { .. }) && error.hint().is_some(), "{error}");
}
