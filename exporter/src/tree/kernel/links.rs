//! Links that a distribution keeps on its newest kernel, and where they lead once another one boots.

use super::{Kernel, regular_file};
use crate::error::Result;
use crate::limits;
use crate::tree::{Editor, InodeKind, Tree};

/// Links that the distribution keeps pointing to its newest kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StableLinks {
    /// `/vmlinuz` or `/boot/vmlinuz`.
    pub image: String,
    /// `/initrd.img`, `/boot/initrd.img` or `/boot/initrd`; there if the kernel has an initramfs.
    pub initramfs: Option<String>,
}

/// Links of Debian, of Ubuntu and SUSE.
const IMAGE_LINKS: [&str; 2] = ["/vmlinuz", "/boot/vmlinuz"];
const INITRAMFS_LINKS: [&str; 3] = ["/initrd.img", "/boot/initrd.img", "/boot/initrd"];

pub(super) fn stable(tree: &Tree, image: &str, initramfs: Option<&str>) -> Option<StableLinks> {
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
    kernel.stable = stable(editor.tree(), &kernel.image, kernel.initramfs.as_deref());
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
    kernel.stable = stable(editor.tree(), &kernel.image, kernel.initramfs.as_deref());
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
