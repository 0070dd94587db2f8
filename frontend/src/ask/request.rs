//! What was asked of this frontend: the build arguments `VMIMAGE_…`, the one channel every client has.

use std::collections::BTreeMap;

use exporter::boot::core_modules;
use exporter::choice::by_name;
use exporter::container::Format;
use exporter::spec::{
    Hardware, Medium, Microvm, Profile, Spec, grub, layout, medium, network, rauc, secure_boot, update,
};

use super::config::Configuration;
use super::spelling::Hints;
use super::{ATTRIBUTES, Asked, Attribute, FORMAT, Kernel, KernelFile, PROFILE, Taken, Wish};
use crate::base::{Error, Result};

/// Which stage of the pipeline is returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// What the Dockerfile describes, untouched.
    Dockerfile,
    /// The same with the kernel under it: an image to look into, or to run as a container.
    Rootfs,
    /// The disk.
    #[default]
    Disk,
    /// The disk as a container image: KubeVirt's containerDisk, for an exporter of images.
    ContainerDisk,
    /// The update as a container image, for machines that update themselves from a registry.
    Update,
    /// What [`Rootfs`](Self::Rootfs) is, as an image with a tar of it: KubeOS's upgrade image.
    KubeOs,
}

/// How the disk's files reach the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Transport {
    /// As they are, zeroes and all: what any client stores.
    #[default]
    File,
    /// Those with many zeroes as [`sparse`](exporter::container::sparse) streams, for vmimage as the client.
    Sparse,
}

/// All that was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Request {
    pub(crate) disk: Asked,
    pub(crate) stage: Stage,
    pub(crate) transport: Transport,
    pub(crate) hints: Hints,
    /// What goes before labels and the configuration.
    wishes: Vec<Wish>,
}

const PREFIX: &str = "VMIMAGE_";
/// The attribute that may name a file.
const KERNEL: &str = "kernel";
/// The named context with a folder of packages: `--build-context vmimage-packages=DIR`.
pub(crate) const PACKAGES_CONTEXT: &str = "vmimage-packages";
/// The named context with the placement of the last build: `--build-context vmimage-previous=DIR`.
pub(crate) const PREVIOUS_CONTEXT: &str = "vmimage-previous";
/// What labels of an image begin with that ask for something.
const LABEL: &str = "vmimage.";
/// No attribute of a disk: the other stages are no disks.
pub(crate) const STAGE: &str = "VMIMAGE_STAGE";
/// No attribute of a disk either: it is the same whichever way it comes.
pub(crate) const TRANSPORT: &str = "VMIMAGE_TRANSPORT";
/// Nor this: it is about words.
pub(crate) const HINTS: &str = "VMIMAGE_HINTS";

impl Request {
    /// The same with all later times clamped to `SOURCE_DATE_EPOCH`, if that is set.
    pub(crate) fn clamped(mut self, epoch: Option<&str>) -> Result<Self> {
        let Some(text) = epoch.filter(|text| !text.is_empty()) else { return Ok(self) };
        self.disk.spec.source_date_epoch = Some(text.parse().map_err(|_| {
            Error::user(format!("SOURCE_DATE_EPOCH is {text:?}, not a number of seconds since 1970"))
        })?);
        Ok(self)
    }

    /// What was typed, and what arguments that begin with `VMIMAGE_` ask for; others are somebody else's.
    pub(crate) fn new<'a>(
        typed: &[Wish],
        arguments: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self> {
        let mut request = Self { wishes: typed.to_vec(), ..Self::default() };
        let mut wrong = Vec::new();
        for (name, value) in arguments.filter(|(name, _)| name.starts_with(PREFIX)) {
            if let Err(expected) = request.set(name, value) {
                wrong.push(format!("{name} is {value:?}: {expected}"));
            }
        }
        if !wrong.is_empty() {
            return Err(Error::of_lines(wrong));
        }
        request.disk.ask(&request.wishes);
        let says_profile = request.wishes.iter().any(|wish| wish.attribute().name == PROFILE);
        request.checked(|asked| lasting_problems(&in_its_profile(&asked.spec, says_profile)))
    }

