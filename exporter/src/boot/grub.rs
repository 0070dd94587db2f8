//! GRUB's configuration: the stub on the ESP, and the menu on the file system with `/boot`.

use std::fmt::Write;

use super::choice;
use super::defaults::Defaults;
use super::password::Lock;
use super::slots::{self, Slots};
use super::unlock::{ROOT_DEVICE, Unlock};
use super::verity;
use crate::disk::PartitionId;
use crate::fs::verity::RootHash;
use crate::fs::{FileSystem, VolumeId};
use crate::seed::Uuid;
use crate::spec::{Architecture, Spec, layout};
use crate::tree::kernel::Kernel;
use crate::tree::os::{Family, Os};

/// Its presence makes a boot the first of Ignition. It is read: it may set `ignition_network_kcmdline`.
pub const FIRST_BOOT: &str = "/boot/ignition.firstboot";

/// The root, by what the kernel and GRUB find it.
#[derive(Clone, Copy, Debug)]
pub struct Root {
    /// The name of its file system.
    pub id: VolumeId,
    /// That of its partition.
    pub partition: PartitionId,
    /// What it is.
    pub file_system: FileSystem,
    /// Whether it may lie in another slot the next time: then both names are those of this disk alone.
    pub is_slot: bool,
    /// Whether its blocks are checked when they are read: it is found by its root hash.
    pub has_verity: bool,
    /// The name of the LUKS volume that it is in, if it is encrypted.
    pub luks: Option<Uuid>,
}

/// The file system with `/boot`, by what GRUB finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootVolume {
    /// The root, by its name.
    Root(VolumeId),
    /// One of its own, by its name: it has `/boot` alone, and the root has none of that.
    Own(VolumeId),
    /// The root in one of these slots, which is chosen at each boot.
    Slots(Slots),
}

impl BootVolume {
    /// Where one of its own is mounted.
    pub const MOUNT: &str = "/boot";

    /// What GRUB calls a file of the machine.
    fn path<'a>(&self, path: &'a str) -> &'a str {
        match self {
            Self::Own(_) => path.strip_prefix(Self::MOUNT).unwrap_or(path),
            Self::Root(_) | Self::Slots(_) => path,
        }
    }

    /// The same as a word of a command.
    fn word(&self, path: &str) -> String {
        let folder = match self {
            Self::Slots(slots) => slots.folder(),
            Self::Root(_) | Self::Own(_) => "",
        };
        format!("{folder}{}", quote(self.path(path)))
    }

    /// The command that finds it again where the menu was found, before it looks elsewhere.
    fn search(&self) -> String {
        match self {
            Self::Root(id) | Self::Own(id) => format!("\tsearch.fs_uuid {id} root $root\n"),
            // The slot that was chosen is `$root`.
            Self::Slots(_) => String::new(),
        }
    }
}

/// A kernel to boot, by its paths in the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Title in the menu.
    pub title: String,
    /// Path of the kernel, such as `/vmlinuz` (a link the distribution keeps on the newest kernel).
    pub kernel: String,
    /// Path of the initramfs.
    pub initramfs: Option<String>,
    /// Kernel command line.
    pub cmdline: String,
    /// Whether GRUB may lack `linux` and have `linuxefi` instead: that of SUSE, and of RHEL up to 8, for UEFI.
    pub linuxefi: bool,
    /// Whether the root asks for SELinux labels (`/.autorelabel`). Nothing has one before, so until then no
    /// policy is enforced.
    pub relabels: bool,
    /// Where Ignition is to run at the first boot: what the kernel is then told of the network.
    pub ignites: Option<&'static str>,
    /// Whether it boots without the password that GRUB asks for.
    pub is_unrestricted: bool,
}

/// The menu entry for a kernel. Links that the distribution keeps on its newest kernel are preferred, so
/// that an upgrade inside the machine boots without a new menu.
pub fn entry(os: &Os, kernel: &Kernel, spec: &Spec, root: &Root, defaults: &Defaults) -> Entry {
    let stable = kernel.stable.as_ref();
    Entry {
        title: os.pretty_name.clone(),
        kernel: stable.map_or(&kernel.image, |links| &links.image).clone(),
        initramfs: stable.map_or(&kernel.initramfs, |links| &links.initramfs).clone(),
        cmdline: [root_words(os, kernel, root), further_words(os, spec, root, defaults)].concat().join(" "),
        linuxefi: matches!(os.family, Family::RedHat | Family::Suse)
            && spec.architecture == Architecture::X86_64,
        relabels: false,
        ignites: None,
        is_unrestricted: false,
    }
}

