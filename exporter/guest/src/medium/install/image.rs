//! The disk that is written: what the medium says of it, checked.

use crate::medium::manifest::{Disk, Manifest};
use crate::update::sums::{self, Sha};

/// The largest that is installed. What the index of it takes in memory is 40 MiB.
const BYTES_MAX: u64 = 64 << 40;
/// The least: a table at its front, one at its end, and something between them.
const BYTES_MIN: u64 = 1 << 20;

/// The disk that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// The file with its blocks, and the one with what they are.
    pub(super) file: String,
    pub(super) index: String,
    pub(super) bytes: u64,
    /// Whether each block is a frame of zstd.
    pub(super) is_packed: bool,
    pub(super) index_sha: Option<Sha>,
    pub(super) sector: u64,
}

impl Image {
    /// The disk of a medium.
    ///
    /// # Errors
    /// If it has none, or one that cannot be.
    pub(super) fn of(manifest: &Manifest) -> Result<Self, String> {
        let disk = manifest.disk.as_ref().ok_or(
            "medium.json: there is no disk in it, this medium installs nothing\nhint: build it with modes = [\"install\"]",
        )?;
        Self::checked(disk).map_err(|reason| format!("medium.json: {reason}"))
    }

    fn checked(disk: &Disk) -> Result<Self, String> {
        let Disk { file, bytes, packed, index, index_sha256, sector_size } = disk.clone();
        let sector = u64::from(sector_size);
        if sector == 0 || bytes % sector != 0 || !(BYTES_MIN..=BYTES_MAX).contains(&bytes) {
            return Err(format!(
                "a disk of {bytes} bytes in sectors of {sector} is none that can be written"
            ));
        }
        let parse = |text: String| sums::parse(&text).ok_or("index_sha256 is no digest");
        let index_sha = index_sha256.map(parse).transpose()?;
        Ok(Self { file, index, bytes, is_packed: packed, index_sha, sector })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(disk: &str) -> Result<Image, String> {
        let text = format!(r#"{{"version":1,"id":"x","name":"web"{disk}}}"#);
        Image::of(&Manifest::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn a_disk_that_cannot_be_is_refused() {
        let disk = |bytes: u64, more: &str| {
            of(&format!(r#","disk":{{"file":"disk.raw","bytes":{bytes},"index":"disk.index"{more}}}"#))
        };
        let image = disk(1 << 20, "").unwrap();
        assert_eq!((image.sector, image.is_packed, image.index_sha), (512, false, None));
        let digest = format!(r#","index_sha256":"{}""#, "ab".repeat(32));
        assert_eq!(disk(1 << 30, &digest).unwrap().index_sha, Some([0xab; 32]));
        for bytes in [0, 512, (1 << 20) + 1, (64 << 40) + 512] {
            assert!(disk(bytes, "").unwrap_err().contains("is none that can be written"), "{bytes}");
        }
        assert!(disk((1 << 20) + 512, r#","sector_size":4096"#).is_err());
        assert!(disk(1 << 20, r#","index_sha256":"abc""#).unwrap_err().contains("no digest"));
        assert!(of("").unwrap_err().contains("this medium installs nothing"));
    }
}
