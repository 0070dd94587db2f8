//! A disk from the outside: which format, how large inside and outside.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use exporter::Kind;
use exporter::container::{self, Format};
use exporter::disk::{self, kinds};
use exporter::error::show_size;
use exporter::report::{Part, Report, System};
use exporter::terminal::line;
use serde::Serialize;

use super::{Result, shell};

/// What can be told of a disk without reading what is on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct DiskInfo {
    /// The format, by magic bytes.
    pub(crate) format: Format,
    /// What a machine sees, in bytes; `None` if only unpacking the file would tell.
    pub(crate) virtual_size: Option<u64>,
    /// What its files take on their file system (holes are free), in bytes.
    pub(crate) actual_size: u64,
}

impl DiskInfo {
    /// Looks at the metadata of its files, and at what tells its format.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let actual_size = container::files(path)?.iter().map(|file| file.blocks() * 512).sum();
        let (format, virtual_size) = container::identify(path)?;
        Ok(Self { format, virtual_size, actual_size })
    }
}

impl fmt::Display for DiskInfo {
    /// `qcow2, 10 GiB disk in 400 MiB`, and so of a medium with a disk; of what has none `update, 200 MiB`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, ", self.format)?;
        if let Some(size) = self.virtual_size {
            write!(f, "{} ", show_size(size))?;
        }
        let has_disk = self.virtual_size.is_some() || self.format.is_disk();
        let disk = if has_disk { "disk in " } else { "" };
        write!(f, "{disk}{}", show_size(self.actual_size))
    }
}

/// An artifact that was made.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Made {
    file: PathBuf,
    #[serde(flatten)]
    image: DiskInfo,
    /// The command that boots it, if QEMU can.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    /// The machine on it and what was edited for it, if this process has made it: a build of docker's says so in its
    /// log.
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<System>,
    /// Its partitions, in the same case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    partitions: Vec<Part>,
}

impl Made {
    /// Looks at what was made.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let image = DiskInfo::read(path)?;
        let run = can_boot(path, image.format).then(|| format!("vmimage run {}", shell::quote(path)));
        Ok(Self { file: path.to_owned(), image, run, system: None, partitions: Vec::new() })
    }

    /// The same with what this process has made on it.
    pub(crate) fn with_report(self, report: &Report) -> Self {
        let Report { system, partitions, .. } = report.clone();
        Self { system, partitions, ..self }
    }
}

/// Whether QEMU may boot it: not a file that has to be unpacked, nor a disk whose partitions hold only data.
fn can_boot(path: &Path, format: Format) -> bool {
    let starts = |table: disk::Table| {
        table.partitions().iter().any(|placed| {
            let is_for_boot = [Some(kinds::ESP), Some(kinds::BIOS_BOOT)].contains(&placed.kind.guid());
            is_for_boot || placed.attributes & kinds::LEGACY_BOOT != 0
        })
    };
    let table = || container::open(path).and_then(|(_, disk)| disk::read(&*disk));
    // Without such a table there may be a boot sector; what is not read is not run either, such as a disk over another.
    let may_start = || table().map_or_else(|error| *error.kind() != Kind::Unsupported, starts);
    format == Format::Microvm || format.qemu_driver().is_some() && may_start()
}

