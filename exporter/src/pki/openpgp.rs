//! Keys and signatures of OpenPGP, version 4 (RFC 9580): for systemd-sysupdate, which asks gpg, and for GRUB, which reads them
//! itself.
//!
//! ```text
//! armor ─▶ secret key, user ids and their signatures, subkeys …
//!               │                                     └ left out
//!               └▶ keyring: the same with the public half alone
//! ```
//!
//! Read is what `gpg --armor --export-secret-keys` writes of a key for Ed25519 or RSA without a passphrase, whose primary key
//! signs. The crate `pgp` is not taken: it would bring 150 crates for one packet that is read and one that is written. What
//! signs is ring, but for RSA: ring takes the whole message at once, which may be an initramfs.

use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::signature::Ed25519KeyPair;
use rsa::rand_core::OsRng;
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Pkcs1v15Sign, RsaPrivateKey};
use sha2::{Digest, Sha512};

/// What a person does who has no right key.
pub(crate) const MAKE_ONE: &str = "make a key without a passphrase, for the build alone to read: \
    gpg --batch --passphrase '' --quick-gen-key release@example.com ed25519 sign never, then \
    gpg --armor --export-secret-keys release@example.com";

/// How a secret key begins and ends as text (6.2).
pub(crate) const BEGIN: &str = "-----BEGIN PGP PRIVATE KEY BLOCK-----";
const END: &str = "-----END PGP PRIVATE KEY BLOCK-----";

/// Types of packets (5).
const SIGNATURE: u8 = 2;
const SECRET_KEY: u8 = 5;
const SECRET_SUBKEY: u8 = 7;
const USER_ID: u8 = 13;
const USER_ATTRIBUTE: u8 = 17;
/// Bits of the modulus of a key for RSA.
const RSA_BITS: RangeInclusive<usize> = 2048..=4096;
/// What stands in front of a SHA-512 that RSA signs: the DER of a `DigestInfo` (RFC 8017, 9.2, note 1).
const SHA512_INFO: [u8; 19] =
    [0x30, 0x51, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3, 5, 0, 4, 0x40];
/// The head of a packet with a public key, of the old format and with a length of two bytes: what a fingerprint begins with,
/// too (5.5.4).
const PUBLIC_KEY_HEAD: u8 = 0x99;

/// Algorithms (9.1, 9.5).
const RSA: u8 = 1;
const EDDSA: u8 = 22;
const WITH_SHA512: u8 = 10;
/// The curve of Ed25519 (9.2), with its length in front.
const ED25519: &[u8] = &[9, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];
/// In front of a point that is written as curves of Edwards have it (11.2.2).
const NATIVE_POINT: u8 = 0x40;

/// Subpackets of a signature (5.2.3.7).
const CREATED: u8 = 2;
const ISSUER: u8 = 16;
const ISSUER_FINGERPRINT: u8 = 33;

const NONE: &str = "is no secret key of GPG";
const DAMAGED: &str = "is a damaged key of GPG";
const LOCKED: &str = "is a key of GPG with a passphrase, which nobody is there to type";
const OTHER: &str = "is a key of GPG for neither Ed25519 nor RSA of 2048 to 4096 bits";

/// A key that signs.
pub struct Key {
    /// Seconds since the epoch.
    created: u32,
    /// The packet of its public half.
    public: Vec<u8>,
    /// The packets that say whose it is.
    names: Vec<u8>,
    secret: Secret,
}

enum Secret {
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaPrivateKey>),
}

