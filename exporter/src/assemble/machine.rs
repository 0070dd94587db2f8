//! A disk that boots: the tree becomes a machine's root, beside its boot loader.

use std::sync::Arc;

use super::donor::KernelSource;
use super::first::{self, FirstProcess, INIT};
use super::menu::Menu;
use super::{Ids, Input, Planned, SECTOR_SIZE, appliance, bootable, disk_size, latest_time, root_options};
use crate::boot::{self, BiosBoot, BootFiles, Defaults};
use crate::disk::{self, Disk, DiskLayout, Placed, Request, kinds};
use crate::error::{Error, Kind, Result};
use crate::extent::Extent;
use crate::fs::{Layout, ext4, fat};
use crate::machine::{self, Machine};
use crate::report::System;
use crate::spec::{Architecture, Spec};
use crate::tree::{Editor, Time, Tree, os};

const LABEL: &str = "root";
/// The purpose of the seed that the root partition's GUID comes from.
const ROOT_PARTITION: &str = "root partition";
/// GRUB's core is a fifth of this, and partitions start on 1 MiB anyway.
const BIOS_BOOT_SIZE: u64 = 1 << 20;
/// The least that is FAT32 with sectors of 512 bytes is 33 MiB; this leaves room for kernels beside GRUB.
const ESP_SIZE: u64 = 64 << 20;

pub(super) fn plan(spec: &Spec, input: Input) -> Result<Planned> {
    let Input { mut root, boot: boot_files, donor, programs, materials } = input;
    let has_donor = donor.is_some();
    require_architecture(&root, spec)?;
    let mut os = os::detect(&root)?;
    let source = match donor {
        Some(donor) => KernelSource::donated(&mut root, &donor)?,
        None => {
            let named = Defaults::read(&root)?.kernel;
            KernelSource::own(&mut root, &os, named.as_deref())?
        }
    };
    let mut edits = source.notes.clone();
    let (time, forgotten) = settle_time(&mut root, spec);
    edits.extend(forgotten);
    // Before the ids: they are of the machine, not of the engine that has built it.
    let (first, forgotten) = FirstProcess::choose(&mut Editor::new(&mut root, time), spec, has_donor)?;
    edits.extend(forgotten);
    let ids = Ids::new(spec, &root, materials.digest(&spec.setup)?)?;

    let boot_files = boot_files.ok_or_else(no_boot_files)?.for_firmware(spec.firmware, spec.architecture)?;
    bootable::require_kernel(&root, &source.kernel)?;
    let mut words = first.kernel_arguments(spec);
    edits.extend(match first {
        FirstProcess::Distro(service) => {
            first::require(&root, spec)?;
            machine::apply(&mut root, &os, &machine(spec, programs.grow, &ids, time), &service)?
        }
        FirstProcess::Own => {
            // Whatever else the image has, it is not started.
            os.init = None;
            machine::init::install(&mut root, &os, &first::contained(spec, programs.init, time)?)?
        }
    });
    let editor = &mut Editor::new(&mut root, time);
    edits.extend(machine::set_up(editor, &os, &spec.setup, &materials, &ids.seed)?);
    let ignites = ignites(&root, spec, &mut words);
    if source.kernel.initramfs.is_none() {
        // UUIDs of file systems are known to an initramfs alone.
        let partition = ids.seed.uuid(ROOT_PARTITION);
        words = format!("root=PARTUUID={partition} rootfstype=ext4 rootwait {words}");
    }
    let with_words = Spec { cmdline: words, ..spec.clone() };
    // What is set up may be settings of the menu.
    let defaults = Defaults::read(&root)?;
    edits.extend(defaults.notes.iter().cloned());
    let menu =
        Menu { os: &os, source: &source, spec: &with_words, defaults: &defaults, root: ids.root, ignites };
    let (entry, written) = menu.write(&mut Editor::new(&mut root, time))?;
    edits.extend(written);
    let esp = boot::esp_tree(&boot_files, spec.architecture, ids.root, time);

    let root = Arc::new(root);
    let draft = ext4::Draft::new(&root, &root_options(&ids, LABEL, time))?;
    let needs = draft.minimum_size()?;
    let partitions = partitions(spec.architecture, &ids, needs);
    let size = disk_size(spec, &partitions, needs)?;
    let placed = disk::place(&partitions, size)?;
    let layout = lay_out(&placed, size, &draft, &esp, &boot_files, &ids, time)?;
    let system = System::new(&os, &entry, &boot_files, edits);
    Ok(Planned { layout, id: ids.disk_file(), appliance: appliance(spec), system: Some(system) })
}

/// What Ignition's first boot is told of the network, if there is one; `words` of every boot say its platform.
fn ignites(root: &Tree, spec: &Spec, words: &mut String) -> Option<&'static str> {
    root.resolve(machine::FIRST_BOOT)?;
    let (platform, is_local) = machine::ignition_platform(spec);
    if !words.split_ascii_whitespace().any(|word| word == platform) {
        *words = format!("{words} {platform}");
    }
    Some(if is_local { "" } else { "rd.neednet=1 ip=dhcp" })
}

/// The one time of all that is made: the epoch that was asked for, else the latest time in the tree.
/// With an epoch, what only records the time of the build goes.
fn settle_time(root: &mut Tree, spec: &Spec) -> (Time, Vec<String>) {
    let Some(seconds) = spec.source_date_epoch else { return (latest_time(root), Vec::new()) };
    let epoch = Time { seconds, nanoseconds: 0 };
    let edits = machine::forget_build(&mut Editor::new(root, epoch), epoch);
    (epoch, edits)
}

