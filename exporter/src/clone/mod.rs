//! A copy of a disk that is another disk: every identity on it is new, and so is every text that names one.
//!
//! ```text
//! partition table     disk GUID, partition GUIDs; of an MBR the signature
//! ext4                UUID, and every checksum, since they begin with it
//! FAT                 serial number
//! text files          of /etc, /boot and the EFI system partition: the old names, each replaced by one as long
//! ```
//!
//! Nothing is moved and nothing else is changed: inode numbers, times and contents are those of the disk. What
//! no file of an ext4 has is left out. Without mounts, like everything here; no byte of the disk is trusted.

mod names;

use std::ops::Range;
use std::sync::Arc;

use crate::disk::mbr::{self, BOOT_CODE_LEN};
use crate::disk::{self, PartitionId, Placed, Table, gpt, kinds};
use crate::engine::RawImage;
use crate::error::{Error, Kind, Result};
use crate::extent::{Backing, Extent};
use crate::fs::{DiskBudget, VolumeId, ext4, fat};
use crate::limits;
use crate::patches::{Patched, Patches};
use crate::read_at::{Part, Shared};
use crate::seed::{Seed, Uuid};
use names::Names;

/// Where texts name file systems, on a root and on a partition of its own for `/boot`.
const FOLDERS: [&str; 4] = ["etc", "boot", "grub", "grub2"];

/// A copy, planned.
#[derive(Debug)]
pub struct Copy {
    size: u64,
    extents: Vec<Extent>,
    /// The identity of a disk file with it.
    pub id: Uuid,
    /// What is other than on the disk, and what is not and perhaps should, a line each.
    pub notes: Vec<String>,
}

impl Copy {
    /// The copy as the engine takes it.
    pub fn image(&self) -> RawImage<'_> {
        RawImage { size: self.size, extents: &self.extents }
    }
}

/// Plan the copy of `disk` whose identities come from `seed`, with all that is read of it out of `budget`.
///
/// # Errors
/// `Unsupported` for a file system that was not unmounted or cannot get another UUID, and for a partition with hashes or texts that are signed, `Corrupt` for one that is
/// damaged.
pub fn plan(disk: Shared, seed: &Seed, budget: &DiskBudget) -> Result<Copy> {
    let (table, volumes) = match disk::read(&*disk) {
        Ok(table) => {
            let volumes = table.partitions().iter().map(Volume::of).collect();
            (Some(table), volumes)
        }
        // A disk that is one file system.
        Err(no_table) => match ext4::read(&*disk)? {
            Some(_) => (None, vec![Volume { name: "disk".into(), range: 0..disk.size(), is_code: false }]),
            None => return Err(no_table),
        },
    };
    let mut copying = Copying {
        disk,
        seed,
        budget,
        patches: Patches::default(),
        used: Vec::new(),
        names: Names::default(),
        notes: Vec::new(),
    };
    let table = table.map(|table| copying.rename_table(table)).transpose()?.flatten();
    for volume in &volumes {
        copying.rename(volume)?;
    }
    // Only now all names are known.
    for volume in &volumes {
        copying.edit_texts(volume)?;
    }
    Ok(copying.finish(table))
}

/// What is checked when it is read is found by its hash, which another name in it would change.
fn require_no_hashes(table: &gpt::Table) -> Result<()> {
    let hashes = table.partitions.iter().find(|partition| kinds::is_verity(partition.kind));
    hashes.map_or(Ok(()), |partition| {
        let place = format!("partition {}", partition.number);
        let message = "has hashes (dm-verity) of another one, which has to stay as it is, its names too";
        Err(Error::new(Kind::Unsupported, place, message)
            .with_hint("build the disk once more, or copy its file as it is"))
    })
}

/// GRUB reads no text that is another one than the key has signed: the signature lies beside it.
fn require_unsigned(edited: &[String], files: &[String]) -> Result<()> {
    let mut signatures = edited.iter().map(|path| format!("{path}.sig"));
    let is_file =
        |path: &String| files.iter().any(|file| file.trim_start_matches('/').eq_ignore_ascii_case(path));
    signatures.find(is_file).map_or(Ok(()), |signature| {
        let message = "signs what names this disk, and a copy has other names";
        Err(Error::new(Kind::Unsupported, signature, message)
            .with_hint("build the disk once more, or copy its file as it is"))
    })
}

/// A part of the disk with something in it.
struct Volume {
    name: String,
    range: Range<u64>,
    /// Whether it is there for a boot loader's code, which has no name.
    is_code: bool,
}

impl Volume {
    fn of(placed: &Placed) -> Self {
        let is_code = placed.kind.guid() == Some(kinds::BIOS_BOOT);
        // The table was checked: its partitions lie inside the disk.
        Self { name: format!("partition {}", placed.number), range: placed.start..placed.end(), is_code }
    }

    /// The error with its place.
    fn at(&self, error: Error) -> Error {
        let named = Error::new(error.kind().clone(), &self.name, error.to_string());
        match error.hint() {
            Some(hint) => named.with_hint(hint.clone()),
            None => named,
        }
    }
}

struct Copying<'a> {
    disk: Shared,
    seed: &'a Seed,
    budget: &'a DiskBudget,
    patches: Patches,
    /// What is copied.
    used: Vec<Range<u64>>,
    names: Names,
    notes: Vec<String>,
}

