//! What the disk's builder says of the machine: which update is for it, where it comes from, and who signs it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::grow::device::in_file;

/// Where it lies in each root.
pub(super) const PATH: &str = "/usr/lib/vmimage/update.json";

/// `update.json`, written by `exporter/src/machine/update.rs`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Config {
    /// What the system is, the same in all its versions.
    pub(super) id: String,
    /// That of the root which says so.
    pub(super) version: String,
    /// The machines that an update has to be for.
    pub(super) compatible: String,
    /// `x86_64` or `aarch64`.
    pub(super) architecture: String,
    /// `grub` or `systemd-boot`.
    pub(super) loader: String,
    /// Whether the kernels of both slots lie beside them.
    #[serde(default)]
    pub(super) kernels: bool,
    /// Where the machine looks for its next version.
    pub(super) from: Option<String>,
    /// Seconds between two looks.
    pub(super) every: Option<u64>,
    /// When it may restart, in local time: `02:00-04:00`.
    pub(super) window: Option<String>,
    /// Those of minisign, of which one has to have signed.
    #[serde(default)]
    pub(super) public_keys: Vec<String>,
    /// Certificates in the place of the trust store (PEM).
    pub(super) ca: Option<PathBuf>,
    /// What the machine shows a server of itself, with its key (PEM).
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

impl Config {
    /// That of the running root.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!(
                "{}: is not there, this machine was not built for updates\nhint: build it with layout = \"ab\", and an id \
                 and a version in [image]",
                path.display()
            ),
            _ => in_file(path)(error),
        })?;
        serde_json::from_slice(&text).map_err(in_file(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_builder_writes_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("update.json");
        let text = r#"{"id":"kiosk","version":"1.4.0","compatible":"acme kiosk-2","architecture":"x86_64","loader":"grub",
            "kernels":true,"from":"https://u.example/","every":21600,"window":"02:00-04:00","public-keys":["RWx"],
            "ca":"/etc/ca.pem","certificate":"/etc/c.pem","key":"/etc/k.pem"}"#;
        fs::write(&path, text).unwrap();
        let config = Config::read(&path).unwrap();
        assert_eq!((&*config.compatible, config.every, config.kernels), ("acme kiosk-2", Some(21600), true));
        assert_eq!((config.public_keys.len(), config.key), (1, Some("/etc/k.pem".into())));
        let least = r#"{"id":"k","version":"1","compatible":"k","architecture":"x86_64","loader":"grub"}"#;
        fs::write(&path, least).unwrap();
        assert_eq!(Config::read(&path).unwrap().from, None);
        for bad in ["{}", "", &least.replace("loader", "loaders")] {
            fs::write(&path, bad).unwrap();
            assert!(Config::read(&path).unwrap_err().contains("update.json: "), "{bad}");
        }
        fs::remove_file(&path).unwrap();
        assert!(Config::read(&path).unwrap_err().contains("hint: build it with"));
    }
}