/// Root by UUID, since disks are called vda, sda or nvme0n1.
fn root_words(os: &Os, kernel: &Kernel, root: &Root) -> Vec<String> {
    match root.is_slot {
        true if root.has_verity => verity::WORDS_OF_SLOT.map(str::to_owned).to_vec(),
        false if root.has_verity => vec![verity::WORD.into(), "ro".into()],
        true => slots::root_words(kernel.initramfs.as_ref().map(|_| os.family)).map(str::to_owned).to_vec(),
        false if root.luks.is_some() => vec![format!("root={ROOT_DEVICE}"), "ro".into()],
        false => vec![format!("root={}={}", root.id.tag(), root.id), "ro".into()],
    }
}

/// Of words that contradict each other the last counts: what was asked for comes after what the image says.
fn further_words(os: &Os, spec: &Spec, root: &Root, defaults: &Defaults) -> Vec<String> {
    let mut words = fixed_words(os, spec, root);
    words.extend(defaults.words.iter().cloned());
    words.extend(asked_words(os, spec, root, defaults));
    words.extend(root.is_slot.then(|| slots::FURTHER_WORDS.to_owned()));
    words
}

/// What was asked for, after what the image says in places that GRUB's tools don't know.
pub fn asked_words(os: &Os, spec: &Spec, root: &Root, defaults: &Defaults) -> Vec<String> {
    let fixed = fixed_words(os, spec, root);
    let further = defaults.further.iter().filter(|word| !fixed.contains(word));
    let asked = spec.cmdline.split_ascii_whitespace().map(str::to_owned);
    further.cloned().chain(asked).collect()
}

/// A console on the screen and on the serial port, of which the last is the one services print to, and what the
/// initramfs has to be told.
pub fn fixed_words(os: &Os, spec: &Spec, root: &Root) -> Vec<String> {
    let unlock = root.luks.zip(layout::root_lock(spec));
    let unlock = unlock.and_then(|(uuid, lock)| Unlock::new(os.family, uuid, &lock));
    let mut words = unlock.map_or_else(Vec::new, |unlock| unlock.0);
    if os.family == Family::Alpine {
        // mkinitfs loads only what it is told, and asks nobody for the type of the file system.
        let driver = root.file_system.name();
        words.push(format!("modules=sd-mod,virtio_blk,nvme,{driver}"));
    }
    if os.family == Family::Alpine || root.file_system != FileSystem::Ext4 {
        words.push(format!("rootfstype={}", root.file_system.name()));
    }
    words.push("console=tty0".into());
    words.push(format!("console={},115200n8", spec.architecture.serial_console()));
    words
}

/// `\EFI\<vendor>\grub.cfg`: find the file system with `/boot` by UUID, or choose a slot, and go on with its own menu.
///
/// Another disk may be a copy of this one. GRUB begins with `root` where it was started from, such as
/// `hd0,gpt2`, and its search with the partitions of the disk it is given, `hd0,`. A GRUB without `regexp`
/// is given none. With a `root_hash` it knows that, too: the menu may lie in what the hash is of.
pub(super) fn stub(boot: &BootVolume, lock: &Lock, tries: u8, root_hash: Option<RootHash>) -> String {
    let (asks, checks) = (lock.commands(), lock.check());
    let knows = root_hash.map(verity::commands).unwrap_or_default();
    let id = match boot {
        BootVolume::Root(id) | BootVolume::Own(id) => id,
        BootVolume::Slots(slots) => return asks + &choice::script(slots, tries),
    };
    format!(
        "{asks}{knows}regexp --set=1:disk '^([^,]+,)' \"$root\"\n\
         search.fs_uuid {id} root $disk\n\
         set prefix=($root)'{}'\n\
         {checks}configfile $prefix/grub.cfg\n",
        boot.path("/boot/grub")
    )
}

