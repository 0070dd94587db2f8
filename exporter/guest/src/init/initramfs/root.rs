//! Which device the root is: by its name, by what its file system says of itself, or by the partition table's words.

use std::fmt::{self, Display};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};

use rustix::fs::ioctl_blksszget;

use super::loop_device;
use super::superblock::Superblock;
use crate::grow::device::{Device, in_file};
use crate::grow::table;
use crate::init::modules::Modules;

/// All block devices by name.
const BLOCK: &str = "/sys/class/block";

/// What `root=` names, and fstab(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    Device(PathBuf),
    /// In the initramfs itself.
    File(PathBuf),
    /// Of the file system.
    Uuid(String),
    Label(String),
    /// Of the partition.
    PartUuid(String),
    PartLabel(String),
}

/// Links of udev, which nobody makes here, and what they mean.
const LINKS: [(&str, &str); 4] = [
    ("/dev/disk/by-uuid/", "UUID="),
    ("/dev/disk/by-label/", "LABEL="),
    ("/dev/disk/by-partuuid/", "PARTUUID="),
    ("/dev/disk/by-partlabel/", "PARTLABEL="),
];

impl Root {
    pub(crate) fn parse(word: &str) -> Result<Self, String> {
        let meant =
            LINKS.iter().find_map(|(folder, tag)| Some(format!("{tag}{}", word.strip_prefix(folder)?)));
        if let Some(meant) = meant {
            return Self::parse(&meant);
        }
        Ok(match word.split_once('=') {
            // Of hexadecimal digits either case is right.
            Some(("UUID", id)) => Self::Uuid(id.to_lowercase()),
            Some(("PARTUUID", id)) => Self::PartUuid(id.to_lowercase()),
            Some(("LABEL", label)) => Self::Label(label.to_owned()),
            Some(("PARTLABEL", label)) => Self::PartLabel(label.to_owned()),
            _ if word.starts_with("/dev/") => Self::Device(word.into()),
            _ if word.starts_with('/') => Self::File(word.into()),
            _ if word.is_empty() => return Err("the command line has no root=".to_owned()),
            _ => {
                return Err(format!(
                    "root={word}: not a name in /dev, UUID=, LABEL=, PARTUUID=, PARTLABEL= or a file"
                ));
            }
        })
    }

    /// The device, if it is there.
    ///
    /// # Errors
    /// Of a file that cannot be used, which nothing that comes later mends.
    pub(super) fn find(&self, modules: &mut Modules) -> Result<Option<PathBuf>, String> {
        let found = |is_it: &dyn Fn(&Path) -> bool| {
            block_devices().iter().map(|name| Path::new("/dev").join(name)).find(|path| is_it(path))
        };
        Ok(match self {
            Self::Device(path) => is_block_device(path).then(|| path.clone()),
            Self::File(path) => Some(loop_device::attach(path, modules)?),
            Self::Uuid(id) => found(&|path| of_file_system(path, |known| known.id() == *id)),
            Self::Label(label) => found(&|path| of_file_system(path, |known| known.label == *label)),
            Self::PartUuid(id) => found(&|path| partition_id(path).is_some_and(|said| said == *id)),
            Self::PartLabel(label) => {
                found(&|path| variable(path, "PARTNAME").is_some_and(|said| said == *label))
            }
        })
    }
}

impl Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) | Self::File(path) => write!(f, "root={}", path.display()),
            Self::Uuid(id) => write!(f, "root=UUID={id}"),
            Self::Label(label) => write!(f, "root=LABEL={label}"),
            Self::PartUuid(id) => write!(f, "root=PARTUUID={id}"),
            Self::PartLabel(label) => write!(f, "root=PARTLABEL={label}"),
        }
    }
}

fn is_block_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| it.file_type().is_block_device())
}

fn of_file_system(path: &Path, is_it: impl Fn(&Superblock) -> bool) -> bool {
    Superblock::read(path).is_some_and(|known| is_it(&known))
}

/// A variable that the kernel says of a device.
pub(crate) fn variable(device: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new(BLOCK).join(device.file_name()?).join("uevent")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

/// What the table says of a partition: only the newest kernels say so themselves.
pub(crate) fn partition_id(device: &Path) -> Option<String> {
    let partition = Device::named(device.file_name()?).ok()?.partition().ok()??;
    let disk = File::open(&partition.disk.path).ok()?;
    let block = ioctl_blksszget(&disk).ok()?;
    let read = |at, len| {
        let mut bytes = vec![0; len];
        disk.read_exact_at(&mut bytes, at).map(|()| bytes).map_err(in_file(&partition.disk.path))
    };
    table::partition_id(block.into(), partition.number, read).ok()?
}

/// The names of the block devices that have something in them, in their order.
pub(crate) fn block_devices() -> Vec<String> {
    let entries = fs::read_dir(BLOCK).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| {
        let size = fs::read_to_string(Path::new(BLOCK).join(name).join("size"));
        size.is_ok_and(|size| size.trim() != "0") && !name.contains('!')
    });
    names.sort();
    names
}

/// A device with what is in it, for a person.
pub(crate) fn show(name: &str) -> Option<String> {
    let path = Path::new("/dev").join(name);
    is_block_device(&path).then(|| match Superblock::read(&path) {
        Some(known) => format!("{} ({} UUID={})", path.display(), known.kind, known.id()),
        None => path.display().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_command_line_says_is_a_device_or_an_error() {
        for (word, expected) in [
            ("/dev/vda", Root::Device("/dev/vda".into())),
            ("/root.erofs", Root::File("/root.erofs".into())),
            ("UUID=AB-cd", Root::Uuid("ab-cd".into())),
            ("LABEL=A=b", Root::Label("A=b".into())),
            ("PARTUUID=AB-01", Root::PartUuid("ab-01".into())),
            ("PARTLABEL=root a", Root::PartLabel("root a".into())),
        ] {
            assert_eq!(Root::parse(word).unwrap(), expected, "{word}");
        }
        for word in ["", "254:0", "ID=x", "mmcblk0p1", "nfs"] {
            let error = Root::parse(word).unwrap_err();
            assert!(error.contains("root="), "{error}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let mut modules = Modules::none();
        for word in ["/dev/vmimage-none", "UUID=0", "PARTUUID=0", "PARTLABEL=vmimage-none", "/dev/null"] {
            assert_eq!(Root::parse(word).unwrap().find(&mut modules), Ok(None), "{word}");
        }
        assert!(Root::parse("/nonexistent").unwrap().find(&mut modules).is_err());
    }
}
