//! What can be asked of a disk: one table, with a row for each attribute.
//!
//! The flags of `vmimage build` and `vmimage convert`, the attributes of `--output type=vmdisk,size=10G`, the labels
//! `vmimage.size`, the keys of `vmimage.toml` and their JSON schema, the build arguments `VMIMAGE_SIZE` and the pages that list
//! all of these are made from it.

use exporter::container::{Compression, Format};
use exporter::disk::TableKind;
use exporter::spec::layout::{Preset, SectorSize};
use exporter::spec::network::Manager;
use exporter::spec::{Firmware, Hardware, Init, Initramfs, Loader, Profile, TextFormat, Volatile};

use super::attribute::Form::{Arguments, Choice, Choices, Number, Switch, Text, TextOrFile, Texts};
use super::attribute::Place::{Flag, Image, Key, Label};
use super::attribute::{Attribute, Place, Topic};
use super::wish::{Change, value, values, word, words};
use super::{Kernel, KernelFile};

/// The attribute that each file of a disk has one of: who names files, names the formats with them.
pub(crate) const FORMAT: &str = "format";
/// The attribute that names the files of a disk, as `-o` does.
pub(super) const NAME: &str = "name";
/// The attribute that says what a disk is for.
pub(super) const PROFILE: &str = "profile";
/// The attribute that names the configuration.
pub(crate) const CONFIG: &str = "config";

const EVERYWHERE: &[Place] = &[Flag, Key, Image];
/// Exporters of images have another attribute of that name.
const NOT_OF_IMAGES: &[Place] = &[Flag, Key];
/// A table of the configuration has the key.
const OF_A_TABLE: &[Place] = &[Flag, Label, Image];

/// What makes a kernel that of another image.
const IMAGE: &str = "image:";
/// What a kernel can be.
const KERNEL: &str = "distro, keep, a version, such as 6.1, a package name, such as linux-image-amd64, image: and the image \
                      to take it from, such as image:debian:12, file: and a file of the build context, such as \
                      file:bzImage, or stage: and a file of another stage, such as stage:kernel/bzImage";

/// The kernel is one of these: of the others nothing is left.
fn kernel(text: &str) -> Result<Change, String> {
    let read = match text.strip_prefix(IMAGE) {
        Some(image) => word(image, TextFormat::Image, |asked, image| {
            (asked.install.donor, asked.install.kernel, asked.spec.kernel_file) = (Some(image), None, None);
        }),
        // Nothing is installed for it.
        None if KernelFile::is_meant(text) => value(text, |asked, KernelFile(file)| {
            (asked.install.donor, asked.install.kernel) = (None, Some(Kernel::Keep));
            asked.spec.kernel_file = Some(file);
        }),
        None => value(text, |asked, kernel: Kernel| {
            (asked.install.donor, asked.install.kernel, asked.spec.kernel_file) = (None, Some(kernel), None);
        }),
    };
    read.map_err(|_| KERNEL.to_owned())
}

