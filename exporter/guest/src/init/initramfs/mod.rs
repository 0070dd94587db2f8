//! The first program of all, where the disk has an initramfs of ours: it finds the root, and the root's init takes its place.
//!
//! ```text
//! kernel ▶ /init: proc, sys, dev ▶ modules for the devices that are there ▶ the root ▶ init= of the root
//! ```
//!
//! It keeps to the kernel's own words (Documentation/admin-guide/kernel-parameters.txt): `root=`, `rootfstype=`, `rootflags=`,
//! `ro` and `rw`, `rootdelay=`, `init=`. If a step fails, it says which and ends, and the kernel does as `panic=` says.
//!
//! A root that is verified is found by [a program of its own](crate::verity), which only such an initramfs has. Where words of
//! [addons] are missing that the command line demands, none is looked for.

mod addons;
mod loop_device;
pub(crate) mod mount;
pub(crate) mod root;
pub(crate) mod superblock;
pub(crate) mod switch;

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::init::boot;
use crate::init::console::{self, say};
use crate::init::devices::Devices;
use crate::init::left::{self, Left};
use crate::init::modules::{self, Modules};
use crate::init::mounts;
use crate::init::words::{self, Words};
use root::Root;

/// Where the kernel starts this program from.
pub(crate) const PROGRAM: &str = "/init";
/// The program that makes the device of a root that is verified.
const VERITY: &str = "/vmimage-verity";
/// The word without which no root is verified.
const ROOT_HASH: &str = "roothash";
/// How long the root may take to appear, unless `rootdelay=` says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the kernel starts where no `init=` says otherwise: the first that is there.
const INITS: [&str; 4] = ["/sbin/init", "/etc/init", "/bin/init", "/bin/sh"];

/// Whether the first process finds itself in an initramfs, by its name and what it is on.
pub(crate) fn is_here(program: Option<OsString>) -> bool {
    program.is_some_and(|program| program == PROGRAM) && mounts::is_in_memory("/")
}

