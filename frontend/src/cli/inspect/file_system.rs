//! Which file system a partition holds, and what it says of itself.

use exporter::Result;
use exporter::fs::probe::{by_magic, looks_like_fat};
use exporter::fs::{DiskBudget, VolumeId, ext4, fat};
use exporter::read_at::ReadAt;
use serde::Serialize;

/// A file system.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct FileSystem {
    /// Its name, as mount(8) knows it.
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uuid: Option<String>,
    /// In bytes; smaller than the partition if it is yet to grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    /// In bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) free: Option<u64>,
    /// SHA-256 of all that is in it, if it was asked for and the file system is one that is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tree_digest: Option<String>,
    /// What changed last is in its journal alone.
    #[serde(skip)]
    pub(super) needs_recovery: bool,
}

/// Largest text file that is read.
const TEXT_MAX: usize = 1 << 20;

impl FileSystem {
    /// What is on `volume`, and if it `is_esp` its files: anything but FAT is damage then.
    pub(super) fn probe<V: ReadAt + ?Sized>(
        volume: &V,
        is_esp: bool,
        budget: &DiskBudget,
    ) -> Result<Option<(Self, Vec<String>)>> {
        if is_esp || looks_like_fat(volume) {
            let found = fat::read(volume, budget)?;
            let files = if is_esp { fat::files(volume, budget)? } else { Vec::new() };
            return Ok(Some((Self::of_fat(&found), files)));
        }
        let known = match ext4::read(volume)? {
            Some(found) => Some(Self::of_ext(found)),
            None => by_magic(volume).map(Self::of_kind),
        };
        Ok(known.map(|file_system| (file_system, Vec::new())))
    }

    /// What is on `volume`, if it is of a kind that a Linux can have as its root, and whose files are read.
    pub(super) fn of_root<V: ReadAt + ?Sized>(volume: &V) -> Option<Self> {
        ext4::read(volume).ok().flatten().map(Self::of_ext)
    }

    /// The text of a file in it, if it is there. Links are followed inside the file system only.
    pub(super) fn read_text<V: ReadAt + ?Sized>(
        &self,
        volume: &V,
        path: &str,
        budget: &DiskBudget,
    ) -> Result<Option<String>> {
        let text = match self.kind {
            "ext2" | "ext3" | "ext4" => ext4::read_text(volume, path, TEXT_MAX, budget)?,
            _ => None,
        };
        Ok(text.map(|text| String::from_utf8_lossy(&text).into_owned()))
    }

    fn of_kind(kind: &'static str) -> Self {
        let label = String::new();
        Self { kind, label, uuid: None, size: None, free: None, tree_digest: None, needs_recovery: false }
    }

    fn of_ext(found: ext4::Found) -> Self {
        Self {
            kind: found.kind,
            label: found.label,
            uuid: Some(found.uuid.to_string()),
            size: Some(found.size),
            free: found.free,
            tree_digest: None,
            needs_recovery: found.needs_recovery,
        }
    }

    fn of_fat(found: &fat::Found) -> Self {
        Self {
            kind: "vfat",
            label: found.label.clone(),
            uuid: Some(VolumeId::Serial(found.serial).to_string()),
            size: Some(found.size),
            free: Some(found.free),
            tree_digest: None,
            needs_recovery: false,
        }
    }

    /// Reads all that is in it. A disk that is in use, or of a kind that is not read, has no digest.
    pub(super) fn read_tree_digest<V: ReadAt + ?Sized>(
        &mut self,
        volume: &V,
        budget: &DiskBudget,
    ) -> Result<()> {
        let digest = match self.kind {
            _ if self.needs_recovery => return Ok(()),
            "ext2" | "ext3" | "ext4" => ext4::tree_digest(volume, budget)?,
            "vfat" => fat::tree_digest(volume, budget)?,
            _ => return Ok(()),
        };
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.tree_digest = Some(format!("sha256:{hex}"));
        Ok(())
    }
}