impl fmt::Display for Made {
    /// `web.qcow2: qcow2, 10 GiB disk in 400 MiB; boot it: vmimage run web.qcow2`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", line(&self.file.to_string_lossy()), self.image)?;
        match &self.run {
            Some(run) => write!(f, "; boot it: {}", line(run)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_disk_is_booted_unless_its_partitions_hold_only_data() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("my disk.raw");
        std::fs::File::create(&path).unwrap().set_len(64 << 20).unwrap();
        let run = Some("vmimage run 'my disk.raw'");
        for (kind, expected) in [(None, run), (Some("8300"), None), (Some("ef00"), run), (Some("ef02"), run)]
        {
            if let Some(kind) = kind {
                let mut sgdisk = Command::new("sgdisk");
                sgdisk.args(["--clear", "--new=1:2048:4095", &format!("--typecode=1:{kind}")]);
                assert!(sgdisk.arg(&path).output().unwrap().status.success());
            }
            let told = Made::read(&path)
                .unwrap()
                .run
                .map(|run| run.replace(&format!("{}/", dir.path().display()), ""));
            assert_eq!(told.as_deref(), expected, "{kind:?}");
        }
        std::fs::write(&path, b"\x1f\x8b\x08packed").unwrap();
        assert_eq!(Made::read(&path).unwrap().run, None, "it has to be unpacked first");
    }

    #[test]
    fn a_disk_is_told_wherever_it_lies() {
        let told =
            |format, virtual_size| DiskInfo { format, virtual_size, actual_size: 400 << 20 }.to_string();
        assert_eq!(told(Format::Qcow2, Some(10 << 30)), "qcow2, 10 GiB disk in 400 MiB");
        assert_eq!(told(Format::RawZst, None), "raw.zst, disk in 400 MiB");
        assert_eq!(told(Format::Iso, Some(10 << 30)), "iso, 10 GiB disk in 400 MiB");
        assert_eq!(told(Format::Iso, None), "iso, 400 MiB");
        assert_eq!(told(Format::Update, None), "update, 400 MiB");
    }

    #[test]
    fn formats_are_told_by_magic_not_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.raw");
        let made =
            Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&path).arg("3G").status();
        assert!(made.unwrap().success());
        let image = DiskInfo::read(&path).unwrap();
        assert_eq!((image.format, image.virtual_size), (Format::Qcow2, Some(3 << 30)));
        assert!(image.actual_size > 0 && image.actual_size < 1 << 20);

        for (driver, format) in
            [("vdi", Format::Vdi), ("vpc", Format::Vhd), ("vhdx", Format::Vhdx), ("vmdk", Format::Vmdk)]
        {
            let mut create = Command::new("qemu-img");
            create.args(["create", "-q", "-f", driver]);
            if format == Format::Vhd {
                create.args(["-o", "subformat=fixed,force_size=on"]);
            }
            assert!(create.arg(&path).arg("64M").status().unwrap().success());
            let image = DiskInfo::read(&path).unwrap();
            assert_eq!((image.format, image.virtual_size), (format, Some(64 << 20)));
        }

        std::fs::write(&path, b"\x1f\x8b\x08packed").unwrap();
        let image = DiskInfo { actual_size: 4096, ..DiskInfo::read(&path).unwrap() };
        assert_eq!(image.to_string(), "raw.gz, disk in 4 KiB");
        let image = DiskInfo { virtual_size: Some(1 << 30), ..image };
        assert_eq!(image.to_string(), "raw.gz, 1 GiB disk in 4 KiB");

        let image = DiskInfo { format: Format::Update, virtual_size: None, ..image };
        assert_eq!(image.to_string(), "update, 4 KiB");

        std::fs::write(&path, b"short").unwrap();
        assert_eq!(DiskInfo::read(&path).unwrap().format, Format::Raw);
        assert!(
            DiskInfo::read(Path::new("/dev/null"))
                .unwrap_err()
                .to_string()
                .ends_with("is not a regular file")
        );
        let error = DiskInfo::read(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with(": is a directory, and no .ovf is in it"), "{error}");
        std::fs::write(dir.path().join("web.ovf"), "<Envelope/>").unwrap();
        let disk = dir.path().join("web-disk1.vmdk");
        let mut create = Command::new("qemu-img");
        create.args(["create", "-q", "-f", "vmdk"]);
        assert!(create.arg(&disk).arg("64M").status().unwrap().success());
        let image = DiskInfo::read(dir.path()).unwrap();
        assert_eq!((image.format, image.virtual_size), (Format::Ovf, Some(64 << 20)));
        assert!(image.actual_size >= DiskInfo::read(&disk).unwrap().actual_size);
    }
}
