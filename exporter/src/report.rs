//! What was made, as a table for a person.

mod expected;

use std::fmt;
use std::fs::Metadata;

use serde::{Serialize, Serializer};

use crate::boot::Entry;
use crate::container::{self, Format, Target, sparse};
use crate::disk::{PartitionKind, Placed};
use crate::error::{Result, show_size};
use crate::fs::FileSystem;
use crate::spec::{Identity, Spec};
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
    /// Bytes up to which it grows with the disk; `None`: it stays as it is.
    pub grows_to: Option<u64>,
    /// Whether what is in it is encrypted.
    pub is_encrypted: bool,
}

/// What programs are told of a [`Part`].
#[derive(Serialize)]
struct Facts<'a> {
    number: u32,
    label: &'a str,
    #[serde(rename = "type")]
    kind: String,
    start: u64,
    size: u64,
    file_system: Option<&'static str>,
    mount: Option<&'a str>,
    needed: u64,
    grows_to: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    encrypted: bool,
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Self { placed, file_system, mount, needed, grows_to, is_encrypted } = self;
        let facts = Facts {
            number: placed.number,
            label: &placed.name,
            kind: shown_kind(placed.kind),
            start: placed.start,
            size: placed.size,
            file_system: file_system.map(FileSystem::name),
            mount: mount.as_deref(),
            needed: *needed,
            grows_to: *grows_to,
            encrypted: *is_encrypted,
        };
        facts.serialize(serializer)
    }
}

const COLUMNS: [&str; 8] = ["part", "label", "type", "at", "size", "needs", "grows to", "holds"];

impl Part {
    /// A cell for each of the [`COLUMNS`].
    fn row(&self) -> [String; 8] {
        let Self { placed, file_system, mount, needed, grows_to, is_encrypted } = self;
        let mount = mount.as_ref().map(|mount| format!(" on {}", line(mount)));
        let encrypted = if *is_encrypted { "encrypted " } else { "" };
        let name = file_system.map_or("", FileSystem::name);
        let holds = format!("{encrypted}{name}{}", mount.unwrap_or_default());
        [
            placed.number.to_string(),
            line(&placed.name).into_owned(),
            shown_kind(placed.kind),
            show_size(placed.start),
            show_size(placed.size),
            size_or_none(Some(*needed).filter(|needed| *needed > 0)),
            size_or_none(*grows_to),
            holds,
        ]
    }
}

fn shown_kind(kind: PartitionKind) -> String {
    kind.name().map_or_else(|| kind.to_string(), str::to_owned)
}

fn size_or_none(size: Option<u64>) -> String {
    size.map_or_else(|| "-".to_owned(), show_size)
}

/// The partitions as a table, a line each.
struct Table<'a>(&'a [Part]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = COLUMNS.map(str::to_owned);
        let rows: Vec<_> = std::iter::once(header).chain(self.0.iter().map(Part::row)).collect();
        let width =
            |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
        let widths: Vec<_> = (0..COLUMNS.len()).map(|at| width(at).unwrap_or_default()).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            writeln!(f, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
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
    /// What it is called, whichever distribution it is made of.
    #[serde(skip_serializing_if = "Identity::is_default")]
    pub image: Identity,
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
    pub(crate) fn new(
        os: &Os,
        spec: &Spec,
        entry: &Entry,
        (origin, firmware): (String, &'static str),
        edits: Vec<String>,
    ) -> Self {
        Self {
            os: os.pretty_name.clone(),
            image: spec.image.clone(),
            kernel: entry.kernel.clone(),
            cmdline: entry.cmdline.clone(),
            boot_files: origin,
            firmware,
            edits,
        }
    }
}

/// `kiosk 1.4.0, for acme kiosk-2`
fn shown_image(image: &Identity) -> Option<String> {
    let words = [image.id.as_deref(), image.version.as_deref()].into_iter().flatten();
    let name = words.collect::<Vec<_>>().join(" ");
    let machines = image.compatible.as_ref().map(|machines| format!("for {machines}"));
    let parts: Vec<_> = Some(name).filter(|name| !name.is_empty()).into_iter().chain(machines).collect();
    Some(parts.join(", ")).filter(|parts| !parts.is_empty())
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
            let disk = format!("{} disk, ", show_size(self.virtual_size));
            let disk = if format.is_disk() { &*disk } else { "" };
            let sizes = format!("{disk}{} {what}", show_size(*size));
            writeln!(f, "{}: {format}, {sizes}", line(name))?;
        }
        if let Some(system) = &self.system {
            writeln!(f, "  system   {}", line(&system.os))?;
            if let Some(image) = shown_image(&system.image) {
                writeln!(f, "  image    {}", line(&image))?;
            }
            writeln!(f, "  kernel   {}", line(&system.kernel))?;
            writeln!(f, "  cmdline  {}", line(&system.cmdline))?;
            writeln!(f, "  loader   {}, for {}", line(&system.boot_files), system.firmware)?;
        }
        write!(f, "{}", Table(&self.partitions))?;
        let edits = self.system.iter().flat_map(|system| &system.edits);
        edits.into_iter().try_for_each(|edit| writeln!(f, "  edit     {}", line(edit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::kinds;
    use crate::seed::Uuid;

    #[test]
    fn an_image_is_shown_by_what_is_said_of_it() {
        for (json, shown) in [
            ("{}", None),
            (
                r#"{"id":"kiosk","version":"1.4.0","compatible":"acme kiosk-2"}"#,
                Some("kiosk 1.4.0, for acme kiosk-2"),
            ),
            (r#"{"version":"1.4.0"}"#, Some("1.4.0")),
            (r#"{"compatible":"acme"}"#, Some("for acme")),
        ] {
            assert_eq!(shown_image(&serde_json::from_str(json).unwrap()).as_deref(), shown, "{json}");
        }
    }

    #[test]
    fn a_table_says_what_each_partition_is_holds_and_can_become() {
        let placed = |number, name: &str, kind: Uuid| Placed {
            number,
            start: 65 << 20,
            size: 1 << 30,
            kind: kind.into(),
            id: Uuid([1; 16]).into(),
            attributes: 0,
            name: name.into(),
        };
        let bios = Part {
            placed: placed(1, "bios", kinds::BIOS_BOOT),
            file_system: None,
            mount: None,
            needed: 0,
            grows_to: None,
            is_encrypted: false,
        };
        let srv = Part {
            placed: placed(2, "srv", kinds::SRV),
            file_system: Some(FileSystem::Ext4),
            mount: Some("/srv".to_owned()),
            needed: 5 << 20,
            grows_to: Some(16 << 40),
            is_encrypted: false,
        };
        assert_eq!(
            Table(&[bios, srv.clone()]).to_string(),
            "  part  label  type       at      size   needs  grows to  holds\n  \
               1     bios   bios-boot  65 MiB  1 GiB  -      -\n  \
               2     srv    srv        65 MiB  1 GiB  5 MiB  16 TiB    ext4 on /srv\n"
        );
        let json = serde_json::to_value(&srv).unwrap();
        assert_eq!((&json["type"], &json["file_system"]), (&"srv".into(), &"ext4".into()));
        assert_eq!(json["grows_to"], 16_u64 << 40);
    }
}
