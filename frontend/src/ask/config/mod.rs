//! `vmimage.toml`: everything that can be asked of a disk and its machine, in a file of the build context.
//!
//! ```text
//! default  <  label vmimage.size  <  size = "10G"  <  --build-arg VMIMAGE_SIZE, --size, type=vmdisk,size=
//!             of the image           in vmimage.toml    of this build
//! ```
//!
//! [`Config`] is the one type behind the file, its JSON schema (`vmimage.schema.json`) and its reference
//! (`CONFIG.md`). Keys that are attributes come from their table ([`ATTRIBUTES`](crate::ask::ATTRIBUTES)), and are
//! [wishes](Wish) once they are read; the others are in the file alone.

mod apply;
mod check;
mod context;
mod contradictions;
mod load;
mod problem;
mod reference;
mod schema;
mod secrets;

use exporter::spec::layout::{Layout, Partition};
use exporter::spec::setup::{ContextFile, File, Group, Root, Services, Setup, User};
use exporter::spec::{
    Grub, Identity, Medium, Microvm, Network, Persist, Rauc, SecureBoot, Spec, TextFormat, Update,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use apply::{Configuration, MAX_TEXT};
pub(crate) use check::{Entries, Entry};
pub(crate) use context::Context;
pub(crate) use load::Files;
pub(crate) use problem::Problems;
pub(crate) use reference::reference;
pub(crate) use schema::{schema, schema_text};
pub(crate) use secrets::Secrets;

use crate::ask::{Asked, Wish};

/// The name of the file, unless another one is asked for.
pub(crate) const FILE: &str = "vmimage.toml";

/// All that `vmimage.toml` can say. Every key is optional.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "vmimage.toml")]
pub(crate) struct Config {
    /// The keys that are attributes.
    #[serde(skip)]
    pub(crate) wishes: Vec<Wish>,
    /// A folder of the build context with packages to install from in place of any network: a repository with its index,
    /// or only packages. It is trusted. `--packages` and the named context `vmimage-packages` are for folders elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::ContextPath), example = &"debs")]
    pub(crate) packages: Option<String>,
    /// A proxy that packages come through while they are installed; `--build-arg http_proxy=…` goes before it. The
    /// machine knows nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::Proxy), example = &"http://proxy.example:3128")]
    pub(crate) proxy: Option<String>,
    /// Files of the build context with certificates of authorities (PEM) that the machine trusts, and the installation
    /// of packages already.
    #[schemars(extend("items" = TextFormat::ContextPath.schema()), example = ["certs/company.crt"])]
    pub(crate) certificates: Vec<String>,
    /// Repositories that packages come from besides the image's own. They stay in the machine.
    pub(crate) repositories: Vec<Repository>,
    /// Partitions of the disk, in their order: all of it, or added to `layout`, where one of a type that the layout has
    /// changes that one. A BIOS boot partition is there without being asked for where a BIOS may start the machine. What
    /// is not said follows from the type.
    pub(crate) partitions: Vec<Partition>,
    /// The boot loader GRUB: its menu, and who signs what it reads.
    pub(crate) grub: Grub,
    /// What the system on the disk is called, whichever distribution it is made of.
    pub(crate) image: Identity,
    /// What the machine keeps of what it writes, over reboots and updates, on the partition with the label `persist`. Its
    /// root is only read then, and all else that is written is in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) persist: Option<Persist>,
    /// A microVM: what its monitor gives it, and what its first process gives the image's program. With another `profile` it
    /// says nothing.
    pub(crate) microvm: Microvm,
    /// What a machine does that is started from the formats `iso` and `netboot`. With others it says nothing.
    pub(crate) medium: Medium,
    /// The network of the machine: who configures it, its interfaces, and the names that it knows.
    pub(crate) network: Network,
    /// Groups of the machine.
    pub(crate) groups: Vec<Group>,
    /// Users of the machine.
    pub(crate) users: Vec<User>,
    /// The administrator. Without this table, root is as the image has it: locked in those of distributions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) root: Option<Root>,
    /// Files of the machine.
    pub(crate) files: Vec<File>,
    /// Services that are switched on or off.
    pub(crate) services: Services,
    /// Where a machine with two slots gets its next versions, whom it believes, and when a boot of one was good; until then its
    /// slot is on trial.
    pub(crate) update: Update,
    /// Bundles of RAUC: who signs them, and whose bundles the machine takes. Files are of the build context, in PEM.
    pub(crate) rauc: Rauc,
    /// Scripts that are run on the finished file system of the Dockerfile, in the build's sandbox, before the disk is made.
    pub(crate) hooks: Vec<HookConfig>,
    /// Whether systemd-boot starts unified kernel images, each with its kernel, initramfs and words in one program for UEFI. By
    /// default where `[secure-boot]` has a key, or the root has verity.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &true)]
    pub(crate) uki: Option<bool>,
    /// Secure Boot by keys of one's own, with `loader = "systemd-boot"` or `key` of `[grub]`: who signs what UEFI starts, and what the
    /// firmware is to know of that.
    pub(crate) secure_boot: SecureBoot,
}

/// A repository of packages, in the words of the image's own package manager.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Repository {
    /// The name of its file on the machine, without an extension.
    #[schemars(extend("format" = TextFormat::RepositoryName), example = &"company")]
    pub(crate) name: String,
    /// What that file says: deb822 or one-line sources for apt, lines for apk, a `.repo` for dnf and zypper; or a file
    /// of the build context with it.
    pub(crate) source: Text,
    /// The key it is signed with, a file of the build context (ASCII armour for apt, PEM for apk). It goes to
    /// `/etc/apt/keyrings/`, `/etc/apk/keys/` or `/etc/pki/rpm-gpg/` under its own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::ContextPath), example = &"keys/company.asc")]
    pub(crate) key: Option<String>,
}

