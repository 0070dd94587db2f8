//! systemd-boot: all that it reads is on the ESP, the kernels too, since firmware reads no other file system for it.
//!
//! ```text
//! \EFI\BOOT\BOOTX64.EFI                          the program, where every firmware looks with an empty NVRAM
//! \EFI\systemd\systemd-bootx64.efi               the same, where bootctl(1) looks
//! \loader\loader.conf                            loader.conf(5)
//! \loader\entries.srel                           that entries are of type 1
//! \loader\entries\debian-6.1.0-9-amd64+3-0.conf  an entry that may be tried three times, and was not yet
//! \debian\6.1.0-9-amd64\linux                    its kernel
//! \debian\6.1.0-9-amd64\initrd.img-6.1.0-9-amd64 and its initramfs
//! ```
//!
//! Of a machine with [slots](super::slots) an entry is for a slot, `debian-A+3-0.conf`, and so is the folder, `\debian\A`:
//! what is in there is known without the entry, and two versions are all that ever lie there.
//!
//! With [images](super::Images) there are no entries of type 1, and no kernels beside them. What orders the images of slots is in
//! their names, `kiosk-7-B+3-0.efi`, since all else that does is signed, and the same in all of them.
//!
//! Source: Boot Loader Specification (UAPI.1) 1.0, "Type #1 Boot Loader Specification Entries" and "Boot counting". Names
//! are those of kernel-install(8), which puts the kernels to come beside these and takes these away.

use std::fmt::Write;

use super::esp::{file, folder, folder_meta, text};
use super::images::{Enroll, Images};
use super::verity::{self, Verified};
use crate::error::Result;
use crate::spec::Architecture;
use crate::tree::version;
use crate::tree::{Content, InodeId, Time, Tree};
use crate::uki;

/// Where an image has the program, by the suffix of EFI programs for the machine: signed by the distribution, if it does.
pub fn programs(architecture: Architecture) -> [String; 2] {
    let program = format!("/usr/lib/systemd/boot/efi/systemd-boot{}.efi", architecture.efi_suffix());
    [format!("{program}.signed"), program]
}

/// The first that orders entries by `sort-key` and `version`, which slots need.
pub const ORDERS_SINCE: u32 = 250;

/// Which one a program is, by what it tells of itself (the section `.sdmagic`); `None`: it tells nothing.
pub fn release(program: &[u8]) -> Option<u32> {
    uki::release(program, "systemd-boot")
}

/// What its menu is made of.
#[derive(Clone, Debug)]
pub struct Menu {
    /// What the names of entries and of their folder begin with.
    pub token: String,
    /// How often an entry is tried that nobody has called good; `None`: without end.
    pub tries: Option<u32>,
    /// Seconds until the first entry is booted; -1: it waits.
    pub timeout: Option<i32>,
    /// Whether it begins with the entry that was booted last.
    pub is_saved: bool,
    /// The kernels; the first boots by itself.
    pub entries: Vec<TypeOne>,
    /// How they become unified kernel images, if they do.
    pub images: Option<Images>,
    /// Keys for a firmware that has none.
    pub enroll: Option<Enroll>,
}

/// An entry of type 1, or what an image is made of.
#[derive(Clone, Debug)]
pub struct TypeOne {
    /// What its file and its folder are called behind the token: the release of the kernel, or a slot.
    pub name: String,
    /// What the menu shows.
    pub title: String,
    /// Of several entries the one with the greatest comes first: the release of the kernel, or how often a slot was made
    /// the next one.
    pub version: String,
    /// The label of the root that it starts, where another one may take its place. `vmimage-boot` compares it.
    pub root: Option<String>,
    /// Kernel command line.
    pub cmdline: String,
    /// The kernel, which is an EFI program.
    pub linux: Content,
    /// What messages call the kernel.
    pub place: String,
    /// Its release, as `uname -r` says it.
    pub release: String,
    /// The initramfs, by the name of its file.
    pub initrd: Option<(String, Content)>,
}

