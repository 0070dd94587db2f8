//! Which files a folder has, as they come. Their names are not trusted.

use super::{Format, Shape};

/// The files of one folder: which are there, and which is missing.
#[derive(Clone, Debug)]
pub struct Members {
    format: Format,
    /// What all names begin with, from the first on.
    stem: Option<String>,
    seen: Vec<&'static str>,
}

impl Members {
    /// Those of a folder in this format, none of them yet.
    pub fn new(format: Format) -> Self {
        Self { format, stem: None, seen: Vec::new() }
    }

    /// Take one more.
    ///
    /// # Errors
    /// Why there can be no file of this name in it.
    pub fn add(&mut self, name: &str) -> Result<(), String> {
        let known = self.known().iter().find_map(|&end| Some((name.strip_suffix(end)?, end)));
        let (stem, end) = known
            .filter(|(stem, _)| is_plain(stem))
            .ok_or_else(|| format!("{name:?} is no file of {}", self.format))?;
        if self.stem.get_or_insert_with(|| stem.to_owned()) != stem {
            return Err(format!("{name:?} is not of the same name as the others"));
        }
        if self.seen.contains(&end) {
            return Err(format!("{name:?} is there twice"));
        }
        self.seen.push(end);
        Ok(())
    }

    /// What the name of a file ends in that is not there.
    pub fn missing(&self) -> Option<&'static str> {
        self.known().iter().copied().find(|end| !self.seen.contains(end))
    }

    fn known(&self) -> &'static [&'static str] {
        match self.format.shape() {
            Shape::Folder(ends) => ends,
            Shape::Stream | Shape::File => &[],
        }
    }
}

/// Whether it is a name on every system, and hides nothing.
fn is_plain(stem: &str) -> bool {
    stem.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && stem.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_each_of_its_files_once() {
        let mut members = Members::new(Format::Ovf);
        assert_eq!(members.missing(), Some(".ovf"));
        for name in ["web.mf", "web.ovf", "web-disk1.vmdk"] {
            assert!(members.missing().is_some());
            members.add(name).unwrap();
        }
        assert_eq!(members.missing(), None);
        assert_eq!(members.add("web.mf").unwrap_err(), "\"web.mf\" is there twice");
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            ".ovf",
            "web",
            "web.ova",
            "../web.ovf",
            "a/web.ovf",
            "-web.ovf",
            ".web.ovf",
            "w\0.ovf",
            "ü.ovf",
        ] {
            let error = Members::new(Format::Ovf).add(name).unwrap_err();
            assert!(error.ends_with("is no file of ovf"), "{error}");
        }
        assert!(Members::new(Format::Raw).add("disk.raw").is_err(), "a file is no folder");
        let mut members = Members::new(Format::Ovf);
        members.add("web.ovf").unwrap();
        assert!(members.add("other.mf").unwrap_err().ends_with("not of the same name as the others"));
    }
}
