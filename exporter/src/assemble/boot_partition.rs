//! A `/boot` of its own: what is on it is all that GRUB sees of the machine.

use super::donor::KernelSource;
use super::resolve::Resolved;
use crate::boot::BootVolume;
use crate::error::{Error, Kind, Result, show_list};
use crate::fs::FileSystem;
use crate::tree::kernel::{self, Kernel};
use crate::tree::os::{Family, Os};
use crate::tree::{self, Editor, Tree};

/// Let the kernels, and the links that the distribution keeps on them, be where GRUB finds them. A menu that is signed names
/// no links, and stays as it is. Returns what was changed, a line for each change.
///
/// # Errors
/// If the kernel that boots is elsewhere.
pub(super) fn settle(
    editor: &mut Editor<'_>,
    os: &Os,
    source: &mut KernelSource,
    layout: &Resolved,
    is_signed: bool,
) -> Result<Vec<String>> {
    let Some(file_system) = layout.file_system_at(BootVolume::MOUNT) else { return Ok(Vec::new()) };
    let KernelSource { kernel, others, .. } = source;
    let mut notes = match file_system {
        FileSystem::Ext4 if is_signed => Vec::new(),
        FileSystem::Ext4 => kernel::link_in_boot(editor, kernel)?,
        FileSystem::Vfat => fit_fat(editor, is_signed)?,
        // What GRUB does not read is refused before.
        FileSystem::Erofs | FileSystem::Swap | FileSystem::Xfs | FileSystem::Btrfs | FileSystem::Squashfs => {
            Vec::new()
        }
    };
    if os.family == Family::RedHat {
        for kernel in std::iter::once(&mut *kernel).chain(others.iter_mut()) {
            notes.extend(copy_into_boot(editor, kernel)?);
        }
        if !is_signed {
            write_hook(editor, INSTALL_HOOK, &mut notes)?;
        }
    }
    let tree = editor.tree();
    for kernel in std::iter::once(&mut *kernel).chain(others.iter_mut()) {
        kernel.stable.take_if(|links| {
            let links = [Some(&links.image), links.initramfs.as_ref()];
            !links.into_iter().flatten().all(|link| is_link_within(tree, link))
        });
    }
    notes.extend(leave_out_unseen(editor.tree(), source)?);
    Ok(notes)
}

/// Kernels that GRUB does not find; a line for each.
///
/// # Errors
/// If the one that boots is one of them.
fn leave_out_unseen(tree: &Tree, source: &mut KernelSource) -> Result<Vec<String>> {
    let KernelSource { kernel, others, .. } = source;
    if let Some(path) = elsewhere(tree, kernel) {
        let message = "GRUB does not find it: the disk has a partition for /boot, and this is on another";
        let hint = "install the kernel's package in the Dockerfile or by the build, which puts it into /boot, or ask for a layout \
                    without an xbootldr";
        return Err(Error::new(Kind::Input, path, message).with_hint(hint));
    }
    let (unseen, seen): (Vec<Kernel>, Vec<Kernel>) =
        std::mem::take(others).into_iter().partition(|other| elsewhere(tree, other).is_some());
    *others = seen;
    let note = |other: &Kernel| format!("{}: not in the menu, it is outside of /boot", other.image);
    Ok(unseen.iter().map(note).collect())
}

/// The same where GRUB reads copies of them, which are made with the root and never change: it follows no links.
pub(super) fn settle_beside(
    editor: &mut Editor<'_>,
    os: &Os,
    source: &mut KernelSource,
) -> Result<Vec<String>> {
    let KernelSource { kernel, others, .. } = source;
    let mut notes = Vec::new();
    for kernel in std::iter::once(&mut *kernel).chain(others.iter_mut()) {
        kernel.stable = None;
        if os.family == Family::RedHat {
            notes.extend(copy_into_boot(editor, kernel)?);
        }
    }
    notes.extend(leave_out_unseen(editor.tree(), source)?);
    Ok(notes)
}