    /// The same with what an image's labels and the configuration ask for where this does not.
    pub(crate) fn over(&self, labels: &BTreeMap<String, String>, file: &Configuration) -> Result<Self> {
        let mut disk = Asked::default();
        disk.ask(&of_labels(labels)?);
        file.ask(&mut disk);
        disk.ask(&self.wishes);
        self.hold(&mut disk.spec);
        disk.spec.source_date_epoch = self.disk.spec.source_date_epoch;
        if let Some(folder) = &self.disk.install.packages {
            disk.install.packages = Some(folder.clone());
        }
        disk.install.init = disk.spec.init;
        disk.install.locale.clone_from(&disk.spec.setup.locale);
        disk.install.time_zone = disk.spec.setup.timezone.is_some();
        disk.install.loader = disk.spec.loader;
        disk.install.stub = disk.spec.starts_ukis();
        disk.install.initramfs = disk.spec.initramfs();
        disk.install.hardware = disk.spec.hardware;
        disk.install.microvm = (disk.spec.profile == Profile::Microvm).then(|| taken(&disk));
        disk.install.core_modules = core_modules(&disk.spec);
        disk.install.drivers = layout::initramfs_drivers(&disk.spec);
        disk.install.encrypted = layout::encrypted(&disk.spec);
        disk.install.media = disk.spec.makes_medium();
        disk.install.checks = disk.spec.grub.key.is_some();
        // VirtualBox gives its machines the controllers of real ones, and a medium is for such machines.
        disk.install.full_kernel = disk.spec.formats.contains(&Format::Vdi) || disk.install.media;
        if disk.spec.profile != Profile::Microvm {
            disk.spec.microvm = Microvm::default();
        }
        if !disk.install.media {
            disk.spec.medium = Medium::default();
        }
        Self { disk, ..self.clone() }.checked(|asked| [installed(asked), problems(&asked.spec)].concat())
    }

    fn checked(mut self, problems: impl Fn(&Asked) -> Vec<String>) -> Result<Self> {
        self.check_stage()?;
        self.disk.spec.artifacts()?;
        no_problems(problems(&self.disk))?;
        Ok(self)
    }

    /// What labels and the configuration say of formats is of disks: an image has in it what its stage is called by.
    fn hold(&self, spec: &mut Spec) {
        let is_typed = self.wishes.iter().any(|wish| wish.attribute().name == FORMAT);
        let Some((held, _)) = self.stage.held().filter(|_| !is_typed) else { return };
        spec.formats = vec![held];
        spec.compression = spec.compression.filter(|asked| held.compressions().contains(asked));
    }

    /// A container image has one artifact in it: a disk, and that is a qcow2, or an update.
    fn check_stage(&mut self) -> Result<()> {
        let Some((held, what)) = self.stage.held() else { return Ok(()) };
        let formats = &mut self.disk.spec.formats;
        match (self.stage, &formats[..]) {
            // The first one is what nobody has asked for.
            (_, [Format::Qcow2])
            | (Stage::ContainerDisk, [Format::ContainerDisk])
            | (Stage::Update, [Format::Update]) => {
                *formats = vec![held];
                Ok(())
            }
            (_, formats) => {
                let names: Vec<_> = formats.iter().map(|format| format.name()).collect();
                let names = names.join(",");
                let message = format!("VMIMAGE_FORMAT is {names}: a container image holds {what}");
                Err(Error::user(message)
                    .with_hint("leave VMIMAGE_FORMAT out, and make disks of other formats in another build"))
            }
        }
    }

    /// The text of an error is what would have been right.
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            STAGE => self.stage = by_name(&Stage::ALL, Stage::name, value)?,
            TRANSPORT => self.transport = by_name(&Transport::ALL, Transport::name, value)?,
            HINTS => self.hints = by_name(&Hints::ALL, Hints::name, value)?,
            _ => self.wishes.push(Attribute::by_variable(name).ok_or_else(unknown)?.wish(value)?),
        }
        Ok(())
    }
}

/// What is taken of another stage for a microVM.
fn taken(Asked { spec, install, .. }: &Asked) -> Taken {
    let kernel = install.kernel != Some(Kernel::Keep);
    Taken {
        kernel,
        boot_loader: spec.formats.iter().any(|format| format.is_disk()),
        // Whose kernel is its own has the stub beside it.
        stub: spec.formats.contains(&Format::Uki) && (kernel || spec.kernel_file.is_some()),
    }
}

