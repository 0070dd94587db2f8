//! What is wrong with a disk as a whole, and with a list of partitions as a list.

use super::Search;
use crate::disk::{TableKind, mbr};
use crate::error::show_size;
use crate::spec::layout::{Content, SectorSize};
use crate::spec::{Firmware, Loader, Profile, Size, Spec};

impl Search<'_> {
    pub(super) fn whole(&mut self) {
        if self.spec.profile == Profile::Data && self.spec.layout.preset.is_some() {
            self.add(None, "layout", "layout is for machines: profile is data");
        }
        self.loader();
        self.sectors();
        self.size();
        self.entries();
        self.one_of_each();
    }

    /// What systemd-boot cannot do, whatever it is on.
    fn loader(&mut self) {
        let Spec { loader, firmware, grub, layout, .. } = self.spec;
        if !self.spec.boots_by_firmware() || *loader != Loader::SystemdBoot {
            return;
        }
        let has_boot = self.slots.iter().any(|slot| slot.mount.as_deref() == Some("/boot"));
        for (is_so, why) in [
            (*firmware == Firmware::Bios, "a BIOS starts GRUB alone, systemd-boot is a program for UEFI"),
            (layout.table == TableKind::Mbr, "the tools of systemd-boot find an ESP in a GPT alone"),
            (has_boot, "systemd-boot starts kernels from the ESP: /boot of its own is for GRUB"),
            (grub.password.is_some(), "systemd-boot asks for no password: [grub] is of no use with it"),
        ] {
            if is_so {
                self.add(None, "loader", why);
            }
        }
    }

    fn sectors(&mut self) {
        let Spec { layout, firmware, formats, .. } = self.spec;
        if layout.sector_size != SectorSize::Bytes4096 {
            return;
        }
        if self.spec.boots_by_firmware() && *firmware == Firmware::Bios {
            self.add(None, "sector-size", "a BIOS starts from no disk with sectors of 4096 bytes");
        }
        if layout.table == TableKind::Mbr {
            self.add(None, "sector-size", "nothing in an MBR says that sectors have 4096 bytes: a GPT does");
        }
        for format in formats.iter().filter(|format| !format.has_sectors_of_4096()) {
            let message = format!("a {format} disk has sectors of 512 bytes, and no others");
            self.add(None, "sector-size", message);
        }
    }

    /// A size that was asked for and that not every format or table can have.
    fn size(&mut self) {
        let Spec { layout, formats, size: Some(Size(size)), .. } = self.spec else { return };
        if layout.table == TableKind::Mbr && *size > mbr::LIMIT {
            let message =
                format!("the disk is to have {}, an MBR reaches to 2 TiB: a GPT further", show_size(*size));
            self.add(None, "size", message);
        }
        for format in formats {
            if let Some(limit) = format.size_limit().filter(|limit| size > limit) {
                let (size, limit) = (show_size(*size), show_size(limit));
                self.add(None, "size", format!("the disk is to have {size}, a {format} has at most {limit}"));
            }
        }
    }

    fn entries(&mut self) {
        let (count, table) = (self.slots.len(), self.spec.layout.table);
        if count > table.entries() {
            let message = format!("{count} partitions, the {table} has entries for {}", table.entries());
            let message = match table {
                TableKind::Gpt => message,
                TableKind::Mbr => message + ", and no extended partition is made: a GPT has more",
            };
            self.add(None, "partitions", message);
        }
    }

    /// What one partition has, and no other.
    fn one_of_each(&mut self) {
        let count = |content: Content| self.slots.iter().filter(|slot| slot.content == content).count();
        let [trees, cores, loaders] = [Content::Root, Content::BiosCore, Content::Esp].map(count);
        let is_machine = self.spec.boots_by_firmware();
        if trees != 1 {
            let why = match (trees, self.spec.layout.has_slots()) {
                (0, _) => "",
                (_, true) => ": one root says how large both slots are",
                (_, false) => ": layout = \"ab\" has two slots for roots",
            };
            let message = format!("one partition has the tree (mount = \"/\"), and here are {trees}{why}");
            self.add(None, "partitions", message);
        }
        for (firmware, count) in [("a BIOS", cores), ("UEFI", loaders)] {
            if count > 1 {
                let message =
                    format!("one partition has the boot loader for {firmware}, and here are {count}");
                self.add(None, "partitions", message);
            }
        }
        if is_machine && loaders == 0 {
            let message = "a machine's boot loader has its configuration on an ESP, and there is none";
            self.add(None, "partitions", message);
        }
        if self.spec.profile == Profile::Data && loaders + cores > 0 {
            self.add(None, "partitions", "a disk of files has no boot loader: profile is data");
        }
    }
}
