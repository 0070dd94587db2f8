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

// Disks. What is compressed or repeated in a file makes a large disk of a small one, so most depends on what the
// disk takes where it lies.

/// Bytes that are read of the volumes of a disk, or hashed as zeros in their place: seconds of work for a file of any
/// size, more than a sparse file of zeros for swapping has.
pub const DISK_READ: u64 = 4 << 30;
/// The same, beside that, for each byte that the disk takes: more than compression of a system reaches.
pub const DISK_READ_PER_STORED: u64 = 64;
/// Entries of all directories of a disk: what a system of a million files has. Beside that one for each byte that it
/// takes, where an entry and its inode take 140 before compression.
pub const DISK_ENTRIES: u64 = 1 << 20;
/// Bytes of names, paths and changes that are kept of a disk at a time: a directory of a million names.
pub const DISK_KEPT: u64 = 48 << 20;
/// The same, beside that: one for so many bytes that the disk takes.
pub const DISK_STORED_PER_KEPT: u64 = 4;
/// Bytes of the paths of the files that a machine may start from: firmware of a thousand devices has 100 KiB.
pub const BOOT_PATHS: u64 = 1 << 20;

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
