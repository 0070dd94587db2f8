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
//! It is started in four ways: by the kernel as process 1, by the kernel as its `modprobe` (proc(5)), and
//! by itself as `launch`, the process that becomes the entrypoint, and as `grow`, which fills a large disk.

use std::path::Path;
use std::process::ExitCode;

mod asked;
pub(crate) mod boot;
pub(crate) mod console;
mod devices;
pub(crate) mod dhcp;
mod growth;
pub(crate) mod launch;
pub(crate) mod modules;
pub(crate) mod mounts;
pub(crate) mod netlink;
mod network;
mod power;
mod resolver;
pub(crate) mod service;
mod shutdown;
mod supervise;
mod updates;
mod user;

/// The program.
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match &words[..] {
        [launch::ROLE] => launch::run(),
        [growth::ROLE, at] => growth::go_on(Path::new(at)),
        // The kernel's own words: `modprobe -q -- NAME`.
        ["-q", "--", name] => modules::probe(name),
        // The kernel passes on what it does not know of its command line.
        _ if std::process::id() == 1 => boot::run(),
        _ => {
            console::say(format_args!("the first process of a machine; started by the kernel only"));
            ExitCode::FAILURE
        }
    }
}
