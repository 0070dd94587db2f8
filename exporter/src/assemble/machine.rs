//! A disk that boots: the tree becomes a machine's root, beside its boot loader.

use std::sync::Arc;

use super::donor::KernelSource;
use super::draft::Parts;
use super::elsewhere::Elsewhere;
use super::first::{self, FirstProcess, INIT};
use super::good;
use super::lay_out::lay_out;
use super::menu::Menu;
use super::resolve::Resolved;
use super::{
    Input, Planned, Programs, appliance, boot_partition, bootable, compressed, disk_file, latest_time, seed,
};
use crate::boot::{self, BootFiles, Defaults, Root};
use crate::engine::Run;
use crate::error::{Error, Kind, Result};
use crate::fs::{FileSystem, VolumeId};
use crate::hint::{Hint, Setting};
use crate::machine::{self, Machine, Mount};
use crate::report::System;
use crate::spec::{Architecture, Firmware, Spec};
use crate::tree::kernel::Kernel;
use crate::tree::os::{self, Family, Init, Os};
use crate::tree::{Editor, InodeId, InodeKind, Name, Time, Tree};

/// BIOSes start from sectors of no other size.
const BIOS_SECTOR: u32 = 512;

pub(super) fn plan(spec: &Spec, input: Input, run: &Run<'_>) -> Result<Planned> {
    let Input { mut root, boot: boot_files, donor, programs, materials, mkfs } = input;
    let has_donor = donor.is_some();
    require_architecture(&root, spec)?;
    good::require_right(spec)?;
    let mut os = os::detect(&root)?;
    let mut source = kernel_source(&mut root, &os, donor)?;
    let mut edits = source.notes.clone();
    let (time, forgotten) = settle_time(&mut root, spec);
    edits.extend(forgotten);
    // Before the ids: they are of the machine, not of the engine that has built it.
    let (first, forgotten) = FirstProcess::choose(&mut Editor::new(&mut root, time), spec, has_donor)?;
    edits.extend(forgotten);
    let elsewhere = Elsewhere::find(spec, &materials, time)?;
    let named = materials.digest(&spec.setup)?.into_iter().chain(elsewhere.digest()?);
    let seed = seed(spec, &root, named)?;
    let layout = Resolved::new(spec, &seed, &root)?;
    require_mounts(&layout, &os)?;
    require_partition_ids(&layout, &os)?;

    let boot_files = boot_files_for(spec, &layout, boot_files)?;
    edits.extend(boot_partition::settle(&mut Editor::new(&mut root, time), &os, &mut source, &layout)?);
    bootable::require_kernel(&root, &source.kernel, layout.root.file_system)?;
    bootable::require_drivers(&root, &source.kernel, &layout.mounts())?;
    compressed::require(&root, &source.kernel, layout.partitions.iter().map(|named| &named.slot))?;
    let early = first.early(spec, programs.early.clone())?;
    if early.is_some() {
        bootable::require_overlay(&root, &source.kernel)?;
    }
    let words = good::kernel_words(first.kernel_arguments(spec), spec, &source.os);
    let mut words = kernel_words(words, &source.kernel, &layout);
    let boot = programs.boot.clone();
    edits.extend(install(first, &mut root, &mut os, spec, programs, &layout, time)?);
    let editor = &mut Editor::new(&mut root, time);
    edits.extend(machine::set_up(editor, &os, &spec.setup, &materials, &seed)?);
    edits.extend(good::install(&mut root, &os, spec, boot, &layout, time)?);
    if let Some(early) = early {
        require_no_first_boot(&root)?;
        edits.extend(machine::early::install(&mut Editor::new(&mut root, time), &early)?);
    }
    let ignites = ignites(&root, spec, &mut words);
    let with_words = Spec { cmdline: words, ..spec.clone() };
    // What is set up may be settings of the menu.
    let defaults = Defaults::read(&root)?;
    edits.extend(defaults.notes.iter().cloned());
    let menu = Menu {
        os: &os,
        source: &source,
        spec: &with_words,
        defaults: &defaults,
        root: layout.root,
        boot: layout.boot,
        ignites,
    };
    let (entry, written) = menu.write(&mut Editor::new(&mut root, time))?;
    edits.extend(written);
    let esp = boot::esp_tree(&boot_files, spec.architecture, &layout.boot, time);

    edits.extend(leave_out_devices(&mut root, &layout));
    let bios = boot_files.bios.clone();
    let parts = Parts { root, elsewhere, esp: Some(esp), bios, mkfs, time };
    let (layout, partitions) = lay_out(spec, &layout, parts, run)?;
    let system = System::new(&os, &entry, &boot_files, edits);
    Ok(Planned { layout, partitions, id: disk_file(&seed), appliance: appliance(spec), system: Some(system) })
}

