//! What a medium says of itself to the program that is started from it: `medium.json`.

use serde::Serialize;

use crate::architecture::Architecture;
use crate::error::{Error, Kind, Result};

/// Of what is written here; a reader that knows no such number stops.
const VERSION: u32 = 1;

/// A medium. The members have this order; readers leave out those that they do not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct About {
    version: u32,
    /// Tells it from every other: an ISO has an empty file of this name in `/vmimage`.
    pub id: String,
    /// The name of the machine.
    pub name: String,
    /// The distribution, for people.
    pub os: String,
    architecture: &'static str,
    /// What it can do.
    pub modes: Vec<&'static str>,
    /// What live mode runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<LiveRoot>,
    /// The first process of the system.
    pub init: String,
    /// What install mode writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
    /// What there is on a disk that was written.
    pub target: Target,
}

/// The root of live mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum LiveRoot {
    /// A partition of the disk.
    Partition(PartitionOf),
    /// A file.
    File {
        /// Its name.
        file: String,
        /// Bytes.
        bytes: u64,
        /// In hexadecimal.
        sha256: String,
        /// The file system, as mount(8) calls it.
        #[serde(rename = "type")]
        kind: &'static str,
    },
}

/// A partition of the disk and the file system in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionOf {
    /// Its number, the first is 1.
    pub partition: u32,
    /// The file system, as mount(8) calls it.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// The disk that install mode writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// The file with it.
    pub file: String,
    /// Bytes of the disk.
    pub bytes: u64,
    /// Whether the file has a frame of zstd for each block; else it is the disk as it is.
    pub packed: bool,
    /// The file with an [`Entry`](crate::container::update::Entry) for each block.
    pub index: String,
    /// Its digest in hexadecimal, where it was known: an ISO is written from front to end, and its index is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_sha256: Option<String>,
    /// Bytes of a sector.
    pub sector_size: u32,
}

/// What the installer has to know of the system on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Its root.
    pub root: PartitionOf,
    /// What it keeps beside a root that is only read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persist: Option<PartitionOf>,
    /// The number of the ESP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub esp: Option<u32>,
    /// The path on the ESP of what the firmware starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loader: Option<String>,
    /// The name of the firmware's boot entry.
    pub label: String,
    /// Who configures the network in it: `networkd`, `networkmanager`, `ifupdown`, `wicked`, `own`, `none`.
    pub network: &'static str,
}

impl About {
    /// The medium `id` of a machine with this name, for this architecture; `os` is the distribution.
    pub fn new(id: String, name: String, os: String, architecture: Architecture, target: Target) -> Self {
        Self {
            version: VERSION,
            id,
            name,
            os,
            architecture: named(architecture),
            modes: Vec::new(),
            root: None,
            init: "/sbin/init".to_owned(),
            disk: None,
            target,
        }
    }

    /// Its text.
    ///
    /// # Errors
    /// None that can be met: no key of it is no text.
    pub(crate) fn text(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self);
        text.map(|text| text + "\n").map_err(|error| Error::new(Kind::Input, super::ABOUT, error.to_string()))
    }
}

/// As systemd calls it.
fn named(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "x86-64",
        Architecture::Aarch64 => "arm64",
    }
}
