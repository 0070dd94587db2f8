//! The kernels of a tree, each with the initramfs and the modules that belong to it.
//!
//! What tells two of them apart first, decides which one boots: having an initramfs, having been asked for, being of the
//! image's own layers, being the one that the distribution's link is on, being newer.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use super::{Editor, InodeId, InodeKind, Tree, version};
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

/// Links that the distribution keeps pointing to its newest kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StableLinks {
    /// `/vmlinuz` or `/boot/vmlinuz`.
    pub image: String,
    /// `/initrd.img`, `/boot/initrd.img` or `/boot/initrd`; there if the kernel has an initramfs.
    pub initramfs: Option<String>,
}

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
        stable: stable_links(tree, &image, initramfs.as_deref()),
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

/// Links of Debian, of Ubuntu and SUSE.
const IMAGE_LINKS: [&str; 2] = ["/vmlinuz", "/boot/vmlinuz"];
const INITRAMFS_LINKS: [&str; 3] = ["/initrd.img", "/boot/initrd.img", "/boot/initrd"];

fn stable_links(tree: &Tree, image: &str, initramfs: Option<&str>) -> Option<StableLinks> {
    let same = |names: &[&str], path: &str| {
        let file = tree.resolve(path)?;
        let is_link = |name: &&&str| tree.resolve(name) == Some(file) && tree.lookup(name) != Some(file);
        names.iter().find(is_link).map(|name| (*name).to_owned())
    };
    let image = same(&IMAGE_LINKS, image)?;
    let initramfs = match initramfs {
        Some(path) => Some(same(&INITRAMFS_LINKS, path)?),
        None => None,
    };
    Some(StableLinks { image, initramfs })
}

/// Make the links that the distribution keeps on another kernel lead to `kernel`. Returns what was changed.
pub fn point_links(editor: &mut Editor<'_>, kernel: &mut Kernel) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let files = [(&IMAGE_LINKS[..], Some(&kernel.image)), (&INITRAMFS_LINKS[..], kernel.initramfs.as_ref())];
    for (links, file) in files {
        let Some(file) = file.filter(|file| file.starts_with("/boot/")) else { continue };
        let old: Vec<_> = links.iter().filter(|link| leads_elsewhere(editor.tree(), link, file)).collect();
        for link in old {
            let beside = if link.starts_with("/boot/") { "/boot/" } else { "/" };
            editor.symlink(link, file.strip_prefix(beside).unwrap_or(file))?;
            notes.push(format!("{link}: link to {file}"));
        }
    }
    kernel.stable = stable_links(editor.tree(), &kernel.image, kernel.initramfs.as_deref());
    Ok(notes)
}

/// What Debian's linux-update-symlinks reads, kernel-img.conf(5).
const DEBIAN_LINKS: &str = "/etc/kernel-img.conf";

/// Move the links that Debian keeps in `/` to `/boot`, where its packages then keep them. Returns what was changed.
///
/// # Errors
/// If something that is no link has the name of one.
pub fn link_in_boot(editor: &mut Editor<'_>, kernel: &mut Kernel) -> Result<Vec<String>> {
    if kernel.stable.as_ref().is_none_or(|links| links.image != "/vmlinuz") {
        return Ok(Vec::new());
    }
    configure_links(editor, "link_in_boot = yes\n")?;
    for (name, file) in [("vmlinuz", Some(&kernel.image)), ("initrd.img", kernel.initramfs.as_ref())] {
        if let Some(target) = file.and_then(|file| file.strip_prefix("/boot/")) {
            editor.symlink(format!("/boot/{name}"), target)?;
        }
    }
    kernel.stable = stable_links(editor.tree(), &kernel.image, kernel.initramfs.as_deref());
    Ok(vec![format!("{DEBIAN_LINKS}: links to the newest kernel are in /boot")])
}

/// Let Debian's packages keep no links, which they would fail to make. Returns what was changed.
///
/// # Errors
/// If the settings cannot be read.
pub fn link_nowhere(editor: &mut Editor<'_>) -> Result<Vec<String>> {
    configure_links(editor, "do_symlinks = no\n")?;
    Ok(vec![format!("{DEBIAN_LINKS}: no links to the newest kernel")])
}

/// Add a setting, the last of which counts; links in `/` that nobody keeps any longer go.
fn configure_links(editor: &mut Editor<'_>, setting: &str) -> Result<()> {
    let mut text = editor.tree().read(DEBIAN_LINKS, limits::TEXT)?.unwrap_or_default();
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    text.extend(setting.as_bytes());
    editor.rewrite_file(DEBIAN_LINKS, text, 0o644)?;
    for link in ["/vmlinuz", "/vmlinuz.old", "/initrd.img", "/initrd.img.old"] {
        if is_link(editor.tree(), link) {
            editor.remove(link);
        }
    }
    Ok(())
}

