//! An update as `--format update` writes it (docs/updates.md), of bytes that a test makes up.

use std::io::Result;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 64 << 10;

/// A version of `kiosk`, for its machines of x86_64 and GRUB.
pub(crate) struct Version<'a> {
    pub(crate) version: &'a str,
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
            "format": 1, "id": "kiosk", "version": self.version, "compatible": "kiosk",
            "architecture": "x86_64", "loader": "grub", "parts": [root],
        });
        let manifest = serde_json::to_vec_pretty(&manifest)?;
        std::fs::write(folder.join("manifest.json"), &manifest)?;
        std::fs::write(folder.join("SHA256SUMS"), format!("{}  manifest.json\n", digest(&manifest)))
    }
}

/// Bytes that nothing packs, the same for the same word.
pub(crate) fn noise(word: &str, len: usize) -> Vec<u8> {
    (0..).flat_map(|number: usize| Sha256::digest(format!("{word} {number}"))).take(len).collect()
}

/// Of each block a frame, and what the index says of it.
fn packed(root: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut frames, mut index) = (Vec::new(), Vec::new());
    let mut compressor = Compressor::new(1)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
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

/// What a machine of files that runs `version` from slot A knows: its `state.json`.
pub(crate) fn state(version: &str, from: &str) -> Value {
    json!({
        "booted": "A", "order": ["A", "B"], "good": "A",
        "slots": [
            {"label": format!("kiosk_{version}"), "ok": true, "tries": 0},
            {"label": "_empty", "ok": false, "tries": 0},
        ],
        "config": {
            "id": "kiosk", "version": version, "compatible": "kiosk", "architecture": "x86_64", "loader": "grub",
            "from": from,
        },
    })
}