/// A text, or a file of the build context with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Text {
    Inline(String),
    File(ContextFile),
}

/// A script. Exactly one of `run` and `script` is said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct HookConfig {
    /// The script itself; for `/bin/sh` unless it begins with `#!`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"systemctl set-default multi-user.target")]
    pub(crate) run: Option<String>,
    /// A file of the build context with the script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = TextFormat::ContextPath))]
    pub(crate) script: Option<String>,
    /// Whether it gets at the network.
    #[serde(default)]
    pub(crate) network: bool,
}

impl Config {
    /// What a file says, with everything that is wrong in it. `name` is that of the file, for messages.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, Problems> {
        check::parse(name, text)
    }

    /// Holds the paths in the file against what is in the build context; `entries` has those of [`texts`](Self::texts)
    /// and [`mounts`](Self::mounts) that are there.
    pub(crate) fn check_paths(name: &str, text: &str, entries: &Entries) -> Result<(), Problems> {
        check::paths(name, text, entries)
    }

    /// What a machine is set up with.
    pub(crate) fn setup(&self) -> Setup {
        let Self { groups, users, root, files, services, .. } = self.clone();
        Setup { groups, users, root, files, services, ..Setup::default() }
    }

    /// The folders and files of the build context that steps of the build are given, each as one step has them.
    pub(crate) fn mounts(&self) -> Vec<Vec<String>> {
        let packages = self.packages.iter().cloned().collect();
        let layout = Layout { partitions: self.partitions.clone(), ..Layout::default() };
        let mut asked = Asked::default();
        asked.ask(&self.wishes);
        let (rauc, medium, secure_boot) = (self.rauc.clone(), self.medium.clone(), self.secure_boot.clone());
        let spec = Spec { setup: self.setup(), layout, rauc, medium, secure_boot, ..asked.spec };
        let files = spec.context_files().into_iter().map(str::to_owned).collect();
        [packages, files].into_iter().filter(|paths: &Vec<_>| !paths.is_empty()).collect()
    }

    /// The files of the build context that are texts for the build itself.
    pub(crate) fn texts(&self) -> Vec<&str> {
        let sources = self.repositories.iter().filter_map(|repository| match &repository.source {
            Text::File(file) => Some(file.file.as_str()),
            Text::Inline(_) => None,
        });
        let keys = self.repositories.iter().filter_map(|repository| repository.key.as_deref());
        let scripts = self.hooks.iter().filter_map(|hook| hook.script.as_deref());
        let certificates = self.certificates.iter().map(String::as_str);
        certificates.chain(sources).chain(keys).chain(scripts).collect()
    }
}

#[cfg(test)]
mod tests;
