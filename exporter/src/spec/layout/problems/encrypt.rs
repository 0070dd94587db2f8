//! What is wrong with an encrypted partition.

use super::Search;
use crate::fs::FileSystem;
use crate::spec::layout::{Content, Encrypt, Lock, Slot, Way};
use crate::spec::{Initramfs, Loader, Persist, Profile};

/// Names in `/dev/mapper`: those of the root, and of the kernel's own device.
const TAKEN: [&str; 2] = ["root", "control"];
/// Where what is mounted is wanted before there is a network.
const BEFORE_NETWORK: [&str; 3] = ["/var", "/tmp", "/etc"];

impl Search<'_> {
    pub(super) fn encryption(&mut self) {
        for slot in self.slots {
            let Some(encrypt) = &slot.encrypt else { continue };
            let not_so = || self.not_encrypted(slot).or_else(|| self.not_unlocked(slot)).map(str::to_owned);
            let found = encrypt.now().and_then(Lock::problem).or_else(not_so);
            if let Some(message) = found {
                self.add(slot.asked, "encrypt", message);
            }
        }
        let is_machine = self.spec.profile == Profile::Machine;
        let root = self.slots.iter().find(|slot| slot.content == Content::Root);
        if let Some(root) = root.filter(|root| root.encrypt.is_some() && is_machine) {
            self.encrypted_root(root);
        }
    }

    /// Why this one cannot be.
    fn not_encrypted(&self, slot: &Slot) -> Option<&'static str> {
        let has_key = slot.encrypt.as_ref().is_some_and(Encrypt::has_key);
        let is_later = slot.encrypt.as_ref().is_some_and(|encrypt| encrypt.now().is_none());
        let is_machine = self.spec.profile == Profile::Machine;
        match &slot.content {
            _ if self.spec.profile == Profile::Microvm => Some("nobody opens a partition of a microVM"),
            _ if self.spec.makes_medium() => {
                Some("a medium has the files of the machine, and would have them as they are")
            }
            content if *content != Content::Root && TAKEN.contains(&&*slot.label) => Some(
                "its label is what it is called once it is open, and that name is taken: say another label",
            ),
            Content::Esp | Content::BiosCore | Content::SlotKernels => {
                Some("what starts the machine is read before anybody can be asked for a passphrase")
            }
            Content::Root | Content::EmptySlot if self.spec.layout.has_slots() => Some(
                "an update writes a root into its slot as it is, and has no key: encrypt other partitions",
            ),
            Content::Root if has_key && is_machine => {
                Some("a key of the root would have to lie beside it: say a passphrase")
            }
            _ if is_later && slot.label == Persist::LABEL && self.spec.kept().is_some() => {
                Some("what is kept is mounted before the init, which would make it: say a passphrase")
            }
            Content::Root if is_later => Some("at the first boot there would be no root: say a passphrase"),
            _ if is_later && !is_machine => Some("a disk of files has no first boot: say a passphrase"),
            _ if is_later && slot.file_system != Some(FileSystem::Ext4) => {
                Some("at the first boot an ext4 is made, and nothing else")
            }
            _ if is_later && slot.mount.is_none() => {
                Some("it is made at the first boot because it is mounted: say where (mount)")
            }
            content if is_later && !matches!(content, Content::Subtree(_) | Content::Empty) => {
                Some("what is made at the first boot has no files: leave out source")
            }
            _ if !is_machine => None,
            _ if slot.mount.as_deref() == Some("/boot") => {
                Some("what starts the machine is read before anybody can be asked for a passphrase")
            }
            _ if slot.mount.as_deref() == Some("/usr") => {
                Some("no initramfs opens more than the root: have /usr on it")
            }
            _ => None,
        }
    }

    /// Why it does not open in the way that was asked.
    fn not_unlocked(&self, slot: &Slot) -> Option<&'static str> {
        let way = slot.encrypt.as_ref()?.now().map(Lock::way).filter(|way| *way != Way::Passphrase)?;
        let is_below = |folder: &&str| {
            let rest = slot.mount.as_deref().and_then(|mount| mount.strip_prefix(*folder));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match way {
            _ if self.spec.profile != Profile::Machine => {
                Some("a disk of files does not boot, and unlock says what opens it then: leave that out")
            }
            _ if slot.label == Persist::LABEL && self.spec.kept().is_some() => Some(
                "what is kept is opened before the init, by a passphrase or a key on the root alone: leave out unlock",
            ),
            Way::Tang if slot.content != Content::Root && slot.mount.is_none() => {
                Some("what a Tang server opens is mounted once there is a network: say where (mount)")
            }
            Way::Tang if BEFORE_NETWORK.iter().any(is_below) => {
                Some("what is mounted there is wanted before there is a network, and so a Tang server")
            }
            _ => None,
        }
    }

    fn encrypted_root(&mut self, root: &Slot) {
        let has_boot = self.slots.iter().any(|slot| slot.mount.as_deref() == Some("/boot"));
        if self.spec.loader == Loader::Grub && !has_boot && !self.spec.layout.has_slots() {
            let message = "GRUB opens no root with argon2id, and would ask for the passphrase a second time: add an \
                           xbootldr, /boot of its own (layout = \"split-boot\")";
            self.add(root.asked, "encrypt", message);
        }
        if self.spec.initramfs == Some(Initramfs::Vmimage) {
            let message = "vmimage's own initramfs asks for no passphrase: the distribution's does";
            self.add(None, "initramfs", message);
        }
    }
}
