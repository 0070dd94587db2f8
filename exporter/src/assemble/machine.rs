//! A disk that boots: the tree becomes a machine's root, beside its boot loader.

use std::sync::Arc;

use super::boot_loader::{BootLoader, Installed};
use super::donor::KernelSource;
use super::draft::Parts;
use super::elsewhere::Elsewhere;
use super::encrypt::{self, Volumes};
use super::first::{self, FirstProcess, INIT};
use super::good;
use super::lay_out::{LaidOut, lay_out};
use super::menu::Menu;
use super::own_initramfs::Within;
use super::previous::{self, Previous};
use super::resolve::Resolved;
use super::seal::{self, Seal, Sealer};
use super::slots;
use super::{
    Input, Planned, Programs, appliance, boot_partition, bootable, compressed, disk_file, entrypoint,
    latest_time, medium, metal, microvm, own_initramfs, rauc, read_kernel, secure_boot, seed, split_links,
    sysupdate, update, updater,
};
use crate::boot::password::Lock;
use crate::boot::{self, Defaults, Root};
use crate::engine::Run;
use crate::error::{Error, Kind, Result};
use crate::fs::{FileSystem, VolumeId};
use crate::hint::Hint;
use crate::machine::crypttab::Opened;
use crate::machine::rauc::Keyring;
use crate::machine::{self, FsSpec, Machine, Mount};
use crate::report::System;
use crate::spec::{Architecture, Hardware, Profile, Spec};
use crate::tree::kernel::Kernel;
use crate::tree::os::{self, Family, Init, Os};
use crate::tree::{Content, Editor, InodeId, InodeKind, Name, Time, Tree};

