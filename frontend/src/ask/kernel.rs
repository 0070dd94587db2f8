//! Which kernel is wanted.

use std::str::FromStr;

use exporter::spec::TextFormat;
use exporter::spec::layout::{Source, StageSource};

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

/// A file that is the kernel: `file:kernels/bzImage` of the build context, `stage:kernel/bzImage` of another stage or a named
/// context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KernelFile(pub(crate) Source);

impl KernelFile {
    const OF_CONTEXT: &str = "file:";
    const OF_STAGE: &str = "stage:";

    /// Whether a text is meant to be one.
    pub(crate) fn is_meant(text: &str) -> bool {
        [Self::OF_CONTEXT, Self::OF_STAGE].iter().any(|prefix| text.starts_with(prefix))
    }

    /// How the file at `path` of a stage is typed.
    pub(crate) fn typed(stage: &str, path: &str) -> String {
        format!("{}{stage}{path}", Self::OF_STAGE)
    }
}

impl FromStr for KernelFile {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix(Self::OF_CONTEXT) {
            TextFormat::ContextPath.check(path)?;
            return Ok(Self(Source::Path(path.to_owned())));
        }
        let place = text.strip_prefix(Self::OF_STAGE).ok_or("file: or stage:")?;
        let slash = place.find('/').ok_or("the path of a file behind the stage")?;
        let (from, path) = place.split_at(slash);
        TextFormat::StageName.check(from)?;
        TextFormat::PlainPath.check(path)?;
        Ok(Self(Source::Stage(StageSource { from: from.to_owned(), path: path.to_owned() })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_s_file_is_of_the_context_or_of_a_stage() {
        for (text, shown) in [
            ("file:bzImage", "bzImage"),
            ("file:kernels/bzImage", "kernels/bzImage"),
            ("stage:kernel/bzImage", "kernel:/bzImage"),
            ("stage:kernel/boot/vmlinuz-6.1", "kernel:/boot/vmlinuz-6.1"),
        ] {
            assert_eq!(text.parse::<KernelFile>().unwrap().0.to_string(), shown);
            assert!(KernelFile::is_meant(text));
        }
        assert_eq!(KernelFile::typed("kernel", "/bzImage"), "stage:kernel/bzImage");
        for text in [
            "",
            "bzImage",
            "file:",
            "file:/boot/vmlinuz",
            "file:../bzImage",
            "stage:kernel",
            "stage:/bzImage",
            "stage:a/../b",
            "stage:a b/c",
        ] {
            assert!(text.parse::<KernelFile>().is_err(), "{text}");
        }
    }

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
