//! An update as `--format update` writes it (docs/updates.md), of bytes that a test makes up.

use std::io::Result;
use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;

const BLOCK: usize = 64 << 10;

/// A version of `kiosk`, for machines of x86_64 and GRUB.
pub(crate) struct Version<'a> {
    pub(crate) version: &'a str,
    pub(crate) compatible: &'a str,
    pub(crate) root: &'a [u8],
}

impl Version<'_> {
    /// The folder, which is made.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let (frames, index) = packed(self.root)?;
        let listed = |end: &str, bytes: &[u8]| {
            let file = format!("kiosk_{}{end}", self.version);
            std::fs::write(folder.join(&file), bytes)?;
            Ok::<_, std::io::Error>(json!({"file": file, "bytes": bytes.len(), "sha256": digest(bytes)}))
        };
        let mut root = listed(".root.zst", &frames)?;
        root["name"] = json!("root");
        root["plain_bytes"] = json!(self.root.len());
        root["block_size"] = json!(BLOCK);
        root["index"] = listed(".root.index", &index)?;
        let manifest = json!({
            "format": 1, "id": "kiosk", "version": self.version, "compatible": self.compatible,
            "architecture": "x86_64", "loader": "grub", "parts": [root],
        });
        std::fs::write(folder.join("manifest.json"), serde_json::to_vec_pretty(&manifest)?)?;
        sums(folder)
    }
}

/// Write the digests of what is in the folder now.
pub(crate) fn sums(folder: &Path) -> Result<()> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("SHA256SUMS") {
            lines.push(format!("{}  {name}\n", digest(&std::fs::read(entry.path())?)));
        }
    }
    lines.sort();
    std::fs::write(folder.join("SHA256SUMS"), lines.concat())
}

/// Of each block a frame, and what the index says of it.
fn packed(root: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut frames, mut index) = (Vec::new(), Vec::new());
    let mut compressor = Compressor::new(1)?;
    compressor.include_checksum(true)?;
    for block in root.chunks(BLOCK) {
        let frame = compressor.compress(block)?;
        index.extend(Sha256::digest(block));
        index.extend((frame.len() as u32).to_le_bytes());
        frames.extend(frame);
    }
    Ok((frames, index))
}

fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