/// The kernel of the donor, or one of the root's own.
fn kernel_source(root: &mut Tree, os: &Os, donor: Option<Tree>) -> Result<KernelSource> {
    match donor {
        Some(donor) => KernelSource::donated(root, &donor),
        None => {
            let named = Defaults::read(root)?.kernel;
            KernelSource::own(root, os, named.as_deref())
        }
    }
}

/// The boot loader for the firmware that can start such a disk.
fn boot_files_for(spec: &Spec, layout: &Resolved, boot_files: Option<BootFiles>) -> Result<BootFiles> {
    let firmware = if layout.sector_size == BIOS_SECTOR { spec.firmware } else { Firmware::Uefi };
    let boot_files = boot_files.ok_or_else(no_boot_files)?.for_firmware(firmware, spec.architecture)?;
    if let Some(bios) = &boot_files.bios {
        bios.require(&boot::core_modules(spec))?;
    }
    Ok(boot_files)
}

/// What `first` needs to be the first process of this machine.
fn install(
    first: FirstProcess<'_>,
    root: &mut Tree,
    os: &mut Os,
    spec: &Spec,
    programs: Programs,
    layout: &Resolved,
    time: Time,
) -> Result<Vec<String>> {
    match first {
        FirstProcess::Distro(service) => {
            first::require(root, spec)?;
            machine::apply(root, os, &machine(spec, programs.grow, layout, time), &service)
        }
        FirstProcess::Own => {
            require_root_alone(layout)?;
            // Whatever else the image has, it is not started.
            os.init = None;
            machine::init::install(root, os, &first::contained(spec, programs.init, time)?)
        }
    }
}

/// `asked`, after what the kernel has to be told of the disk.
fn kernel_words(asked: String, kernel: &Kernel, layout: &Resolved) -> String {
    let mut words = Vec::new();
    if !layout.swaps().is_empty() {
        // Nothing hibernates to it, and an initramfs would wait for that.
        words.push("noresume".to_owned());
    }
    if kernel.initramfs.is_none() {
        // UUIDs of file systems are known to an initramfs alone.
        let Root { partition, file_system, .. } = layout.root;
        let file_system = file_system.name();
        words.push(format!("root=PARTUUID={partition} rootfstype={file_system} rootwait"));
    }
    words.push(asked);
    words.join(" ").trim_end().to_owned()
}

/// What Ignition's first boot is told of the network, if there is one; `words` of every boot say its platform.
fn ignites(root: &Tree, spec: &Spec, words: &mut String) -> Option<&'static str> {
    root.resolve(boot::FIRST_BOOT)?;
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

fn machine(spec: &Spec, grow: Option<Arc<[u8]>>, layout: &Resolved, time: Time) -> Machine {
    Machine {
        mounts: layout.mounts(),
        swaps: layout.swaps(),
        hostname: spec.hostname.clone(),
        network: spec.network.clone(),
        serial: Some(spec.architecture.serial_console().to_owned()),
        grows: layout.grows().map(str::to_owned),
        grow: grow.filter(|program| spec.architecture.runs(program)),
        time,
    }
}

