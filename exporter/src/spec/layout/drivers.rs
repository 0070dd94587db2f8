//! What an initramfs has to know for a layout.

use super::slots;
use crate::fs::FileSystem;
use crate::spec::{Profile, Spec};

/// Where partitions are mounted before the init starts.
const BEFORE_INIT: [&str; 2] = ["/", "/usr"];

/// The drivers of the file systems that are mounted before the init, without that of ext4, which every initramfs has.
pub fn initramfs_drivers(spec: &Spec) -> Vec<&'static str> {
    let slots = if spec.profile == Profile::Machine { slots(spec) } else { Vec::new() };
    let is_early = |mount: Option<&str>| mount.is_some_and(|mount| BEFORE_INIT.contains(&mount));
    let early = slots.iter().filter(|slot| is_early(slot.mount.as_deref()));
    let mut drivers: Vec<_> = early
        .filter_map(|slot| slot.file_system)
        .filter(|file_system| *file_system != FileSystem::Ext4)
        .map(FileSystem::name)
        .collect();
    drivers.sort_unstable();
    drivers.dedup();
    drivers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_no_ext4_and_mounted_before_the_init_is_asked_for() {
        for (layout, expected) in [
            ("{}", &[][..]),
            (r#"{"preset":"split-boot-vfat","partitions":[{"type":"srv","filesystem":"erofs"}]}"#, &[]),
            (r#"{"preset":"split-boot","partitions":[{"type":"root","filesystem":"erofs"}]}"#, &["erofs"]),
            (
                r#"{"partitions":[{"type":"usr","filesystem":"erofs"},{"type":"root","filesystem":"erofs"}]}"#,
                &["erofs"],
            ),
        ] {
            let spec = Spec { layout: serde_json::from_str(layout).unwrap(), ..Spec::default() };
            assert_eq!(initramfs_drivers(&spec), expected, "{layout}");
            let data = Spec { profile: Profile::Data, ..spec };
            assert_eq!(initramfs_drivers(&data), [""; 0]);
        }
    }
}
