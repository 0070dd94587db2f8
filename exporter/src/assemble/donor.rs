//! The kernel of a disk: the image's own, or one from another image's file system, for images of any kind,
//! `FROM scratch` among them.
//!
//! ```text
//! donor  /boot/vmlinuz-6.1 · /boot/initrd.img-6.1 · /lib/modules/6.1/ ─▶ the same places of the root
//! ```
//!
//! Nothing else of the donor gets there, and nothing else of the root changes.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::own_initramfs;
use super::read_kernel::ReadKernel;
use crate::error::{Result, show_text};
use crate::spec::Spec;
use crate::tree::kernel::{self, Kernel, Origin};
use crate::tree::os::{self, Os};
use crate::tree::{Content, Editor, HostDir, Inode, InodeKind, Meta, Time, Tree, scan_where};

/// A kernel of a root, and whose it is.
#[derive(Debug)]
pub(super) struct KernelSource {
    pub(super) kernel: Kernel,
    /// The distribution it comes from: its initramfs decides what the command line says.
    pub(super) os: Os,
    /// The root's other kernels, for the menu.
    pub(super) others: Vec<Kernel>,
    /// A line for each change.
    pub(super) notes: Vec<String>,
}

/// Directories of a donor that are read with all below them: kernels, their modules, and the stub of a uki.
const WHOLE: [&str; 4] = ["boot", "lib/modules", "usr/lib/modules", "usr/lib/systemd/boot/efi"];
/// Directories of which the entries are read: they tell the distribution, and lead to the others.
const LISTED: [&str; 10] = [
    "etc",
    "bin",
    "sbin",
    "lib",
    "usr",
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "usr/lib/systemd",
    "usr/lib/systemd/boot",
];

/// Read as much of a donor as a kernel is taken from, with so many threads: a fraction of a distribution's tree.
///
/// Links are followed in what was read alone, so those that lead elsewhere lead to nothing.
///
/// # Errors
/// If something of it cannot be read.
pub fn scan_donor(root: &Arc<HostDir>, threads: NonZeroUsize) -> Result<Tree> {
    scan_where(root, threads, &is_wanted, &mut |_| {})
}