impl Key {
    /// The key in a text. The error is what it is instead.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let bytes = unarmored(text).ok_or(NONE)?;
        let mut packets = Bytes(&bytes);
        let first = packets.packet().filter(|packet| packet.kind == SECRET_KEY).ok_or(NONE)?;
        let mut key = Self::read(first.body)?;
        while let Some(packet) = packets.packet().filter(|packet| packet.kind != SECRET_SUBKEY) {
            if matches!(packet.kind, USER_ID | USER_ATTRIBUTE | SIGNATURE) {
                key.names.extend(packet.whole);
            }
        }
        Ok(key)
    }

    /// That of a packet (5.5.3), without its names.
    fn read(body: &[u8]) -> Result<Self, &'static str> {
        let mut bytes = Bytes(body);
        if bytes.take(1) != Some(&[4]) {
            return Err("is a key of GPG of another version than 4");
        }
        let created = bytes.u32().ok_or(DAMAGED)?;
        let algorithm = bytes.u8().ok_or(DAMAGED)?;
        let numbers = match algorithm {
            EDDSA => [bytes.take(ED25519.len()).filter(|curve| *curve == ED25519), bytes.number()],
            RSA => [bytes.number(), bytes.number()],
            _ => return Err(OTHER),
        };
        let [Some(first), Some(second)] = numbers else { return Err(OTHER) };
        let public = &body[..body.len() - bytes.0.len()];
        if bytes.u8().ok_or(DAMAGED)? != 0 {
            return Err(LOCKED);
        }
        let (secret, sum) = bytes.0.split_last_chunk().ok_or(DAMAGED)?;
        let found = secret.iter().fold(0_u16, |sum, byte| sum.wrapping_add((*byte).into()));
        if found != u16::from_be_bytes(*sum) {
            return Err(DAMAGED);
        }
        let mut bytes = Bytes(secret);
        let secret = match algorithm {
            RSA => Secret::Rsa(Box::new(rsa([first, second], &mut bytes).ok_or(OTHER)?)),
            _ => Secret::Ed25519(ed25519(second, &mut bytes).ok_or(DAMAGED)?),
        };
        let len = u16::try_from(public.len()).map_err(|_| DAMAGED)?;
        let public = [&[PUBLIC_KEY_HEAD], &len.to_be_bytes()[..], public].concat();
        Ok(Self { created, public, names: Vec::new(), secret })
    }

    /// What gpg takes as a keyring, and knows the key by.
    pub(crate) fn keyring(&self) -> Vec<u8> {
        [&*self.public, &self.names].concat()
    }

    /// The packet of its public half.
    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }

    /// Whether it signs by RSA.
    pub(crate) fn is_rsa(&self) -> bool {
        matches!(self.secret, Secret::Rsa(_))
    }

    /// The packet of a signature (5.2.3) of the message that was hashed, made at `time`, but not before the key.
    pub(crate) fn sign(&self, message: Sha512, time: u32) -> Result<Vec<u8>, &'static str> {
        let fingerprint = self.fingerprint();
        let made = time.max(self.created).to_be_bytes();
        let hashed =
            [subpacket(ISSUER_FINGERPRINT, &[&[4], &*fingerprint].concat()), subpacket(CREATED, &made)];
        let hashed = hashed.concat();
        let algorithm = if self.is_rsa() { RSA } else { EDDSA };
        let head = [&[4, 0, algorithm, WITH_SHA512][..], &short(&hashed), &hashed].concat();
        let tail = [&[4, 0xff][..], &(head.len() as u32).to_be_bytes()].concat();
        let hash = message.chain_update(&head).chain_update(tail).finalize();
        let unhashed = subpacket(ISSUER, &fingerprint[fingerprint.len() - 8..]);
        let numbers = self.numbers(&hash)?;
        let body = [&*head, &short(&unhashed), &unhashed, &hash[..2], &numbers].concat();
        // Of the old format, with a length of two bytes.
        Ok([&[0x80 | (SIGNATURE << 2) | 1][..], &short(&body), &body].concat())
    }

    /// What the algorithm says of a digest.
    fn numbers(&self, hash: &[u8]) -> Result<Vec<u8>, &'static str> {
        match &self.secret {
            Secret::Ed25519(pair) => {
                let signature = pair.sign(hash);
                let (point, scalar) = signature.as_ref().split_at(32);
                Ok([number(point), number(scalar)].concat())
            }
            Secret::Rsa(key) => {
                let scheme = Pkcs1v15Sign { hash_len: Some(hash.len()), prefix: SHA512_INFO.into() };
                // What is random hides how long it takes, and is not in the signature.
                let signature = key.sign_with_rng(&mut OsRng, scheme, hash).map_err(|_| DAMAGED)?;
                Ok(number(&signature))
            }
        }
    }

    /// Its fingerprint, as gpg shows it.
    pub(crate) fn name(&self) -> String {
        self.fingerprint().iter().map(|byte| format!("{byte:02X}")).collect()
    }

    fn fingerprint(&self) -> Vec<u8> {
        digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.public).as_ref().to_vec()
    }
}

impl fmt::Debug for Key {
    /// By its fingerprint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.name()).finish()
    }
}

fn ed25519(point: &[u8], secret: &mut Bytes<'_>) -> Option<Ed25519KeyPair> {
    let (_, public) = point.split_first().filter(|(form, _)| **form == NATIVE_POINT)?;
    let seed = secret.number()?;
    // A number has no zeroes in front.
    let mut padded = [0; 32];
    padded.get_mut(32_usize.checked_sub(seed.len())?..)?.copy_from_slice(seed);
    Ed25519KeyPair::from_seed_and_public_key(&padded, public).ok()
}

