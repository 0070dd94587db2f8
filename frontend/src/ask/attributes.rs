//! What can be asked of a disk: one table of words.
//!
//! The same word is a key of `--output type=vmdisk,size=10G`, a flag of `vmimage build --size 10G` and, as
//! the build argument `VMIMAGE_SIZE`, the way the wish reaches the frontend.

use exporter::spec::{Spec, TextFormat};

use super::{Hook, Install};

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
    /// The first process.
    Init,
}

/// What makes a kernel that of another image.
const IMAGE: &str = "image:";
/// What a kernel can be.
const KERNEL: &str = "distro, keep, a version, such as 6.1, a package name, such as linux-image-amd64, or image: and \
                      the image to take it from, such as image:debian:12";

impl Attribute {
    /// Every attribute.
    pub(crate) const ALL: [Self; 17] = [
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
        Self::Init,
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
            Self::Init => "init",
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
        match attribute {
            Attribute::Format => spec.formats = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            Attribute::Size => spec.size = Some(value.parse()?),
            Attribute::Compression => spec.compression = Some(value.parse()?),
            Attribute::Name => spec.name = word(value, TextFormat::FileName)?,
            Attribute::Profile => spec.profile = value.parse()?,
            Attribute::Firmware => spec.firmware = value.parse()?,
            Attribute::Hostname => spec.hostname = Some(word(value, TextFormat::Hostname)?),
            Attribute::Kernel => match value.strip_prefix(IMAGE) {
                Some(image) => {
                    let image = word(image, TextFormat::Image).map_err(|_| KERNEL)?;
                    (self.install.donor, self.install.kernel) = (Some(image), None);
                }
                None => {
                    let kernel = value.parse().map_err(|_| KERNEL)?;
                    (self.install.donor, self.install.kernel) = (None, Some(kernel));
                }
            },
            Attribute::Cmdline => spec.cmdline = word(value, TextFormat::KernelArguments)?,
            Attribute::Mirror => {
                self.install.mirror = Some(word(value, TextFormat::Mirror)?.trim_end_matches('/').to_owned());
            }
            Attribute::Modules => spec.setup.modules = words(value, TextFormat::KernelModule)?,
            Attribute::Timezone => spec.setup.timezone = Some(word(value, TextFormat::TimeZone)?),
            Attribute::Locale => spec.setup.locale = Some(word(value, TextFormat::Locale)?),
            Attribute::Install => self.install.further = words(value, TextFormat::Package)?,
            Attribute::Config => self.config = Some(word(value, TextFormat::ContextPath)?),
            Attribute::Service => spec.service = value.parse()?,
            Attribute::Init => spec.init = value.parse()?,
        }
        Ok(())
    }
}

/// A text of this form.
fn word(value: &str, format: TextFormat) -> Result<String, String> {
    format.check(value).map(|()| value.to_owned()).map_err(str::to_owned)
}

/// Texts of this form between commas; none in an empty text.
fn words(value: &str, format: TextFormat) -> Result<Vec<String>, String> {
    let words = value.split(',').map(str::trim).filter(|_| !value.is_empty());
    words.map(|each| word(each, format).map_err(|expected| format!("{each:?} is not {expected}"))).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// For each attribute a right value, a wrong one, and what is said of that. Which texts have which form is
    /// tested where the forms are.
    pub(crate) const VALUES: [(Attribute, &str, &str, &str); 19] = [
        (Attribute::Format, "qcow2,vhdx", "floppy", "one of raw, qcow2, "),
        (Attribute::Size, "10G", "big", "\"big\" is no size: write a number with K, M, G or T, such as 10G"),
        (Attribute::Compression, "none", "rar", "one of none, zstd, zlib, zlib-strict"),
        (Attribute::Name, "web", "../web", "a file name without its ending"),
        (Attribute::Profile, "data", "boat", "one of machine, data"),
        (Attribute::Firmware, "uefi", "coreboot", "one of any, bios, uefi"),
        (Attribute::Hostname, "web-1.example", "-web", "a name of letters, digits and hyphens, at most 64"),
        (Attribute::Kernel, "linux-image-amd64=6.1", "$(reboot)", "distro, keep, a version, such as 6.1"),
        (Attribute::Kernel, "6.1.148-1", "6.1*", "distro, keep, a version, such as 6.1"),
        (
            Attribute::Kernel,
            "image:host:5000/kernel@sha256:00",
            "image:-v",
            "distro, keep, a version, such as 6.1",
        ),
        (Attribute::Cmdline, "quiet a=b", "quiet\n}", "kernel arguments on one line"),
        (Attribute::Mirror, "http://a/b/", "ftp://a", "the URL of a mirror, without a login"),
        (Attribute::Modules, "nbd,zram", "nbd,-r", "\"-r\" is not the name of a kernel module, such as nbd"),
        (Attribute::Timezone, "Europe/Berlin", "../etc/passwd", "a name of the tz database, such as"),
        (Attribute::Locale, "de_DE.UTF-8", "de DE", "a locale, such as de_DE.UTF-8"),
        (Attribute::Install, "nginx,curl", "nginx,$(x)", "\"$(x)\" is not the name of a package"),
        (Attribute::Config, "prod/vmimage.toml", "../vmimage.toml", "a path in the build context"),
        (Attribute::Service, "web", "a b", "auto, off or a name for the service, such as web"),
        (Attribute::Init, "vmimage", "systemd", "one of auto, distro, vmimage"),
    ];

    #[test]
    fn every_attribute_takes_a_value_and_says_what_would_have_been_right() {
        for (attribute, right, wrong, expected) in VALUES {
            let mut asked = Asked::default();
            asked.set(attribute, right).unwrap();
            assert_ne!(asked, Asked::default(), "{attribute:?}");
            let said = Asked::default().set(attribute, wrong).unwrap_err();
            assert!(said.starts_with(expected), "{attribute:?}: {said}");
        }
        for attribute in Attribute::ALL {
            assert!(VALUES.iter().any(|(known, ..)| *known == attribute), "{attribute:?}");
        }
    }

    #[test]
    fn an_attribute_is_found_by_its_word() {
        assert!(Attribute::ALL.into_iter().all(|known| Attribute::by_name(known.name()) == Some(known)));
        assert_eq!(Attribute::Size.variable(), "VMIMAGE_SIZE");
        assert_eq!(Attribute::by_name("sise"), None);
    }

    #[test]
    fn a_mirror_has_no_slash_at_its_end() {
        let mut asked = Asked::default();
        asked.set(Attribute::Mirror, "http://a/b//").unwrap();
        assert_eq!(asked.install.mirror.as_deref(), Some("http://a/b"));
    }
}
