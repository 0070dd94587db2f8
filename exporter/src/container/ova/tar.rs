//! The headers of the archive, with the field names of POSIX.

use std::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Headers and contents begin at multiples of this.
pub(super) const BLOCK: u64 = 512;
/// Bytes that eleven octal digits can't count.
const OCTAL_END: u64 = 1 << 33;
/// The first byte of a number in base 256.
const BASE_256: u8 = 0x80;

/// The header of one file, section "ustar Interchange Format".
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Header {
    name: [u8; 100],
    mode: [u8; 8],
    uid: [u8; 8],
    gid: [u8; 8],
    size: [u8; 12],
    mtime: [u8; 12],
    chksum: [u8; 8],
    typeflag: u8,
    linkname: [u8; 100],
    magic: [u8; 6],
    version: [u8; 2],
    uname: [u8; 32],
    gname: [u8; 32],
    devmajor: [u8; 8],
    devminor: [u8; 8],
    prefix: [u8; 155],
    pad: [u8; 12],
}

const _: () = assert!(size_of::<Header>() == BLOCK as usize);
const _: () = assert!(offset_of!(Header, chksum) == 148);
const _: () = assert!(offset_of!(Header, magic) == 257);
const _: () = assert!(offset_of!(Header, prefix) == 345);

impl Header {
    const MAGIC: [u8; 6] = *b"ustar\0";
    /// The magic of GNU tar before POSIX, which some still write.
    const MAGIC_GNU: [u8; 6] = *b"ustar ";
    const REGULAR: u8 = b'0';
    const REGULAR_OLD: u8 = 0;

    /// The header of a file that everyone may read, from no time and of no owner. `name` is cut to what
    /// the header holds.
    pub(super) fn new(name: &str, size: u64) -> Self {
        let mut header = Self {
            name: [0; 100],
            mode: *b"0000644\0",
            uid: *b"0000000\0",
            gid: *b"0000000\0",
            size: encode_size(size),
            mtime: *b"00000000000\0",
            chksum: [0; 8],
            typeflag: Self::REGULAR,
            linkname: [0; 100],
            magic: Self::MAGIC,
            version: *b"00",
            uname: [0; 32],
            gname: [0; 32],
            devmajor: *b"0000000\0",
            devminor: *b"0000000\0",
            prefix: [0; 155],
            pad: [0; 12],
        };
        let len = name.len().min(header.name.len());
        header.name[..len].copy_from_slice(&name.as_bytes()[..len]);
        header.seal()
    }

    fn seal(mut self) -> Self {
        let digits = format!("{:06o}\0 ", self.checksum());
        self.chksum.copy_from_slice(digits.as_bytes());
        self
    }

    /// The sum of all bytes, those of the checksum taken as spaces.
    fn checksum(&self) -> u64 {
        let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        sum(self.as_bytes()) - sum(&self.chksum) + 8 * u64::from(b' ')
    }

    /// Whether it is a header, and a whole one.
    pub(super) fn is_valid(&self) -> bool {
        matches!(self.magic, Self::MAGIC | Self::MAGIC_GNU)
            && parse_octal(&self.chksum) == Some(self.checksum())
    }

    pub(super) fn is_regular(&self) -> bool {
        matches!(self.typeflag, Self::REGULAR | Self::REGULAR_OLD)
    }

    /// Whether the file's name ends like that, in whatever case.
    pub(super) fn name_ends_in(&self, ending: &str) -> bool {
        let len = self.name.iter().position(|&byte| byte == 0).unwrap_or(self.name.len());
        let start = len.saturating_sub(ending.len());
        self.name[start..len].eq_ignore_ascii_case(ending.as_bytes())
    }

    /// Bytes of the file; `None` if the field is no number.
    pub(super) fn size(&self) -> Option<u64> {
        let (high, low) = self.size.split_at(4);
        match high {
            [BASE_256, 0, 0, 0] => Some(u64::from_be_bytes(low.try_into().ok()?)),
            _ => parse_octal(&self.size),
        }
    }
}

/// Octal, as POSIX has it, as long as that has digits enough; then base 256, which GNU tar, bsdtar and Go
/// (and so vSphere's tools) read.
fn encode_size(size: u64) -> [u8; 12] {
    let mut field = [0; 12];
    if size < OCTAL_END {
        field[..11].copy_from_slice(format!("{size:011o}").as_bytes());
    } else {
        field[0] = BASE_256;
        field[4..].copy_from_slice(&size.to_be_bytes());
    }
    field
}

fn parse_octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches([' ', '\0']), 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_any_length_round_trip() {
        for size in [0, 511, OCTAL_END - 1, OCTAL_END, u64::MAX] {
            let header = Header::new("a", size);
            assert_eq!(header.size(), Some(size));
            assert_eq!(header.size[0] == BASE_256, size >= OCTAL_END);
        }
        assert_eq!(Header { size: *b"0000000000x\0", ..Header::new("a", 0) }.size(), None);
    }

    #[test]
    fn the_checksum_covers_every_byte() {
        let whole = Header::new("disk.ovf", 5);
        assert!(whole.is_valid() && whole.name_ends_in(".OVF") && !whole.name_ends_in("a long disk.ovf"));
        for at in 0..size_of::<Header>() {
            let mut bytes = whole.as_bytes().to_vec();
            bytes[at] ^= 1;
            let is_valid = Header::read_from_bytes(&bytes).unwrap().is_valid();
            // What ends the digits of the checksum may be a space or a zero, and is neither here.
            assert!(!is_valid, "byte {at}");
        }
    }
}