/// The key with this modulus and exponent, and the numbers of its secret half (5.5.5.1).
fn rsa([n, e]: [&[u8]; 2], secret: &mut Bytes<'_>) -> Option<RsaPrivateKey> {
    let [d, p, q] = [secret.number()?, secret.number()?, secret.number()?];
    let [n, e, d, p, q] = [n, e, d, p, q].map(BigUint::from_bytes_be);
    // It is checked whether they belong together.
    let key = RsaPrivateKey::from_components(n, e, d, vec![p, q]).ok()?;
    RSA_BITS.contains(&key.n().bits()).then_some(key)
}

/// The bytes behind the headers of a text, without its checksum, which says nothing that the key itself does not.
fn unarmored(text: &str) -> Option<Vec<u8>> {
    let (_, behind) = text.split_once(BEGIN)?;
    let (block, _) = behind.split_once(END)?;
    let lines = block.lines().map(str::trim).skip(1).skip_while(|line| line.contains(':'));
    let data: String = lines.take_while(|line| !line.starts_with('=')).collect();
    BASE64_STANDARD.decode(data).ok()
}

fn subpacket(kind: u8, body: &[u8]) -> Vec<u8> {
    // None here is of 192 bytes or more, whose length would take two.
    [&[body.len() as u8 + 1, kind][..], body].concat()
}

/// A length in front of what has it.
fn short(bytes: &[u8]) -> [u8; 2] {
    (bytes.len() as u16).to_be_bytes()
}

/// A number with its length in bits (3.2).
fn number(bytes: &[u8]) -> Vec<u8> {
    let zeroes = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = &bytes[zeroes..];
    let bits = bytes.len() * 8 - bytes.first().map_or(0, |first| first.leading_zeros() as usize);
    [&(bits as u16).to_be_bytes()[..], bytes].concat()
}

/// What is read from front to end, and not believed.
struct Bytes<'a>(&'a [u8]);

