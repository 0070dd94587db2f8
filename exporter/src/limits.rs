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

// Archives and images. What a whole input may cost grows with its stored bytes: one that compresses its files a
// thousand times is no real one, and can be decompressed first.

/// Bytes of one extended header or long name of a tar: as many as Go takes, whose tools make most of the images.
pub const EXTENDED_HEADER: u64 = 1 << 20;
/// Bytes of all of them in front of one member, headers and padding included.
pub const EXTENDED_HEADERS: u64 = 2 << 20;
/// Bytes of the extended attributes of one inode (`XATTR_SIZE_MAX` and `XATTR_LIST_MAX` of `linux/limits.h`, 64 KiB
/// each; ext4 takes a block of them).
pub const XATTRS: usize = 64 << 10;
/// Bytes of one layer's small files that are kept in memory: the largest `/etc` has a few MiB.
pub const SMALL_FILES: u64 = 8 << 20;
/// Memory for the windows of all decoders at once: one frame of zstd may have so much (`ZSTD_WINDOWLOG_LIMIT_DEFAULT`,
/// what `zstd -d` takes without `--long`).
pub const WINDOWS: u64 = 128 << 20;
/// The window that a stream of zstd may grow to when its first frame has a smaller one: what the highest level of Go's
/// encoder has, by which engines make layers.
pub const USUAL_WINDOW: u64 = 32 << 20;
/// Layers of an image; overlayfs mounts as many, docker makes 127.
pub const LAYERS: usize = 500;
/// Indexes below each other.
pub const INDEX_DEPTH: u32 = 4;
/// Images and other manifests that the indexes of an image, or a docker archive, list in all.
pub const DESCRIPTORS: u64 = 1000;
/// Bytes of a manifest or a configuration: registries refuse larger manifests.
pub const MANIFEST: u64 = 4 << 20;
/// Bytes of all of them that are read to choose an image.
pub const MANIFESTS: u64 = 16 * MANIFEST;
/// Files in an archive of images.
pub const BLOBS: u64 = 1 << 16;

/// Bytes of the names in an initramfs, each with what a set of them takes: real ones have tens of thousands.
pub const INITRAMFS_NAMES: u64 = 16 << 20;
/// Bytes of a disk: as many as the largest of the formats (VHDX) has.
pub const DISK: u64 = 64 << 40;

/// Bytes of memory that the files of an input of `stored` bytes may take: their names, attributes and small contents.
pub const fn tree_bytes(stored: u64) -> u64 {
    stored.saturating_mul(12).saturating_add(64 << 20)
}

/// Names that may be looked up to put such an input together.
pub const fn lookups(stored: u64) -> u64 {
    stored.saturating_mul(32).saturating_add(32 << 20)
}

/// Bytes that its layers may have when they are decoded. gzip cannot do more than a thousand times.
pub const fn decoded_bytes(stored: u64) -> u64 {
    stored.saturating_mul(1100).saturating_add(64 << 30)
}

/// Bytes of them that may be decoded for the disk: all once, and those in front of files that are read by themselves.
pub const fn decoded_again(stored: u64) -> u64 {
    decoded_bytes(stored).saturating_mul(4)
}

/// Bytes that an archive of images may have when it is kept without its compression, beside the disk.
pub const fn unpacked_bytes(stored: u64) -> u64 {
    stored.saturating_mul(64).saturating_add(256 << 20)
}

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

// Texts of an image.

/// Bytes of one text that is read whole, such as `/etc/fstab`: the longest are a hundredth of it.
pub const TEXT: u64 = 1 << 20;
/// Bytes of all texts of one kind, such as the files of `/etc/default/grub.d`: a folder may name one file many times.
pub const TEXTS: u64 = 16 << 20;
/// Rows of `/etc/passwd` and its like: as many as there are numbers of 16 bits, which is all that Debian's policy gives.
pub const ACCOUNTS: usize = 1 << 16;
/// Kernels of one image, each an entry of the boot menu. A distribution keeps two or three.
pub const KERNELS: usize = 1_000;
/// Bytes of a kernel that is unpacked: those of distributions have 100 MiB, one with all that a debugger wants four times as many.
pub const VMLINUX: u64 = 512 << 20;
/// Modules of one kernel: Debian's general one has 4,500.
pub const MODULES: u64 = 1 << 16;
/// Bytes of one of them that is unpacked: the largest drivers of graphics cards have 20 MiB.
pub const MODULE: u64 = 64 << 20;
/// Bytes of all that go into an initramfs: those for every disk have some 30 MiB.
pub const INITRAMFS_MODULES: u64 = 256 << 20;
/// Modules that each need the one before: real ones come to ten.
pub const MODULE_DEPTH: u32 = 64;
/// Modules of one initramfs: those for every disk there is are some hundred.
pub const INITRAMFS_COUNT: usize = 1000;
/// Bytes of all microcode: that of every processor of Intel's has 15 MiB.
pub const MICROCODE: u64 = 128 << 20;
/// Bytes of a kernel's command line: x86 and ARM cut it after 2048 (`COMMAND_LINE_SIZE`), others after 4096.
pub const KERNEL_ARGUMENTS: usize = 4096;
/// Names in the `[Install]` sections of a unit and of those that go with it, each a link or a file to read. Most have one.
pub const UNIT_NAMES: u64 = 100;
/// Bytes of one word or variable of a container, with the final zero (`MAX_ARG_STRLEN` of `linux/binfmts.h`).
pub const PROCESS_WORD: usize = 128 << 10;
/// Bytes of all of them: three quarters of `_STK_LIM`, beyond which `execve` fails for everybody.
pub const PROCESS_WORDS: usize = 6 << 20;
/// Directories of a `PATH`: more than anybody has programs in.
pub const PROGRAM_DIRECTORIES: usize = 256;
/// Bytes of commands that are looked at to tell what an image runs, those of shells within shells among them, which
/// can multiply: four times what a process can have.
pub const COMMANDS: u64 = 24 << 20;
/// Characters of a text of an image or a registry in a line for people, such as the name of the distribution.
pub const SHOWN: usize = 200;

// Files of a build.

/// Bytes of a Dockerfile's words with their variables replaced: each `ARG` can be twice the one before.
pub const EXPANDED: u64 = 1 << 20;
/// `${A:-${B:-…}}` within one another.
pub const NESTED_VARIABLES: u32 = 50;
/// Characters of one line of a file that are shown with a problem in it.
pub const PROBLEM_LINE: usize = 200;
/// Problems of a file that are shown.
pub const PROBLEMS: usize = 20;

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

// Answers of a registry.

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