/// Every attribute.
pub(crate) static ATTRIBUTES: [Attribute; 29] = [
    Attribute {
        name: FORMAT,
        form: Choices("FORMAT", || Format::ALL.iter().map(|format| format.name()).collect()),
        topic: Topic::Disk,
        // `-o` and `--format` say it for each file.
        places: &[Key],
        help: "The format, whatever the extension says; with several outputs, one for each, in their order",
        about: "The format of the disk, or several, each a file or a folder of its own.",
        default: Some("qcow2"),
        right: &["qcow2,vhdx"],
        wrong: &[("floppy", "one of raw, qcow2, ")],
        read: |text| values(text, |asked, formats| asked.spec.formats = formats),
    },
    Attribute {
        name: "size",
        form: Text("SIZE"),
        topic: Topic::Disk,
        places: EVERYWHERE,
        help: "The size of the disk, such as 10G",
        about: "The size of the disk. By default what the content needs and a quarter more, at least 256 MiB.",
        default: None,
        right: &["10G"],
        wrong: &[("big", "\"big\" is not a size: write a number with K, M, G or T, such as 10G")],
        read: |text| value(text, |asked, size| asked.spec.size = Some(size)),
    },
    Attribute {
        name: "compression",
        form: Choice("COMPRESSION", || {
            Compression::ALL.iter().map(|compression| compression.name()).collect()
        }),
        topic: Topic::Disk,
        places: NOT_OF_IMAGES,
        help: "The compression, for the formats that have a choice (qcow2, containerdisk, microvm)",
        about: "How the disk's files are compressed, in the formats that have a choice.",
        default: Some("zstd"),
        right: &["none"],
        wrong: &[("rar", "one of none, zstd, zlib, zlib-strict")],
        read: |text| value(text, |asked, compression| asked.spec.compression = Some(compression)),
    },
    Attribute {
        name: NAME,
        form: Text("NAME"),
        topic: Topic::Disk,
        // Who names files with `-o` has named them.
        places: &[Key],
        help: "The name of the disk's files",
        about: "The name of the artifacts without their extension, in a build's result.",
        default: Some("disk"),
        right: &["web"],
        wrong: &[("../web", "a file name without its extension")],
        read: |text| word(text, TextFormat::FileName, |asked, name| asked.spec.name = name),
    },
    Attribute {
        name: PROFILE,
        form: Choice("PROFILE", || Profile::ALL.map(Profile::name).to_vec()),
        topic: Topic::Disk,
        places: EVERYWHERE,
        help: "What the disk is for: a machine that boots, one partition with the files as they are, or a microVM, which runs \
               what a container of the image would run",
        about: "What the disk is for: a machine that boots, one partition with the files as they are, or a microVM, which runs \
                what a container of the image would run and has nothing installed for it.",
        default: Some("machine"),
        right: &["data", "microvm"],
        wrong: &[("boat", "one of machine, data, microvm")],
        read: |text| value(text, |asked, profile| asked.spec.profile = profile),
    },
    Attribute {
        name: "layout",
        form: Choice("LAYOUT", || Preset::ALL.map(Preset::name).to_vec()),
        topic: Topic::Disk,
        places: EVERYWHERE,
        help: "How the disk is divided: with /boot on the root, or of its own, as ext4 or vfat; ab has two slots for roots",
        about: "How the disk is divided: `simple` has a BIOS boot partition, an ESP and a root that grows, `split-boot` \
                a `/boot` of its own beside them, an ext4, `split-boot-vfat` one that is a FAT. `ab` has two slots for \
                roots that are only read, of which one is empty, and a partition for what is kept, which grows. The \
                partitions of `vmimage.toml` are added to these; without a layout they are all of the disk. By default \
                `simple`, for files (`profile`) one partition.",
        default: None,
        right: &["split-boot"],
        wrong: &[("a/b", "one of simple, split-boot, split-boot-vfat, ab")],
        read: |text| value(text, |asked, preset| asked.spec.layout.preset = Some(preset)),
    },
    Attribute {
        name: "table",
        form: Choice("TABLE", || TableKind::ALL.map(TableKind::name).to_vec()),
        topic: Topic::Disk,
        places: EVERYWHERE,
        help: "The partition table of the disk; mbr is for a BIOS that starts no other",
        about: "The partition table of the disk. `mbr` is for a BIOS that starts no other: it has four partitions at most, \
                no labels, UUIDs and attributes of partitions, and reaches to 2 TiB. UEFI starts such a disk as well.",
        default: Some("gpt"),
        right: &["mbr"],
        wrong: &[("bsd", "one of gpt, mbr")],
        read: |text| value(text, |asked, table| asked.spec.layout.table = table),
    },
    Attribute {
        name: "sector-size",
        form: Number("BYTES", || SectorSize::ALL.map(SectorSize::name).to_vec()),
        topic: Topic::Disk,
        places: EVERYWHERE,
        help: "The bytes of a sector of the disk; no BIOS starts from sectors of 4096",
        about: "The bytes of a sector of the disk that the machine sees. 4096 is for NVMe disks that are formatted so: \
                no BIOS starts from them, and only raw and qcow2 disks can have them.",
        default: Some("512"),
        right: &["4096"],
        wrong: &[("1024", "one of 512, 4096")],
        read: |text| value(text, |asked, size| asked.spec.layout.sector_size = size),
    },
    Attribute {
        name: CONFIG,
        form: Text("FILE"),
        topic: Topic::Disk,
        // A flag of each command, whose folder is another.
        places: &[Image],
        help: "The configuration, a file of the build context, for all this and more [default: vmimage.toml, if it is there]",
        about: "Another configuration of the build context.",
        default: Some("vmimage.toml"),
        right: &["prod/vmimage.toml"],
        wrong: &[("../vmimage.toml", "a path in the build context")],
        read: |text| word(text, TextFormat::ContextPath, |asked, path| asked.config = Some(path)),
    },
    Attribute {
        name: "firmware",
        form: Choice("FIRMWARE", || Firmware::ALL.map(Firmware::name).to_vec()),
        topic: Topic::Machine,
        places: EVERYWHERE,
        help: "What starts the machine; a disk for one firmware has no boot loader for the others",
        about: "What starts the machine: only a PC's BIOS, only UEFI, or any firmware that there is a boot loader for.",
        default: Some("any"),
        right: &["uefi"],
        wrong: &[("coreboot", "one of any, bios, uefi")],
        read: |text| value(text, |asked, firmware| asked.spec.firmware = firmware),
    },
    Attribute {
        name: "hardware",
        form: Choice("HARDWARE", || Hardware::ALL.map(Hardware::name).to_vec()),
        topic: Topic::Machine,
        places: EVERYWHERE,
        help: "What the machine is made of: virtual, or metal, with the drivers and the firmware of real hardware",
        about: "What the machine is made of: `metal` has the distribution's kernel with the drivers of all hardware, the firmware \
                of devices and the microcode of processors, `virtual` what virtual machines need.",
        default: Some("virtual"),
        right: &["metal"],
        wrong: &[("wood", "one of virtual, metal")],
        read: |text| value(text, |asked, hardware| asked.spec.hardware = hardware),
    },
    Attribute {
        name: "loader",
        form: Choice("LOADER", || Loader::ALL.map(Loader::name).to_vec()),
        topic: Topic::Machine,
        places: EVERYWHERE,
        help: "The boot loader: the distribution's GRUB, or systemd-boot of the image, for UEFI alone",
        about: "The boot loader: `grub` is the distribution's, for a BIOS and for UEFI, `systemd-boot` the image's own, for UEFI \
                alone. That has its menu and the kernels on the ESP, and counts the tries of each entry where systemd calls a \
                boot good.",
        default: Some("grub"),
        right: &["systemd-boot"],
        wrong: &[("lilo", "one of grub, systemd-boot")],
        read: |text| value(text, |asked, loader| asked.spec.loader = loader),
    },
    Attribute {
        name: "volatile",
        form: Choice("VOLATILE", || Volatile::ALL.map(Volatile::name).to_vec()),
        topic: Topic::Machine,
        places: EVERYWHERE,
        help: "What is written to memory and gone after a reboot: nothing, all of a read-only root (overlay), or its /var (state)",
        about: "What is written to memory and gone after a reboot, in systemd's words: `overlay` makes the root read-only \
                with an overlay in memory over all of it, `state` one over `/var` and temporary files alone. With either, \
                the root may be an EROFS.",
        default: Some("no"),
        right: &["overlay", "state"],
        wrong: &[("yes", "one of no, overlay, state")],
        read: |text| value(text, |asked, volatile| asked.spec.volatile = volatile),
    },
    Attribute {
        name: "init",
        form: Choice("INIT", || Init::ALL.map(Init::name).to_vec()),
        topic: Topic::Machine,
        places: EVERYWHERE,
        help: "The init: the distribution's, or vmimage's own, which runs what a container of the image would \
               run and nothing else",
        about: "The init, the first process: `distro` is the distribution's own (systemd, OpenRC), installed if it has to be; \
                `vmimage` is one that runs what a container of the image would run and nothing else, for any image, and \
                needs no package. `auto` is the distribution's, and for an image that can have none the other.",
        default: Some("auto"),
        right: &["vmimage"],
        wrong: &[("systemd", "one of auto, distro, vmimage")],
        read: |text| value(text, |asked, init| asked.spec.init = init),
    },
    Attribute {
        name: "initramfs",
        form: Choice("INITRAMFS", || Initramfs::ALL.map(Initramfs::name).to_vec()),
        topic: Topic::Machine,
        places: EVERYWHERE,
        help: "The initramfs: made by the distribution's tools, or vmimage's own, with the modules that the disk needs alone",
        about: "The initramfs: `distro` is made by the distribution's tools, `vmimage` is vmimage's own, with the modules that \
                the disk needs and a program that mounts its root: the build makes no other, which takes less time. A microVM \
                and a root with `verity` always have that.",
        default: Some("distro"),
        right: &["vmimage"],
        wrong: &[("dracut", "one of distro, vmimage")],
        read: |text| value(text, |asked, initramfs| asked.spec.initramfs = Some(initramfs)),
    },
    Attribute {
        name: "hostname",
        form: Text("NAME"),
        topic: Topic::Machine,
        places: EVERYWHERE,
        help: "The name of the machine",
        about: "The name of the machine. By default the image's own, else the id of the distribution.",
        default: None,
        right: &["web-1.example"],
        wrong: &[("-web", "a name of letters, digits and hyphens, at most 64")],
        read: |text| word(text, TextFormat::Hostname, |asked, name| asked.spec.hostname = Some(name)),
    },
    Attribute {
        name: "image-version",
        form: Text("VERSION"),
        topic: Topic::Machine,
        places: OF_A_TABLE,
        help: "The version of the system on the disk, such as 1.4.0, for os-release",
        about: "The version of the system on the disk, `IMAGE_VERSION` of its os-release. In `vmimage.toml` this is `version` of \
                `[image]`.",
        default: None,
        right: &["1.4.0"],
        wrong: &[("1.4 beta", "lower-case letters, digits, -, _ and .")],
        read: |text| {
            word(text, TextFormat::ImageId, |asked, version| asked.spec.image.version = Some(version))
        },
    },
    Attribute {
        name: "network-manager",
        form: Choice("MANAGER", || Manager::ALL.map(Manager::name).to_vec()),
        topic: Topic::Machine,
        places: OF_A_TABLE,
        help: "Who configures the network in the machine",
        about: "Who configures the network in the machine: `auto` is who does so in the image, else who is there; `none` leaves \
                it as the image has it. In `vmimage.toml` this is `manager` of `[network]`.",
        default: Some("auto"),
        right: &["ifupdown"],
        wrong: &[("wicked", "one of auto, networkd, networkmanager, netplan, ifupdown, none")],
        read: |text| value(text, |asked, manager| asked.spec.network.manager = manager),
    },
    Attribute {
        name: "dns",
        form: Texts("ADDRESSES"),
        topic: Topic::Machine,
        places: OF_A_TABLE,
        help: "Name servers of the machine in place of DHCP's, comma-separated",
        about: "Name servers of the machine, in place of those that DHCP tells of. In `vmimage.toml` this is `dns` of `[network]`.",
        default: None,
        right: &["1.1.1.1", "1.1.1.1,2606:4700:4700::1111"],
        wrong: &[("1.1.1.1,one", "\"one\" is not an IP address, such as 1.1.1.1")],
        read: |text| words(text, TextFormat::IpAddress, |asked, servers| asked.spec.network.dns = servers),
    },
    Attribute {
        name: "dns-search",
        form: Texts("DOMAINS"),
        topic: Topic::Machine,
        places: OF_A_TABLE,
        help: "Domains that short names are completed with, comma-separated",
        about: "Domains that short names are completed with. In `vmimage.toml` this is `search` of `[network]`.",
        default: None,
        right: &["corp.example"],
        wrong: &[("a b", "\"a b\" is not a domain, such as corp.example")],
        read: |text| words(text, TextFormat::Domain, |asked, domains| asked.spec.network.search = domains),
    },
    Attribute {
        name: "hosts",
        form: Texts("HOSTS"),
        topic: Topic::Machine,
        places: OF_A_TABLE,
        help: "Names with their addresses for /etc/hosts, such as db:10.0.0.5, comma-separated",
        about: "Names with their addresses, for `/etc/hosts` of the machine; `--add-host` is docker's own, for the steps of the \
                build. In `vmimage.toml` this is `hosts` of `[network]`.",
        default: None,
        right: &["db:10.0.0.5", "db=10.0.0.5,web:[fd00::5]"],
        wrong: &[("db", "\"db\" is not a name with its address, such as db:10.0.0.5")],
        read: |text| words(text, TextFormat::HostAddress, |asked, hosts| asked.spec.network.hosts = hosts),
    },
    Attribute {
        name: "cmdline",
        form: Arguments("WORDS"),
        topic: Topic::Machine,
        places: EVERYWHERE,
        help: "Arguments to add to the kernel command line",
        about: "Arguments for the kernel, added to those that vmimage sets.",
        default: None,
        right: &["quiet mitigations=off"],
        wrong: &[("quiet\n}", "kernel arguments on one line")],
        read: |text| word(text, TextFormat::KernelArguments, |asked, words| asked.spec.cmdline = words),
    },
    Attribute {
        name: "service",
        form: Switch("NAME"),
        topic: Topic::Machine,
        places: EVERYWHERE,
        help: "Run what a container of the image would run as a service: auto (unless it is a shell), off, or a name for it",
        about: "What the image runs as a service: `auto` unless it is a shell, `off`, or a name for it. In `vmimage.toml` `true` and \
                `false` stand for the first two.",
        default: Some("auto"),
        right: &["web", "off"],
        wrong: &[("a b", "auto, off or a name for the service, such as web")],
        read: |text| value(text, |asked, service| asked.spec.service = service),
    },
    Attribute {
        name: "modules",
        form: Texts("NAMES"),
        topic: Topic::Machine,
        places: EVERYWHERE,
        help: "Kernel modules to load at boot, comma-separated",
        about: "Kernel modules that are loaded at boot.",
        default: None,
        right: &["nbd,zram"],
        wrong: &[("nbd,-r", "\"-r\" is not the name of a kernel module, such as nbd")],
        read: |text| {
            words(text, TextFormat::KernelModule, |asked, modules| asked.spec.setup.modules = modules)
        },
    },
    Attribute {
        name: "timezone",
        form: Text("ZONE"),
        topic: Topic::Machine,
        places: EVERYWHERE,
        help: "The time zone, such as Europe/Berlin",
        about: "The time zone, by its name in the tz database. By default the image's own, else UTC.",
        default: None,
        right: &["Europe/Berlin"],
        wrong: &[("../etc/passwd", "a name of the tz database, such as")],
        read: |text| word(text, TextFormat::TimeZone, |asked, zone| asked.spec.setup.timezone = Some(zone)),
    },
    Attribute {
        name: "locale",
        form: Text("LOCALE"),
        topic: Topic::Machine,
        places: EVERYWHERE,
        help: "The locale, such as de_DE.UTF-8",
        about: "The locale of the system, which is generated if it has to be.",
        default: None,
        right: &["de_DE.UTF-8"],
        wrong: &[("de DE", "a locale, such as de_DE.UTF-8")],
        read: |text| word(text, TextFormat::Locale, |asked, locale| asked.spec.setup.locale = Some(locale)),
    },
    Attribute {
        name: "kernel",
        form: TextOrFile("KERNEL"),
        topic: Topic::Install,
        places: EVERYWHERE,
        help: "The kernel, instead of the distribution's usual one: a version of that (6.1), a package, image: and the \
               image to take it from, file: and a file of the context, stage: and one of a stage (stage:kernel/bzImage), or \
               keep for the one that the image has",
        about: "The kernel: `distro` installs the distribution's usual one, a version such as `6.1` the newest of the usual \
                one that is or begins with it (not with pacman), `keep` takes the one of the image, `image:debian:12` that of \
                another image, `file:bzImage` is a file of the build context, `stage:kernel/bzImage` (in `vmimage.toml` also \
                `{ from = \"kernel\", path = \"/bzImage\" }`) one of another stage or a named context, which only builds by \
                docker have; all else is the name of a package. By default that of the image if it has one, else the usual \
                one. No label of an image names a file.",
        default: None,
        right: &[
            "6.1",
            "6.1.148-1",
            "linux-image-amd64=6.1",
            "image:host:5000/kernel@sha256:00",
            "keep",
            "file:kernels/bzImage",
            "stage:kernel/bzImage",
        ],
        wrong: &[
            ("$(reboot)", KERNEL),
            ("6.1*", KERNEL),
            ("image:-v", KERNEL),
            ("file:/boot/vmlinuz", KERNEL),
            ("stage:kernel", KERNEL),
        ],
        read: kernel,
    },
    Attribute {
        name: "mirror",
        form: Text("URL"),
        topic: Topic::Install,
        places: EVERYWHERE,
        help: "A mirror to ask in place of the distribution's own hosts, with the same paths; the machine keeps its own \
               settings",
        about: "A mirror to ask in place of the distribution's own hosts, with the same paths. The machine keeps its own \
                settings.",
        default: None,
        right: &["http://mirror.example", "http://mirror.example/debian/"],
        wrong: &[("ftp://a", "the URL of a mirror, without a login")],
        read: |text| {
            word(text, TextFormat::Mirror, |asked, url| {
                asked.install.mirror = Some(url.trim_end_matches('/').to_owned());
            })
        },
    },
    Attribute {
        name: "install",
        form: Texts("NAMES"),
        topic: Topic::Install,
        places: EVERYWHERE,
        help: "Further packages to install with the kernel, comma-separated",
        about: "Packages that are installed with the kernel, under the layers of the Dockerfile.",
        default: None,
        right: &["openssh-server", "nginx,curl"],
        wrong: &[("nginx,$(x)", "\"$(x)\" is not the name of a package")],
        read: |text| words(text, TextFormat::Package, |asked, packages| asked.install.further = packages),
    },
];
