//! The two copies of the environment block on the ESP: read as GRUB reads them, written so that one is whole at every
//! moment.
//!
//! A copy is written where it lies, and of it the sectors alone that change: with all variables in the first it is all
//! or nothing. The one that GRUB believes comes last.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::block::{Block, SIZE};
use crate::grow::device::in_file;

/// The folder on the ESP, and the copies in the order in which GRUB believes them.
const FOLDER: &str = "EFI/BOOT";
const NAMES: [&str; 2] = ["grubenv", "grubenv.2"];

const SECTOR: usize = 512;

/// The copies on an ESP that is mounted.
pub(super) struct Copies(PathBuf);

impl Copies {
    pub(super) fn on(esp: &Path) -> Self {
        Self(esp.join(FOLDER))
    }

    /// What the first says that can be believed.
    pub(super) fn read(&self) -> Option<Block> {
        let copies = NAMES.iter().map(|name| self.0.join(name));
        copies.filter_map(|path| content(&path).ok()).find_map(|bytes| Block::read(&bytes))
    }

    /// Have both say this.
    pub(super) fn write(&self, block: &Block) -> Result<(), String> {
        let bytes = block.bytes().map_err(in_file(&self.0))?;
        NAMES.iter().rev().map(|name| self.0.join(name)).try_for_each(|path| {
            let failed = in_file(&path);
            write_in_place(&path, &bytes).map_err(failed)
        })
    }
}

/// No more than a block has.
fn content(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(SIZE as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write_in_place(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let old = content(path)?;
    for (number, sector) in bytes.chunks(SECTOR).enumerate() {
        let at = number * SECTOR;
        if old.get(at..at + sector.len()) != Some(sector) {
            file.write_all_at(sector, at as u64)?;
        }
    }
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::Slot;

    fn esp() -> (tempfile::TempDir, Copies) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(FOLDER)).unwrap();
        let copies = Copies::on(folder.path());
        (folder, copies)
    }

    #[test]
    fn of_two_copies_one_may_be_damaged() {
        let (_folder, copies) = esp();
        assert_eq!(copies.read(), None);
        let block = Block::new(Slot::B);
        copies.write(&block).unwrap();
        for damage in [&b""[..], b"# GRUB Environment Block\nA_OK=1\n", &[0; SIZE], &[b'x'; 3 * SIZE]] {
            for name in NAMES {
                std::fs::write(copies.0.join(name), damage).unwrap();
                assert_eq!(copies.read().as_ref(), Some(&block));
                copies.write(&block).unwrap();
                assert_eq!(std::fs::read(copies.0.join(name)).unwrap(), block.bytes().unwrap());
            }
        }
        for name in NAMES {
            std::fs::remove_file(copies.0.join(name)).unwrap();
        }
        assert_eq!(copies.read(), None);
    }

    /// `grub-editenv` writes the first alone.
    #[test]
    fn the_first_counts_where_both_are_whole() {
        let (_folder, copies) = esp();
        copies.write(&Block::new(Slot::A)).unwrap();
        let mut other = Block::new(Slot::A);
        other.set_next(Slot::B);
        std::fs::write(copies.0.join(NAMES[0]), other.bytes().unwrap()).unwrap();
        assert_eq!(copies.read(), Some(other));
    }
}
