//! The header: a binary one, and what it describes as JSON behind it; all of that twice.

use std::mem::{offset_of, size_of};

use ::base64::Engine;
use ::base64::engine::general_purpose::STANDARD;
use serde_json::{Map, json};
use sha2::{Digest, Sha256};
use zerocopy::big_endian::{U16, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::key_slot::KeySlot;
use super::{DATA_OFFSET, Key, Options, SALT, random};
use crate::error::{Error, Kind, Result};

/// Bytes of a header with its JSON: the least that there may be.
const HEADER: usize = 16 << 10;
/// Where the areas of key slots begin, behind both headers.
pub(super) const KEY_SLOTS: u64 = 2 * HEADER as u64;
/// Bytes of the JSON with the NULs behind it.
const JSON: usize = HEADER - size_of::<BinaryHeader>();
/// What contents and key slots are encrypted by.
pub(super) const CIPHER: &str = "aes-xts-plain64";
/// Rounds of the digest that tells the volume key. That is random, so nobody tries it: the least that is taken for right.
const DIGEST_ITERATIONS: u32 = 1000;

/// `struct luks2_hdr_disk` of cryptsetup, chapter 2.1 of the specification.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct BinaryHeader {
    magic: [u8; 6],
    version: U16,
    hdr_size: U64,
    seqid: U64,
    label: [u8; 48],
    checksum_alg: [u8; 32],
    salt: [u8; 64],
    uuid: [u8; 40],
    subsystem: [u8; 48],
    hdr_offset: U64,
    padding: [u8; 184],
    csum: [u8; 64],
    padding4096: [u8; 7 * 512],
}

const _: () = assert!(size_of::<BinaryHeader>() == 4096);
const _: () = assert!(offset_of!(BinaryHeader, label) == 24);
const _: () = assert!(offset_of!(BinaryHeader, uuid) == 168);
const _: () = assert!(offset_of!(BinaryHeader, hdr_offset) == 256);
const _: () = assert!(offset_of!(BinaryHeader, csum) == 448);

/// Magic and place of the first header and of the second one.
const COPIES: [([u8; 6], u64); 2] = [(*b"LUKS\xba\xbe", 0), (*b"SKUL\xba\xbe", HEADER as u64)];

/// Both headers of a volume with these key slots.
pub(super) fn pair(options: &Options, key: &Key, slots: &[KeySlot]) -> Result<Vec<u8>> {
    let json = metadata(options, key, slots)?;
    let mut bytes = Vec::with_capacity(KEY_SLOTS as usize);
    for (magic, offset) in COPIES {
        bytes.extend(sealed(&header(options, magic, offset)?, &json));
    }
    Ok(bytes)
}

fn header(options: &Options, magic: [u8; 6], offset: u64) -> Result<BinaryHeader> {
    let mut header = BinaryHeader::new_zeroed();
    header.magic = magic;
    header.version = U16::new(2);
    header.hdr_size = U64::new(HEADER as u64);
    header.seqid = U64::new(1);
    put(&mut header.label, options.label.as_bytes());
    put(&mut header.checksum_alg, b"sha256");
    // Only so that no two headers are the same.
    header.salt = random()?;
    put(&mut header.uuid, options.uuid.to_string().as_bytes());
    header.hdr_offset = U64::new(offset);
    Ok(header)
}

fn put(field: &mut [u8], text: &[u8]) {
    field[..text.len()].copy_from_slice(text);
}

/// A header with its JSON and the checksum over both, which is made with that as zeroes.
fn sealed(header: &BinaryHeader, json: &[u8; JSON]) -> Vec<u8> {
    let digest = Sha256::new().chain_update(header.as_bytes()).chain_update(json).finalize();
    let mut header = header.clone();
    put(&mut header.csum, &digest);
    [header.as_bytes(), json].concat()
}

/// Chapter 3 of the specification. Numbers of 64 bits are texts.
fn metadata(options: &Options, key: &Key, slots: &[KeySlot]) -> Result<[u8; JSON]> {
    let salt: [u8; SALT] = random()?;
    let mut digest = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(key, &salt, DIGEST_ITERATIONS, &mut digest);
    let key_slots: Map<_, _> = slots.iter().map(|slot| (slot.name(), slot.metadata())).collect();
    let names: Vec<_> = slots.iter().map(KeySlot::name).collect();
    let metadata = json!({
        "keyslots": key_slots,
        "tokens": {},
        "segments": { "0": {
            "type": "crypt",
            "offset": DATA_OFFSET.to_string(),
            "size": "dynamic",
            "iv_tweak": "0",
            "encryption": CIPHER,
            "sector_size": options.sector_size,
        } },
        "digests": { "0": {
            "type": "pbkdf2",
            "keyslots": names,
            "segments": ["0"],
            "hash": "sha256",
            "iterations": DIGEST_ITERATIONS,
            "salt": base64(&salt),
            "digest": base64(&digest),
        } },
        "config": {
            "json_size": JSON.to_string(),
            "keyslots_size": (DATA_OFFSET - KEY_SLOTS).to_string(),
        },
    });
    let text = metadata.to_string();
    let mut area = [0; JSON];
    let too_long = || Error::new(Kind::Input, "luks", "the header's JSON does not fit");
    area.get_mut(..text.len()).ok_or_else(too_long)?.copy_from_slice(text.as_bytes());
    Ok(area)
}

/// As the JSON has bytes.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
