//! The formats by name, and what each can do: what `--format` can ask for.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::members::FileName;
use super::{medium, microvm, ovf, update, vhd};
use crate::choice::by_name;

/// How what a build hands out lies where it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Format {
    /// The bytes as they are; zeroes are holes.
    Raw,
    /// QEMU's format, version 3.
    Qcow2,
    /// VirtualBox's format, growing; zero blocks are not stored.
    Vdi,
    /// The fixed disk of Virtual PC and Azure: raw, whole mebibytes long, with a footer.
    Vhd,
    /// The dynamic disk of Virtual PC, growing; zero blocks are not stored.
    VhdDynamic,
    /// Hyper-V's format, growing; zero blocks are not stored.
    Vhdx,
    /// VMware's compressed stream; zero grains are not stored.
    Vmdk,
    /// An appliance: VMware's disk and the machine it is for, in one archive.
    Ova,
    /// The same files in a folder.
    Ovf,
    /// The raw bytes as zstd frames, one behind the other.
    RawZst,
    /// The raw bytes as gzip members, one behind the other.
    RawGz,
    /// What Google Compute Engine imports: the raw disk in a gzipped tar archive.
    Gce,
    /// KubeVirt's: a container image with a qcow2 disk in it, for `docker load` or as an OCI archive.
    ContainerDisk,
    /// No disk: the next root for machines that have two.
    Update,
    /// The same as a bundle for RAUC.
    Rauc,
    /// No disk: where the files of an ext4 root lie, for the build of the next version.
    Placement,
    /// A folder with all that a virtual machine monitor starts a microVM from: its root, a kernel, and what describes it.
    Microvm,
    /// The same as one program for UEFI: kernel, initramfs and root in one file.
    Uki,
    /// What a machine is started from, as an optical disc or a USB stick: it has the disk in it, to run or to install.
    Iso,
    /// The same as a folder for machines that start over the network.
    Netboot,
}

/// What there is to know of a format before one is written.
struct Traits {
    name: &'static str,
    shape: Shape,
    /// The extensions of its files, without the dot, the usual one first; a folder has none.
    extensions: &'static [&'static str],
    /// How it can be compressed; the first is what it is unless something else is asked.
    compressions: &'static [Compression],
    /// Whether KubeVirt boots it from a container image, so that images and registries carry it.
    image: bool,
    /// Bytes that the size of its disks is a multiple of.
    size_unit: u64,
    machine: Machine,
    /// What Ignition calls those whose usual format it is.
    platform: &'static str,
}

/// What is written: what can carry it follows from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A file that is written from front to end, so that a pipe takes it, too.
    Stream,
    /// A file.
    File,
    /// A folder of files, one of each of these names.
    Folder(&'static [FileName]),
}