impl Menu {
    /// The same with what is known of the root in its words for the kernel, where they are to have it.
    #[must_use]
    pub fn with_root_hash(mut self, verified: Verified) -> Self {
        for entry in &mut self.entries {
            entry.cmdline = verity::filled(&entry.cmdline, verified);
        }
        self
    }

    /// The image that boots by itself, if kernels are images.
    ///
    /// # Errors
    /// If the kernel cannot become one.
    pub fn first_image(&self, architecture: Architecture) -> Result<Option<Content>> {
        let first = self.images.as_ref().zip(self.entries.first());
        first.map(|(images, entry)| images.of(entry, architecture)).transpose()
    }

    /// The tree of the EFI system partition with this menu and the program that shows it.
    ///
    /// # Errors
    /// If a kernel cannot become an image.
    pub fn esp_tree(&self, program: &Content, architecture: Architecture, time: Time) -> Result<Tree> {
        let (mut tree, loader) = self.program_tree(program, architecture, time);
        self.add_entries(&mut tree, loader, architecture, time)?;
        Ok(tree)
    }

    /// The same without the entries, and the tree of the partition beside it (XBOOTLDR), which has them and the kernels.
    ///
    /// # Errors
    /// If a kernel cannot become an image.
    pub fn split_trees(
        &self,
        program: &Content,
        architecture: Architecture,
        time: Time,
    ) -> Result<[Tree; 2]> {
        let mut entries = Tree::new(folder_meta(time));
        let loader = folder(&mut entries, Tree::ROOT, "loader", time);
        self.add_entries(&mut entries, loader, architecture, time)?;
        Ok([self.program_tree(program, architecture, time).0, entries])
    }

    /// With its settings, which are in the folder `loader`.
    fn program_tree(&self, program: &Content, architecture: Architecture, time: Time) -> (Tree, InodeId) {
        let suffix = architecture.efi_suffix();
        let mut tree = Tree::new(folder_meta(time));
        let efi = folder(&mut tree, Tree::ROOT, "EFI", time);
        for (directory, name) in [
            ("BOOT", format!("BOOT{}.EFI", suffix.to_uppercase())),
            ("systemd", format!("systemd-boot{suffix}.efi")),
        ] {
            let directory = folder(&mut tree, efi, directory, time);
            file(&mut tree, directory, &name, program.clone(), time);
        }
        let loader = folder(&mut tree, Tree::ROOT, "loader", time);
        file(&mut tree, loader, "loader.conf", text(self.loader_conf()), time);
        if let Some(enroll) = &self.enroll {
            enroll.add_keys(&mut tree, loader, time);
        }
        (tree, loader)
    }

    fn add_entries(
        &self,
        tree: &mut Tree,
        loader: InodeId,
        architecture: Architecture,
        time: Time,
    ) -> Result<()> {
        if let Some(images) = &self.images {
            let efi = tree.lookup("/EFI").unwrap_or_else(|| folder(tree, Tree::ROOT, "EFI", time));
            let linux = folder(tree, efi, "Linux", time);
            for entry in &self.entries {
                file(tree, linux, &self.file_name(entry), images.of(entry, architecture)?, time);
            }
            images.add_addons(tree, loader, time);
            return Ok(());
        }
        file(tree, loader, "entries.srel", text("type1\n".to_owned()), time);
        let entries = folder(tree, loader, "entries", time);
        let kernels = folder(tree, Tree::ROOT, &self.token, time);
        for entry in &self.entries {
            file(tree, entries, &self.file_name(entry), text(self.entry(entry)), time);
            let kernel = folder(tree, kernels, &entry.name, time);
            entry.add_files(tree, kernel, time);
        }
        Ok(())
    }

    fn loader_conf(&self) -> String {
        let mut text = match self.timeout.unwrap_or(1) {
            seconds @ 0.. => format!("timeout {seconds}\n"),
            _ => "timeout menu-force\n".to_owned(),
        };
        if let Some(default) = self.default_entry() {
            let _ = writeln!(text, "default {default}");
        }
        text + &self.enroll.as_ref().map(Enroll::setting).unwrap_or_default()
    }

