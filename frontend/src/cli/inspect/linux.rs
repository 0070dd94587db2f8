//! The system on a root file system: its name, and the kernel its boot loader starts.

use exporter::boot::entries::Entry;
use exporter::fs::DiskBudget;
use exporter::read_at::ReadAt;
use exporter::tree::os;
use serde::Serialize;

use super::file_system::FileSystem;

/// A Linux system.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Linux {
    /// `PRETTY_NAME` of os-release(5).
    pub(super) name: Option<String>,
    /// `IMAGE_ID` there: what was built on it.
    pub(super) image_id: Option<String>,
    /// `IMAGE_VERSION` there.
    pub(super) image_version: Option<String>,
    /// Path of the kernel in the boot loader's configuration.
    pub(super) kernel: Option<String>,
    /// Path of the initramfs there.
    pub(super) initramfs: Option<String>,
    /// What the kernel is told, without its own path.
    pub(super) command_line: Option<String>,
}

const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];
const GRUB_CFG: [&str; 2] = ["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"];

impl Linux {
    /// What is found, or `None` if there is neither an os-release nor a boot configuration.
    pub(super) fn read<V: ReadAt + ?Sized>(
        root: &FileSystem,
        volume: &V,
        budget: &DiskBudget,
    ) -> exporter::Result<Option<Self>> {
        let first = |paths: [&str; 2]| {
            let texts = paths.iter().map(|path| root.read_text(volume, path, budget).transpose());
            texts.flatten().next().transpose()
        };
        let mut linux = Self::default();
        if let Some(text) = first(OS_RELEASE)? {
            let mut release = os::parse_release(&text);
            linux.name = release.remove("PRETTY_NAME");
            linux.image_id = release.remove("IMAGE_ID");
            linux.image_version = release.remove("IMAGE_VERSION");
        }
        if let Some(text) = first(GRUB_CFG)? {
            linux.read_grub_cfg(&text);
        }
        Ok((linux != Self::default()).then_some(linux))
    }

    /// What an entry of systemd-boot starts: then a configuration of GRUB on the root starts nothing.
    pub(super) fn start_by(&mut self, entry: &Entry) {
        self.kernel = entry.linux.clone();
        self.initramfs = entry.initrd.clone();
        self.command_line = Some(entry.options.clone());
    }

    /// The first entry's commands: `linux PATH ARGUMENTS…` and `initrd PATH`.
    fn read_grub_cfg(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("linux" | "linux16" | "linuxefi") if self.kernel.is_none() => {
                    self.kernel = words.next().map(String::from);
                    self.command_line = Some(words.collect::<Vec<_>>().join(" "));
                }
                Some("initrd" | "initrd16" | "initrdefi") if self.initramfs.is_none() => {
                    self.initramfs = words.next().map(String::from);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_of_a_grub_cfg_counts() {
        let mut linux = Linux::default();
        linux.read_grub_cfg(
            "set timeout=1\nmenuentry 'Debian' {\n\tlinux\t/boot/vmlinuz-6.1 root=UUID=x ro  quiet\n\tinitrd /boot/initrd.img-6.1\n}\n\
             menuentry 'old' {\n linux /boot/vmlinuz-5.10\n initrd /boot/initrd.img-5.10\n}\n",
        );
        assert_eq!(linux.kernel.as_deref(), Some("/boot/vmlinuz-6.1"));
        assert_eq!(linux.initramfs.as_deref(), Some("/boot/initrd.img-6.1"));
        assert_eq!(linux.command_line.as_deref(), Some("root=UUID=x ro quiet"));
    }
}
