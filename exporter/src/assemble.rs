//! The pipeline: a tree and a spec become a planned disk, whose every byte has its place and its source.
//!
//! ```text
//! layout ─resolve─▶ names ─draft─▶ least sizes ─place─▶ places ─lay out─▶ extents ─▶ table
//!
//! machine:  MBR · GPT │ BIOS boot │ ESP │ root ───────────▶│ GPT
//! data:     MBR · GPT │ the tree as it is ────────────────▶│ GPT
//! microVM:  the tree, with its first process │ beside it: kernel, initramfs, vm.json; or all of it in one program
//! ```
//!
//! The layout is data ([`Layout`](crate::spec::Layout)): fstab, GRUB, growth and the kernel's command line are told by
//! it what is where.
//!
//! [`container::write`](crate::container::write()) makes artifacts of it.

mod boot_loader;
mod boot_partition;
mod bootable;
mod compressed;
mod data;
mod donor;
mod draft;
mod elsewhere;
mod encrypt;
mod entrypoint;
mod first;
mod good;
mod grub_key;
mod lack;
mod lay_out;
mod machine;
mod medium;
mod menu;
mod metal;
mod microvm;
mod own_initramfs;
mod previous;
mod rauc;
mod read_kernel;
mod resolve;
mod root;
mod seal;
mod secure_boot;
mod slot_entry;
mod slots;
mod split_links;
mod sysupdate;
mod type_one;
mod update;
mod updater;

use std::path::PathBuf;
use std::sync::Arc;

use crate::boot::BootFiles;
use crate::container::{self, Appliance, Compression, Format, Target, Update};
use crate::disk::DiskLayout;
use crate::engine::{RawImage, Run};
use crate::error::{Error, Kind, Result};
use crate::fs::external::Mkfs;
use crate::machine::Materials;
use crate::report::{Made, Part, Report, System};
use crate::seed::{Seed, Uuid};
use crate::spec::{self, Firmware, Profile, Spec};
use crate::tree::{Detail, Time, Tree};

pub use donor::scan_donor;
pub use lack::{Lack, lacks};
pub use metal::NICS;
pub use root::{of_root, set_up};

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
    /// What the setup and the layout name: files of the build context, stages, and secrets.
    pub materials: Materials,
    /// The tools of file systems that are not made here, where there are some.
    pub mkfs: Option<Arc<dyn Mkfs>>,
}

/// Programs that go into machines, as far as there are some; each for one architecture.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    /// `vmimage-grow`, which grows the root at boot.
    pub grow: Option<Arc<[u8]>>,
    /// `vmimage-init`, the first process of an image that has none.
    pub init: Option<Arc<[u8]>>,
    /// `vmimage-early`, which goes before either init where the root is only read.
    pub early: Option<Arc<[u8]>>,
    /// `vmimage-boot`, which says that a slot is good.
    pub boot: Option<Arc<[u8]>>,
    /// `vmimage-update`, which installs the next version into the other slot.
    pub update: Option<Arc<[u8]>>,
    /// `vmimage-medium`, the first process of a machine that is started from a medium.
    pub medium: Option<Arc<[u8]>>,
    /// `vmimage-verity`, which makes the device of a root whose blocks are checked when they are read.
    pub verity: Option<Arc<[u8]>>,
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
    /// The update for machines that were built so before: of a machine with two slots and a name.
    pub update: Option<Update>,
    /// Where the files of its root lie, if that is an ext4 and a format says it.
    pub placement: Option<Arc<[u8]>>,
    /// What lies beside the root, if it is a microVM's.
    pub microvm: Option<Arc<container::Microvm>>,
    /// What lies around the disk on a medium, if one is asked for.
    pub medium: Option<Arc<container::Medium>>,
    /// The machine on it; `None` if it holds only data.
    pub system: Option<System>,
    /// The partitions, in order, with what is in them.
    pub partitions: Vec<Part>,
}

impl Planned {
    /// The disk as the engine takes it.
    pub fn image(&self) -> RawImage<'_> {
        self.layout.image()
    }

    /// An artifact of it.
    pub fn target(&self, path: PathBuf, format: Format, compression: Compression) -> Target {
        Target {
            appliance: self.appliance.clone(),
            update: self.update.clone(),
            placement: self.placement.clone(),
            microvm: self.microvm.clone(),
            medium: self.medium.clone(),
            ..Target::new(path, format, compression, self.id)
        }
    }

    /// What it became, in these artifacts.
    pub fn report(self, artifacts: Vec<Made>) -> Report {
        let Self { layout, system, partitions, .. } = self;
        Report { artifacts, virtual_size: layout.size, system, partitions }
    }
}

