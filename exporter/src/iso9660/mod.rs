//! ISO 9660 with what starts a machine from it, as an optical disc and as a disk: names and contents go in, a layout comes
//! out.
//!
//! ```text
//! block 0 … 8           16      17      18    19 …                                                      end
//! ┌───────────────────┬───────┬───────┬─────┬────────────────┬─────────┬──────────┬─────┬─────────┬────────────┐
//! │ MBR, GPT, entries │ PVD   │ boot  │ end │ path tables,   │ catalog │ GRUB for │ ESP │ files   │ GPT again  │
//! │ (sectors of 512)  │       │ record│     │ directories    │         │ a BIOS   │     │         │            │
//! └───────────────────┴───────┴───────┴─────┴────────────────┴─────────┴──────────┴─────┴─────────┴────────────┘
//! BIOS,  disc:   boot record ─▶ catalog ─▶ cdboot.img ─▶ core.img      UEFI, disc:   … catalog ─▶ ESP
//! BIOS,  disk:   boot.img in the MBR ────────────────▶ core.img        UEFI, disk:   GPT ─▶ ESP
//! ```
//!
//! Specifications: ECMA-119 (4th edition, the text of ISO 9660), "El Torito" 1.0 (1995), SUSP 1.12 and RRIP 1.12 in the
//! form of 1991 that every reader knows, UEFI 2.10 chapters 5 and 13.3.2.
//!
//! Supported: files of any size up to 100 sections of 4 GiB, which is what Linux reads; names as they are, by Rock Ridge.
//! Refused, with the path: what [`plan()`] says.

use std::ops::Range;
use std::sync::Arc;

use crate::boot::BiosImages;
use crate::error::{Error, Kind, Result};
use crate::extent::{Extent, Extents};
use crate::fs::Contents;
use crate::seed::Uuid;
use crate::tree::Time;

/// The boot catalogue's name in the tree.
pub const CATALOG: &str = "boot.catalog";
/// The name in the tree of what a BIOS loads from a disc.
pub const BIOS_IMAGE: &str = "eltorito.img";
/// The ESP's name in the tree.
pub const ESP_IMAGE: &str = "efi.img";

/// What a volume is to be, beside its files.
#[derive(Clone, Debug)]
pub struct Volume {
    /// A name for people, of which the label is made: 32 of the characters A to Z, 0 to 9 and `_`.
    pub name: String,
    /// The identity of the disk that it is to who reads it as one; those of its partitions follow from it.
    pub id: Uuid,
    /// When it was made, and all that is in it; before 1970 and after 2155 the nearest that can be said.
    pub time: Time,
}

/// A file, and by its path the folders that it lies in.
#[derive(Debug)]
pub struct Entry {
    /// `vmimage/disk.raw`: names between slashes, from the root on.
    pub path: String,
    /// Its bytes.
    pub content: Contents,
}

/// What a machine starts by.
#[derive(Debug, Default)]
pub struct Boot {
    /// Of a BIOS.
    pub bios: Option<Bios>,
    /// Of UEFI: a FAT, which is a file of the volume and a partition at once.
    pub esp: Option<Contents>,
}

/// GRUB for a BIOS.
#[derive(Clone, Debug)]
pub struct Bios {
    /// For disks, of which the core is that of discs too.
    pub images: BiosImages,
    /// `cdboot.img`, by which a BIOS loads the core from a disc.
    pub cdboot: Arc<[u8]>,
}

/// The whole volume: where every byte of it comes from.
#[derive(Debug)]
pub struct Layout {
    /// Size in bytes, a multiple of 2048.
    pub size: u64,
    files: Vec<(String, Range<u64>)>,
    extents: Vec<Extent>,
}

/// Plan the volume that holds `entries` in their order, and what `boot` has before them.
///
/// # Errors
/// [`Kind::Input`] with the path of a file that cannot be in it: a name that is empty, too long or there twice, a file in a
/// file, more than eight levels of folders; and for boot files that are none.
pub fn plan(volume: &Volume, entries: Vec<Entry>, boot: Boot) -> Result<Layout> {
    let _ = (entries, boot);
    Err(Error::new(Kind::Unsupported, &volume.name, "no ISO is written yet"))
}

impl Layout {
    /// Where a file lies in the volume, in bytes, by its path as in [`Entry::path`].
    pub fn file(&self, path: &str) -> Option<Range<u64>> {
        self.files.iter().find(|(name, _)| name == path).map(|(_, range)| range.clone())
    }

    /// The volume as contents.
    pub fn into_contents(self) -> Contents {
        Contents { size: self.size, extents: Box::new(self) }
    }
}

impl Extents for Layout {
    fn iter(&self) -> Box<dyn Iterator<Item = Extent> + Send + '_> {
        Box::new(self.extents.as_slice().iter().cloned())
    }
}
