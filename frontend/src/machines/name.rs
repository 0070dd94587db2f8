//! What a machine is called: as containers are, so that it is a folder's name and no option.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::str::FromStr;

use crate::base::{Error, Result};

/// Bytes of the longest.
const LONGEST: usize = 64;

/// The name of a machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(String);

impl Name {
    /// A name that nobody has thought of, for a machine that is made of `source`.
    ///
    /// # Errors
    /// If there is no randomness.
    pub(crate) fn of_source(source: &str) -> Result<Self> {
        let mut random = [0; 3];
        File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut random))
            .map_err(|error| Error::internal("/dev/urandom: cannot be read").because(error))?;
        let stem = source.rsplit('/').find(|name| !name.is_empty()).unwrap_or_default();
        let stem = stem.split(['.', ':', '@']).next().unwrap_or_default();
        let stem: String = stem.chars().filter(|&c| is_of_name(c)).take(LONGEST / 2).collect();
        let stem = stem.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let stem = if stem.is_empty() { "machine" } else { stem };
        let [a, b, c] = random;
        Ok(Self(format!("{stem}-{a:02x}{b:02x}{c:02x}")))
    }

    /// As it is typed.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_begun = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        match is_begun && text.len() <= LONGEST && text.chars().all(is_of_name) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "a name has at most {LONGEST} letters, digits, dots, dashes and underscores, and begins with a letter or a digit"
            )),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_folders_and_no_option() {
        for name in ["web", "0", "Web_2.a-b", &"x".repeat(64)] {
            assert_eq!(name.parse::<Name>().unwrap().as_str(), name);
        }
        for name in ["", ".", "..", "-rf", "_a", "a/b", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert!(name.parse::<Name>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_machine_without_a_name_is_called_after_what_it_is_made_of() {
        for (source, begin) in [
            ("/disks/web.qcow2", "web-"),
            ("out/vm/", "vm-"),
            ("debian:12", "debian-"),
            ("..", "machine-"),
            (".ä", "machine-"),
        ] {
            let name = Name::of_source(source).unwrap();
            assert!(name.as_str().starts_with(begin), "{source}: {name}");
            assert_eq!(name.as_str().parse::<Name>(), Ok(name.clone()));
        }
        assert_ne!(Name::of_source("a").unwrap(), Name::of_source("a").unwrap());
    }
}
