//! Changes in a volume that is there, which keep every length: another serial number, texts. Nothing is trusted.

use std::mem::{offset_of, size_of};

use super::format::{BiosParameterBlock, Fat32Block, VolumeBlock};
use super::geometry::FatType;
use super::read::Reader;
use super::walk::Walk;
use crate::error::Result;
use crate::fs::DiskBudget;
use crate::limits;
use crate::patches::Patches;
use crate::read_at::ReadAt;

/// Give the volume another serial number: what to change.
///
/// # Errors
/// As [`read`](super::read).
pub(crate) fn rename<V: ReadAt + ?Sized>(volume: &V, serial: u32, budget: &DiskBudget) -> Result<Patches> {
    let found = super::read(volume, budget)?;
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
    budget: &DiskBudget,
) -> Result<(Patches, Vec<String>)> {
    let (mut patches, mut edited) = (Patches::default(), Vec::new());
    let reader = Reader::open(volume, budget)?;
    let mut walk = Walk::new(&reader)?;
    while let Some((path, entry)) = walk.next()? {
        if entry.is_directory() || u64::from(entry.size) > limits::TEXT {
            continue;
        }
        let (text, places) = reader.text(entry.cluster, entry.size.into())?;
        let Some(new_text) = edit(&text) else { continue };
        budget.keep((path.len() + text.len()) as u64)?;
        edited.push(path);
        let mut left = new_text.as_slice();
        for place in places {
            let (part, after) = left.split_at(left.len().min((place.end - place.start) as usize));
            patches.put(place.start, part.to_vec());
            left = after;
        }
    }
    Ok((patches, edited))
}
