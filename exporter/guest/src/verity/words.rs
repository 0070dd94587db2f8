//! What the kernel's command line says of a verified root, in systemd's words (systemd-veritysetup-generator(8)):
//!
//! ```text
//! roothash=HEX    systemd.verity_root_data=PARTUUID=…    systemd.verity_root_hash=PARTUUID=…
//! systemd.verity_root_options=hash-offset=BYTES,panic-on-corruption|restart-on-corruption
//! ```

use super::superblock::BLOCK;
use super::table::OnCorruption;
use crate::init::initramfs::root::Root;
use crate::init::words::Words;
use crate::update::sums;

const ROOT_HASH: &str = "roothash";
const DATA: &str = "systemd.verity_root_data";
const HASHES: &str = "systemd.verity_root_hash";
const OPTIONS: &str = "systemd.verity_root_options";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The digest of the block on top of the tree.
    pub(super) root_hash: [u8; 32],
    /// The partition with the root.
    pub(super) data: Root,
    /// The one with the tree.
    pub(super) hashes: Root,
    /// Where its superblock lies, in bytes, which are whole blocks.
    pub(super) hash_offset: u64,
    /// `None`: the machine panics, or restarts if its kernel cannot do that.
    pub(super) on_corruption: Option<OnCorruption>,
}

impl Asked {
    /// Where nothing else is said, the identities of both partitions are the two halves of the root hash (Discoverable Partitions
    /// Specification, "Verity").
    ///
    /// # Errors
    /// Words that are missing or mean nothing here.
    pub(super) fn parse(words: &Words) -> Result<Self, String> {
        let hash = words.value(ROOT_HASH).ok_or(
            "the command line has no roothash=, and this initramfs mounts no root that is not verified",
        )?;
        let root_hash = sums::parse(hash)
            .ok_or_else(|| format!("roothash={hash}: a SHA-256 has 64 hexadecimal digits"))?;
        let (first, last) = hash.split_at(hash.len() / 2);
        let device = |name, half| match words.value(name) {
            Some(word) => Root::parse(word).map_err(|_| format!("{name}={word}: names no device")),
            None => Ok(Root::PartUuid(uuid(half))),
        };
        let (data, hashes) = (device(DATA, first)?, device(HASHES, last)?);
        let Options { hash_offset, on_corruption } =
            Options::parse(words.value(OPTIONS).unwrap_or_default())?;
        Ok(Self { root_hash, data, hashes, hash_offset, on_corruption })
    }
}

/// 32 digits, as `PARTUUID=` has them.
fn uuid(digits: &str) -> String {
    let digits = digits.to_ascii_lowercase();
    let part = |range| digits.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

/// What `systemd.verity_root_options=` says.
#[derive(Default)]
struct Options {
    hash_offset: u64,
    on_corruption: Option<OnCorruption>,
}

impl Options {
    /// The last one counts. What would have the machine go on with what is not its own is none.
    fn parse(options: &str) -> Result<Self, String> {
        let mut found = Self::default();
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=').unwrap_or((option, "")) {
                ("panic-on-corruption", "") => found.on_corruption = Some(OnCorruption::Panic),
                ("restart-on-corruption", "") => found.on_corruption = Some(OnCorruption::Restart),
                ("hash-offset", bytes) => found.hash_offset = whole_blocks(bytes)?,
                _ => {
                    return Err(format!(
                        "{OPTIONS}={option}: is none of panic-on-corruption, restart-on-corruption and hash-offset=BYTES"
                    ));
                }
            }
        }
        Ok(found)
    }
}

fn whole_blocks(bytes: &str) -> Result<u64, String> {
    let found = bytes.parse().ok().filter(|bytes: &u64| bytes.is_multiple_of(BLOCK as u64));
    found.ok_or_else(|| format!("{OPTIONS}=hash-offset={bytes}: are no bytes of whole blocks of {BLOCK}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "00112233445566778899AABBCCDDEEFF0123456789abcdef0123456789abcdef";

    fn parse(line: &str) -> Result<Asked, String> {
        Asked::parse(&Words::parse(line))
    }

    #[test]
    fn the_partitions_are_known_by_the_halves_of_the_root_hash() {
        let asked = parse(&format!("quiet ro roothash={HASH} init=/sbin/init")).unwrap();
        assert_eq!(asked.root_hash[..4], [0, 0x11, 0x22, 0x33]);
        assert_eq!(asked.data, Root::PartUuid("00112233-4455-6677-8899-aabbccddeeff".into()));
        assert_eq!(asked.hashes, Root::PartUuid("01234567-89ab-cdef-0123-456789abcdef".into()));
        assert_eq!((asked.hash_offset, asked.on_corruption), (0, None));
    }

    #[test]
    fn systemds_words_count_before_them() {
        let line = format!(
            "roothash={HASH} systemd.verity_root_data=PARTUUID=AB-01 systemd.verity_root_hash=/dev/vdb \
             systemd.verity_root_options=panic-on-corruption,hash-offset=8192,restart-on-corruption"
        );
        let asked = parse(&line).unwrap();
        assert_eq!(
            (asked.data, asked.hashes),
            (Root::PartUuid("ab-01".into()), Root::Device("/dev/vdb".into()))
        );
        assert_eq!((asked.hash_offset, asked.on_corruption), (8192, Some(OnCorruption::Restart)));
    }

    #[test]
    fn what_is_missing_or_means_nothing_is_named() {
        for (line, said) in [
            ("root=/dev/vda2".to_owned(), "has no roothash="),
            ("roothash=".into(), "roothash=: a SHA-256 has 64"),
            (format!("roothash={}", &HASH[1..]), "a SHA-256 has 64"),
            (format!("roothash={HASH}0"), "a SHA-256 has 64"),
            (format!("roothash={}ü{}", &HASH[..31], &HASH[33..]), "a SHA-256 has 64"),
            (
                format!("roothash={HASH} systemd.verity_root_hash=vdb"),
                "systemd.verity_root_hash=vdb: names no",
            ),
            (
                format!("roothash={HASH} systemd.verity_root_options=ignore-corruption"),
                "systemd.verity_root_options=ignore-corruption: is none",
            ),
            (
                format!("roothash={HASH} systemd.verity_root_options=panic-on-corruption=1"),
                "systemd.verity_root_options=panic-on-corruption=1: is none",
            ),
            (
                format!("roothash={HASH} systemd.verity_root_options=hash-offset=4608"),
                "hash-offset=4608: are no bytes of whole blocks",
            ),
            (
                format!("roothash={HASH} systemd.verity_root_options=hash-offset=-4096"),
                "hash-offset=-4096: are no bytes",
            ),
            (
                format!("roothash={HASH} systemd.verity_root_options=hash-offset"),
                "hash-offset=: are no bytes",
            ),
        ] {
            let error = parse(&line).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