/// Whether there is such a link, and to another file.
fn leads_elsewhere(tree: &Tree, link: &str, file: &str) -> bool {
    is_link(tree, link) && regular_file(tree, link).is_some_and(|id| tree.resolve(file) != Some(id))
}

fn is_link(tree: &Tree, path: &str) -> bool {
    tree.lookup(path).is_some_and(|id| matches!(tree.inode(id).kind, InodeKind::Symlink(_)))
}

fn regular_file(tree: &Tree, path: &str) -> Option<InodeId> {
    tree.resolve(path).filter(|&id| matches!(tree.inode(id).kind, InodeKind::File(_)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::*;

    #[test]
    fn debian_keeps_links_to_the_newest() {
        let tree = tree(&[
            ("/lib", "-> usr/lib"),
            ("/boot/vmlinuz-6.1.0-9-amd64", ""),
            ("/boot/initrd.img-6.1.0-9-amd64", ""),
            ("/boot/vmlinuz-6.1.0-10-amd64", ""),
            ("/boot/initrd.img-6.1.0-10-amd64", ""),
            ("/boot/vmlinuz-7.0", ""),
            ("/usr/lib/modules/6.1.0-10-amd64/", ""),
            ("/usr/lib/modules/6.1.0-9-amd64/", ""),
            ("/vmlinuz", "-> boot/vmlinuz-6.1.0-10-amd64"),
            ("/initrd.img", "-> boot/initrd.img-6.1.0-10-amd64"),
        ]);
        let kernel = chosen(&tree).unwrap();
        let stable = StableLinks { image: "/vmlinuz".into(), initramfs: Some("/initrd.img".into()) };
        assert_eq!(kernel.version, "6.1.0-10-amd64");
        assert_eq!(kernel.initramfs.as_deref(), Some("/boot/initrd.img-6.1.0-10-amd64"));
        assert_eq!(kernel.modules.as_deref(), Some("/lib/modules/6.1.0-10-amd64"));
        assert_eq!(kernel.stable, Some(stable));
        let versions: Vec<_> =
            all(&tree).unwrap().into_iter().map(|kernel| (kernel.version, kernel.stable.is_some())).collect();
        assert_eq!(versions[1..], [("6.1.0-9-amd64".to_owned(), false), ("7.0".to_owned(), false)]);
    }

    /// A kernel with its initramfs, for each.
    fn kernels(labels: &[&str], more: &[(&str, &str)]) -> Tree {
        let mut files: Vec<(String, &str)> = Vec::new();
        for label in labels {
            files.push((format!("/boot/vmlinuz-{label}"), label));
            files.push((format!("/boot/initrd.img-{label}"), ""));
            files.push((format!("/lib/modules/{label}/"), ""));
        }
        let files = files.iter().map(|(path, text)| (path.as_str(), *text));
        tree(&files.chain(more.iter().copied()).collect::<Vec<_>>())
    }

    #[test]
    fn a_kernel_of_the_images_own_layers_is_the_machines() {
        let cloud = "under /boot/vmlinuz-6.1-cloud\n";
        let link = ("/vmlinuz", "-> boot/vmlinuz-6.1-cloud");
        for (record, more, first) in [
            (cloud, &[][..], "6.1"),
            // What has been installed under the layers is no matter then.
            (cloud, &[link, ("/initrd.img", "-> boot/initrd.img-6.1-cloud")], "6.1"),
            ("", &[], "6.1-cloud"),
            ("under /boot/vmlinuz-6.1\n", &[], "6.1-cloud"),
            ("under /boot/vmlinuz-6.1\nunder /boot/vmlinuz-6.1-cloud\n", &[], "6.1-cloud"),
            // `--kernel` decides otherwise.
            ("under /boot/vmlinuz-6.1-cloud\nasked /boot/vmlinuz-6.1-cloud\n", &[], "6.1-cloud"),
            // The distribution's links, where nobody knows more.
            ("", &[("/vmlinuz", "-> boot/vmlinuz-6.1"), ("/initrd.img", "-> boot/initrd.img-6.1")], "6.1"),
            // One without an initramfs does not boot.
            (cloud, &[("/boot/vmlinuz-7.0", "no initramfs")], "6.1"),
            ("garbage\n\nasked\nasked /etc/passwd\n", &[], "6.1-cloud"),
        ] {
            let tree = kernels(&["6.1-cloud", "6.1"], &[more, &[(RECORD, record)]].concat());
            assert_eq!(chosen(&tree).unwrap().version, first, "{record} {more:?}");
        }
    }

    #[test]
    fn what_gets_our_initramfs_needs_none_of_its_own() {
        let tree = kernels(
            &["6.1"],
            &[("/boot/vmlinuz-7.0", "no initramfs"), (RECORD, "under /boot/vmlinuz-6.1\n")],
        );
        assert_eq!(chosen(&tree).unwrap().version, "6.1");
        assert_eq!(chosen_for_ours(&tree).unwrap().version, "7.0");
        let asked = (RECORD, "asked /boot/vmlinuz-6.1\n");
        let tree = kernels(&["6.1"], &[("/boot/vmlinuz-7.0", "no initramfs"), asked]);
        assert_eq!(chosen_for_ours(&tree).unwrap().version, "6.1");
        assert!(chosen_for_ours(&kernels(&[], &[])).is_err());
    }

    #[test]
    fn a_record_knows_kernels_by_flavour_and_beside_their_modules() {
        let alpine = tree(&[
            ("/boot/vmlinuz-virt", "virt"),
            ("/boot/initramfs-virt", ""),
            ("/boot/vmlinuz-lts", "lts"),
            ("/boot/initramfs-lts", ""),
            ("/lib/modules/6.18.57-0-virt/", ""),
            ("/lib/modules/6.18.56-0-lts/", ""),
            (RECORD, "under /boot/vmlinuz-virt\n"),
        ]);
        assert_eq!(chosen(&alpine).unwrap().image, "/boot/vmlinuz-lts");
        let fedora = tree(&[
            ("/lib/modules/6.17.1/vmlinuz", "a"),
            ("/lib/modules/6.17.1/initramfs.img", ""),
            ("/lib/modules/6.16.9-rt/vmlinuz", "b"),
            ("/lib/modules/6.16.9-rt/initramfs.img", ""),
            (RECORD, "under /lib/modules/6.17.1/vmlinuz\n"),
        ]);
        assert_eq!(chosen(&fedora).unwrap().version, "6.16.9-rt");
        let arch = kernels(&["linux", "linux-lts"], &[(RECORD, "under /boot/vmlinuz-linux-lts\n")]);
        assert_eq!(chosen(&arch).unwrap().image, "/boot/vmlinuz-linux");
    }

    #[test]
    fn links_of_the_distribution_lead_to_the_kernel_that_boots() {
        for (image_link, initramfs_link, before, after) in [
            (
                "/vmlinuz",
                "/initrd.img",
                ["-> boot/vmlinuz-2", "-> boot/initrd.img-2"],
                ["boot/vmlinuz-1", "boot/initrd.img-1"],
            ),
            (
                "/boot/vmlinuz",
                "/boot/initrd.img",
                ["-> vmlinuz-2", "-> initrd.img-2"],
                ["vmlinuz-1", "initrd.img-1"],
            ),
            (
                "/boot/vmlinuz",
                "/boot/initrd",
                ["-> vmlinuz-2", "-> initrd.img-2"],
                ["vmlinuz-1", "initrd.img-1"],
            ),
        ] {
            let links = [(image_link, before[0]), (initramfs_link, before[1])];
            let mut tree = kernels(&["1", "2"], &links);
            let mut kernel = all(&tree).unwrap().into_iter().find(|kernel| kernel.version == "1").unwrap();
            let mut editor = Editor::new(&mut tree, Default::default());
            assert_eq!(point_links(&mut editor, &mut kernel).unwrap().len(), 2);
            let stable = StableLinks { image: image_link.into(), initramfs: Some(initramfs_link.into()) };
            assert_eq!(kernel.stable, Some(stable));
            for (link, target) in [image_link, initramfs_link].into_iter().zip(after) {
                let id = tree.lookup(link).unwrap();
                assert!(
                    matches!(&tree.inode(id).kind, InodeKind::Symlink(to) if **to == *target.as_bytes()),
                    "{link}"
                );
            }
            // They lead there already, and none is made where there is none.
            assert!(
                point_links(&mut Editor::new(&mut tree, Default::default()), &mut kernel).unwrap().is_empty()
            );
        }
        let mut tree = kernels(&["1"], &[("/vmlinuz", "a file")]);
        let mut kernel = chosen(&tree).unwrap();
        assert!(
            point_links(&mut Editor::new(&mut tree, Default::default()), &mut kernel).unwrap().is_empty()
        );
        assert_eq!(kernel.stable, None);
    }

    #[test]
    fn alpine_names_kernels_by_flavour() {
        let tree = tree(&[
            ("/boot/vmlinuz-virt", ""),
            ("/boot/initramfs-virt", ""),
            ("/boot/boot", "-> ."),
            ("/lib/modules/6.18.56-0-virt/", ""),
        ]);
        let kernel = chosen(&tree).unwrap();
        assert_eq!((&*kernel.version, &*kernel.image), ("6.18.56-0-virt", "/boot/vmlinuz-virt"));
        assert_eq!(kernel.initramfs.as_deref(), Some("/boot/initramfs-virt"));
        assert_eq!(kernel.stable, None);
    }

    #[test]
    fn arch_says_the_package_beside_the_modules() {
        let tree = tree(&[
            ("/boot/vmlinuz-linux", ""),
            ("/boot/initramfs-linux.img", ""),
            ("/usr/lib/modules/6.17.1-arch1-1/pkgbase", "linux\n"),
            ("/usr/lib/modules/6.12.9-1-lts/pkgbase", "linux-lts\n"),
            ("/lib", "-> usr/lib"),
        ]);
        assert_eq!(chosen(&tree).unwrap().version, "6.17.1-arch1-1");
    }

    #[test]
    fn fedora_and_bootc_keep_kernels_beside_their_modules() {
        let fedora = tree(&[
            ("/lib", "-> usr/lib"),
            ("/usr/lib/modules/6.17.1-300.fc43.x86_64/vmlinuz", ""),
            ("/boot/vmlinuz-6.17.1-300.fc43.x86_64", "-> ../usr/lib/modules/6.17.1-300.fc43.x86_64/vmlinuz"),
            ("/boot/initramfs-6.17.1-300.fc43.x86_64.img", ""),
            ("/boot/vmlinuz-0-rescue-0123456789abcdef", "x"),
            ("/boot/initramfs-0-rescue-0123456789abcdef.img", "x"),
        ]);
        let kernels = all(&fedora).unwrap();
        assert_eq!(kernels.len(), 1);
        assert_eq!(kernels[0].image, "/boot/vmlinuz-6.17.1-300.fc43.x86_64");
        let spares: Vec<_> = spares(&fedora).unwrap().into_iter().map(|kernel| kernel.initramfs).collect();
        assert_eq!(spares, [Some("/boot/initramfs-0-rescue-0123456789abcdef.img".to_owned())]);

        let bootc = tree(&[
            ("/lib", "-> usr/lib"),
            ("/usr/lib/modules/6.17.1/vmlinuz", ""),
            ("/usr/lib/modules/6.17.1/initramfs.img", ""),
        ]);
        let kernel = chosen(&bootc).unwrap();
        assert_eq!(kernel.image, "/lib/modules/6.17.1/vmlinuz");
        assert_eq!(kernel.initramfs.as_deref(), Some("/lib/modules/6.17.1/initramfs.img"));
    }

    #[test]
    fn a_plain_name_takes_the_version_of_the_only_modules() {
        let tree = tree(&[("/boot/vmlinuz", ""), ("/boot/initrd.img", ""), ("/lib/modules/5.4.1/", "")]);
        let kernel = chosen(&tree).unwrap();
        assert_eq!((&*kernel.version, kernel.initramfs.as_deref()), ("5.4.1", Some("/boot/initrd.img")));
    }

    #[test]
    fn no_kernel_is_an_error_with_a_hint() {
        let tree = tree(&[("/boot/vmlinuz-1", "-> nowhere"), ("/boot/vmlinuz-2/", "")]);
        let error = chosen(&tree).unwrap_err();
        assert_eq!(*error.kind(), error::Kind::NotFound);
        assert!(error.hint().is_some());
    }

    #[test]
    fn files_that_are_no_system_are_pointed_to_a_disk_for_data() {
        for (files, is_plain) in [
            (&[("/index.html", "hi")][..], true),
            (&[], true),
            (&[("/etc/hosts", ""), ("/app", "")], true),
            (&[("/etc/os-release", "ID=debian\n")], false),
            (&[("/usr/bin/busybox", ""), ("/bin", "-> usr/bin"), ("/usr/bin/sh", "-> busybox")], false),
        ] {
            let error = chosen(&tree(files)).unwrap_err();
            let points = error.hint().is_some_and(|hint| hint.to_string().contains("profile = \"data\""));
            assert_eq!(points, is_plain, "{files:?}");
        }
    }

    /// 20,000 of them were compared each with each.
    #[test]
    fn so_many_kernels_are_none() {
        let boot = |count: usize| (0..count).map(|at| (format!("/boot/vmlinuz-6.{at}"), at.to_string()));
        let modules = |count: usize| (0..count).map(|at| (format!("/lib/modules/6.{at}/"), String::new()));
        let most = limits::KERNELS;
        for (in_boot, beside, found) in
            [(most, most, Some(most)), (most + 1, 0, None), (0, most + 1, None), (20_000, 20_000, None)]
        {
            let files: Vec<_> = boot(in_boot).chain(modules(beside)).collect();
            let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
            let all = all(&tree(&files));
            assert_eq!(all.as_ref().ok().map(Vec::len), found);
            let said = "/boot and /lib/modules: more than 1000 kernels, which is the limit";
            assert!(all.err().is_none_or(|error| error.to_string() == said));
        }
    }
}
