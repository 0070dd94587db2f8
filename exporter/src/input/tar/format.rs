//! Blocks of a tar archive: POSIX ustar (IEEE Std 1003.1-2024, pax, "ustar Interchange Format"), and what
//! GNU puts into it (GNU tar manual, "Basic Tar Format").

use std::mem::offset_of;

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Everything is padded to blocks of this size.
pub(super) const BLOCK: usize = 512;

/// A header block.
#[derive(Clone, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) name: [u8; 100],
    pub(super) mode: [u8; 8],
    pub(super) uid: [u8; 8],
    pub(super) gid: [u8; 8],
    pub(super) size: [u8; 12],
    pub(super) mtime: [u8; 12],
    pub(super) chksum: [u8; 8],
    pub(super) typeflag: u8,
    pub(super) linkname: [u8; 100],
    pub(super) magic: [u8; 6],
    pub(super) version: [u8; 2],
    pub(super) uname: [u8; 32],
    pub(super) gname: [u8; 32],
    pub(super) devmajor: [u8; 8],
    pub(super) devminor: [u8; 8],
    /// What follows the device numbers, one way in ustar and another in GNU's format.
    pub(super) tail: [u8; 167],
}

/// The tail of a ustar header.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct UstarTail {
    pub(super) prefix: [u8; 155],
    pub(super) pad: [u8; 12],
}

/// The tail of a header in GNU's old format.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct GnuTail {
    pub(super) atime: [u8; 12],
    pub(super) ctime: [u8; 12],
    pub(super) offset: [u8; 12],
    pub(super) longnames: [u8; 4],
    pub(super) unused: u8,
    pub(super) sp: [GnuSparse; 4],
    pub(super) isextended: u8,
    pub(super) realsize: [u8; 12],
    pub(super) pad: [u8; 17],
}

/// More pieces of a sparse file, in a block of their own.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct GnuSparseExtension {
    pub(super) sp: [GnuSparse; 21],
    pub(super) isextended: u8,
    pub(super) pad: [u8; 7],
}

/// One piece of a sparse file.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct GnuSparse {
    pub(super) offset: [u8; 12],
    pub(super) numbytes: [u8; 12],
}

const _: () = assert!(size_of::<Header>() == BLOCK);
const _: () = assert!(offset_of!(Header, chksum) == 148);
const _: () = assert!(offset_of!(Header, magic) == 257);
const _: () = assert!(offset_of!(Header, tail) == 345);
const _: () = assert!(size_of::<UstarTail>() == 167);
const _: () = assert!(size_of::<GnuTail>() == 167);
const _: () = assert!(345 + offset_of!(GnuTail, sp) == 386);
const _: () = assert!(345 + offset_of!(GnuTail, realsize) == 483);
const _: () = assert!(size_of::<GnuSparseExtension>() == BLOCK);

/// `magic` and `version` of GNU's old format.
const GNU_MAGIC: &[u8; 8] = b"ustar  \0";

impl Header {
    /// Whether the checksum is right. Some old programs added the bytes up as signed ones.
    pub(super) fn is_sealed(&self, block: &[u8; BLOCK]) -> bool {
        let (start, end) = (offset_of!(Self, chksum), offset_of!(Self, typeflag));
        let bytes = || block[..start].iter().chain(&[b' '; 8]).chain(&block[end..]);
        let unsigned: i64 = bytes().map(|&byte| i64::from(byte)).sum();
        let signed: i64 = bytes().map(|&byte| i64::from(byte as i8)).sum();
        number(&self.chksum).is_some_and(|sum| sum == unsigned || sum == signed)
    }

    /// The tail in GNU's old format, if it is of that.
    pub(super) fn gnu(&self) -> Option<&GnuTail> {
        let is_gnu = self.magic == GNU_MAGIC[..6] && self.version == GNU_MAGIC[6..];
        is_gnu.then(|| GnuTail::ref_from_bytes(&self.tail).expect("it has the size of the tail"))
    }

    /// The name with its prefix.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(&self.name);
        let is_ustar = self.magic == *b"ustar\0";
        let tail = UstarTail::ref_from_bytes(&self.tail).expect("it has the size of the tail");
        // Schilling's star keeps two times at the end of the prefix.
        let prefix = if tail.pad[8..] == *b"tar\0" { &tail.prefix[..131] } else { &tail.prefix[..] };
        match text(prefix) {
            prefix if is_ustar && !prefix.is_empty() => [prefix, name].join(&b'/'),
            _ => name.to_vec(),
        }
    }
}

/// The bytes of a field up to its NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// A number: octal digits between spaces or NULs, or with the top bit set the rest of the field as a
/// big-endian two's complement. An empty field is 0; `None` is no number, or one of more than 64 bits.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    match field {
        [first, rest @ ..] if first & 0x80 != 0 => {
            // Seven bits are left of the first byte, the highest of them the sign.
            let start = i128::from((first << 1) as i8 >> 1);
            let value = rest.iter().try_fold(start, |value, &byte| {
                value.checked_mul(256).map(|value| value + i128::from(byte))
            })?;
            i64::try_from(value).ok()
        }
        _ => {
            let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
            let start = field.iter().position(|byte| !is_padding(byte)).unwrap_or(field.len());
            let digits = field[start..].split(is_padding).next().unwrap_or_default();
            digits.iter().try_fold(0i64, |value, &digit| match digit {
                b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
                _ => None,
            })
        }
    }
}

/// A number that is not negative.
pub(super) fn unsigned(field: &[u8]) -> Option<u64> {
    number(field)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        for (field, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"77777777", Some(0o77777777)),
            (b"0000648\0", None),
            (b"-000001\0", None),
            (b"\x80\0\0\0\xff\xff\xff\xff", Some(0xffff_ffff)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(number(field), expected, "{field:x?}");
        }
    }
}
