//! What every release in `testdata/os-release` is given, beside it as `NAME.plan`.
//!
//! The os-release files are those of the distributions' own images. `UPDATE=1 cargo test` writes the plans
//! anew.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use exporter::spec::{Architecture, Hardware, Initramfs};
use exporter::tree::os;
use exporter::tree::{Editor, Meta, Time, Tree};

use super::release::{Metal, Release};
use super::{MANAGERS, Plan, Probed, Step, plan, plan_stage};
use crate::ask::{Install, Taken, spelling};
use crate::base::Error;
use crate::base::testing::kept;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/os-release")
}

/// Every recorded release: its name and its os-release.
fn recorded() -> Vec<(String, String)> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut recorded: Vec<_> = files
        .filter(|path| path.extension().is_none_or(|extension| extension != "plan"))
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
        })
        .collect();
    recorded.sort();
    recorded
}

/// An image with nothing but its os-release and its package manager.
fn bare(name: &str, os_release: &str) -> Probed {
    let mut tree = Tree::new(Meta::default());
    let mut editor = Editor::new(&mut tree, Time::default());
    editor.write_file("/etc/os-release", os_release.as_bytes(), 0o644).unwrap();
    let os = os::detect(editor.tree()).unwrap();
    let manager = MANAGERS.into_iter().find(|manager| manager.knows(&os)).unwrap();
    editor.write_file(manager.tools[0], *b"", 0o755).unwrap();
    Probed::new(name, tree).unwrap()
}

/// A machine, what a microVM takes at most, and a machine of metal.
fn shown(plan: &Plan, stage: &Plan, metal: &str) -> String {
    let mut text = String::new();
    let mut step = |name, step: &Option<Step>| {
        let args = step.as_ref().map_or_else(|| "none".to_owned(), |step| step.args.join(" "));
        let _ = writeln!(text, "{name}: {args}");
    };
    step("machine", &plan.machine);
    step("boot", &plan.boot);
    step("microvm", &stage.machine);
    let _ = writeln!(text, "metal: {metal}");
    if let Some(step) = &plan.machine {
        let _ = writeln!(text, "cache: {}", step.cache);
    }
    text
}

/// All that a microVM can take of a stage.
const ALL: Taken = Taken { kernel: true, boot_loader: true, stub: true };

fn stage(base: &Probed, architecture: Architecture) -> Option<Plan> {
    let asked = Install { microvm: Some(ALL), ..Install::default() };
    plan_stage(base, architecture, &asked, ALL, true).unwrap()
}

/// What a machine of metal is given, or why it is not.
fn metal(base: &Probed, architecture: Architecture) -> String {
    let asked = Install { hardware: Hardware::Metal, ..Install::default() };
    match plan(base, architecture, &asked) {
        Ok(plan) => plan.machine.unwrap().args.join(" "),
        Err(error) => error.to_string(),
    }
}

/// As the command line says it.
fn refused(error: &Error) -> String {
    let hint = error.hint().map(|hint| hint.spelled(spelling::flag));
    format!("{error}\nhint: {}\n", hint.unwrap_or_default())
}

/// What makes GRUB for UEFI is installed where that is to check signatures, and each package once.
#[test]
fn a_grub_that_checks_signatures_is_made_of_modules() {
    for (os, modules) in [
        ("ID=debian\nVERSION_ID=\"12\"\n", "grub-efi-amd64-bin"),
        ("ID=fedora\nVERSION_ID=43\n", "grub2-efi-x64-modules"),
        ("ID=opensuse-leap\nID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.6\"\n", "grub2-x86_64-efi"),
    ] {
        let base = bare("a base", os);
        let asked = Install { checks: true, ..Install::default() };
        let step = plan(&base, Architecture::X86_64, &asked).unwrap().boot.unwrap();
        assert!(step.script.contains("\nchecks=yes\n"), "{os}");
        assert_eq!(step.args.iter().filter(|arg| *arg == modules).count(), 1, "{:?}", step.args);
        let once: BTreeSet<_> = step.args.iter().collect();
        assert_eq!(once.len(), step.args.len(), "{:?}", step.args);
        let usual = plan(&base, Architecture::X86_64, &Install::default()).unwrap().boot.unwrap();
        assert!(!usual.script.contains("\nchecks=yes\n"), "{os}");
    }
}