/// FAT has no links. Distributions put none there but those to the newest kernel, and Alpine one to the folder itself; where
/// they would keep them, the menu is kept in their place.
fn fit_fat(editor: &mut Editor<'_>, is_signed: bool) -> Result<Vec<String>> {
    let tree = editor.tree();
    let Some(boot) = tree.resolve(BootVolume::MOUNT) else { return Ok(Vec::new()) };
    let mut links = Vec::new();
    let mut open = vec![(BootVolume::MOUNT.as_bytes().to_vec(), boot)];
    while let Some((path, directory)) = open.pop() {
        for (name, &id) in tree.entries(directory).into_iter().flatten() {
            let path = [&path[..], b"/", name].concat();
            match tree.inode(id).kind {
                tree::InodeKind::Directory(_) => open.push((path, id)),
                tree::InodeKind::Symlink(_) => links.push(path),
                _ => {}
            }
        }
    }
    links.sort();
    for link in &links {
        editor.remove(link);
    }
    let mut notes = vec!["/boot: a vfat, without owners and permissions".to_owned()];
    if !links.is_empty() {
        let links: Vec<_> = links.iter().map(|link| String::from_utf8_lossy(link).into_owned()).collect();
        notes.push(format!("/boot: without the links {}, vfat has none", show_list(&links)));
    }
    // Debian's kernels would have moved links, and the packages of old kernels would take away what the menu names.
    if !is_signed && editor.tree().resolve("/usr/bin/dpkg").is_some() {
        notes.extend(kernel::link_nowhere(editor)?);
        for hook in KERNEL_HOOKS {
            write_hook(editor, hook, &mut notes)?;
        }
    }
    Ok(notes)
}

fn write_hook(editor: &mut Editor<'_>, hook: &str, notes: &mut Vec<String>) -> Result<()> {
    editor.write_file(hook, NEWEST_KERNEL.as_bytes(), 0o755)?;
    notes.push(format!("{hook}: the menu names the newest kernel"));
    Ok(())
}

/// What kernel-install(8) does at an upgrade, it has not done in the build: packages of Fedora and its relatives have the
/// kernel among its modules.
fn copy_into_boot(editor: &mut Editor<'_>, kernel: &mut Kernel) -> Result<Option<String>> {
    let copy = format!("{}/vmlinuz-{}", BootVolume::MOUNT, kernel.version);
    if is_in_boot(editor.tree(), &kernel.image) || !editor.copy_file(&kernel.image, &copy)? {
        return Ok(None);
    }
    let note = format!("{copy}: copied from {}", kernel.image);
    kernel.image = copy;
    Ok(Some(note))
}

/// What kernel-install(8) runs when a kernel has come or gone, after what makes its initramfs.
const INSTALL_HOOK: &str = "/etc/kernel/install.d/99-vmimage.install";
/// What packages of kernels run when their files have come or gone.
const KERNEL_HOOKS: [&str; 2] = ["/etc/kernel/postinst.d/zz-vmimage", "/etc/kernel/postrm.d/zz-vmimage"];
const NEWEST_KERNEL: &str = include_str!("newest_kernel.sh");

/// Whether GRUB can follow a link: it has another `/` than the machine.
fn is_link_within(tree: &Tree, link: &str) -> bool {
    let target = tree.resolve_nofollow(link).map(|id| &tree.inode(id).kind);
    let is_relative = matches!(target, Some(tree::InodeKind::Symlink(target)) if !target.starts_with(b"/"));
    is_relative && is_in_boot(tree, link)
}

fn is_in_boot(tree: &Tree, path: &str) -> bool {
    let is_below =
        |path: &str| path.strip_prefix(BootVolume::MOUNT).is_some_and(|rest| rest.starts_with('/'));
    is_below(path) && tree.canonical(path).is_some_and(|path| is_below(&path))
}

