//! The table of a verified device, in the words of the kernel's target (admin-guide/device-mapper/verity):
//!
//! ```text
//! 1 254:2 254:3 4096 4096 BLOCKS 1 sha256 ROOT-HASH SALT 1 panic_on_corruption
//! │ data  hashes                 └ the block of the hash partition in which the tree begins
//! └ the version of the format
//! ```

use super::superblock::{BLOCK, Superblock};

/// Sectors of the device mapper, whatever those of the disk are.
const SECTORS: u64 = BLOCK as u64 / 512;

/// What the kernel does with a block that is another than was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnCorruption {
    /// Linux 5.9; what follows, `panic=` says.
    Panic,
    Restart,
}

/// A device that is going to be made.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) superblock: Superblock,
    pub(super) root_hash: [u8; 32],
    /// The numbers of both partitions: `254:2`.
    pub(super) data: String,
    pub(super) hashes: String,
    /// The block with the superblock; the tree begins in the next one.
    pub(super) hash_start: u64,
}

impl Table {
    /// The length of the device, in sectors of 512 bytes.
    pub(super) fn sectors(&self) -> u64 {
        self.superblock.data_blocks * SECTORS
    }

    /// What the target is told.
    pub(super) fn parameters(&self, on_corruption: OnCorruption) -> String {
        let Self { superblock, root_hash, data, hashes, hash_start } = self;
        let (blocks, tree) = (superblock.data_blocks, hash_start + 1);
        let salt = if superblock.salt.is_empty() { "-".to_owned() } else { digits(&superblock.salt) };
        let wish = match on_corruption {
            OnCorruption::Panic => "panic_on_corruption",
            OnCorruption::Restart => "restart_on_corruption",
        };
        format!(
            "1 {data} {hashes} {BLOCK} {BLOCK} {blocks} {tree} sha256 {} {salt} 1 {wish}",
            digits(root_hash)
        )
    }

    /// How libcryptsetup, and systemd by it, knows a device of its own kind again.
    pub(super) fn id(&self, name: &str) -> String {
        format!("CRYPT-VERITY-{}-{name}", digits(&self.superblock.uuid))
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(salt: &[u8]) -> Table {
        let superblock = Superblock { uuid: [7; 16], data_blocks: 300, salt: salt.to_vec() };
        Table {
            superblock,
            root_hash: [0xab; 32],
            data: "254:2".into(),
            hashes: "254:3".into(),
            hash_start: 0,
        }
    }

    #[test]
    fn the_kernel_is_told_all_of_it() {
        let hash = "ab".repeat(32);
        assert_eq!(
            table(&[0, 0x5a]).parameters(OnCorruption::Panic),
            format!("1 254:2 254:3 4096 4096 300 1 sha256 {hash} 005a 1 panic_on_corruption")
        );
        let unsalted = table(&[]).parameters(OnCorruption::Restart);
        assert!(unsalted.ends_with(&format!("{hash} - 1 restart_on_corruption")), "{unsalted}");
        let behind = Table { hashes: "254:2".into(), hash_start: 300, ..table(&[0]) };
        let told = behind.parameters(OnCorruption::Panic);
        assert!(told.starts_with("1 254:2 254:2 4096 4096 300 301 sha256 "), "{told}");
        assert_eq!(table(&[]).sectors(), 2400);
        assert_eq!(table(&[]).id("root"), format!("CRYPT-VERITY-{}-root", "07".repeat(16)));
    }
}
