//! The menu of systemd-boot: an entry of type 1 for each kernel, and what kernel-install(8) is told for those to come.

use std::collections::BTreeSet;
use std::io::Read;

use super::menu::Menu;
use crate::boot::{self, BootVolume, Entry, systemd_boot};
use crate::error::{Error, Kind, Result};
use crate::hint::{Hint, Setting};
use crate::limits;
use crate::machine;
use crate::spec::TextFormat;
use crate::tree::kernel::Kernel;
use crate::tree::os::Init;
use crate::tree::{Content, Editor, InodeKind, Tree};

/// Has systemd-bless-boot wait for the volumes that it looks for entries on: nobody else does where they are `nofail`.
const BLESSES_LATE: &str = "/usr/lib/systemd/system/systemd-bless-boot.service.d/vmimage.conf";
const BLESSED_VOLUMES: &str = "[Unit]\nRequiresMountsFor=/boot /boot/efi /efi\n";
/// What names of entries begin with, and how often each is tried (kernel-install(8)).
const ENTRY_TOKEN: &str = "/etc/kernel/entry-token";
const TRIES: &str = "/etc/kernel/tries";
/// As often as the examples of the specification.
const USUAL_TRIES: u32 = 3;
/// Takes the counters off an entry whose boot was good.
const BLESS_BOOT: [&str; 2] = ["/usr/lib/systemd/systemd-bless-boot", "/lib/systemd/systemd-bless-boot"];

impl Menu<'_> {
    /// Write what kernel-install(8) reads. The entry that boots, the menu, and a line for each file.
    ///
    /// # Errors
    /// If a kernel is none that UEFI starts, or the first boot needs an entry of its own.
    pub(super) fn write_type_one(
        &self,
        editor: &mut Editor<'_>,
    ) -> Result<(Entry, systemd_boot::Menu, Vec<String>)> {
        require_no_first_boot(editor.tree())?;
        if let BootVolume::Slots(slots) = &self.boot {
            return self.write_slot_entry(editor, slots);
        }
        let (first, others) = self.entries(editor.tree());
        let tree = editor.tree();
        let mut notes = Vec::new();
        let mut versions = BTreeSet::new();
        let mut entries = Vec::new();
        for (entry, kernel) in std::iter::once(&first).chain(&others) {
            if versions.insert(&kernel.version) {
                entries.push(type_one(tree, entry, kernel)?);
            } else {
                notes.push(format!("{}: not in the menu, another one is {}", kernel.image, kernel.version));
            }
        }
        let (token, tries) = (self.token(tree)?, self.tries(tree)?);
        let (timeout, is_saved) = (self.defaults.timeout, self.defaults.is_saved);
        let menu =
            systemd_boot::Menu { token, tries, timeout, is_saved, entries, images: None, enroll: None };
        notes.extend(self.left_out());
        if !self.root.has_verity && !self.spec.starts_ukis() {
            notes.extend(self.tell_kernel_install(editor, &menu, &first.0.cmdline)?);
        }
        if tries.is_some() {
            editor.write_file(BLESSES_LATE, BLESSED_VOLUMES.as_bytes(), 0o644)?;
        }
        notes.push(counting(tries));
        Ok((first.0, menu, notes))
    }

    /// That of the image, else what the system is called.
    pub(super) fn token(&self, tree: &Tree) -> Result<String> {
        let own = tree.read(ENTRY_TOKEN, limits::TEXT)?.unwrap_or_default();
        let own = String::from_utf8_lossy(&own).trim().to_owned();
        let names = [Some(&own), self.spec.image.id.as_ref(), Some(&self.os.id)];
        let is_plain = |name: &&String| TextFormat::ImageId.check(name).is_ok();
        Ok(names.into_iter().flatten().find(is_plain).map_or("linux", String::as_str).to_owned())
    }

    /// Without a program that calls a boot good, every entry would be taken for a bad one.
    fn tries(&self, tree: &Tree) -> Result<Option<u32>> {
        let blesses = BLESS_BOOT.into_iter().any(|path| tree.resolve(path).is_some());
        if !blesses || self.os.init != Some(Init::Systemd) {
            return Ok(None);
        }
        let own = tree.read(TRIES, limits::TEXT)?.unwrap_or_default();
        let own = String::from_utf8_lossy(&own).trim().parse().ok();
        Ok(Some(own.unwrap_or(USUAL_TRIES)))
    }

    fn tell_kernel_install(
        &self,
        editor: &mut Editor<'_>,
        menu: &systemd_boot::Menu,
        cmdline: &str,
    ) -> Result<Vec<String>> {
        let mut notes = vec![boot::write_kernel_cmdline(editor, cmdline)?];
        let token = Some((ENTRY_TOKEN, menu.token.clone()));
        let tries = menu.tries.map(|tries| (TRIES, tries.to_string()));
        for (path, value) in token.into_iter().chain(tries) {
            editor.rewrite_file(path, format!("{value}\n").into_bytes(), 0o644)?;
            notes.push(format!("{path}: {value}, for kernels to come"));
        }
        Ok(notes)
    }
}