fn is_wanted(directory: &[u8]) -> bool {
    let is_below = |whole: &str| {
        directory.strip_prefix(whole.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    LISTED.iter().any(|listed| listed.as_bytes() == directory) || WHOLE.into_iter().any(is_below)
}

/// Links that modules have to what they were built from.
const BUILD_LINKS: [&str; 2] = ["build", "source"];

impl KernelSource {
    /// The root's own, of the distribution `os`. `named` is the kernel that the image's boot menu begins with, if it
    /// names one.
    ///
    /// # Errors
    /// If it has none.
    pub(super) fn own(root: &mut Tree, os: &Os, named: Option<&str>, spec: &Spec) -> Result<Self> {
        let first = chosen(root, spec)?;
        let named = named.filter(|_| first.origin != Origin::Asked);
        let by_name = named.map(|name| kernel::called(root, name)).transpose()?.flatten();
        let missing = named.filter(|_| by_name.is_none());
        let mut kernel = by_name.unwrap_or(first);
        let time = root.resolve(&kernel.image).map_or(Time::default(), |id| root.inode(id).meta.mtime);
        let mut notes = kernel::point_links(&mut Editor::new(root, time), &mut kernel)?;
        let others = others(root, &kernel)?;
        notes.extend(others.iter().map(in_the_menu));
        notes.extend(missing.map(|name| {
            format!("GRUB_DEFAULT: there is no kernel {}, the first one boots", show_text(name))
        }));
        Editor::new(root, time).remove(kernel::RECORD);
        Ok(Self { os: os.clone(), kernel, others, notes })
    }

    /// A file by itself, copied into `root`; its modules are there, if it has any.
    ///
    /// # Errors
    /// If it is no kernel for the machine.
    pub(super) fn of_file(
        root: &mut Tree,
        os: &Os,
        (content, place): (Content, String),
        spec: &Spec,
    ) -> Result<Self> {
        let image = ReadKernel::of_file(root, content.clone(), &place, spec.architecture)?;
        let (version, modules) = (image.image.release().to_owned(), image.modules);
        let path = format!("/boot/vmlinuz-{version}");
        let time = root.resolve("/").map_or(Time::default(), |id| root.inode(id).meta.mtime);
        let editor = &mut Editor::new(root, time);
        let boot = editor.mkdir_all("/boot")?;
        for path in [path.as_str(), kernel::RECORD] {
            editor.remove(path);
        }
        let meta = Meta { permissions: 0o644, mtime: time, ..Meta::default() };
        let name = format!("vmlinuz-{version}");
        root.insert(boot, name.as_bytes(), Inode { meta, kind: InodeKind::File(content) });
        let kernel =
            Kernel { version, image: path, initramfs: None, modules, stable: None, origin: Origin::Asked };
        let notes = vec![format!("{}: {place}", kernel.image)];
        let others = others(root, &kernel)?;
        Ok(Self { kernel, os: os.clone(), others, notes })
    }

    /// The one that `donor` would boot, copied into `root`.
    ///
    /// # Errors
    /// If the donor has none, or a file of the root is where a directory is needed.
    pub(super) fn donated(root: &mut Tree, donor: &Tree, spec: &Spec) -> Result<Self> {
        let os = os::detect(donor)?;
        // Links that keep pointing to the newest one belong to the donor's package manager.
        let kernel = Kernel { stable: None, ..chosen(donor, spec)? };
        // Directories that are missing are as old as what comes into them.
        let time = donor.resolve(&kernel.image).map_or(Time::default(), |id| donor.inode(id).meta.mtime);
        let editor = &mut Editor::new(root, time);
        if let Some(modules) = &kernel.modules {
            copy_modules(editor, donor, modules)?;
        }
        for path in [Some(&kernel.image), kernel.initramfs.as_ref()].into_iter().flatten() {
            copy(editor, donor, path)?;
        }
        editor.remove(kernel::RECORD);
        let mut notes = vec![format!("{}: from {}, with its modules", kernel.image, os.pretty_name)];
        let others = others(root, &kernel)?;
        notes.extend(others.iter().map(in_the_menu));
        Ok(Self { kernel, os, others, notes })
    }
}

fn chosen(tree: &Tree, spec: &Spec) -> Result<Kernel> {
    if own_initramfs::is_asked(spec) { kernel::chosen_for_ours(tree) } else { kernel::chosen(tree) }
}

/// Modules without what they were built from.
pub(super) fn copy_modules(editor: &mut Editor<'_>, donor: &Tree, modules: &str) -> Result<()> {
    copy(editor, donor, modules)?;
    for link in BUILD_LINKS {
        editor.remove(format!("{modules}/{link}"));
    }
    Ok(())
}

fn others(root: &Tree, kernel: &Kernel) -> Result<Vec<Kernel>> {
    let all = kernel::all(root)?.into_iter().chain(kernel::spares(root)?);
    Ok(all.filter(|other| other.version != kernel.version).collect())
}

fn in_the_menu(kernel: &Kernel) -> String {
    let why = if kernel.initramfs.is_none() { ": it has no initramfs" } else { "" };
    format!("{}: in the menu, and not the one that boots by itself{why}", kernel.image)
}

/// What lies at `path`, and not a link to it.
fn copy(editor: &mut Editor<'_>, donor: &Tree, path: &str) -> Result<()> {
    match donor.resolve(path) {
        Some(id) => editor.copy(path, donor, id).map(drop),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::Scratch;
    use crate::tree::Detail;
    use crate::tree::testing::{text, tree};

    const DONOR: [(&str, &str); 9] = [
        ("/etc/os-release", "ID=debian\nPRETTY_NAME=\"Debian 12\"\n"),
        ("/lib", "-> usr/lib"),
        ("/boot/vmlinuz-6.1", "kernel"),
        ("/boot/initrd.img-6.1", "initramfs"),
        ("/vmlinuz", "-> boot/vmlinuz-6.1"),
        ("/usr/lib/modules/6.1/modules.dep", "dep"),
        ("/usr/lib/modules/6.1/build", "-> /usr/src/linux"),
        ("/usr/lib/modules/5.0/modules.dep", "old"),
        ("/usr/lib/firmware/big.bin", "firmware"),
    ];

    fn dump(tree: &Tree) -> Vec<String> {
        tree.dump(Detail::default()).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_kernel_comes_and_the_rest_stays_as_it_was() {
        for user in [
            &[("/app", "app"), ("/etc/passwd", "p")][..],
            &[("/lib", "-> usr/lib"), ("/usr/lib/x", "x")],
            &[],
        ] {
            let before = dump(&tree(user));
            let mut root = tree(user);
            let donated = KernelSource::donated(&mut root, &tree(&DONOR), &Spec::default()).unwrap();
            assert_eq!(donated.kernel.image, "/boot/vmlinuz-6.1");
            assert_eq!((donated.kernel.stable, &*donated.os.id), (None, "debian"));
            assert_eq!(text(&root, "/boot/vmlinuz-6.1").unwrap(), "kernel");
            assert_eq!(text(&root, "/boot/initrd.img-6.1").unwrap(), "initramfs");
            assert_eq!(text(&root, "/lib/modules/6.1/modules.dep").unwrap(), "dep");
            let after = dump(&root);
            let is_new = |line: &String| !before.contains(line);
            let new: Vec<_> =
                after.iter().filter(|line| is_new(line)).filter_map(|line| line.split(' ').next()).collect();
            assert!(
                new.iter().all(|path| ["/boot", "/lib", "/usr/lib/modules"]
                    .iter()
                    .any(|start| path.starts_with(start))),
                "{new:?}"
            );
            assert!(
                !after
                    .iter()
                    .any(|line| line.contains("build") || line.contains("5.0") || line.contains("firmware"))
            );
            assert_eq!(after.len(), before.len() + new.len());
        }
    }

    /// What a scan leaves out is not missed: the same kernel comes of it, links or not.
    #[test]
    fn a_part_of_a_donor_is_read_and_it_is_enough() {
        let folder = Scratch::new();
        for path in [
            "boot/grub",
            "usr/lib/modules/6.1/kernel",
            "usr/lib/firmware",
            "usr/lib/systemd/boot/efi",
            "usr/lib/systemd/system",
            "usr/share/doc",
            "etc/apt",
        ] {
            fs::create_dir_all(folder.file(path)).unwrap();
        }
        for (path, text) in [
            ("etc/os-release", "ID=debian\n"),
            ("boot/vmlinuz-6.1", "kernel"),
            ("usr/lib/modules/6.1/kernel/a.ko", "module"),
            ("usr/lib/firmware/big.bin", "firmware"),
            ("usr/lib/systemd/boot/efi/linuxx64.efi.stub", "stub"),
            ("usr/lib/systemd/system/a.service", ""),
            ("usr/share/doc/copyright", ""),
            ("etc/apt/sources.list", ""),
        ] {
            fs::write(folder.file(path), text).unwrap();
        }
        symlink("usr/lib", folder.file("lib")).unwrap();
        // Out of the donor, and to a part of it that is not read.
        symlink("/etc", folder.file("boot/grub/out")).unwrap();
        symlink("../usr/share/doc/copyright", folder.file("boot/vmlinuz-7.0")).unwrap();
        let donor = scan_donor(&HostDir::open(folder.path()).unwrap(), NonZeroUsize::MIN).unwrap();
        assert_eq!(text(&donor, "/usr/lib/systemd/boot/efi/linuxx64.efi.stub").unwrap(), "stub");
        for path in ["/usr/lib/firmware", "/usr/lib/systemd/system", "/usr/share", "/etc/apt"] {
            assert_eq!(donor.children(path).count(), 0, "{path}");
        }
        let mut root = tree(&[]);
        let donated = KernelSource::donated(&mut root, &donor, &Spec::default()).unwrap();
        assert_eq!((&*donated.kernel.image, &*donated.os.id), ("/boot/vmlinuz-6.1", "debian"));
        assert_eq!(root.read("/lib/modules/6.1/kernel/a.ko", 100).unwrap().unwrap(), b"module");
    }

    #[test]
    fn a_kernel_beside_its_modules_comes_once() {
        let donor = tree(&[
            ("/usr/lib/modules/6.17/vmlinuz", "kernel"),
            ("/usr/lib/modules/6.17/initramfs.img", "initramfs"),
            ("/lib", "-> usr/lib"),
            ("/boot/vmlinuz-6.17", "-> ../usr/lib/modules/6.17/vmlinuz"),
        ]);
        let mut root = tree(&[]);
        KernelSource::donated(&mut root, &donor, &Spec::default()).unwrap();
        assert_eq!(text(&root, "/boot/vmlinuz-6.17").unwrap(), "kernel");
        assert_eq!(text(&root, "/lib/modules/6.17/initramfs.img").unwrap(), "initramfs");
    }

    #[test]
    fn every_kernel_of_the_root_is_known_and_the_record_goes() {
        let files = [
            ("/etc/os-release", "ID=debian\n"),
            ("/boot/vmlinuz-6.1-cloud", "c"),
            ("/boot/initrd.img-6.1-cloud", ""),
            ("/boot/vmlinuz-6.1", "k"),
            ("/boot/initrd.img-6.1", ""),
            ("/boot/vmlinuz-6.1.old", "o"),
            ("/boot/vmlinuz-7.0", "without an initramfs"),
            (kernel::RECORD, "under /boot/vmlinuz-6.1-cloud\n"),
        ];
        let asked = (kernel::RECORD, "asked /boot/vmlinuz-6.1\n");
        for (more, named, first) in [
            (&[][..], None, "/boot/vmlinuz-6.1"),
            (&[], Some("6.1-cloud"), "/boot/vmlinuz-6.1-cloud"),
            (&[], Some("5.0"), "/boot/vmlinuz-6.1"),
            (&[asked], Some("6.1-cloud"), "/boot/vmlinuz-6.1"),
        ] {
            let mut root = tree(&[&files[..], more].concat());
            let os = os::detect(&root).unwrap();
            let source = KernelSource::own(&mut root, &os, named, &Spec::default()).unwrap();
            assert_eq!(source.kernel.image, first, "{named:?}");
            assert_eq!(source.others.len(), 3);
            let is_told = source.notes.iter().any(|note| note.contains("there is no kernel 5.0"));
            assert_eq!(is_told, named == Some("5.0"));
            let own =
                "/boot/vmlinuz-7.0: in the menu, and not the one that boots by itself: it has no initramfs";
            assert!(source.notes.iter().any(|note| note == own), "{:?}", source.notes);
            assert!(root.lookup(kernel::RECORD).is_none());
        }
        let mut root = tree(&files);
        let donated = KernelSource::donated(&mut root, &tree(&DONOR), &Spec::default()).unwrap();
        assert_eq!((&*donated.kernel.image, donated.others.len()), ("/boot/vmlinuz-6.1", 3));
        assert!(root.lookup(kernel::RECORD).is_none());
    }

    #[test]
    fn a_donor_without_a_kernel_is_an_error() {
        let error = KernelSource::donated(
            &mut tree(&[]),
            &tree(&[("/etc/os-release", "ID=debian\n")]),
            &Spec::default(),
        )
        .unwrap_err();
        assert!(error.to_string().contains("holds no kernel"), "{error}");
        let error = KernelSource::donated(&mut tree(&[("/boot", "a file")]), &tree(&DONOR), &Spec::default())
            .unwrap_err();
        assert!(error.to_string().contains("/boot"), "{error}");
    }
}
