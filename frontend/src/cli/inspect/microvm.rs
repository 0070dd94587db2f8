//! A microVM: what the description in its folder says, and the root that it names.

use std::path::{Path, PathBuf};

use exporter::container::microvm::is_microvm;
use serde::{Deserialize, Serialize};

use crate::base::{Error, Result, text};

/// The description's name in the folder.
const DESCRIPTION: &str = "vm.json";
/// More than any description has.
const DESCRIPTION_LIMIT: u64 = 1 << 20;

/// As much of a description as is shown.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Microvm {
    pub(super) name: String,
    pub(super) architecture: String,
    pub(super) cpus: u32,
    pub(super) memory_mib: u64,
    pub(super) kernel: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) initramfs: Option<String>,
    pub(super) cmdline: String,
    drives: Vec<Drive>,
    #[serde(default)]
    pub(super) ports: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Drive {
    id: String,
    file: String,
}

/// The drive with the root.
const ROOT: &str = "root";

impl Microvm {
    /// That of a folder, and the file of its root; `None` if it is no microVM.
    pub(super) fn read(folder: &Path) -> Result<Option<(Self, PathBuf)>> {
        if !is_microvm(folder) {
            return Ok(None);
        }
        let path = folder.join(DESCRIPTION);
        let shown = path.display();
        let described: Self = serde_json::from_str(&text::read(&path, DESCRIPTION_LIMIT)?)
            .map_err(|error| Error::user(format!("{shown}: describes no microVM")).because(error))?;
        let root = described.drives.iter().find(|drive| drive.id == ROOT);
        let root = root.ok_or_else(|| Error::user(format!("{shown}: no drive has the id {ROOT}")))?;
        let is_beside = !matches!(&*root.file, "" | "." | "..") && !root.file.contains('/');
        if !is_beside {
            return Err(Error::user(format!("{shown}: {:?} is no file of the folder", root.file)));
        }
        let root = folder.join(&root.file);
        Ok(Some((described, root)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(description: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("vmlinuz"), "").unwrap();
        fs::write(folder.path().join(DESCRIPTION), description).unwrap();
        folder
    }

    fn description(id: &str, file: &str) -> String {
        format!(
            r#"{{"version":1,"name":"web","architecture":"x86_64","cpus":1,"memory_mib":256,"kernel":"vmlinuz",
                "cmdline":"root=/dev/vda","drives":[{{"id":"{id}","file":"{file}","format":"raw","read_only":false}}]}}"#
        )
    }

    #[test]
    fn the_root_is_a_file_of_the_folder() {
        let whole = folder(&description("root", "root.raw"));
        let (described, root) = Microvm::read(whole.path()).unwrap().unwrap();
        assert_eq!((described.memory_mib, root), (256, whole.path().join("root.raw")));
        assert!(Microvm::read(&whole.path().join(DESCRIPTION)).unwrap().is_none());
        for (id, file, part) in [
            ("root", "../root.raw", "is no file of the folder"),
            ("root", "/etc/passwd", "is no file of the folder"),
            ("root", "..", "is no file of the folder"),
            ("data", "root.raw", "no drive has the id root"),
        ] {
            let refused = Microvm::read(folder(&description(id, file)).path()).unwrap_err().to_string();
            assert!(refused.contains(part), "{refused}");
        }
        let refused = Microvm::read(folder("{}").path()).unwrap_err().to_string();
        assert!(refused.contains("describes no microVM"), "{refused}");
    }
}
