//! What is wrong with what is asked of a microVM: what a bare file system cannot do, and what its first process does not.

use crate::container::Format;
use crate::disk::TableKind;
use crate::spec::layout::{Filesystem, Partition, PartitionType, Preset, Problem, SectorSize};
use crate::spec::setup::Services;
use crate::spec::{Firmware, Init, Loader, Microvm, Profile, Service, Size, Spec, TextFormat, Volatile};

/// As many as an x86 of QEMU has without further words.
const CPUS_MAX: u32 = 255;
/// A kernel of a distribution does not unpack itself in less.
const MEMORY_MIN: u64 = 32 << 20;
const MIB: u64 = 1 << 20;
/// What docker calls limits, by setrlimit(2).
pub(crate) const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Options that mount(8) makes flags of, and no file system knows.
const OF_MOUNTS: [&str; 14] = [
    "ro",
    "rw",
    "defaults",
    "noatime",
    "nodiratime",
    "relatime",
    "strictatime",
    "lazytime",
    "nodev",
    "nosuid",
    "noexec",
    "sync",
    "dirsync",
    "noauto",
];

/// All that is wrong, each with its key.
pub fn problems(spec: &Spec) -> Vec<Problem> {
    let mut search = Search { spec, found: Vec::new() };
    search.kernel();
    if spec.profile == Profile::Microvm {
        search.table();
        search.formats();
        search.machine();
        if spec.is_bare() {
            search.boot();
            search.partitions();
        }
    } else {
        search.others();
    }
    search.found
}

struct Search<'a> {
    spec: &'a Spec,
    found: Vec<Problem>,
}

