//! The kernels of a tree, each with the initramfs and the modules that belong to it.
//!
//! What tells two of them apart first, decides which one boots: having an initramfs, having been asked for, being of the
//! image's own layers, being the one that the distribution's link is on, being newer.

mod links;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

pub use links::{StableLinks, link_in_boot, link_nowhere, point_links};

use super::{InodeId, InodeKind, Tree, version};
use crate::error::{self, Error, Result};
use crate::hint::{Hint, Setting};
use crate::limits;

/// A kernel of the tree. Paths are absolute, as found; they may be symlinks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its release, as `uname -r` shows it; where no modules tell it, what its name says.
    pub version: String,
    /// The image, `/boot/vmlinuz-6.1.0-56-amd64`.
    pub image: String,
    /// The initramfs, `/boot/initrd.img-6.1.0-56-amd64`.
    pub initramfs: Option<String>,
    /// The modules, `/lib/modules/6.1.0-56-amd64`.
    pub modules: Option<String>,
    /// Names that stay the same from one kernel to the next and mean this one now.
    pub stable: Option<StableLinks>,
    /// Who has brought it.
    pub origin: Origin,
}

/// Who has brought a kernel, in the order in which they count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Whoever asked for this one (`--kernel`).
    Asked,
    /// The image's own layers.
    Image,
    /// What was there or was installed under these layers.
    Under,
}

/// Where the step that installs a kernel under an image's layers notes which kernels there are: lines of `asked` or
/// `under` and the path of an image.
pub const RECORD: &str = "/boot/vmimage-kernels";
/// More than any record has.
const RECORD_LIMIT: u64 = 1 << 16;

/// The kernel to boot.
pub fn chosen(tree: &Tree) -> Result<Kernel> {
    all(tree)?.into_iter().next().ok_or_else(|| none(tree))
}

/// The kernel to boot with an initramfs that is made for it: what it has of its own is no reason for one.
///
/// # Errors
/// If there is none.
pub fn chosen_for_ours(tree: &Tree) -> Result<Kernel> {
    let rank = |kernel: &Kernel| (kernel.origin, kernel.stable.is_none());
    let mut kernels = all(tree)?;
    kernels.sort_by(|left, right| {
        rank(left).cmp(&rank(right)).then_with(|| version::compare(&right.version, &left.version))
    });
    kernels.into_iter().next().ok_or_else(|| none(tree))
}

/// The error for a tree without a kernel.
fn none(tree: &Tree) -> Error {
    let hint = if is_system(tree) {
        Hint::from(
                "install one in the Dockerfile (linux-image-amd64, linux-virt, kernel-core …), or have it installed: \
                 without ",
            )
            .set(Setting::Kernel, "keep")
            .text(" and vmimage convert --no-install")
    } else {
        Hint::from("these files are no system: for a disk with them on one partition ask for ")
            .set(Setting::Profile, "data")
            .text("; for a machine that runs them, for the kernel of an image (")
            .set(Setting::Kernel, "image:debian:12")
            .text("), without ")
            .set(Setting::Kernel, "keep")
            .text(" and vmimage convert --no-install")
    };
    let message = "holds no kernel (vmlinuz-*), nor does /usr/lib/modules/*/vmlinuz";
    Error::new(error::Kind::NotFound, "/boot", message).with_hint(hint)
}

/// Whether the files are those of a system at all.
fn is_system(tree: &Tree) -> bool {
    let names = ["/etc/os-release", "/usr/lib/os-release", "/sbin/init", "/etc/passwd", "/bin/sh"];
    names.iter().any(|name| tree.resolve(name).is_some())
}

/// All kernels of the tree, the one to boot first.
///
/// # Errors
/// If there are more than anybody has.
pub fn all(tree: &Tree) -> Result<Vec<Kernel>> {
    read(tree, |label| !is_spare(label))
}

/// Whether some kernel has the initramfs that it boots with.
///
/// # Errors
/// Those of [`all`].
pub fn any_boots(tree: &Tree) -> Result<bool> {
    Ok(all(tree)?.iter().any(|kernel| kernel.initramfs.is_some()))
}

/// The kernel that GRUB's tools would call `name`: by what follows `vmlinuz-`.
///
/// # Errors
/// Those of [`all`].
pub fn called(tree: &Tree, name: &str) -> Result<Option<Kernel>> {
    let is_it = |kernel: &Kernel| kernel.version == name || label(&kernel.image) == Some(name);
    Ok(all(tree)?.into_iter().find(is_it))
}

/// Those kept for emergencies: by name they may look newer than the one to boot.
///
/// # Errors
/// Those of [`all`].
pub fn spares(tree: &Tree) -> Result<Vec<Kernel>> {
    read(tree, is_spare)
}

fn read(tree: &Tree, is_wanted: fn(&str) -> bool) -> Result<Vec<Kernel>> {
    let record = record(tree);
    let modules = Modules::of(tree);
    let images = images(tree, &modules);
    if images.len().max(modules.len()) > limits::KERNELS {
        let message = format!("more than {} kernels, which is the limit", limits::KERNELS);
        return Err(Error::new(error::Kind::Input, "/boot and /lib/modules", message));
    }
    let mut kernels: Vec<Kernel> = Vec::new();
    // The same kernel may be in /boot and beside its modules.
    let mut known = HashSet::new();
    for (label, image) in images.into_iter().filter(|(label, _)| is_wanted(label)) {
        let origin = record.get(&label).copied().unwrap_or(Origin::Image);
        let kernel = kernel(tree, &modules, &label, image, origin);
        if known.insert(kernel.version.clone()) {
            kernels.push(kernel);
        }
    }
    kernels.sort_by(preference);
    Ok(kernels)
}

