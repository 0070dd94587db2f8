//! Whether there is something on a disk: any byte of its first and of its last MiB, where tables, file systems, arrays,
//! volumes and pools have their beginnings.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{closing, mark};
use crate::grow::device::in_file;
use crate::init::initramfs::superblock::Superblock;

const MIB: u64 = 1 << 20;

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    Nothing,
    /// What the installer has begun.
    Unfinished,
    /// What a person would call it.
    Data(String),
}

/// # Errors
/// If the disk cannot be read.
pub(super) fn of(disk: &Path, bytes: u64, sector: u64) -> Result<Contents, String> {
    let file = File::open(disk).map_err(in_file(disk))?;
    let read = |at: u64| {
        let mut part = vec![0; MIB.min(bytes - at) as usize];
        file.read_exact_at(&mut part, at).map(|()| part).map_err(in_file(disk))
    };
    let first = read(0)?;
    if mark::is_there(&first) {
        return Ok(Contents::Unfinished);
    }
    let is_empty = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    if !is_empty(&first) {
        return Ok(Contents::Data(name(&first, sector)));
    }
    match is_empty(&read(bytes.saturating_sub(MIB))?) {
        true => Ok(Contents::Nothing),
        false => Ok(Contents::Data("something at its end".to_owned())),
    }
}

fn name(first: &[u8], sector: u64) -> String {
    let kind = Superblock::parse(first).map(|found| found.kind);
    match kind {
        _ if closing::has_gpt(first, sector) => "a partition table".to_owned(),
        Some(kind) => format!("a file system, {kind}"),
        None if first.get(510..512) == Some(&[0x55, 0xaa]) => "a boot sector".to_owned(),
        None => "something at its beginning".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::target::{Disk, Target};
    use super::*;

    #[test]
    fn a_byte_is_data() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sda");
        let len = 4 * MIB;
        let of = |bytes: &[(u64, &[u8])]| {
            std::fs::write(&path, vec![0; len as usize]).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            bytes.iter().for_each(|(at, bytes)| file.write_all_at(bytes, *at).unwrap());
            super::of(&path, len, 512).unwrap()
        };
        let data = |text: &str| Contents::Data(text.to_owned());
        assert_eq!(of(&[]), Contents::Nothing);
        assert_eq!(of(&[(2 * MIB, b"x")]), Contents::Nothing);
        assert_eq!(of(&[(MIB - 1, b"x")]), data("something at its beginning"));
        assert_eq!(of(&[(len - 1, b"x")]), data("something at its end"));
        assert_eq!(of(&[(len - MIB, b"x")]), data("something at its end"));
        assert_eq!(of(&[(512, b"EFI PART")]), data("a partition table"));
        assert_eq!(of(&[(510, &[0x55, 0xaa])]), data("a boot sector"));
        assert_eq!(of(&[(0x438, &[0x53, 0xef])]), data("a file system, ext4"));
        std::fs::write(&path, vec![7; len as usize]).unwrap();
        let device = Box::new(Disk::open(&path).unwrap());
        mark::put(&Target { name: "sda".to_owned(), len, device }).unwrap();
        assert_eq!(super::of(&path, len, 512).unwrap(), Contents::Unfinished);
        assert!(super::of(Path::new("/nonexistent"), len, 512).is_err());
        // Shorter than it says.
        std::fs::write(&path, vec![0; len as usize]).unwrap();
        assert!(super::of(&path, 2 * len, 512).is_err());
    }
}