/// Plan the disk `spec` asks for out of `input`. What is compressed for it is compressed in this `run`.
///
/// # Errors
/// Whatever in the input cannot become a disk, with its path.
pub fn plan(spec: &Spec, input: Input, run: &Run<'_>) -> Result<Planned> {
    require_right(spec)?;
    good::require_right(spec)?;
    rauc::require_right(spec)?;
    secure_boot::require_right(spec)?;
    grub_key::require_right(spec)?;
    update::require_name(spec)?;
    match spec.profile {
        Profile::Microvm if spec.is_bare() => microvm::plan(spec, input, run),
        Profile::Machine | Profile::Microvm => machine::plan(spec, input, run),
        Profile::Data => data::plan(spec, input, run),
    }
}

/// Plan the root of a microVM whose kernel and initramfs are there: of `input` its files count, and the first process among
/// the programs.
///
/// # Errors
/// As [`plan`], but for the program: whoever starts the machine says which it runs.
pub fn plan_root(spec: &Spec, input: Input, run: &Run<'_>) -> Result<Planned> {
    require_right(spec)?;
    microvm::plan_root(spec, input, run)
}

/// All that is wrong with what was asked of a microVM, of a medium, and with a kernel.
fn require_right(spec: &Spec) -> Result<()> {
    let problems = spec::microvm::problems(spec).into_iter().chain(spec::medium::problems(spec));
    let problems: Vec<_> = problems.map(|problem| format!("{}: {}", problem.key, problem.message)).collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::new(Kind::Input, "spec", problems.join("; "))) }
}

/// A machine by the name of its disk, unless it has one of its own.
fn appliance(spec: &Spec) -> Appliance {
    let name = spec.hostname.as_ref().unwrap_or(&spec.name).clone();
    let firmware = match spec.firmware {
        Firmware::Bios => container::OvfFirmware::Bios,
        Firmware::Any | Firmware::Uefi => container::OvfFirmware::Efi,
    };
    let version = spec.image.version.clone();
    Appliance { name, version, architecture: spec.architecture, firmware, ..Appliance::default() }
}

/// What the identity of one disk is made of: its spec and its files.
///
/// Secrets have no part in it: everybody sees the UUIDs of a disk, and could try which password gives them. `named`
/// stands for the files that are on the disk besides those of `root`.
fn seed(spec: &Spec, root: &Tree, named: impl IntoIterator<Item = [u8; 32]>) -> Result<Seed> {
    // The same machine in another format is the same machine.
    let Spec { name, formats, compression, service, architecture, rauc, medium, .. } = Spec::default();
    // So it is, whoever has signed its update.
    let update = spec::Update { sign: Vec::new(), ..spec.update.clone() };
    // Files are the same on every processor.
    let architecture = if spec.profile == Profile::Data { architecture } else { spec.architecture };
    // What an image says of containers changes nothing where no service comes of it.
    let runs = spec.container.as_ref().filter(|_| spec.profile == Profile::Microvm);
    let container = runs.or_else(|| first::service(spec)).cloned();
    let service = if container.is_some() { spec.service.clone() } else { service };
    // Of what RAUC is told, the machine has what is among the files; who signs is nothing to it.
    let secure_boot = spec::SecureBoot { key: None, certificate: None, ..spec.secure_boot.clone() };
    let grub = spec::Grub { key: None, ..spec.grub.clone() };
    let same = Spec {
        grub,
        uki: spec.starts_ukis().then_some(true),
        secure_boot,
        name,
        formats,
        compression,
        service,
        architecture,
        container,
        update,
        rauc,
        medium,
        ..spec.clone()
    };
    let failed = |error: serde_json::Error| Error::new(Kind::Input, "spec", error.to_string());
    let mut input = serde_json::to_vec(&same).map_err(failed)?;
    input.extend(root.digest(Detail::default())?);
    input.extend(named.into_iter().flatten());
    Ok(Seed::new(&input))
}

/// The identity of the disk's file.
fn disk_file(seed: &Seed) -> Uuid {
    seed.uuid("disk file")
}

/// The latest time in the tree: that of all that is made, since no clock may have a say.
fn latest_time(root: &Tree) -> Time {
    root.walk().map(|(_, _, id)| root.inode(id).meta.mtime).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Architecture, Container, Service};
    use crate::tree::Meta;

    #[test]
    fn a_machine_is_for_its_processor_and_data_for_any() {
        let of = |profile, architecture| {
            let spec = Spec { profile, architecture, ..Spec::default() };
            seed(&spec, &Tree::new(Meta::default()), None).unwrap()
        };
        let [data, machine] = [Profile::Data, Profile::Machine]
            .map(|profile| [Architecture::X86_64, Architecture::Aarch64].map(|other| of(profile, other)));
        assert_eq!(data[0], data[1]);
        assert_ne!(machine[0], machine[1]);
    }

    #[test]
    fn what_makes_no_service_makes_no_other_disk() {
        let runs = |program: &str| Some(Container { cmd: vec![program.to_owned()], ..Container::default() });
        let root = |container, service, profile| {
            let spec = Spec { container, service, profile, ..Spec::default() };
            seed(&spec, &Tree::new(Meta::default()), None).unwrap()
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
