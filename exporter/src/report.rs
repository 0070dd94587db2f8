//! What was made, as a table for a person.

mod expected;

use std::fmt;
use std::fs::Metadata;

use serde::Serialize;

use crate::boot::{BootFiles, Entry};
use crate::container::{self, Format, Target, sparse};
use crate::disk::{Placed, kinds};
use crate::error::{Result, show_size};
use crate::fs::FileSystem;
use crate::terminal::line;
use crate::tree::os::Os;

pub use expected::Expected;

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
    pub partitions: Vec<Part>,
}

/// A partition and what is in it.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its place and its names.
    pub placed: Placed,
    /// The file system that was made.
    pub file_system: Option<FileSystem>,
    /// Where the machine mounts it.
    pub mount: Option<String>,
    /// Bytes that its content needs at least.
    pub needed: u64,
    /// Whether it grows with the disk.
    pub grows: bool,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Placed { number, start, size, kind, name, .. } = &self.placed;
        let kind = kinds::name(*kind).unwrap_or("unknown");
        let place = format!("{} at {}", show_size(*size), show_size(*start));
        write!(f, "{number}   {:<5} {kind:<24} {place}", line(name))?;
        write_use(f, self.file_system, self.mount.as_deref())?;
        if self.needed > 0 {
            write!(f, ", needs {}", show_size(self.needed))?;
        }
        if self.grows { f.write_str(", grows with the disk") } else { Ok(()) }
    }
}

/// `, ext4 on /srv`
fn write_use(
    f: &mut fmt::Formatter<'_>,
    file_system: Option<FileSystem>,
    mount: Option<&str>,
) -> fmt::Result {
    if let Some(file_system) = file_system {
        write!(f, ", {}", file_system.name())?;
    }
    if let Some(mount) = mount {
        write!(f, " on {}", line(mount))?;
    }
    Ok(())
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
            writeln!(f, "  part {part}")?;
        }
        let edits = self.system.iter().flat_map(|system| &system.edits);
        edits.into_iter().try_for_each(|edit| writeln!(f, "  edit     {}", line(edit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Uuid;

    #[test]
    fn a_partition_says_what_it_is_holds_and_can_become() {
        let placed = Placed {
            number: 3,
            start: 65 << 20,
            size: 1 << 30,
            kind: kinds::SRV,
            guid: Uuid([1; 16]),
            attributes: 0,
            name: "srv".into(),
        };
        let mount = Some("/srv".to_owned());
        let part = Part { placed, file_system: Some(FileSystem::Ext4), mount, needed: 5 << 20, grows: true };
        let line = part.to_string();
        let words: Vec<_> = line.split_whitespace().collect();
        let expected = "3 srv srv 1 GiB at 65 MiB, ext4 on /srv, needs 5 MiB, grows with the disk";
        assert_eq!(words.join(" "), expected);
        let empty = Part { file_system: None, mount: None, needed: 0, grows: false, ..part };
        assert!(empty.to_string().ends_with("1 GiB at 65 MiB"), "{empty}");
    }
}
