//! Two slots for roots, of which the boot loader chooses one at each boot.
//!
//! What is of the machine lies on the ESP, in the script of GRUB or the entries of systemd-boot. A slot may get the root of
//! another build, made for another disk: its menu, and what it says of its entry, know the slot that it lies in by these
//! variables alone.
//!
//! | variable | what it is |
//! |---|---|
//! | `root` | where GRUB finds the kernels: the slot, or the partition with the kernels of both |
//! | `slot` | the name of the slot, `A` or `B` |
//! | `slot_partuuid` | the identity of its partition |
//! | `slot_root` | the same as the kernel is told it, `PARTUUID=…` |
//! | `slot_folder` | where kernels lie beside the slots: the folder of the slot, `/A` or `/B` |
//! | `slot_words` | what the kernel is told in this boot alone |

use crate::disk::PartitionId;
use crate::tree::os::Family;

/// The names of slots, which RAUC writes as they are.
pub const NAMES: [&str; 2] = ["A", "B"];

/// What the machine is told of its slot.
const NAME_WORD: &str = "rauc.slot=$slot";
/// The words of this boot alone.
pub(super) const FURTHER_WORDS: &str = "$slot_words";
const ROOT_WORD: &str = "root=$slot_root";
/// The initramfs of Alpine looks for a partition by a path, which mdev makes of what Linux says of it since 6.13.
const ROOT_PATH_WORD: &str = "root=/dev/disk/by-partuuid/$slot_partuuid";
/// The first Linux that does.
pub const ROOT_PATH_SINCE: (u32, u32) = (6, 13);

/// Where the slots are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// The numbers of their partitions.
    pub numbers: [u32; 2],
    /// The identities of their partitions.
    pub partitions: [PartitionId; 2],
    /// The number of the partition with the kernels of both, where GRUB does not read a slot.
    pub kernels: Option<u32>,
}

impl Slots {
    /// What is in front of the path of a kernel in the menu of a slot.
    pub(super) fn folder(&self) -> &'static str {
        if self.kernels.is_some() { "$slot_folder" } else { "" }
    }
}

/// What the kernel is told of the root, with an initramfs of this family.
pub(super) fn root_words(initramfs: Option<Family>) -> [&'static str; 3] {
    let root = if initramfs == Some(Family::Alpine) { ROOT_PATH_WORD } else { ROOT_WORD };
    [root, "ro", NAME_WORD]
}

/// What the machine is told of the slot of this name.
pub(super) fn name_word(name: &str) -> String {
    NAME_WORD.replace("$slot", name)
}

/// A command line for the slot of this name on this partition, in a boot like any other.
pub fn filled(cmdline: &str, name: &str, partition: PartitionId) -> String {
    let fill = |word: &str| {
        let word = word.replace("$slot_root", "PARTUUID=$slot_partuuid");
        word.replace("$slot_partuuid", &partition.to_string()).replace("$slot", name)
    };
    let words = unworded(cmdline);
    let words = words.map(|word| if is_variable(word) { fill(word) } else { word.to_owned() });
    words.collect::<Vec<_>>().join(" ")
}

/// A command line as it is filled in where no boot has words of its own.
pub fn template(cmdline: &str) -> String {
    unworded(cmdline).collect::<Vec<_>>().join(" ")
}

fn unworded(cmdline: &str) -> impl Iterator<Item = &str> {
    cmdline.split_ascii_whitespace().filter(|word| *word != FURTHER_WORDS)
}

/// Whether a word of a command line is one that GRUB fills in.
pub(super) fn is_variable(word: &str) -> bool {
    [ROOT_WORD, ROOT_PATH_WORD, NAME_WORD, FURTHER_WORDS].contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Uuid;

    #[test]
    fn what_grub_fills_in_is_filled_in_for_an_entry_of_its_own() {
        let partition = Uuid([0xaa; 16]).into();
        let id = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
        for (family, root) in
            [(Family::Debian, "root=PARTUUID="), (Family::Alpine, "root=/dev/disk/by-partuuid/")]
        {
            let words = [&root_words(Some(family))[..], &["note=$slot", FURTHER_WORDS]].concat().join(" ");
            assert_eq!(filled(&words, "B", partition), format!("{root}{id} ro rauc.slot=B note=$slot"));
            assert!(template(&words).ends_with(" ro rauc.slot=$slot note=$slot"));
        }
    }
}
