//! What a spec only names: files of the build context, other stages, and secrets.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::spec::TextFormat;
use crate::spec::setup::{Keys, Setup};
use crate::tree::{Detail, Editor, InodeId, Meta, Time, Tree};

/// The contents that a spec names.
#[derive(Clone)]
pub struct Materials {
    /// The build context, or as much of it as is named.
    pub context: Tree,
    /// The file systems of other stages and of named contexts, by their names.
    pub stages: BTreeMap<String, Tree>,
    /// The content of each secret by its id.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// The [placement](crate::fs::ext4::Placement) of an earlier build, which the root is to keep to.
    pub placement: Option<Vec<u8>>,
}

impl Default for Materials {
    fn default() -> Self {
        let context = Tree::new(Meta::default());
        Self { context, stages: BTreeMap::new(), secrets: BTreeMap::new(), placement: None }
    }
}

impl fmt::Debug for Materials {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Materials").field("secrets", &self.secrets.keys()).finish_non_exhaustive()
    }
}

impl Materials {
    /// A hash of the files of the context that `setup` names, as far as a machine gets to see them: their names and
    /// contents, and the permissions of those in folders. `None` if it names none.
    ///
    /// # Errors
    /// If one of them is not in the context or cannot be read.
    pub(crate) fn digest(&self, setup: &Setup) -> Result<Option<[u8; 32]>> {
        let paths = setup.context_files();
        if paths.is_empty() {
            return Ok(None);
        }
        let mut named = Tree::new(Meta::default());
        let mut editor = Editor::new(&mut named, Time::default());
        for path in paths {
            let id = self.file(path)?;
            let in_folder = self.context.entries(id).is_some();
            // Owners and times are those of whoever checked the context out.
            let change = |meta: &mut Meta| {
                let permissions = if in_folder { meta.permissions } else { 0 };
                *meta = Meta { permissions, mtime: meta.mtime, ..Meta::default() };
            };
            editor.overlay(path.as_bytes(), &self.context, id, &change)?;
        }
        named.digest(Detail { hashes: true, holes: false }).map(Some)
    }

    /// A secret.
    pub(crate) fn secret(&self, id: &str) -> Result<&[u8]> {
        let missing = || {
            Error::new(Kind::NotFound, format!("secret {id}"), "was not given to the build")
                .with_hint(format!("add --secret id={id},src=FILE"))
        };
        self.secrets.get(id).map(Vec::as_slice).ok_or_else(missing)
    }

    /// The one line of a secret that somebody types, as a password is.
    pub(crate) fn passphrase(&self, id: &str) -> Result<&str> {
        super::password::of_secret(id, self)
    }

    /// A file or folder of the context, through no symlink.
    pub(crate) fn file(&self, path: &str) -> Result<InodeId> {
        self.context.lookup(path).ok_or_else(|| {
            Error::new(Kind::NotFound, path, "is not in the build context")
                .with_hint("paths are those of the context; .dockerignore may leave files out")
        })
    }

    /// What lies in another stage or a named context. Links lead to other places of the same one.
    pub(crate) fn in_stage(&self, from: &str, path: &str) -> Result<(&Tree, InodeId)> {
        let stage = self.stages.get(from).ok_or_else(|| {
            let message = "is a stage or a named context, and only builds by docker have them";
            Error::new(Kind::Input, from, message)
                .with_hint("build with --engine docker, or name one of the build context")
        })?;
        let missing = || Error::new(Kind::NotFound, format!("{from}:{path}"), "is not there");
        Ok((stage, stage.resolve(path).ok_or_else(missing)?))
    }

    /// What a file of the context says, through no symlink.
    pub(crate) fn text(&self, path: &str) -> Result<Vec<u8>> {
        self.file(path)?;
        Ok(self.context.read(path, limits::TEXT)?.unwrap_or_default())
    }

    /// The lines of SSH keys.
    pub(super) fn keys(&self, keys: &Keys) -> Result<Vec<String>> {
        let (place, bytes) = match keys {
            Keys::Key(key) => return Ok(vec![key.clone()]),
            Keys::Secret(secret) => {
                (format!("secret {}", secret.secret), self.secret(&secret.secret)?.to_vec())
            }
            Keys::File(file) => (file.file.clone(), self.text(&file.file)?),
        };
        let wrong = |message: &str| Error::new(Kind::Input, place.clone(), message);
        let text = String::from_utf8(bytes).map_err(|_| wrong("is no text"))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let lines: Vec<_> = lines.map(str::to_owned).collect();
        if lines.is_empty() {
            return Err(wrong("holds no SSH key"));
        }
        match lines.iter().position(|line| TextFormat::SshKey.check(line).is_err()) {
            // Which line, and never what it says.
            Some(index) => Err(wrong(&format!("entry {} is no public SSH key", index + 1))),
            None => Ok(lines),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::setup::{ContextFile, File, User};
    use crate::tree::testing::tree;

    fn digest(files: &[(&str, &str)], change: impl Fn(&mut Materials), sources: &[&str]) -> Option<[u8; 32]> {
        let mut materials = Materials { context: tree(files), ..Materials::default() };
        change(&mut materials);
        let file = |source: &&str| File { source: Some((*source).to_owned()), ..File::default() };
        let setup = Setup { files: sources.iter().map(file).collect(), ..Setup::default() };
        materials.digest(&setup).unwrap()
    }

    #[test]
    fn files_count_if_they_are_named_and_by_what_the_machine_gets_of_them() {
        let files = [("/site/a/index.html", "hi"), ("/motd", "hi"), ("/other", "hi")];
        let named = ["site", "motd"];
        let same = |_: &mut Materials| {};
        let expected = digest(&files, same, &named);
        let meta = |path: &'static str, change: fn(&mut Meta)| {
            move |materials: &mut Materials| {
                let id = materials.file(path).unwrap();
                change(&mut materials.context.inode_mut(id).meta);
            }
        };
        let elsewhere = |meta: &mut Meta| {
            (meta.uid, meta.gid) = (1000, 1000);
            meta.mtime.seconds = 5;
        };
        assert_eq!(digest(&files, meta("site/a", elsewhere), &named), expected);
        assert_eq!(digest(&files, meta("motd", |meta| meta.permissions = 0o600), &named), expected);
        assert_eq!(digest(&[("/other", "ho"), files[0], files[1]], same, &named), expected);
        let secret = |materials: &mut Materials| drop(materials.secrets.insert("id".into(), b"x".to_vec()));
        assert_eq!(digest(&files, secret, &named), expected);

        assert_ne!(digest(&[("/motd", "ho"), files[0]], same, &named), expected);
        assert_ne!(digest(&[("/site/a/index.html", "ho"), files[1]], same, &named), expected);
        assert_ne!(digest(&[("/site/b/index.html", "hi"), files[1]], same, &named), expected);
        assert_ne!(digest(&files, meta("site/a", |meta| meta.permissions = 0o700), &named), expected);
        assert_eq!(digest(&files, same, &[]), None);
    }

    #[test]
    fn files_of_keys_count_too_and_those_that_are_missing_are_named() {
        let keys = vec![Keys::File(ContextFile { file: "ada.pub".into() })];
        let setup =
            Setup { users: vec![User { authorized_keys: keys, ..User::default() }], ..Setup::default() };
        let of = |text| Materials { context: tree(&[("/ada.pub", text)]), ..Materials::default() };
        assert_ne!(of("a").digest(&setup).unwrap(), of("b").digest(&setup).unwrap());
        let error = Materials::default().digest(&setup).unwrap_err();
        assert_eq!(error.to_string(), "ada.pub: is not in the build context");
    }
}
