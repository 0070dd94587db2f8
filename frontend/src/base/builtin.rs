//! What the frontend image's build puts into the binary: boot loader files, for distributions that have
//! none, and the programs inside the machine.

use std::sync::Arc;

use exporter::assemble::Programs;
use exporter::boot::BootFiles;
use exporter::spec::Architecture;

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// The boot loader files, if this binary has some; they are of its own architecture.
pub(crate) fn boot_files(architecture: Architecture) -> exporter::Result<Option<BootFiles>> {
    if Architecture::host() != Some(architecture) {
        return Ok(None);
    }
    BootFiles::new("built-in", |wanted| Ok(file(BOOT_FILES, wanted)))
}

/// Whether this binary has boot loader files.
pub(crate) fn has_boot_files() -> bool {
    !BOOT_FILES.is_empty()
}

/// The programs inside a machine of this architecture, as far as this binary has them.
pub(crate) fn programs(architecture: Architecture) -> Programs {
    let program = |name| file(GUEST, &format!("{name}-{}", architecture.oci_name()));
    Programs {
        grow: program("vmimage-grow"),
        init: program("vmimage-init"),
        early: program("vmimage-early"),
        boot: program("vmimage-boot"),
        update: program("vmimage-update"),
        medium: program("vmimage-medium"),
        verity: program("vmimage-verity"),
    }
}

fn file(files: &[(&str, &[u8])], wanted: &str) -> Option<Arc<[u8]>> {
    files.iter().find(|(name, _)| *name == wanted).map(|(_, bytes)| Arc::from(*bytes))
}
