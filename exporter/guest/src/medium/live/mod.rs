//! The system of the medium, run from it: nothing of the machine's disks is touched, and what is written is in memory.
//!
//! ```text
//! disk.raw or root.erofs ─▶ loop or network block device ─▶ its root, read-only ─┐
//!                                                          tmpfs ─▶ overlay ◀────┘ ▶ fstab without disks ▶ its init
//! ```

mod root;
mod system;

use std::convert::Infallible;
use std::ffi::OsString;

use super::network::Online;
use super::words::Words;
use super::{Host, Medium};
use crate::init::console;
use crate::init::initramfs::{mount::SYSROOT, start_init, switch};
use crate::init::modules;

/// Start it. Returns only if that fails.
pub(super) fn start(
    mut medium: Medium,
    words: &Words,
    online: Option<&Online>,
    host: &mut Host,
    arguments: &[OsString],
) -> Result<Infallible, String> {
    let root = root::find(&mut medium, words, online, host)?;
    system::mount(&root, &mut host.modules)?;
    match online.filter(|_| root.is_lazy) {
        Some(online) => system::keep_card(&online.mac)?,
        None => online.iter().for_each(|online| online.forget()),
    }
    let init = words.init.clone().unwrap_or_else(|| medium.manifest.init.clone());
    let name = &medium.manifest.name;
    host.consoles.say(format_args!(
        "{name} starts from its medium: what it writes is in memory, and gone when it stops"
    ));
    // Its files and what holds them go with the initramfs.
    drop(medium);
    modules::replace_modprobe(&host.modprobe);
    switch::to(SYSROOT)?;
    console::open();
    start_init(Some(&init), arguments)
}