/// Programs of another architecture end in a panic at boot.
fn require_architecture(root: &Tree, spec: &Spec) -> Result<()> {
    let service = first::service(spec).and_then(|container| container.command().next());
    let programs = [Some(INIT), Some("/bin/sh"), service];
    let found = programs.into_iter().flatten().find_map(|path| {
        Architecture::of_program(root, path).filter(|found| *found != spec.architecture).zip(Some(path))
    });
    let Some((found, path)) = found else { return Ok(()) };
    let message = format!("is a program for {found}, the machine is to be for {}", spec.architecture);
    let hint = format!("ask for --platform linux/{}, or take an image for the other", found.oci_name());
    Err(Error::new(Kind::Input, path, message).with_hint(hint))
}

fn no_boot_files() -> Error {
    Error::new(
        Kind::NotFound,
        "boot loader",
        "the distribution has none that is known, and this vmimage none of its own",
    )
    .with_hint(
        "take the vmimage of the frontend image (make out/vmimage), or a folder with one: vmimage convert --boot DIR",
    )
}

fn machine(spec: &Spec, grow: Option<Arc<[u8]>>, ids: &Ids, time: Time) -> Machine {
    Machine {
        root: ids.root,
        esp: Some(ids.esp_serial),
        hostname: spec.hostname.clone(),
        serial: Some(spec.architecture.serial_console().to_owned()),
        grow: grow.filter(|program| spec.architecture.runs(program)),
        time,
    }
}

/// The partitions, root last because it grows. The BIOS boot partition is first on every disk, so that
/// numbers mean the same on all of them.
fn partitions(architecture: Architecture, ids: &Ids, root_size: u64) -> [Request; 3] {
    let root_kind = match architecture {
        Architecture::X86_64 => kinds::ROOT_X86_64,
        Architecture::Aarch64 => kinds::ROOT_ARM64,
    };
    let request = |kind, name: &str, attributes, size| Request {
        kind,
        name: name.to_owned(),
        guid: ids.seed.uuid(&format!("{name} partition")),
        attributes,
        size,
    };
    [
        request(kinds::BIOS_BOOT, "bios", 0, BIOS_BOOT_SIZE),
        request(kinds::ESP, "esp", 0, ESP_SIZE),
        request(root_kind, "root", kinds::GROW_FILE_SYSTEM, root_size),
    ]
}

/// Every byte of the disk.
fn lay_out(
    placed: &[Placed],
    size: u64,
    root: &ext4::Draft,
    esp: &Tree,
    boot_files: &BootFiles,
    ids: &Ids,
    time: Time,
) -> Result<DiskLayout> {
    let [bios_part, esp_part, root_part] = placed else { unreachable!("three partitions were asked for") };
    let bios = match &boot_files.bios {
        Some(images) => Some(BiosBoot::new(images, bios_part.first_lba(SECTOR_SIZE), bios_part.size)?),
        None => None,
    };
    let boot_code = bios.as_ref().map_or([0; 440], |bios| bios.mbr_code);
    let core = bios.map(|bios| Extent::bytes(0, bios.core));
    let core = Layout { size: bios_part.size, extents: Box::new(core.into_iter().collect::<Vec<_>>()) };
    let esp = fat::plan(esp, &esp_options(ids, time, esp_part))?;
    let root = root.plan(root_part.size)?;
    let disk = Disk { size, sector_size: SECTOR_SIZE, guid: ids.seed.uuid("disk"), boot_code };
    DiskLayout::new(
        &disk,
        vec![(bios_part.clone(), core), (esp_part.clone(), esp), (root_part.clone(), root)],
    )
}

fn esp_options(ids: &Ids, time: Time, partition: &Placed) -> fat::Options {
    fat::Options {
        label: "ESP".into(),
        serial: ids.esp_serial,
        size: partition.size,
        sector_size: SECTOR_SIZE,
        hidden_sectors: partition.first_lba(SECTOR_SIZE),
        modified: time,
        kind: Some(fat::FatType::Fat32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Container;
    use crate::tree::Meta;

    /// The head of an ELF file for a machine (`e_machine`).
    fn program(machine: u8) -> Vec<u8> {
        let mut head = b"\x7fELF\x02\x01\x01".to_vec();
        head.resize(20, 0);
        head[18] = machine;
        head
    }

    #[test]
    fn programs_are_for_the_machine_that_runs_them() {
        let container = Container { cmd: vec!["/app".to_owned()], ..Container::default() };
        for path in [INIT, "/bin/sh", "/app"] {
            for (machine, architecture, is_right) in [
                (62, Architecture::X86_64, true),
                (62, Architecture::Aarch64, false),
                (183, Architecture::Aarch64, true),
                (183, Architecture::X86_64, false),
                // A 32-bit program, and what is no program: the kernel may run them.
                (3, Architecture::X86_64, true),
            ] {
                let mut root = Tree::new(Meta::default());
                Editor::new(&mut root, Time::default()).write_file(path, program(machine), 0o755).unwrap();
                let spec = Spec { architecture, container: Some(container.clone()), ..Spec::default() };
                let checked = require_architecture(&root, &spec).map_err(|error| error.to_string());
                assert_eq!(checked.is_ok(), is_right, "{path} {machine} {architecture}: {checked:?}");
                let names_it = |error: String| error.starts_with(path) && error.contains(architecture.name());
                assert!(checked.err().is_none_or(names_it));
            }
        }
    }
}
