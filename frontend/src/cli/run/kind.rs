//! What SOURCE is: told by what is there and how it is written, before anything is read or asked.

use std::ffi::OsStr;
use std::path::Path;

use exporter::container::{self, Format, microvm};

use super::Args;
use crate::base::reference::Reference;
use crate::base::{Error, Result};

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceKind {
    /// A disk, in a file or in the folder of an OVF package.
    Disk,
    /// The folder of a microVM.
    Microvm,
    /// What an engine builds.
    Context,
    /// An image of a container.
    Image,
}

/// Transports of containers-transports(5), and ours for trees.
const TRANSPORTS: [&str; 8] = [
    "docker://",
    "docker-daemon:",
    "containers-storage:",
    "oci:",
    "oci-archive:",
    "docker-archive:",
    "tar:",
    "dir-tree:",
];
/// What contexts begin with that are elsewhere, as `docker build` takes them.
const REMOTE: [&str; 5] = ["https://", "http://", "git://", "ssh://", "git@"];
/// What names of files begin with that are nothing else.
const PATHS: [&str; 3] = ["/", "./", "../"];
const DOCKERFILES: [&str; 2] = ["Dockerfile", "Containerfile"];
const OCI_LAYOUT: &str = "oci-layout";

impl SourceKind {
    /// That of what was typed. What is there is what it is; what is not is a file where it is written as one.
    pub(super) fn of(source: &OsStr) -> Self {
        let path = Path::new(source);
        if path.is_dir() {
            return Self::of_folder(path);
        }
        let text = source.to_string_lossy();
        let begins = |all: &[&str]| all.iter().any(|prefix| text.starts_with(prefix));
        if path.symlink_metadata().is_ok() {
            return Self::Disk;
        }
        if begins(&TRANSPORTS) {
            return Self::Image;
        }
        if begins(&REMOTE) {
            return Self::Context;
        }
        let is_file = begins(&PATHS) || Format::from_path(path).is_some();
        match !is_file && text.parse::<Reference>().is_ok() {
            true => Self::Image,
            false => Self::Disk,
        }
    }

    fn of_folder(path: &Path) -> Self {
        let has = |name: &str| path.join(name).is_file();
        // It says so itself when there is no Dockerfile.
        let is_here = || path == Path::new(".") && container::disk_file(path).is_err();
        if microvm::is_microvm(path) {
            Self::Microvm
        } else if has(OCI_LAYOUT) {
            Self::Image
        } else if DOCKERFILES.iter().any(|name| has(name)) || is_here() {
            Self::Context
        } else {
            Self::Disk
        }
    }

    /// Whether all behind it is the command.
    pub(super) fn has_command(self) -> bool {
        matches!(self, Self::Context | Self::Image)
    }

    /// As messages call it.
    fn noun(self) -> &'static str {
        match self {
            Self::Disk => "a disk",
            Self::Microvm => "a microVM",
            Self::Context => "a build context",
            Self::Image => "an image",
        }
    }
}

/// What is named, without the word that says where it is.
pub(super) fn without_transport(source: &str) -> &str {
    TRANSPORTS.iter().find_map(|transport| source.strip_prefix(transport)).unwrap_or(source)
}

/// That no flag is for something else.
///
/// # Errors
/// If one would do nothing.
pub(super) fn refuse_others(args: &Args, kind: SourceKind) -> Result<()> {
    let named = args.source.display();
    if kind == SourceKind::Disk {
        let asked = of_microvms(args).into_iter().chain(of_programs(args)).chain(of_images(args));
        return match first(asked) {
            Some(flag) => Err(Error::user(format!("{flag}: {named} is no microVM"))
                .with_hint("build one: --profile microvm --format microvm; or run an image")),
            None => Ok(()),
        };
    }
    if let Some(flag) = first(of_disks(args)) {
        return Err(Error::user(format!("{flag}: {named} is {}", kind.noun()))
            .with_hint("build a disk for it: --format qcow2"));
    }
    if kind == SourceKind::Microvm {
        return match first(of_images(args)) {
            Some(flag) => {
                Err(Error::user(format!("{flag}: {named} is a microVM, whose kernel and root are made"))
                    .with_hint("run an image or a build context"))
            }
            None => Ok(()),
        };
    }
    if args.dry_run {
        return Err(Error::user(format!(
            "--dry-run: {named} is {}, and its machine is made when it is run",
            kind.noun()
        ))
        .with_hint("make it first: --profile microvm --format microvm"));
    }
    if args.agent.is_some() {
        return Err(Error::user(format!(
            "--agent: {named} is {}, whose machine's agent starts the program",
            kind.noun()
        ))
        .with_hint("make it first: --profile microvm --format microvm"));
    }
    if args.commit {
        return Err(Error::user(format!(
            "--commit: {named} is {}, and what a machine has written goes into a disk alone",
            kind.noun()
        ))
        .with_hint("save it as a disk, --save FILE, or keep the machine, --name NAME"));
    }
    let image = &args.image;
    let of_others = match kind {
        SourceKind::Context => {
            vec![(image.registry.is_asked(), "--authfile and --plain-http"), (image.stats, "--stats")]
        }
        _ => vec![(image.build_network.is_some(), "--build-network")],
    };
    match first(of_others) {
        Some(flag) => Err(Error::user(format!("{flag}: {named} is {}", kind.noun()))),
        None => Ok(()),
    }
}

