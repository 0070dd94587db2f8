//! Where a partition cannot be mounted.

use super::Search;
use crate::spec::layout::{Content, Slot};

impl Search<'_> {
    pub(super) fn mount_point(&mut self, slot: &Slot, point: &str) {
        let is_in_boot = point != "/boot" && lies_at_or_below(point, "/boot") && slot.content != Content::Esp;
        if let Some((_, why)) = NOT_MOUNTED.iter().find(|(folder, _)| lies_at_or_below(point, folder)) {
            self.add(slot.asked, "mount", format!("{point} {why}"));
        } else if is_in_boot {
            self.add(
                slot.asked,
                "mount",
                format!("{point} is read before it is mounted: GRUB knows /boot alone"),
            );
        } else if slot.content == Content::Esp && point == "/boot" {
            let message = "the ESP has no files of /boot: mount it at /boot/efi, and /boot from an xbootldr";
            self.add(slot.asked, "mount", message);
        } else if point == "/boot" && slot.content.folder() != Some(point) {
            self.add(slot.asked, "source", "the partition of /boot has the kernel, and no other files");
        }
        let is_above = |other: &&Slot| {
            let elsewhere = match &other.content {
                Content::Elsewhere(_) => true,
                content => content.folder().is_some_and(|folder| Some(folder) != other.mount.as_deref()),
            };
            let above =
                other.mount.as_deref().is_some_and(|above| above != point && lies_at_or_below(point, above));
            other.read_only && elsewhere && above
        };
        if let Some(above) = self.slots.iter().find(is_above) {
            let message =
                format!("{point} is to be on {}, which is read-only and has other files", above.label);
            self.add(slot.asked, "mount", message);
        }
    }
}

/// Folders that are no partitions of their own, nor anything below them.
const NOT_MOUNTED: [(&str, &str); 14] = [
    ("/etc", READ_EARLY),
    ("/bin", READ_EARLY),
    ("/sbin", READ_EARLY),
    ("/lib", READ_EARLY),
    ("/lib64", READ_EARLY),
    ("/usr/bin", READ_EARLY),
    ("/usr/sbin", READ_EARLY),
    ("/usr/lib", READ_EARLY),
    ("/usr/lib64", READ_EARLY),
    ("/usr/libexec", READ_EARLY),
    ("/dev", OF_THE_KERNEL),
    ("/proc", OF_THE_KERNEL),
    ("/sys", OF_THE_KERNEL),
    ("/run", OF_THE_KERNEL),
];
const READ_EARLY: &str = "is read before it is mounted";
const OF_THE_KERNEL: &str = "is made anew at each boot";

pub(super) fn lies_at_or_below(path: &str, folder: &str) -> bool {
    let rest = path.strip_prefix(folder.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