impl Search<'_> {
    fn add(&mut self, key: &'static str, message: impl Into<String>) {
        self.found.push(Problem { partition: None, key, message: message.into() });
    }

    fn add_if(&mut self, is_so: bool, key: &'static str, message: &str) {
        if is_so {
            self.add(key, message);
        }
    }

    /// What is asked of another profile.
    fn others(&mut self) {
        let Spec { microvm, formats, profile, initramfs, kernel_file, .. } = self.spec;
        self.add_if(!microvm.is_default(), "microvm", "[microvm] is of profile = \"microvm\"");
        let asked = formats.iter().copied().filter(|format| is_bare(*format));
        for format in asked.collect::<Vec<_>>() {
            self.add("format", format!("{format} files are of profile = \"microvm\""));
        }
        if *profile == Profile::Data {
            self.add_if(initramfs.is_some(), "initramfs", "files have no initramfs: profile is data");
            self.add_if(kernel_file.is_some(), "kernel", "files have no kernel: profile is data");
        }
    }

    /// What the file of the kernel cannot be called.
    fn kernel(&mut self) {
        let Some(source) = &self.spec.kernel_file else { return };
        if let Some(path) = source.in_image() {
            let message = format!(
                "{path} is a path of the image, whose own kernel is to be had by kernel = \"keep\": a file is one of the \
                 build context"
            );
            self.add("kernel", message);
        } else if let Some(wrong) = source.problem() {
            self.add("kernel", wrong);
        }
    }

    /// The table `[microvm]`.
    fn table(&mut self) {
        let Microvm { cpus, memory: Size(memory), modules, capabilities, ulimits, .. } = &self.spec.microvm;
        if !(1..=CPUS_MAX).contains(cpus) {
            self.add("microvm.cpus", format!("{cpus} processors are not 1 to {CPUS_MAX}"));
        }
        if *memory < MEMORY_MIN || !memory.is_multiple_of(MIB) {
            let message = format!("{} is not 32M or more, in whole mebibytes", Size(*memory));
            self.add("microvm.memory", message);
        }
        for name in modules.iter().filter(|name| TextFormat::KernelModule.check(name).is_err()) {
            self.add("microvm.modules", format!("{name:?} is no name of a kernel module"));
        }
        for name in capabilities.add.iter().chain(&capabilities.drop) {
            if let Err(expected) = TextFormat::Capability.check(name) {
                self.add("microvm.capabilities", format!("{name:?} is not {expected}"));
            }
        }
        for (name, limit) in ulimits {
            let both = limit.both();
            if !ULIMITS.contains(&name.as_str()) {
                self.add("microvm.ulimits", format!("{name:?} is not one of {}", ULIMITS.join(", ")));
            } else if both.soft > both.hard {
                let message = format!("{name}: soft is {}, more than hard, {}", both.soft, both.hard);
                self.add("microvm.ulimits", message);
            }
        }
    }

    /// One build makes one thing.
    fn formats(&mut self) {
        let of =
            |wanted: fn(Format) -> bool| self.spec.formats.iter().copied().find(|format| wanted(*format));
        let disk = of(|format| format.is_disk());
        let update = of(|format| !format.is_disk() && !is_bare(format));
        let (microvm, uki) = (of(|format| format == Format::Microvm), of(|format| format == Format::Uki));
        if let Some(other) = update {
            self.add("format", format!("{other} files are of machines, and profile is microvm"));
        }
        if let Some((one, other)) = microvm.zip(uki).or(microvm.or(uki).zip(disk)) {
            let message = format!(
                "{one} and {other} have roots of their own: ask for one of them, and for the other in a build of its own"
            );
            self.add("format", message);
        }
    }

    /// What the first process of a microVM has no use for.
    fn machine(&mut self) {
        let Spec { init, service, cmdline, layout, persist, setup, .. } = self.spec;
        let names_init = cmdline.split_ascii_whitespace().any(|word| word.starts_with("init="));
        let has_services = *service != Service::Auto;
        let switches = setup.services != Services::default();
        let has_slots = layout.preset == Some(Preset::Ab);
        for (is_so, key, why) in [
            (*init == Init::Distro, "init", "a microVM's first process is vmimage's own"),
            (
                names_init,
                "cmdline",
                "names a first process, and a microVM's is vmimage's own: leave out init=",
            ),
            (has_services, "service", "a microVM runs what the image's container would run, as no service"),
            (switches, "services", "no services are started: a microVM runs the image's program alone"),
            (has_slots, "layout", "ab is of machines that update themselves: profile is microvm"),
            (persist.is_some(), "persist", "a microVM keeps what its root keeps: [persist] is of machines"),
        ] {
            self.add_if(is_so, key, why);
        }
    }

    /// What a disk has that boots by itself, and nothing else.
    fn boot(&mut self) {
        let Spec { firmware, loader, layout, grub, .. } = self.spec;
        let is_uki = self.spec.is_uki();
        let what = if is_uki { "a uki" } else { "a microvm" };
        let firmware = match (is_uki, firmware) {
            (true, Firmware::Bios) => Some("no BIOS starts a uki, which is a program for UEFI"),
            (false, Firmware::Bios | Firmware::Uefi) => {
                Some("no firmware starts a microvm: the monitor does")
            }
            (_, Firmware::Any) | (true, Firmware::Uefi) => None,
        };
        if let Some(why) = firmware {
            self.add("firmware", why);
        }
        let no_loader = format!("{what} has no boot loader");
        self.add_if(*loader != Loader::Grub, "loader", &no_loader);
        self.add_if(grub.password.is_some(), "grub", &no_loader);
        let no_table = format!("{what} has a root without a partition table");
        let no_list = format!("{no_table}: of [[partitions]] there may be one, of type root");
        self.add_if(layout.preset.is_some_and(|preset| preset != Preset::Ab), "layout", &no_list);
        self.add_if(layout.table != TableKind::Gpt, "table", &no_table);
        self.add_if(layout.sector_size != SectorSize::Bytes512, "sector-size", &no_table);
        let has_size = is_uki && self.spec.size.is_some();
        self.add_if(has_size, "size", "a uki is as large as what is in it");
        let is_state = is_uki && self.spec.volatile == Volatile::State;
        self.add_if(is_state, "volatile", "the root of a uki is in memory as a whole: it is always overlay");
    }

    /// Of the list of a disk, what a file system by itself has.
    fn partitions(&mut self) {
        let mut roots = 0;
        for (at, partition) in self.spec.layout.partitions.iter().enumerate() {
            let is_root = partition.kind == PartitionType::Root;
            roots += u32::from(is_root);
            for (key, message) in self.entry(partition, is_root && roots == 1) {
                self.found.push(Problem { partition: Some(at), key, message });
            }
        }
    }

    fn entry(&self, partition: &Partition, is_root: bool) -> Vec<(&'static str, String)> {
        if !is_root {
            let message = "is more than one root, and there is no table for others: a disk has one, with a format of disks";
            return vec![("type", message.to_owned())];
        }
        let Partition {
            uuid,
            weight,
            filesystem,
            mount,
            options,
            source,
            grow,
            attributes,
            size,
            min,
            max,
            ..
        } = partition;
        let has_table = [
            (uuid.is_some(), "uuid"),
            (weight.is_some(), "weight"),
            (source.is_some(), "source"),
            (grow.is_some(), "grow"),
            (!attributes.is_empty(), "attributes"),
            (mount.as_deref().is_some_and(|mount| mount != "/"), "mount"),
        ];
        let of_table = has_table.into_iter().filter(|(is_so, _)| *is_so);
        let mut found: Vec<_> = of_table
            .map(|(_, key)| (key, "is of partitions of a table, and there is none".to_owned()))
            .collect();
        let flags = options.iter().flat_map(|options| options.split(','));
        if let Some(flag) = flags.into_iter().find(|flag| OF_MOUNTS.contains(flag)) {
            let message =
                format!("{flag} is no option of the file system, which the kernel mounts the root by");
            found.push(("options", message));
        }
        let is_uki = self.spec.is_uki();
        match filesystem {
            None | Some(Filesystem::Erofs) => {}
            Some(Filesystem::Ext4) if !is_uki => {}
            Some(_) if is_uki => found.push(("filesystem", "the root within a uki is erofs".to_owned())),
            Some(_) => found.push(("filesystem", "the root of a microvm is ext4 or erofs".to_owned())),
        }
        if is_uki && [size, min, max].iter().any(|size| size.is_some()) {
            found.push(("size", "the root within a uki is as large as its files".to_owned()));
        }
        found
    }
}

