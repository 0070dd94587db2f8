//! What the kernel is told of a root whose blocks are checked when they are read: the hash of them all, by which the root
//! and its hashes are found.
//!
//! No file of the root can have its hash, so GRUB's menu has a variable, which the stub on the ESP sets. Entries of
//! systemd-boot are on the ESP, and have it filled in.
//!
//! A root in a slot is started by an image that is the same whichever slot it lies in. It says where in a partition the hashes
//! begin, and the initramfs takes the partition that has those of the root hash there. What is signed names no slot, so
//! nothing has to be signed in a machine.

use crate::fs::verity::RootHash;

/// The word for the kernel, as GRUB fills it in.
pub const WORD: &str = "roothash=$root_hash";
/// Where the hashes begin, in bytes, where they lie behind the root (veritytab(5)).
const OFFSET_WORD: &str = "systemd.verity_root_options=hash-offset=$hash_offset";
/// What the kernel is told of a root in a slot: for systemd's own generator there is nothing left to do, and of the slots the
/// one is booted that has the root.
pub(super) const WORDS_OF_SLOT: [&str; 5] =
    [WORD, OFFSET_WORD, "systemd.verity=no", "ro", "rauc.slot=of-root"];

/// What is known of a root once it is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The hash that all of it follows from.
    pub root_hash: RootHash,
    /// The first byte of the hashes in the partition of the root; `None`: they have a partition of their own.
    pub hash_offset: Option<u64>,
}

impl Verified {
    /// As long in a command line as any other, or longer.
    pub const UNKNOWN: Self = Self { root_hash: RootHash::UNKNOWN, hash_offset: Some(u64::MAX) };
}

/// What GRUB runs so that its menu knows the hash.
pub(super) fn commands(root_hash: RootHash) -> String {
    format!("set root_hash={root_hash}\nexport root_hash\n")
}

/// A command line with what is known filled in.
pub fn filled(cmdline: &str, verified: Verified) -> String {
    let Verified { root_hash, hash_offset } = verified;
    let fill = |word: &str| match (word, hash_offset) {
        (WORD, _) => format!("roothash={root_hash}"),
        (OFFSET_WORD, Some(offset)) => word.replace("$hash_offset", &offset.to_string()),
        _ => word.to_owned(),
    };
    cmdline.split(' ').map(fill).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: RootHash = RootHash([0x0f; 32]);

    #[test]
    fn the_hash_is_filled_in_where_it_is_a_word_by_itself() {
        let verified = Verified { root_hash: HASH, hash_offset: None };
        let cmdline = filled("roothash=$root_hash ro  note=$root_hash", verified);
        assert_eq!(cmdline, format!("roothash={} ro  note=$root_hash", "0f".repeat(32)));
    }

    #[test]
    fn a_root_in_a_slot_is_told_where_its_hashes_are_and_not_where_it_is() {
        let words = WORDS_OF_SLOT.join(" ");
        let cmdline = filled(&words, Verified { root_hash: HASH, hash_offset: Some(1 << 20) });
        let expected = format!(
            "roothash={} systemd.verity_root_options=hash-offset=1048576 systemd.verity=no ro rauc.slot=of-root",
            "0f".repeat(32)
        );
        assert_eq!(cmdline, expected);
        assert!(filled(&words, Verified::UNKNOWN).len() >= cmdline.len());
    }
}
