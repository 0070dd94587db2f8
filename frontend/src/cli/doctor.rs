//! `vmimage doctor`: is everything there, and if not, what to type.

use std::process::{Command, ExitCode};

use exporter::assemble::Programs;
use exporter::spec::Architecture;
use serde::Serialize;

use super::run::firmware::QemuFirmware;
use super::run::qemu;
use super::run::{accel, probe};
use crate::ask::spelling;
use crate::base::builtin;
use crate::base::programs::{self, Package};
use crate::base::{Error, Result, terminal};
use crate::engine::buildah::Tool;
use crate::engine::{buildx, frontend};

/// Check that all that `build` and `run` need is there, and say how to get what is missing.
///
/// KVM is not only looked for: a tiny machine is run with it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 0 if `build` and `run` can work; what only makes them better may be missing."
)]
pub(crate) struct Args {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// What something is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Need {
    /// `build` with docker does not work without it.
    Docker,
    /// `build` works with it, and without docker.
    Engine,
    /// `run` does not work without it.
    Run,
    /// Good to have.
    Optional,
}

/// One thing that was looked for.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    need: Need,
    ok: bool,
    /// The version or the place; of what is missing, why.
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    build: bool,
    run: bool,
    checks: Vec<Check>,
}

/// Looks for everything, shows it, and fails if something necessary is missing.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let report = Report::new(examine());
    match args.json {
        true => crate::base::terminal::print_json(&report)?,
        false => report.print()?,
    }
    Ok(if report.build && report.run { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn examine() -> Vec<Check> {
    let arch = qemu::host();
    let qemu = qemu::find(arch);
    vec![
        Check::new("docker", Need::Docker, docker_version()),
        Check::new("docker daemon", Need::Docker, buildx::daemon_version()),
        Check::new("docker buildx", Need::Docker, buildx::version()),
        Check::new("type=vmdisk", Need::Optional, super::install::state()),
        Check::new("frontend image", Need::Optional, frontend_image()),
        Check::new(
            "own files",
            Need::Optional,
            own_files(builtin::has_boot_files(), &builtin::programs(arch)),
        ),
        Check::new("podman", Need::Engine, Tool::Podman.store()),
        Check::new("buildah", Need::Engine, Tool::Buildah.store()),
        Check::new("KVM", Need::Optional, kvm(arch, qemu.as_deref().ok())),
        Check::new("QEMU", Need::Run, qemu.map(|path| path.display().to_string())),
        Check::new("UEFI", firmware_need(arch), QemuFirmware::uefi(arch).map(firmware_place)),
        Check::new("UEFI Secure Boot", Need::Optional, QemuFirmware::secure_boot(arch).map(firmware_place)),
    ]
}

fn docker_version() -> Result<String> {
    let path = programs::find("docker")
        .ok_or_else(|| Error::user("docker: is not installed").with_hint(Package::Docker.hint()))?;
    let output = Command::new(&path).arg("--version").output();
    let output = output.map_err(|error| Error::user("docker: cannot be started").because(error))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn frontend_image() -> Result<String> {
    let frontend = frontend::image();
    if buildx::has_image(&frontend) {
        return Ok(frontend);
    }
    let message = format!("{frontend}: is not on this host, the first build will pull it");
    Err(Error::user(message).with_hint(format!("docker pull {frontend}")))
}

/// What machines get of this program itself: a boot loader where their distribution has none, growth, a first process, what goes before one, what says that a boot was good, what
/// installs the next version, what a medium starts, and what a root with verity is mounted by.
fn own_files(has_boot_files: bool, programs: &Programs) -> Result<String> {
    let all = [
        ("boot loader", has_boot_files),
        ("vmimage-grow", programs.grow.is_some()),
        ("vmimage-init", programs.init.is_some()),
        ("vmimage-early", programs.early.is_some()),
        ("vmimage-boot", programs.boot.is_some()),
        ("vmimage-update", programs.update.is_some()),
        ("vmimage-medium", programs.medium.is_some()),
        ("vmimage-verity", programs.verity.is_some()),
    ];
    let names = |there| {
        let names = all.iter().filter(|(_, is_there)| *is_there == there).map(|(name, _)| *name);
        names.collect::<Vec<_>>().join(", ")
    };
    match names(false) {
        missing if missing.is_empty() => Ok(names(true)),
        missing => Err(Error::user(format!("this vmimage, as cargo build alone makes it, has no {missing}"))
            .with_hint(
                "take that of the frontend image: make out/vmimage; builds with docker do so themselves",
            )),
    }
}

fn kvm(arch: Architecture, qemu: Option<&std::path::Path>) -> Result<String> {
    let Some(qemu) = qemu else { return Err(Error::user("cannot be tried without QEMU")) };
    if let Some(choice) = std::env::var_os(accel::VARIABLE).filter(|choice| choice != "auto") {
        return Ok(format!("not tried: {} is {}", accel::VARIABLE, choice.display()));
    }
    match probe::probe_kvm(arch, qemu) {
        Ok(()) => Ok("a machine was run with it".to_owned()),
        Err(reason) if reason.contains("Permission denied") => {
            Err(Error::user(reason)
                .with_hint("let yourself in, then log in again: sudo usermod -aG kvm $USER"))
        }
        Err(reason) => Err(Error::user(reason).with_hint("without it `run` emulates the processor: slower")),
    }
}

/// PCs can boot without it.
fn firmware_need(arch: Architecture) -> Need {
    if arch == Architecture::X86_64 { Need::Optional } else { Need::Run }
}

fn firmware_place(firmware: QemuFirmware) -> String {
    match firmware {
        QemuFirmware::Bios => String::new(),
        QemuFirmware::Uefi(pflash) | QemuFirmware::SecureBoot(pflash) => pflash.code.to_owned(),
    }
}

impl Check {
    fn new(name: &'static str, need: Need, found: Result<String>) -> Self {
        match found {
            Ok(detail) => Self { name, need, ok: true, detail, hint: None },
            Err(error) => {
                let hint = error.hint().map(|hint| hint.spelled(spelling::flag));
                Self { name, need, ok: false, detail: error.to_string(), hint }
            }
        }
    }

    /// `can_build`: whether another engine is there.
    fn print(&self, can_build: bool) -> Result<()> {
        let state = match (self.ok, self.need) {
            (true, _) => "ok",
            (false, Need::Optional) => "without",
            (false, Need::Docker | Need::Engine) if can_build => "without",
            (false, Need::Docker | Need::Engine | Need::Run) => "missing",
        };
        terminal::print_line(format_args!("{state:<8} {:<17} {}", self.name, self.detail))?;
        match &self.hint {
            Some(hint) => terminal::print_line(format_args!("{:<26} hint: {hint}", "")),
            None => Ok(()),
        }
    }
}

impl Report {
    fn new(checks: Vec<Check>) -> Self {
        let all = |need| checks.iter().filter(|check| check.need == need).all(|check| check.ok);
        let engine = checks.iter().any(|check| check.need == Need::Engine && check.ok);
        Self { build: all(Need::Docker) || engine, run: all(Need::Run), checks }
    }

    fn print(&self) -> Result<()> {
        self.checks.iter().try_for_each(|check| check.print(self.build))?;
        let can = |works| if works { "can work" } else { "cannot work" };
        terminal::print(&format!("\nvmimage build {}, vmimage run {}\n", can(self.build), can(self.run)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_cargo_build_alone_says_what_it_lacks() {
        let there = |is_there: bool| is_there.then(|| std::sync::Arc::from(*b"program"));
        let all = "boot loader, vmimage-grow, vmimage-init, vmimage-early, vmimage-boot, vmimage-update, \
                   vmimage-medium, vmimage-verity";
        for (files, are_there, missing) in [
            (true, [true, true, true, true, true, true, true], None),
            (false, [false, false, false, false, false, false, false], Some(all)),
            (true, [false, true, true, true, true, true, true], Some("no vmimage-grow")),
            (false, [true, true, true, true, true, true, true], Some("no boot loader")),
            (true, [true, true, false, true, true, true, true], Some("no vmimage-early")),
            (true, [true, true, true, false, true, true, true], Some("no vmimage-boot")),
            (true, [true, true, true, true, false, true, true], Some("no vmimage-update")),
            (true, [true, true, true, true, true, false, true], Some("no vmimage-medium")),
            (true, [true, true, true, true, true, true, false], Some("no vmimage-verity")),
        ] {
            let [grow, init, early, boot, update, medium, verity] = are_there.map(there);
            let found = own_files(files, &Programs { grow, init, early, boot, update, medium, verity });
            let told = found.map_err(|error| (error.to_string(), error.hint().map(ToString::to_string)));
            match missing {
                None => assert_eq!(told.unwrap(), all),
                Some(missing) => {
                    let (message, hint) = told.unwrap_err();
                    assert!(message.ends_with(missing), "{message}");
                    assert!(hint.unwrap().contains("make out/vmimage"));
                }
            }
        }
    }

    #[test]
    fn only_what_is_needed_counts() {
        let check = |need, ok| {
            let found = if ok { Ok("1.0".to_owned()) } else { Err(Error::user("gone").with_hint("get it")) };
            Check::new("thing", need, found)
        };
        let verdict = |checks| {
            let report = Report::new(checks);
            (report.build, report.run)
        };
        assert_eq!(verdict(vec![check(Need::Docker, true), check(Need::Optional, false)]), (true, true));
        assert_eq!(verdict(vec![check(Need::Docker, false), check(Need::Run, true)]), (false, true));
        assert_eq!(verdict(vec![check(Need::Docker, true), check(Need::Run, false)]), (true, false));
        assert_eq!(verdict(vec![check(Need::Docker, true), check(Need::Engine, false)]), (true, true));
        assert_eq!(verdict(vec![check(Need::Docker, false), check(Need::Engine, true)]), (true, true));
        assert_eq!(verdict(vec![check(Need::Docker, false), check(Need::Engine, false)]), (false, true));
        assert_eq!(check(Need::Run, false).hint.as_deref(), Some("get it"));
    }
}
