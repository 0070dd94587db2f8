//! Keys and signatures of minisign (<https://jedisct1.github.io/minisign/>, "Signature format", "Secret key format").
//!
//! The crate `minisign` is not taken: its signatures are others at each time, and keys that minisign 0.11 makes without a
//! password have no checksum, which it calls corrupted. What signs is ring, which the frontend has for TLS anyway.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use blake2::{Blake2b512, Digest};
use ring::signature::{Ed25519KeyPair, KeyPair};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a person does who has no right key.
pub(super) const MAKE_ONE: &str =
    "make a key without a password, for the build alone to read: minisign -G -W";

/// Ed25519 over the bytes themselves: what keys are called.
const ED25519: [u8; 2] = *b"Ed";
/// The same over their BLAKE2b: what signatures are called.
const PREHASHED: [u8; 2] = *b"ED";
/// Of a key that no password derives another from.
const NO_PASSWORD: [u8; 2] = [0; 2];

const UNTRUSTED: &str = "untrusted comment: ";
const TRUSTED: &str = "trusted comment: ";

/// A secret key, as the second line of its file has it in base64.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SecretKey {
    algorithm: [u8; 2],
    password: [u8; 2],
    checksum_algorithm: [u8; 2],
    salt: [u8; 32],
    operations: [u8; 8],
    memory: [u8; 8],
    number: [u8; 8],
    seed: [u8; 32],
    public: [u8; 32],
    /// Zeroes where minisign 0.11 made the key without a password.
    checksum: [u8; 32],
}

/// A public key, as its file has it in base64.
#[derive(Immutable, IntoBytes, Unaligned)]
#[repr(C)]
struct PublicKey {
    algorithm: [u8; 2],
    number: [u8; 8],
    public: [u8; 32],
}

/// A signature, as the second line of its file has it in base64.
#[derive(Immutable, IntoBytes, Unaligned)]
#[repr(C)]
struct Signature {
    algorithm: [u8; 2],
    number: [u8; 8],
    signature: [u8; 64],
}

/// A key that signs.
pub struct Key {
    /// By which a signature says whose it is.
    number: [u8; 8],
    pair: Ed25519KeyPair,
}

impl Key {
    /// The key in the text of its file. The error is what it is instead.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        const NONE: &str = "is no secret key of minisign";
        let key = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(UNTRUSTED));
        let bytes = key.and_then(|key| BASE64_STANDARD.decode(key).ok()).ok_or(NONE)?;
        let key = SecretKey::ref_from_bytes(&bytes).map_err(|_| NONE)?;
        if key.algorithm != ED25519 {
            return Err(NONE);
        }
        if key.password != NO_PASSWORD {
            return Err("is a key of minisign with a password, which nobody is there to type");
        }
        let pair = Ed25519KeyPair::from_seed_and_public_key(&key.seed, &key.public);
        let pair = pair.map_err(|_| "is a damaged key of minisign: its halves do not belong together")?;
        Ok(Self { number: key.number, pair })
    }

    /// The public key, as minisign prints it: `RW…`.
    pub(super) fn public(&self) -> String {
        let mut key = PublicKey { algorithm: ED25519, number: self.number, public: [0; 32] };
        key.public.copy_from_slice(self.pair.public_key().as_ref());
        BASE64_STANDARD.encode(key.as_bytes())
    }

    /// The text of the signature of a message, and of a comment of one line.
    pub(super) fn sign(&self, message: &[u8], comment: &str) -> String {
        let signature = self.pair.sign(&Blake2b512::digest(message));
        let of_both = self.pair.sign(&[signature.as_ref(), comment.as_bytes()].concat());
        let mut line = Signature { algorithm: PREHASHED, number: self.number, signature: [0; 64] };
        line.signature.copy_from_slice(signature.as_ref());
        let [line, of_both] = [line.as_bytes(), of_both.as_ref()].map(|bytes| BASE64_STANDARD.encode(bytes));
        format!("{UNTRUSTED}signature from minisign secret key\n{line}\n{TRUSTED}{comment}\n{of_both}\n")
    }
}

impl fmt::Debug for Key {
    /// By its public half.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.public()).finish()
    }
}

#[cfg(test)]
mod tests {
    use minisign_verify::{PublicKey, Signature};

    use super::*;

    /// What `minisign -G -W` (0.11) has made.
    const RELEASE: &str = include_str!("../../../../../testdata/update/release.key");
    const RELEASE_PUBLIC: &str = "RWQxYAcie9UMBD2m/FcLJpN/pIFiPCdHdLwXmRHboeVxDHZawc7iaSXV";
    const OTHER_PUBLIC: &str = "RWTnQrKUYuoYU7TP5yLXTzlvy63NXlabXVcoJEBWptjFSzK8yPriX4w2";
    /// The same with a password.
    const LOCKED: &str = include_str!("../../../../../testdata/update/locked.key");
    /// What `minisign -S -m FILE -t 'kiosk 1.4.0'` writes of a file that says hello, with that key.
    const SIGNED: &str = "untrusted comment: signature from minisign secret key\n\
        RUQxYAcie9UMBBgCAQ2I63as5eNmUNoKaeyVXEf67SKCsubhE3l2Nrg45KBe9c7X8EfG0mhhPLz6pcQxS31Gwo1Y68n9v1g4ewY=\n\
        trusted comment: kiosk 1.4.0\n\
        XgUx+TfxNxzuSJ9vUjhiQlvdiPHAegAbAnqnvrIGp5xE65MadCHfkMYQREZ5J9DwbrNMPFLNThrEJmahm6IKDQ==\n";

    #[test]
    fn a_signature_is_that_of_minisign_itself() {
        let key = Key::parse(RELEASE).unwrap();
        assert_eq!(key.public(), RELEASE_PUBLIC);
        assert_eq!(format!("{key:?}"), format!("Key({RELEASE_PUBLIC:?})"), "without its secret half");
        assert_eq!(key.sign(b"hello\n", "kiosk 1.4.0"), SIGNED);
    }

    #[test]
    fn another_key_another_message_and_another_comment_are_refused() {
        let text = Key::parse(RELEASE).unwrap().sign(b"sums", "kiosk 1.4.0");
        let verified = |key: &str, message: &[u8], text: &str| {
            let signature = Signature::decode(text).unwrap();
            PublicKey::from_base64(key).unwrap().verify(message, &signature, false).is_ok()
        };
        assert!(verified(RELEASE_PUBLIC, b"sums", &text));
        assert!(!verified(OTHER_PUBLIC, b"sums", &text));
        assert!(!verified(RELEASE_PUBLIC, b"sumz", &text));
        assert!(!verified(RELEASE_PUBLIC, b"sums", &text.replace("1.4.0", "1.5.0")));
    }

    #[test]
    fn only_a_whole_key_without_a_password_signs() {
        let refused = |text: &str| Key::parse(text).err().unwrap();
        assert!(refused(LOCKED).starts_with("is a key of minisign with a password"));
        let torn = RELEASE.replace("RPgM1eJLdBlP", "RPgM1eJLdBlQ");
        assert!(torn != RELEASE && refused(&torn).starts_with("is a damaged key of minisign"));
        for text in ["", "untrusted comment: x\n", RELEASE_PUBLIC, "RWQAAEIy", "not base64!"] {
            assert_eq!(refused(text), "is no secret key of minisign", "{text:?}");
        }
        let without_comment = RELEASE.lines().nth(1).unwrap();
        assert!(Key::parse(&format!("\r\n{without_comment}\r\n")).is_ok());
    }
}
