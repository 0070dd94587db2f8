//! How a configuration is loaded, wherever the build context is.

use std::collections::BTreeMap;

use super::apply::Configuration;
use super::{Config, Entries, Entry, FILE};
use crate::base::Error;

/// A build context, as far as a configuration is read from it.
pub(crate) trait Files {
    /// Some of its files and folders, ready to be looked at.
    type Opened;
    type Error: From<Error>;

    /// Makes these files and folders ready, as far as they are there.
    async fn open(&self, paths: &[&str]) -> Result<Self::Opened, Self::Error>;

    /// What is at a path; `None` if nothing is.
    async fn entry(&self, opened: &Self::Opened, path: &str) -> Result<Option<Entry>, Self::Error>;

    /// The text at a path; `None` if nothing is there.
    async fn text(&self, opened: &Self::Opened, path: &str) -> Result<Option<String>, Self::Error>;
}

impl Configuration {
    /// The one in a build context: `asked`, which must be there, or `vmimage.toml`, if it is.
    pub(crate) async fn load<F: Files>(files: &F, asked: Option<&str>) -> Result<Self, F::Error> {
        let name = asked.unwrap_or(FILE);
        let opened = files.open(&[name]).await?;
        let Some(text) = files.text(&opened, name).await? else {
            return match asked {
                None => Ok(Self::default()),
                Some(_) => Err(missing(name).into()),
            };
        };
        let config = Config::parse(name, &text).map_err(Error::from)?;
        // Here and not by the steps that they are for: a kernel would be installed by then.
        let paths = config.texts();
        let opened = files.open(&paths).await?;
        let mut entries = Entries::new();
        note(files, &opened, &paths, &mut entries).await?;
        for paths in config.mounts() {
            let paths: Vec<_> = paths.iter().map(String::as_str).collect();
            note(files, &files.open(&paths).await?, &paths, &mut entries).await?;
        }
        Config::check_paths(name, &text, &entries).map_err(Error::from)?;
        let mut texts = BTreeMap::new();
        for path in paths {
            let text = files.text(&opened, path).await?.ok_or_else(|| missing(path))?;
            texts.insert(path.to_owned(), text);
        }
        Ok(Self { config, texts })
    }
}

/// Notes what there is at these paths.
async fn note<F: Files>(
    files: &F,
    opened: &F::Opened,
    paths: &[&str],
    entries: &mut Entries,
) -> Result<(), F::Error> {
    for path in paths {
        if let Some(entry) = files.entry(opened, path).await? {
            entries.insert((*path).to_owned(), entry);
        }
    }
    Ok(())
}

/// That there is nothing where something must be.
pub(super) fn missing(path: &str) -> Error {
    Error::user(format!("{path}: is not in the build context"))
        .with_hint("paths are those of the context; .dockerignore is about COPY alone")
}