pub(super) fn plan(spec: &Spec, input: Input, run: &Run<'_>) -> Result<Planned> {
    let Input { mut root, boot: boot_files, donor, programs, materials, mkfs } = input;
    let has_donor = donor.is_some();
    require_architecture(&root, spec)?;
    if spec.profile == Profile::Microvm {
        entrypoint::require(&root, spec)?;
    }
    let mut os = os::detect(&root)?;
    let kernel_file = read_kernel::file(spec, &materials)?;
    let mut source = kernel_source(&mut root, &os, donor, kernel_file, spec)?;
    let mut edits = source.notes.clone();
    let (time, forgotten) = settle_time(&mut root, spec);
    edits.extend(forgotten);
    // Before the ids: they are of the machine, not of the engine that has built it.
    let (first, forgotten) = FirstProcess::choose(&mut Editor::new(&mut root, time), spec, has_donor)?;
    edits.extend(forgotten);
    let elsewhere = Elsewhere::find(spec, &materials, time)?;
    let keyring = rauc::keyring(spec, &materials)?;
    let named = materials.digest(&spec.setup)?.into_iter().chain(elsewhere.digest()?);
    let enroll = secure_boot::enroll(spec, &materials)?;
    let named = named.chain(enroll.map(|enroll| enroll.digest()).transpose()?);
    let seed = seed(spec, &root, named.chain(keyring.as_ref().map(Keyring::digest)))?;
    let bundle = rauc::bundle(spec, &materials, &seed, time)?;
    let spec = &with_places(spec, &root)?;
    let mut layout = Resolved::new(spec, &seed, &root)?;
    let previous = Previous::read(&materials, &mut layout);
    encrypt::require_unlock(&layout, &source.os)?;
    let volumes = Volumes::new(&layout, &materials)?;
    let opened = encrypt::opened(&layout, &materials)?;
    require_mounts(&layout, &os)?;
    require_partition_ids(&layout, &os)?;

    let of_medium = boot_files.clone().filter(|_| spec.makes_medium());
    let loader = BootLoader::find(spec, &layout, boot_files, &root, os.family, &materials, time)?;
    let key = loader.key();
    let editor = &mut Editor::new(&mut root, time);
    edits.extend(boot_partition::settle(editor, &os, &mut source, &layout, key.is_some())?);
    edits.extend(slots::settle(&mut Editor::new(&mut root, time), &os, &mut source, &layout)?);
    if let Some(key) = key {
        edits.extend(key.settle(&mut root, &mut source, spec)?);
    }
    let sealer = Sealer::of(spec, key);
    if own_initramfs::is_asked(spec) {
        own_initramfs::require_root_alone(layout.file_system_at("/usr"))?;
        let (within, file_system) = (Within::find(spec, &programs)?, layout.root.file_system);
        edits.extend(own_initramfs::install(&mut root, &mut source, spec, file_system, within, time)?);
    }
    if spec.hardware == Hardware::Metal {
        edits.extend(metal::notes(&root, &source.kernel));
    }
    let of_medium = of_medium.map(|files| {
        medium::Started::find(spec, &root, &source.kernel, &layout, &files, &programs, &materials)
    });
    let started = of_medium.transpose()?.flatten();
    let has_modules = !leave_out_modules(&mut root, &source.kernel, spec, has_donor, time);
    bootable::require_kernel(&root, &source.kernel, layout.root.file_system, has_modules)?;
    bootable::require_drivers(&root, &source.kernel, &layout.mounts())?;
    if layout.root.luks.is_some() {
        bootable::require_crypt(&root, &source.kernel)?;
    }
    compressed::require(&root, &source.kernel, layout.partitions.iter().map(|named| &named.slot))?;
    let early = first.early(spec, layout.kept(spec), programs.early.clone())?;
    if early.is_some() {
        bootable::require_overlay(&root, &source.kernel, spec)?;
    }
    let (init, is_own) = (first.path(spec).to_owned(), matches!(first, FirstProcess::Own));
    let words = good::kernel_words(first.kernel_arguments(spec), spec, &source.os);
    let mut words = kernel_words(words, &source.kernel, &layout);
    let (boot, updates) = (programs.boot.clone(), programs.update.clone());
    let signers = updater::signers(spec, &materials)?;
    let machine = machine(spec, programs.grow.clone(), &layout, opened, time);
    edits.extend(install(first, &mut root, &mut os, spec, programs, &machine, &layout)?);
    let editor = &mut Editor::new(&mut root, time);
    edits.extend(machine::os_release::write(editor, &spec.image)?);
    edits.extend(machine::set_up(editor, &os, &spec.setup, &materials, &seed)?);
    edits.extend(good::install(&mut root, &os, spec, boot, keyring.as_ref(), &layout, time)?);
    edits.extend(sysupdate::install(&mut root, &os, spec, &signers, time)?);
    edits.extend(updater::install(&mut root, &os, spec, updates, &signers, &layout, time)?);
    if let Some(early) = early {
        require_no_first_boot(&root, spec)?;
        edits.extend(machine::early::install(&mut Editor::new(&mut root, time), &early)?);
        let room = early.kept.map(|kept| kept.room(&root));
        layout.make_room(room.unwrap_or_default())?;
    }
    let ignites = ignites(&root, spec, &mut words);
    let with_words = Spec { cmdline: words, ..spec.clone() };
    // What is set up may be settings of the menu.
    let defaults = Defaults::read(&root)?;
    first::require_no_other(&defaults, spec, &with_words)?;
    edits.extend(defaults.notes.iter().cloned());
    let lock = match (&spec.grub.password, &spec.grub.key) {
        (Some(asked), _) => Lock::Password(machine::grub_password(asked, &materials, &seed)?),
        (None, Some(_)) => Lock::Signed,
        (None, None) => Lock::Open,
    };
    let menu = Menu {
        os: &os,
        source: &source,
        spec: &with_words,
        defaults: &defaults,
        root: layout.root,
        label: layout.root_label(),
        boot: layout.boot,
        ignites,
        lock,
    };
    let installed = loader.install(&menu, layout.has_slot_kernels(), &mut Editor::new(&mut root, time))?;
    let Installed { mut entry, mut esp, sealed, beside, bios, origin, firmware, notes } = installed;
    edits.extend(notes);
    edits.extend(slots::label(&mut Editor::new(&mut root, time), &os, &layout)?);
    let beside_root = update::kernels(spec, &root, &source, &layout)?;
    let kernels = beside.or(slots::kernels(&root, &source, &layout, &mut esp, time)?);

    edits.extend(leave_out_devices(&mut root, &layout));
    edits.extend(split_links::note(&root, &layout.partitions));
    let has_gzip = machine::sysupdate::is_set_up(&root);
    let network = machine::network_owner(&root, is_own)?;
    let install = started.as_ref().and_then(|started| started.install.clone());
    let of = medium::Machine {
        spec,
        os: &os,
        layout: &layout,
        seed: &seed,
        time,
        defaults: &defaults,
        init,
        network,
        install,
    };
    let medium = started.map(|started| medium::Draft::new(of, started, &root, mkfs.as_ref(), run));
    let medium = medium.transpose()?;
    edits.extend(medium.iter().flat_map(|medium| medium.notes.iter().cloned()));
    let release = microvm::uki::os_release(&root, spec)?;
    let signer = secure_boot::signer(spec, &materials)?;
    let seal = sealed.map(|esp| Seal::new(&seed, esp, signer));
    let parts = Parts { root, elsewhere, esp: Some(esp), kernels, bios, mkfs, time, previous, volumes };
    let LaidOut { disk, partitions, root, root_hash, note } = lay_out(spec, &layout, parts, seal, run)?;
    edits.extend(note);
    if let Some(root_hash) = root_hash {
        entry.cmdline = boot::verity::filled(&entry.cmdline, root_hash);
        edits.extend(seal::notes(root_hash, sealer));
    }
    let placement = previous::next(spec, root.as_ref())?;
    let medium = medium.map(|medium| medium.plan(&disk, release).map(Arc::new)).transpose()?;
    let beside =
        update::Beside { kernels: beside_root, signers, placement: placement.clone(), bundle, has_gzip };
    Ok(Planned {
        update: update::of(spec, &layout, &disk, beside, time),
        placement,
        microvm: None,
        medium,
        layout: disk,
        partitions,
        id: disk_file(&seed),
        appliance: appliance(spec),
        system: Some(System::new(&os, spec, &entry, (origin, firmware), edits)),
    })
}

