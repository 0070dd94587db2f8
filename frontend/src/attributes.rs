//! What can be asked of a disk: one table of words.
//!
//! The same word is a key of `--output type=vmdisk,size=10G`, a flag of `vmimage build --size 10G` and, as
//! the build argument `VMIMAGE_SIZE`, the way the wish reaches the frontend.

use exporter::spec::Spec;
use exporter::spec::setup::check_format;

use crate::config::Hook;
use crate::provision::Install;

/// One thing that can be asked of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    /// The formats of its files.
    Format,
    /// Its size.
    Size,
    /// How its files are compressed.
    Compression,
    /// The name of its files in the build's result, without their ending.
    Name,
    /// What it is for.
    Profile,
    /// What starts it.
    Firmware,
    /// The name of the machine.
    Hostname,
    /// The kernel: its version, its package, or the image to take it from.
    Kernel,
    /// Words for the kernel command line.
    Cmdline,
    /// A mirror of the distribution.
    Mirror,
    /// Kernel modules loaded at boot.
    Modules,
    /// The time zone.
    Timezone,
    /// The locale.
    Locale,
    /// Packages installed with the kernel.
    Install,
    /// The file of the build context that asks for all else.
    Config,
    /// Whether what the image runs becomes a service, and its name.
    Service,
}

/// What makes a kernel that of another image.
const IMAGE: &str = "image:";
/// What a kernel can be.
const KERNEL: &str = "distro, keep, a version, such as 6.1, a package name, such as linux-image-amd64, or image: and \
                      the image to take it from, such as image:debian:12";

impl Attribute {
    /// Every attribute.
    pub(crate) const ALL: [Self; 16] = [
        Self::Format,
        Self::Size,
        Self::Compression,
        Self::Name,
        Self::Profile,
        Self::Firmware,
        Self::Hostname,
        Self::Kernel,
        Self::Cmdline,
        Self::Mirror,
        Self::Modules,
        Self::Timezone,
        Self::Locale,
        Self::Install,
        Self::Config,
        Self::Service,
    ];

    /// The word for it: `size`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Size => "size",
            Self::Compression => "compression",
            Self::Name => "name",
            Self::Profile => "profile",
            Self::Firmware => "firmware",
            Self::Hostname => "hostname",
            Self::Kernel => "kernel",
            Self::Cmdline => "cmdline",
            Self::Mirror => "mirror",
            Self::Modules => "modules",
            Self::Timezone => "timezone",
            Self::Locale => "locale",
            Self::Install => "install",
            Self::Config => "config",
            Self::Service => "service",
        }
    }

    /// By its word.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// The build argument for it: `VMIMAGE_SIZE`.
    pub(crate) fn variable(self) -> String {
        format!("VMIMAGE_{}", self.name().to_ascii_uppercase())
    }
}

/// All that was asked of a disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// What the exporter makes of it.
    pub(crate) spec: Spec,
    /// What is installed for it.
    pub(crate) install: Install,
    /// Scripts run on the user's finished file system, in their order.
    pub(crate) hooks: Vec<Hook>,
    /// The configuration's file, if it has another name than usual.
    pub(crate) config: Option<String>,
}

impl Asked {
    /// Ask for one thing more, or for another value of it.
    ///
    /// # Errors
    /// What would have been right, such as "a package name, such as linux-image-amd64".
    pub(crate) fn set(&mut self, attribute: Attribute, value: &str) -> Result<(), String> {
        let spec = &mut self.spec;
        let text = |valid: bool, expected: &str| valid.then(|| value.to_owned()).ok_or(expected.to_owned());
        match attribute {
            Attribute::Format => spec.formats = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            Attribute::Size => spec.size = Some(value.parse()?),
            Attribute::Compression => spec.compression = Some(value.parse()?),
            Attribute::Name => spec.name = text(is_file_name(value), "a file name without its ending")?,
            Attribute::Profile => spec.profile = value.parse()?,
            Attribute::Firmware => spec.firmware = value.parse()?,
            Attribute::Hostname => {
                spec.hostname = Some(text(is_hostname(value), "letters, digits and hyphens, such as web-1")?);
            }
            Attribute::Kernel => match value.strip_prefix(IMAGE) {
                Some(image) => {
                    let image = is_image(image).then(|| image.to_owned()).ok_or(KERNEL)?;
                    (self.install.donor, self.install.kernel) = (Some(image), None);
                }
                None => {
                    let kernel = value.parse().map_err(|_| KERNEL)?;
                    (self.install.donor, self.install.kernel) = (None, Some(kernel));
                }
            },
            Attribute::Cmdline => {
                spec.cmdline = text(!value.contains(char::is_control), "kernel arguments on one line")?;
            }
            Attribute::Mirror => {
                let expected = "the URL of a mirror, without a login, such as http://mirror.example";
                self.install.mirror =
                    Some(text(is_mirror(value), expected)?.trim_end_matches('/').to_owned());
            }
            Attribute::Modules => spec.setup.modules = words(value, "kernel-module")?,
            Attribute::Timezone => spec.setup.timezone = Some(word(value, "time-zone")?),
            Attribute::Locale => spec.setup.locale = Some(word(value, "locale")?),
            Attribute::Install => self.install.further = words(value, "package")?,
            Attribute::Config => self.config = Some(word(value, "context-path")?),
            Attribute::Service => spec.service = value.parse()?,
        }
        Ok(())
    }
}

