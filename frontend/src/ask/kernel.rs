//! Which kernel is wanted.

use std::str::FromStr;

use exporter::spec::TextFormat;

/// Which kernel is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// The distribution's usual one.
    Distro,
    /// The usual one in this version, or in the newest that goes on from it: `6.1` is 6.1.148-1, and not 6.10.
    Version(String),
    /// A package by its name.
    Package(String),
    /// None: the image has one, or will have.
    Keep,
}

impl FromStr for Kernel {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        TextFormat::Package.check(text)?;
        Ok(match text {
            "distro" => Self::Distro,
            "keep" => Self::Keep,
            // No distribution has a kernel package with such a name.
            _ if text.starts_with(|c: char| c.is_ascii_digit()) => Self::Version(text.to_owned()),
            _ => Self::Package(text.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_begins_a_version() {
        for (text, kernel) in [
            ("distro", Kernel::Distro),
            ("keep", Kernel::Keep),
            ("6", Kernel::Version("6".into())),
            ("6.1", Kernel::Version("6.1".into())),
            ("5.14.0-503.11.1.el9_5", Kernel::Version("5.14.0-503.11.1.el9_5".into())),
            ("linux-image-amd64=6.1.148-1", Kernel::Package("linux-image-amd64=6.1.148-1".into())),
        ] {
            assert_eq!(text.parse(), Ok(kernel));
        }
        for text in ["", "6.1 ", "-6.1", "6.1@", "6.1*", "6.1'"] {
            assert!(text.parse::<Kernel>().is_err(), "{text}");
        }
    }
}