    /// What it begins with, if that is not the newest kernel, as it is by itself.
    fn default_entry(&self) -> Option<String> {
        if self.is_saved {
            return Some("@saved".to_owned());
        }
        let (first, others) = self.entries.split_first()?;
        let is_newer = |other: &TypeOne| version::compare(&other.version, &first.version).is_gt();
        // With any counters.
        others.iter().any(is_newer).then(|| format!("{}-{}*{}", self.token, first.name, self.suffix()))
    }

    /// What names of entries end in.
    fn suffix(&self) -> &'static str {
        if self.images.is_some() { ".efi" } else { ".conf" }
    }

    fn file_name(&self, entry: &TypeOne) -> String {
        let counters = self.tries.map(|tries| format!("+{tries}-0")).unwrap_or_default();
        format!("{}-{}{counters}{}", self.token, entry.name, self.suffix())
    }

    fn entry(&self, entry: &TypeOne) -> String {
        let Self { token, .. } = self;
        let TypeOne { name, title, version, root, cmdline, .. } = entry;
        let root = root.as_ref().map(|root| format!("# Root: {root}\n")).unwrap_or_default();
        let mut text = format!(
            "# Written by vmimage.\n\
             {root}\
             title      {title}\n\
             version    {version}\n\
             sort-key   {token}\n\
             options    {cmdline}\n\
             linux      /{token}/{name}/{LINUX}\n"
        );
        if let Some((initrd, _)) = &entry.initrd {
            let _ = writeln!(text, "initrd     /{token}/{name}/{initrd}");
        }
        text
    }
}

/// What kernel-install(8) calls every kernel.
const LINUX: &str = "linux";