/// As process 1.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    match start_root(arguments) {
        Ok(left) => boot::run(Some(left)),
        Err(error) => {
            say(format_args!("the machine does not start: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Every step, in its order. Returns if one has failed, or if the root's init is this program, with what that has to finish.
fn start_root(arguments: &[OsString]) -> Result<Left, String> {
    mounts::needed_first();
    mounts::needed("/sys");
    console::open();
    addons::require(&words::line())?;
    let words = Words::read();
    // What the kernel asks for while it mounts, this program loads from here.
    let modprobe = modules::replace_modprobe(PROGRAM);
    let (mut modules, devices) = (Modules::read(), Devices::listen());
    let init = words.value("init");
    if init == Some(boot::PROGRAM) {
        modules.put_off(left::later(&words));
    }
    modules.load_asked();
    devices.load(&mut modules);
    let device = match is_verified(&words) {
        true => verified()?,
        false => find(&words, &devices, &mut modules)?,
    };
    mount::root(&device, &words, &mut modules)?;
    modules::replace_modprobe(&modprobe);
    if init == Some(boot::PROGRAM) && is_init_of(mount::SYSROOT) {
        // Started again it would be read again, and do the same.
        return Ok(Left { initramfs: switch::to_keeping(mount::SYSROOT)?, modules, devices });
    }
    modules.load_late();
    devices.load_new(&mut modules);
    switch::to(mount::SYSROOT)?;
    let Err(error) = start_init(init, arguments);
    Err(error)
}

/// Whether this program is the init of a root.
fn is_init_of(root: &str) -> bool {
    left::is_same_program(Path::new(PROGRAM), Path::new(&format!("{root}{}", boot::PROGRAM)))
}

/// Where either the initramfs or the command line says so, no other root is mounted.
fn is_verified(words: &Words) -> bool {
    words.value(ROOT_HASH).is_some() || Path::new(VERITY).exists()
}

/// The device of a root that is verified: the program prints it, or why there is none.
fn verified() -> Result<PathBuf, String> {
    let (said, is_good) = run_to_end(VERITY).unwrap_or_else(|error| (error.to_string(), false));
    let said = said.trim_end();
    if is_good { Ok(said.into()) } else { Err(format!("{VERITY}: {said}")) }
}

/// What a program prints, and whether it ends well.
fn run_to_end(program: &str) -> io::Result<(String, bool)> {
    let mut said = Vec::new();
    let mut child = Command::new(program).stdout(Stdio::piped()).spawn()?;
    if let Some(output) = child.stdout.take() {
        console::drain(output.into(), &mut |printed| said.extend(printed));
    }
    Ok((String::from_utf8_lossy(&said).into_owned(), child.wait()?.success()))
}

/// How long a device may take.
pub(crate) fn patience(words: &Words) -> Duration {
    let seconds = words.value("rootdelay").and_then(|seconds| seconds.parse().ok());
    seconds.map_or(PATIENCE, Duration::from_secs)
}

/// The root that the command line names.
fn find(words: &Words, devices: &Devices, modules: &mut Modules) -> Result<PathBuf, String> {
    let root = Root::parse(words.value("root").unwrap_or_default())?;
    let found = wait_for(&root, devices, modules, patience(words))?;
    found.ok_or_else(|| format!("{root}: not there; {}", there_is()))
}

/// Load modules for the devices that come, until one is there.
pub(crate) fn wait_for(
    root: &Root,
    devices: &Devices,
    modules: &mut Modules,
    patience: Duration,
) -> Result<Option<PathBuf>, String> {
    let start = Instant::now();
    loop {
        if let Some(found) = root.find(modules)? {
            return Ok(Some(found));
        }
        let left = patience.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        if let Some(alias) = devices.next(left).and_then(|device| device.modalias) {
            modules.load(&alias);
        }
    }
}

/// What could have been meant.
pub(crate) fn there_is() -> String {
    let names = root::block_devices();
    let shown: Vec<_> = names.iter().filter_map(|name| root::show(name)).collect();
    match shown.is_empty() {
        true => "there is no disk: has the kernel a driver for it, and the initramfs its module?".to_owned(),
        false => format!("there is {}", shown.join(", ")),
    }
}

/// Become the init of the root, with what the kernel has passed on. Returns only if it cannot.
pub(crate) fn start_init(asked: Option<&str>, arguments: &[OsString]) -> Result<Infallible, String> {
    let default = || INITS.iter().copied().find(|init| fs::symlink_metadata(init).is_ok());
    let init = asked.or_else(default).ok_or("the root has no /sbin/init: name one by init=")?;
    let error = Command::new(init).args(arguments).exec();
    let hint = match error.kind() {
        io::ErrorKind::NotFound if !Path::new(init).exists() => ": not in the root",
        _ => "",
    };
    Err(format!("{init}: cannot be started: {error}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_on_a_disk_is_in_no_initramfs() {
        assert!(!is_here(Some("/sbin/init".into())) && !is_here(None));
    }

    #[test]
    fn a_root_hash_asks_for_a_root_that_is_verified() {
        assert!(is_verified(&Words::parse("ro roothash=00")));
        assert!(is_verified(&Words::parse("roothash=")));
        assert!(!is_verified(&Words::parse("root=/dev/vda2 my.roothash=00")));
    }

    #[test]
    fn a_program_says_what_it_has_to_say_and_how_it_ends() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(run_to_end("/bin/pwd").unwrap(), (format!("{}\n", here.display()), true));
        assert_eq!(run_to_end("/bin/false").unwrap(), (String::new(), false));
        assert!(run_to_end("/nonexistent").is_err());
    }

    #[test]
    fn the_root_is_waited_for_as_asked() {
        assert_eq!(patience(&Words::parse("root=/dev/vda")), PATIENCE);
        assert_eq!(patience(&Words::parse("rootdelay=3")), Duration::from_secs(3));
        assert_eq!(patience(&Words::parse("rootdelay=soon")), PATIENCE);
    }
}
