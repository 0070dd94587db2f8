//! A medium of a machine: what is around its disk on a disc, and in a folder that is served.
//!
//! ```text
//! the machine's kernel ─▶ initramfs with vmimage-medium ─┐
//! the machine's tree ───▶ a root that is only read ──────┼─▶ netboot
//! the machine's disk ─────────────────────────────────────┴─▶ ISO
//! ```
//!
//! The disk is the one of every other format, byte for byte.

mod disc;
mod live;
mod served;
mod target;
mod trust;

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::own_initramfs::{self, Needs, Within};
use super::read_kernel::ReadKernel;
use super::resolve::Resolved;
use super::{Programs, compressed};
use crate::boot::medium::Menu;
use crate::boot::{BootFiles, Defaults};
use crate::container::medium::About;
use crate::container::{self, Format};
use crate::disk::DiskLayout;
use crate::engine::Run;
use crate::error::{Error, Kind, Result};
use crate::fs::external::Mkfs;
use crate::fs::{Contents, FileSystem};
use crate::initramfs::Built;
use crate::kernel::KernelImage;
use crate::machine::Materials;
use crate::seed::Seed;
use crate::spec::{Mode, Spec};
use crate::tree::kernel::Kernel;
use crate::tree::os::{Family, Os};
use crate::tree::{Content, InodeKind, Time, Tree};

use live::LiveRoot;

/// What a medium starts, as far as it is known before the tree is the machine's.
pub(super) struct Started {
    files: BootFiles,
    kernel: Content,
    image: KernelImage,
    /// What is looked for in front of all else: microcode, or nothing.
    early: Vec<Content>,
    /// What is unpacked: certificates of authorities, and what is built for the kernel.
    initramfs: Vec<Content>,
    /// What compresses a root that this kernel reads.
    compression: Option<crate::fs::erofs::Algorithm>,
    stub: Option<super::microvm::uki::Stub>,
    /// What the installer is told, if something is.
    pub(super) install: Option<Arc<[u8]>>,
    /// What the report says.
    notes: Vec<String>,
}

impl Started {
    /// The kernel of the disk and what it starts; `None`, if no medium is asked for.
    ///
    /// # Errors
    /// What the kernel lacks, and if there is no boot loader.
    pub(super) fn find(
        spec: &Spec,
        root: &Tree,
        kernel: &Kernel,
        layout: &Resolved,
        files: &BootFiles,
        programs: &Programs,
        materials: &Materials,
    ) -> Result<Option<Self>> {
        if !spec.makes_medium() {
            return Ok(None);
        }
        let program = own_initramfs::medium_program(spec, programs.medium.clone())?;
        let read = ReadKernel::of_tree(root, kernel, spec.architecture)?;
        let needs = Needs::of_medium(spec, &roots(spec, layout));
        let Built { parts, modules, notes } = own_initramfs::build(&read, &needs, Within::alone(program))?;
        let count = modules.len();
        let said = format!("medium: {} with an initramfs of vmimage's own, {count} modules", kernel.image);
        let lacks = notes.into_iter().map(|line| format!("medium: {line}"));
        let trusted = of_bytes(trust::archive(root)?);
        let no_trust =
            "medium: HTTPS believes nobody: the image has no certificates of authorities (ca-certificates)";
        let no_trust = trusted.is_none().then(|| no_trust.to_owned());
        let wants_stub = spec.is_netbooted() && spec.medium.first() == Some(Mode::Live);
        let stub = wants_stub.then(|| super::microvm::uki::stub(root, None, spec.architecture).ok());
        Ok(Some(Self {
            files: files.clone().for_firmware(spec.firmware, spec.architecture)?,
            compression: compressed::best(&read),
            kernel: read.content,
            image: read.image,
            early: of_bytes(own_initramfs::microcode(spec, root)?).into_iter().collect(),
            initramfs: trusted.into_iter().chain(parts).collect(),
            stub: stub.flatten(),
            install: install(spec, materials)?,
            notes: std::iter::once(said).chain(lacks).chain(no_trust).collect(),
        }))
    }
}

impl Started {
    /// The bytes of the initramfs.
    fn initramfs(&self) -> Contents {
        Contents::of_files(&[&self.early[..], &self.initramfs].concat())
    }
}

/// A part of an initramfs, if there is anything in it.
fn of_bytes(bytes: Vec<u8>) -> Option<Content> {
    (!bytes.is_empty()).then(|| Content::Bytes(bytes.into()))
}

/// The file systems of roots that live mode may mount.
fn roots(spec: &Spec, layout: &Resolved) -> Vec<FileSystem> {
    let of_disc = spec.formats.contains(&Format::Iso).then_some(layout.root.file_system);
    let of_folder = spec.is_netbooted().then(|| live::file_system(layout));
    of_disc.into_iter().chain(of_folder).collect()
}

/// What the installer is told, if something is.
///
/// # Errors
/// If it is no file of the context, or longer than any text.
fn install(spec: &Spec, materials: &Materials) -> Result<Option<Arc<[u8]>>> {
    let Some(path) = &spec.medium.install else { return Ok(None) };
    let id = materials.file(path)?;
    if !matches!(materials.context.inode(id).kind, InodeKind::File(_)) {
        let message = "is no regular file, and the installer is told by one";
        return Err(Error::new(Kind::Input, path, message)
            .with_hint("name the file itself in [medium] install: links of the context are not followed"));
    }
    Ok(Some(materials.text(path)?.into()))
}