struct Packet<'a> {
    kind: u8,
    body: &'a [u8],
    /// With its head.
    whole: &'a [u8],
}

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// A number, without zeroes in front (3.2).
    fn number(&mut self) -> Option<&'a [u8]> {
        let bits = self.u16()?;
        let bytes = self.take(usize::from(bits).div_ceil(8))?;
        bytes.first().is_none_or(|first| *first != 0).then_some(bytes)
    }

    /// The next packet, of either format (4.2). None here has parts of its own lengths.
    fn packet(&mut self) -> Option<Packet<'a>> {
        let before = self.0;
        let head = self.u8().filter(|head| head & 0x80 != 0)?;
        let (kind, len) = if head & 0x40 != 0 {
            let len = match self.u8()? {
                len @ 0..192 => len.into(),
                len @ 192..224 => ((u32::from(len) - 192) << 8) + u32::from(self.u8()?) + 192,
                255 => self.u32()?,
                _ => return None,
            };
            (head & 0x3f, len)
        } else {
            let len = match head & 3 {
                0 => self.u8()?.into(),
                1 => self.u16()?.into(),
                2 => self.u32()?,
                _ => return None,
            };
            ((head >> 2) & 0xf, len)
        };
        let body = self.take(len as usize)?;
        Some(Packet { kind, body, whole: &before[..before.len() - self.0.len()] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scratch, tool};

    const ED25519: &str = include_str!("../../../testdata/update/gpg-ed25519.asc");
    const RSA3072: &str = include_str!("../../../testdata/update/gpg-rsa3072.asc");
    const NISTP256: &str = include_str!("../../../testdata/update/gpg-nistp256.asc");
    const LOCKED: &str = include_str!("../../../testdata/update/gpg-locked.asc");
    /// After both keys.
    const TIME: u32 = 1_750_000_000;

    fn hashed(message: &[u8]) -> Sha512 {
        Sha512::new_with_prefix(message)
    }

    /// gpg with a home of its own: whether it was content, and what it said.
    fn gpg(scratch: &Scratch, words: &[&str]) -> (bool, String) {
        let home = scratch.file("home");
        std::fs::create_dir(&home).unwrap();
        let home = format!("--homedir={}", home.display());
        tool("gpg", &[&[&*home, "--no-options", "--batch"], words].concat())
    }

    /// Whether it finds a right signature, asked as systemd asks it.
    fn verified(keyring: &[u8], signature: &[u8], message: &[u8]) -> (bool, String) {
        let scratch = Scratch::new();
        let [keyring, signature, message] = [("ring", keyring), ("gpg", signature), ("sums", message)]
            .map(|(name, bytes)| scratch.write(name, bytes));
        let ring = format!("--keyring={keyring}");
        let words = ["--no-default-keyring", "--no-auto-key-locate", "--trust-model=always", &ring];
        gpg(&scratch, &[&words[..], &["--verify", &signature, &message]].concat())
    }

    #[test]
    fn gpg_believes_a_signature_of_the_key_and_no_other() {
        let [ed25519, rsa] = [ED25519, RSA3072].map(|text| Key::parse(text).unwrap());
        for (key, other) in [(&ed25519, &rsa), (&rsa, &ed25519)] {
            let signature = key.sign(hashed(b"sums"), TIME).unwrap();
            assert_eq!(signature, key.sign(hashed(b"sums"), TIME).unwrap(), "the same each time");
            let (is_right, said) = verified(&key.keyring(), &signature, b"sums");
            assert!(is_right && said.contains("Good signature"), "{key:?}: {said}");
            assert!(!verified(&key.keyring(), &signature, b"sumz").0, "{key:?}");
            assert!(!verified(&other.keyring(), &signature, b"sums").0, "{key:?}");
        }
    }

    /// Of a source that is older than the key: gpg believes no signature from before it.
    #[test]
    fn no_signature_is_older_than_its_key() {
        let key = Key::parse(ED25519).unwrap();
        let signature = key.sign(hashed(b""), 1).unwrap();
        assert_eq!(signature, key.sign(hashed(b""), key.created).unwrap());
        assert!(verified(&key.keyring(), &signature, b"").0);
    }

    /// Numbers lose their zeroes: one of 256 messages has one in front.
    #[test]
    fn every_message_is_signed() {
        let key = Key::parse(ED25519).unwrap();
        let signatures =
            (0..2000_u32).map(|message| key.sign(hashed(&message.to_be_bytes()), TIME).unwrap().len());
        let lens: std::collections::BTreeSet<_> = signatures.collect();
        assert!(lens.len() > 1, "{lens:?}");
        let short =
            (0..2000_u32).map(|message| (message, key.sign(hashed(&message.to_be_bytes()), TIME).unwrap()));
        let (message, signature) = short.min_by_key(|(_, signature)| signature.len()).unwrap();
        let (is_right, said) = verified(&key.keyring(), &signature, &message.to_be_bytes());
        assert!(is_right, "{said}");
    }

    #[test]
    fn only_a_whole_key_without_a_passphrase_signs() {
        let refused = |text: &str| Key::parse(text).unwrap_err();
        assert_eq!((refused(LOCKED), refused(NISTP256)), (super::LOCKED, OTHER));
        // One letter of the secret half.
        let torn = ED25519.replace("SPxwNekL", "SPxwNekA");
        assert!(torn != ED25519 && refused(&torn) == DAMAGED);
        let public = ED25519.replace("lFgEZ3SF", "mFgEZ3SF");
        for text in [
            "",
            BEGIN,
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n-----END PGP PRIVATE KEY BLOCK-----",
            &public,
        ] {
            assert_eq!(refused(text), NONE, "{text:?}");
        }
    }

    #[test]
    fn a_key_that_is_cut_short_is_refused() {
        for text in [ED25519, RSA3072] {
            let bytes = unarmored(text).unwrap();
            let mut packets = Bytes(&bytes);
            let body = packets.packet().unwrap().body;
            for len in 0..body.len() {
                assert!(Key::read(&body[..len]).is_err(), "{len}");
            }
        }
    }

    #[test]
    fn what_is_printed_is_not_secret() {
        let key = Key::parse(ED25519).unwrap();
        assert_eq!(format!("{key:?}"), "Key(\"63514C0536E8AA89740D7423E389BBEDD0D1215E\")");
        let keyring = key.keyring();
        let secret = &unarmored(ED25519).unwrap()[56..88];
        assert!(!keyring.windows(8).any(|window| secret.windows(8).any(|other| other == window)));
        let scratch = Scratch::new();
        let (is_right, shown) = gpg(&scratch, &["--list-packets", &scratch.write("ring", &keyring)]);
        assert!(
            is_right
                && shown.contains(":public key packet:")
                && shown.contains("Release <release@example.com>"),
            "{shown}"
        );
        assert!(!shown.contains("secret"), "{shown}");
    }
}
