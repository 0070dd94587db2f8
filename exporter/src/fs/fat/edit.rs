//! Changes in a volume that is there, which keep every length: another serial number, texts. Nothing is trusted.

use std::mem::{offset_of, size_of};

use super::format::{BiosParameterBlock, Fat32Block, VolumeBlock};
use super::geometry::FatType;
use super::read::{DEPTH_MAX, ENTRIES_MAX, Entries, Listed, Reader, corrupt};
use crate::clone::TEXT_MAX;
use crate::clone::patches::Patches;
use crate::error::Result;
use crate::read_at::ReadAt;

/// Give the volume another serial number: what to change.
///
/// # Errors
/// As [`read`](super::read).
pub(crate) fn rename<V: ReadAt + ?Sized>(volume: &V, serial: u32) -> Result<Patches> {
    let found = super::read(volume)?;
    let is_fat32 = found.kind == FatType::Fat32;
    let behind = size_of::<BiosParameterBlock>() + if is_fat32 { size_of::<Fat32Block>() } else { 0 };
    let at = (behind + offset_of!(VolumeBlock, bs_vol_id)) as u64;
    let mut patches = Patches::default();
    patches.put(at, serial.to_le_bytes().to_vec());
    if let Some(copy) = copy_of_boot_sector(volume, is_fat32)? {
        patches.put(copy + at, serial.to_le_bytes().to_vec());
    }
    Ok(patches)
}

/// Where FAT32 keeps a copy of its boot sector, if it does.
fn copy_of_boot_sector<V: ReadAt + ?Sized>(volume: &V, is_fat32: bool) -> Result<Option<u64>> {
    let number_at = |at: usize| {
        let mut bytes = [0; 2];
        volume.read_at(at as u64, &mut bytes).map(|()| u64::from(u16::from_le_bytes(bytes)))
    };
    let sector_size = number_at(offset_of!(BiosParameterBlock, bpb_byts_per_sec))?;
    let sector = number_at(size_of::<BiosParameterBlock>() + offset_of!(Fat32Block, bpb_bk_boot_sec))?;
    let copy = sector * sector_size;
    Ok((is_fat32 && sector > 0 && copy + sector_size <= volume.size()).then_some(copy))
}

/// Edit the texts of the volume. Returns what to change, and the paths of the files that are changed.
///
/// # Errors
/// As [`read`](super::read).
pub(crate) fn edit_texts<V: ReadAt + ?Sized>(
    volume: &V,
    edit: &dyn Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<(Patches, Vec<String>)> {
    let reader = Reader::open(volume)?;
    let mut editing = Editing { reader, edit, seen: 0, patches: Patches::default(), edited: Vec::new() };
    let root = editing.reader.root_directory()?;
    editing.directory(&root, "", 0)?;
    Ok((editing.patches, editing.edited))
}

struct Editing<'a, V: ?Sized> {
    reader: Reader<'a, V>,
    edit: &'a dyn Fn(&[u8]) -> Option<Vec<u8>>,
    /// Entries that were met.
    seen: usize,
    patches: Patches,
    edited: Vec<String>,
}

impl<V: ReadAt + ?Sized> Editing<'_, V> {
    fn directory(&mut self, bytes: &[u8], path: &str, depth: usize) -> Result<()> {
        for entry in Entries(bytes).filter(Listed::is_named) {
            self.seen += 1;
            if self.seen > ENTRIES_MAX || depth > DEPTH_MAX {
                return Err(corrupt("the directories have no end"));
            }
            if entry.is_directory() {
                let bytes = self.reader.directory(entry.cluster)?;
                self.directory(&bytes, &format!("{path}{}/", entry.name), depth + 1)?;
            } else if u64::from(entry.size) <= TEXT_MAX && self.file(&entry)? {
                self.edited.push(format!("{path}{}", entry.name));
            }
        }
        Ok(())
    }

    /// Whether the file is changed.
    fn file(&mut self, entry: &Listed) -> Result<bool> {
        let mut text = Vec::new();
        self.reader.content(entry.cluster, entry.size.into(), &mut |bytes| text.extend(bytes))?;
        let Some(new_text) = (self.edit)(&text) else { return Ok(false) };
        let mut done = 0;
        for range in self.reader.places(entry.cluster, entry.size.into())? {
            let len = (range.end - range.start) as usize;
            self.patches.put(range.start, new_text[done..done + len].to_vec());
            done += len;
        }
        Ok(true)
    }
}