fn counting(tries: Option<u32>) -> String {
    match tries {
        Some(tries) => {
            format!("systemd-boot: an entry is tried {tries} times, until systemd-bless-boot calls it good")
        }
        None => "systemd-boot: tries are not counted, the machine has no systemd-bless-boot".to_owned(),
    }
}

pub(super) fn type_one(tree: &Tree, entry: &Entry, kernel: &Kernel) -> Result<systemd_boot::TypeOne> {
    let initrd = kernel.initramfs.as_ref().map(|path| {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        Ok((name, file(tree, path)?))
    });
    Ok(systemd_boot::TypeOne {
        name: kernel.version.clone(),
        title: entry.title.clone(),
        version: kernel.version.clone(),
        root: None,
        cmdline: entry.cmdline.clone(),
        linux: efi_program(tree, &kernel.image)?,
        place: kernel.image.clone(),
        release: kernel.version.clone(),
        initrd: initrd.transpose()?,
    })
}

fn file(tree: &Tree, path: &str) -> Result<Content> {
    match tree.resolve(path).map(|id| &tree.inode(id).kind) {
        Some(InodeKind::File(content)) => Ok(content.clone()),
        _ => Err(Error::new(Kind::NotFound, path, "is no regular file")),
    }
}

/// A kernel with the head of a program for DOS, as all for UEFI have it.
fn efi_program(tree: &Tree, path: &str) -> Result<Content> {
    let content = file(tree, path)?;
    let mut head = Vec::new();
    let read = content.reader()?.take(2).read_to_end(&mut head);
    read.map_err(|error| Error::io(path, "cannot be read", error))?;
    if head == *b"MZ" {
        return Ok(content);
    }
    let hint = Hint::from("take a kernel with an EFI stub, or GRUB: leave out ").name(Setting::Loader);
    let message = "is no program for UEFI, and systemd-boot starts no other kernel";
    Err(Error::new(Kind::Unsupported, path, message).with_hint(hint))
}

/// Entries of type 1 know no conditions.
fn require_no_first_boot(root: &Tree) -> Result<()> {
    let once = [
        (machine::AUTORELABEL, "labels for SELinux", "set SELINUX=disabled in /etc/selinux/config"),
        (boot::FIRST_BOOT, "Ignition", "take Ignition out of the image"),
    ];
    let met = once.into_iter().find(|(path, ..)| root.resolve(path).is_some());
    met.map_or(Ok(()), |(path, what, instead)| {
        let message =
            format!("asks for {what} at the first boot, which takes an entry that only GRUB can have");
        let hint = Hint::from(format!("{instead}, or leave out ")).name(Setting::Loader);
        Err(Error::new(Kind::Unsupported, path, message).with_hint(hint))
    })
}
