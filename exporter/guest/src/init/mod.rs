//! `vmimage-init`: the first process of a machine whose image has no init of its own.
//!
//! ```text
//! kernel ─initramfs─▶ init: file systems ▶ modules for the hardware ▶ network ▶ the image's entrypoint
//!                       ▲                                                        │
//!                       └── power button, Ctrl-Alt-Del: stop it, unmount, off ◀──┘
//! ```
//!
//! It keeps what programs in a container rely on: the files as the image has them, `/run` and `/tmp`
//! included, a `/dev/stdout` to write to, low ports for everybody. What it has to say it says on the console.
//!
//! It is started in six ways: by the kernel as process 1 of the [root](boot) or of an [initramfs](initramfs), by the kernel as its
//! `modprobe` (proc(5)), and by itself as `launch`, the process that becomes the entrypoint, as `check`, which becomes its
//! health check, and as `grow`, which fills a large disk.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use crate::agent;

mod asked;
pub(crate) mod boot;
mod checks;
mod clock;
mod confine;
pub(crate) mod console;
pub(crate) mod devices;
pub(crate) mod dhcp;
mod drive;
pub(crate) mod ending;
mod growth;
mod hardware;
pub(crate) mod health;
mod hostname;
pub(crate) mod initramfs;
pub(crate) mod launch;
mod launcher;
pub(crate) mod left;
pub(crate) mod log;
pub(crate) mod modules;
pub(crate) mod mounts;
pub(crate) mod netlink;
pub(crate) mod network;
mod power;
pub(crate) mod resolver;
pub(crate) mod service;
mod shares;
pub(crate) mod shutdown;
mod signals;
pub(crate) mod standing;
pub(crate) mod status;
pub(crate) mod supervise;
pub(crate) mod told;
mod ulimits;
mod updates;
mod user;
mod view;
pub(crate) mod words;

/// The program.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next();
    let arguments: Vec<OsString> = arguments.collect();
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    match &words[..] {
        [launch::ROLE] => launch::run(),
        [checks::ROLE] => checks::run(),
        [agent::ROLE] => agent::run(),
        [agent::EXEC] => agent::run_program(),
        [growth::ROLE, at] => growth::go_on(Path::new(at)),
        // The kernel's own words: `modprobe -q -- NAME`.
        ["-q", "--", name] => modules::probe(name),
        // The kernel passes on what it does not know of its command line.
        _ if std::process::id() != 1 => {
            console::say(format_args!("the first process of a machine; started by the kernel only"));
            ExitCode::FAILURE
        }
        _ if initramfs::is_here(program) => initramfs::run(&arguments),
        _ => boot::run(None),
    }
}
