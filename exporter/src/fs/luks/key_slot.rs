//! Key slots: what a passphrase opens, and the volume key in it.
//!
//! ```text
//! passphrase ─kdf─▶ key of the slot ─encrypts─▶ 4000 stripes ─xor, diffuse─▶ volume key
//! ```
//!
//! The volume key is spread over stripes of which each is needed (the anti-forensic splitter of LUKS1), so that to lose
//! any part of them is to lose it.

use argon2::{Algorithm, Argon2, Params, Version};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::xts::Sectors;
use super::{KEY, Kdf, Key, SALT, fill_random, header, random};
use crate::error::{Error, Kind, Result};
use crate::extent::{Extent, Transform};

/// How many stripes there are.
const STRIPES: usize = 4000;
/// Bytes of the stripes.
const MATERIAL: usize = KEY * STRIPES;
/// Bytes of the area of a slot: those, in whole blocks of 4096.
const AREA: usize = MATERIAL.next_multiple_of(4096);

/// A slot with its area.
pub(super) struct KeySlot {
    /// Its number.
    index: usize,
    kdf: Kdf,
    salt: [u8; SALT],
    /// Encrypted; [`AREA`] long.
    area: Vec<u8>,
}

impl KeySlot {
    /// Slot `index`, with the volume key `key` for who knows `passphrase`.
    pub(super) fn new(index: usize, kdf: Kdf, passphrase: &[u8], key: &Key) -> Result<Self> {
        let salt = random()?;
        let mut area = split(key)?;
        Sectors::of_key_slot(&derive(kdf, passphrase, &salt)?).apply(0, &mut area);
        area.resize(AREA, 0);
        Ok(Self { index, kdf, salt, area })
    }

    /// What the header calls it.
    pub(super) fn name(&self) -> String {
        self.index.to_string()
    }

    /// Where its area begins in the volume.
    fn offset(&self) -> u64 {
        header::KEY_SLOTS + (self.index * AREA) as u64
    }

    /// What the header says of it (chapter 3.2).
    pub(super) fn metadata(&self) -> Value {
        let salt = header::base64(&self.salt);
        let kdf = match self.kdf {
            Kdf::Argon2id { time, memory } => {
                json!({ "type": "argon2id", "time": time, "memory": memory, "cpus": 1, "salt": salt })
            }
            Kdf::Pbkdf2 { iterations } => {
                json!({ "type": "pbkdf2", "hash": "sha256", "iterations": iterations, "salt": salt })
            }
        };
        json!({
            "type": "luks2",
            "key_size": KEY,
            "af": { "type": "luks1", "stripes": STRIPES, "hash": "sha256" },
            "area": {
                "type": "raw",
                "offset": self.offset().to_string(),
                "size": AREA.to_string(),
                "encryption": header::CIPHER,
                "key_size": KEY,
            },
            "kdf": kdf,
        })
    }

    /// Its area, where that lies in the volume.
    pub(super) fn into_extent(self) -> Extent {
        Extent::bytes(self.offset(), self.area)
    }
}

/// The key of a slot.
fn derive(kdf: Kdf, passphrase: &[u8], salt: &[u8]) -> Result<Key> {
    let mut key = [0; KEY];
    match kdf {
        Kdf::Pbkdf2 { iterations } => {
            pbkdf2::pbkdf2_hmac::<Sha256>(passphrase, salt, iterations, &mut key);
        }
        Kdf::Argon2id { time, memory } => {
            let failed = |error: argon2::Error| Error::new(Kind::Input, "luks", format!("argon2id: {error}"));
            let params = Params::new(memory, time, 1, Some(KEY)).map_err(failed)?;
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            argon2.hash_password_into(passphrase, salt, &mut key).map_err(failed)?;
        }
    }
    Ok(key)
}

/// The stripes of a key: random ones, and the last such that all of them give it.
fn split(key: &Key) -> Result<Vec<u8>> {
    let mut stripes = vec![0; MATERIAL];
    fill_random(&mut stripes[..MATERIAL - KEY])?;
    let (random, last) = stripes.split_at_mut(MATERIAL - KEY);
    let all = random.chunks(KEY).fold([0; KEY], |sum, stripe| diffused(xor(sum, stripe)));
    last.copy_from_slice(&xor(all, key));
    Ok(stripes)
}

fn xor(mut one: Key, other: &[u8]) -> Key {
    one.iter_mut().zip(other).for_each(|(byte, other)| *byte ^= other);
    one
}

/// Each digest's worth of bytes hashed, after its number.
fn diffused(mut block: Key) -> Key {
    for (number, part) in (0u32..).zip(block.chunks_mut(size_of::<[u8; 32]>())) {
        let digest = Sha256::new().chain_update(number.to_be_bytes()).chain_update(&*part).finalize();
        part.copy_from_slice(&digest);
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_stripes_give_the_key_and_one_less_does_not() {
        let key = [7; KEY];
        let merged = |stripes: &[u8]| {
            let (before, last) = stripes.split_at(stripes.len() - KEY);
            let all = before.chunks(KEY).fold([0; KEY], |sum, stripe| diffused(xor(sum, stripe)));
            xor(all, last)
        };
        let mut stripes = split(&key).unwrap();
        assert_eq!(merged(&stripes), key);
        stripes[MATERIAL / 2] ^= 1;
        assert_ne!(merged(&stripes), key);
    }
}
