//! What an initramfs has to know for a layout.

use super::{Content, slots};
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

/// Which partitions of a machine are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encrypted {
    /// The root, which the initramfs opens.
    pub root: bool,
    /// Others, which the init opens.
    pub others: bool,
    /// Some of these by the TPM of the machine.
    pub tpm: bool,
}

/// What of a machine has to be opened before it is mounted.
pub fn encrypted(spec: &Spec) -> Encrypted {
    let slots = if spec.profile == Profile::Machine { slots(spec) } else { Vec::new() };
    let encrypted = || slots.iter().filter(|slot| slot.encrypt.is_some());
    Encrypted {
        root: encrypted().any(|slot| slot.content == Content::Root),
        others: encrypted().any(|slot| slot.content != Content::Root),
        tpm: encrypted().any(|slot| slot.encrypt.as_ref().is_some_and(|encrypt| encrypt.now().is_none())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_opens_a_partition_is_told_by_what_is_in_it() {
        for (partitions, root, others, tpm) in [
            (r#"{"type":"root"}"#, false, false, false),
            (r#"{"type":"root","encrypt":{"passphrase":"a"}}"#, true, false, false),
            (r#"{"type":"root"},{"type":"srv","encrypt":{"passphrase":"a"}}"#, false, true, false),
            (r#"{"type":"root"},{"type":"srv","encrypt":"first-boot"}"#, false, true, true),
        ] {
            let layout = format!(r#"{{"preset":"split-boot","partitions":[{partitions}]}}"#);
            let spec = Spec { layout: serde_json::from_str(&layout).unwrap(), ..Spec::default() };
            assert_eq!(encrypted(&spec), Encrypted { root, others, tpm }, "{partitions}");
            assert_eq!(encrypted(&Spec { profile: Profile::Data, ..spec }), Encrypted::default());
        }
    }

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
