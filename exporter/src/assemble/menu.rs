//! The boot menu of a machine: an entry for every kernel, and what is on their command line where the distribution's
//! tools find it.

use super::donor::KernelSource;
use crate::boot::password::Lock;
use crate::boot::{self, BootVolume, Defaults, Entry, Root, Written};
use crate::error::Result;
use crate::machine;
use crate::spec::Spec;
use crate::tree::kernel::Kernel;
use crate::tree::os::Os;
use crate::tree::{Editor, Tree};

/// Where it lies.
pub(super) const PATH: &str = "/boot/grub/grub.cfg";

/// An entry with its kernel.
pub(super) type KernelEntry<'a> = (Entry, &'a Kernel);

/// What a menu is made of.
pub(super) struct Menu<'a> {
    /// The distribution of the root.
    pub(super) os: &'a Os,
    pub(super) source: &'a KernelSource,
    /// All that was asked for, with all words for the kernel.
    pub(super) spec: &'a Spec,
    /// What the image says of its menu.
    pub(super) defaults: &'a Defaults,
    pub(super) root: Root,
    /// What its partition is called.
    pub(super) label: &'a str,
    pub(super) boot: BootVolume,
    /// What a first boot of Ignition is told of the network.
    pub(super) ignites: Option<&'static str>,
    /// Who edits it.
    pub(super) lock: Lock,
}

impl Menu<'_> {
    /// Write that of GRUB; the entry that boots, and a line for each file beside it.
    pub(super) fn write(&self, editor: &mut Editor<'_>) -> Result<(Entry, Vec<String>)> {
        let ((first, _), others) = self.entries(editor.tree());
        let others = others.into_iter().map(|(entry, _)| entry);
        let entries: Vec<_> = std::iter::once(first.clone()).chain(others).collect();
        // Which entry was saved is in a file that is not signed.
        let is_signed = self.lock == Lock::Signed;
        let defaults = Defaults { is_saved: self.defaults.is_saved && !is_signed, ..self.defaults.clone() };
        let text = boot::menu(&self.boot, self.root.id, &entries, &defaults);
        editor.write_file(PATH, text.into_bytes(), 0o644)?;
        let notes = match self.boot {
            // Nobody writes another menu to a root that is only read, or signs one.
            BootVolume::Slots(_) => Vec::new(),
            _ if self.root.has_verity || is_signed => self.left_out(),
            _ => boot::write_defaults(editor, self.os, &self.written(&first))?,
        };
        Ok((first, notes))
    }

    /// An entry for each kernel; the first boots by itself.
    pub(super) fn entries(&self, tree: &Tree) -> (KernelEntry<'_>, Vec<KernelEntry<'_>>) {
        let relabels = tree.lookup(machine::AUTORELABEL).is_some();
        let KernelSource { os, kernel, others, .. } = self.source;
        let name = &self.os.pretty_name;
        let first = Entry { relabels, ..self.entry(kernel, os, name.clone()) };
        // Theirs is the distribution's initramfs, which finds no root by its root hash.
        let others = others.iter().filter(|_| !self.root.has_verity).map(|kernel| {
            let title = format!("{name}, with Linux {}", kernel.version);
            (Entry { relabels, ..self.entry(kernel, self.os, title) }, kernel)
        });
        ((first, kernel), others.collect())
    }

    /// A line for each kernel that has no entry where the root is verified.
    pub(super) fn left_out(&self) -> Vec<String> {
        let others = self.source.others.iter().filter(|_| self.root.has_verity);
        let line = |kernel: &Kernel| {
            format!("{}: not in the menu, its initramfs mounts no root with verity", kernel.image)
        };
        others.map(line).collect()
    }

    fn entry(&self, kernel: &Kernel, os: &Os, title: String) -> Entry {
        // The password of a machine with slots is asked for by its ESP, whichever root there is.
        let is_unrestricted = self.lock.is_closed() || self.root.is_slot;
        Entry {
            title,
            ignites: self.ignites,
            is_unrestricted,
            ..boot::entry(os, kernel, self.spec, &self.root, self.defaults)
        }
    }

    fn written<'a>(&'a self, first: &'a Entry) -> Written<'a> {
        let KernelSource { os, kernel, others, .. } = self.source;
        let link = kernel.stable.as_ref().map(|links| &*links.image);
        Written {
            fixed: boot::fixed_words(os, self.spec, &self.root),
            asked: boot::asked_words(os, self.spec, &self.root, self.defaults),
            cmdline: &first.cmdline,
            link: link.filter(|_| !others.is_empty()),
            password: self.lock.password(),
        }
    }
}