#[test]
fn every_recorded_release_has_its_plan() {
    let mut wrong = Vec::new();
    for (name, os_release) in recorded() {
        let base = bare(&name, &os_release);
        let text: String = [Architecture::X86_64, Architecture::Aarch64]
            .map(|architecture| {
                let plan = plan(&base, architecture, &Install::default());
                let stage = || stage(&base, architecture).expect("what a machine can have, a microVM can");
                format!(
                    "[{}]\n{}",
                    architecture.oci_name(),
                    plan.map_or_else(
                        |error| refused(&error),
                        |plan| shown(&plan, &stage(), &metal(&base, architecture))
                    )
                )
            })
            .concat();
        let golden = kept(&format!("testdata/os-release/{name}.plan"), &text);
        if golden != text {
            wrong.push(format!("{name}: golden\n{golden}but now\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_step_is_unattended_and_knows_what_stands_in_for_programs() {
    for (name, os_release) in recorded() {
        let Ok(plan) = plan(&bare(&name, &os_release), Architecture::X86_64, &Install::default()) else {
            continue;
        };
        for step in plan.machine.iter().chain(&plan.boot) {
            assert!(step.script.contains(include_str!("unattended.sh")), "{name}: {}", step.title);
        }
        let script = plan.machine.unwrap().script;
        assert!(
            script.contains("programs='update-initramfs ") && script.contains("\nrestore_programs\n"),
            "{name}"
        );
    }
}

/// Nothing that makes an initramfs is installed for a microVM, nor run where its step could be told not to.
#[test]
fn a_stage_for_a_microvm_has_no_initramfs() {
    for (name, os_release) in recorded() {
        let base = bare(&name, &os_release);
        let Ok(machine) = plan(&base, Architecture::X86_64, &Install::default()) else {
            assert!(stage(&base, Architecture::X86_64).is_none(), "{name}");
            continue;
        };
        let stage = stage(&base, Architecture::X86_64).unwrap();
        assert_eq!(stage.boot, machine.boot, "{name}");
        let step = stage.machine.unwrap();
        assert!(step.script.contains(include_str!("unattended.sh")), "{name}");
        assert!(
            step.title.starts_with("[vmimage] unpack ") && step.args.len() == 2,
            "{name}: {:?}",
            step.args
        );
        for other in ["restore_programs\n", "make_initramfs", "update-initramfs", "-p \"$name\""] {
            assert!(!step.script.contains(other), "{name}: {other}");
        }
        assert_eq!(Some(step.cache), machine.machine.map(|step| step.cache), "{name}");
    }
}

/// Where the initramfs is vmimage's own, the steps of machines are told which packages are kernels, and install no tool that
/// makes one; all others stay the steps that are in caches.
#[test]
fn a_step_is_told_that_it_makes_no_initramfs() {
    for (name, os_release) in recorded() {
        let base = bare(&name, &os_release);
        let step = |initramfs| {
            let asked = Install { initramfs, drivers: vec!["xfs"], ..Install::default() };
            plan(&base, Architecture::X86_64, &asked).ok().and_then(|plan| plan.machine)
        };
        let Some(of_distro) = step(Initramfs::Distro) else { continue };
        let own = step(Initramfs::Vmimage).unwrap();
        let told = format!("\nbare_kernels='{}'\n", own.args[0]);
        assert!(own.script.contains(&told) && !of_distro.script.contains("\nbare_kernels="), "{name}");
        assert!(own.script.contains("${bare_kernels"), "{name}");
        assert!(!own.script.contains("drivers='xfs'"), "{name}");
        for tool in ["initramfs-tools", "dracut", "mkinitcpio"] {
            assert!(!own.args.iter().any(|package| package == tool), "{name}: {:?}", own.args);
        }
    }
}

/// What a machine of metal has more is before what installs, or behind it; all other steps stay those that are in caches.
#[test]
fn a_step_of_a_machine_of_metal_tells_its_initramfs_of_cards_and_processors() {
    for (name, os_release) in recorded() {
        let base = bare(&name, &os_release);
        let script = |hardware| {
            let asked = Install { hardware, ..Install::default() };
            plan(&base, Architecture::X86_64, &asked)
                .ok()
                .and_then(|plan| plan.machine)
                .map(|step| step.script)
        };
        let (Some(usual), Some(metal)) = (script(Hardware::Virtual), script(Hardware::Metal)) else {
            continue;
        };
        assert!(!usual.contains("nics=") && metal.contains("\nnics='e1000 "), "{name}");
        let component = if name == "debian-11" { "non-free contrib" } else { "non-free-firmware" };
        let has_component = name.starts_with("debian") || name == "kali";
        assert!(!has_component || metal.contains(&format!("component='{component}'\n")), "{name}");
        assert_eq!(metal.contains("\nwith_component() "), usual.contains("APT_CONFIG"), "{name}");
    }
}

#[test]
fn of_initramfs_tools_and_dracut_a_debian_has_one() {
    let (_, os_release) = recorded().into_iter().find(|(name, _)| name == "debian-12").unwrap();
    let installs = |base: &Probed, further: &[&str]| {
        let further = further.iter().map(|&name| name.to_owned()).collect();
        let plan = plan(base, Architecture::X86_64, &Install { further, ..Install::default() }).unwrap();
        let packages = plan.machine.unwrap().args;
        ["initramfs-tools", "dracut"].map(|name| packages.iter().any(|package| package == name))
    };
    let base = bare("debian", &os_release);
    assert_eq!(installs(&base, &[]), [true, false]);
    assert_eq!(installs(&base, &["dracut"]), [false, true]);

    let mut files = base.files;
    Editor::new(&mut files, Time::default()).write_file("/usr/bin/dracut", *b"", 0o755).unwrap();
    assert_eq!(installs(&Probed::new("debian", files).unwrap(), &[]), [false, false]);
}

/// No row of a table is dead, and no plan is left of a release that is gone.
#[test]
fn every_row_is_some_recorded_releases() {
    let bases: Vec<_> = recorded().iter().map(|(name, text)| bare(name, text)).collect();
    let used: BTreeSet<_> = bases
        .iter()
        .flat_map(|base| MANAGERS.into_iter().filter_map(|manager| Release::find(&base.os, manager.releases)))
        .map(std::ptr::from_ref)
        .collect();
    for row in MANAGERS.into_iter().flat_map(|manager| manager.releases) {
        assert!(used.contains(&std::ptr::from_ref(row)), "no recorded release is {row:?}");
    }
    let used: BTreeSet<_> = bases
        .iter()
        .flat_map(|base| MANAGERS.into_iter().filter_map(|manager| Metal::find(&base.os, manager.metal)))
        .map(std::ptr::from_ref)
        .collect();
    for row in MANAGERS.into_iter().flat_map(|manager| manager.metal) {
        assert!(used.contains(&std::ptr::from_ref(row)), "no recorded release is {row:?}");
    }
    let names: BTreeSet<_> = recorded().into_iter().map(|(name, _)| name).collect();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        assert!(
            names.contains(path.file_stem().unwrap().to_str().unwrap())
                || names.contains(path.file_name().unwrap().to_str().unwrap()),
            "{}",
            path.display()
        );
    }
}

/// ext4 is no driver that has to be asked for: the step of its machine stays the one that is in caches.
#[test]
fn an_initramfs_is_told_of_drivers_where_there_are_some() {
    for (name, os_release) in recorded() {
        let base = bare(&name, &os_release);
        let script = |drivers: &[&'static str]| {
            let asked = Install { drivers: drivers.to_vec(), ..Install::default() };
            plan(&base, Architecture::X86_64, &asked)
                .ok()
                .and_then(|plan| plan.machine)
                .map(|step| step.script)
        };
        let (without, with) = (script(&[]), script(&["erofs", "xfs"]));
        assert_eq!(without.is_some(), with.is_some(), "{name}");
        let Some((without, with)) = without.zip(with) else { continue };
        assert!(!without.contains("drivers"), "{name}");
        assert!(with.contains("$drivers") && with.len() > without.len(), "{name}");
        assert!(with.contains("drivers='erofs xfs'\n"), "{name}");
    }
}

/// A package that no file shows would be installed over and over.
#[test]
fn every_package_of_a_machine_is_shown_by_a_file() {
    for manager in MANAGERS {
        for row in manager.releases {
            for package in [row.initramfs, row.init, row.network].join(" ").split_whitespace() {
                let name = package.trim_start_matches('?');
                assert!(manager.files.iter().any(|(known, _)| *known == name), "{}: {name}", manager.name);
            }
        }
    }
}

/// 10 comes after 9, and rows of one distribution are in that order.
#[test]
fn versions_are_numbers() {
    for manager in MANAGERS {
        for (older, newer) in manager.metal.iter().zip(&manager.metal[1..]) {
            let ordered = exporter::tree::version::compare(older.since, newer.since).is_lt();
            assert!(older.ids != newer.ids || ordered, "{older:?} {newer:?}");
        }
        for (older, newer) in manager.releases.iter().zip(&manager.releases[1..]) {
            let ordered = exporter::tree::version::compare(older.since, newer.since).is_lt();
            assert!(older.ids != newer.ids || ordered, "{older:?} {newer:?}");
        }
    }
    let kernel = |version: &str| {
        let base = bare("el", &format!("ID=rocky\nVERSION_ID={version}\n"));
        plan(&base, Architecture::X86_64, &Install::default()).unwrap().machine.unwrap().args[0].clone()
    };
    for (version, name) in
        [("7.9", "kernel"), ("8", "kernel-core"), ("9.7", "kernel-core"), ("10.0", "kernel-core")]
    {
        assert_eq!(kernel(version), name, "{version}");
    }
}