impl TypeOne {
    fn add_files(&self, tree: &mut Tree, directory: InodeId, time: Time) {
        file(tree, directory, LINUX, self.linux.clone(), time);
        if let Some((name, content)) = &self.initrd {
            file(tree, directory, name, content.clone(), time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::{entries, esp};
    use crate::tree::testing::text;

    fn entry(version: &str) -> TypeOne {
        TypeOne {
            name: version.into(),
            title: "Debian GNU/Linux 12".into(),
            version: version.into(),
            root: None,
            cmdline: "root=UUID=x ro".into(),
            linux: esp::text(format!("kernel {version}")),
            place: format!("/boot/vmlinuz-{version}"),
            release: version.into(),
            initrd: Some((format!("initrd.img-{version}"), esp::text(format!("initramfs {version}")))),
        }
    }

    fn menu(versions: &[&str]) -> Menu {
        Menu {
            token: "debian".into(),
            tries: Some(3),
            timeout: None,
            is_saved: false,
            entries: versions.iter().map(|version| entry(version)).collect(),
            images: None,
            enroll: None,
        }
    }

    fn tree(menu: &Menu) -> Tree {
        menu.esp_tree(&esp::text("program".into()), Architecture::X86_64, Time::default()).unwrap()
    }

    #[test]
    fn the_esp_has_the_program_twice_and_each_kernel_with_its_entry() {
        // A plus sign in the release is no counter.
        let tree = tree(&menu(&["6.12.38+deb13-amd64", "6.1.0-9-amd64"]));
        for path in ["/EFI/BOOT/BOOTX64.EFI", "/EFI/systemd/systemd-bootx64.efi"] {
            assert_eq!(text(&tree, path).as_deref(), Some("program"), "{path}");
        }
        assert_eq!(text(&tree, "/loader/entries.srel").unwrap(), "type1\n");
        assert_eq!(text(&tree, "/loader/loader.conf").unwrap(), "timeout 1\n");
        for version in ["6.12.38+deb13-amd64", "6.1.0-9-amd64"] {
            assert_eq!(
                text(&tree, &format!("/loader/entries/debian-{version}+3-0.conf")).unwrap(),
                format!(
                    "# Written by vmimage.\n\
                     title      Debian GNU/Linux 12\n\
                     version    {version}\n\
                     sort-key   debian\n\
                     options    root=UUID=x ro\n\
                     linux      /debian/{version}/linux\n\
                     initrd     /debian/{version}/initrd.img-{version}\n"
                )
            );
            assert_eq!(
                text(&tree, &format!("/debian/{version}/linux")).unwrap(),
                format!("kernel {version}")
            );
            let initramfs = text(&tree, &format!("/debian/{version}/initrd.img-{version}"));
            assert_eq!(initramfs.unwrap(), format!("initramfs {version}"));
        }
    }

    #[test]
    fn what_boots_by_itself_is_what_was_chosen_and_the_newest_of_those_to_come() {
        let conf = |menu: Menu| text(&tree(&menu), "/loader/loader.conf").unwrap();
        assert_eq!(conf(menu(&["6.9", "6.10"])), "timeout 1\ndefault debian-6.9*.conf\n");
        assert_eq!(conf(menu(&["6.10", "6.9"])), "timeout 1\n");
        let waits = Menu { timeout: Some(-1), is_saved: true, ..menu(&["6.9", "6.10"]) };
        assert_eq!(conf(waits), "timeout menu-force\ndefault @saved\n");
    }

    #[test]
    fn an_entry_that_nobody_will_call_good_is_tried_without_end() {
        let without =
            Menu { tries: None, entries: vec![TypeOne { initrd: None, ..entry("6.1") }], ..menu(&[]) };
        let tree = tree(&without);
        let entry = text(&tree, "/loader/entries/debian-6.1.conf").unwrap();
        assert!(entry.ends_with("linux      /debian/6.1/linux\n"), "{entry}");
    }

    #[test]
    fn a_slot_has_an_entry_and_a_folder_of_its_own() {
        let cmdline = "root=PARTUUID=x ro rauc.slot=A".into();
        let root = Some("kiosk_1.4.0".to_owned());
        let slot = TypeOne { name: "A".into(), version: "1".into(), root, cmdline, ..entry("6.1") };
        let tree = tree(&Menu { entries: vec![slot], ..menu(&[]) });
        let entry = text(&tree, "/loader/entries/debian-A+3-0.conf").unwrap();
        assert!(entry.starts_with("# Written by vmimage.\n# Root: kiosk_1.4.0\ntitle "), "{entry}");
        assert!(entry.contains("\nversion    1\nsort-key   debian\n"), "{entry}");
        let files = "linux      /debian/A/linux\ninitrd     /debian/A/initrd.img-6.1\n";
        assert!(entry.ends_with(files), "{entry}");
        assert_eq!(text(&tree, "/debian/A/linux").as_deref(), Some("kernel 6.1"));
        // `inspect` finds it again.
        assert!(tree.lookup(format!("/{}", entries::MARK)).is_some());
        assert!(tree.lookup(format!("/{}/debian-A+3-0.conf", entries::FOLDER)).is_some());
        let found = entries::Entry::read("debian-A+3-0.conf", &entry).unwrap();
        assert_eq!((found.slot, found.linux.as_deref()), (Some("A"), Some("/debian/A/linux")));
    }

    #[test]
    fn a_program_says_which_systemd_it_is_of() {
        let release = |text: &str| release(text.as_bytes());
        assert_eq!(release("MZ\0#### LoaderInfo: systemd-boot 252.39-1~deb12u1 ####\0"), Some(252));
        assert_eq!(release("#### LoaderInfo: systemd-boot 247"), Some(247));
        for none in ["", "MZ", "#### LoaderInfo: systemd-boot ", "#### LoaderInfo: systemd-boot x"] {
            assert_eq!(release(none), None, "{none}");
        }
    }

    #[test]
    fn a_partition_beside_the_esp_has_all_but_the_program_and_its_settings() {
        let program = esp::text("program".into());
        let trees = menu(&["6.1"]).split_trees(&program, Architecture::X86_64, Time::default());
        let [esp, beside] = trees.unwrap();
        for (path, is_on_esp) in [
            ("/EFI/BOOT/BOOTX64.EFI", true),
            ("/loader/loader.conf", true),
            ("/loader/entries.srel", false),
            ("/loader/entries/debian-6.1+3-0.conf", false),
            ("/debian/6.1/linux", false),
        ] {
            let is_there = [&esp, &beside].map(|tree| tree.lookup(path).is_some());
            assert_eq!(is_there, [is_on_esp, !is_on_esp], "{path}");
        }
    }
}
