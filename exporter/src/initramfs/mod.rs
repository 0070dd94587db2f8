//! An initramfs of our own: the program that mounts the root, and just the modules that it and the machine need.
//!
//! ```text
//! modules wanted ─select─▶ with those they depend on, in the order they load ─┐
//! the program, directories, /dev/console ─────────────────────────────────────┴▶ cpio ─pack─▶ initramfs
//! ```
//!
//! No program of the image takes part (no depmod, no update-initramfs), and the same input gives the same bytes. The
//! archive is of the format `newc` (initramfs-buffer-format of the kernel's documentation).

mod contents;
mod cpio;
mod donor;
mod index;
mod module;
mod select;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::kernel::{Config, Setting};
use crate::tree::{Content, Time, Tree};
use contents::Contents;
use donor::Donor;
use select::Selection;

/// What the initramfs is for.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The kernel, as messages name it: `/boot/vmlinuz-6.1.0`, `bzImage`.
    pub kernel: &'a str,
    /// Its release.
    pub release: &'a str,
    /// What it was built with.
    pub config: &'a Config,
    /// The folder of its modules in the tree; `None`: it has none, all is built in.
    pub modules: Option<&'a str>,
    /// Modules without which nothing boots, and what needs each: `("virtio_blk", "the disk")`. Built in is as good.
    pub required: &'a [(&'a str, &'a str)],
    /// Modules that are taken if the kernel has them.
    pub optional: &'a [&'a str],
    /// The program that is `/init`.
    pub program: Arc<[u8]>,
    /// The program that makes the device of a root whose blocks are checked when they are read, if it has such a root.
    pub verity: Option<Arc<[u8]>>,
    /// The time of all files.
    pub time: Time,
    /// How it is packed.
    pub packing: Packing,
}

/// How an initramfs is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// One frame of zstd.
    Zstd,
    /// One member of gzip.
    Gzip,
    /// Not at all.
    Plain,
}

/// An initramfs.
#[derive(Debug)]
pub struct Built {
    /// Its parts, one behind the other.
    pub parts: Vec<Content>,
    /// The modules in it, in an order in which they load. With none, a kernel that has all built in boots as well without it.
    pub modules: Vec<String>,
    /// What the report says.
    pub notes: Vec<String>,
}

/// The level of zstd: of Debian's and Alpine's modules a tenth larger than 19, and in a twentieth of its time. The kernel
/// unpacks all of them at one speed.
const ZSTD_LEVEL: i32 = 9;
const GZIP_LEVEL: u32 = 9;
/// Where the first process looks for the program that makes the device of its root.
const VERITY: &str = "vmimage-verity";
/// Where the modules to load for no device are named (modules-load.d(5)).
const ASKED: &str = "etc/modules-load.d/vmimage.conf";

/// An initramfs of what the tree has.
///
/// # Errors
/// If the kernel has not what is required, or the modules cannot be read.
pub fn build(tree: &Tree, wanted: &Wanted<'_>) -> Result<Built> {
    let donor = Donor::read(tree, wanted.modules)?;
    let selection = select::select(&donor, wanted)?;
    let modules = selection.names();
    let notes = selection.notes();
    let archive = contents(wanted, &selection)?.archive(wanted.time);
    let parts = vec![Content::Bytes(wanted.packing.pack(archive)?.into())];
    Ok(Built { parts, modules, notes })
}

/// What is before and behind the bytes of a file that is an archive by itself. The kernel takes one that is not packed at
/// multiples of four bytes alone: in front of a packed one.
///
/// # Errors
/// If it is larger than a header can say.
pub fn around_file(name: &str, len: u64, time: Time) -> Result<[Content; 2]> {
    cpio::around_file(name, len, time)
}

/// An archive of these files that is not packed: the kernel takes it, or looks into it, in front of any other.
///
/// # Errors
/// If one is larger than a header can say.
pub fn archive_of(files: &[(&str, Vec<u8>)], time: Time) -> Result<Vec<u8>> {
    let mut contents = Contents::new();
    for (name, bytes) in files {
        contents.file(name, 0o644, &**bytes)?;
    }
    Ok(contents.archive(time))
}

/// The files of the archive.
fn contents<'selection>(
    wanted: &Wanted<'selection>,
    selection: &'selection Selection,
) -> Result<Contents<'selection>> {
    let mut contents = Contents::new();
    contents.file("init", 0o755, wanted.program.to_vec())?;
    if let Some(program) = &wanted.verity {
        contents.file(VERITY, 0o755, program.to_vec())?;
    }
    for directory in ["dev", "proc", "run", "sys", "sysroot"] {
        contents.directory(directory);
    }
    // The kernel opens it before anything is mounted.
    contents.character_device("dev/console", 0o600, (5, 1));
    let folder = format!("lib/modules/{}", wanted.release);
    contents.file(&format!("{folder}/modules.dep"), 0o644, index::dependencies(selection))?;
    contents.file(&format!("{folder}/modules.alias"), 0o644, index::aliases(selection))?;
    contents.file(ASKED, 0o644, index::asked(selection))?;
    for module in &selection.modules {
        contents.file(&format!("{folder}/{}", module.path), 0o644, &*module.bytes)?;
    }
    Ok(contents)
}

impl Built {
    /// Its bytes in all.
    pub fn len(&self) -> u64 {
        self.parts.iter().map(Content::len).sum()
    }

    /// Whether it has none: never.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Packing {
    /// What a kernel can unpack: zstd, unless it is known that it cannot.
    pub fn of(config: &Config) -> Self {
        let can = |option| !matches!(config.option(option), Setting::No);
        match (can("RD_ZSTD"), can("RD_GZIP")) {
            (true, _) => Self::Zstd,
            (false, true) => Self::Gzip,
            (false, false) => Self::Plain,
        }
    }

    fn pack(self, archive: Vec<u8>) -> Result<Vec<u8>> {
        let failed = |error| Error::io("the initramfs", "cannot be packed", error);
        match self {
            Self::Zstd => zstd::bulk::compress(&archive, ZSTD_LEVEL).map_err(failed),
            Self::Gzip => {
                use std::io::Write;
                // Without a time and a name: the same bytes everywhere.
                let level = flate2::Compression::new(GZIP_LEVEL);
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(&archive).and_then(|()| encoder.finish()).map_err(failed)
            }
            Self::Plain => Ok(archive),
        }
    }
}