impl Copying<'_> {
    /// The table with new identities, if it is one that is written anew.
    fn rename_table(&mut self, table: Table) -> Result<Option<[Extent; 2]>> {
        match table {
            Table::Gpt(found) => self.rename_gpt(found.table).map(Some),
            Table::Mbr(table) => {
                self.rename_mbr(&table);
                Ok(None)
            }
        }
    }

    /// The table with new GUIDs, as it lies at both ends of the disk.
    fn rename_gpt(&mut self, mut table: gpt::Table) -> Result<[Extent; 2]> {
        require_no_hashes(&table)?;
        let mut boot_code = [0; BOOT_CODE_LEN];
        self.disk.read_at(0, &mut boot_code)?;
        let guid = self.seed.uuid("disk");
        self.notes.push(format!("disk: {} -> {guid}", table.disk_guid));
        self.names.add_uuid(table.disk_guid, guid);
        table.disk_guid = guid;
        for partition in &mut table.partitions {
            let guid = self.seed.uuid(&format!("partition {}", partition.number));
            self.names.add_uuid(partition.guid, guid);
            self.notes.push(format!("partition {}: {} -> {guid}", partition.number, partition.guid));
            partition.guid = guid;
        }
        gpt::encode(&table, &boot_code)
    }

    /// Another signature, in what lies in front of the partitions: partitions are named by it.
    fn rename_mbr(&mut self, table: &mbr::Table) {
        let signature = mbr::signature(self.seed.uuid("disk"));
        self.notes.push(format!("disk: {:08x} -> {signature:08x}", table.signature));
        self.patches.put(mbr::SIGNATURE_OFFSET as u64, signature.to_le_bytes().to_vec());
        for placed in Table::Mbr(table.clone()).partitions() {
            let id = PartitionId::Numbered { signature, number: placed.number };
            self.names.add_partition(placed.id, id);
        }
        let front = table.partitions.iter().map(|partition| partition.first_lba).min().unwrap_or(1);
        self.used.push(0..u64::from(front) * u64::from(mbr::SECTOR_SIZE));
    }

    /// Give what is on a volume another identity.
    fn rename(&mut self, volume: &Volume) -> Result<()> {
        let Volume { name, range, is_code } = volume;
        let part = Part::new(&*self.disk, range.clone());
        if let Some(found) = ext4::read(&part).map_err(|error| volume.at(error))? {
            let uuid = self.seed.uuid(&format!("ext4 {name}"));
            let renamed = ext4::rename(&part, uuid, self.budget).map_err(|error| volume.at(error))?;
            self.used
                .extend(renamed.used.iter().map(|used| range.start + used.start..range.start + used.end));
            self.patches.add(range.start, renamed.patches);
            self.names.add_uuid(found.uuid, uuid);
            self.notes.push(format!("{name}: {} {} -> {uuid}", found.kind, found.uuid));
            return Ok(());
        }
        self.used.push(range.clone());
        if let Ok(found) = fat::read(&part, self.budget) {
            let serial = self.seed.serial(&format!("fat {name}"));
            self.patches
                .add(range.start, fat::rename(&part, serial, self.budget).map_err(|error| volume.at(error))?);
            self.names.add_serial(found.serial, serial);
            let [old, new] = [found.serial, serial].map(VolumeId::Serial);
            self.notes.push(format!("{name}: FAT {old} -> {new}"));
        } else if !is_code {
            self.notes.push(format!("{name}: no file system that is known, copied as it is"));
        }
        Ok(())
    }

    /// Let the texts on a volume say the new names.
    fn edit_texts(&mut self, volume: &Volume) -> Result<()> {
        let Volume { name, range, .. } = volume;
        let part = Part::new(&*self.disk, range.clone());
        let edit = |text: &[u8]| self.names.replace(text);
        let (patches, edited) = if ext4::read(&part)?.is_some() {
            let id = ext4::read_text(&part, "etc/machine-id", limits::TEXT as usize, self.budget);
            if id.is_ok_and(|id| id.is_some_and(|id| id.len() > 32)) {
                self.notes.push(format!(
                    "{name}: a machine that has run: /etc/machine-id and keys in /etc/ssh are the same in both"
                ));
            }
            ext4::edit_texts(&part, &FOLDERS, &edit, self.budget).map_err(|error| volume.at(error))?
        } else if fat::read(&part, self.budget).is_ok() {
            let (patches, edited) =
                fat::edit_texts(&part, &edit, self.budget).map_err(|error| volume.at(error))?;
            let files = fat::files(&part, self.budget).map_err(|error| volume.at(error))?;
            require_unsigned(&edited, &files).map_err(|error| volume.at(error))?;
            (patches, edited)
        } else {
            return Ok(());
        };
        self.patches.add(range.start, patches);
        self.notes.extend(edited.into_iter().map(|path| format!("{name}: /{path}: names the new ones")));
        Ok(())
    }

    fn finish(self, table: Option<[Extent; 2]>) -> Copy {
        let size = self.disk.size();
        let image: Shared = Arc::new(Patched { image: self.disk, patches: self.patches });
        let mut extents: Vec<_> = self
            .used
            .into_iter()
            .map(|Range { start, end }| Extent {
                offset: start,
                len: end - start,
                source: Backing::Image { image: image.clone(), offset: start },
            })
            .collect();
        extents.extend(table.into_iter().flatten());
        extents.sort_by_key(|extent| extent.offset);
        Copy { size, extents, id: self.seed.uuid("disk file"), notes: self.notes }
    }
}
