//! The build context as a folder of this machine: for engines without frontends, and for files that are there already.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exporter::machine::Materials;
use exporter::spec::Setup;
use exporter::tree::{HostDir, scan};
use rustix::fs::OFlags;

use super::apply::{Configuration, MAX_TEXT};
use super::{Config, Entries, Entry, FILE, Secrets};
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
        let name = asked.unwrap_or(FILE);
        let Some(text) = self.text(name)? else {
            return match asked {
                None => Ok(Configuration::default()),
                Some(_) => Err(missing(name)),
            };
        };
        let config = Config::parse(name, &text)?;
        let paths = config.texts().into_iter().map(str::to_owned).chain(config.mounts().concat());
        let mut entries = Entries::new();
        for path in paths {
            if let Some(entry) = self.entry(&path)? {
                entries.insert(path, entry);
            }
        }
        Config::check_paths(name, &text, &entries)?;
        let mut texts = BTreeMap::new();
        for path in config.texts() {
            texts.insert(path.to_owned(), self.text(path)?.ok_or_else(|| missing(path))?);
        }
        Ok(Configuration { config, texts })
    }

    /// What is at a path, through no symlink; `None` if nothing is.
    fn entry(&self, path: &str) -> Result<Option<Entry>> {
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

    /// What a setup names: its files, and its secrets.
    pub(crate) fn materials(
        &self,
        setup: &Setup,
        secrets: &Secrets,
        threads: NonZeroUsize,
    ) -> Result<Materials> {
        let secrets = secrets.read(&setup.secrets())?;
        if setup.context_files().is_empty() {
            return Ok(Materials { secrets, ..Materials::default() });
        }
        Ok(Materials { context: scan(&self.folder, threads, &mut |_| {})?, secrets })
    }

    /// A folder in it, reached through no symlink, for other programs.
    pub(crate) fn directory(&self, path: &str) -> Result<PathBuf> {
        match self.folder.open_below(path.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(_) => Ok(self.path.join(path)),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(missing(path)),
            Err(error) => Err(Error::user(format!("{path}: cannot be read")).because(error)),
        }
    }

    /// A text file, through no symlink; `None` if it is not there.
    fn text(&self, path: &str) -> Result<Option<String>> {
        let unreadable = |error| Error::user(format!("{path}: cannot be read")).because(error);
        let file = match self.folder.open_below(path.as_bytes(), OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => std::fs::File::from(file),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        text::read_from(file, path, MAX_TEXT as u64).map(Some)
    }
}

fn missing(path: &str) -> Error {
    Error::user(format!("{path}: is not in the build context"))
}
