//! The folder of an update → what the blocks of its root are, by the index alone. The folder is not trusted.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use zerocopy::{FromZeros, IntoBytes};

use super::index::{BLOCK, Entry};
use super::read::read;
use super::{INDEX, MANIFEST};
use crate::error::{Error, Kind, Result};
use crate::limits;

/// The blocks of the root of an update.
#[derive(Clone, Debug)]
pub struct Blocks {
    /// The file of the index.
    index: PathBuf,
    /// Bytes of the root, unpacked.
    plain_bytes: u64,
}

/// What is read of a manifest: what else is in it is for others.
#[derive(Deserialize)]
struct Manifest {
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    name: String,
    plain_bytes: u64,
    block_size: Option<u64>,
    index: Option<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    file: String,
    bytes: u64,
    sha256: String,
}

impl Blocks {
    /// Those of the update in `folder`, whose index is as long as the root needs it and has the digest of the manifest.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] if it is not, and if there is no manifest, or one of another format.
    pub fn open(folder: &Path) -> Result<Self> {
        let place = folder.join(MANIFEST).display().to_string();
        let Manifest { parts } = read(folder)?;
        let root = parts.into_iter().find(|part| part.name == "root");
        let root = root.and_then(|part| Some((part.plain_bytes, part.block_size?, part.index?)));
        let Some((plain_bytes, block_size, index)) = root else {
            return Err(Error::new(Kind::Corrupt, place, "has no root in blocks"));
        };
        let is_plain = !index.file.contains('/') && index.file.ends_with(INDEX);
        if !is_plain || block_size != BLOCK as u64 || plain_bytes > limits::DISK {
            return Err(Error::new(Kind::Corrupt, place, "has a root that no update has"));
        }
        let blocks = Self { index: folder.join(&index.file), plain_bytes };
        blocks.check(&index)?;
        Ok(blocks)
    }

    /// Bytes of the root, unpacked.
    pub fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }

    /// The blocks in their order, each with how many bytes it has, unpacked.
    ///
    /// # Errors
    /// If the index cannot be opened; as an item, if it cannot be read on.
    pub fn entries(&self) -> Result<impl Iterator<Item = Result<(Entry, usize)>> + use<>> {
        let (mut file, index, size) = (BufReader::new(self.file()?), self.index.clone(), self.plain_bytes);
        Ok((0..size).step_by(BLOCK).map(move |at| {
            let mut entry = Entry::new_zeroed();
            file.read_exact(entry.as_mut_bytes()).map_err(|error| unreadable(&index, error))?;
            Ok((entry, (size - at).min(BLOCK as u64) as usize))
        }))
    }

    fn file(&self) -> Result<File> {
        File::open(&self.index).map_err(|error| unreadable(&self.index, error))
    }

    /// That the index is the one that was listed.
    fn check(&self, listed: &Listed) -> Result<()> {
        let corrupt = |message: String| Error::new(Kind::Corrupt, self.index.display().to_string(), message);
        let needed = self.plain_bytes.div_ceil(BLOCK as u64) * size_of::<Entry>() as u64;
        let file = self.file()?;
        let len = file.metadata().map_err(|error| unreadable(&self.index, error))?.len();
        if len != needed || listed.bytes != needed {
            return Err(corrupt(format!("has {len} bytes, and its root needs {needed}")));
        }
        let (mut file, mut hasher, mut part) = (file.take(needed), Sha256::new(), vec![0; 1 << 16]);
        loop {
            match file.read(&mut part).map_err(|error| unreadable(&self.index, error))? {
                0 => break,
                len => hasher.update(&part[..len]),
            }
        }
        if format!("{:x}", hasher.finalize()) != listed.sha256 {
            return Err(corrupt("is not the index that the manifest lists".to_owned()));
        }
        Ok(())
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::io(path.display().to_string(), "cannot be read", error)
}