/// The serial port is GRUB's second terminal on BIOS only: UEFI firmware mirrors its console there.
pub(super) const SERIAL_TERMINAL: &str = "\
if [ \"$grub_platform\" = pc ]; then
\tif serial --unit=0 --speed=115200; then
\t\tterminal_input console serial
\t\tterminal_output console serial
\tfi
fi
";

/// `/boot/grub/grub.cfg`. The first entry boots after a second, unless the image says otherwise. Each looks for the file
/// system with `/boot` where the menu was found before it looks elsewhere.
pub fn menu(boot: &BootVolume, root: VolumeId, entries: &[Entry], defaults: &Defaults) -> String {
    let mut text =
        String::from("# Written by vmimage. A package such as grub2 that runs update-grub replaces it.\n");
    text.push_str(match defaults.is_saved {
        true => "if [ -s $prefix/grubenv ]; then load_env; fi\nset default=\"$saved_entry\"\n",
        false => "set default=0\n",
    });
    let _ = writeln!(text, "set timeout={}", defaults.timeout.unwrap_or(1));
    if let Some(style) = &defaults.timeout_style {
        let _ = writeln!(text, "set timeout_style={style}");
    }
    text.push_str(SERIAL_TERMINAL);
    for entry in entries {
        let unrestricted = if entry.is_unrestricted { " --unrestricted" } else { "" };
        let _ = write!(text, "menuentry {}{unrestricted} {{\n{}", quote(&entry.title), boot.search());
        if entry.relabels {
            let is_own = matches!(boot, BootVolume::Own(_));
            let device = if is_own { "($labelled)" } else { "" };
            if is_own {
                let _ = writeln!(text, "\tsearch.fs_uuid {root} labelled $root");
            }
            let _ = writeln!(text, "\tif [ -f {device}/.autorelabel ]; then set relabel=enforcing=0; fi");
        }
        if let Some(network) = entry.ignites {
            let first_boot = boot.path(FIRST_BOOT);
            let _ = write!(
                text,
                "\tif [ -f {first_boot} ]; then\n\
                 \t\tset ignition_network_kcmdline='{network}'\n\
                 \t\tsource {first_boot}\n\
                 \t\tset ignition=\"ignition.firstboot $ignition_network_kcmdline\"\n\
                 \tfi\n"
            );
        }
        let [linux, initrd] = commands(boot, entry, "");
        if entry.linuxefi {
            let [linuxefi, initrdefi] = commands(boot, entry, "efi");
            // GRUB has no other way to ask for a command than to use it.
            let _ = write!(
                text,
                "\tif {linux}; then\n\t\t{initrd}\n\telse\n\t\t{linuxefi}\n\t\t{initrdefi}\n\tfi\n}}\n"
            );
        } else {
            let _ = write!(text, "\t{linux}\n\t{initrd}\n}}\n");
        }
    }
    text
}

/// The commands that load kernel and initramfs.
fn commands(boot: &BootVolume, entry: &Entry, suffix: &str) -> [String; 2] {
    let words = entry.cmdline.split_ascii_whitespace();
    let words: Vec<_> = words
        .map(
            |word| {
                if slots::is_variable(word) || word == verity::WORD { word.to_owned() } else { quote(word) }
            },
        )
        .collect();
    let relabel = if entry.relabels { " $relabel" } else { "" };
    let ignition = if entry.ignites.is_some() { " $ignition" } else { "" };
    let linux = format!("linux{suffix} {} {}{relabel}{ignition}", boot.word(&entry.kernel), words.join(" "));
    let initrd = match &entry.initramfs {
        Some(initramfs) => format!("initrd{suffix} {}", boot.word(initramfs)),
        None => "true".into(),
    };
    [linux, initrd]
}

