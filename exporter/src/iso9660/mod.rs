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
//! Specifications: ECMA-119 (ISO 9660, sections as in its 3rd edition), "El Torito" 1.0 (1995), SUSP and RRIP 1.10, UEFI
//! 2.10 chapters 5 and 13.3.2.
//!
//! Supported: level 3, with files of up to 100 sections of 4 GiB, which is what Linux reads; names as they are, by Rock
//! Ridge. All is read by all; nothing has another owner than root. Refused, with the path: what [`plan()`] says.

mod bios;
mod catalog;
mod dates;
mod descriptors;
mod directory;
mod files;
mod hybrid;
mod names;
mod place;
mod rock_ridge;
#[cfg(test)]
mod tests;
mod tree;

use std::ops::Range;
use std::sync::Arc;

use crate::boot::BiosImages;
use crate::error::Result;
use crate::extent::{Extent, Extents};
use crate::fs::Contents;
use crate::fs::iso9660::format::{BLOCK, FIRST_DESCRIPTOR};
use crate::seed::Uuid;
use crate::tree::Time;
use dates::Stamp;
use directory::Records;
use files::Files;
use place::Places;
use tree::Tree;

/// The boot catalogue's name in the tree.
pub const CATALOG: &str = "boot.catalog";
/// The name in the tree of what a BIOS loads from a disc.
pub const BIOS_IMAGE: &str = "eltorito.img";
/// The ESP's name in the tree.
pub const ESP_IMAGE: &str = "efi.img";

/// What a volume is to be, beside its files.
#[derive(Clone, Debug)]
pub struct Volume {
    /// A name for people, of which the label is made: up to 32 of the characters A to Z, 0 to 9 and `_`.
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
    /// Path, first byte and contents of each file that has any.
    files: Vec<(String, u64, Contents)>,
    /// What is in front of them, and what is behind.
    front: Vec<Extent>,
    back: Extent,
}

/// Plan the volume that holds what `boot` has for a BIOS, `entries` in their order, and the ESP.
///
/// # Errors
/// [`Kind::Input`](crate::Kind::Input) with the path of a file that cannot be in it: a name that is empty, longer than 128
/// bytes or there twice, a file in a file, more than seven folders in each other, more than 400 GiB; and for boot files that
/// are none. [`Kind::NoSpace`](crate::Kind::NoSpace) beyond 8 TiB.
pub fn plan(volume: &Volume, entries: Vec<Entry>, boot: Boot) -> Result<Layout> {
    let files = Files::new(entries, boot)?;
    let tree = Tree::new(files.paths())?;
    let first = u64::from(FIRST_DESCRIPTOR) + descriptors::blocks(files.are_bootable());
    let places = Places::new(&tree, &files.sizes(), first)?;
    let files = files.place(&places.files)?;
    let blocks = hybrid::blocks(places.end);
    let end_of_data = files.esp.map_or(places.end, |esp| esp.block().into());
    let [table, back] = hybrid::encode(volume, blocks, end_of_data, files.esp, &files.boot_code)?;
    let mut front = vec![table];
    front.extend(metadata(volume, blocks as u32, &tree, &places, files.catalog));
    Ok(Layout { size: blocks * BLOCK, files: files.files, front, back })
}

/// Descriptors, tables and directories, in the order of their blocks.
fn metadata(volume: &Volume, blocks: u32, tree: &Tree, places: &Places, catalog: Option<u32>) -> Vec<Extent> {
    let stamp = Stamp::new(volume.time);
    let records = Records { tree, places, recorded: stamp.short() };
    let at = |block: u32, bytes: Vec<u8>| Extent::bytes(u64::from(block) * BLOCK, bytes);
    let descriptors = descriptors::encode(&volume.name, blocks, &records, stamp, catalog);
    let tables = places.path_tables.into_iter().zip(records.path_tables());
    let directories = places.directories.iter().enumerate();
    let mut extents = vec![at(FIRST_DESCRIPTOR, descriptors)];
    extents.extend(tables.map(|(block, table)| at(block, table)));
    extents.push(at(places.explanation, rock_ridge::explanation()));
    extents.extend(directories.map(|(number, section)| at(section.block, records.directory(number))));
    extents
}

impl Layout {
    /// Where a file that is not empty lies in the volume, in bytes, by its path as in [`Entry::path`].
    pub fn file(&self, path: &str) -> Option<Range<u64>> {
        let (_, start, contents) = self.files.iter().find(|(name, ..)| name == path)?;
        Some(*start..*start + contents.size)
    }

    /// The volume as contents.
    pub fn into_contents(self) -> Contents {
        Contents { size: self.size, extents: Box::new(self) }
    }
}

impl Extents for Layout {
    fn iter(&self) -> Box<dyn Iterator<Item = Extent> + Send + '_> {
        let files = self
            .files
            .iter()
            .flat_map(|(_, start, contents)| contents.extents.iter().map(|extent| extent.shifted(*start)));
        Box::new(self.front.as_slice().iter().cloned().chain(files).chain([self.back.clone()]))
    }
}
