//! What GRUB's core for a BIOS has to read: modules are built into it, since a layout may leave it no place to load them
//! from.

use crate::container::Format;
use crate::disk::TableKind;
use crate::fs::FileSystem;
use crate::spec::Spec;
use crate::spec::layout::{self, Content, Slot};

use super::grub::BootVolume;
use super::password;

/// The modules for the table and the file systems of a disk that GRUB looks at: those with its configuration, the kernel
/// and the root, which says whether it has to be labelled; and for its password, if it has one.
pub fn core_modules(spec: &Spec) -> Vec<&'static str> {
    let of_table = match spec.layout.table {
        TableKind::Gpt => "part_gpt",
        TableKind::Mbr => "part_msdos",
    };
    let is_read = |slot: &Slot| {
        matches!(slot.content, Content::Esp | Content::Root | Content::SlotKernels)
            || slot.mount.as_deref() == Some(BootVolume::MOUNT)
    };
    let slots = layout::slots(spec).into_iter().filter(is_read);
    let asks = spec.grub.password.is_some().then_some(password::MODULE);
    // A disc of the same build is started by the same core.
    let of_discs = spec.formats.contains(&Format::Iso).then_some("iso9660");
    // GRUB's configuration is on a FAT, whatever else is not.
    let file_systems = std::iter::once(FileSystem::Vfat).chain(slots.filter_map(|slot| slot.file_system));
    file_systems.filter_map(FileSystem::grub_module).chain(asks).chain(of_discs).fold(
        vec![of_table],
        |mut modules, module| {
            if !modules.contains(&module) {
                modules.push(module);
            }
            modules
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::BiosImages;

    #[test]
    fn a_core_has_what_the_layout_needs_and_no_more() {
        for (layout, expected) in [
            ("{}", "part_gpt fat ext2"),
            (r#"{"preset":"split-boot-vfat"}"#, "part_gpt fat ext2"),
            (r#"{"table":"mbr"}"#, "part_msdos fat ext2"),
            (
                r#"{"preset":"simple","partitions":[{"type":"srv","filesystem":"erofs"}]}"#,
                "part_gpt fat ext2",
            ),
        ] {
            let spec = Spec { layout: serde_json::from_str(layout).unwrap(), ..Spec::default() };
            assert_eq!(core_modules(&spec).join(" "), expected, "{layout}");
        }
        assert_eq!(core_modules(&Spec::default()), BiosImages::USUAL_MODULES);
        let grub = serde_json::from_str(r#"{"password":{"secret":"grub"}}"#).unwrap();
        let asks = core_modules(&Spec { grub, ..Spec::default() });
        assert_eq!(asks.join(" "), "part_gpt fat ext2 password_pbkdf2");
        let disc = core_modules(&Spec { formats: vec![Format::Raw, Format::Iso], ..Spec::default() });
        assert_eq!(disc.join(" "), "part_gpt fat ext2 iso9660");
    }
}