/// What would have to be installed in the image of a microVM, in which nothing is.
pub(super) fn installed(Asked { spec, install, .. }: &Asked) -> Vec<String> {
    if spec.profile != Profile::Microvm {
        return Vec::new();
    }
    let asked = [
        ("install", !install.further.is_empty()),
        ("locale", spec.setup.locale.is_some()),
        ("certificates", !install.sources.certificates.is_empty()),
        ("repositories", !install.sources.repositories.is_empty()),
    ];
    let asked = asked.into_iter().filter(|(_, is_asked)| *is_asked);
    asked
        .map(|(key, _)| {
            format!("{key}: nothing is installed in a microVM's image: have the Dockerfile do it")
        })
        .collect()
}

/// The same, if its formats are of microVMs alone, as one: the profile may be said elsewhere.
pub(super) fn in_its_profile(spec: &Spec, says_profile: bool) -> Spec {
    let is_of_microvms = |format: &Format| matches!(format, Format::Microvm | Format::Uki);
    match !says_profile && spec.formats.iter().any(is_of_microvms) {
        true => Spec { profile: Profile::Microvm, ..spec.clone() },
        false => spec.clone(),
    }
}

/// What is asked in different places may not go together.
pub(crate) fn check_problems(spec: &Spec) -> Result<()> {
    no_problems(problems(spec))
}

fn problems(spec: &Spec) -> Vec<String> {
    let update = update::problems(spec).into_iter().chain(rauc::problems(spec)).chain(update::unnamed(spec));
    let update = update.chain(secure_boot::problems(spec)).chain(grub::problems(spec));
    let update = update.map(|(key, message)| format!("{key}: {message}"));
    lasting_problems(spec).into_iter().chain(update).collect()
}

/// Those that labels and a configuration do not take away: an update by a flag is of slots and a name that they may have.
fn lasting_problems(spec: &Spec) -> Vec<String> {
    let layout = layout::problems(spec, &layout::slots(spec)).into_iter();
    let layout = layout.map(|layout::Problem { key, message, .. }| format!("{key}: {message}"));
    let medium = medium::problems(spec).into_iter();
    let medium = medium.map(|layout::Problem { key, message, .. }| format!("{key}: {message}"));
    let network = network::problems(&spec.network).into_iter();
    let network = network.map(|network::Problem { key, message, .. }| format!("network.{key}: {message}"));
    layout.chain(medium).chain(network).chain(not_of_metal(spec)).collect()
}

/// What cannot be made of metal.
pub(super) fn not_of_metal(spec: &Spec) -> Option<String> {
    let profile = spec.profile.name();
    (spec.hardware == Hardware::Metal && spec.profile != Profile::Machine).then(|| {
        format!(
            "hardware: metal is for machines, and the profile is {profile}: leave hardware out, or ask for the profile machine"
        )
    })
}

fn no_problems(lines: Vec<String>) -> Result<()> {
    if lines.is_empty() { Ok(()) } else { Err(Error::of_lines(lines)) }
}

fn unknown() -> String {
    let known: Vec<_> = ATTRIBUTES.iter().map(Attribute::variable).collect();
    format!("not an argument of vmimage: there are {}, {STAGE}, {TRANSPORT}, {HINTS}", known.join(", "))
}

/// What an image's labels ask for.
fn of_labels(labels: &BTreeMap<String, String>) -> Result<Vec<Wish>> {
    let (mut wishes, mut wrong) = (Vec::new(), Vec::new());
    for (name, value) in labels {
        let Some(key) = name.strip_prefix(LABEL) else { continue };
        let attribute = Attribute::by_name(key).filter(|attribute| attribute.is_label());
        let wish = match attribute {
            Some(_) if key == KERNEL && KernelFile::is_meant(value) => {
                Err("a file is named by who builds, by no image".to_owned())
            }
            Some(attribute) => attribute.wish(value),
            None => Err(format!("unknown attribute {key}")),
        };
        match wish {
            Ok(wish) => wishes.push(wish),
            Err(expected) => wrong.push(format!("the image's label {name} is {value:?}: {expected}")),
        }
    }
    if wrong.is_empty() { Ok(wishes) } else { Err(Error::of_lines(wrong)) }
}

impl Transport {
    const ALL: [Self; 2] = [Self::File, Self::Sparse];

    /// Its name: `file`, `sparse`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Sparse => "sparse",
        }
    }
}

impl Stage {
    pub(crate) const ALL: [Self; 6] =
        [Self::Dockerfile, Self::Rootfs, Self::Disk, Self::ContainerDisk, Self::Update, Self::KubeOs];