/// Whether its root lies by itself, without a partition table.
pub(super) fn is_bare(format: Format) -> bool {
    matches!(format, Format::Microvm | Format::Uki)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `key: message` of what a spec of the profile is told.
    fn said(spec: &str) -> Vec<String> {
        let spec: Spec = serde_json::from_str(spec).unwrap();
        problems(&spec).into_iter().map(|Problem { key, message, .. }| format!("{key}: {message}")).collect()
    }

    fn of(more: &str) -> String {
        said(&format!(r#"{{"profile":"microvm","formats":["microvm"]{more}}}"#)).join("; ")
    }

    #[test]
    fn what_a_microvm_can_be_is_no_problem() {
        for more in [
            "",
            r#","size":"1G","volatile":"overlay","init":"vmimage","cmdline":"quiet""#,
            r#","layout":{"partitions":[{"type":"root","filesystem":"erofs","compression":"lz4","min":"1G"}]}"#,
            r#","microvm":{"cpus":4,"memory":"64M","modules":["all"],"ulimits":{"nofile":{"soft":1,"hard":2}}}"#,
            r#","kernel_file":"kernels/bzImage""#,
            r#","kernel_file":{"from":"kernel","path":"/bzImage"}"#,
        ] {
            assert_eq!(of(more), "", "{more}");
        }
        assert_eq!(said(r#"{"profile":"microvm","formats":["qcow2","raw"],"firmware":"uefi"}"#), [""; 0]);
        assert_eq!(said(r#"{"profile":"microvm","formats":["uki"],"firmware":"uefi"}"#), [""; 0]);
        assert_eq!(said(r#"{"initramfs":"vmimage"}"#), [""; 0]);
    }

    #[test]
    fn what_it_cannot_be_is_told_by_its_key() {
        for (more, expected) in [
            (r#","microvm":{"cpus":0}"#, "microvm.cpus: 0 processors"),
            (r#","microvm":{"memory":"16M"}"#, "microvm.memory: 16M is not 32M or more"),
            (r#","microvm":{"memory":"64000K"}"#, "microvm.memory: 64000K is not"),
            (r#","microvm":{"modules":["-r"]}"#, "microvm.modules: \"-r\" is no name"),
            (r#","microvm":{"capabilities":{"drop":["chown"]}}"#, "microvm.capabilities: \"chown\" is not"),
            (r#","microvm":{"ulimits":{"files":1}}"#, "microvm.ulimits: \"files\" is not one of core, cpu"),
            (
                r#","microvm":{"ulimits":{"nofile":{"soft":2,"hard":1}}}"#,
                "microvm.ulimits: nofile: soft is 2, more than hard, 1",
            ),
            (r#","init":"distro""#, "init: a microVM's first process is vmimage's own"),
            (r#","cmdline":"quiet init=/app""#, "cmdline: names a first process"),
            (r#","service":"off""#, "service: a microVM runs"),
            (r#","setup":{"services":{"enable":["nginx"]}}"#, "services: no services are started"),
            (r#","persist":{}"#, "persist: a microVM keeps"),
            (r#","firmware":"bios""#, "firmware: no firmware starts a microvm"),
            (r#","loader":"systemd-boot""#, "loader: a microvm has no boot loader"),
            (r#","layout":{"preset":"simple"}"#, "layout: a microvm has a root without a partition table"),
            (r#","layout":{"preset":"ab"}"#, "layout: ab is of machines"),
            (r#","layout":{"table":"mbr"}"#, "table: a microvm has a root without"),
            (r#","layout":{"sector-size":4096}"#, "sector-size: a microvm has a root without"),
            (r#","layout":{"partitions":[{"type":"srv"}]}"#, "type: is more than one root"),
            (r#","layout":{"partitions":[{"type":"root"},{"type":"root"}]}"#, "type: is more than one root"),
            (
                r#","layout":{"partitions":[{"type":"root","grow":true}]}"#,
                "grow: is of partitions of a table",
            ),
            (
                r#","layout":{"partitions":[{"type":"root","filesystem":"xfs"}]}"#,
                "filesystem: the root of a microvm is",
            ),
            (
                r#","layout":{"partitions":[{"type":"root","options":"data=writeback,noatime"}]}"#,
                "options: noatime is no option of the file system",
            ),
            (r#","kernel_file":"/boot/vmlinuz""#, "kernel: /boot/vmlinuz is a path of the image"),
            (r#","kernel_file":"../bzImage""#, "kernel: \"../bzImage\" is not"),
        ] {
            let said = of(more);
            assert!(said.starts_with(expected) && !said.contains("; "), "{more}: {said}");
        }
    }

    #[test]
    fn one_build_makes_one_thing() {
        for (formats, expected) in [
            (r#"["microvm","uki"]"#, "format: microvm and uki have roots of their own"),
            (r#"["qcow2","microvm"]"#, "format: microvm and qcow2 have roots of their own"),
            (r#"["uki","raw"]"#, "format: uki and raw have roots of their own"),
            (r#"["update"]"#, "format: update files are of machines"),
        ] {
            let said = said(&format!(r#"{{"profile":"microvm","formats":{formats}}}"#)).join("; ");
            assert!(said.starts_with(expected), "{said}");
        }
        let uki = said(
            r#"{"profile":"microvm","formats":["uki"],"size":"1G","firmware":"bios","volatile":"state",
                "layout":{"partitions":[{"type":"root","filesystem":"ext4","min":"1G"}]}}"#,
        );
        let keys: Vec<_> = uki.iter().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(keys, ["firmware", "size", "volatile", "filesystem", "size"], "{uki:?}");
    }

    #[test]
    fn what_is_of_the_profile_is_nothing_to_others() {
        for (spec, expected) in [
            (r#"{"microvm":{"cpus":2}}"#, "microvm: [microvm] is of"),
            (r#"{"formats":["uki"]}"#, "format: uki files are of"),
            (r#"{"profile":"data","initramfs":"vmimage"}"#, "initramfs: files have no initramfs"),
            (r#"{"profile":"data","kernel_file":"bzImage"}"#, "kernel: files have no kernel"),
        ] {
            let said = said(spec).join("; ");
            assert!(said.starts_with(expected) && !said.contains("; "), "{spec}: {said}");
        }
    }
}
