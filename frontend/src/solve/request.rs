//! What was asked of this frontend: the build arguments `VMIMAGE_…`, the one channel every client has.

use exporter::spec::Spec;

use crate::gateway::{Failure, Opts};

/// Which stage of the pipeline is returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// What the Dockerfile describes, untouched.
    Dockerfile,
    /// The same with the kernel under it: an image to look into, or to run as a container.
    Rootfs,
    /// The disk.
    #[default]
    Disk,
}

/// All that was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Request {
    pub(super) spec: Spec,
    /// A kernel package by name; `None`: the distribution's default.
    pub(super) kernel: Option<String>,
    pub(super) stage: Stage,
}

const PREFIX: &str = "VMIMAGE_";
const STAGE: &str = "VMIMAGE_STAGE";
const KNOWN: [&str; 8] = [
    "VMIMAGE_NAME",
    "VMIMAGE_FORMAT",
    "VMIMAGE_COMPRESSION",
    "VMIMAGE_SIZE",
    "VMIMAGE_HOSTNAME",
    "VMIMAGE_KERNEL",
    "VMIMAGE_CMDLINE",
    STAGE,
];

impl Request {
    /// What the options of this build ask for. Every wrong argument is named, not only the first.
    pub(super) fn read(opts: &Opts) -> Result<Self, Failure> {
        // An image made FROM the frontend's sets its own default stage.
        let default_stage = std::env::var(STAGE).ok();
        let own = default_stage.as_deref().map(|stage| (STAGE, stage));
        let mut request = Self::parse(own.into_iter().chain(opts.build_args()))?;
        request.spec.source_date_epoch =
            match opts.build_arg("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty()) {
                None => None,
                Some(text) => Some(text.parse().map_err(|_| {
                    Failure::new(format!("SOURCE_DATE_EPOCH is {text:?}, not a number of seconds since 1970"))
                })?),
            };
        Ok(request)
    }

    fn parse<'a>(arguments: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, Failure> {
        let mut request = Self::default();
        let mut wrong = Vec::new();
        for (name, value) in arguments.filter(|(name, _)| name.starts_with(PREFIX)) {
            if let Err(expected) = request.set(name, value) {
                wrong.push(format!("{name} is {value:?}: {expected}"));
            }
        }
        if !wrong.is_empty() {
            return Err(Failure::new(wrong.join("\n")));
        }
        request.spec.files()?;
        Ok(request)
    }

    /// The text of an error is what would have been right.
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let spec = &mut self.spec;
        let text = |valid: bool, expected: &str| valid.then(|| value.to_owned()).ok_or(expected.to_owned());
        match name {
            "VMIMAGE_NAME" => spec.name = text(is_file_name(value), "a file name without its ending")?,
            "VMIMAGE_FORMAT" => spec.formats = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "VMIMAGE_COMPRESSION" => spec.compression = Some(value.parse()?),
            "VMIMAGE_SIZE" => spec.size = Some(value.parse()?),
            "VMIMAGE_HOSTNAME" => {
                spec.hostname = Some(text(is_hostname(value), "letters, digits and hyphens, such as web-1")?);
            }
            "VMIMAGE_KERNEL" => {
                self.kernel = Some(text(is_package(value), "a package name, such as linux-image-amd64")?);
            }
            "VMIMAGE_CMDLINE" => {
                spec.cmdline = text(!value.contains(char::is_control), "kernel arguments on one line")?;
            }
            STAGE => self.stage = Stage::parse(value).ok_or("one of dockerfile, rootfs, disk")?,
            _ => return Err(format!("not an argument of vmimage: there are {}", KNOWN.join(", "))),
        }
        Ok(())
    }
}

impl Stage {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "dockerfile" => Some(Self::Dockerfile),
            "rootfs" => Some(Self::Rootfs),
            "disk" => Some(Self::Disk),
            _ => None,
        }
    }
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

/// What apt and apk accept as a name, with a version; nothing a shell or an option parser would take
/// for something else.
fn is_package(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:=~_".contains(c))
}

#[cfg(test)]
mod tests {
    use exporter::container::Format;
    use exporter::spec::Size;

    use super::*;

    #[test]
    fn arguments_become_a_request() {
        let arguments = [
            ("GREETING", "not ours"),
            ("VMIMAGE_NAME", "web"),
            ("VMIMAGE_FORMAT", "qcow2,vhdx"),
            ("VMIMAGE_SIZE", "8G"),
            ("VMIMAGE_HOSTNAME", "web-1.example"),
            ("VMIMAGE_KERNEL", "linux-image-amd64"),
            ("VMIMAGE_STAGE", "rootfs"),
        ];
        let request = Request::parse(arguments.into_iter()).unwrap();
        assert_eq!(request.spec.name, "web");
        assert_eq!(request.spec.formats, [Format::Qcow2, Format::Vhdx]);
        assert_eq!(request.spec.size, Some(Size(8 << 30)));
        assert_eq!(request.spec.hostname.as_deref(), Some("web-1.example"));
        assert_eq!(request.kernel.as_deref(), Some("linux-image-amd64"));
        assert_eq!(request.stage, Stage::Rootfs);
    }

    #[test]
    fn every_wrong_argument_is_named() {
        let arguments = [
            ("VMIMAGE_NAME", "../etc/passwd"),
            ("VMIMAGE_FORMAT", "qcow2,floppy"),
            ("VMIMAGE_SIZE", "big"),
            ("VMIMAGE_HOSTNAME", "-web"),
            ("VMIMAGE_KERNEL", "$(reboot)"),
            ("VMIMAGE_CMDLINE", "quiet\n}"),
            ("VMIMAGE_STAGE", "moon"),
            ("VMIMAGE_SISE", "1G"),
        ];
        let failure = Request::parse(arguments.into_iter()).unwrap_err();
        for (name, _) in arguments {
            assert!(failure.message().contains(name), "{name}: {}", failure.message());
        }
        assert!(failure.message().contains("VMIMAGE_SIZE,"));
    }

    #[test]
    fn formats_that_do_not_go_together_are_refused() {
        let failure = Request::parse([("VMIMAGE_FORMAT", "raw,raw")].into_iter()).unwrap_err();
        assert!(failure.message().contains("same ending, .raw\nhint: "), "{failure}");
        let arguments = [("VMIMAGE_COMPRESSION", "zlib"), ("VMIMAGE_FORMAT", "raw")];
        let failure = Request::parse(arguments.into_iter()).unwrap_err();
        assert!(failure.message().contains("zlib is not for raw files\nhint: "), "{failure}");
    }
}
