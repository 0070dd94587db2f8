//! What an input may cost, in one place. Input is hostile: a file of a few megabytes may neither fill the memory nor
//! keep a processor busy, so every reader stops at a limit with an error that says where. A limit is what Linux, a
//! file system or a specification has, where they have one; the others are far above what real inputs need.

use std::fmt;

/// Bytes of a path, without the final zero (`PATH_MAX` of `linux/limits.h`).
pub const PATH: usize = 4095;
/// Bytes of one component of a path (`NAME_MAX`; ext4's `name_len`).
pub const NAME: usize = 255;
/// Symbolic links on the way to one file (`MAXSYMLINKS` of the kernel's `namei.h`).
pub const SYMLINKS: u32 = 40;

// Disk files.

/// Bytes of blocks that a reader of a disk file keeps: eight clusters of the largest size that qcow2 has.
pub const BLOCKS_KEPT: u64 = 16 << 20;
/// Bytes that may be unpacked from any compressed disk file.
pub const UNPACKED: u64 = 4 << 30;
/// Bytes that may be unpacked besides for each byte of the file: deflate makes 1032 of one at most (zlib's technical
/// details), and what lies scattered is unpacked again.
pub const UNPACKED_PER_BYTE: u64 = 2048;
/// Bytes of the tables of a disk file that are checked: those of a qcow2 of 8 TiB in its usual clusters.
pub const TABLES: u64 = 1 << 30;
/// Units of a disk file that are looked after for two things in one place, a bit each: 256 GiB in sectors, 32 TiB in
/// the usual clusters.
pub const PLACES: u64 = 1 << 29;
/// Problems of the tables of a disk file that are named: whoever reads them knows by then.
pub const TABLE_PROBLEMS: usize = 20;

/// One kind of cost that a whole input has a limit of: bytes that are kept, entries, steps of work.
#[derive(Debug)]
pub struct Budget {
    what: &'static str,
    limit: u64,
    spent: u64,
}

impl Budget {
    /// At most `limit` of `what`, which reads as a plural: `bytes of extended attributes`.
    pub const fn new(what: &'static str, limit: u64) -> Self {
        Self { what, limit, spent: 0 }
    }

    /// Takes `amount` of it.
    ///
    /// # Errors
    /// Once more is taken than there is.
    pub fn spend(&mut self, amount: u64) -> Result<(), Exceeded> {
        self.spent = self.spent.saturating_add(amount);
        if self.spent > self.limit { Err(Exceeded { what: self.what, limit: self.limit }) } else { Ok(()) }
    }

    /// Gives back what is no longer kept.
    pub fn release(&mut self, amount: u64) {
        self.spent = self.spent.saturating_sub(amount);
    }
}

/// An input that costs more than its [`Budget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    what: &'static str,
    limit: u64,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {} {}, which is the limit", self.limit, self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_the_sum_of_what_is_kept() {
        let mut budget = Budget::new("entries", 3);
        assert!(budget.spend(3).is_ok());
        assert_eq!(budget.spend(1).unwrap_err().to_string(), "more than 3 entries, which is the limit");
        budget.release(2);
        assert!(budget.spend(1).is_ok());
        assert!(budget.spend(u64::MAX).is_err() && budget.spend(1).is_err());
    }
}
