//! Which file system a partition holds, and what it says of itself.

use exporter::Result;
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

/// What only the name is told of: offset and bytes of the magic.
const MAGICS: [(u64, &[u8], &str); 6] = [
    (0, b"XFSB", "xfs"),
    (0, b"hsqs", "squashfs"),
    (0, b"LUKS\xba\xbe", "crypto_LUKS"),
    (1024, b"\xe2\xe1\xf5\xe0", "erofs"),
    (4086, b"SWAPSPACE2", "swap"),
    (0x1_0040, b"_BHRfS_M", "btrfs"),
];

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
            None => MAGICS
                .into_iter()
                .find(|(offset, magic, _)| has_bytes(volume, *offset, magic))
                .map(|(_, _, kind)| Self::of_kind(kind)),
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

fn has_bytes<V: ReadAt + ?Sized>(volume: &V, offset: u64, bytes: &[u8]) -> bool {
    let mut found = vec![0; bytes.len()];
    volume.read_at(offset, &mut found).is_ok() && found == bytes
}

/// Boot sectors of other kinds end in the same signature, so the type's name is asked for too.
pub(super) fn looks_like_fat<V: ReadAt + ?Sized>(volume: &V) -> bool {
    has_bytes(volume, 510, &[0x55, 0xaa]) && (has_bytes(volume, 54, b"FAT") || has_bytes(volume, 82, b"FAT"))
}
