//! What a dry run says: the disk as far as it is known before it is made, in the words of the report.

use std::path::{Path, PathBuf};

use exporter::assemble::Planned;
use exporter::container::Format;
use exporter::error::show_size;
use exporter::report::{Expected, Part, System};
use exporter::spec::layout::slots;
use exporter::spec::{Init, Initramfs, Profile, Spec};
use exporter::terminal::line;
use serde::{Serialize, Serializer};

use crate::ask::{Asked, Folder, Kernel};
use crate::base::{Result, terminal};

/// A disk that would be made.
#[derive(Debug, Serialize)]
pub(super) struct DryRun {
    disks: Vec<Artifact>,
    /// What a machine would see, in bytes; `None` if only the content tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_size: Option<u64>,
    /// What an engine would be asked for, if one has to be.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    build: Vec<Asks>,
    /// The machine, once its files are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<System>,
    partitions: Partitions,
    /// What a report has of it all.
    #[serde(skip)]
    report: String,
}

/// Something that is asked of an engine: a word for it, and what is asked.
pub(super) type Asks = (&'static str, String);

#[derive(Debug, Serialize)]
struct Artifact {
    file: PathBuf,
    format: Format,
}

/// The partitions: with their places, once the contents are known.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Partitions {
    Placed(Vec<Part>),
    Expected(Vec<Expected>),
}

impl DryRun {
    /// Of a build, before there are files.
    pub(super) fn of_build(spec: &Spec, paths: Vec<PathBuf>, build: Vec<Asks>) -> Self {
        let slots = (1..).zip(slots(spec));
        let expected: Vec<_> = slots.map(|(number, slot)| Expected { number, slot }).collect();
        let asks = build.iter().map(|(what, text)| format!("  {what:<8} {}\n", line(text)));
        let report = asks.chain(expected.iter().map(|part| format!("  part {part}\n"))).collect();
        Self {
            disks: artifacts(paths, spec),
            virtual_size: spec.size.map(|size| size.0),
            build,
            system: None,
            partitions: Partitions::Expected(expected),
            report,
        }
    }

    /// Of files that are there: all is known but the size of the disk's own files.
    pub(super) fn of_disk(spec: &Spec, paths: &[PathBuf], planned: Planned) -> Self {
        let report = planned.report(Vec::new());
        Self {
            disks: artifacts(paths.to_vec(), spec),
            virtual_size: Some(report.virtual_size),
            build: Vec::new(),
            report: report.to_string(),
            partitions: Partitions::Placed(report.partitions),
            system: report.system,
        }
    }

    /// Prints them all.
    pub(super) fn tell_all(plans: &[Self], is_json: bool, is_quiet: bool) -> Result<()> {
        match (is_json, is_quiet) {
            (true, _) => terminal::print_json(&serde_json::json!({ "plans": plans })),
            (false, true) => Ok(()),
            (false, false) => terminal::print(&plans.iter().map(Self::text).collect::<String>()),
        }
    }

    fn text(&self) -> String {
        let size = match self.virtual_size {
            Some(size) => format!("{} disk", show_size(size)),
            None => "as large as its content needs".to_owned(),
        };
        let artifact = |Artifact { file, format }: &Artifact| {
            let of_disk = if format.is_disk() { format!("{size}, ") } else { String::new() };
            format!("{}: {format}, {of_disk}not made\n", line(&file.to_string_lossy()))
        };
        self.disks.iter().map(artifact).chain([self.report.clone()]).collect()
    }
}

/// What would be installed and run; `packages` is the client's folder of them.
pub(super) fn installs(asked: &Asked, packages: Option<&Path>) -> Vec<Asks> {
    let mut asks = Vec::new();
    let Asked { spec, install, hooks, .. } = asked;
    if spec.profile != Profile::Data {
        let asked = match &spec.kernel_file {
            Some(file) => format!("the file {file}"),
            None => kernel(install.donor.as_deref(), install.kernel.as_ref()),
        };
        asks.push(("kernel", asked));
        let initramfs = spec.initramfs();
        asks.extend((initramfs != Initramfs::Distro).then(|| ("initramfs", initramfs.to_string())));
        asks.extend((!spec.hardware.is_default()).then(|| ("hardware", spec.hardware.to_string())));
        if spec.init != Init::Auto {
            asks.push(("init", spec.init.to_string()));
        }
    }
    let names = |names: Vec<String>| (!names.is_empty()).then(|| names.join(", "));
    asks.extend(names(install.further.clone()).map(|packages| ("install", packages)));
    asks.extend(install.mirror.clone().map(|mirror| ("mirror", mirror)));
    let in_context = match &install.packages {
        Some(Folder::Context(path)) => Some(Path::new(path)),
        Some(Folder::Client) | None => None,
    };
    asks.extend(packages.or(in_context).map(|folder| ("packages", folder.display().to_string())));
    let titles = hooks.iter().map(|hook| hook.title.trim_start_matches("[vmimage] hook ").to_owned());
    asks.extend(names(titles.collect()).map(|hooks| ("hooks", hooks)));
    asks
}

fn kernel(donor: Option<&str>, kernel: Option<&Kernel>) -> String {
    match (donor, kernel) {
        (Some(donor), _) => format!("of the image {donor}"),
        (None, None) => "the image's own, else the distribution's usual one".to_owned(),
        (None, Some(Kernel::Distro)) => "the distribution's usual one".to_owned(),
        (None, Some(Kernel::Version(version))) => format!("the distribution's usual one, {version}"),
        (None, Some(Kernel::Package(package))) => format!("the package {package}"),
        (None, Some(Kernel::Keep)) => "the image's own".to_owned(),
    }
}

fn artifacts(paths: Vec<PathBuf>, spec: &Spec) -> Vec<Artifact> {
    paths.into_iter().zip(&spec.formats).map(|(file, &format)| Artifact { file, format }).collect()
}

fn as_map<S: Serializer>(asks: &[Asks], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(asks.iter().map(|(what, text)| (what, text)))
}
