//! What the kernel is told of a root whose blocks are checked when they are read: the hash of them all, by which the root
//! and its hashes are found.
//!
//! No file of the root can have its hash, so GRUB's menu has a variable, which the stub on the ESP sets. Entries of
//! systemd-boot are on the ESP, and have it filled in.

use crate::fs::verity::RootHash;

/// The word for the kernel, as GRUB fills it in.
pub const WORD: &str = "roothash=$root_hash";

/// What GRUB runs so that its menu knows the hash.
pub(super) fn commands(root_hash: RootHash) -> String {
    format!("set root_hash={root_hash}\nexport root_hash\n")
}

/// A command line with the hash filled in.
pub fn filled(cmdline: &str, root_hash: RootHash) -> String {
    let words = cmdline.split(' ');
    let words =
        words.map(|word| if word == WORD { format!("roothash={root_hash}") } else { word.to_owned() });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_filled_in_where_it_is_a_word_by_itself() {
        let cmdline = filled("roothash=$root_hash ro  note=$root_hash", RootHash([0x0f; 32]));
        assert_eq!(cmdline, format!("roothash={} ro  note=$root_hash", "0f".repeat(32)));
    }
}
