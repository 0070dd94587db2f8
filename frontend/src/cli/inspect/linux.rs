//! The system on a root file system: its name, and the kernel its boot loader starts.

use exporter::tree::os;
use ext4_view::{Ext4, Ext4Error};
use serde::Serialize;

use super::window::Window;

/// A Linux system.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Linux {
    /// `PRETTY_NAME` of os-release(5).
    pub(super) name: Option<String>,
    /// Path of the kernel in the boot loader's configuration.
    pub(super) kernel: Option<String>,
    /// Path of the initramfs there.
    pub(super) initramfs: Option<String>,
    /// What the kernel is told, without its own path.
    pub(super) command_line: Option<String>,
}

/// Largest text file that is read.
const TEXT_MAX: u64 = 1 << 20;

const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];
const GRUB_CFG: [&str; 2] = ["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"];

impl Linux {
    /// What is found, or `None` if there is neither an os-release nor a boot configuration.
    pub(super) fn read(volume: Window) -> Result<Option<Self>, Ext4Error> {
        let root = Ext4::load(Box::new(volume))?;
        let mut linux = Self::default();
        if let Some(text) = read_first(&root, OS_RELEASE)? {
            linux.name = os::parse_release(&text).remove("PRETTY_NAME");
        }
        if let Some(text) = read_first(&root, GRUB_CFG)? {
            linux.read_grub_cfg(&text);
        }
        Ok((linux != Self::default()).then_some(linux))
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

/// The text of the first of `paths` that is there. Links are followed inside the file system only.
fn read_first(root: &Ext4, paths: [&str; 2]) -> Result<Option<String>, Ext4Error> {
    for path in paths {
        match root.metadata(path) {
            Ok(metadata) if metadata.file_type().is_regular_file() && metadata.len() <= TEXT_MAX => {
                return Ok(Some(String::from_utf8_lossy(&root.read(path)?).into_owned()));
            }
            Ok(_) | Err(Ext4Error::NotFound | Ext4Error::NotADirectory | Ext4Error::TooManySymlinks) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
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
