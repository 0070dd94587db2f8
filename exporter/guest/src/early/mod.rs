//! `vmimage-early`: the kernel starts it in place of the machine's init (`init=/usr/lib/vmimage/early`), with any
//! initramfs and without one.
//!
//! ```text
//! kernel ─initramfs─▶ early: root read-only ▶ overlays of tmpfs ▶ the machine's init
//! ```
//!
//! If a step fails, it says which and ends, and the kernel panics as it does without an init: `panic=` restarts the
//! machine, and none runs that would be another one than was asked for.

pub(crate) mod guard;
mod overlay;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::mount::{MountFlags, MountPropagationFlags, mount_change, mount_remount};
use serde::Deserialize;

use crate::init::{console, mounts};
use overlay::Upper;

/// Where the disk's builder says what it does.
const CONFIG: &str = "/usr/lib/vmimage/early.json";

/// What it does.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Directories with an overlay of tmpfs over what the disk has there: `/` alone, or some below it.
    volatile: Vec<String>,
    /// The machine's init.
    init: String,
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
        console::say(format_args!("it goes before the init of a machine; started by the kernel only"));
        return ExitCode::FAILURE;
    }
    let Err(error) = run(&arguments);
    console::say(format_args!("the machine does not start: {error}"));
    ExitCode::FAILURE
}

/// Whether it prepares the root of this machine.
pub(crate) fn is_there() -> bool {
    Path::new(CONFIG).exists()
}

/// Every step, in its order. Returns only if one has failed.
fn run(arguments: &[OsString]) -> Result<std::convert::Infallible, String> {
    mounts::needed_first();
    console::open();
    let config = Config::read(Path::new(CONFIG))?;
    make_read_only()?;
    make_volatile(&config.volatile)?;
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
        for wrong in [r#"{"volatile":["/"]}"#, r#"{"volatile":[],"init":"/sbin/init","persist":[]}"#, ""] {
            let error = read(wrong).unwrap_err();
            assert!(error.starts_with(&*file.to_string_lossy()), "{error}");
        }
        assert!(Config::read(Path::new("/nonexistent")).is_err());
    }
}
