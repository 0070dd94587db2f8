//! A disk that boots: the tree becomes a machine's root, beside its boot loader.

use std::sync::Arc;

use super::donor::KernelSource;
use super::draft::Parts;
use super::lay_out::lay_out;
use super::menu::Menu;
use super::resolve::Resolved;
use super::{Input, Planned, appliance, bootable, disk_file, latest_time, seed};
use crate::boot::{self, Defaults, Root};
use crate::error::{Error, Kind, Result};
use crate::fs::FileSystem;
use crate::machine::init::{self, Contained};
use crate::machine::{self, Machine, wanted_service};
use crate::report::System;
use crate::spec::{Architecture, Container, Firmware, Init, Profile, Service, Spec};
use crate::tree::kernel::Kernel;
use crate::tree::os::{self, Os};
use crate::tree::{Editor, Time, Tree};

/// What the kernel starts.
const INIT: &str = "/sbin/init";
/// BIOSes start from sectors of no other size.
const BIOS_SECTOR: u32 = 512;

pub(super) fn plan(spec: &Spec, input: Input) -> Result<Planned> {
    let Input { mut root, boot: boot_files, donor, programs, materials } = input;
    let has_donor = donor.is_some();
    require_architecture(&root, spec)?;
    let mut os = os::detect(&root)?;
    let source = kernel_source(&mut root, &os, donor)?;
    let mut edits = source.notes.clone();
    let (time, forgotten) = settle_time(&mut root, spec);
    edits.extend(forgotten);
    let has_init = has_init(&root, spec);
    let is_ours = is_ours(spec, has_init, has_donor)?;
    let editor = &mut Editor::new(&mut root, time);
    let planned = if !is_ours {
        // First of all: what the image has in /run goes next.
        let service = machine::plan_service(editor, &spec.service, spec.container.as_ref())?;
        // Before the ids: they are of the machine, not of the engine that has built it.
        edits.extend(machine::forget_container(editor)?);
        Some(service)
    } else {
        edits.extend(machine::forget_engine(editor)?);
        None
    };
    let seed = seed(spec, &root, materials.digest(&spec.setup)?)?;
    let layout = Resolved::new(spec, &seed)?;

    let firmware = firmware(spec, &layout)?;
    let boot_files = boot_files.ok_or_else(no_boot_files)?.for_firmware(firmware, spec.architecture)?;
    bootable::require_kernel(&root, &source.kernel, layout.root.file_system)?;
    if let Some(service) = &planned {
        require_init(has_init)?;
        bootable::require_init(&root, init_path(spec), spec.architecture)?;
        edits.extend(machine::apply(&mut root, &os, &machine(spec, programs.grow, &layout, time), service)?);
    } else {
        require_root_alone(&layout)?;
        // Whatever else the image has, it is not started.
        os.init = None;
        edits.extend(init::install(&mut root, &os, &contained(spec, programs.init, time)?)?);
    }
    let editor = &mut Editor::new(&mut root, time);
    edits.extend(machine::set_up(editor, &os, &spec.setup, &materials, &seed)?);
    let mut words = kernel_words(spec, &source.kernel, &layout.root, is_ours);
    let ignites = ignites(&root, spec, &mut words);
    let with_words = Spec { cmdline: words, ..spec.clone() };
    // What is set up may be settings of the menu.
    let defaults = Defaults::read(&root)?;
    edits.extend(defaults.notes.iter().cloned());
    let menu =
        Menu { os: &os, source: &source, spec: &with_words, defaults: &defaults, root: layout.root, ignites };
    let (entry, written) = menu.write(&mut Editor::new(&mut root, time))?;
    edits.extend(written);
    let esp = boot::esp_tree(&boot_files, spec.architecture, layout.root.id, time);

    let parts = Parts { root, esp: Some(esp), bios: boot_files.bios.clone(), time };
    let layout = lay_out(spec, &layout, parts, &seed)?;
    let system = System::new(&os, &entry, &boot_files, edits);
    Ok(Planned { layout, id: disk_file(&seed), appliance: appliance(spec), system: Some(system) })
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

/// What was asked for on the kernel's command line, after what it has to be told of the root and of our own init.
fn kernel_words(spec: &Spec, kernel: &Kernel, root: &Root, is_ours: bool) -> String {
    let mut words = spec.cmdline.clone();
    if is_ours {
        words = format!("init={} {words}", init::PROGRAM);
    }
    if kernel.initramfs.is_none() {
        // UUIDs of file systems are known to an initramfs alone.
        let Root { partition, file_system, .. } = root;
        words = format!("root=PARTUUID={partition} rootfstype={} rootwait {words}", file_system.name());
    }
    words
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

/// What becomes a service of the machine.
pub(super) fn service(spec: &Spec) -> Option<&Container> {
    let container = spec.container.as_ref().filter(|_| spec.profile == Profile::Machine);
    wanted_service(&spec.service, container)
}

/// What the kernel is told to start; of several words the last counts.
fn init_path(spec: &Spec) -> &str {
    let words = spec.cmdline.split_ascii_whitespace();
    words.filter_map(|word| word.strip_prefix("init=")).next_back().unwrap_or(INIT)
}

fn has_init(root: &Tree, spec: &Spec) -> bool {
    names_init(spec) || root.resolve(INIT).is_some()
}

fn names_init(spec: &Spec) -> bool {
    spec.cmdline.split_ascii_whitespace().any(|word| word.starts_with("init="))
}

/// Whether the first process is vmimage's own. By itself that is for images whose kernel is another one's, too.
fn is_ours(spec: &Spec, has_init: bool, has_donor: bool) -> Result<bool> {
    match spec.init {
        Init::Auto => Ok(!has_init && has_donor),
        Init::Distro => Ok(false),
        Init::Vmimage if names_init(spec) => {
            let message = "is vmimage, and the kernel arguments name another one";
            Err(Error::new(Kind::Input, "init", message)
                .with_hint("leave out one of --init and --cmdline init="))
        }
        Init::Vmimage => Ok(true),
    }
}

/// Programs of another architecture end in a panic at boot.
fn require_architecture(root: &Tree, spec: &Spec) -> Result<()> {
    let service = service(spec).and_then(|container| container.command().next());
    let programs = [Some(INIT), Some("/bin/sh"), service];
    let found = programs.into_iter().flatten().find_map(|path| {
        Architecture::of_program(root, path).filter(|found| *found != spec.architecture).zip(Some(path))
    });
    let Some((found, path)) = found else { return Ok(()) };
    let message = format!("is a program for {found}, the machine is to be for {}", spec.architecture);
    let hint = format!("ask for --platform linux/{}, or take an image for the other", found.oci_name());
    Err(Error::new(Kind::Input, path, message).with_hint(hint))
}

/// A machine without a first process panics at boot; better to say so now.
fn require_init(has_init: bool) -> Result<()> {
    if has_init {
        return Ok(());
    }
    let hint = "install one in the Dockerfile (systemd-sysv, openrc), name it with --cmdline init=/path, or take vmimage's \
                own with --init vmimage";
    Err(Error::new(Kind::NotFound, INIT, "is not there: the machine would have no first process")
        .with_hint(hint))
}

fn no_boot_files() -> Error {
    Error::new(
        Kind::NotFound,
        "boot loader",
        "the distribution has none that is known, and this vmimage none of its own",
    )
    .with_hint(
        "take the vmimage of the frontend image (make out/vmimage), or a folder with one: convert --boot DIR",
    )
}

/// What our own first process is told.
fn contained(spec: &Spec, program: Option<Arc<[u8]>>, time: Time) -> Result<Contained<'_>> {
    let program = program.filter(|program| spec.architecture.runs(program)).ok_or_else(|| no_init(spec))?;
    let container = service(spec);
    if container.is_none() && spec.service != Service::Off {
        return Err(runs_nothing(spec));
    }
    Ok(Contained { program, container, hostname: spec.hostname.as_deref(), time })
}

/// Nobody could log in, and nothing else is started.
fn runs_nothing(spec: &Spec) -> Error {
    let program = spec.container.iter().flat_map(Container::command).next();
    let message = match program {
        None => {
            "would be vmimage's, and there is no ENTRYPOINT or CMD: the machine would run nothing".to_owned()
        }
        Some(program) => {
            format!("would be vmimage's, and {program} is no service: the machine would run nothing")
        }
    };
    let hint = match program {
        None => "name the program in the Dockerfile: ENTRYPOINT [\"/app\"]",
        Some(_) => {
            "name another program in the Dockerfile, run this one all the same (--service NAME), or none (--service off)"
        }
    };
    Error::new(Kind::NotFound, INIT, message).with_hint(hint)
}

fn no_init(spec: &Spec) -> Error {
    let message = format!("is not there, and this vmimage has none for {} to put there", spec.architecture);
    Error::new(Kind::NotFound, INIT, message)
        .with_hint("build on a machine of that architecture, or install an init in the Dockerfile")
}

fn machine(spec: &Spec, grow: Option<Arc<[u8]>>, layout: &Resolved, time: Time) -> Machine {
    Machine {
        mounts: layout.mounts(),
        hostname: spec.hostname.clone(),
        serial: Some(spec.architecture.serial_console().to_owned()),
        grows: layout.grows().map(str::to_owned),
        grow: grow.filter(|program| spec.architecture.runs(program)),
        time,
    }
}

/// What may start the machine from the sectors of its disk.
fn firmware(spec: &Spec, layout: &Resolved) -> Result<Firmware> {
    match spec.firmware {
        asked if layout.sector_size == BIOS_SECTOR => Ok(asked),
        Firmware::Any | Firmware::Uefi => Ok(Firmware::Uefi),
        Firmware::Bios => {
            let message = format!("a BIOS starts from no disk with sectors of {} bytes", layout.sector_size);
            Err(Error::new(Kind::Unsupported, "firmware", message))
        }
    }
}

/// Our own first process mounts the root, and nothing else of the disk.
fn require_root_alone(layout: &Resolved) -> Result<()> {
    let mounts = layout.mounts();
    match mounts.iter().find(|mount| mount.id != layout.root.id && mount.file_system != FileSystem::Vfat) {
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
    use crate::tree::Meta;

    fn spec(init: Init, cmdline: &str) -> Spec {
        Spec { init, cmdline: cmdline.into(), ..Spec::default() }
    }

    #[test]
    fn the_first_process_is_ours_where_it_is_asked_for_or_there_can_be_no_other() {
        for (init, has_init, has_donor, expected) in [
            (Init::Auto, true, true, false),
            (Init::Auto, false, true, true),
            (Init::Auto, false, false, false),
            (Init::Distro, false, true, false),
            (Init::Distro, true, true, false),
            (Init::Vmimage, true, false, true),
            (Init::Vmimage, true, true, true),
            (Init::Vmimage, false, false, true),
        ] {
            let spec = spec(init, "quiet");
            assert_eq!(
                is_ours(&spec, has_init, has_donor).unwrap(),
                expected,
                "{init} {has_init} {has_donor}"
            );
        }
        let error = is_ours(&spec(Init::Vmimage, "quiet init=/app"), true, false).unwrap_err();
        assert!(error.to_string().contains("kernel arguments name another one"), "{error}");
        assert!(!is_ours(&spec(Init::Distro, "init=/app"), true, false).unwrap());
    }

    #[test]
    fn a_machine_of_ours_that_would_run_nothing_is_an_error() {
        let mut program = vec![0; 20];
        program[..4].copy_from_slice(b"\x7fELF");
        program[18] = 62;
        let error = |service: Service, words: &[&str]| {
            let cmd = words.iter().map(|word| (*word).to_owned()).collect();
            let container = Some(Container { cmd, ..Container::default() });
            let spec = Spec { service, container, ..spec(Init::Vmimage, "") };
            let program = Arc::from(program.clone());
            contained(&spec, Some(program), Time::default()).err().map(|error| error.to_string())
        };
        let auto = || Service::Auto;
        assert_eq!(error(auto(), &["nginx"]), None);
        for (words, part) in [
            (&[][..], "there is no ENTRYPOINT or CMD"),
            (&["bash"][..], "bash is no service"),
            (&["/bin/sh"][..], "/bin/sh is no service"),
            (&["/sbin/init"][..], "/sbin/init is no service"),
        ] {
            let said = error(auto(), words).unwrap();
            assert!(said.contains(part) && said.contains("the machine would run nothing"), "{said}");
            assert_eq!(error(Service::Off, words), None);
        }
        assert_eq!(error(Service::Named("web".into()), &["bash"]), None);
    }

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
