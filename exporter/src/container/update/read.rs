//! What an update that is there says of itself.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::MANIFEST;
use super::manifest::FORMAT;
use crate::architecture::Architecture;
use crate::error::{Error, Kind, Result};

/// A manifest is much smaller.
const MANIFEST_MAX: u64 = 1 << 20;

/// The head of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Described {
    /// What the system is.
    pub id: String,
    /// Which build of it.
    pub version: String,
    /// The machines that it is for.
    pub compatible: String,
    /// Their instruction set.
    pub architecture: Architecture,
}

impl Described {
    /// That of the update in a folder. Nothing is checked against its digests.
    ///
    /// # Errors
    /// If there is no manifest, or one of another format.
    pub fn read(folder: &Path) -> Result<Self> {
        read(folder)
    }
}

/// What a reader wants of a manifest, and the format that it is in.
#[derive(Deserialize)]
struct Manifest<T> {
    format: u32,
    #[serde(flatten)]
    wanted: T,
}

/// The part that is wanted of the manifest in a folder.
pub(super) fn read<T: DeserializeOwned>(folder: &Path) -> Result<T> {
    let path = folder.join(MANIFEST);
    let shown = path.display().to_string();
    let mut text = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(MANIFEST_MAX).read_to_end(&mut text))
        .map_err(|error| Error::io(shown.clone(), "cannot read the manifest", error))?;
    let wrong = |message: String| Error::new(Kind::Input, shown.clone(), message);
    let Manifest { format, wanted } =
        serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    if format != FORMAT {
        return Err(wrong(format!("has the format {format}, {FORMAT} is known")));
    }
    Ok(wanted)
}
