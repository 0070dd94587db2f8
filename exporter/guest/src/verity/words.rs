//! What the kernel's command line says of a verified root, in systemd's words (systemd-veritysetup-generator(8)):
//!
//! ```text
//! roothash=HEX    systemd.verity_root_data=PARTUUID=…    systemd.verity_root_hash=PARTUUID=…
//! systemd.verity_root_options=panic-on-corruption|restart-on-corruption,hash-offset=BYTES
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
    /// Where both are.
    pub(super) place: Place,
    /// `None`: the machine panics, or restarts if its kernel cannot do that.
    pub(super) on_corruption: Option<OnCorruption>,
}

/// Where the root and the tree over it are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On two devices, or on one that has both.
    Apart {
        /// The one with the root.
        data: Root,
        /// The one with the tree.
        hashes: Root,
        /// The byte of the latter in which a block with the superblock begins.
        offset: u64,
    },
    /// On one, the tree from this byte on, which is that of a block. It is any partition that has the tree of the root hash there:
    /// what starts a root in a slot does not know in which.
    Within(u64),
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
        let (on_corruption, offset) = options(words.value(OPTIONS).unwrap_or_default())?;
        let are_named = [DATA, HASHES].iter().any(|name| words.value(name).is_some());
        let place = match offset {
            Some(offset) if !are_named => Place::Within(offset),
            _ => Place::Apart {
                data: device(DATA, first)?,
                hashes: device(HASHES, last)?,
                offset: offset.unwrap_or_default(),
            },
        };
        Ok(Self { root_hash, place, on_corruption })
    }
}

/// 32 digits, as `PARTUUID=` has them.
fn uuid(digits: &str) -> String {
    let digits = digits.to_ascii_lowercase();
    let part = |range| digits.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

/// What becomes of corruption, and the byte at which the hashes begin; of each the last one counts. What would have the machine go
/// on with what is not its own is none.
fn options(options: &str) -> Result<(Option<OnCorruption>, Option<u64>), String> {
    let (mut wish, mut offset) = (None, None);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match (option, option.strip_prefix("hash-offset=")) {
            ("panic-on-corruption", _) => wish = Some(OnCorruption::Panic),
            ("restart-on-corruption", _) => wish = Some(OnCorruption::Restart),
            (_, Some(bytes)) => offset = Some(block_at(bytes)?),
            (other, None) => {
                return Err(format!(
                    "{OPTIONS}={other}: is none of panic-on-corruption, restart-on-corruption and hash-offset="
                ));
            }
        }
    }
    Ok((wish, offset))
}

/// The first byte of a block behind another one.
fn block_at(bytes: &str) -> Result<u64, String> {
    let at = bytes.parse().ok().filter(|at| *at > 0 && at % BLOCK as u64 == 0);
    at.ok_or_else(|| format!("{OPTIONS}=hash-offset={bytes}: is no multiple of {BLOCK} in bytes"))
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
        let [data, hashes] = ["00112233-4455-6677-8899-aabbccddeeff", "01234567-89ab-cdef-0123-456789abcdef"]
            .map(|uuid| Root::PartUuid(uuid.into()));
        assert_eq!(asked.place, Place::Apart { data, hashes, offset: 0 });
        assert_eq!(asked.on_corruption, None);
    }

    /// As the image of a root in a slot has it.
    #[test]
    fn hashes_behind_the_root_are_on_a_partition_that_has_no_name() {
        let options = "systemd.verity_root_options=restart-on-corruption,hash-offset=33554432";
        let asked =
            parse(&format!("roothash={HASH} {options} systemd.verity=no ro rauc.slot=of-root")).unwrap();
        assert_eq!(
            (asked.place, asked.on_corruption),
            (Place::Within(32 << 20), Some(OnCorruption::Restart))
        );
    }

    #[test]
    fn systemds_words_count_before_them() {
        let line = format!(
            "roothash={HASH} systemd.verity_root_data=PARTUUID=AB-01 systemd.verity_root_hash=/dev/vdb \
             systemd.verity_root_options=panic-on-corruption,hash-offset=8192,restart-on-corruption"
        );
        let asked = parse(&line).unwrap();
        let (data, hashes) = (Root::PartUuid("ab-01".into()), Root::Device("/dev/vdb".into()));
        assert_eq!(asked.place, Place::Apart { data, hashes, offset: 8192 });
        assert_eq!(asked.on_corruption, Some(OnCorruption::Restart));
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
            (format!("roothash={HASH} {OPTIONS}=hash-offset=0"), "hash-offset=0: is no multiple of 4096"),
            (format!("roothash={HASH} {OPTIONS}=hash-offset=4608"), "hash-offset=4608: is no multiple"),
            (format!("roothash={HASH} {OPTIONS}=hash-offset=-4096"), "hash-offset=-4096: is no multiple"),
            (format!("roothash={HASH} {OPTIONS}=hash-offset="), "hash-offset=: is no multiple"),
            (format!("roothash={HASH} {OPTIONS}=panic-on-corruption=1"), "panic-on-corruption=1: is none"),
        ] {
            let error = parse(&line).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
