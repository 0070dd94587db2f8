//! `/etc/fstab` (fstab(5)): what a system mounts, and which of it a live system must not.

use std::fs;
use std::path::{Path, PathBuf};

use crate::grow::device::in_file;

/// A line that mounts something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// A device by its name, `UUID=` and its like, or anything else.
    pub(super) spec: String,
    /// Where; of swap `none`.
    pub(super) at: String,
    pub(super) kind: String,
    pub(super) options: String,
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace().filter(|_| !line.trim_start().starts_with('#'));
        let mut field = || fields.next().map(unescape);
        let (spec, at, kind) = (field()?, field()?, field()?);
        Some(Self { spec, at, kind, options: field().unwrap_or_default() })
    }

    /// Whether it is on a disk.
    pub(super) fn is_on_disk(&self) -> bool {
        let tags = ["UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "ID="];
        let is_file_for_swap = self.kind == "swap" && self.spec.starts_with('/');
        self.spec.starts_with("/dev/")
            || tags.iter().any(|tag| self.spec.starts_with(tag))
            || is_file_for_swap
    }

    /// Whether an option is set.
    pub(super) fn has(&self, option: &str) -> bool {
        self.options.split(',').any(|one| one == option)
    }
}

/// What is mounted, in the order of the lines.
pub(super) fn parse(text: &str) -> Vec<Entry> {
    text.lines().filter_map(Entry::parse).collect()
}

/// What a live system has in its place: nothing of a disk, neither of the medium's nor of the machine's, which may have the same
/// ids.
pub(super) fn without_disks(text: &str) -> String {
    let keep = |line: &str| match Entry::parse(line).is_some_and(|entry| entry.is_on_disk()) {
        true => format!("# not in a live system: {line}\n"),
        false => format!("{line}\n"),
    };
    text.lines().map(keep).collect()
}

/// A directory in a tree, made if it is missing. No link may lead out of there.
pub(super) fn inside(root: &Path, at: &str) -> Result<PathBuf, String> {
    let mut path = root.to_owned();
    for part in at.split('/').filter(|part| !part.is_empty() && *part != ".") {
        path.push(part);
        let is_link = fs::symlink_metadata(&path).is_ok_and(|it| it.is_symlink());
        if part == ".." || is_link {
            return Err(format!("{at} is reached by a link"));
        }
    }
    fs::create_dir_all(&path).map_err(in_file(&path))?;
    Ok(path)
}

/// Blanks and backslashes are octal.
fn unescape(field: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(field.to_owned(), |text, (code, character)| text.replace(code, character))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const FSTAB: &str = "# written by vmimage\n/dev/root / ext4 errors=remount-ro 0 1\nUUID=AB-CD /boot/efi vfat umask=0077 0 1\n\
        \tLABEL=data /my\\040data xfs noauto,nofail 0 2\ntmpfs /tmp tmpfs size=1G 0 0\n/swapfile none swap sw 0 0\n\
        server:/srv /srv nfs _netdev 0 0\nPARTLABEL=var /var ext4 defaults\n/home/x /mnt/x none bind\nbroken\n";

    #[test]
    fn lines_are_read() {
        let entries = parse(FSTAB);
        assert_eq!(entries.len(), 8);
        assert_eq!(
            (&*entries[2].at, entries[2].has("nofail"), entries[2].has("no")),
            ("/my data", true, false)
        );
        let on_disk: Vec<_> =
            entries.iter().filter(|entry| entry.is_on_disk()).map(|entry| &*entry.at).collect();
        assert_eq!(on_disk, ["/", "/boot/efi", "/my data", "none", "/var"]);
    }

    #[test]
    fn a_live_system_mounts_no_disk() {
        let live = without_disks(FSTAB);
        let left: Vec<_> = parse(&live).into_iter().map(|entry| entry.at).collect();
        assert_eq!(left, ["/tmp", "/srv", "/mnt/x"]);
        assert!(live.contains("# not in a live system: UUID=AB-CD /boot/efi vfat"));
        assert!(live.starts_with("# written by vmimage\n") && live.contains("\nbroken\n"));
        assert_eq!(without_disks(""), "");
    }

    #[test]
    fn no_link_leads_out_of_the_tree() {
        let root = tempfile::tempdir().unwrap();
        symlink("/etc", root.path().join("link")).unwrap();
        assert_eq!(inside(root.path(), "/a/./b"), Ok(root.path().join("a/b")));
        for at in ["/link", "/link/x", "/a/../../x"] {
            assert!(inside(root.path(), at).is_err(), "{at}");
        }
        assert!(!Path::new("/etc/x").exists());
    }
}
