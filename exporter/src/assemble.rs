//! The pipeline: a tree and a spec become a planned disk, whose every byte has its place and its source.
//!
//! ```text
//! machine:  MBR · GPT │ BIOS boot │ ESP │ root ───────────▶│ GPT
//! data:     MBR · GPT │ the tree as it is ────────────────▶│ GPT
//! ```
//!
//! [`container::write`](crate::container::write()) makes disk files of it.

mod bootable;
mod data;
mod donor;
mod first;
mod lack;
mod machine;
mod menu;

use std::sync::Arc;

use crate::boot::BootFiles;
use crate::container::{self, Appliance};
use crate::disk::{self, ALIGNMENT, DiskLayout, Request};
use crate::engine::Image;
use crate::error::{Error, Kind, Result, show_size};
use crate::fs::ext4;
use crate::hint::{Hint, Setting};
use crate::machine::Materials;
use crate::report::System;
use crate::seed::{Seed, Uuid};
use crate::spec::{Firmware, Profile, Size, Spec};
use crate::tree::{Detail, Time, Tree};

pub use donor::scan_donor;
pub use lack::{Lack, lacks};

/// FAT boot sectors and GPT of the disks that hypervisors show: 512 bytes.
const SECTOR_SIZE: u32 = 512;
/// Room left on a root whose size was not asked: a quarter, and not less than this.
const HEADROOM: u64 = 256 << 20;

/// What a disk is made from.
pub struct Input {
    /// The user's file system.
    pub root: Tree,
    /// Boot loader files; a machine needs them.
    pub boot: Option<BootFiles>,
    /// The file system that a machine takes its kernel from, as [`scan_donor`] reads it; `None`: the user's.
    pub donor: Option<Tree>,
    /// The programs inside the machine.
    pub programs: Programs,
    /// What the setup names: files of the build context, and secrets.
    pub materials: Materials,
}

/// Programs that go into machines, as far as there are some; each for one architecture.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    /// `vmimage-grow`, which grows the root at boot.
    pub grow: Option<Arc<[u8]>>,
    /// `vmimage-init`, the first process of an image that has none.
    pub init: Option<Arc<[u8]>>,
}

/// A disk that only has to be written.
#[derive(Debug)]
pub struct Planned {
    /// Where every byte of it comes from.
    pub layout: DiskLayout,
    /// The identity of the disk file, for formats that have one.
    pub id: Uuid,
    /// The machine that an import of it makes, for formats that tell.
    pub appliance: Appliance,
    /// The machine on it; `None` if it holds only data.
    pub system: Option<System>,
}

impl Planned {
    /// The disk as the engine takes it.
    pub fn image(&self) -> Image<'_> {
        self.layout.image()
    }
}

/// Plan the disk `spec` asks for out of `input`.
///
/// # Errors
/// Whatever in the input can't become a disk, with its path.
pub fn plan(spec: &Spec, input: Input) -> Result<Planned> {
    match spec.profile {
        Profile::Machine => machine::plan(spec, input),
        Profile::Data => data::plan(spec, input.root),
    }
}

/// A machine by the name of its disk, unless it has one of its own.
fn appliance(spec: &Spec) -> Appliance {
    let name = spec.hostname.as_ref().unwrap_or(&spec.name).clone();
    let firmware = match spec.firmware {
        Firmware::Bios => container::Firmware::Bios,
        Firmware::Any | Firmware::Uefi => container::Firmware::Efi,
    };
    Appliance { name, architecture: spec.architecture, firmware, ..Appliance::default() }
}

/// The identity of one disk, from its spec and its files.
///
/// Secrets have no part in it: everybody sees the UUIDs of a disk, and could try which password gives them.
struct Ids {
    seed: Seed,
    root: Uuid,
    esp_serial: u32,
}

