//! What a file system says of itself: its kind, its UUID and its label.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// As far as the superblocks go: that of btrfs is the last.
const LEN: u64 = 68 << 10;

/// Where a kind of file system has what; offsets are bytes of the device.
struct Format {
    kind: &'static str,
    magic: (usize, &'static [u8]),
    uuid: Option<usize>,
    /// Its first byte and its length.
    label: Option<(usize, usize)>,
}

/// As in the kernel's fs/ext4/ext4.h (`s_magic`, `s_uuid`, `s_volume_name` of a superblock at 1024), fs/erofs/erofs_fs.h (the same
/// place), fs/xfs/libxfs/xfs_format.h, include/uapi/linux/btrfs_tree.h (a superblock at 64 KiB), fs/squashfs/squashfs_fs.h.
const FORMATS: [Format; 5] = [
    Format { kind: "ext4", magic: (0x438, &[0x53, 0xef]), uuid: Some(0x468), label: Some((0x478, 16)) },
    Format {
        kind: "erofs",
        magic: (0x400, &[0xe2, 0xe1, 0xf5, 0xe0]),
        uuid: Some(0x430),
        label: Some((0x440, 16)),
    },
    Format { kind: "xfs", magic: (0, b"XFSB"), uuid: Some(32), label: Some((108, 12)) },
    Format { kind: "btrfs", magic: (0x10040, b"_BHRfS_M"), uuid: Some(0x10020), label: Some((0x1012b, 256)) },
    Format { kind: "squashfs", magic: (0, b"hsqs"), uuid: None, label: None },
];

/// A file system.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// As the kernel calls it; ext2 and ext3 are ext4 to it.
    pub(crate) kind: &'static str,
    uuid: [u8; 16],
    pub(crate) label: String,
}

impl Superblock {
    /// What is on a device; `None` if it cannot be read, or nothing of this program's list is there.
    pub(crate) fn read(device: &Path) -> Option<Self> {
        let mut bytes = Vec::new();
        File::open(device).ok()?.take(LEN).read_to_end(&mut bytes).ok()?;
        Self::parse(&bytes)
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let at = |from: usize, len: usize| bytes.get(from..from.checked_add(len)?);
        let found = |format: &&Format| at(format.magic.0, format.magic.1.len()) == Some(format.magic.1);
        let format = FORMATS.iter().find(found)?;
        let uuid = format.uuid.and_then(|from| at(from, 16)?.try_into().ok()).unwrap_or_default();
        let label = format.label.and_then(|(from, len)| at(from, len)).unwrap_or_default();
        let label = label.split(|&byte| byte == 0).next().unwrap_or_default();
        Some(Self { kind: format.kind, uuid, label: String::from_utf8_lossy(label).into_owned() })
    }

    /// The UUID as text, in lower case.
    pub(crate) fn id(&self) -> String {
        let digits: String = self.uuid.iter().map(|byte| format!("{byte:02x}")).collect();
        let parts =
            [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| digits.get(part).unwrap_or_default().to_owned());
        parts.join("-")
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn device(writes: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; LEN as usize];
        for (at, part) in writes {
            bytes[*at..*at + part.len()].copy_from_slice(part);
        }
        bytes
    }

    #[test]
    fn file_systems_are_told_by_their_superblocks() {
        let id: Vec<_> = (1..=16).collect();
        for (kind, magic, uuid, label) in [
            ("ext4", (0x438, &b"\x53\xef"[..]), 0x468, 0x478),
            ("erofs", (0x400, b"\xe2\xe1\xf5\xe0"), 0x430, 0x440),
            ("xfs", (0, b"XFSB"), 32, 108),
            ("btrfs", (0x10040, b"_BHRfS_M"), 0x10020, 0x1012b),
        ] {
            let found = Superblock::parse(&device(&[magic, (uuid, &id), (label, b"my root")])).unwrap();
            assert_eq!((found.kind, &*found.label), (kind, "my root"));
            assert_eq!(found.id(), "01020304-0506-0708-090a-0b0c0d0e0f10");
        }
        let squashfs = Superblock::parse(&device(&[(0, b"hsqs")])).unwrap();
        assert_eq!((squashfs.kind, &*squashfs.label), ("squashfs", ""));
    }

    #[test]
    fn what_is_short_or_unknown_is_none() {
        assert_eq!(Superblock::parse(&device(&[])), None);
        assert_eq!(Superblock::parse(b""), None);
        assert_eq!(Superblock::parse(&device(&[(0x438, b"\x53")])), None);
        // A superblock that is cut behind its magic has neither.
        let cut = Superblock::parse(&device(&[(0x438, b"\x53\xef")])[..0x440]).unwrap();
        assert_eq!((cut.uuid, &*cut.label), ([0; 16], ""));
        assert_eq!(Superblock::read(Path::new("/nonexistent")), None);
    }

    #[test]
    fn a_real_ext4_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8 << 20).unwrap();
        let id = "5b1c0a4e-9d2f-4e3b-8a76-0123456789ab";
        let words = ["-q", "-U", id, "-L", "web"];
        assert!(Command::new("mkfs.ext4").args(words).arg(file.path()).status().unwrap().success());
        let found = Superblock::read(file.path()).unwrap();
        assert_eq!((found.kind, &*found.id(), &*found.label), ("ext4", id, "web"));
    }
}