/// The file of a kernel that GRUB does not see, if there is one.
fn elsewhere<'a>(tree: &Tree, kernel: &'a Kernel) -> Option<&'a str> {
    let files = [Some(&kernel.image), kernel.initramfs.as_ref()];
    files.into_iter().flatten().map(String::as_str).find(|path| !is_in_boot(tree, path))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::seed::Seed;
    use crate::spec::Spec;
    use crate::testing::{Scratch, accepts};
    use crate::tree::testing::{text, tree};
    use crate::tree::{Time, os};

    const DEBIAN: &[(&str, &str)] = &[
        ("/etc/os-release", "ID=debian\n"),
        ("/usr/bin/dpkg", ""),
        ("/boot/vmlinuz-6.1", "kernel"),
        ("/boot/initrd.img-6.1", "initramfs"),
        ("/lib/modules/6.1/modules.dep", ""),
        ("/vmlinuz", "-> boot/vmlinuz-6.1"),
        ("/initrd.img", "-> boot/initrd.img-6.1"),
    ];

    fn settled(files: &[(&str, &str)], preset: &str) -> Result<(Tree, KernelSource, Vec<String>)> {
        let mut tree = tree(files);
        let spec = format!(r#"{{"layout":{{"preset":"{preset}"}}}}"#);
        let spec: Spec = serde_json::from_str(&spec).unwrap();
        let layout = Resolved::new(&spec, &Seed::new(b""), &tree).unwrap();
        let os = os::detect(&tree).unwrap();
        let mut source = KernelSource::own(&mut tree, &os, None, &crate::spec::Spec::default())?;
        let editor = &mut Editor::new(&mut tree, Time::default());
        let notes = settle(editor, &os, &mut source, &layout, false)?;
        Ok((tree, source, notes))
    }

    fn stable(source: &KernelSource) -> Option<(&str, Option<&str>)> {
        let links = source.kernel.stable.as_ref()?;
        Some((&links.image, links.initramfs.as_deref()))
    }

    #[test]
    fn debians_links_move_into_boot_and_stay_there() {
        let (tree, source, notes) = settled(DEBIAN, "split-boot").unwrap();
        assert_eq!(stable(&source), Some(("/boot/vmlinuz", Some("/boot/initrd.img"))));
        assert_eq!(text(&tree, "/boot/vmlinuz").as_deref(), Some("kernel"));
        assert!(tree.lookup("/vmlinuz").is_none() && tree.lookup("/initrd.img").is_none());
        assert_eq!(text(&tree, "/etc/kernel-img.conf").unwrap(), "link_in_boot = yes\n");
        assert_eq!(notes, ["/etc/kernel-img.conf: links to the newest kernel are in /boot"]);

        let (tree, source, notes) = settled(DEBIAN, "simple").unwrap();
        assert_eq!((stable(&source).unwrap().0, notes), ("/vmlinuz", Vec::new()));
        assert!(tree.lookup("/etc/kernel-img.conf").is_none());
    }

    #[test]
    fn a_fat_has_no_links_and_the_menu_names_the_files() {
        let links = [("/boot/boot", "-> ."), ("/boot/deep/vmlinuz", "-> ../vmlinuz-6.1")];
        let (tree, source, notes) = settled(&[DEBIAN, &links].concat(), "split-boot-vfat").unwrap();
        assert_eq!((stable(&source), &*source.kernel.image), (None, "/boot/vmlinuz-6.1"));
        assert!(tree.lookup("/boot/boot").is_none() && tree.lookup("/boot/deep/vmlinuz").is_none());
        assert_eq!(notes[1], "/boot: without the links /boot/boot, /boot/deep/vmlinuz, vfat has none");
        assert_eq!(text(&tree, "/etc/kernel-img.conf").unwrap(), "do_symlinks = no\n");
        for hook in KERNEL_HOOKS {
            let id = tree.lookup(hook).unwrap();
            assert_eq!(tree.inode(id).meta.permissions, 0o755);
        }
    }

    /// Where packages have the kernel among its modules, an upgrade puts it into `/boot`.
    #[test]
    fn kernels_of_fedora_and_its_relatives_are_copied_into_boot() {
        let files = [
            ("/etc/os-release", "ID=fedora\n"),
            ("/lib/modules/7.0/vmlinuz", "kernel"),
            ("/lib/modules/7.0/modules.dep", ""),
            ("/boot/initramfs-7.0.img", "initramfs"),
        ];
        for preset in ["split-boot", "split-boot-vfat"] {
            let (tree, source, notes) = settled(&files, preset).unwrap();
            assert_eq!((&*source.kernel.image, stable(&source)), ("/boot/vmlinuz-7.0", None));
            assert_eq!(text(&tree, "/boot/vmlinuz-7.0").as_deref(), Some("kernel"));
            assert!(tree.lookup(INSTALL_HOOK).is_some());
            let expected = "/boot/vmlinuz-7.0: copied from /lib/modules/7.0/vmlinuz".to_owned();
            assert!(notes.contains(&expected), "{notes:?}");
        }
        let (tree, source, _) = settled(&files, "simple").unwrap();
        assert_eq!(source.kernel.image, "/lib/modules/7.0/vmlinuz");
        assert!(tree.lookup(INSTALL_HOOK).is_none());
    }

    /// With a stand-in for `linux-version` of Debian's linux-base.
    #[test]
    fn the_hook_lets_the_menu_name_the_newest_kernel() {
        let scratch = Scratch::new();
        let boot = scratch.file("boot");
        std::fs::create_dir_all(boot.join("grub")).unwrap();
        for name in ["vmlinuz-6.1", "initrd.img-6.1", "vmlinuz-6.12", "initrd.img-6.12", "vmlinuz-7.0"] {
            std::fs::write(boot.join(name), name).unwrap();
        }
        let entry = |version: &str| {
            format!(
                "menuentry Debian {{\n\tsearch.fs_uuid 1234-ABCD root $root\n\
                 \tlinux /vmlinuz-{version} root=UUID=x ro\n\tinitrd /initrd.img-{version}\n}}\n"
            )
        };
        let menu = boot.join("grub/grub.cfg");
        std::fs::write(&menu, entry("6.1") + &entry("5.10")).unwrap();
        let programs = scratch.file("bin");
        std::fs::create_dir(&programs).unwrap();
        let program = programs.join("linux-version");
        std::fs::write(&program, "#!/bin/sh\n[ $1 = list ] || printf '7.0\\n6.12\\n6.1\\n'\n").unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let version = format!("PATH={}:$PATH\n", programs.display());
        let hook = NEWEST_KERNEL.replace("/boot/", &format!("{}/", boot.display()));
        let run = |hook: String| {
            let hook = scratch.write("hook", format!("{version}{hook}").as_bytes());
            accepts("sh", &[&hook]);
            std::fs::read_to_string(&menu).unwrap()
        };
        assert_eq!(run(hook.clone()), entry("6.12") + &entry("5.10"));
        std::fs::remove_file(boot.join("vmlinuz-6.12")).unwrap();
        // Whoever has update-grub lets it write the menu.
        assert_eq!(run(hook.replace("/usr/sbin/update-grub", "/bin/sh")), entry("6.12") + &entry("5.10"));
        assert_eq!(run(hook), entry("6.1") + &entry("5.10"));
    }

    /// As kernel-install(8) calls it: `add` or `remove`, the version, a folder, and of one that comes the kernel.
    #[test]
    fn the_hook_puts_a_new_kernel_into_boot_where_nobody_has() {
        let scratch = Scratch::new();
        let boot = scratch.file("boot");
        std::fs::create_dir_all(boot.join("grub")).unwrap();
        for name in ["vmlinuz-6.1", "initramfs-6.1.img", "initramfs-6.12.img"] {
            std::fs::write(boot.join(name), name).unwrap();
        }
        let entry = |version: &str| {
            format!(
                "menuentry Fedora {{\n\tif linux /vmlinuz-{version} ro; then\n\t\tinitrd /initramfs-{version}.img\n\
                 \telse\n\t\tlinuxefi /vmlinuz-{version} ro\n\t\tinitrdefi /initramfs-{version}.img\n\tfi\n}}\n"
            )
        };
        let menu = boot.join("grub/grub.cfg");
        std::fs::write(&menu, entry("6.1")).unwrap();
        let kernel = scratch.write("vmlinuz", b"new");
        let hook = NEWEST_KERNEL.replace("/boot/", &format!("{}/", boot.display()));
        let hook = scratch.write("hook", hook.as_bytes());
        let run = |words: &[&str]| {
            accepts("sh", &[&[&*hook], words].concat());
            std::fs::read_to_string(&menu).unwrap()
        };
        assert_eq!(run(&["add", "6.12", "/", &kernel]), entry("6.12"));
        assert_eq!(std::fs::read(boot.join("vmlinuz-6.12")).unwrap(), b"new");
        assert_eq!(run(&["remove", "6.12", "/"]), entry("6.1"));
        assert!(!boot.join("vmlinuz-6.12").exists());
    }

    #[test]
    fn a_kernel_that_grub_does_not_see_is_refused_or_left_out() {
        let modules = [("/lib/modules/7.0/vmlinuz", "new"), ("/lib/modules/7.0/initramfs.img", "")];
        let (_, source, notes) = settled(&[DEBIAN, &modules].concat(), "split-boot").unwrap();
        assert!(source.others.is_empty());
        assert!(
            notes.contains(&"/lib/modules/7.0/vmlinuz: not in the menu, it is outside of /boot".to_owned())
        );
        let error = settled(&modules, "split-boot").err().unwrap().to_string();
        assert!(error.starts_with("/lib/modules/7.0/vmlinuz: GRUB does not find it"), "{error}");
        let far = [("/boot/vmlinuz-6.1", "-> /lib/modules/7.0/vmlinuz")];
        assert!(settled(&[&modules[..], &far].concat(), "split-boot").is_err());
        assert!(settled(&modules, "simple").is_ok());
    }

    #[test]
    fn a_link_that_grub_would_not_follow_is_not_in_the_menu() {
        let suse = |target| {
            let files = [
                ("/boot/vmlinuz-6.1", "kernel"),
                ("/boot/initrd-6.1", "initramfs"),
                ("/boot/vmlinuz", target),
                ("/boot/initrd", "-> initrd-6.1"),
            ];
            let (_, source, _) = settled(&files, "split-boot").unwrap();
            stable(&source).is_some()
        };
        assert!(suse("-> vmlinuz-6.1") && !suse("-> /boot/vmlinuz-6.1"));
    }
}
