//! What an update says of itself.

use std::fmt::Write;

use serde::Serialize;

use super::{MANIFEST, Update};
use crate::error::{Error, Kind, Result};

/// Of what is written here; another one is of something that who reads this does not know.
pub(super) const FORMAT: u32 = 1;

/// The manifest; its keys have this order.
#[derive(Serialize)]
struct Manifest<'a> {
    format: u32,
    id: &'a str,
    version: &'a str,
    compatible: &'a str,
    architecture: &'static str,
    loader: &'a str,
    parts: &'a [Part],
}

/// A part of a slot.
#[derive(Serialize)]
pub(super) struct Part {
    pub(super) name: &'static str,
    /// Packed.
    #[serde(flatten)]
    pub(super) file: Listed,
    /// Bytes, unpacked.
    pub(super) plain_bytes: u64,
    /// Bytes of a block, of a part that can be fetched in blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) block_size: Option<usize>,
    /// What its blocks are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<Listed>,
}

/// A file of the folder.
#[derive(Serialize)]
pub(in crate::container) struct Listed {
    pub(in crate::container) file: String,
    pub(in crate::container) bytes: u64,
    /// In hexadecimal.
    pub(in crate::container) sha256: String,
}

impl Listed {
    /// A file with this name, length and digest.
    pub(in crate::container) fn new(file: String, (bytes, sha256): (u64, String)) -> Self {
        Self { file, bytes, sha256 }
    }
}

/// The manifest of an update that has these parts.
pub(super) fn manifest(update: &Update, parts: &[Part]) -> Result<String> {
    let Update { id, version, compatible, architecture, loader, .. } = update;
    let architecture = architecture.name();
    let manifest = Manifest { format: FORMAT, id, version, compatible, architecture, loader, parts };
    let text = serde_json::to_string_pretty(&manifest);
    text.map(|text| text + "\n").map_err(|error| Error::new(Kind::Input, MANIFEST, error.to_string()))
}

/// What `sha256sum` writes of files.
pub(in crate::container) fn sums<'a>(files: impl IntoIterator<Item = &'a Listed>) -> String {
    files.into_iter().fold(String::new(), |mut lines, Listed { file, sha256, .. }| {
        let _ = writeln!(lines, "{sha256}  {file}");
        lines
    })
}
