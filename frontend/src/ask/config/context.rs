//! The build context as a folder of this machine: for engines without frontends, and for files that are there already.

use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exporter::machine::Materials;
use exporter::spec::Spec;
use exporter::tree::{HostDir, scan};
use rustix::fs::OFlags;

use super::apply::{Configuration, MAX_TEXT};
use super::load::{Files, missing};
use super::{Entry, Secrets};
use crate::base::ready::ready;
use crate::base::text;
use crate::base::{Error, Result};

/// A folder.
pub(crate) struct Context {
    folder: Arc<HostDir>,
    path: PathBuf,
}

impl Context {
    /// Opens it.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let path = std::path::absolute(folder)
            .map_err(|error| Error::user(format!("{}: cannot be read", folder.display())).because(error))?;
        Ok(Self { folder: HostDir::open(folder)?, path })
    }

    /// The configuration in it: `asked`, which must be there, or `vmimage.toml`, if it is.
    pub(crate) fn load(&self, asked: Option<&str>) -> Result<Configuration> {
        ready(Configuration::load(self, asked))
    }

    /// What a spec names: files, and secrets.
    pub(crate) fn materials(
        &self,
        spec: &Spec,
        secrets: &Secrets,
        threads: NonZeroUsize,
    ) -> Result<Materials> {
        let secrets = secrets.read(&spec.secrets())?;
        if spec.context_files().is_empty() {
            return Ok(Materials { secrets, ..Materials::default() });
        }
        let context = scan(&self.folder, threads, &mut |_| {})?;
        Ok(Materials { context, secrets, ..Materials::default() })
    }

    /// Copies a file of it into `folder`, where it has the same path.
    pub(crate) fn copy(&self, path: &str, folder: &Path) -> Result<()> {
        let unreadable = |error| Error::user(format!("{path}: cannot be read")).because(error);
        let mut from = match self.folder.open_below(path.as_bytes(), OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => std::fs::File::from(file),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(missing(path));
            }
            Err(error) => return Err(unreadable(error)),
        };
        if !from.metadata().map_err(unreadable)?.is_file() {
            return Err(Error::user(format!("{path}: is no file")));
        }
        let to = folder.join(path);
        to.parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::File::create_new(&to))
            .and_then(|mut file| std::io::copy(&mut from, &mut file))
            .map_err(|error| {
                Error::user(format!("{path}: cannot be copied to {}", to.display())).because(error)
            })?;
        Ok(())
    }

    /// A folder in it, reached through no symlink, for other programs.
    pub(crate) fn directory(&self, path: &str) -> Result<PathBuf> {
        match self.folder.open_below(path.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(_) => Ok(self.path.join(path)),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(missing(path)),
            Err(error) => Err(Error::user(format!("{path}: cannot be read")).because(error)),
        }
    }
}

impl Files for Context {
    type Opened = ();

    async fn open(&self, _: &[&str]) -> Result<()> {
        Ok(())
    }

    /// Through no symlink, as is a text.
    async fn entry(&self, (): &(), path: &str) -> Result<Option<Entry>> {
        let unreadable = |error| Error::user(format!("{path}: cannot be read")).because(error);
        let place = match self.folder.open_below(path.as_bytes(), OFlags::PATH) {
            Ok(place) => std::fs::File::from(place),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(unreadable(error)),
        };
        let is_folder = place.metadata().map_err(unreadable)?.is_dir();
        Ok(Some(if is_folder { Entry::Folder } else { Entry::File }))
    }

    async fn text(&self, (): &(), path: &str) -> Result<Option<String>> {
        let unreadable = |error| Error::user(format!("{path}: cannot be read")).because(error);
        let file = match self.folder.open_below(path.as_bytes(), OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => std::fs::File::from(file),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        text::read_from(file, path, MAX_TEXT as u64).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_context_are_copied_and_by_no_symlink() {
        let [here, there] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        std::fs::create_dir(here.path().join("kernels")).unwrap();
        std::fs::write(here.path().join("kernels/bzImage"), "kernel").unwrap();
        std::os::unix::fs::symlink("kernels/bzImage", here.path().join("link")).unwrap();
        let context = Context::open(here.path()).unwrap();
        context.copy("kernels/bzImage", there.path()).unwrap();
        assert_eq!(std::fs::read(there.path().join("kernels/bzImage")).unwrap(), b"kernel");
        for (path, why) in [
            ("none", "none: is not in the build context"),
            ("kernels/bzImage/none", "kernels/bzImage/none: is not in the build context"),
            ("kernels", "kernels: is no file"),
            ("link", "link: cannot be read"),
            ("../etc/passwd", "../etc/passwd: cannot be read"),
        ] {
            let error = context.copy(path, there.path()).unwrap_err();
            assert!(error.to_string().starts_with(why), "{error}");
        }
        assert_eq!(std::fs::read_dir(there.path()).unwrap().count(), 1);
    }
}
