//! What the frontend image's build puts into the binary: boot loader files, for distributions that have
//! none, and the program that grows the root inside the machine.

use std::sync::Arc;

use exporter::boot::BootFiles;

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// The boot loader files, if this binary has some.
pub(crate) fn boot_files() -> exporter::Result<Option<BootFiles>> {
    BootFiles::new("built-in", |wanted| {
        let found = BOOT_FILES.iter().find(|(name, _)| *name == wanted);
        Ok(found.map(|(_, bytes)| Arc::from(*bytes)))
    })
}

/// The growth program, if this binary has it.
pub(crate) fn grow_program() -> Option<Arc<[u8]>> {
    GROW.map(Arc::from)
}
