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

/// How one argument changes the request; the text of an error is what would have been right.
type Setter = fn(&mut Request, &str) -> Result<(), String>;

const ARGUMENTS: &[(&str, Setter)] = &[
    ("VMIMAGE_NAME", |request, value| {
        let plain = !value.is_empty() && value != "." && value != ".." && !value.contains(['/', '\0']);
        request.spec.name = plain.then(|| value.to_owned()).ok_or("a file name without its ending")?;
        Ok(())
    }),
    ("VMIMAGE_FORMAT", |request, value| Ok(request.spec.format = value.parse()?)),
    ("VMIMAGE_COMPRESSION", |request, value| Ok(request.spec.compression = Some(value.parse()?))),
    ("VMIMAGE_SIZE", |request, value| Ok(request.spec.size = Some(value.parse()?))),
    ("VMIMAGE_HOSTNAME", |request, value| {
        let label = |label: &str| {
            let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
            (1..=63).contains(&label.len())
                && label.chars().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let valid = value.len() <= 64 && value.split('.').all(label);
        request.spec.hostname =
            Some(valid.then(|| value.to_owned()).ok_or("letters, digits and hyphens, such as web-1")?);
        Ok(())
    }),
    ("VMIMAGE_KERNEL", |request, value| {
        let package = |c: char| c.is_ascii_alphanumeric() || "+-.:=~_".contains(c);
        let valid = value.starts_with(|c: char| c.is_ascii_alphanumeric()) && value.chars().all(package);
        request.kernel =
            Some(valid.then(|| value.to_owned()).ok_or("a package name, such as linux-image-amd64")?);
        Ok(())
    }),
    ("VMIMAGE_CMDLINE", |request, value| {
        let valid = !value.contains(|c: char| c.is_control());
        request.spec.cmdline = valid.then(|| value.to_owned()).ok_or("kernel arguments on one line")?;
        Ok(())
    }),
    (STAGE, |request, value| {
        request.stage = match value {
            "dockerfile" => Stage::Dockerfile,
            "rootfs" => Stage::Rootfs,
            "disk" => Stage::Disk,
            _ => return Err("one of dockerfile, rootfs, disk".into()),
        };
        Ok(())
    }),
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
            match ARGUMENTS.iter().find(|(known, _)| *known == name) {
                None => wrong.push(format!("{name} is no argument of vmimage: there are {}", known())),
                Some((_, set)) => {
                    if let Err(expected) = set(&mut request, value) {
                        wrong.push(format!("{name} is {value:?}: {expected}"));
                    }
                }
            }
        }
        if wrong.is_empty() { Ok(request) } else { Err(Failure::new(wrong.join("\n"))) }
    }
}

fn known() -> String {
    ARGUMENTS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use exporter::spec::Size;

    use super::*;

    #[test]
    fn arguments_become_a_request() {
        let arguments = [
            ("GREETING", "not ours"),
            ("VMIMAGE_NAME", "web"),
            ("VMIMAGE_SIZE", "8G"),
            ("VMIMAGE_HOSTNAME", "web-1.example"),
            ("VMIMAGE_KERNEL", "linux-image-amd64"),
            ("VMIMAGE_STAGE", "rootfs"),
        ];
        let request = Request::parse(arguments.into_iter()).unwrap();
        assert_eq!(request.spec.name, "web");
        assert_eq!(request.spec.size, Some(Size(8 << 30)));
        assert_eq!(request.spec.hostname.as_deref(), Some("web-1.example"));
        assert_eq!(request.kernel.as_deref(), Some("linux-image-amd64"));
        assert_eq!(request.stage, Stage::Rootfs);
    }

    #[test]
    fn every_wrong_argument_is_named() {
        let arguments = [
            ("VMIMAGE_NAME", "../etc/passwd"),
            ("VMIMAGE_FORMAT", "floppy"),
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
}
