//! An update as `--format update` writes it (docs/updates.md), of bytes that a test makes up.

#![allow(dead_code, reason = "who includes it does not ask for all of it")]

use std::io::{Read, Result};
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
        let (frames, index) = packed(&mut &*self.root)?;
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
        seal(folder, &manifest)
    }
}

/// Give an update that is there another root of the same length, which nobody would have built.
pub(crate) fn replace_root(folder: &Path, root: &mut dyn Read) -> Result<()> {
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(folder.join("manifest.json"))?)?;
    let (frames, index) = packed(root)?;
    let part = &mut manifest["parts"][0];
    for (place, bytes) in [("", frames), ("/index", index)] {
        let listed = part.pointer_mut(place).ok_or("the part has no index").map_err(std::io::Error::other)?;
        std::fs::write(folder.join(listed["file"].as_str().unwrap_or_default()), &bytes)?;
        (listed["bytes"], listed["sha256"]) = (bytes.len().into(), digest(&bytes).into());
    }
    seal(folder, &manifest)
}

/// What is said of all files, and the digest by which that is known.
fn seal(folder: &Path, manifest: &Value) -> Result<()> {
    let manifest = serde_json::to_vec_pretty(manifest)?;
    std::fs::write(folder.join("manifest.json"), &manifest)?;
    std::fs::write(folder.join("SHA256SUMS"), format!("{}  manifest.json\n", digest(&manifest)))
}

/// Bytes that nothing packs, the same for the same word.
pub(crate) fn noise(word: &str, len: usize) -> Vec<u8> {
    (0..).flat_map(|number: usize| Sha256::digest(format!("{word} {number}"))).take(len).collect()
}

/// Of each block a frame, and what the index says of it.
fn packed(root: &mut dyn Read) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut frames, mut index) = (Vec::new(), Vec::new());
    let mut compressor = Compressor::new(1)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    let mut block = Vec::with_capacity(BLOCK);
    while (&mut *root).take(BLOCK as u64).read_to_end(&mut block)? > 0 {
        let frame = compressor.compress(&block)?;
        index.extend(Sha256::digest(&block));
        index.extend((frame.len() as u32).to_le_bytes());
        frames.extend(frame);
        block.clear();
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
