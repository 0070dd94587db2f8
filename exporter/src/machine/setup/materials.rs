//! What a setup only names: files of the build context, and secrets.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Error, Kind, Result};
use crate::spec::check_format;
use crate::spec::setup::Keys;
use crate::tree::{InodeId, Meta, Tree};

/// Far more than a text of keys has.
const TEXT_LIMIT: u64 = 1 << 20;

/// The contents that a setup names.
#[derive(Clone)]
pub struct Materials {
    /// The build context, or as much of it as is named.
    pub context: Tree,
    /// The content of each secret by its id.
    pub secrets: BTreeMap<String, Vec<u8>>,
}

impl Default for Materials {
    fn default() -> Self {
        Self { context: Tree::new(Meta::default()), secrets: BTreeMap::new() }
    }
}

impl fmt::Debug for Materials {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Materials").field("secrets", &self.secrets.keys()).finish_non_exhaustive()
    }
}

impl Materials {
    /// A secret.
    pub(super) fn secret(&self, id: &str) -> Result<&[u8]> {
        let missing = || {
            Error::new(Kind::NotFound, format!("secret {id}"), "was not given to the build")
                .with_hint(format!("add --secret id={id},src=FILE"))
        };
        self.secrets.get(id).map(Vec::as_slice).ok_or_else(missing)
    }

    /// A file or folder of the context, through no symlink.
    pub(super) fn file(&self, path: &str) -> Result<InodeId> {
        self.context.lookup(path).ok_or_else(|| {
            Error::new(Kind::NotFound, path, "is not in the build context")
                .with_hint("paths are those of the context; .dockerignore may leave files out")
        })
    }

    /// The lines of SSH keys.
    pub(super) fn keys(&self, keys: &Keys) -> Result<Vec<String>> {
        let (place, bytes) = match keys {
            Keys::Key(key) => return Ok(vec![key.clone()]),
            Keys::Secret(secret) => {
                (format!("secret {}", secret.secret), self.secret(&secret.secret)?.to_vec())
            }
            Keys::File(file) => {
                self.file(&file.file)?;
                (file.file.clone(), self.context.read(&file.file, TEXT_LIMIT)?.unwrap_or_default())
            }
        };
        let wrong = |message: &str| Error::new(Kind::Input, place.clone(), message);
        let text = String::from_utf8(bytes).map_err(|_| wrong("is no text"))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let lines: Vec<_> = lines.map(str::to_owned).collect();
        if lines.is_empty() {
            return Err(wrong("holds no SSH key"));
        }
        match lines.iter().position(|line| check_format("ssh-key", line).is_err()) {
            // Which line, and never what it says.
            Some(index) => Err(wrong(&format!("entry {} is no public SSH key", index + 1))),
            None => Ok(lines),
        }
    }
}
