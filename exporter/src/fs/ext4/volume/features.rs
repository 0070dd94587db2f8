//! Which features of a file system are read: what `mke2fs` of any distribution sets by default, and more.

use super::unsupported;
use crate::error::Result;
use crate::fs::ext4::format::{Superblock, incompat};

/// What has to be known to read a file system and is not, by the names of `mke2fs -O` and `dumpe2fs`.
const NOT_READ: [(u32, &str); 3] = [(0x1, "compression"), (0x8, "journal_dev"), (0x1000, "dirdata")];

/// That nothing is set that would have the rest read wrongly. What stands in the way only of those who write
/// (`s_feature_ro_compat`) may be anything.
pub(super) fn check(superblock: &Superblock) -> Result<()> {
    let unknown = superblock.s_feature_incompat.get() & !incompat::READABLE;
    match unknown {
        0 => Ok(()),
        _ => Err(unsupported(format!("a file system with the feature {} is not read", names(unknown)))),
    }
}

fn names(features: u32) -> String {
    let bits = (0..u32::BITS).filter(|bit| features >> bit & 1 == 1);
    bits.map(name).collect::<Vec<_>>().join(", ")
}

/// One without a name is shown as `dumpe2fs` shows it.
fn name(bit: u32) -> String {
    let known = NOT_READ.iter().find(|(feature, _)| *feature == 1 << bit);
    known.map_or_else(|| format!("FEATURE_I{bit}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_have_the_names_of_e2fsprogs() {
        assert_eq!(names(0x1001), "compression, dirdata");
        assert_eq!(names(0x8000_0000), "FEATURE_I31");
        let mut superblock = Superblock::new();
        assert!(check(&superblock).is_ok());
        superblock.s_feature_incompat |= zerocopy::little_endian::U32::new(0x8);
        let refused = check(&superblock).unwrap_err().to_string();
        assert_eq!(refused, "ext4: a file system with the feature journal_dev is not read");
    }
}
