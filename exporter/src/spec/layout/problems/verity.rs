//! Where the blocks of a root cannot be checked when they are read.

use super::Search;
use crate::disk::TableKind;
use crate::fs::FileSystem;
use crate::spec::layout::{Partition, PartitionType, Slot};
use crate::spec::{Initramfs, Profile};

const KEY: &str = "verity";

impl<'a> Search<'a> {
    pub(super) fn verity(&mut self) {
        let slots: &'a [Slot] = self.slots;
        for slot in slots.iter().filter(|slot| slot.has_verity) {
            self.machine_of_verity(slot);
            self.root_of_verity(slot);
        }
        let asked = self.spec.layout.partitions.iter().enumerate();
        asked.filter(|(_, asked)| asked.verity).for_each(|(at, asked)| self.words_of_verity(at, asked));
    }

    /// What the disk is for, and what it is started by.
    fn machine_of_verity(&mut self, slot: &Slot) {
        let spec = self.spec;
        for (is_so, key, why) in [
            (
                spec.profile == Profile::Data,
                KEY,
                "a disk of files has nothing that starts it, and so nothing that knows its root hash",
            ),
            (
                spec.is_uki(),
                KEY,
                "a uki has its root within the program, of which one signature is of all: key of [secure-boot] signs it",
            ),
            (
                spec.layout.has_slots(),
                KEY,
                "a root in a slot has no hashes: an update brings none, and the machine would not start with it. Take \
                 layout = \"simple\", or leave out verity",
            ),
            (
                spec.makes_medium(),
                KEY,
                "a medium has modes that write to the root or run it without its hashes: make no iso and no netboot",
            ),
            (
                spec.initramfs == Some(Initramfs::Distro),
                "initramfs",
                "a distribution's initramfs is not asked to check the root's hashes: leave out initramfs = \"distro\", \
                 vmimage's own does",
            ),
            (
                spec.layout.table == TableKind::Mbr,
                "table",
                "the root and its hashes are found by UUIDs of partitions, and an MBR has none: a GPT has them",
            ),
        ] {
            if is_so {
                // Of the whole disk, unless the key is the partition's.
                self.add(slot.asked.filter(|_| key == KEY), key, why);
            }
        }
    }

    /// The root itself.
    fn root_of_verity(&mut self, slot: &Slot) {
        let Slot { asked, file_system, mount, .. } = slot;
        if mount.as_deref() != Some("/") {
            self.add(*asked, KEY, "only the root, at /, is checked when it is read");
        }
        if !matches!(file_system, Some(FileSystem::Ext4 | FileSystem::Erofs)) {
            self.add(*asked, "filesystem", "a root with verity is an ext4 or an erofs");
        }
        // One of erofs has said so already.
        let is_writable = file_system.is_none_or(|file_system| !file_system.is_read_only());
        if self.spec.profile != Profile::Data && is_writable && !self.spec.has_fixed_root() {
            let message = "a machine writes to its root, and one with verity is never written to: volatile = \"overlay\" \
                           writes to memory";
            self.add(*asked, KEY, message);
        }
    }

