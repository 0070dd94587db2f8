//! What to do about an error.
//!
//! A hint names settings and not the words for them: whoever shows it spells each as its user would type it, as a flag, an
//! attribute of an output or a build argument.

use std::borrow::Cow;
use std::fmt;

/// Something that can be asked for. It is the same word wherever that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Words for the kernel command line.
    Cmdline,
    /// What starts the machine.
    Firmware,
    /// The first process.
    Init,
    /// Packages installed with the kernel.
    Install,
    /// The kernel.
    Kernel,
    /// The boot loader.
    Loader,
    /// A mirror of the distribution.
    Mirror,
    /// A folder of packages.
    Packages,
    /// What the disk is for.
    Profile,
    /// What the image runs as a service.
    Service,
    /// The size of the disk.
    Size,
    /// The kind of its partition table.
    Table,
    /// What of the root is written to memory alone.
    Volatile,
}

impl Setting {
    /// Every setting that hints name.
    pub const ALL: [Self; 13] = [
        Self::Cmdline,
        Self::Firmware,
        Self::Init,
        Self::Install,
        Self::Kernel,
        Self::Loader,
        Self::Mirror,
        Self::Packages,
        Self::Profile,
        Self::Service,
        Self::Size,
        Self::Table,
        Self::Volatile,
    ];

    /// The word for it: `size`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cmdline => "cmdline",
            Self::Firmware => "firmware",
            Self::Init => "init",
            Self::Install => "install",
            Self::Kernel => "kernel",
            Self::Loader => "loader",
            Self::Mirror => "mirror",
            Self::Packages => "packages",
            Self::Profile => "profile",
            Self::Service => "service",
            Self::Size => "size",
            Self::Table => "table",
            Self::Volatile => "volatile",
        }
    }
}

/// How a setting is typed: with this value, or only its name.
pub type Spelling = fn(Setting, Option<&str>) -> String;

/// Words, with settings between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint(Vec<Part>);

/// A part of a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Words that are the same for everybody.
    Text(Cow<'static, str>),
    /// A setting with a value.
    Set(Setting, Cow<'static, str>),
    /// A setting by its name alone.
    Name(Setting),
}

impl Part {
    /// Words.
    pub const fn text(words: &'static str) -> Self {
        Self::Text(Cow::Borrowed(words))
    }

    /// A setting with a value.
    pub const fn set(setting: Setting, value: &'static str) -> Self {
        Self::Set(setting, Cow::Borrowed(value))
    }
}

impl Hint {
    /// The same with words behind it.
    #[must_use]
    pub fn text(self, words: impl Into<Cow<'static, str>>) -> Self {
        self.with(Part::Text(words.into()))
    }

    /// The same with a setting and its value behind it.
    #[must_use]
    pub fn set(self, setting: Setting, value: impl Into<Cow<'static, str>>) -> Self {
        self.with(Part::Set(setting, value.into()))
    }

    /// The same with a setting's name behind it.
    #[must_use]
    pub fn name(self, setting: Setting) -> Self {
        self.with(Part::Name(setting))
    }

    fn with(mut self, part: Part) -> Self {
        self.0.push(part);
        self
    }

    /// As one line for those who spell settings so.
    pub fn spelled(&self, spelling: Spelling) -> String {
        let part = |part: &Part| match part {
            Part::Text(words) => words.to_string(),
            Part::Set(setting, value) => spelling(*setting, Some(value)),
            Part::Name(setting) => spelling(*setting, None),
        };
        self.0.iter().map(part).collect()
    }
}

impl From<&[Part]> for Hint {
    fn from(parts: &[Part]) -> Self {
        Self(parts.to_vec())
    }
}

impl From<&str> for Hint {
    fn from(words: &str) -> Self {
        words.to_owned().into()
    }
}

impl From<String> for Hint {
    fn from(words: String) -> Self {
        Self(vec![Part::Text(words.into())])
    }
}

impl fmt::Display for Hint {
    /// Settings as keys of a file are written: `size = "10G"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spelled(|setting, value| match value {
            Some(value) => format!("{} = {value:?}", setting.name()),
            None => setting.name().to_owned(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_spelled_and_words_are_not() {
        let hint = Hint::from("ask for ").set(Setting::Size, "10G").text(", or leave the ");
        let hint = hint.name(Setting::Size).text(" out");
        assert_eq!(hint.to_string(), "ask for size = \"10G\", or leave the size out");
        let flag = |setting: Setting, value: Option<&str>| {
            format!("--{}{}", setting.name(), value.map(|value| format!(" {value}")).unwrap_or_default())
        };
        assert_eq!(hint.spelled(flag), "ask for --size 10G, or leave the --size out");
    }
}