fn preference(left: &Kernel, right: &Kernel) -> Ordering {
    let rank = |kernel: &Kernel| (kernel.initramfs.is_none(), kernel.origin, kernel.stable.is_none());
    let newer = || version::compare(&right.version, &left.version);
    rank(left).cmp(&rank(right)).then_with(newer)
}

/// What the record says of kernels, by what follows `vmlinuz-` or is the name of their modules. One that cannot be read
/// says nothing.
fn record(tree: &Tree) -> BTreeMap<String, Origin> {
    let text = tree.read(RECORD, RECORD_LIMIT).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let entries = text.lines().filter_map(|line| {
        let (origin, path) = line.split_once(' ')?;
        let origin = if origin == "asked" { Origin::Asked } else { Origin::Under };
        Some((label(path)?.to_owned(), origin))
    });
    entries.collect()
}

/// What tells the kernel at this path from others.
fn label(path: &str) -> Option<&str> {
    match path.strip_prefix("/boot/vmlinuz") {
        Some(label) => Some(label.strip_prefix('-').unwrap_or(label)),
        None => path.strip_prefix("/lib/modules/")?.strip_suffix("/vmlinuz"),
    }
}

/// Every kernel image as (what follows `vmlinuz-`, path), those of `/boot` first.
fn images(tree: &Tree, modules: &[Modules]) -> Vec<(String, String)> {
    let in_boot = tree.children("/boot").filter_map(|(name, _)| {
        let name = std::str::from_utf8(name).ok()?;
        let label = name.strip_prefix("vmlinuz-")?;
        Some((label.to_owned(), format!("/boot/{name}")))
    });
    let beside_modules = modules.iter().map(|Modules { version, .. }| {
        let image = format!("/lib/modules/{version}/vmlinuz");
        (version.clone(), image)
    });
    let plain = std::iter::once((String::new(), "/boot/vmlinuz".to_owned()));
    let images = in_boot.chain(beside_modules).chain(plain);
    let mut seen: HashSet<InodeId> = HashSet::new();
    images.filter(|(_, path)| regular_file(tree, path).is_some_and(|id| seen.insert(id))).collect()
}

fn is_spare(label: &str) -> bool {
    label.ends_with(".old") || label.ends_with(".bak") || label.contains("rescue")
}

fn kernel(tree: &Tree, modules: &[Modules], label: &str, image: String, origin: Origin) -> Kernel {
    let version = release(modules, label);
    let initramfs = initramfs(tree, label, &version);
    let modules = format!("/lib/modules/{version}");
    Kernel {
        stable: links::stable(tree, &image, initramfs.as_deref()),
        modules: tree.resolve(&modules).and_then(|id| tree.entries(id)).map(|_| modules),
        initramfs,
        image,
        version,
        origin,
    }
}

/// The release of the kernel named `vmlinuz-LABEL`, where the label may be a flavour (`virt`, `linux`).
fn release(modules: &[Modules], label: &str) -> String {
    if modules.iter().any(|modules| modules.version == label) {
        return label.to_owned();
    }
    // Alpine names its kernels by flavour, and so do its modules; Arch says it in `pkgbase`.
    let suffix = format!("-{label}");
    let by_flavour = |modules: &&Modules| {
        !label.is_empty() && (modules.version.ends_with(&suffix) || modules.package == label.as_bytes())
    };
    let newest = modules
        .iter()
        .filter(by_flavour)
        .max_by(|left, right| version::compare(&left.version, &right.version));
    match (newest, modules) {
        (Some(modules), _) => modules.version.clone(),
        (None, [only]) if !label.starts_with(|first: char| first.is_ascii_digit()) => only.version.clone(),
        _ => label.to_owned(),
    }
}

/// A directory of `/lib/modules`.
struct Modules {
    /// Its name.
    version: String,
    /// The package it says to be of, in Arch.
    package: Vec<u8>,
}

impl Modules {
    fn of(tree: &Tree) -> Vec<Self> {
        let children = tree.children("/lib/modules").filter(|(_, id)| tree.entries(*id).is_some());
        let versions = children.filter_map(|(name, _)| String::from_utf8(name.to_vec()).ok());
        let directory = |version: String| {
            let package = tree.read(format!("/lib/modules/{version}/pkgbase"), 256).ok().flatten();
            Self { package: package.unwrap_or_default().trim_ascii().to_vec(), version }
        };
        versions.map(directory).collect()
    }
}

fn initramfs(tree: &Tree, label: &str, version: &str) -> Option<String> {
    let by_name = [label, version].into_iter().filter(|name| !name.is_empty()).flat_map(|name| {
        ["initrd.img-{}", "initramfs-{}.img", "initramfs-{}", "initrd-{}", "initrd-{}.img"]
            .map(|pattern| format!("/boot/{}", pattern.replace("{}", name)))
    });
    let beside_modules = std::iter::once(format!("/lib/modules/{version}/initramfs.img"));
    let plain =
        ["/boot/initrd.img", "/boot/initramfs.img", "/boot/initrd"].into_iter().filter(|_| label.is_empty());
    by_name
        .chain(beside_modules)
        .chain(plain.map(str::to_owned))
        .find(|path| regular_file(tree, path).is_some())
}

fn regular_file(tree: &Tree, path: &str) -> Option<InodeId> {
    tree.resolve(path).filter(|&id| matches!(tree.inode(id).kind, InodeKind::File(_)))
}
