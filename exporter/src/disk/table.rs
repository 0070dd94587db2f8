//! The table that a disk has of its partitions, of either kind.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Placed, gpt, kinds, mbr};
use crate::choice::by_name;
use crate::error::Result;
use crate::read_at::ReadAt;
use crate::seed::{PartitionId, Uuid};

/// The kind of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableKind {
    /// GUID partition table.
    #[default]
    Gpt,
    /// Master boot record.
    Mbr,
}

impl TableKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Gpt, Self::Mbr];

    /// Its name: `gpt`, `mbr`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gpt => "gpt",
            Self::Mbr => "mbr",
        }
    }

    /// How many partitions it has room for.
    pub fn entries(self) -> usize {
        match self {
            Self::Gpt => gpt::ENTRIES,
            Self::Mbr => mbr::ENTRIES,
        }
    }

    /// Where the last partition ends at the latest, in bytes; `None`: no disk is that large.
    pub fn limit(self) -> Option<u64> {
        match self {
            Self::Gpt => None,
            Self::Mbr => Some(mbr::LIMIT),
        }
    }
}

impl FromStr for TableKind {
    type Err = String;

    /// The error says which names there are.
    fn from_str(name: &str) -> std::result::Result<Self, String> {
        by_name(&Self::ALL, Self::name, name)
    }
}

impl fmt::Display for TableKind {
    /// As it is written in texts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gpt => "GPT",
            Self::Mbr => "MBR",
        })
    }
}

/// The type of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionKind {
    /// Of a GPT, see [`kinds`].
    Guid(Uuid),
    /// Of an MBR, see [`mbr::kind`].
    Byte(u8),
}

impl PartitionKind {
    /// The type of a GPT that it is or stands for.
    pub fn guid(self) -> Option<Uuid> {
        match self {
            Self::Guid(guid) => Some(guid),
            Self::Byte(byte) => mbr::guid(byte),
        }
    }

    /// Its name, if it has one.
    pub fn name(self) -> Option<&'static str> {
        self.guid().and_then(kinds::name)
    }
}

impl From<Uuid> for PartitionKind {
    fn from(guid: Uuid) -> Self {
        Self::Guid(guid)
    }
}

impl fmt::Display for PartitionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guid(guid) => guid.fmt(f),
            Self::Byte(byte) => write!(f, "{byte:#04x}"),
        }
    }
}

/// A table that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Table {
    /// A GPT, and the copy it was read from.
    Gpt(gpt::Found),
    /// An MBR.
    Mbr(mbr::Table),
}

/// Read the table of `disk`, of whichever kind it is.
///
/// # Errors
/// [`Kind::Corrupt`](crate::Kind::Corrupt) if there is none, or a GPT of which no copy is whole.
pub fn read<D: ReadAt + ?Sized>(disk: &D) -> Result<Table> {
    match gpt::read(disk) {
        Ok(found) => Ok(Table::Gpt(found)),
        Err(no_gpt) => mbr::read(disk).map(Table::Mbr).ok_or(no_gpt),
    }
}

impl Table {
    /// Its kind.
    pub fn kind(&self) -> TableKind {
        match self {
            Self::Gpt(_) => TableKind::Gpt,
            Self::Mbr(_) => TableKind::Mbr,
        }
    }

    /// Bytes of the sectors that it counts in.
    pub fn sector_size(&self) -> u32 {
        match self {
            Self::Gpt(found) => found.table.sector_size,
            Self::Mbr(_) => mbr::SECTOR_SIZE,
        }
    }

    /// The identity of the disk, as Linux shows it (`PTUUID`).
    pub fn disk_id(&self) -> String {
        match self {
            Self::Gpt(found) => found.table.disk_guid.to_string(),
            Self::Mbr(table) => format!("{:08x}", table.signature),
        }
    }

    /// A line for each problem of it; its partitions lie on the disk.
    pub fn check<D: ReadAt + ?Sized>(&self, disk: &D) -> Vec<String> {
        match self {
            Self::Gpt(found) => gpt::check(disk, found),
            Self::Mbr(_) => Vec::new(),
        }
    }

    /// Its partitions, in its order.
    pub fn partitions(&self) -> Vec<Placed> {
        match self {
            Self::Gpt(gpt::Found { table, .. }) => {
                table.partitions.iter().map(|partition| partition.placed(table.sector_size)).collect()
            }
            Self::Mbr(table) => {
                table.partitions.iter().map(|partition| partition.placed(table.signature)).collect()
            }
        }
    }
}

impl gpt::Partition {
    fn placed(&self, sector_size: u32) -> Placed {
        let sector = u64::from(sector_size);
        let start = self.first_lba.saturating_mul(sector);
        let end = self.last_lba.saturating_add(1).saturating_mul(sector);
        Placed {
            number: self.number,
            start,
            size: end.saturating_sub(start),
            kind: self.kind.into(),
            id: self.guid.into(),
            attributes: self.attributes,
            name: self.name.clone(),
        }
    }
}

impl mbr::Partition {
    fn placed(&self, signature: u32) -> Placed {
        let bytes = |sectors: u32| u64::from(sectors) * u64::from(mbr::SECTOR_SIZE);
        Placed {
            number: self.number,
            start: bytes(self.first_lba),
            size: bytes(self.sectors),
            kind: PartitionKind::Byte(self.kind),
            id: PartitionId::Numbered { signature, number: self.number },
            attributes: if self.is_active { kinds::LEGACY_BOOT } else { 0 },
            name: String::new(),
        }
    }
}