/// How a virtual machine gets at the disk.
enum Machine {
    /// By QEMU's driver of this name, for the file that the disk is in.
    Driver(&'static str),
    /// Not before this command has unpacked it.
    Unpack(&'static str),
    /// Not at all: there is none.
    Nothing,
}

const PLAIN: &[Compression] = &[Compression::None];
const ZLIB: &[Compression] = &[Compression::Zlib];
/// What qcow2 clusters are packed with.
const CLUSTERS: &[Compression] =
    &[Compression::Zstd, Compression::Zlib, Compression::ZlibStrict, Compression::None];
/// What the root of a microVM is packed with: `none` is a raw file, all else a qcow2.
const ROOTS: &[Compression] = &[Compression::None, Compression::Zstd, Compression::Zlib];
const SECTOR: u64 = 512;

impl Format {
    /// Every format.
    pub const ALL: &[Self] = &[
        Self::Raw,
        Self::Qcow2,
        Self::Vdi,
        Self::Vhd,
        Self::VhdDynamic,
        Self::Vhdx,
        Self::Vmdk,
        Self::Ova,
        Self::Ovf,
        Self::RawZst,
        Self::RawGz,
        Self::Gce,
        Self::ContainerDisk,
        Self::Update,
        Self::Rauc,
        Self::Placement,
        Self::Microvm,
        Self::Uki,
        Self::Iso,
        Self::Netboot,
    ];

    #[rustfmt::skip]
    fn traits(self) -> Traits {
        use Compression::Zstd;
        use Machine::{Driver, Nothing, Unpack};
        use Shape::{File, Folder, Stream};
        let (name, shape, extensions, compressions, image, size_unit, machine, platform) = match self {
            Self::Raw => ("raw", Stream, &["raw", "img"][..], PLAIN, true, SECTOR, Driver("raw"), "qemu"),
            Self::Qcow2 => ("qcow2", File, &["qcow2"][..], CLUSTERS, true, SECTOR, Driver("qcow2"), "qemu"),
            Self::Vdi => ("vdi", File, &["vdi"][..], PLAIN, false, SECTOR, Driver("vdi"), "virtualbox"),
            Self::Vhd => ("vhd", Stream, &["vhd"][..], PLAIN, false, SECTOR, Driver("vpc"), "azure"),
            Self::VhdDynamic => ("vhd-dynamic", File, &["vhd"][..], PLAIN, false, SECTOR, Driver("vpc"), "hyperv"),
            Self::Vhdx => ("vhdx", File, &["vhdx"][..], PLAIN, false, SECTOR, Driver("vhdx"), "hyperv"),
            Self::Vmdk => ("vmdk", Stream, &["vmdk"][..], ZLIB, false, SECTOR, Driver("vmdk"), "vmware"),
            Self::Ova => ("ova", File, &["ova"][..], ZLIB, false, SECTOR, Unpack("tar -xf"), "vmware"),
            Self::Ovf => ("ovf", Folder(ovf::FILES), &[][..], ZLIB, false, SECTOR, Driver("vmdk"), "vmware"),
            Self::RawZst => ("raw.zst", Stream, &["raw.zst", "img.zst"][..], &[Zstd][..], false, SECTOR, Unpack("zstd -d"), "qemu"),
            Self::RawGz => ("raw.gz", Stream, &["raw.gz", "img.gz"][..], ZLIB, false, SECTOR, Unpack("gunzip -k"), "qemu"),
            Self::Gce => ("gce", Stream, &["tar.gz"][..], ZLIB, false, 1 << 30, Unpack("tar -xzf"), "gcp"),
            Self::ContainerDisk => ("containerdisk", File, &["containerdisk.tar"][..], CLUSTERS, true, SECTOR, Unpack("docker load -i"), "kubevirt"),
            Self::Update => ("update", Folder(update::FILES), &[][..], &[Zstd][..], false, SECTOR, Nothing, "qemu"),
            Self::Rauc => ("rauc", File, &["raucb"][..], &[Zstd][..], false, SECTOR, Nothing, "qemu"),
            Self::Placement => ("placement", Stream, &["placement"][..], &[Zstd][..], false, SECTOR, Nothing, "qemu"),
            Self::Microvm => ("microvm", Folder(microvm::FILES), &[][..], ROOTS, false, SECTOR, Nothing, "qemu"),
            Self::Uki => ("uki", Stream, &["efi"][..], PLAIN, false, 1, Nothing, "qemu"),
            Self::Iso => ("iso", Stream, &["iso"][..], PLAIN, false, SECTOR, Nothing, "metal"),
            Self::Netboot => ("netboot", Folder(medium::FILES), &[][..], &[Zstd][..], false, SECTOR, Nothing, "metal"),
        };
        Traits { name, shape, extensions, compressions, image, size_unit, machine, platform }
    }

    /// Its name, as in `--format`.
    pub fn name(self) -> &'static str {
        self.traits().name
    }

    /// What is written.
    pub fn shape(self) -> Shape {
        self.traits().shape
    }

    /// Whether that is a folder.
    pub fn is_folder(self) -> bool {
        matches!(self.shape(), Shape::Folder(_))
    }

    /// Whether there is a disk in it.
    pub fn is_disk(self) -> bool {
        !matches!(self.traits().machine, Machine::Nothing)
    }

    /// Whether a machine is started from it to run or to install the system.
    pub fn is_medium(self) -> bool {
        matches!(self, Self::Iso | Self::Netboot)
    }

    /// All extensions of its files, without the dot, the usual one first; a folder has none.
    pub fn extensions(self) -> &'static [&'static str] {
        self.traits().extensions
    }

    /// What the name of one ends in: `.qcow2`, and of a folder `-ovf`.
    pub fn suffix(self) -> String {
        match self.extensions().first() {
            Some(extension) => format!(".{extension}"),
            None => format!("-{}", self.name()),
        }
    }