impl Ids {
    /// `context` stands for the files of the build context that are on the disk besides those of `root`.
    fn new(spec: &Spec, root: &Tree, context: Option<[u8; 32]>) -> Result<Self> {
        // The same machine in another format is the same machine.
        let Spec { name, formats, compression, service, .. } = Spec::default();
        // What an image says of containers changes nothing where no service comes of it.
        let container = first::service(spec).cloned();
        let service = if container.is_some() { spec.service.clone() } else { service };
        let machine = Spec { name, formats, compression, service, container, ..spec.clone() };
        let failed = |error: serde_json::Error| Error::new(Kind::Input, "spec", error.to_string());
        let mut input = serde_json::to_vec(&machine).map_err(failed)?;
        input.extend(root.digest(Detail::default())?);
        input.extend(context.into_iter().flatten());
        let seed = Seed::new(&input);
        Ok(Self { root: seed.uuid("root file system"), esp_serial: seed.serial("esp file system"), seed })
    }

    fn disk_file(&self) -> Uuid {
        self.seed.uuid("disk file")
    }
}

/// The latest time in the tree: that of all that is made, since no clock may have a say.
fn latest_time(root: &Tree) -> Time {
    root.walk().map(|(_, _, id)| root.inode(id).meta.mtime).max().unwrap_or_default()
}

/// The disk's size in bytes: as asked, if all fits; else what is needed and some head-room.
///
/// `partitions` are those wanted when the last of them, the root, has `root_needs` bytes.
fn disk_size(spec: &Spec, partitions: &[Request], root_needs: u64) -> Result<u64> {
    let minimum = disk::minimum_size(partitions);
    let unit = size_unit(spec);
    match spec.size {
        Some(Size(size)) if size % unit != 0 => {
            let message = format!("{size} bytes are not a multiple of {}", show_size(unit));
            let message = match spec.formats.iter().find(|format| format.size_unit() > ALIGNMENT) {
                Some(format) => format!("{message}, as a {format} disk is"),
                None => message,
            };
            let right = format!("{}M", size.div_ceil(unit) * (unit >> 20));
            let hint = Hint::from("ask for ").set(Setting::Size, right).text(", or leave the size out");
            Err(Error::new(Kind::Input, "size", message).with_hint(hint))
        }
        Some(Size(size)) if size < minimum => {
            let message =
                format!("{} are asked for, but the content needs {}", show_size(size), show_size(minimum));
            let least = minimum.next_multiple_of(unit) / ALIGNMENT;
            let hint = Hint::from("ask for at least ")
                .set(Setting::Size, format!("{least}M"))
                .text(", or leave the size out");
            Err(Error::new(Kind::NoSpace { needed: minimum, available: size }, "size", message)
                .with_hint(hint))
        }
        Some(Size(size)) => Ok(size),
        None => Ok((minimum + HEADROOM.max(root_needs / 4)).next_multiple_of(unit)),
    }
}

/// Bytes that the size is a multiple of, for partitions and every format.
fn size_unit(spec: &Spec) -> u64 {
    spec.formats.iter().map(|format| format.size_unit()).fold(ALIGNMENT, u64::max)
}

fn root_options(ids: &Ids, label: &str, time: Time) -> ext4::Options {
    ext4::Options {
        label: label.into(),
        uuid: ids.root,
        hash_seed: ids.seed.uuid("root directory hashes"),
        size: 0,
        created: time,
        reserved_percent: 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Container, Service};
    use crate::tree::Meta;

    #[test]
    fn what_makes_no_service_makes_no_other_disk() {
        let runs = |program: &str| Some(Container { cmd: vec![program.to_owned()], ..Container::default() });
        let root = |container, service, profile| {
            let spec = Spec { container, service, profile, ..Spec::default() };
            Ids::new(&spec, &Tree::new(Meta::default()), None).unwrap().root
        };
        let (auto, machine) = (Service::Auto, Profile::Machine);
        let bare = root(None, auto.clone(), machine);
        assert_eq!(root(runs("bash"), auto.clone(), machine), bare);
        assert_eq!(root(runs("nginx"), Service::Off, machine), bare);
        let web = root(runs("nginx"), auto.clone(), machine);
        assert_ne!(web, bare);
        assert_ne!(root(runs("nginx"), Service::Named("web".into()), machine), web);
        let data = root(None, auto.clone(), Profile::Data);
        assert_eq!(root(runs("nginx"), auto, Profile::Data), data);
    }
}