fn first(asked: impl IntoIterator<Item = (bool, &'static str)>) -> Option<&'static str> {
    asked.into_iter().find_map(|(is_asked, flag)| is_asked.then_some(flag))
}

/// A machine without firmware to choose, a screen, or disks that its program sees.
fn of_disks(args: &Args) -> [(bool, &'static str); 9] {
    let disk = &args.disk;
    [
        (args.bios, "--bios"),
        (args.uefi, "--uefi"),
        (args.secure_boot, "--secure-boot"),
        (args.graphics, "--graphics"),
        (disk.firmware.is_some(), "--firmware"),
        (!disk.disk.is_empty(), "--disk"),
        (!disk.serial.is_empty(), "--serial"),
        (disk.ssh_key.is_some(), "--ssh-key"),
        (disk.user_data.is_some(), "--user-data"),
    ]
}

fn of_microvms(args: &Args) -> [(bool, &'static str); 2] {
    [(args.machine.is_some(), "--machine"), (args.agent.is_some(), "--agent")]
}

fn of_programs(args: &Args) -> [(bool, &'static str); 10] {
    let program = &args.program;
    [
        (!args.command.is_empty(), "COMMAND"),
        (program.interactive, "--interactive"),
        (program.tty, "--tty"),
        (!program.env.is_empty(), "--env"),
        (!program.env_file.is_empty(), "--env-file"),
        (program.user.is_some(), "--user"),
        (program.workdir.is_some(), "--workdir"),
        (program.entrypoint.is_some(), "--entrypoint"),
        (program.hostname.is_some(), "--hostname"),
        (!program.volume.is_empty(), "--volume"),
    ]
}

fn of_images(args: &Args) -> [(bool, &'static str); 5] {
    let image = &args.image;
    [
        (image.kernel.is_some(), "--kernel"),
        (image.platform.is_some(), "--platform"),
        (image.build_network.is_some(), "--build-network"),
        (image.registry.is_asked(), "--authfile and --plain-http"),
        (image.stats, "--stats"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_what_it_is_written_as() {
        for (text, kind) in [
            ("docker-daemon:debian:12", SourceKind::Image),
            ("containers-storage:app", SourceKind::Image),
            ("docker://host:5000/app", SourceKind::Image),
            ("oci:layout:latest", SourceKind::Image),
            ("docker-archive:missing.tar", SourceKind::Image),
            ("debian:12", SourceKind::Image),
            (
                "host:5000/team/app@sha256:0000000000000000000000000000000000000000000000000000000000000000",
                SourceKind::Image,
            ),
            ("https://host/app.git#main", SourceKind::Context),
            ("git@host:app.git", SourceKind::Context),
            ("missing.qcow2", SourceKind::Disk),
            ("missing.raw", SourceKind::Disk),
            ("/missing", SourceKind::Disk),
            ("./missing", SourceKind::Disk),
            ("Missing", SourceKind::Disk),
            ("", SourceKind::Disk),
        ] {
            assert_eq!(SourceKind::of(text.as_ref()), kind, "{text}");
        }
    }

    #[test]
    fn what_is_there_is_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let of = |name: &str| SourceKind::of(at(name).as_os_str());
        std::fs::write(at("debian"), "").unwrap();
        std::fs::write(at("app.tar"), "").unwrap();
        for name in ["empty", "context", "layout", "both"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        for name in
            ["context/Dockerfile", "layout/oci-layout", "both/Dockerfile", "both/vm.json", "both/vmlinuz"]
        {
            std::fs::write(at(name), "").unwrap();
        }
        assert_eq!(
            (of("debian"), of("app.tar"), of("empty")),
            (SourceKind::Disk, SourceKind::Disk, SourceKind::Disk)
        );
        assert_eq!(
            (of("context"), of("layout"), of("both")),
            (SourceKind::Context, SourceKind::Image, SourceKind::Microvm)
        );
    }
}
