//! LUKS2: a partition whose content is AES-XTS under a random key, which a passphrase or a key file opens.
//!
//! ```text
//! ┌────────┬────────┬────────────────┬───────┬──────────────────────────────┐
//! │ header │ header │ key slots,     │ room  │ the content, sector by sector│
//! │ + JSON │ again  │ each 252 KiB   │       │ aes-xts-plain64              │
//! └────────┴────────┴────────────────┴───────┴──────────────────────────────┘
//! 0        16 KiB   32 KiB                   16 MiB
//! ```
//!
//! Specification: "LUKS2 On-Disk Format", <https://gitlab.com/cryptsetup/LUKS2-docs>.
//!
//! The content is encrypted while it is written ([`Transform`](crate::extent::Transform)): no byte is written twice, all
//! workers do it, and memory does not grow. Keys, salts and stripes are random, and so two builds of the same differ there.
//!
//! What nothing ever reads is not written: of an ext4 its free blocks, of a swap area all but the header. Whoever has the disk
//! sees which those are, as with a disk that discards. Of other contents all of it is written, holes too.

mod header;
mod key_slot;
mod payload;
#[cfg(test)]
mod tests;
mod xts;

use std::ops::Range;
use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};

use self::key_slot::KeySlot;
use self::payload::Payload;
use self::xts::Sectors;
use super::Contents;
use crate::error::{Error, Kind, Result};
use crate::extent::{Extent, UNIT};
use crate::seed::Uuid;

/// Where the content begins (cryptsetup's `LUKS2_DEFAULT_HDR_SIZE`), in bytes: room for more key slots.
pub const DATA_OFFSET: u64 = 16 << 20;
/// Bytes of the volume key: two of AES-256.
const KEY: usize = 64;
/// Bytes of a salt, wherever there is one.
const SALT: usize = 32;
/// Key slots that a volume is made with at most.
const KEY_SLOTS_MAX: usize = 8;
/// The longest label in bytes; the header ends it with a NUL.
pub const LABEL_MAX: usize = 47;

/// The key that encrypts a content, and those for key slots.
type Key = [u8; KEY];

/// What a volume is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it is found by.
    pub uuid: Uuid,
    /// At most [`LABEL_MAX`] bytes, no NUL.
    pub label: String,
    /// Bytes per sector: 512 or 4096. What lies in it has no smaller ones.
    pub sector_size: u32,
    /// How long it takes to try a passphrase.
    pub kdf: Kdf,
}

/// What makes a key of a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kdf {
    /// RFC 9106. The machine needs as much memory at boot.
    Argon2id {
        /// Passes.
        time: u32,
        /// In KiB.
        memory: u32,
    },
    /// RFC 8018 with SHA-256. GRUB knows no other.
    Pbkdf2 {
        /// Rounds.
        iterations: u32,
    },
}

/// A volume with its keys, of which nothing is written yet.
pub struct Volume {
    /// All up to the content.
    head: Vec<Extent>,
    sectors: Arc<Sectors>,
}

impl Volume {
    /// A new key, which each of `passphrases` opens, by a key slot of its own; a key file is one as well.
    ///
    /// # Errors
    /// `Input` for options or passphrases that cannot be, `Io` if the system gives no random bytes.
    pub fn new(options: &Options, passphrases: &[&[u8]]) -> Result<Self> {
        check(options, passphrases)?;
        let key = random::<KEY>()?;
        let slots = passphrases.iter().enumerate();
        let slots = slots.map(|(index, passphrase)| KeySlot::new(index, options.kdf, passphrase, &key));
        let slots = slots.collect::<Result<Vec<_>>>()?;
        let headers = Extent::bytes(0, header::pair(options, &key, &slots)?);
        let head = std::iter::once(headers).chain(slots.into_iter().map(KeySlot::into_extent)).collect();
        Ok(Self { head, sectors: Arc::new(Sectors::new(&key, options.sector_size)) })
    }

    /// The volume with `content`, of which `used` is ever read (`None`: all of it).
    pub fn contents(&self, content: Contents, used: Option<Vec<Range<u64>>>) -> Contents {
        let used = used.or_else(|| content.extents.used());
        let size = DATA_OFFSET + content.size.next_multiple_of(UNIT);
        let (head, sectors) = (self.head.clone(), Arc::clone(&self.sectors));
        Contents { size, extents: Box::new(Payload::new(head, content, used, sectors)) }
    }
}

fn check(options: &Options, passphrases: &[&[u8]]) -> Result<()> {
    let wrong = |message: String| Err(Error::new(Kind::Input, "luks", message));
    let Options { label, sector_size, kdf, .. } = options;
    if label.len() > LABEL_MAX || label.contains('\0') {
        return wrong(format!("the label {label:?} is longer than {LABEL_MAX} bytes or contains NUL"));
    }
    if ![512, 4096].contains(sector_size) {
        return wrong(format!("sectors have 512 or 4096 bytes, and not {sector_size}"));
    }
    // What cryptsetup takes for wrong (`luks2_keyslot_luks2.c`).
    let is_weak = match kdf {
        Kdf::Argon2id { time, memory } => *time < 4 || !(32..=4 << 20).contains(memory),
        Kdf::Pbkdf2 { iterations } => *iterations < 1000,
    };
    if is_weak {
        return wrong(format!("{kdf:?} is outside of what cryptsetup takes"));
    }
    if !(1..=KEY_SLOTS_MAX).contains(&passphrases.len()) {
        return wrong(format!("{} passphrases, expected 1 to {KEY_SLOTS_MAX}", passphrases.len()));
    }
    if passphrases.iter().any(|passphrase| passphrase.is_empty()) {
        return wrong("a passphrase has at least one byte".into());
    }
    Ok(())
}

/// Random bytes of the operating system.
fn random<const LEN: usize>() -> Result<[u8; LEN]> {
    let mut bytes = [0; LEN];
    fill_random(&mut bytes)?;
    Ok(bytes)
}

fn fill_random(bytes: &mut [u8]) -> Result<()> {
    let failed = |_| Error::new(Kind::Io, "luks", "the operating system gives no random bytes");
    SystemRandom::new().fill(bytes).map_err(failed)
}