    /// Whether it is an image by the same name as a format: `type=image,format=update`.
    pub(crate) fn is_image(self) -> bool {
        matches!(self, Self::ContainerDisk | Self::Update | Self::KubeOs)
    }

    /// What the image has in it, and in words.
    fn held(self) -> Option<(Format, &'static str)> {
        match self {
            Self::ContainerDisk => Some((Format::Qcow2, "one qcow2 disk")),
            Self::Update => Some((Format::Update, "one update")),
            Self::Dockerfile | Self::Rootfs | Self::Disk | Self::KubeOs => None,
        }
    }

    /// Its name: `dockerfile`, `rootfs`, `disk`, `containerdisk`, `update`, `kubeos`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dockerfile => "dockerfile",
            Self::Rootfs => "rootfs",
            Self::Disk => "disk",
            Self::ContainerDisk => "containerdisk",
            Self::Update => "update",
            Self::KubeOs => "kubeos",
        }
    }
}

#[cfg(test)]
mod tests {
    use exporter::spec::{Initramfs, Size};

    use super::*;
    use crate::ask::Kernel;

    fn parse<'a>(arguments: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Request> {
        Request::new(&[], arguments)
    }

    #[test]
    fn arguments_become_a_request() {
        let arguments = [
            ("GREETING", "not ours"),
            ("VMIMAGE_NAME", "web"),
            ("VMIMAGE_FORMAT", "qcow2,vhdx"),
            ("VMIMAGE_SIZE", "8G"),
            ("VMIMAGE_HOSTNAME", "web-1.example"),
            ("VMIMAGE_KERNEL", "linux-image-amd64"),
            ("VMIMAGE_PROFILE", "data"),
            ("VMIMAGE_STAGE", "rootfs"),
            ("VMIMAGE_TRANSPORT", "sparse"),
            ("VMIMAGE_HINTS", "flag"),
        ];
        let request = parse(arguments.into_iter()).unwrap();
        assert_eq!(request.disk.spec.name, "web");
        assert_eq!(request.disk.spec.formats, [Format::Qcow2, Format::Vhdx]);
        assert_eq!(request.disk.spec.size, Some(Size(8 << 30)));
        assert_eq!(request.disk.spec.hostname.as_deref(), Some("web-1.example"));
        assert_eq!(request.disk.install.kernel, Some(Kernel::Package("linux-image-amd64".into())));
        assert_eq!(request.disk.spec.profile, Profile::Data);
        assert_eq!((request.stage, request.transport), (Stage::Rootfs, Transport::Sparse));
        assert_eq!(request.hints, Hints::Flags);
        assert_eq!(Request::default().transport, Transport::File, "what a stock client can store");
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
            ("VMIMAGE_PROFILE", "boat"),
            ("VMIMAGE_STAGE", "moon"),
            ("VMIMAGE_TRANSPORT", "pigeon"),
            ("VMIMAGE_HINTS", "verse"),
            ("VMIMAGE_SISE", "1G"),
        ];
        let failure = parse(arguments.into_iter()).unwrap_err();
        for (name, _) in arguments {
            assert!(failure.to_string().contains(name), "{name}: {failure}");
        }
        assert!(failure.to_string().contains("VMIMAGE_SIZE,"));
    }

    #[test]
    fn the_file_wins_over_labels_and_arguments_win_over_both() {
        let labels = [
            ("vmimage.size", "1G"),
            ("vmimage.hostname", "label"),
            ("vmimage.cmdline", "quiet"),
            ("maintainer", "x"),
        ];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let text = "size = \"2G\"\nhostname = \"file\"\n[[users]]\nname = \"ada\"";
        let file = Configuration {
            config: crate::ask::config::Config::parse("f", text).unwrap(),
            ..Configuration::default()
        };
        let request = parse([("VMIMAGE_SIZE", "3G")].into_iter()).unwrap().clamped(Some("7")).unwrap();
        let spec = request.over(&labels, &file).unwrap().disk.spec;
        assert_eq!(
            (spec.size, spec.hostname.as_deref(), &*spec.cmdline),
            (Some(Size(3 << 30)), Some("file"), "quiet")
        );
        assert_eq!((spec.source_date_epoch, spec.setup.users.len()), (Some(7), 1));
    }

    /// The format is often a flag, and what it is of in the file.
    #[test]
    fn an_update_may_be_asked_of_what_the_file_says() {
        let text = "layout = \"ab\"\n[image]\nid = \"kiosk\"\nversion = \"1\"";
        let file = |text| Configuration {
            config: crate::ask::config::Config::parse("f", text).unwrap(),
            ..Configuration::default()
        };
        let request = parse([("VMIMAGE_FORMAT", "update")].into_iter()).unwrap();
        assert_eq!(request.over(&BTreeMap::new(), &file(text)).unwrap().disk.spec.formats, [Format::Update]);
        let error = |text| request.over(&BTreeMap::new(), &file(text)).unwrap_err().to_string();
        assert!(error("layout = \"ab\"").contains("image.id: is not said"));
        assert!(error("").contains("ask for layout = \"ab\""));
    }

    #[test]
    fn every_wrong_label_is_named() {
        let labels = [("vmimage.size", "big"), ("vmimage.sise", "1G"), ("vmimage.config", "x.toml")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let failure = Request::default().over(&labels, &Configuration::default()).unwrap_err();
        for name in ["vmimage.size is \"big\"", "vmimage.sise is", "vmimage.config is"] {
            assert!(failure.to_string().contains(name), "{failure}");
        }
    }

    #[test]
    fn formats_that_do_not_go_together_are_refused() {
        let failure = parse([("VMIMAGE_FORMAT", "raw,raw")].into_iter()).unwrap_err();
        assert!(
            failure.to_string().ends_with("raw is asked for twice") && failure.hint().is_some(),
            "{failure}"
        );
        let arguments = [("VMIMAGE_COMPRESSION", "zlib"), ("VMIMAGE_FORMAT", "raw")];
        let failure = parse(arguments.into_iter()).unwrap_err();
        assert!(
            failure.to_string().ends_with("zlib is not for raw files") && failure.hint().is_some(),
            "{failure}"
        );
    }

    #[test]
    fn a_container_image_holds_one_qcow2() {
        let parse_format = |format: &'static str| {
            let stage = ("VMIMAGE_STAGE", "containerdisk");
            let format = (!format.is_empty()).then_some(("VMIMAGE_FORMAT", format));
            parse(format.into_iter().chain([stage]))
        };
        for format in ["", "qcow2", "containerdisk"] {
            let request = parse_format(format).unwrap();
            assert_eq!(
                (request.stage, &*request.disk.spec.formats),
                (Stage::ContainerDisk, &[Format::Qcow2][..])
            );
        }
        for format in ["raw", "qcow2,vhdx"] {
            let failure = parse_format(format).unwrap_err();
            let expected = format!("VMIMAGE_FORMAT is {format}: a container image holds one qcow2 disk");
            assert_eq!(failure.to_string(), expected);
            assert!(failure.hint().is_some());
        }
    }

    #[test]
    fn an_image_of_an_update_holds_that_alone() {
        let parse_format = |format: &'static str| {
            let format = (!format.is_empty()).then_some(("VMIMAGE_FORMAT", format));
            let ab = [("VMIMAGE_STAGE", "update"), ("VMIMAGE_LAYOUT", "ab")];
            parse(format.into_iter().chain(ab))
        };
        for format in ["", "update"] {
            assert_eq!(parse_format(format).unwrap().disk.spec.formats, [Format::Update]);
        }
        let failure = parse_format("qcow2,update").unwrap_err().to_string();
        assert_eq!(failure, "VMIMAGE_FORMAT is qcow2,update: a container image holds one update");
        let kubeos = parse([("VMIMAGE_STAGE", "kubeos")].into_iter()).unwrap();
        assert_eq!(kubeos.disk.spec.formats, [Format::Qcow2]);
    }

    /// One configuration is of the disk, of the update beside it, and of its image.
    #[test]
    fn formats_of_the_file_are_of_disks_and_not_of_images() {
        let text = "layout = \"ab\"\nformat = [\"qcow2\", \"update\"]\ncompression = \"zlib\"\n[image]\nid = \"kiosk\"\nversion = \"1\"";
        let file = Configuration {
            config: crate::ask::config::Config::parse("f", text).unwrap(),
            ..Configuration::default()
        };
        for (stage, held) in [("update", Format::Update), ("containerdisk", Format::Qcow2)] {
            let request = parse([("VMIMAGE_STAGE", stage)].into_iter()).unwrap();
            let spec = request.over(&BTreeMap::new(), &file).unwrap().disk.spec;
            assert_eq!((&*spec.formats, spec.compression.is_some()), (&[held][..], held == Format::Qcow2));
        }
        let typed = parse([("VMIMAGE_STAGE", "containerdisk"), ("VMIMAGE_FORMAT", "qcow2")].into_iter());
        assert_eq!(typed.unwrap().over(&BTreeMap::new(), &file).unwrap().disk.spec.formats, [Format::Qcow2]);
    }

    #[test]
    fn of_a_stage_a_microvm_takes_what_its_artifact_needs() {
        let taken = |format: &str, kernel: Option<&str>| {
            let profile = [("VMIMAGE_PROFILE", "microvm"), ("VMIMAGE_FORMAT", format)];
            let kernel = kernel.map(|kernel| ("VMIMAGE_KERNEL", kernel));
            let request = parse(profile.into_iter().chain(kernel)).unwrap();
            let install = request.over(&BTreeMap::new(), &Configuration::default()).unwrap().disk.install;
            let Taken { kernel, boot_loader, stub } = install.microvm.unwrap();
            [kernel, boot_loader, stub]
        };
        assert_eq!(taken("microvm", None), [true, false, false]);
        assert_eq!(taken("microvm", Some("image:debian:13")), [true, false, false]);
        assert_eq!(taken("microvm", Some("keep")), [false; 3]);
        assert_eq!(taken("microvm", Some("file:bzImage")), [false; 3]);
        assert_eq!(taken("uki", None), [true, false, true]);
        assert_eq!(taken("uki", Some("keep")), [false; 3]);
        assert_eq!(taken("uki", Some("stage:kernel/bzImage")), [false, false, true]);
        assert_eq!(taken("qcow2,raw", None), [true, true, false]);
        let machine = parse([("VMIMAGE_INITRAMFS", "vmimage")].into_iter()).unwrap();
        let install = machine.over(&BTreeMap::new(), &Configuration::default()).unwrap().disk.install;
        assert_eq!((install.initramfs, install.microvm), (Initramfs::Vmimage, None));
    }

    #[test]
    fn nothing_is_installed_in_the_image_of_a_microvm() {
        for (name, value) in [("VMIMAGE_INSTALL", "nginx"), ("VMIMAGE_LOCALE", "de_DE.UTF-8")] {
            let request = parse([("VMIMAGE_PROFILE", "microvm"), (name, value)].into_iter()).unwrap();
            let refused = request.over(&BTreeMap::new(), &Configuration::default()).unwrap_err().to_string();
            let key = name.trim_start_matches(PREFIX).to_lowercase();
            assert!(refused.starts_with(&format!("{key}: nothing is installed")), "{refused}");
            let machine = parse([(name, value)].into_iter()).unwrap();
            assert!(machine.over(&BTreeMap::new(), &Configuration::default()).is_ok());
        }
    }

    /// The profile of a format may be that of the file, and another kernel takes the place of one that is a file.
    #[test]
    fn what_is_typed_goes_with_what_the_file_says() {
        let file = Configuration {
            config: crate::ask::config::Config::parse(
                "f",
                "profile = \"microvm\"\nkernel = \"file:bzImage\"",
            )
            .unwrap(),
            ..Configuration::default()
        };
        let typed = parse([("VMIMAGE_FORMAT", "microvm"), ("VMIMAGE_KERNEL", "6.1")].into_iter()).unwrap();
        let disk = typed.over(&BTreeMap::new(), &file).unwrap().disk;
        assert_eq!((disk.spec.profile, &disk.spec.kernel_file), (Profile::Microvm, &None));
        assert_eq!(disk.install.kernel, Some(Kernel::Version("6.1".into())));
        let disk = parse(std::iter::empty()).unwrap().over(&BTreeMap::new(), &file).unwrap().disk;
        assert_eq!((disk.install.kernel, disk.install.donor), (Some(Kernel::Keep), None));
        assert_eq!(disk.spec.context_files(), ["bzImage"]);
    }

    #[test]
    fn no_label_names_a_file() {
        for (value, is_right) in
            [("6.1", true), ("image:debian:12", true), ("file:bzImage", false), ("stage:a/b", false)]
        {
            let labels = BTreeMap::from([("vmimage.kernel".to_owned(), value.to_owned())]);
            let asked = parse(std::iter::empty()).unwrap().over(&labels, &Configuration::default());
            assert_eq!(asked.is_ok(), is_right, "{value}");
        }
    }
}
