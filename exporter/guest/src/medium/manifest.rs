//! `medium.json`: what a medium holds. `exporter/src/container/medium` writes it; members that are not known here are for others.

use serde::Deserialize;

/// What it is called in the medium's folder, and the most bytes that it may have.
pub(crate) const NAME: &str = "medium.json";
pub(crate) const MAX_LEN: u64 = 1 << 20;
/// The version that this program reads.
const VERSION: u32 = 1;
/// The largest files: no disk has more.
const LARGEST: u64 = 1 << 50;

/// A medium.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Manifest {
    version: u32,
    /// Its UUID.
    pub(crate) id: String,
    pub(crate) name: String,
    /// The system, for a person.
    #[serde(default)]
    pub(crate) os: String,
    /// `x86-64` or `arm64`.
    #[serde(default)]
    pub(crate) architecture: String,
    /// Of the live system; `None` where there is none.
    pub(crate) root: Option<Root>,
    /// The program that the live system is started with.
    #[serde(default = "default_init")]
    pub(crate) init: String,
    /// `None` where there is nothing to install.
    pub(crate) disk: Option<Disk>,
    pub(crate) target: Option<Target>,
}

/// Where the root of the live system is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Root {
    /// A file of its own.
    File { file: String, bytes: u64, sha256: String, r#type: String },
    /// In the disk.
    Partition(Partition),
}

/// A partition of the disk, by its number from 1.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Partition {
    #[serde(rename = "partition")]
    pub(crate) number: u32,
    /// Its file system, as the kernel calls it.
    pub(crate) r#type: String,
}

/// The disk that is installed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Disk {
    pub(crate) file: String,
    /// Of the disk, unpacked.
    pub(crate) bytes: u64,
    /// Whether the file has a frame of zstd for each block, or the blocks as they are.
    #[serde(default)]
    pub(crate) packed: bool,
    /// The file that says what each block is.
    pub(crate) index: String,
    /// SHA-256 of that, where it was known.
    pub(crate) index_sha256: Option<String>,
    #[serde(default = "default_sector_size")]
    pub(crate) sector_size: u32,
}

/// What the installed machine is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Target {
    pub(crate) root: Partition,
    pub(crate) persist: Option<Partition>,
    /// The number of the EFI system partition.
    pub(crate) esp: Option<u32>,
    /// What firmware starts, with its backslashes.
    pub(crate) loader: Option<String>,
    /// What firmware calls it.
    pub(crate) label: Option<String>,
    /// What configures the network: `networkd`, `networkmanager`, `ifupdown`, `wicked`, `own` or `none`.
    pub(crate) network: Option<String>,
}

fn default_init() -> String {
    "/sbin/init".to_owned()
}

fn default_sector_size() -> u32 {
    512
}

impl Manifest {
    /// # Errors
    /// Of what is none, or of another version.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let wrong = |reason: &dyn std::fmt::Display| format!("{NAME}: {reason}");
        let found: Self = serde_json::from_slice(text).map_err(|error| wrong(&error))?;
        found.check().map_err(|reason| wrong(&reason))?;
        Ok(found)
    }

    fn check(&self) -> Result<(), String> {
        if self.version != VERSION {
            let version = self.version;
            return Err(format!("has version {version}, and this initramfs reads version {VERSION}"));
        }
        if let Some(Root::File { file, bytes, .. }) = &self.root {
            check_file(file, *bytes)?;
        }
        if let Some(disk) = &self.disk {
            check_file(&disk.file, disk.bytes)?;
            check_file(&disk.index, 0)?;
            if !matches!(disk.sector_size, 512 | 4096) {
                return Err(format!("no disk has sectors of {} bytes", disk.sector_size));
            }
        }
        Ok(())
    }
}

/// Names are those of files in the medium's own folder.
fn check_file(name: &str, bytes: u64) -> Result<(), String> {
    let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    match is_name && bytes <= LARGEST {
        true => Ok(()),
        false => Err(format!("{name:?} of {bytes} bytes is no file of a medium")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISC: &str = r#"{"version":1,"id":"5b1c0a4e-9d2f-4e3b-8a76-0123456789ab","name":"web","os":"Debian GNU/Linux 12",
        "architecture":"x86-64","modes":["live","install","rescue"],"root":{"partition":3,"type":"ext4"},"init":"/sbin/init",
        "disk":{"file":"disk.raw","bytes":1073741824,"packed":false,"index":"disk.index","sector_size":512},
        "target":{"root":{"partition":3,"type":"ext4"},"esp":1,"loader":"\\EFI\\debian\\shimx64.efi","label":"Debian",
        "network":"networkd"}}"#;
    const FOLDER: &str = r#"{"version":1,"id":"x","name":"web","later":7,"root":{"file":"root.erofs","bytes":4096,
        "sha256":"00","type":"erofs"},"disk":{"file":"disk.zst","bytes":5,"packed":true,"index":"disk.index",
        "index_sha256":"11"}}"#;

    #[test]
    fn a_disc_has_its_root_in_its_disk() {
        let disc = Manifest::parse(DISC.as_bytes()).unwrap();
        let partition = Partition { number: 3, r#type: "ext4".to_owned() };
        assert_eq!(disc.root, Some(Root::Partition(partition.clone())));
        let target = disc.target.unwrap();
        assert_eq!((target.root, target.persist, target.esp), (partition, None, Some(1)));
        assert_eq!(target.loader.unwrap(), "\\EFI\\debian\\shimx64.efi");
        let disk = disc.disk.unwrap();
        assert!(!disk.packed && disk.index_sha256.is_none());
    }

    #[test]
    fn a_folder_has_files() {
        let folder = Manifest::parse(FOLDER.as_bytes()).unwrap();
        assert!(matches!(folder.root, Some(Root::File { bytes: 4096, .. })));
        assert_eq!((&*folder.init, folder.target), ("/sbin/init", None));
        let disk = folder.disk.unwrap();
        assert_eq!((disk.packed, disk.sector_size, disk.index_sha256.as_deref()), (true, 512, Some("11")));
    }

    #[test]
    fn what_is_no_medium_is_refused() {
        for (from, to) in [
            ("\"version\":1", "\"version\":2"),
            ("root.erofs", "../root"),
            ("root.erofs", ""),
            ("disk.index", "a/b"),
            ("4096", "9007199254740993"),
            ("\"packed\":true", "\"sector_size\":520"),
            ("\"bytes\":5", "\"bytes\":-5"),
            ("\"name\"", "\"names\""),
        ] {
            let error = Manifest::parse(FOLDER.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.starts_with("medium.json: "), "{error}");
        }
        assert!(Manifest::parse(b"").is_err());
    }
}
