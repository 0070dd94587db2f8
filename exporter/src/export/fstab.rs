//! What a machine mounts, by its `/etc/fstab` (fstab(5)).

use crate::fs::files::FileKind;

/// A line of it that mounts something of a disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// `UUID=…`, `LABEL=…`, `/dev/…`.
    pub(super) spec: String,
    /// Where, without a slash in front.
    pub(super) path: Vec<u8>,
    pub(super) permissions: Permissions,
}

/// What files have whose file system has no permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Permissions {
    of_directories: u16,
    of_files: u16,
}

impl Permissions {
    /// Those of a directory, or of anything else.
    pub(super) fn of_kind(self, kind: &FileKind<'_>) -> u16 {
        match kind {
            FileKind::Directory => self.of_directories,
            _ => self.of_files,
        }
    }

    /// Those that options of a FAT leave (mount(8)); of two for the same the last one counts.
    fn of(options: &[&str]) -> Self {
        let all = Self { of_directories: 0o755, of_files: 0o755 };
        options.iter().fold(all, |before, option| {
            let Some((name, digits)) = option.split_once('=') else { return before };
            let Ok(mask) = u16::from_str_radix(digits, 8) else { return before };
            let left = 0o777 & !mask;
            match name {
                "umask" => Self { of_directories: left, of_files: left },
                "dmask" => Self { of_directories: left, ..before },
                "fmask" => Self { of_files: left, ..before },
                _ => before,
            }
        })
    }
}

/// File systems that lie on no disk of this machine.
const ELSEWHERE: [&str; 14] = [
    "swap", "none", "proc", "sysfs", "tmpfs", "devpts", "devtmpfs", "nfs", "nfs4", "cifs", "9p", "virtiofs",
    "overlay", "cgroup2",
];

/// The lines of what is mounted at boot beside the root, in their order.
pub(super) fn parse(text: &str) -> Vec<Line> {
    text.lines().filter_map(line).collect()
}

fn line(text: &str) -> Option<Line> {
    let mut fields = text.split_whitespace().take_while(|field| !field.starts_with('#'));
    let (spec, path, kind) = (unescaped(fields.next()?), unescaped(fields.next()?), fields.next()?);
    let options: Vec<_> = fields.next().unwrap_or_default().split(',').collect();
    let path = path.strip_prefix(b"/")?;
    let path =
        path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect::<Vec<_>>().join(&b'/');
    let is_apart = options.iter().any(|option| matches!(*option, "bind" | "rbind" | "noauto"));
    if path.is_empty() || is_apart || ELSEWHERE.contains(&kind) {
        return None;
    }
    let spec = String::from_utf8_lossy(&spec).replace('"', "");
    Some(Line { spec, path, permissions: Permissions::of(&options) })
}

/// Three octal digits stand for what separates fields: `\040` is a space.
fn unescaped(field: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), field.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let stands_for =
            digits.filter(|_| byte == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(stands_for.unwrap_or(byte));
        rest = stands_for.and(after.get(3..)).unwrap_or(after);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_at_boot_is_found() {
        let text = "# /etc/fstab\nUUID=a / ext4 defaults 0 1\nUUID=1234-ABCD /boot/efi vfat umask=0077,nofail 0 2\n\
                    LABEL=\"data\"\t/srv/my\\040data// ext4\nPARTLABEL=x /y ext4 noauto\n/dev/sdb1 none swap sw\n\
                    tmpfs /tmp tmpfs\nserver:/a /a nfs\n/a /b none bind\nUUID=z /z #ext4\nUUID=b /boot xfs\nLABEL=a\\040b /c ext4\nshort\n";
        let line = |spec: &str, path: &str, mode| Line {
            spec: spec.into(),
            path: path.into(),
            permissions: Permissions { of_directories: mode, of_files: mode },
        };
        assert_eq!(
            parse(text),
            [
                line("UUID=1234-ABCD", "boot/efi", 0o700),
                line("LABEL=data", "srv/my data", 0o755),
                line("UUID=b", "boot", 0o755),
                line("LABEL=a b", "c", 0o755),
            ]
        );
        assert_eq!(unescaped("a\\"), b"a\\");
        assert_eq!(unescaped("\\999\\1"), b"\\999\\1");
    }

    #[test]
    fn a_fat_has_the_permissions_that_its_masks_leave() {
        for (options, of_directories, of_files) in [
            ("rw,umask=0077", 0o700, 0o700),
            ("fmask=0133,dmask=0022", 0o755, 0o644),
            ("umask=0077,fmask=0177", 0o700, 0o600),
            ("fmask=0177,umask=0027", 0o750, 0o750),
            ("umask=rwx,dmask=0077", 0o700, 0o755),
        ] {
            let left = Permissions::of(&options.split(',').collect::<Vec<_>>());
            assert_eq!(left, Permissions { of_directories, of_files }, "{options}");
        }
    }
}