/// What a medium is of: a machine that is ready for its disk.
pub(super) struct Machine<'a> {
    pub(super) spec: &'a Spec,
    pub(super) os: &'a Os,
    pub(super) layout: &'a Resolved,
    pub(super) seed: &'a Seed,
    pub(super) time: Time,
    /// Words for the kernel that the image says.
    pub(super) defaults: &'a Defaults,
    /// The path of its first process.
    pub(super) init: String,
    /// Who configures its network.
    pub(super) network: &'static str,
    /// What the installer is told, if something is.
    pub(super) install: Option<Arc<[u8]>>,
}

/// A medium whose disk is not there yet.
pub(super) struct Draft<'a> {
    machine: Machine<'a>,
    started: Started,
    root: Option<LiveRoot>,
    /// What the report says.
    pub(super) notes: Vec<String>,
}

impl<'a> Draft<'a> {
    /// With the tree, before any partition has taken something of it.
    ///
    /// # Errors
    /// If no file system can be made of it.
    pub(super) fn new(
        machine: Machine<'a>,
        mut started: Started,
        tree: &Tree,
        mkfs: Option<&Arc<dyn Mkfs>>,
        run: &Run<'_>,
    ) -> Result<Self> {
        let is_wanted = machine.spec.is_netbooted() && machine.spec.medium.has(Mode::Live);
        let root = || LiveRoot::new(&machine, started.compression, tree, mkfs, run);
        let root = is_wanted.then(root).transpose()?;
        let mut notes = std::mem::take(&mut started.notes);
        notes.extend(served::lacks(&machine, &started, root.as_ref()));
        notes.extend(disc::lacks(&machine, &started));
        if machine.spec.grub.password.is_some() {
            notes.push("medium: its menu asks for no password".to_owned());
        }
        Ok(Self { machine, started, root, notes })
    }

    /// The medium around this disk; `tree` says what it is called.
    ///
    /// # Errors
    /// What no volume holds, and those of its parts.
    pub(super) fn plan(self, disk: &DiskLayout, release: Vec<u8>) -> Result<container::Medium> {
        let Self { machine, started, root, .. } = self;
        let formats = &machine.spec.formats;
        let disc = formats.contains(&Format::Iso).then(|| disc::plan(&machine, &started, disk));
        let served = machine.spec.is_netbooted();
        let netboot = served.then(|| served::plan(&machine, &started, root.as_ref(), disk, release));
        Ok(container::Medium { disc: disc.transpose()?, netboot: netboot.transpose()? })
    }
}

impl Machine<'_> {
    /// The identity of the medium: another one where something else is asked of it, or the installer is told something else.
    fn id(&self) -> String {
        let asked = serde_json::to_string(&self.spec.medium).unwrap_or_default();
        let told = self.install.as_deref().map(|text| format!(" {:x}", Sha256::digest(text)));
        self.seed.uuid(&format!("medium {asked}{}", told.unwrap_or_default())).to_string()
    }

    /// A file of the medium, if the installer is told something.
    fn install(&self) -> Option<(String, Contents)> {
        self.install.as_ref().map(|text| ("install.toml".to_owned(), Contents::of_bytes(Arc::clone(text))))
    }

    fn name(&self) -> String {
        self.spec.hostname.as_ref().unwrap_or(&self.spec.name).clone()
    }

    /// What the medium says of itself, but for its root and its disk.
    fn about(&self, disk: &DiskLayout, files: &BootFiles) -> About {
        let target = target::of(self, disk, files);
        let os = self.os.pretty_name.clone();
        let mut about = About::new(self.id(), self.name(), os, self.spec.architecture, target);
        about.modes = self.spec.medium.in_order().into_iter().map(Mode::name).collect();
        about.init.clone_from(&self.init);
        about
    }

    fn menu(&self) -> Menu {
        Menu {
            title: self.os.pretty_name.clone(),
            modes: self.spec.medium.in_order(),
            timeout: self.spec.medium.timeout,
            id: self.id(),
            words: self.words(),
            linuxefi: matches!(self.os.family, Family::RedHat | Family::Suse)
                && self.spec.architecture == crate::spec::Architecture::X86_64,
        }
    }

    /// A console on the screen and on the serial port, and what the machine's own kernel is told beside where its root is.
    fn words(&self) -> Vec<String> {
        let serial = format!("console={},115200n8", self.spec.architecture.serial_console());
        let Defaults { words, further, .. } = self.defaults;
        let asked = self.spec.cmdline.split_ascii_whitespace().map(str::to_owned);
        let all = words.iter().chain(further).cloned().chain(asked).filter(|word| !is_of_disk(word));
        let mut words = vec!["console=tty0".to_owned(), serial];
        for word in all {
            if !words.contains(&word) {
                words.push(word);
            }
        }
        words
    }
}

/// Whether a word is about the root of an installed machine or what is started from it: the medium has its own.
fn is_of_disk(word: &str) -> bool {
    const BEGIN: [&str; 8] =
        ["root=", "rootfstype=", "rootflags=", "init=", "resume=", "modules=", "rauc.", "vmimage."];
    matches!(word, "ro" | "rw" | "rootwait" | "noresume" | "resume")
        || BEGIN.iter().any(|begin| word.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_about_the_disk_stay_with_it() {
        for word in ["root=UUID=1", "ro", "init=/app", "resume=/dev/sda2", "rauc.slot=A", "vmimage.mode=live"]
        {
            assert!(is_of_disk(word), "{word}");
        }
        for word in ["quiet", "console=ttyS1", "nomodeset", "rootless=1", "mitigations=off", "ip=dhcp"] {
            assert!(!is_of_disk(word), "{word}");
        }
    }
}