    /// How it can be compressed, the usual way first.
    pub fn compressions(self) -> &'static [Compression] {
        self.traits().compressions
    }

    /// What it is compressed with unless something else is asked.
    pub fn default_compression(self) -> Compression {
        self.compressions()[0]
    }

    /// Whether it can be written from front to end, into a pipe.
    pub fn streams(self) -> bool {
        self.shape() == Shape::Stream
    }

    /// Whether KubeVirt boots it from a container image.
    pub fn goes_into_images(self) -> bool {
        self.traits().image
    }

    /// Whether its disks can be divided in sectors of 4096 bytes: a machine is told of them beside the file.
    pub fn has_sectors_of_4096(self) -> bool {
        use Format::{ContainerDisk, Placement, Qcow2, Rauc, Raw, RawGz, RawZst, Update};
        matches!(self, Raw | Qcow2 | RawZst | RawGz | ContainerDisk | Update | Rauc | Placement)
    }

    /// Bytes that the size of its disks is a multiple of.
    pub fn size_unit(self) -> u64 {
        self.traits().size_unit
    }

    /// The largest size of its disks in bytes, where that is less than of any disk there is.
    pub fn size_limit(self) -> Option<u64> {
        matches!(self, Self::Vhd | Self::VhdDynamic).then_some(vhd::SIZE_MAX)
    }

    /// What Ignition calls the hypervisor or the cloud whose usual format it is.
    pub fn platform(self) -> &'static str {
        self.traits().platform
    }

    /// What QEMU calls it; `None` if QEMU cannot read it.
    pub fn qemu_driver(self) -> Option<&'static str> {
        match self.traits().machine {
            Machine::Driver(name) => Some(name),
            Machine::Unpack(_) | Machine::Nothing => None,
        }
    }

    /// The command that makes of its file, named behind it, what a machine can use; `None` if it is that
    /// already.
    pub fn unpack_command(self) -> Option<&'static str> {
        match self.traits().machine {
            Machine::Driver(_) | Machine::Nothing => None,
            Machine::Unpack(command) => Some(command),
        }
    }

    /// The format that the extension of a file name stands for; of two with the same extension, the first.
    pub fn from_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let ends_in = |extension: &&str| {
            name.strip_suffix(extension).is_some_and(|stem| stem.len() > 1 && stem.ends_with('.'))
        };
        Self::ALL.iter().copied().find(|format| format.traits().extensions.iter().any(ends_in))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    /// By its name, or `vpc`, QEMU's for VHD. The error says which names there are.
    fn from_str(name: &str) -> Result<Self, String> {
        if name == "vpc" {
            return Ok(Self::Vhd);
        }
        by_name(Self::ALL, Self::name, name)
    }
}

impl TryFrom<String> for Format {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<Format> for String {
    fn from(format: Format) -> Self {
        format.name().to_owned()
    }
}

/// How the contents of a container are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Not at all.
    None,
    /// Zstandard: the fast one.
    Zstd,
    /// Deflate: the one that old readers know.
    Zlib,
    /// Deflate that looks no further back than 4 KiB, for readers of qcow2 with no room for more.
    ZlibStrict,
}

impl Compression {
    /// Every compression.
    pub const ALL: &[Self] = &[Self::None, Self::Zstd, Self::Zlib, Self::ZlibStrict];

    /// Its name: `none`, `zstd`, `zlib`, `zlib-strict`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Zstd => "zstd",
            Self::Zlib => "zlib",
            Self::ZlibStrict => "zlib-strict",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Compression {
    type Err = String;

    /// The error says which names there are.
    fn from_str(name: &str) -> Result<Self, String> {
        by_name(Self::ALL, Self::name, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the page says of a format, but for what it is for.
    fn row(format: Format) -> (String, String) {
        let list = |words: &[String]| words.join(", ");
        let yes = |is_so| if is_so { "yes" } else { "" };
        let what = if format.is_folder() { "folder" } else { "file" };
        let extensions: Vec<_> = format.extensions().iter().map(|name| format!("`.{name}`")).collect();
        let compressions: Vec<_> = match format.compressions() {
            [Compression::None] => Vec::new(),
            several => several.iter().map(|name| format!("`{name}`")).collect(),
        };
        let (pipe, image) = (yes(format.streams()), yes(format.goes_into_images()));
        let before = format!("| `{format}` | {what} | {} | ", list(&extensions));
        (before, format!(" | {} | {pipe} | {image} |", list(&compressions)))
    }

    #[test]
    fn the_page_has_every_format() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formats.md");
        let page = std::fs::read_to_string(path).unwrap();
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows.len(), Format::ALL.len());
        for &format in Format::ALL {
            let (before, after) = row(format);
            let is_row = |line: &&str| line.starts_with(&before) && line.ends_with(&after);
            assert!(rows.iter().any(is_row), "{before}…{after}");
        }
    }
}
