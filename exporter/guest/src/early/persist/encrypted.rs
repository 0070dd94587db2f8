//! A partition of what is kept that is encrypted: the image's own program opens it, and asks for the passphrase on the console.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::partition::program;
use crate::grow::device::{Device, in_file};
use crate::init::modules::Modules;

/// How a LUKS header begins.
const MAGIC: &[u8] = b"LUKS\xba\xbe";
/// What the kernel decrypts it by; it looks for the cipher itself.
const DRIVER: &str = "dm_crypt";
/// Where keys of partitions lie.
const KEYS: &str = "/etc/cryptsetup-keys.d";

/// What is in `device` under the name of its label: the device itself, unless it is encrypted.
pub(super) fn open(device: Device, label: &str) -> Result<Device, String> {
    if !is_encrypted(&device.path)? {
        return Ok(device);
    }
    let path = device.path.display();
    let program = program("cryptsetup")
        .ok_or_else(|| format!("{path}: is encrypted, and the image has no cryptsetup"))?;
    Modules::read().load(DRIVER);
    let mut command = Command::new(&program);
    command.args(["open", "--type", "luks2", "--disable-locks"]);
    let key = PathBuf::from(KEYS).join(format!("{label}.key"));
    if key.exists() {
        command.arg("--key-file").arg(key);
    }
    // Nobody answers yet who makes names of devices.
    let opened = command.arg(&device.path).arg(label).env("DM_DISABLE_UDEV", "1").status();
    match opened {
        Ok(status) if status.success() => mapped(Path::new("/sys/class/block"), label),
        Ok(status) => Err(format!("{path}: is encrypted and was not opened: {program}: {status}")),
        Err(error) => Err(format!("{path}: {program}: {error}")),
    }
}

fn is_encrypted(device: &Path) -> Result<bool, String> {
    let mut head = [0; MAGIC.len()];
    let mut file = fs::File::open(device).map_err(in_file(device))?;
    Ok(file.read_exact(&mut head).is_ok() && head == MAGIC)
}

/// The device that device-mapper calls so.
fn mapped(devices: &Path, label: &str) -> Result<Device, String> {
    for entry in fs::read_dir(devices).map_err(in_file(devices))?.flatten() {
        let name = fs::read_to_string(entry.path().join("dm/name")).unwrap_or_default();
        if name.trim_end() == label {
            return Device::named(entry.file_name());
        }
    }
    Err(format!("{label}: was opened, and no device has the name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encrypted_partition_is_told_by_its_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("device");
        for (bytes, is_luks) in [(&b"LUKS\xba\xbe\x00\x02"[..], true), (b"LUKS", false), (&[0; 4096], false)]
        {
            fs::write(&file, bytes).unwrap();
            assert_eq!(is_encrypted(&file), Ok(is_luks));
        }
        assert!(is_encrypted(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_name_that_no_device_has_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("dm-0/dm")).unwrap();
        fs::write(folder.path().join("dm-0/dm/name"), "root\n").unwrap();
        assert!(mapped(folder.path(), "persist").unwrap_err().starts_with("persist: was opened"));
    }
}