/// One word of GRUB script: quoted only where it has to be.
pub(super) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.,:=-_+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: VolumeId = VolumeId::Uuid(Uuid::from_text("01234567-89ab-4def-8123-456789abcdef"));
    const ON_ROOT: BootVolume = BootVolume::Root(ROOT);
    const TRIES: u8 = choice::TRIES;
    const OWN: BootVolume = BootVolume::Own(VolumeId::Serial(0x1234_abcd));

    fn entry() -> Entry {
        Entry {
            title: "Debian GNU/Linux 12".into(),
            kernel: "/vmlinuz".into(),
            initramfs: Some("/initrd.img".into()),
            cmdline: "root=UUID=x ro console=ttyS0,115200n8 note=$(evil);'".into(),
            linuxefi: false,
            relabels: false,
            ignites: None,
            is_unrestricted: false,
        }
    }

    fn menu(entry: Entry) -> String {
        menu_on(&ON_ROOT, entry)
    }

    fn menu_on(boot: &BootVolume, entry: Entry) -> String {
        let text = super::menu(boot, ROOT, &[entry], &Defaults::default());
        text[text.find("menuentry").unwrap()..].to_owned()
    }

    #[test]
    fn the_disk_that_was_started_comes_before_its_copies() {
        let stub = stub(&ON_ROOT, &Lock::Open, TRIES, None);
        assert!(stub.starts_with("regexp --set=1:disk '^([^,]+,)' \"$root\"\n"), "{stub}");
        assert!(stub.contains(&format!("search.fs_uuid {ROOT} root $disk\n")), "{stub}");
        assert!(menu(entry()).contains(&format!("search.fs_uuid {ROOT} root $root\n")));
    }

    #[test]
    fn the_root_hash_is_beside_the_menu_and_not_in_it() {
        let stub = stub(&ON_ROOT, &Lock::Open, TRIES, Some(RootHash([0xab; 32])));
        let set = format!("set root_hash={}\nexport root_hash\nregexp ", "ab".repeat(32));
        assert!(stub.starts_with(&set), "{stub}");
        let cmdline = "roothash=$root_hash ro note=$root_hash".into();
        let menu = menu(Entry { cmdline, ..entry() });
        assert!(menu.contains("\tlinux /vmlinuz roothash=$root_hash ro 'note=$root_hash'\n"), "{menu}");
    }

    #[test]
    fn a_password_is_asked_for_before_anything_may_fail_and_no_entry_needs_it() {
        let asks = Lock::Password("grub.pbkdf2.x".into());
        let stub = stub(&ON_ROOT, &asks, TRIES, None);
        let start = "set superusers=root\nexport superusers\npassword_pbkdf2 root grub.pbkdf2.x\nregexp ";
        assert!(stub.starts_with(start), "{stub}");
        let slots = Slots { numbers: [3, 4], partitions: [Uuid([1; 16]).into(); 2], kernels: None };
        let script = super::stub(&BootVolume::Slots(slots), &asks, TRIES, None);
        assert!(script.starts_with("set superusers=root\n") && script.contains("A_TRY"), "{script}");
        let menu = menu(Entry { is_unrestricted: true, ..entry() });
        assert!(menu.starts_with("menuentry 'Debian GNU/Linux 12' --unrestricted {\n"), "{menu}");
    }

    #[test]
    fn an_entry_reads_like_one_written_by_hand() {
        assert_eq!(
            menu(entry()),
            "menuentry 'Debian GNU/Linux 12' {\n\
             \tsearch.fs_uuid 01234567-89ab-4def-8123-456789abcdef root $root\n\
             \tlinux /vmlinuz root=UUID=x ro console=ttyS0,115200n8 'note=$(evil);'\\'''\n\
             \tinitrd /initrd.img\n}\n"
        );
    }

    #[test]
    fn a_boot_partition_has_the_menu_and_the_kernels_by_shorter_paths() {
        let stub = stub(&OWN, &Lock::Open, TRIES, None);
        assert!(stub.contains("search.fs_uuid 1234-ABCD root $disk\nset prefix=($root)'/grub'\n"), "{stub}");
        let entry = Entry {
            kernel: "/boot/vmlinuz".into(),
            initramfs: Some("/boot/initrd.img".into()),
            cmdline: "ro".into(),
            relabels: true,
            ignites: Some(""),
            ..entry()
        };
        assert_eq!(
            menu_on(&OWN, entry),
            "menuentry 'Debian GNU/Linux 12' {\n\
             \tsearch.fs_uuid 1234-ABCD root $root\n\
             \tsearch.fs_uuid 01234567-89ab-4def-8123-456789abcdef labelled $root\n\
             \tif [ -f ($labelled)/.autorelabel ]; then set relabel=enforcing=0; fi\n\
             \tif [ -f /ignition.firstboot ]; then\n\
             \t\tset ignition_network_kcmdline=''\n\
             \t\tsource /ignition.firstboot\n\
             \t\tset ignition=\"ignition.firstboot $ignition_network_kcmdline\"\n\
             \tfi\n\
             \tlinux /vmlinuz ro $relabel $ignition\n\
             \tinitrd /initrd.img\n}\n"
        );
    }

    #[test]
    fn the_menu_of_a_slot_names_no_disk() {
        let slots = Slots { numbers: [3, 4], partitions: [Uuid([1; 16]).into(); 2], kernels: None };
        let cmdline = "root=$slot_root ro rauc.slot=$slot quiet note=$slot $slot_words";
        let entry = Entry { cmdline: cmdline.into(), ..entry() };
        assert_eq!(
            menu_on(&BootVolume::Slots(slots), entry.clone()),
            "menuentry 'Debian GNU/Linux 12' {\n\
             \tlinux /vmlinuz root=$slot_root ro rauc.slot=$slot quiet 'note=$slot' $slot_words\n\
             \tinitrd /initrd.img\n}\n"
        );
        let beside = menu_on(&BootVolume::Slots(Slots { kernels: Some(2), ..slots }), entry);
        assert!(beside.contains("\tlinux $slot_folder/vmlinuz root=$slot_root "), "{beside}");
        assert!(beside.contains("\tinitrd $slot_folder/initrd.img\n"), "{beside}");
    }

    #[test]
    fn timeout_and_saved_entry_are_the_images() {
        let head = |defaults: Defaults| {
            let text = super::menu(&ON_ROOT, ROOT, &[entry(), entry()], &defaults);
            assert_eq!(text.matches("menuentry ").count(), 2);
            text.lines()
                .skip(1)
                .take_while(|line| !line.contains("grub_platform"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(head(Defaults::default()), "set default=0\nset timeout=1");
        let hidden =
            Defaults { timeout: Some(0), timeout_style: Some("hidden".into()), ..Defaults::default() };
        assert_eq!(head(hidden), "set default=0\nset timeout=0\nset timeout_style=hidden");
        let saved = head(Defaults { is_saved: true, timeout: Some(-1), ..Defaults::default() });
        assert_eq!(
            saved,
            "if [ -s $prefix/grubenv ]; then load_env; fi\nset default=\"$saved_entry\"\nset timeout=-1"
        );
    }

    #[test]
    fn a_grub_without_linux_is_given_linuxefi() {
        let entry = Entry { linuxefi: true, relabels: true, cmdline: "ro".into(), ..entry() };
        assert_eq!(
            menu(entry),
            "menuentry 'Debian GNU/Linux 12' {\n\
             \tsearch.fs_uuid 01234567-89ab-4def-8123-456789abcdef root $root\n\
             \tif [ -f /.autorelabel ]; then set relabel=enforcing=0; fi\n\
             \tif linux /vmlinuz ro $relabel; then\n\
             \t\tinitrd /initrd.img\n\
             \telse\n\
             \t\tlinuxefi /vmlinuz ro $relabel\n\
             \t\tinitrdefi /initrd.img\n\
             \tfi\n}\n"
        );
    }

    #[test]
    fn the_first_boot_of_ignition_is_one_as_long_as_its_file_is_there() {
        let entry = Entry { ignites: Some("rd.neednet=1 ip=dhcp"), cmdline: "ro".into(), ..entry() };
        assert_eq!(
            menu(entry),
            "menuentry 'Debian GNU/Linux 12' {\n\
             \tsearch.fs_uuid 01234567-89ab-4def-8123-456789abcdef root $root\n\
             \tif [ -f /boot/ignition.firstboot ]; then\n\
             \t\tset ignition_network_kcmdline='rd.neednet=1 ip=dhcp'\n\
             \t\tsource /boot/ignition.firstboot\n\
             \t\tset ignition=\"ignition.firstboot $ignition_network_kcmdline\"\n\
             \tfi\n\
             \tlinux /vmlinuz ro $ignition\n\
             \tinitrd /initrd.img\n}\n"
        );
    }
}
