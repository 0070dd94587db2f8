//! What Secure Boot reads: programs that are signed, variables in files of their own and in a firmware's store.

use std::path::Path;

use exporter::authenticode::{State, sign_file, signatures};
use exporter::extent::Extent;
use exporter::fs::Contents;
use exporter::pki::{Certificates, Signer};
use exporter::secure_boot::{Update, Variable, certificate_list, enroll, update};
use exporter::seed::Uuid;

use super::told;
use crate::{Target, repair};

/// A key that signs nothing but these inputs: a new one each time would make others of them.
const KEY: &[u8] = include_bytes!("signer.key");
const CERTIFICATE: &[u8] = include_bytes!("signer.crt");

/// A program for UEFI and its signatures: one that is good is still good in what is signed once more.
pub(super) const PROGRAM: Target = Target {
    name: "program",
    seeds: || {
        let signed = sign(&program());
        let twice =
            [&signed[..program().len()], &signed[program().len()..], &signed[program().len()..]].concat();
        vec![program(), with_signatures(twice), signed]
    },
    words: &[
        b"MZ",
        b"PE\0\0",
        b"\x0b\x02",
        b"\x0b\x01",
        &[0x30, 0x80],
        &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        &[0xff; 8],
        &[0; 8],
    ],
    grain: 4,
    repair: repair::nothing,
    run: |bytes| {
        let good = |bytes: &[u8]| {
            let extents = Box::new([Extent::bytes(0, bytes)]);
            let found = signatures("a.efi", &Contents { size: bytes.len() as u64, extents });
            found.map(|found| found.iter().filter(|found| found.state == State::Good).count()).map_err(told)
        };
        let before = good(bytes)?;
        assert!(good(&sign(bytes))? >= before.max(1), "signed by one at least");
        Ok(())
    },
};

/// Variables: whatever is taken is taken again as it was written.
pub(super) const VARIABLES: Target = Target {
    name: "variables",
    seeds: || {
        let lists = lists();
        let auth = update(Variable::Db, &lists, &signer(), 1_700_000_000).expect("a signed update");
        vec![store(), auth, lists]
    },
    words: &[
        b"_FVH",
        b"\xaa\x55\x3f\0",
        b"\xff\xff\xff\xff",
        &[0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72],
        &[0; 8],
    ],
    grain: 4,
    repair: repair::nothing,
    run: |bytes| {
        if bytes.get(40..44) == Some(b"_FVH") {
            let db = Update::unsigned("db.esl", &lists()).map_err(told)?;
            let updates = [(Variable::Db, db)];
            let once = enroll("VARS.fd", bytes, &updates).map_err(told)?;
            assert!(once.len() == bytes.len() && once == enroll("VARS.fd", &once, &updates).map_err(told)?);
            return Ok(());
        }
        Update::read("db.auth", bytes).or_else(|_| Update::unsigned("db.esl", bytes)).map(drop).map_err(told)
    },
};

fn signer() -> Signer {
    let certificates = Certificates::read("signer.crt", CERTIFICATE).expect("a certificate");
    Signer::new(certificates, "signer.key", KEY).expect("its key")
}

fn lists() -> Vec<u8> {
    let owner = Uuid::from_text("77fa9abd-0359-4d32-bd60-28f4e78f784b");
    certificate_list(signer().certificates(), owner).expect("a list of one")
}

/// The program with a signature more, or as it is if it cannot have one.
fn sign(program: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.efi");
    std::fs::write(&path, program).expect("room for a program");
    let _ = sign_file(Path::new(&path), "a.efi", &signer());
    std::fs::read(path).expect("the program")
}

/// A program of one section.
fn program() -> Vec<u8> {
    let mut bytes = vec![0x90; 0x800];
    bytes[..0x400].fill(0);
    for (at, number) in [
        (0, 0x5a4d_u32),
        (0x3c, 0x80),
        (0x80, 0x4550),
        (0x84, 0x1_8664),
        (0x94, 240),
        (0x98, 0x20b),
        (0x98 + 60, 0x400),
        (0x98 + 68, 10),
        (0x98 + 108, 16),
        (0x188 + 16, 0x400),
        (0x188 + 20, 0x400),
    ] {
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

/// The same with a place in its headers that has all that is behind its section.
fn with_signatures(mut program: Vec<u8>) -> Vec<u8> {
    let len = (program.len() - 0x800) as u32;
    program[0x98 + 112 + 36..][..4].copy_from_slice(&len.to_le_bytes());
    program
}

/// An empty store with room for a few variables, and one of them.
fn store() -> Vec<u8> {
    let mut file = vec![0xff; 0x2000];
    file[..16].fill(0);
    file[16..32].copy_from_slice(&Uuid::from_text("fff12b8d-7696-4c8b-a985-2747075b4f50").to_guid_bytes());
    file[32..40].copy_from_slice(&0x2000_u64.to_le_bytes());
    file[40..56].copy_from_slice(b"_FVH\xff\xfe\x04\0\x48\0\0\0\0\0\0\x02");
    file[56..72].copy_from_slice(&[2, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let words = file[..72].chunks(2).map(|word| u16::from_le_bytes([word[0], word[1]]));
    let sum = words.fold(0, u16::wrapping_add).wrapping_neg();
    file[50..52].copy_from_slice(&sum.to_le_bytes());
    file[72..88].copy_from_slice(&Uuid::from_text("aaf32c78-947b-439a-a180-2e144ec37792").to_guid_bytes());
    file[88..100].copy_from_slice(&[0xb8, 0x1f, 0, 0, 0x5a, 0xfe, 0, 0, 0, 0, 0, 0]);
    let variable =
        [&[0xaa, 0x55, 0x3f, 0, 7, 0, 0, 0][..], &[0; 28], &[4, 0, 0, 0, 1, 0, 0, 0], &[0; 16], b"a\0\0\0x"];
    let variable = variable.concat();
    file[100..100 + variable.len()].copy_from_slice(&variable);
    file
}
