//! What an initramfs has to know for a layout.

use super::{Content, Encrypt, Lock, Slot, Way, slots};
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
    /// Some by the TPM of the machine.
    pub tpm: bool,
    /// Some by a Tang server.
    pub tang: bool,
    /// What opens the root, if it is encrypted.
    pub root_by: Option<Way>,
}

/// What of a machine has to be opened before it is mounted.
pub fn encrypted(spec: &Spec) -> Encrypted {
    let slots = if spec.profile == Profile::Machine { slots(spec) } else { Vec::new() };
    let encrypted = || slots.iter().filter(|slot| slot.encrypt.is_some());
    Encrypted {
        root: encrypted().any(|slot| slot.content == Content::Root),
        others: encrypted().any(|slot| slot.content != Content::Root),
        tpm: slots.iter().any(|slot| is_made(slot) || way(slot) == Some(Way::Tpm2)),
        tang: slots.iter().any(|slot| way(slot) == Some(Way::Tang)),
        root_by: slots.iter().find(|slot| slot.content == Content::Root).and_then(way),
    }
}

/// Whether the first boot makes it.
fn is_made(slot: &Slot) -> bool {
    slot.encrypt.as_ref().is_some_and(|encrypt| encrypt.now().is_none())
}

fn way(slot: &Slot) -> Option<Way> {
    slot.encrypt.as_ref()?.now().map(Lock::way)
}

/// What opens the root of a machine, if it is encrypted.
pub fn root_lock(spec: &Spec) -> Option<Lock> {
    let root = slots(spec).into_iter().find(|slot| slot.content == Content::Root)?;
    root.encrypt.as_ref().and_then(Encrypt::now).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_opens_a_partition_is_told_by_what_is_in_it() {
        let by = |way| Encrypted { root_by: Some(way), ..Encrypted::default() };
        for (partitions, [root, others, tpm], further) in [
            (r#"{"type":"root"}"#, [false; 3], Encrypted::default()),
            (r#"{"type":"root","encrypt":{"passphrase":"a"}}"#, [true, false, false], by(Way::Passphrase)),
            (
                r#"{"type":"root"},{"type":"srv","encrypt":{"passphrase":"a"}}"#,
                [false, true, false],
                Encrypted::default(),
            ),
            (
                r#"{"type":"root"},{"type":"srv","encrypt":"first-boot"}"#,
                [false, true, true],
                Encrypted::default(),
            ),
            (
                r#"{"type":"root","encrypt":{"passphrase":"a","unlock":["passphrase","tpm2"]}}"#,
                [true, false, true],
                by(Way::Tpm2),
            ),
            (
                r#"{"type":"srv","encrypt":{"passphrase":"a","unlock":["passphrase","tang"]}}"#,
                [false, true, false],
                Encrypted { tang: true, ..Encrypted::default() },
            ),
        ] {
            let layout = format!(r#"{{"preset":"split-boot","partitions":[{partitions}]}}"#);
            let spec = Spec { layout: serde_json::from_str(&layout).unwrap(), ..Spec::default() };
            assert_eq!(encrypted(&spec), Encrypted { root, others, tpm, ..further }, "{partitions}");
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
