//! Texts of a tree that are read whole.

use super::Tree;
use crate::error::Result;
use crate::limits::{self, Budget};

/// Reads texts of one kind, of which a tree may have any number: many names can lead to one file.
pub(crate) struct Texts(Budget);

impl Texts {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self(Budget::new("bytes of such texts", limits::TEXTS))
    }

    /// One more of them, empty if there is none.
    ///
    /// # Errors
    /// If it is longer than any text, or all of them are.
    pub(crate) fn read(&mut self, tree: &Tree, path: &str) -> Result<Vec<u8>> {
        let text = tree.read(path, limits::TEXT)?.unwrap_or_default();
        self.0.spend(text.len() as u64).map_err(|exceeded| exceeded.at(path))?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::*;

    #[test]
    fn one_text_of_many_names_is_not_read_for_ever() {
        let text = "a".repeat(1 << 20);
        let tree = tree(&[("/etc/long", &text), ("/etc/longer", &(text.clone() + "a"))]);
        let mut texts = Texts::new();
        for _ in 0..limits::TEXTS / limits::TEXT {
            assert_eq!(texts.read(&tree, "/etc/long").unwrap().len(), 1 << 20);
        }
        assert!(texts.read(&tree, "/etc/none").unwrap().is_empty());
        let error = texts.read(&tree, "/etc/long").unwrap_err().to_string();
        assert_eq!(error, "/etc/long: more than 16777216 bytes of such texts, which is the limit");
        assert!(Texts::new().read(&tree, "/etc/longer").is_err());
    }
}
