//! Which files a folder has, as they come. Their names are not trusted.

use std::fmt;

use super::{Format, Shape};

/// A file of a folder, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileName {
    /// Ends so, behind what all names of the folder begin with.
    Ends(&'static str),
    /// The same of a file that not every folder has.
    MayEnd(&'static str),
    /// Is this.
    Is(&'static str),
    /// The same of a file that not every folder has.
    MayBe(&'static str),
}

impl FileName {
    /// What `name` begins with if it is one of these: nothing, where the whole name is known.
    fn stem(self, name: &str) -> Option<&str> {
        match self {
            Self::Ends(end) | Self::MayEnd(end) => name.strip_suffix(end).filter(|stem| is_plain(stem)),
            Self::Is(known) | Self::MayBe(known) => (name == known).then_some(""),
        }
    }

    fn is_needed(self) -> bool {
        !matches!(self, Self::MayEnd(_) | Self::MayBe(_))
    }
}

impl fmt::Display for FileName {
    /// `*.ovf`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ends(end) | Self::MayEnd(end) => write!(f, "*{end}"),
            Self::Is(known) | Self::MayBe(known) => f.write_str(known),
        }
    }
}

/// The files of one folder: which are there, and which is missing.
#[derive(Clone, Debug)]
pub struct Members {
    format: Format,
    /// What names begin with, from the first on.
    stem: Option<String>,
    seen: Vec<FileName>,
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
        let found = self.known().iter().find_map(|known| Some((known.stem(name)?, *known)));
        let (stem, known) = found.ok_or_else(|| format!("{name:?} is no file of {}", self.format))?;
        if !stem.is_empty() && self.stem.get_or_insert_with(|| stem.to_owned()) != stem {
            return Err(format!("{name:?} is not of the same name as the others"));
        }
        if self.seen.contains(&known) {
            return Err(format!("{name:?} is there twice"));
        }
        self.seen.push(known);
        Ok(())
    }

    /// A file that has to be there and is not.
    pub fn missing(&self) -> Option<FileName> {
        let is_missing = |known: &FileName| known.is_needed() && !self.seen.contains(known);
        self.known().iter().copied().find(is_missing)
    }

    fn known(&self) -> &'static [FileName] {
        match self.format.shape() {
            Shape::Folder(names) => names,
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
        assert_eq!(members.missing(), Some(FileName::Ends(".ovf")));
        for name in ["web.mf", "web.ovf", "web-disk1.vmdk"] {
            assert!(members.missing().is_some());
            members.add(name).unwrap();
        }
        assert_eq!(members.missing(), None);
        assert_eq!(members.add("web.mf").unwrap_err(), "\"web.mf\" is there twice");
    }

    #[test]
    fn some_files_need_not_be_there_and_some_names_are_whole() {
        let mut members = Members::new(Format::Update);
        for name in ["SHA256SUMS", "kiosk_1.4.0.root.zst", "manifest.json"] {
            members.add(name).unwrap();
            assert!(members.missing().is_some());
        }
        assert_eq!(members.missing().unwrap().to_string(), "*.root.index");
        members.add("kiosk_1.4.0.root.index").unwrap();
        assert_eq!(members.missing(), None);
        for name in ["kiosk_1.4.0.boot.tar.zst", "SHA256SUMS.minisig", "SHA256SUMS.gpg"] {
            members.add(name).unwrap();
        }
        for (name, why) in [
            ("SHA256SUMS.minisig", "is there twice"),
            ("SHA256SUMS.sig", "is no file of update"),
            ("manifest.json", "is there twice"),
            ("kiosk_1.5.0.root.zst", "is not of the same name as the others"),
            ("kiosk_1.4.0.manifest.json", "is no file of update"),
        ] {
            assert!(members.add(name).unwrap_err().ends_with(why), "{name}");
        }
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