    /// What its entry contradicts.
    fn words_of_verity(&mut self, at: usize, partition: &Partition) {
        let Partition { kind, uuid, read_only, weight, .. } = partition;
        let at = Some(at);
        if *kind != PartitionType::Root {
            self.add(at, "type", "hashes are found beside a partition of the type root");
        }
        if uuid.is_some() {
            self.add(at, "uuid", "the UUID of a root with verity is half of its root hash");
        }
        if *read_only == Some(false) {
            self.add(at, "read-only", "a root with verity is never written to");
        }
        if partition.encrypt.is_some() {
            self.add(
                at,
                "encrypt",
                "a root with verity is read as it is on the disk: leave out one of the two",
            );
        }
        if weight.is_some_and(|weight| weight > 0) {
            self.add(at, "weight", "a root with verity has no share of the disk: it is never written to");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::problems;
    use crate::container::Format;
    use crate::disk::kinds;
    use crate::spec::layout::{Content, slots};
    use crate::spec::{Initramfs, Loader, Profile, Spec, Volatile};

    fn spec(layout: &str, spec: Spec) -> Spec {
        Spec { layout: serde_json::from_str(layout).unwrap(), ..spec }
    }

    fn said(spec: &Spec) -> Vec<String> {
        let found = problems(spec, &slots(spec)).into_iter();
        found.map(|problem| format!("{}: {}", problem.key, problem.message)).collect()
    }

    fn overlay() -> Spec {
        Spec { volatile: Volatile::Overlay, ..Spec::default() }
    }

    fn simple(root: &str) -> String {
        format!(r#"{{"preset":"simple","partitions":[{{"type":"root","verity":true{root}}}]}}"#)
    }

    #[test]
    fn hashes_lie_behind_the_root_which_has_no_share_of_the_disk() {
        let with = |layout: &str| slots(&spec(layout, overlay()));
        let srv = simple(r#"},{"type":"srv""#);
        let slots = with(&srv);
        let labels: Vec<_> = slots.iter().map(|slot| &*slot.label).collect();
        assert_eq!(labels, ["bios", "esp", "root", "root-verity", "srv"]);
        let [root, hashes] = [&slots[2], &slots[3]];
        assert_eq!((root.weight, root.grow, &*root.options), (0, false, "ro,errors=remount-ro"));
        assert_eq!((hashes.kind, &hashes.content), (kinds::ROOT_X86_64_VERITY, &Content::Hashes));
        assert_eq!([root.attributes, hashes.attributes], [kinds::READ_ONLY; 2]);
        assert_eq!((hashes.file_system, &hashes.mount, hashes.asked), (None, &None, Some(0)));
        let named = with(r#"{"partitions":[{"type":"esp"},{"type":"root","label":"system","verity":true}]}"#);
        assert_eq!(named.last().unwrap().label, "system-verity");
    }

    #[test]
    fn what_can_be_checked_has_no_problems() {
        let systemd_boot = || Spec { loader: Loader::SystemdBoot, ..overlay() };
        for (layout, asked) in [
            (simple(""), overlay()),
            (
                simple("").replace(r#""preset":"simple","#, ""),
                Spec { profile: Profile::Microvm, formats: vec![Format::Microvm], ..overlay() },
            ),
            (simple(r#","size":"4G""#), Spec { initramfs: Some(Initramfs::Vmimage), ..overlay() }),
            (simple(r#","filesystem":"erofs""#), systemd_boot()),
            (simple(r#","filesystem":"erofs"},{"type":"xbootldr""#), overlay()),
            (
                simple(r#"},{"type":"linux-generic","label":"persist","mount":"/persist","grow":true"#),
                Spec { persist: Some(Default::default()), ..Spec::default() },
            ),
        ] {
            assert_eq!(said(&spec(&layout, asked)), [""; 0], "{layout}");
        }
    }

    #[test]
    fn each_problem_is_said_with_its_key() {
        for (layout, asked, expected) in [
            (simple(""), Spec::default(), "verity: a machine writes to its root"),
            (
                simple(""),
                Spec { profile: Profile::Data, ..Spec::default() },
                "verity: a disk of files has nothing that starts it",
            ),
            (
                simple(""),
                Spec { profile: Profile::Microvm, formats: vec![Format::Uki], ..overlay() },
                "verity: a uki has its root within the program",
            ),
            (
                simple("").replace(r#""preset":"simple","#, ""),
                Spec { profile: Profile::Microvm, formats: vec![Format::Microvm], ..Spec::default() },
                "verity: a machine writes to its root",
            ),
            (simple("").replace("simple", "ab"), Spec::default(), "verity: a root in a slot has no hashes"),
            (
                simple(""),
                Spec { formats: vec![Format::Iso], ..overlay() },
                "verity: a medium has modes that write to the root",
            ),
            (
                simple(""),
                Spec { initramfs: Some(Initramfs::Distro), ..overlay() },
                "initramfs: a distribution's initramfs is not asked",
            ),
            (
                simple("").replace("{\"preset", "{\"table\":\"mbr\",\"preset"),
                overlay(),
                "table: the root and its hashes are found by UUIDs",
            ),
            (simple(r#","filesystem":"xfs""#), overlay(), "filesystem: a root with verity is an ext4 or an"),
            (simple(r#","read-only":false"#), overlay(), "read-only: a root with verity is never written to"),
            (simple(r#","weight":7"#), overlay(), "weight: a root with verity has no share"),
            (
                simple(r#","uuid":"01234567-89ab-4def-8123-456789abcdef""#),
                overlay(),
                "uuid: the UUID of a root with verity is half of its root hash",
            ),
            (simple(r#","grow":true"#), overlay(), "grow: root cannot grow at boot"),
            (
                simple(r#"},{"type":"srv","verity":true"#),
                overlay(),
                "verity: only the root, at /, is checked when it is read",
            ),
            (
                simple(r#"},{"type":"linux-generic","label":"root-verity""#),
                overlay(),
                "label: two partitions have the label \"root-verity\"",
            ),
        ] {
            let said = said(&spec(&layout, asked));
            assert!(said.iter().any(|line| line.starts_with(expected)), "{layout}: {expected}: {said:?}");
        }
    }
}
