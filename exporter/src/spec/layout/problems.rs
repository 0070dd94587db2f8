//! What is wrong with a layout: all of it at once, each with the key that says it.

use std::collections::BTreeSet;

use super::{Content, Filesystem, Partition, PartitionType, SectorSize, Slot};
use crate::disk::gpt::ENTRIES;
use crate::fs::FileSystem;
use crate::spec::{Firmware, Profile, Spec, TextFormat, Volatile};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The place of its partition among those that were asked for; `None`: it is about the whole.
    pub partition: Option<usize>,
    /// The key: of the partition, or of the configuration. Empty: the partition as such.
    pub key: &'static str,
    /// What is wrong.
    pub message: String,
}

/// UTF-16 units of a name in the table.
const LABEL: usize = 36;

/// All that is wrong with the layout of a spec, whose partitions are `slots`.
pub fn problems(spec: &Spec, slots: &[Slot]) -> Vec<Problem> {
    let mut search = Search { spec, slots, found: Vec::new() };
    search.whole();
    spec.layout.partitions.iter().enumerate().for_each(|(at, partition)| search.words(at, partition));
    slots.iter().for_each(|slot| search.slot(slot));
    search.differ(|slot| Some(&slot.label), "label", "the label");
    search.differ(|slot| slot.mount.as_deref(), "mount", "the mount point");
    search.differ(|slot| slot.content.folder(), "source", "the files of");
    search.boot_loader();
    search.growth();
    search.found
}

struct Search<'a> {
    spec: &'a Spec,
    slots: &'a [Slot],
    found: Vec<Problem>,
}

impl<'a> Search<'a> {
    fn add(&mut self, partition: Option<usize>, key: &'static str, message: impl Into<String>) {
        self.found.push(Problem { partition, key, message: message.into() });
    }

    /// What is said of no partition.
    fn whole(&mut self) {
        let Spec { layout, profile, firmware, formats, .. } = self.spec;
        let is_machine = *profile == Profile::Machine;
        if !is_machine && layout.preset.is_some() {
            self.add(None, "layout", "layout is for machines: profile is data");
        }
        if layout.sector_size == SectorSize::Bytes4096 {
            if is_machine && *firmware == Firmware::Bios {
                self.add(None, "sector-size", "a BIOS starts from no disk with sectors of 4096 bytes");
            }
            for format in formats.iter().filter(|format| !format.has_sectors_of_4096()) {
                let message = format!("a {format} disk has sectors of 512 bytes, and no others");
                self.add(None, "sector-size", message);
            }
        }
        if self.slots.len() > ENTRIES {
            let message = format!("{} partitions, the table has entries for {ENTRIES}", self.slots.len());
            self.add(None, "partitions", message);
        }
        let count = |content: Content| self.slots.iter().filter(|slot| slot.content == content).count();
        let [trees, cores, loaders] = [Content::Root, Content::BiosCore, Content::Esp].map(count);
        if trees != 1 {
            let message = format!("one partition has the tree (mount = \"/\"), and here are {trees}");
            self.add(None, "partitions", message);
        }
        for (firmware, count) in [("a BIOS", cores), ("UEFI", loaders)] {
            if count > 1 {
                let message =
                    format!("one partition has the boot loader for {firmware}, and here are {count}");
                self.add(None, "partitions", message);
            }
        }
        if is_machine && loaders == 0 {
            let message = "a machine's boot loader has its configuration on an ESP, and there is none";
            self.add(None, "partitions", message);
        }
        if !is_machine && loaders + cores > 0 {
            self.add(None, "partitions", "a disk of files has no boot loader: profile is data");
        }
    }

    /// Words of one partition that contradict each other.
    fn words(&mut self, at: usize, partition: &Partition) {
        let Partition { kind, size, min, max, filesystem, source, mount, .. } = partition;
        let at = Some(at);
        if size.is_some() && (min.is_some() || max.is_some()) {
            self.add(at, "size", "size is in place of min and max");
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            self.add(at, "max", format!("max is {max}, less than min, {min}"));
        }
        if *kind == PartitionType::Esp {
            if filesystem.is_some_and(|other| other != Filesystem::Vfat) {
                self.add(at, "filesystem", "firmware reads an ESP of vfat alone");
            }
            if source.is_some() {
                self.add(at, "source", "an ESP has the boot loader, and no other files");
            }
        }
        if *kind == PartitionType::BiosBoot && filesystem.is_some_and(|other| other != Filesystem::None) {
            self.add(at, "filesystem", "GRUB's core lies in a BIOS boot partition without a file system");
        }
        if *filesystem == Some(Filesystem::None) && mount.is_some() {
            self.add(at, "mount", "nothing can be mounted that has no file system");
        }
        if source.as_deref() == Some("/") && mount.as_deref().is_some_and(|point| point != "/") {
            self.add(at, "mount", "it has the tree, and is to be mounted elsewhere than at /");
        }
    }