/// The same with what is kept at places of the tree, whatever links lead there.
fn with_places(spec: &Spec, root: &Tree) -> Result<Spec> {
    let persist = spec.kept().map(|kept| kept.canonical(root)).transpose()?;
    Ok(Spec { persist, ..spec.clone() })
}

/// The kernel of a file, of the donor, or one of the root's own.
fn kernel_source(
    root: &mut Tree,
    os: &Os,
    donor: Option<Tree>,
    file: Option<(Content, String)>,
    spec: &Spec,
) -> Result<KernelSource> {
    match (file, donor) {
        (Some(file), _) => KernelSource::of_file(root, os, file, spec),
        (None, Some(donor)) => KernelSource::donated(root, &donor, spec),
        (None, None) => {
            let named = Defaults::read(root)?.kernel;
            KernelSource::own(root, os, named.as_deref(), spec)
        }
    }
}

/// The modules of another image's kernel, which a microVM has in its initramfs as far as it needs them. Whether they are left
/// out.
fn leave_out_modules(root: &mut Tree, kernel: &Kernel, spec: &Spec, has_donor: bool, time: Time) -> bool {
    let is_left_out = spec.profile == Profile::Microvm && has_donor && !spec.microvm.has_all_modules();
    if let Some(modules) = kernel.modules.as_ref().filter(|_| is_left_out) {
        Editor::new(root, time).remove(modules);
    }
    is_left_out
}

