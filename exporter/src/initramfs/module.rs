//! One module of a kernel: an ELF file, packed or not, that says in its section `.modinfo` what it needs and what it is for
//! (include/linux/moduleparam.h: `key=value`, each with a zero behind it).

use std::io::Read;

use crate::error::{Error, Kind, Result};
use crate::kernel::{elf, unpack};
use crate::limits;
use crate::tree::Content;

/// A module.
pub(super) struct Module {
    /// As `lsmod` shows it.
    pub(super) name: String,
    /// Below the folder of modules, without the extension of what packs it: `kernel/drivers/block/virtio_blk.ko`.
    pub(super) path: String,
    /// Unpacked, with its signature.
    pub(super) bytes: Vec<u8>,
    pub(super) info: Info,
}

/// What a module says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Info {
    /// The modules whose symbols it uses (`depends=`).
    pub(super) depends: Vec<String>,
    /// What it would have loaded before it, or asks for itself: names or aliases (`softdep=pre: …`).
    pub(super) before: Vec<String>,
    /// What it is for (`alias=`).
    pub(super) aliases: Vec<String>,
}

impl Module {
    /// The module `name` in a file, which `place` names in messages.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn read(name: &str, path: &str, content: &Content, place: &str) -> Result<Self> {
        let bytes = unpacked(content, place)?;
        let Some(info) = elf::section(&bytes, b".modinfo") else {
            return Err(Error::new(Kind::Corrupt, place, "is no module of a kernel: it has no .modinfo"));
        };
        let info = Info::parse(info);
        Ok(Self { name: name.to_owned(), path: path.to_owned(), bytes, info })
    }
}

fn unpacked(content: &Content, place: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let reader = unpack::unpacked(content.reader()?, limits::MODULE);
    reader.and_then(|mut reader| reader.read_to_end(&mut bytes)).map_err(|error| {
        Error::new(Kind::Corrupt, place, format!("the module cannot be unpacked: {error}"))
    })?;
    Ok(bytes)
}

impl Info {
    /// What is no text, or would not be one word of a list, is not taken.
    fn parse(section: &[u8]) -> Self {
        let mut info = Self::default();
        let texts = section.split(|&byte| byte == 0).filter_map(|text| std::str::from_utf8(text).ok());
        for (key, value) in texts.filter_map(|text| text.split_once('=')) {
            match key {
                "depends" => info.depends.extend(value.split(',').filter(|word| is_word(word)).map(normal)),
                "softdep" => info.before.extend(pre(value).filter(|word| is_word(word)).map(str::to_owned)),
                "alias" => info.aliases.extend(Some(value).filter(|word| is_word(word)).map(str::to_owned)),
                _ => {}
            }
        }
        info
    }
}

/// Of `pre: a b post: c`, what is to be loaded before. Without `pre:` in front it is a note for people who make an initramfs, of
/// what will be asked for: that has to be there as well.
fn pre(softdep: &str) -> impl Iterator<Item = &str> {
    let mut is_before = true;
    softdep.split_ascii_whitespace().filter(move |word| {
        match *word {
            "pre:" => is_before = true,
            "post:" => is_before = false,
            _ => return is_before,
        }
        false
    })
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Hyphens and underscores are the same in names.
pub(super) fn normal(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_says_what_it_needs() {
        let info = Info::parse(
            b"license=GPL\0softdep=pre: crc32c post: zstd\0softdep=nls\0alias=fs-btrfs\0alias=devname:btrfs-control\0\
              depends=raid6_pq,xor-neon\0depends=\0alias=a b\0alias=\xff\0alias=\0vermagic=6.1\0alias",
        );
        assert_eq!(info.depends, ["raid6_pq", "xor_neon"]);
        assert_eq!(info.before, ["crc32c", "nls"]);
        assert_eq!(info.aliases, ["fs-btrfs", "devname:btrfs-control"]);
        assert_eq!(Info::parse(b""), Info::default());
    }
}