    /// What is wrong with a partition by itself, whoever has asked for it.
    fn slot(&mut self, slot: &'a Slot) {
        let Slot { asked, label, content, file_system, mount, options, .. } = slot;
        if *file_system == Some(FileSystem::Swap) {
            self.swap(slot);
        }
        if let Some(why) = unfit_label(label, *file_system) {
            self.add(*asked, "label", format!("{label:?} {why}"));
        }
        if *file_system == Some(FileSystem::Erofs) {
            self.erofs(slot);
        }
        if *content == Content::Root && *file_system == Some(FileSystem::Vfat) {
            self.add(*asked, "filesystem", "vfat has no owners, permissions and links, which a root needs");
        }
        if TextFormat::MountOptions.check(options).is_err() {
            self.add(*asked, "options", format!("{options:?} are no mount options"));
        }
        let paths = [("source", slot.content.path()), ("mount", mount.as_deref())];
        for (key, path) in paths.into_iter().filter_map(|(key, path)| Some((key, path?))) {
            if TextFormat::PlainPath.check(path).is_err() {
                self.add(*asked, key, format!("{path:?} is no plain path from / on"));
            }
        }
        if let (Profile::Machine, Some(point)) = (self.spec.profile, mount) {
            self.mount_point(slot, point);
            self.volatile(slot, point);
        }
    }

    fn swap(&mut self, slot: &Slot) {
        if slot.content != Content::Empty {
            self.add(slot.asked, "filesystem", "swap is mounted nowhere, and has no files");
        }
        if slot.min == 0 && slot.weight == 0 {
            self.add(slot.asked, "size", "a swap partition needs nothing by itself: say its size");
        }
        if slot.read_only {
            self.add(slot.asked, "read-only", "swap is written to");
        }
    }

    fn erofs(&mut self, slot: &Slot) {
        if !slot.read_only {
            self.add(slot.asked, "read-only", "erofs is never written to");
        }
        let is_machines_root = slot.content == Content::Root && self.spec.profile == Profile::Machine;
        if is_machines_root && self.spec.volatile.is_no() {
            let message = "a machine writes to its root, and erofs is never written to: volatile = \"overlay\" writes to memory";
            self.add(slot.asked, "filesystem", message);
        }
    }

    /// What is written to memory has no place on the disk.
    fn volatile(&mut self, slot: &Slot, point: &str) {
        let volatile = self.spec.volatile;
        if !volatile.is_no() && point == "/" && !slot.read_only {
            let message = format!("volatile is {}, which makes the root read-only", volatile.name());
            self.add(slot.asked, "read-only", message);
        }
        if volatile == Volatile::State && point == "/var" {
            let message =
                "volatile is state, which keeps nothing of /var: with overlay it keeps its partition";
            self.add(slot.asked, "mount", message);
        }
    }

    /// GRUB finds the kernel in `/boot`, on the root or of its own.
    fn boot_loader(&mut self) {
        let at = |point: &str| self.slots.iter().find(|slot| slot.mount.as_deref() == Some(point));
        let Some(Slot { asked, file_system: Some(file_system), .. }) = at("/boot").or(at("/")) else {
            return;
        };
        if self.spec.profile == Profile::Machine && !file_system.is_read_by_grub() {
            let message = format!(
                "the kernel is on {}, which no distribution's GRUB reads: add an xbootldr, /boot of its own with ext4",
                file_system.name()
            );
            self.add(*asked, "filesystem", message);
        }
    }

    fn mount_point(&mut self, slot: &Slot, point: &str) {
        let is_in_boot = point != "/boot" && lies_at_or_below(point, "/boot") && slot.content != Content::Esp;
        if let Some((_, why)) = NOT_MOUNTED.iter().find(|(folder, _)| lies_at_or_below(point, folder)) {
            self.add(slot.asked, "mount", format!("{point} {why}"));
        } else if is_in_boot {
            self.add(
                slot.asked,
                "mount",
                format!("{point} is read before it is mounted: GRUB knows /boot alone"),
            );
        } else if slot.content == Content::Esp && point == "/boot" {
            let message = "the ESP has no files of /boot: mount it at /boot/efi, and /boot from an xbootldr";
            self.add(slot.asked, "mount", message);
        } else if point == "/boot" && slot.content.folder() != Some(point) {
            self.add(slot.asked, "source", "the partition of /boot has the kernel, and no other files");
        }
        let is_above = |other: &&Slot| {
            let elsewhere =
                other.content.folder().is_some_and(|folder| Some(folder) != other.mount.as_deref());
            let above =
                other.mount.as_deref().is_some_and(|above| above != point && lies_at_or_below(point, above));
            other.read_only && elsewhere && above
        };
        if let Some(above) = self.slots.iter().find(is_above) {
            let message =
                format!("{point} is to be on {}, which is read-only and has other files", above.label);
            self.add(slot.asked, "mount", message);
        }
    }

