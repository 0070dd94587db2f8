//! `vmimage-early`: the kernel starts it in place of the machine's init (`init=/usr/lib/vmimage/early`), with any
//! initramfs and without one.
//!
//! ```text
//! kernel ─initramfs─▶ early: root read-only ▶ overlays of tmpfs ▶ what is kept ▶ the machine's init
//! ```
//!
//! If a step fails, it says which and ends, and the kernel panics as it does without an init: `panic=` restarts the
//! machine, and none runs that would be another one than was asked for.

pub(crate) mod guard;
pub(crate) mod overlay;
pub(crate) mod persist;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rustix::mount::{MountFlags, MountPropagationFlags, mount_change, mount_remount};
use serde::Deserialize;

use crate::init::{boot, console, mounts};
use overlay::Upper;
use persist::Persist;

/// Where the disk's builder says what it does.
const CONFIG: &str = "/usr/lib/vmimage/early.json";

/// Its command in the machine: the next boot empties what is kept.
pub const FACTORY_RESET: &str = "factory-reset";

/// What it does.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Directories with an overlay of tmpfs over what the disk has there: `/` alone, or some below it.
    volatile: Vec<String>,
    /// The machine's init.
    init: String,
    /// What is kept on a partition.
    persist: Option<Persist>,
    /// The seconds in which somebody has to say that the boot was good, or the machine restarts.
    deadline: Option<u64>,
}

/// The program.
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let [role, deadline] = &arguments[..]
        && role == guard::ROLE
        && std::process::id() != 1
    {
        return guard::run(&deadline.to_string_lossy());
    }
    if std::process::id() != 1 {
        return command(&arguments);
    }
    let Err(error) = run(&arguments);
    console::say(format_args!("the machine does not start: {error}"));
    ExitCode::FAILURE
}

/// What a person in the machine asks of it.
fn command(arguments: &[OsString]) -> ExitCode {
    let done = match arguments {
        [word] if word == FACTORY_RESET => factory_reset(),
        _ => Err(format!("usage: vmimage {FACTORY_RESET}: the next boot empties what the machine has kept")),
    };
    console::say_error(done.clone());
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn factory_reset() -> Result<(), String> {
    let config = Config::read(Path::new(CONFIG))?;
    let persist = config.persist.ok_or("this machine keeps nothing")?;
    persist.ask_for_reset()?;
    console::say(format_args!("what this machine has kept goes when it starts again: reboot"));
    Ok(())
}

/// What it has prepared: a root that is not written to, nor grows.
pub(crate) struct Prepared {
    /// Where a partition is mounted that grows with the disk.
    pub(crate) growing: Option<PathBuf>,
}

/// `None`: it does not go before the init of this machine.
pub(crate) fn prepared() -> Option<Prepared> {
    let config = Path::new(CONFIG).exists().then(|| Config::read(Path::new(CONFIG)))?;
    let persist = config.ok().and_then(|config| config.persist);
    Some(Prepared { growing: persist.and_then(|persist| persist.growing().map(Path::to_owned)) })
}

/// Every step, in its order. Returns only if one has failed.
fn run(arguments: &[OsString]) -> Result<std::convert::Infallible, String> {
    mounts::needed_first();
    console::open();
    let config = Config::read(Path::new(CONFIG))?;
    make_read_only()?;
    let opened = config.persist.as_ref().map(Persist::open);
    make_volatile(&config.volatile)?;
    settle_run(&config);
    if let (Some(persist), Some(opened)) = (&config.persist, opened) {
        persist.set_up(opened)?;
    }
    if let Some(deadline) = config.deadline {
        guard::start(deadline)?;
    }
    start(&config.init, arguments)
}

impl Config {
    fn read(path: &Path) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read(path).map_err(|error| failed(&error))?;
        serde_json::from_slice(&text).map_err(|error| failed(&error))
    }
}

/// Whatever the initramfs has made of `ro`. Mounts are moved later, which the kernel refuses where others share them.
fn make_read_only() -> Result<(), String> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", flags).map_err(|error| format!("/: cannot be made private: {error}"))?;
    mount_remount("/", MountFlags::RDONLY, "")
        .map_err(|error| format!("/: cannot be made read-only: {error}"))
}

fn make_volatile(directories: &[String]) -> Result<(), String> {
    if directories.is_empty() {
        return Ok(());
    }
    let upper = Upper::mount()?;
    match directories {
        [root] if root == "/" => overlay::switch_root(upper),
        some => some
            .iter()
            .enumerate()
            .try_for_each(|(number, directory)| overlay::cover(&upper, number, directory)),
    }
}

/// Make `/run` what the init finds there: what is told in it is to stay.
fn settle_run(config: &Config) {
    match (config.init == boot::PROGRAM, &config.persist) {
        (true, _) => mounts::run(),
        (false, Some(_)) => console::say_error(mounts::run_in_memory()),
        (false, None) => {}
    }
}

fn start(init: &str, arguments: &[OsString]) -> Result<std::convert::Infallible, String> {
    let error = Command::new(init).args(arguments).exec();
    Err(format!("{init}: cannot be started: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_builder_writes_is_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("early.json");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Config::read(&file)
        };
        let config = read(r#"{"volatile":["/var","/tmp"],"init":"/sbin/init"}"#).unwrap();
        assert_eq!((config.volatile, &*config.init), (vec!["/var".to_owned(), "/tmp".into()], "/sbin/init"));
        assert_eq!(config.deadline, None);
        let guarded = read(r#"{"volatile":[],"init":"/sbin/init","deadline":300}"#).unwrap();
        assert_eq!(guarded.deadline, Some(300));
        let kept = r#"{"volatile":[],"init":"/sbin/init","persist":{"label":"persist","at":"/persist","overlay":["/etc"],
            "bind":["/var"],"create":[],"grows":true}}"#;
        assert_eq!(read(kept).unwrap().persist.unwrap().growing(), Some(Path::new("/persist")));
        for wrong in [r#"{"volatile":["/"]}"#, r#"{"volatile":[],"init":"/sbin/init","persist":{}}"#, ""] {
            let error = read(wrong).unwrap_err();
            assert!(error.starts_with(&*file.to_string_lossy()), "{error}");
        }
        assert!(Config::read(Path::new("/nonexistent")).is_err());
    }
}
