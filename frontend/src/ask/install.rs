//! What was asked of the package manager, and where its packages come from.

use exporter::spec::layout::Encrypted;
use exporter::spec::{Hardware, Init, Initramfs, Loader};

use super::Kernel;

/// What was asked of the package manager.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Install {
    /// `None`: the distribution's usual one, unless the base has a kernel.
    pub(crate) kernel: Option<Kernel>,
    /// The first process: vmimage's own needs no package.
    pub(crate) init: Init,
    /// What the machine is made of: for metal there is a kernel with all drivers, firmware and microcode.
    pub(crate) hardware: Hardware,
    /// Whether the usual kernel is the one with the drivers of real hardware too.
    pub(crate) full_kernel: bool,
    /// The image whose kernel is taken instead; `None`: the base's own, if it can have one.
    pub(crate) donor: Option<String>,
    /// A mirror to ask in place of the distribution's own hosts: `http://HOST`, perhaps with a path, without a
    /// slash at the end.
    pub(crate) mirror: Option<String>,
    /// Install from this folder in place of any network.
    pub(crate) packages: Option<Folder>,
    /// The proxy that packages come through, unless the build has one: `http://HOST:PORT`.
    pub(crate) proxy: Option<String>,
    /// Further packages.
    pub(crate) further: Vec<String>,
    /// A locale that has to be there.
    pub(crate) locale: Option<String>,
    /// Whether a time zone's file has to be there.
    pub(crate) time_zone: bool,
    /// Whose boot loader is installed: the image's own is not.
    pub(crate) loader: Loader,
    /// Whether systemd's stub has to be there, which the machine's images of kernels begin with.
    pub(crate) stub: bool,
    /// Whose initramfs the machine boots by: where it is vmimage's own, packages make none.
    pub(crate) initramfs: Initramfs,
    /// Of a microVM, in whose image nothing is installed: what another stage is for.
    pub(crate) microvm: Option<Taken>,
    /// What the boot loader for a BIOS has to read tables and file systems.
    pub(crate) core_modules: Vec<&'static str>,
    /// Whether the boot loader has to start media, too.
    pub(crate) media: bool,
    /// Whether GRUB is to read nothing but what a key has signed.
    pub(crate) checks: bool,
    /// Drivers that an initramfs has to have, beside those of every machine.
    pub(crate) drivers: Vec<&'static str>,
    /// Which partitions are encrypted, and have to be opened.
    pub(crate) encrypted: Encrypted,
    /// What is trusted, and where packages come from, before any is fetched.
    pub(crate) sources: Sources,
}

/// What of the files of a stage is taken for a microVM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// A kernel with its modules.
    pub(crate) kernel: bool,
    /// The boot loader, for a disk.
    pub(crate) boot_loader: bool,
    /// What a UKI begins with.
    pub(crate) stub: bool,
}

impl Taken {
    /// Whether there is something at all.
    pub(crate) fn is_some(self) -> bool {
        self != Self::default()
    }
}

/// Where a folder of packages is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Folder {
    /// With the client, as a context of its own.
    Client,
    /// In the build context, at this path.
    Context(String),
}

/// Certificates and repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    /// Certificates of authorities, PEM.
    pub(crate) certificates: Vec<TextFile>,
    /// Repositories beside those of the image.
    pub(crate) repositories: Vec<Repository>,
}

/// A text under the name of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextFile {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A repository in the words of the package manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) key: Option<TextFile>,
}