    /// No two have the same.
    fn differ(&mut self, of: impl Fn(&'a Slot) -> Option<&'a str>, key: &'static str, what: &str) {
        let mut met = BTreeSet::new();
        for slot in self.slots {
            let Some(text) = of(slot) else { continue };
            if !met.insert(text) {
                self.add(slot.asked, key, format!("two partitions have {what} {text:?}"));
            }
        }
    }

    fn growth(&mut self) {
        let last = self.slots.len().saturating_sub(1);
        for (at, slot) in self.slots.iter().enumerate().filter(|(_, slot)| slot.grow) {
            let why = match slot {
                _ if at < last => "there are partitions behind it",
                Slot { read_only: true, .. } => "it is read-only",
                Slot { file_system: Some(FileSystem::Ext4), .. } => continue,
                _ => "only ext4 grows",
            };
            self.add(slot.asked, "grow", format!("{} cannot grow at boot: {why}", slot.label));
        }
    }
}

impl Content {
    /// The directory of the tree whose files it has.
    pub(crate) fn folder(&self) -> Option<&str> {
        match self {
            Self::Root => Some("/"),
            Self::Subtree(path) => Some(path),
            Self::Empty | Self::Esp | Self::BiosCore | Self::File(_) => None,
        }
    }

    /// What it is taken from.
    fn path(&self) -> Option<&str> {
        match self {
            Self::File(path) => Some(path),
            _ => self.folder(),
        }
    }
}

/// Folders that are no partitions of their own, nor anything below them.
const NOT_MOUNTED: [(&str, &str); 14] = [
    ("/etc", READ_EARLY),
    ("/bin", READ_EARLY),
    ("/sbin", READ_EARLY),
    ("/lib", READ_EARLY),
    ("/lib64", READ_EARLY),
    ("/usr/bin", READ_EARLY),
    ("/usr/sbin", READ_EARLY),
    ("/usr/lib", READ_EARLY),
    ("/usr/lib64", READ_EARLY),
    ("/usr/libexec", READ_EARLY),
    ("/dev", OF_THE_KERNEL),
    ("/proc", OF_THE_KERNEL),
    ("/sys", OF_THE_KERNEL),
    ("/run", OF_THE_KERNEL),
];
const READ_EARLY: &str = "is read before it is mounted";
const OF_THE_KERNEL: &str = "is made anew at each boot";

fn lies_at_or_below(path: &str, folder: &str) -> bool {
    let rest = path.strip_prefix(folder.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Why it is no label, of a file system or in the table.
fn unfit_label(label: &str, file_system: Option<FileSystem>) -> Option<String> {
    let (limit, length) = match file_system {
        Some(FileSystem::Ext4 | FileSystem::Swap) => (16, label.len()),
        Some(FileSystem::Erofs) => (15, label.len()),
        Some(FileSystem::Vfat) => (11, label.len()),
        None => (LABEL, label.encode_utf16().count()),
    };
    let what = file_system.map_or("the table", FileSystem::name);
    if length > limit {
        return Some(format!("has {length} characters, {what} has room for {limit}"));
    }
    TextFormat::PartitionLabel.check(label).err().map(|expected| format!("is not {expected}"))
}

#[cfg(test)]
mod tests {
    use super::super::{Layout, slots};
    use super::*;
    use crate::container::Format;

    fn said(layout: &str, spec: Spec) -> Vec<String> {
        let layout: Layout = serde_json::from_str(layout).unwrap();
        let spec = Spec { layout, ..spec };
        let line = |Problem { partition, key, message }: Problem| {
            let at = partition.map(|at| at.to_string()).unwrap_or_default();
            format!("{at}.{key}: {message}")
        };
        problems(&spec, &slots(&spec)).into_iter().map(line).collect()
    }

    #[test]
    fn a_right_layout_has_no_problems() {
        for layout in [
            "{}",
            r#"{"preset":"split-boot"}"#,
            r#"{"preset":"split-boot-vfat"}"#,
            r#"{"preset":"simple","sector-size":4096}"#,
            r#"{"preset":"simple","partitions":[{"type":"swap","size":"1G"}]}"#,
            r#"{"partitions":[{"type":"esp","size":"256M"},
                {"type":"xbootldr","mount":"/boot","filesystem":"ext4","size":"512M"},
                {"type":"root","min":"2G"},{"type":"srv","mount":"/srv","filesystem":"ext4","grow":true}]}"#,
            r#"{"preset":"simple","partitions":[{"type":"var"},{"type":"home"},{"type":"usr"},
                {"type":"linux-generic","mount":"/srv/log","read-only":true,"source":"/usr/share/log"}]}"#,
        ] {
            assert_eq!(said(layout, Spec::default()), [""; 0], "{layout}");
        }
        assert_eq!(said("{}", Spec { profile: Profile::Data, ..Spec::default() }), [""; 0]);
    }

    #[test]
    fn each_problem_is_said_with_its_key() {
        for (partitions, expected) in [
            (r#"{"type":"srv","size":"1G","min":"1G"}"#, "0.size: size is in place of min and max"),
            (r#"{"type":"srv","min":"2G","max":"1G"}"#, "0.max: max is 1G, less than min, 2G"),
            (r#"{"type":"esp","filesystem":"ext4"}"#, "0.filesystem: firmware reads an ESP of vfat alone"),
            (r#"{"type":"esp","source":"/efi"}"#, "0.source: an ESP has the boot loader, and no other files"),
            (r#"{"type":"bios-boot","filesystem":"ext4"}"#, "0.filesystem: GRUB's core lies in"),
            (r#"{"type":"srv","filesystem":"none","mount":"/srv"}"#, "0.mount: nothing can be mounted"),
            (r#"{"type":"root","filesystem":"vfat"}"#, "0.filesystem: vfat has no owners"),
            (r#"{"type":"root","filesystem":"erofs"}"#, "0.filesystem: a machine writes to its root"),
            (r#"{"type":"root","filesystem":"erofs"}"#, "0.filesystem: the kernel is on erofs, which no"),
            (r#"{"type":"xbootldr","filesystem":"erofs"}"#, "0.filesystem: the kernel is on erofs, which no"),
            (
                r#"{"type":"srv","filesystem":"erofs","read-only":false}"#,
                "0.read-only: erofs is never written",
            ),
            (
                r#"{"type":"srv","filesystem":"erofs","grow":true}"#,
                "0.grow: srv cannot grow at boot: it is read-only",
            ),
            (r#"{"type":"srv","options":"a b"}"#, "0.options: \"a b\" are no mount options"),
            (r#"{"type":"srv","mount":"srv"}"#, "0.mount: \"srv\" is no plain path"),
            (r#"{"type":"srv","mount":"/a/../b"}"#, "0.mount: \"/a/../b\" is no plain path"),
            (r#"{"type":"srv","source":"/a b"}"#, "0.source: \"/a b\" is no plain path"),
            (r#"{"type":"srv","mount":"/a/"}"#, "is no plain path"),
            (r#"{"type":"srv","mount":"/etc/ssl"}"#, "0.mount: /etc/ssl is read before it is mounted"),
            (r#"{"type":"srv","mount":"/usr/lib"}"#, "0.mount: /usr/lib is read before it is mounted"),
            (r#"{"type":"srv","mount":"/boot/grub"}"#, "0.mount: /boot/grub is read before"),
            (r#"{"type":"srv","mount":"/proc"}"#, "0.mount: /proc is made anew at each boot"),
            (r#"{"type":"esp","mount":"/boot"}"#, "0.mount: the ESP has no files of /boot"),
            (r#"{"type":"swap"}"#, "0.size: a swap partition needs nothing by itself: say its size"),
            (r#"{"type":"swap","size":"1G","mount":"/swap"}"#, "0.filesystem: swap is mounted nowhere"),
            (r#"{"type":"swap","size":"1G","source":"/swap"}"#, "0.filesystem: swap is mounted nowhere"),
            (r#"{"type":"swap","size":"1G","read-only":true}"#, "0.read-only: swap is written to"),
            (r#"{"type":"xbootldr","source":"/x"}"#, "0.source: the partition of /boot has the kernel"),
            (
                r#"{"type":"srv","grow":true},{"type":"home","grow":true}"#,
                "0.grow: srv cannot grow at boot: there are",
            ),
            (
                r#"{"type":"srv","grow":true,"read-only":true}"#,
                "0.grow: srv cannot grow at boot: it is read-only",
            ),
            (
                r#"{"type":"srv","grow":true,"filesystem":"vfat"}"#,
                "0.grow: srv cannot grow at boot: only ext4",
            ),
            (
                r#"{"type":"srv","label":"a"},{"type":"home","label":"a"}"#,
                "two partitions have the label \"a\"",
            ),
            (r#"{"type":"srv","mount":"/"}"#, "two partitions have the mount point \"/\""),
            (
                r#"{"type":"srv","source":"/a"},{"type":"home","source":"/a"}"#,
                "1.source: two partitions have the files of",
            ),
            (
                r#"{"type":"srv","label":"0123456789abcdefg"}"#,
                "0.label: \"0123456789abcdefg\" has 17 characters, ext4 has room for 16",
            ),
            (
                r#"{"type":"esp","label":"efi-partition"}"#,
                "0.label: \"efi-partition\" has 13 characters, vfat",
            ),
            (
                r#"{"type":"srv","source":"/data","read-only":true},{"type":"linux-generic","mount":"/srv/log"}"#,
                "1.mount: /srv/log is to be on srv, which is read-only and has other files",
            ),
        ] {
            let layout = format!(r#"{{"preset":"simple","partitions":[{partitions}]}}"#);
            let said = said(&layout, Spec::default());
            assert!(said.iter().any(|problem| problem.contains(expected)), "{expected}: {said:?}");
        }
    }

    #[test]
    fn a_volatile_root_is_not_written_to_and_its_state_has_no_partition() {
        let erofs = r#"{"type":"root","filesystem":"erofs"}"#;
        for (preset, partitions, volatile, expected) in [
            ("simple", "", Volatile::Overlay, &[][..]),
            ("split-boot", erofs, Volatile::Overlay, &[]),
            ("split-boot-vfat", erofs, Volatile::State, &[]),
            ("simple", r#"{"type":"var"},{"type":"srv","grow":true}"#, Volatile::Overlay, &[]),
            (
                "split-boot",
                erofs,
                Volatile::No,
                &["0.filesystem: a machine writes to its root", "0.grow: root cannot grow at boot"],
            ),
            ("simple", erofs, Volatile::Overlay, &["0.filesystem: the kernel is on erofs"]),
            (
                "simple",
                r#"{"type":"root","grow":true}"#,
                Volatile::State,
                &["0.grow: root cannot grow at boot: it is read-only"],
            ),
            (
                "simple",
                r#"{"type":"root","read-only":false}"#,
                Volatile::Overlay,
                &["0.read-only: volatile is overlay, which makes the root read-only"],
            ),
            ("simple", r#"{"type":"var"}"#, Volatile::State, &["0.mount: volatile is state, which keeps"]),
        ] {
            let layout = format!(r#"{{"preset":"{preset}","partitions":[{partitions}]}}"#);
            let said = said(&layout, Spec { volatile, ..Spec::default() });
            let is_said = |expected: &&str| said.iter().any(|said| said.starts_with(expected));
            assert!(said.len() == expected.len() && expected.iter().all(is_said), "{layout}: {said:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_whole_is_said_with_the_rest() {
        let list = |partitions: &str| format!(r#"{{"partitions":[{partitions}]}}"#);
        let data = || Spec { profile: Profile::Data, ..Spec::default() };
        let bios = || Spec { firmware: Firmware::Bios, formats: vec![Format::Vdi], ..Spec::default() };
        let many = vec![r#"{"type":"linux-generic"}"#; 130].join(",");
        for (layout, spec, expected) in [
            (
                list(r#"{"type":"esp"}"#),
                Spec::default(),
                &["one partition has the tree (mount = \"/\"), and here are 0"][..],
            ),
            (
                list(r#"{"type":"root"},{"type":"esp"},{"type":"esp"}"#),
                Spec::default(),
                &["for UEFI, and here are 2", "\"/boot/efi\""],
            ),
            (list(r#"{"type":"root"}"#), Spec::default(), &["on an ESP, and there is none"]),
            (list(r#"{"type":"root"},{"type":"esp"}"#), data(), &["a disk of files has no boot loader"]),
            (
                r#"{"preset":"simple"}"#.to_owned(),
                data(),
                &[".layout: layout is for machines", "no boot loader"],
            ),
            (
                list(&many),
                Spec::default(),
                &["131 partitions, the table has entries for 128", "here are 0", "no"],
            ),
            (
                r#"{"sector-size":4096}"#.to_owned(),
                bios(),
                &[".sector-size: a BIOS starts", "a vdi disk has sectors of 512 bytes"],
            ),
        ] {
            let said = said(&layout, spec);
            assert!(said.len() == expected.len(), "{said:?}");
            assert!(expected.iter().all(|part| said.iter().any(|said| said.contains(part))), "{said:?}");
        }
    }
}
