//! How a configuration is loaded, wherever the build context is.

use std::collections::BTreeMap;

use super::apply::Configuration;
use super::{Config, Entries, Entry, FILE};
use crate::base::{Error, Result};

/// A build context, as far as a configuration is read from it.
pub(crate) trait Files {
    /// Some of its files and folders, ready to be looked at.
    type Opened;

    /// Makes these files and folders ready, as far as they are there.
    async fn open(&self, paths: &[&str]) -> Result<Self::Opened>;

    /// What is at a path; `None` if nothing is.
    async fn entry(&self, opened: &Self::Opened, path: &str) -> Result<Option<Entry>>;

    /// The text at a path; `None` if nothing is there.
    async fn text(&self, opened: &Self::Opened, path: &str) -> Result<Option<String>>;
}

impl Configuration {
    /// The one in a build context: `asked`, which must be there, or `vmimage.toml`, if it is.
    pub(crate) async fn load<F: Files>(files: &F, asked: Option<&str>) -> Result<Self> {
        let name = asked.unwrap_or(FILE);
        let opened = files.open(&[name]).await?;
        let Some(text) = files.text(&opened, name).await? else {
            return match asked {
                None => Ok(Self::default()),
                Some(_) => Err(missing(name)),
            };
        };
        let config = Config::parse(name, &text)?;
        // Here and not by the steps that they are for: a kernel would be installed by then.
        let paths = config.texts();
        let opened = files.open(&paths).await?;
        let mut entries = Entries::new();
        note(files, &opened, &paths, &mut entries).await?;
        for paths in config.mounts() {
            let paths: Vec<_> = paths.iter().map(String::as_str).collect();
            note(files, &files.open(&paths).await?, &paths, &mut entries).await?;
        }
        Config::check_paths(name, &text, &entries)?;
        let mut texts = BTreeMap::new();
        for path in paths {
            let text = files.text(&opened, path).await?.ok_or_else(|| missing(path))?;
            texts.insert(path.to_owned(), text);
        }
        Ok(Self { config, texts })
    }
}

/// Notes what there is at these paths.
async fn note<F: Files>(files: &F, opened: &F::Opened, paths: &[&str], entries: &mut Entries) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ready::ready;

    /// A context of these texts.
    struct Texts(&'static [(&'static str, &'static str)]);

    impl Files for Texts {
        type Opened = Vec<String>;

        async fn open(&self, paths: &[&str]) -> Result<Vec<String>> {
            Ok(paths.iter().map(|path| (*path).to_owned()).collect())
        }

        async fn entry(&self, opened: &Vec<String>, path: &str) -> Result<Option<Entry>> {
            Ok(self.text(opened, path).await?.map(|_| Entry::File))
        }

        async fn text(&self, opened: &Vec<String>, path: &str) -> Result<Option<String>> {
            assert!(opened.iter().any(|opened| opened == path), "{path} is not among {opened:?}");
            Ok(self.0.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned()))
        }
    }

    const ALL: &[(&str, &str)] = &[
        (
            FILE,
            "hostname = \"web\"\n[[hooks]]\nscript = \"run.sh\"\n[[files]]\npath = \"/a\"\nsource = \"a\"\n",
        ),
        ("run.sh", "true"),
        ("a", "A"),
    ];

    fn load(
        texts: &'static [(&'static str, &'static str)],
        asked: Option<&str>,
    ) -> Result<Configuration, String> {
        ready(Configuration::load(&Texts(texts), asked)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_configuration_comes_with_the_texts_that_it_names() {
        for asked in [None, Some(FILE)] {
            let loaded = load(ALL, asked).unwrap();
            let wishes: Vec<_> = loaded.config.wishes.iter().map(|wish| wish.argument()).collect();
            assert_eq!(wishes, [("VMIMAGE_HOSTNAME".to_owned(), "web".to_owned())]);
            assert_eq!(loaded.texts, BTreeMap::from([("run.sh".to_owned(), "true".to_owned())]));
        }
        let said = load(&ALL[..1], None).unwrap_err();
        assert!(said.contains("run.sh is not in the build context"), "{said}");
        assert!(said.contains("a is not in the build context"), "{said}");
    }

    #[test]
    fn only_a_file_that_was_asked_for_has_to_be_there() {
        assert_eq!(load(&[], None), Ok(Configuration::default()));
        assert_eq!(load(&[], Some("prod.toml")), Err("prod.toml: is not in the build context".to_owned()));
    }
}
