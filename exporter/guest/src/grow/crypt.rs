//! A LUKS volume between a partition and its file system.
//!
//! The kernel takes no larger mapping without the volume key, which `cryptsetup` gets from a key file or a token, such as
//! that of a TPM: nobody is asked for a passphrase here. With that alone the volume is as large as its partition once it is
//! opened again, at the next boot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::device::{Device, in_file};

/// How device-mapper's UUIDs of such volumes begin, as cryptsetup gives them.
const LUKS: &str = "CRYPT-LUKS";
/// Where keys of partitions lie.
const KEYS: &str = "/etc/cryptsetup-keys.d";
/// Where the program may lie.
const PROGRAMS: [&str; 3] = ["/sbin/cryptsetup", "/usr/sbin/cryptsetup", "/usr/bin/cryptsetup"];
/// Bytes in front of the content, of every volume that cryptsetup or vmimage makes, and less in older ones.
const HEADER_MAX: u64 = 16 << 20;

/// What is encrypted in a partition.
#[derive(Debug)]
pub(super) struct Volume {
    /// That in `/dev/mapper`.
    name: String,
    /// What it lies in.
    pub(super) below: Device,
}

impl Volume {
    /// The one that `device` is; `None` if it is another device.
    pub(super) fn of(device: &Device) -> Result<Option<Self>, String> {
        if !device.attribute("dm/uuid").is_some_and(|uuid| uuid.starts_with(LUKS)) {
            return Ok(None);
        }
        let name = device.attribute("dm/name").ok_or("a volume without a name")?;
        Ok(device.only_slave()?.map(|below| Self { name, below }))
    }

    /// Make it as large as its partition, if that can be; whether it is.
    pub(super) fn grow(&self, device: &Device) -> Result<bool, String> {
        if device.size()?.saturating_add(HEADER_MAX) >= self.below.size()? {
            return Ok(true);
        }
        let Some(program) = PROGRAMS.iter().find(|path| Path::new(path).exists()) else { return Ok(false) };
        let key = PathBuf::from(KEYS).join(format!("{}.key", self.name));
        let mut command = Command::new(program);
        command.args(["resize", "--batch-mode"]);
        match key.exists() {
            true => command.arg("--key-file").arg(key),
            false => command.arg("--token-only"),
        };
        let done = command.arg(&self.name).stdin(Stdio::null()).output();
        Ok(done.map_err(in_file(Path::new(program)))?.status.success())
    }
}

impl Device {
    /// A line of sysfs about it.
    fn attribute(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.sysfs().join(name)).ok().map(|text| text.trim_end().to_owned())
    }

    /// The device that it lies in; `None` if there are none or several.
    fn only_slave(&self) -> Result<Option<Self>, String> {
        let folder = self.sysfs().join("slaves");
        let slaves = fs::read_dir(&folder).map_err(in_file(&folder))?.flatten();
        match &slaves.map(|slave| slave.file_name()).collect::<Vec<_>>()[..] {
            [only] => Self::named(only).map(Some),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(files: &[(&str, &str)]) -> (tempfile::TempDir, Device) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let device = Device::at(folder.path().to_owned()).unwrap();
        (folder, device)
    }

    #[test]
    fn only_a_luks_volume_is_one() {
        for files in [
            &[][..],
            &[("partition", "3\n")],
            // LVM is somebody else's to grow.
            &[("dm/uuid", "LVM-abc\n"), ("dm/name", "root\n"), ("slaves/vda3", "")],
            // A mirror of two.
            &[
                ("dm/uuid", "CRYPT-LUKS2-abc-root\n"),
                ("dm/name", "root\n"),
                ("slaves/a", ""),
                ("slaves/b", ""),
            ],
        ] {
            let (_folder, device) = device(files);
            assert!(Volume::of(&device).unwrap().is_none(), "{files:?}");
        }
    }
}
