//! What a machine mounts, by its `/etc/fstab` (fstab(5)).

/// A line of it that mounts something of a disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// `UUID=…`, `LABEL=…`, `/dev/…`.
    pub(super) spec: String,
    /// Where, without a slash in front.
    pub(super) path: Vec<u8>,
    /// What those have whose file system has no permissions.
    pub(super) permissions: u16,
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
    let (spec, path, kind) = (fields.next()?, unescaped(fields.next()?), fields.next()?);
    let options: Vec<_> = fields.next().unwrap_or_default().split(',').collect();
    let path = path.strip_prefix(b"/")?;
    let path =
        path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect::<Vec<_>>().join(&b'/');
    let is_apart = options.iter().any(|option| matches!(*option, "bind" | "rbind" | "noauto"));
    if path.is_empty() || is_apart || ELSEWHERE.contains(&kind) {
        return None;
    }
    let umask = options.iter().find_map(|option| option.strip_prefix("umask="));
    let umask = umask.and_then(|digits| u16::from_str_radix(digits, 8).ok()).unwrap_or(0o022);
    Some(Line { spec: spec.replace('"', ""), path, permissions: 0o777 & !umask })
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
                    tmpfs /tmp tmpfs\nserver:/a /a nfs\n/a /b none bind\nUUID=z /z #ext4\nUUID=b /boot xfs\nshort\n";
        let line =
            |spec: &str, path: &str, permissions| Line { spec: spec.into(), path: path.into(), permissions };
        assert_eq!(
            parse(text),
            [
                line("UUID=1234-ABCD", "boot/efi", 0o700),
                line("LABEL=data", "srv/my data", 0o755),
                line("UUID=b", "boot", 0o755),
            ]
        );
        assert_eq!(unescaped("a\\"), b"a\\");
        assert_eq!(unescaped("\\999\\1"), b"\\999\\1");
    }
}