/// A text of this form.
fn word(value: &str, format: &str) -> Result<String, String> {
    check_format(format, value).map(|()| value.to_owned()).map_err(str::to_owned)
}

/// Texts of this form between commas; none in an empty text.
fn words(value: &str, format: &str) -> Result<Vec<String>, String> {
    let words = value.split(',').map(str::trim).filter(|_| !value.is_empty());
    words.map(|each| word(each, format).map_err(|expected| format!("{each:?} is not {expected}"))).collect()
}

fn is_file_name(text: &str) -> bool {
    !text.is_empty() && text != "." && text != ".." && !text.contains(['/', '\0'])
}

/// Labels by RFC 1123, and Linux's limit of 64 bytes for the whole.
fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 64 && text.split('.').all(is_label)
}

/// What a reference to an image consists of; whether there is such an image is the engine's to know.
fn is_image(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-._:/@".contains(c))
}

/// A URL that stands for a host. Logins have no place in a build argument, which everybody can see; all else
/// that is left out has a meaning for sed.
fn is_mirror(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
            && rest.chars().all(|c| c.is_ascii_alphanumeric() || "-._~:/[]%".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_is_found_by_its_word_and_takes_a_value() {
        for (name, variable, right, wrong) in [
            ("format", "VMIMAGE_FORMAT", "qcow2,vhdx", "floppy"),
            ("size", "VMIMAGE_SIZE", "10G", "big"),
            ("compression", "VMIMAGE_COMPRESSION", "none", "rar"),
            ("name", "VMIMAGE_NAME", "web", "../web"),
            ("profile", "VMIMAGE_PROFILE", "data", "boat"),
            ("firmware", "VMIMAGE_FIRMWARE", "uefi", "openfirmware"),
            ("hostname", "VMIMAGE_HOSTNAME", "web-1.example", "-web"),
            ("kernel", "VMIMAGE_KERNEL", "linux-image-amd64=6.1", "$(reboot)"),
            ("kernel", "VMIMAGE_KERNEL", "6.1.148-1", "6.1*"),
            ("kernel", "VMIMAGE_KERNEL", "image:host:5000/kernel@sha256:00", "image:-v"),
            ("cmdline", "VMIMAGE_CMDLINE", "quiet a=b", "quiet\n}"),
            (
                "mirror",
                "VMIMAGE_MIRROR",
                "http://mirror.example:8080/a/",
                "http://user:password@mirror.example",
            ),
            ("modules", "VMIMAGE_MODULES", "nbd,zram", "nbd,-r"),
            ("timezone", "VMIMAGE_TIMEZONE", "Europe/Berlin", "../etc/passwd"),
            ("locale", "VMIMAGE_LOCALE", "de_DE.UTF-8", "de DE"),
            ("install", "VMIMAGE_INSTALL", "nginx,curl", "nginx,$(reboot)"),
            ("config", "VMIMAGE_CONFIG", "prod/vmimage.toml", "../vmimage.toml"),
            ("service", "VMIMAGE_SERVICE", "web", "a b"),
        ] {
            let attribute = Attribute::by_name(name).unwrap();
            assert_eq!(attribute.variable(), variable);
            let mut asked = Asked::default();
            asked.set(attribute, right).unwrap();
            assert_ne!(asked, Asked::default(), "{name}");
            assert!(Asked::default().set(attribute, wrong).is_err(), "{name}");
        }
        assert_eq!(Attribute::by_name("sise"), None);
    }

    #[test]
    fn a_mirror_is_the_url_of_a_host() {
        for url in ["http://a", "https://a.example/deb", "http://[::1]:80/x", "http://10.0.0.1:3142"] {
            assert!(is_mirror(url), "{url}");
        }
        for text in [
            "",
            "mirror.example",
            "ftp://a",
            "http://",
            "http:///a",
            "http://a b",
            "http://a#b",
            "http://a&b",
        ] {
            assert!(!is_mirror(text), "{text}");
        }
        let mut asked = Asked::default();
        asked.set(Attribute::Mirror, "http://a/b//").unwrap();
        assert_eq!(asked.install.mirror.as_deref(), Some("http://a/b"));
    }
}
