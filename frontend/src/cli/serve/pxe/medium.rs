//! What `medium.json` says of a folder, as far as whoever serves it has to know.

use std::io;

use exporter::container::update::{BLOCK, Entry};
use exporter::spec::Architecture;
use serde::Deserialize;

use super::folder::Content;
use crate::base::{Error, Result};

/// Its name.
pub(super) const FILE: &str = "medium.json";
/// The version that is known here.
const VERSION: u32 = 1;
/// Bytes of a frame's length behind the digest of its block.
const FRAME_LEN: std::ops::Range<usize> = 32..36;

/// The members that count here.
#[derive(Debug, Deserialize)]
pub(super) struct Medium {
    version: u32,
    pub(super) name: String,
    architecture: String,
    pub(super) modes: Vec<String>,
    root: Option<Root>,
    disk: Option<Disk>,
}

/// A root in a file of its own.
#[derive(Debug, Deserialize)]
struct Root {
    file: Option<String>,
    bytes: Option<u64>,
}

/// The disk that is installed.
#[derive(Debug, Deserialize)]
struct Disk {
    file: String,
    /// Of the disk, unpacked.
    bytes: u64,
    packed: bool,
    index: String,
}

impl Medium {
    pub(super) fn read(json: &[u8]) -> Result<Self> {
        let medium: Self = serde_json::from_slice(json)
            .map_err(|error| Error::user(format!("{FILE}: cannot be read")).because(error))?;
        if medium.version != VERSION {
            let message = format!("{FILE}: is of version {}, and {VERSION} is known here", medium.version);
            return Err(Error::user(message).with_hint("take the vmimage that has built the folder"));
        }
        Ok(medium)
    }

    /// That of its programs, if it is one that is known.
    pub(super) fn architecture(&self) -> Option<Architecture> {
        match self.architecture.as_str() {
            "x86-64" | "x86_64" | "amd64" => Some(Architecture::X86_64),
            "aarch64" | "arm64" => Some(Architecture::Aarch64),
            _ => None,
        }
    }

    /// The files of the disk that is installed, if there is one: its own, and that of its index.
    pub(super) fn disk(&self) -> Option<[&str; 2]> {
        self.disk.as_ref().map(|disk| [&*disk.file, &*disk.index])
    }

    /// Its files are there, and as long as they should be.
    pub(super) fn check_lengths<'a>(&self, find: impl Fn(&str) -> Option<&'a Content>) -> Result<()> {
        let find = |name: &str| {
            find(name).ok_or_else(|| Error::user(format!("{name}: is missing, and {FILE} names it")))
        };
        if let Some(Root { file: Some(file), bytes: Some(bytes) }) = &self.root {
            check(file, find(file)?.len(), *bytes)?;
        }
        if let Some(disk) = &self.disk {
            let (file, index) = (find(&disk.file)?, find(&disk.index)?);
            let blocks = disk.bytes.div_ceil(BLOCK as u64);
            check(&disk.index, index.len(), blocks.saturating_mul(size_of::<Entry>() as u64))?;
            let expected = match disk.packed {
                true => packed_len(index)
                    .map_err(|error| Error::user(format!("{}: cannot be read", disk.index)).because(error))?,
                false => disk.bytes,
            };
            check(&disk.file, file.len(), expected)?;
        }
        Ok(())
    }
}

fn check(name: &str, len: u64, expected: u64) -> Result<()> {
    match len == expected {
        true => Ok(()),
        false => {
            Err(Error::user(format!("{name}: has {len} bytes, and not the {expected} that it should have"))
                .with_hint("copy or build the folder again"))
        }
    }
}

/// How long the frames are together that an index tells of.
fn packed_len(index: &Content) -> io::Result<u64> {
    const ENTRY: usize = size_of::<Entry>();
    let mut buffer = vec![0; 1024 * ENTRY];
    let (mut at, mut sum) = (0, 0);
    while at < index.len() {
        let len = (index.len() - at).min(buffer.len() as u64) as usize;
        index.read_at(at, &mut buffer[..len])?;
        let (entries, _) = buffer[..len].as_chunks::<ENTRY>();
        let lens =
            entries.iter().filter_map(|entry| entry[FRAME_LEN].try_into().ok().map(u32::from_le_bytes));
        // No index has so many entries that it could not be counted.
        sum += lens.map(u64::from).sum::<u64>();
        at += len as u64;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"version":1,"id":"x","name":"web","architecture":"x86-64","modes":["live","install"],"new":[],
        "root":{"file":"root.erofs","bytes":4096,"sha256":"","type":"erofs"},
        "disk":{"file":"disk.zst","bytes":65537,"packed":true,"index":"disk.index","sector_size":512}}"#;

    fn text(bytes: &[u8]) -> Content {
        Content::Text(bytes.into())
    }

    /// Two entries, whose frames have 7 and 258 bytes.
    fn index() -> Vec<u8> {
        [[&[0; 32][..], &[7, 0, 0, 0]].concat(), [&[9; 32][..], &[2, 1, 0, 0]].concat()].concat()
    }

    fn checked(json: &str, root: usize, disk: usize, index: &[u8]) -> Result<(), String> {
        let files = [
            ("root.erofs", text(&vec![0; root])),
            ("disk.zst", text(&vec![0; disk])),
            ("disk.index", text(index)),
        ];
        let medium = Medium::read(json.as_bytes()).map_err(|error| error.to_string())?;
        let find = |name: &str| files.iter().find(|(known, _)| *known == name).map(|(_, content)| content);
        medium.check_lengths(find).map_err(|error| error.to_string())
    }

    #[test]
    fn each_file_has_its_length() {
        assert_eq!(checked(JSON, 4096, 265, &index()), Ok(()));
        let raw = JSON.replace("true", "false");
        assert_eq!(checked(&raw, 4096, 65537, &index()), Ok(()));
        for (json, root, disk, entries, part) in [
            (JSON, 4095, 265, &index()[..], "root.erofs: has 4095 bytes"),
            (JSON, 4096, 264, &index(), "disk.zst: has 264 bytes, and not the 265"),
            (JSON, 4096, 265, &index()[..36], "disk.index: has 36 bytes"),
            (&raw, 4096, 265, &index(), "not the 65537"),
            (&JSON.replace("disk.zst", "gone"), 4096, 265, &index(), "gone: is missing"),
            (&JSON.replace(":1,", ":2,"), 4096, 265, &index(), "version 2"),
            ("{}", 4096, 265, &index(), "cannot be read"),
        ] {
            let error = checked(json, root, disk, entries).unwrap_err();
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn nothing_has_to_be_there_but_what_it_names() {
        let bare = r#"{"version":1,"name":"a","architecture":"arm64","modes":[]}"#;
        assert_eq!(checked(bare, 0, 0, b""), Ok(()));
        assert_eq!(Medium::read(bare.as_bytes()).unwrap().architecture(), Some(Architecture::Aarch64));
    }
}
