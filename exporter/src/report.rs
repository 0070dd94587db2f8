//! What was made, as a table for a person.

use std::fmt;
use std::fs::Metadata;

use serde::Serialize;

use crate::boot::{BootFiles, Entry};
use crate::container::{self, Format, Target, sparse};
use crate::disk::{Placed, kinds};
use crate::error::{Result, show_size};
use crate::terminal::line;
use crate::tree::os::Os;

/// A finished disk. Sizes are in bytes.
#[derive(Clone, Debug)]
pub struct Report {
    /// The artifacts with the disk in them.
    pub artifacts: Vec<Made>,
    /// Size of the disk the machine sees.
    pub virtual_size: u64,
    /// The machine on it; `None` if it holds only data.
    pub system: Option<System>,
    /// Partitions in order.
    pub partitions: Vec<Placed>,
}

/// An artifact that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// Its format.
    pub format: Format,
    /// The size of its files.
    pub size: u64,
}

/// The machine that boots from a disk.
#[derive(Clone, Debug, Serialize)]
pub struct System {
    /// Name of the distribution.
    pub os: String,
    /// Path of the kernel on the root.
    pub kernel: String,
    /// Kernel command line.
    pub cmdline: String,
    /// Where the boot loader came from.
    #[serde(rename = "loader")]
    pub boot_files: String,
    /// What can start it.
    pub firmware: &'static str,
    /// What the machine edits changed, a line each.
    pub edits: Vec<String>,
}

impl System {
    pub(crate) fn new(os: &Os, entry: &Entry, boot_files: &BootFiles, edits: Vec<String>) -> Self {
        Self {
            os: os.pretty_name.clone(),
            kernel: entry.kernel.clone(),
            cmdline: entry.cmdline.clone(),
            boot_files: boot_files.origin.clone(),
            firmware: boot_files.firmware(),
            edits,
        }
    }
}

impl Made {
    /// Look at what was made; of a stream, at the file that will be made of it.
    pub fn read(target: &Target) -> Result<Self> {
        let Target { path, format, .. } = target;
        let mut name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if target.sparse {
            name.truncate(name.strip_suffix(sparse::EXTENSION).unwrap_or(&name).len());
            return Ok(Self { name, format: *format, size: sparse::file_len(path)? });
        }
        let files = container::files(path)?;
        Ok(Self { name, format: *format, size: files.iter().map(Metadata::len).sum() })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Made { name, format, size } in &self.artifacts {
            let what = if format.is_folder() { "folder" } else { "file" };
            let sizes = format!("{} disk, {} {what}", show_size(self.virtual_size), show_size(*size));
            writeln!(f, "{}: {format}, {sizes}", line(name))?;
        }
        if let Some(system) = &self.system {
            writeln!(f, "  system   {}", line(&system.os))?;
            writeln!(f, "  kernel   {}", line(&system.kernel))?;
            writeln!(f, "  cmdline  {}", line(&system.cmdline))?;
            writeln!(f, "  loader   {}, for {}", line(&system.boot_files), system.firmware)?;
        }
        for part in &self.partitions {
            let (start, size) = (show_size(part.start), show_size(part.size));
            let kind = kinds::name(part.kind).unwrap_or("unknown");
            let name = line(&part.name);
            writeln!(f, "  part {}   {name:<5} {kind:<24} {size} at {start}", part.number)?;
        }
        let edits = self.system.iter().flat_map(|system| &system.edits);
        edits.into_iter().try_for_each(|edit| writeln!(f, "  edit     {}", line(edit)))
    }
}
