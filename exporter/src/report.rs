//! What was made: for a person as a table, for a script as JSON.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::boot::{BootFiles, Entry};
use crate::disk::{DiskLayout, kinds};
use crate::error::{Error, Result, show_size};
use crate::spec::Spec;
use crate::tree::os::Os;

/// A finished disk. Sizes are in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// File name.
    pub file: String,
    /// Disk file format.
    pub format: String,
    /// Size of the disk the machine sees.
    pub virtual_size: u64,
    /// Size of the file.
    pub file_size: u64,
    /// Name of the distribution.
    pub os: String,
    /// Path of the kernel on the root.
    pub kernel: String,
    /// Kernel command line.
    pub cmdline: String,
    /// Folder the boot loader came from.
    pub boot_files: String,
    /// Partitions in order.
    pub partitions: Vec<Partition>,
    /// What the machine edits changed, a line each.
    pub edits: Vec<String>,
}

/// A partition of a finished disk.
#[derive(Clone, Debug, Serialize)]
pub struct Partition {
    /// Number from 1 on.
    pub number: u32,
    /// Name in the table.
    pub name: String,
    /// What its type GUID means.
    pub kind: String,
    /// First byte.
    pub start: u64,
    /// Size in bytes.
    pub size: u64,
}

impl Report {
    pub(crate) fn new(
        spec: &Spec,
        output: &Path,
        layout: &DiskLayout,
        os: &Os,
        entry: &Entry,
        boot_files: &BootFiles,
        edits: Vec<String>,
    ) -> Result<Self> {
        let shown = output.display().to_string();
        let file =
            std::fs::metadata(output).map_err(|error| Error::io(shown, "can't look at the disk", error))?;
        let partitions = layout.partitions.iter().map(|placed| Partition {
            number: placed.number,
            name: placed.name.clone(),
            kind: kinds::name(placed.kind).unwrap_or("unknown").to_owned(),
            start: placed.start,
            size: placed.size,
        });
        Ok(Self {
            file: format!("{}.{}", spec.name, spec.format.extension()),
            format: spec.format.to_string(),
            virtual_size: layout.size,
            file_size: file.len(),
            os: os.pretty_name.clone(),
            kernel: entry.kernel.clone(),
            cmdline: entry.cmdline.clone(),
            boot_files: boot_files.origin.clone(),
            partitions: partitions.collect(),
            edits,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = format!("{} disk, {} file", show_size(self.virtual_size), show_size(self.file_size));
        writeln!(f, "{}: {}, {sizes}", self.file, self.format)?;
        writeln!(f, "  system   {}", self.os)?;
        writeln!(f, "  kernel   {}", self.kernel)?;
        writeln!(f, "  cmdline  {}", self.cmdline)?;
        writeln!(f, "  loader   {}", self.boot_files)?;
        for part in &self.partitions {
            let (start, size) = (show_size(part.start), show_size(part.size));
            writeln!(f, "  part {}   {:<5} {:<24} {size} at {start}", part.number, part.name, part.kind)?;
        }
        self.edits.iter().try_for_each(|edit| writeln!(f, "  edit     {edit}"))
    }
}
