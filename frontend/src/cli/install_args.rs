//! Where packages come from, wherever that is asked. What is installed are [attributes](crate::ask::Topic::Install).

use std::fs;
use std::path::{Path, PathBuf};

use crate::ask::Topic;
use crate::base::{Error, Result};

/// Where packages come from.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = Topic::Install.heading())]
pub(super) struct InstallArgs {
    /// A folder of packages to install from in place of any network: a repository with its index, or only
    /// .deb, .apk or .rpm files. It is trusted
    #[arg(long, value_name = "DIR")]
    packages: Option<PathBuf>,
}

impl InstallArgs {
    /// The folder of packages, if there is something to be found in it.
    pub(super) fn packages(&self) -> Result<Option<PathBuf>> {
        let Some(folder) = &self.packages else { return Ok(None) };
        let shown = || format!("--packages {}", folder.display());
        let unreadable = |error| Error::user(format!("{}: cannot be read", shown())).because(error);
        if !fs::metadata(folder).map_err(unreadable)?.is_dir() {
            return Err(Error::user(format!("{}: is not a directory", shown())));
        }
        let names = fs::read_dir(folder).map_err(unreadable)?.collect::<Result<Vec<_>, _>>();
        if !names.map_err(unreadable)?.iter().any(|entry| is_repository(Path::new(&entry.file_name()))) {
            return Err(Error::user(format!("{}: holds no packages", shown()))
                .with_hint("fill it with .deb, .apk or .rpm files, or with a repository and its index"));
        }
        fs::canonicalize(folder).map(Some).map_err(unreadable)
    }
}

/// Whether a folder with this name in it is one of packages: an index, a folder of one, or a package.
fn is_repository(name: &Path) -> bool {
    let name = name.to_string_lossy();
    let is_index = name.starts_with("Packages") || name.starts_with("APKINDEX") || name.ends_with(".db");
    let is_package = [".deb", ".apk", ".rpm"].iter().any(|extension| name.ends_with(extension));
    is_index
        || is_package
        || name.contains(".pkg.tar")
        || matches!(&*name, "dists" | "repodata" | "x86_64" | "aarch64" | "noarch")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_packages_has_some() {
        let folder = tempfile::tempdir().unwrap();
        let packages = |path: PathBuf| InstallArgs { packages: Some(path) }.packages();
        let refused = |path: PathBuf| packages(path).unwrap_err().to_string();
        assert!(refused(folder.path().join("missing")).contains("missing: cannot be read: No such file"));
        fs::write(folder.path().join("notes.txt"), "").unwrap();
        assert!(refused(folder.path().join("notes.txt")).ends_with("is not a directory"));
        assert!(refused(folder.path().to_owned()).ends_with(": holds no packages"));
        for name in ["a_1_amd64.deb", "a-1.apk", "Packages.gz", "dists", "repodata", "a-1.pkg.tar.zst"] {
            let path = folder.path().join(name);
            fs::write(&path, "").unwrap();
            assert!(packages(folder.path().to_owned()).unwrap().is_some(), "{name}");
            fs::remove_file(path).unwrap();
        }
        assert_eq!(InstallArgs::default().packages().unwrap(), None);
    }
}
