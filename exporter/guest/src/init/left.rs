//! What an initramfs leaves for later, where the root's init is the same program and goes on in its process: drivers of devices
//! that no service needs to start, and files that are in memory for nobody.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use agent::channel::lock;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::init::devices::Devices;
use crate::init::initramfs::switch;
use crate::init::modules::Modules;
use crate::init::standing::Board;
use crate::init::words::Words;

/// Modules of buttons, of memory that the host wants back, of its ports, and of random numbers.
const LATER: [&str; 5] = ["button", "evdev", "virtio_balloon", PORTS, RANDOM];
const PORTS: &str = "virtio_console";
const RANDOM: &str = "virtio_rng";
/// The console may be one of those ports.
const CONSOLE: &str = "console=hvc";

/// How long the start of the service is waited for: buttons are heard, and the host can look, also where it hangs.
const PATIENCE: Duration = Duration::from_millis(500);
/// The processor is the service's alone for so long.
const FIRST_MOMENTS: Duration = Duration::from_millis(100);

/// Type and name of the note with a digest of all that was linked (`NT_GNU_BUILD_ID`, elf.h). It lies in the first page.
const BUILD_ID: &[u8] = b"\x03\0\0\0GNU\0";
const PAGE: usize = 4096;

/// It is whoever's who comes first; others wait until it is done.
static LEFT: Mutex<Option<Left>> = Mutex::new(None);

/// The initramfs behind the root.
pub(crate) struct Left {
    /// Below which its files are.
    pub(crate) initramfs: OwnedFd,
    pub(crate) modules: Modules,
    pub(crate) devices: Devices,
}

/// The modules that can wait. A source of random numbers can where the kernel has enough of its own.
pub(crate) fn later(words: &Words) -> Vec<&'static str> {
    let mut later = LATER.to_vec();
    if words.all().any(|word| word.starts_with(CONSOLE)) {
        later.retain(|name| *name != PORTS);
    }
    if getrandom(&mut [0_u8; 1], GetRandomFlags::NONBLOCK).is_err() {
        later.retain(|name| *name != RANDOM);
    }
    later
}

impl Left {
    fn finish(mut self) {
        self.modules.move_to(&switch::path_of(&self.initramfs));
        self.modules.load_late();
        if !self.devices.load_new(&mut self.modules) {
            self.devices.load(&mut self.modules);
        }
        switch::discard(&self.initramfs);
    }
}

/// Leave it.
pub(crate) fn leave(left: Left) {
    *lock(&LEFT) = Some(left);
}

/// Do it now, if it is not done.
pub(crate) fn finish() {
    let mut left = lock(&LEFT);
    if let Some(left) = left.take() {
        left.finish();
    }
}

/// Do it soon after the service has started.
pub(crate) fn finish_behind(board: &Board) {
    if lock(&LEFT).is_none() {
        return;
    }
    board.wait_for_start(PATIENCE);
    if lock(&LEFT).is_some() {
        thread::sleep(FIRST_MOMENTS);
        finish();
    }
}

/// Whether two files are one program: of one length, and with one digest of the linker's in their first page.
pub(crate) fn is_same_program(one: &Path, other: &Path) -> bool {
    let head = |path: &Path| {
        let file = File::open(path).ok()?;
        let mut page = vec![0; PAGE];
        file.read_exact_at(&mut page, 0).ok()?;
        let len = file.metadata().ok()?.len();
        page.windows(BUILD_ID.len()).any(|window| window == BUILD_ID).then_some((len, page))
    };
    head(one).is_some_and(|one| head(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, id: &[u8], digest: u8, len: usize| {
            let bytes = [&[0; 64], id, &[digest; 20], &vec![0; len]].concat();
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let one = write("one", BUILD_ID, 1, 8192);
        assert!(is_same_program(&one, &write("same", BUILD_ID, 1, 8192)));
        for other in [write("digest", BUILD_ID, 2, 8192), write("longer", BUILD_ID, 1, 8193), "/none".into()]
        {
            assert!(!is_same_program(&one, &other), "{}", other.display());
        }
        let without = write("without", b"", 1, 8192);
        assert!(!is_same_program(&without, &without));
    }

    #[test]
    fn ports_that_are_the_console_do_not_wait() {
        assert!(later(&Words::parse("console=ttyS0")).contains(&PORTS));
        assert!(!later(&Words::parse("console=ttyS0 console=hvc0")).contains(&PORTS));
    }
}
