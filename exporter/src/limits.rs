//! What an input may cost, in one place. Input is hostile: a file of a few megabytes may neither fill the memory nor
//! keep a processor busy, so every reader stops at a limit with an error that says where. A limit is what Linux, a
//! file system or a specification has, where they have one; the others are far above what real inputs need.

use std::fmt;
use std::time::Duration;

/// Bytes of a path, without the final zero (`PATH_MAX` of `linux/limits.h`).
pub const PATH: usize = 4095;
/// Bytes of one component of a path (`NAME_MAX`; ext4's `name_len`).
pub const NAME: usize = 255;
/// Symbolic links on the way to one file (`MAXSYMLINKS` of the kernel's `namei.h`).
pub const SYMLINKS: u32 = 40;

// Answers of a registry.

/// Bytes of a manifest or an index: registries refuse larger ones (4 MiB in the distribution specification).
pub const MANIFEST: u64 = 4 << 20;
/// Bytes of any other answer that is read into memory: tokens, errors, lists of tags.
pub const ANSWER: u64 = 1 << 20;
/// Bytes of the head of an answer, as curl has had it for one header; signed addresses have a few thousand.
pub const ANSWER_HEAD: usize = 64 << 10;
/// Bytes of a token, which becomes a header of requests: servers take 8 to 64 KiB of them.
pub const TOKEN: usize = 64 << 10;
/// Times that a registry may send on to another address, as in Go's client and browsers.
pub const REDIRECTS: usize = 10;
/// Servers that a registry may have give its tokens; it has one, and another one while it moves.
pub const TOKEN_SERVERS: usize = 4;
/// Characters of a text of a registry that are shown in a message.
pub const SHOWN: usize = 200;
/// Bytes a second that a connection has to come to while it is waited for: dnf's `minrate` …
pub const LEAST_SPEED: u64 = 1000;
/// … over its `timeout`.
pub const SPEED_WINDOW: Duration = Duration::from_secs(30);

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