/// What `first` needs to be the first process of this machine.
fn install(
    first: FirstProcess<'_>,
    root: &mut Tree,
    os: &mut Os,
    spec: &Spec,
    programs: Programs,
    machine: &Machine,
    layout: &Resolved,
) -> Result<Vec<String>> {
    match first {
        FirstProcess::Distro(service) => {
            first::require(root, spec)?;
            machine::apply(root, os, machine, &service)
        }
        FirstProcess::Own => {
            require_root_alone(layout)?;
            // Whatever else the image has, it is not started.
            os.init = None;
            let editor = &mut Editor::new(root, machine.time);
            let mut notes = machine::crypttab::write(editor, os, &machine.opened)?;
            let contained = first::contained(spec, programs.init, machine.time)?;
            notes.extend(machine::init::install(root, os, &contained)?);
            Ok(notes)
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
        let Root { partition, file_system, is_slot, .. } = layout.root;
        let root = if is_slot { String::new() } else { format!("root=PARTUUID={partition} ") };
        words.push(format!("{root}rootfstype={} rootwait", file_system.name()));
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
pub(super) fn settle_time(root: &mut Tree, spec: &Spec) -> (Time, Vec<String>) {
    let Some(seconds) = spec.source_date_epoch else { return (latest_time(root), Vec::new()) };
    let epoch = Time { seconds, nanoseconds: 0 };
    let edits = machine::forget_build(&mut Editor::new(root, epoch), epoch);
    (epoch, edits)
}

/// Programs of another architecture end in a panic at boot.
pub(super) fn require_architecture(root: &Tree, spec: &Spec) -> Result<()> {
    let runs = spec.container.as_ref().filter(|_| spec.profile == Profile::Microvm);
    let service = runs.or_else(|| first::service(spec)).and_then(|container| container.command().next());
    let programs = [Some(INIT), Some("/bin/sh"), service];
    let found = programs.into_iter().flatten().find_map(|path| {
        Architecture::of_program(root, path).filter(|found| *found != spec.architecture).zip(Some(path))
    });
    let Some((found, path)) = found else { return Ok(()) };
    let message = format!("is a program for {found}, the machine is to be for {}", spec.architecture);
    let hint = format!("ask for --platform linux/{}, or take an image for the other", found.oci_name());
    Err(Error::new(Kind::Input, path, message).with_hint(hint))
}

fn machine(
    spec: &Spec,
    grow: Option<Arc<[u8]>>,
    layout: &Resolved,
    opened: Vec<Opened>,
    time: Time,
) -> Machine {
    Machine {
        mounts: layout.mounts(),
        opened,
        swaps: layout.swaps(),
        hostname: spec.hostname.clone(),
        network: spec.network.clone(),
        serial: Some(spec.architecture.serial_console().to_owned()),
        grows: layout.grows().map(str::to_owned),
        is_labelled_at_boot: !layout.is_labelled_here(),
        grow: grow.filter(|program| spec.architecture.runs(program)),
        time,
    }
}

/// To a root that is only read nothing happens at the first boot alone: it would happen again and again.
fn require_no_first_boot(root: &Tree, spec: &Spec) -> Result<()> {
    let once = [
        (
            machine::AUTORELABEL,
            "SELinux labels are written to no root that is only read",
            "set SELINUX=disabled in /etc/selinux/config",
        ),
        (boot::FIRST_BOOT, "Ignition writes to no root that is only read", "take Ignition out of the image"),
    ];
    let met = once.into_iter().find(|(path, ..)| root.resolve(path).is_some());
    met.map_or(Ok(()), |(path, message, instead)| {
        let hint = first::why_read_only(spec, Hint::from(format!("{instead}, or leave out ")));
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
    let of_partition =
        |mount: &&Mount| matches!(mount.found_by, FsSpec::Id(VolumeId::Partition(_)) | FsSpec::PartLabel(_));
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
    let is_needed =
        |mount: &&Mount| mount.point != "/" && !mount.is_covered && !mount.point.starts_with("/boot");
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