/// Every boot of a volatile root is the first one: what is to happen at that alone would happen again and again.
fn require_no_first_boot(root: &Tree) -> Result<()> {
    let once = [
        (
            machine::AUTORELABEL,
            "SELinux labels are written to a volatile root at no boot",
            "set SELINUX=disabled in /etc/selinux/config",
        ),
        (boot::FIRST_BOOT, "Ignition writes to a volatile root at no boot", "take Ignition out of the image"),
    ];
    let met = once.into_iter().find(|(path, ..)| root.resolve(path).is_some());
    met.map_or(Ok(()), |(path, message, instead)| {
        let hint = Hint::from(format!("{instead}, or leave out ")).name(Setting::Volatile);
        Err(Error::new(Kind::Unsupported, path, message).with_hint(hint))
    })
}

/// `/usr` has the first process of most systems: the initramfs mounts it, where it reads fstab for that.
fn require_mounts(layout: &Resolved, os: &Os) -> Result<()> {
    let mounts_usr = matches!(os.family, Family::Debian | Family::RedHat | Family::Suse);
    if layout.file_system_at("/usr").is_none() || mounts_usr {
        return Ok(());
    }
    let message =
        format!("cannot be a partition of its own: no initramfs of {} is known to mount it", os.pretty_name);
    Err(Error::new(Kind::Unsupported, "/usr", message))
}

/// systemd alone is known to mount what is found by its partition: the `mount` of Busybox knows UUIDs of file systems.
fn require_partition_ids(layout: &Resolved, os: &Os) -> Result<()> {
    let mounts = layout.mounts();
    let of_partition = |mount: &&Mount| matches!(mount.id, VolumeId::Partition(_));
    match mounts.iter().find(of_partition) {
        Some(mount) if os.init != Some(Init::Systemd) => {
            let name = mount.file_system.name();
            let message =
                format!("is {name}, which has no UUID: a machine without systemd would not find it");
            Err(Error::new(Kind::Unsupported, &mount.point, message).with_hint("make it erofs"))
        }
        _ => Ok(()),
    }
}

/// What the image has in `/dev`, where a file system carries no devices: the kernel makes its own there at each boot.
fn leave_out_devices(root: &mut Tree, layout: &Resolved) -> Option<String> {
    let file_system = layout.root.file_system;
    let dev = root.lookup("/dev").filter(|_| matches!(file_system, FileSystem::Xfs | FileSystem::Btrfs))?;
    let devices = root.entries(dev)?.iter().filter(|(_, id)| is_device(root, **id));
    let names: Vec<Name> = devices.map(|(name, _)| name.clone()).collect();
    if let InodeKind::Directory(entries) = &mut root.inode_mut(dev).kind {
        entries.retain(|name, _| !names.contains(name));
    }
    let what = format!("/dev: {} devices left out, the kernel makes its own at each boot", names.len());
    (!names.is_empty()).then_some(what)
}

fn is_device(root: &Tree, id: InodeId) -> bool {
    matches!(root.inode(id).kind, InodeKind::CharDevice(_) | InodeKind::BlockDevice(_))
}

/// Our own first process mounts the root, and nothing else of the disk. What is for the boot loader is not missed.
fn require_root_alone(layout: &Resolved) -> Result<()> {
    let mounts = layout.mounts();
    if !layout.swaps().is_empty() {
        let message = "would not be used: vmimage's own init knows the root alone";
        return Err(Error::new(Kind::Unsupported, "swap", message));
    }
    let is_needed = |mount: &&Mount| mount.id != layout.root.id && !mount.point.starts_with("/boot");
    match mounts.iter().find(is_needed) {
        Some(mount) => {
            let message = "is a partition of its own, which vmimage's own init would not mount";
            Err(Error::new(Kind::Unsupported, &mount.point, message))
        }
        None => Ok(()),
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
