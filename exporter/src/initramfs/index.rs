//! The lists of modules, as depmod(8) writes them and modprobe(8) reads them, of those in the initramfs alone.
//!
//! ```text
//! modules.dep     kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/crypto/crc32c_generic.ko
//! modules.alias   alias fs-ext4 ext4
//! ```

use super::module::Module;
use super::select::Selection;

/// `modules.dep`: a file, and what it needs in the reverse of the order they load in. What a module would have loaded before it
/// (its softdeps) is among what it needs.
pub(super) fn dependencies(selection: &Selection) -> Vec<u8> {
    let line = |module: &Module| {
        let needs = selection.all_needs(module).into_iter().rev();
        let needs: String = needs.map(|module| format!(" {}", module.path)).collect();
        format!("{}:{needs}\n", module.path)
    };
    selection.modules.iter().map(line).collect::<String>().into_bytes()
}

/// `modules.alias`: what each is asked for by.
pub(super) fn aliases(selection: &Selection) -> Vec<u8> {
    let lines = |module: &Module| {
        let each = module.info.aliases.iter().map(|alias| format!("alias {alias} {}\n", module.name));
        each.collect::<String>()
    };
    selection.modules.iter().map(lines).collect::<String>().into_bytes()
}

/// The names of those wanted that no device asks for, a line each.
pub(super) fn asked(selection: &Selection) -> Vec<u8> {
    let is_asked = |module: &&Module| selection.is_wanted(module) && !is_for_devices(module);
    let names = selection.modules.iter().filter(is_asked).map(|module| format!("{}\n", module.name));
    names.collect::<String>().into_bytes()
}

/// Whether a device loads it: its alias begins with the name of a bus, as `pci:`. `devname:` is a file in `/dev`, which is made
/// without the module and loads it once it is opened.
fn is_for_devices(module: &Module) -> bool {
    // Its devices may stand on the kernel's command line, and are there once it is.
    module.name != "virtio_mmio"
        && module.info.aliases.iter().any(|alias| alias.contains(':') && !alias.starts_with("devname:"))
}
