//! Names, modes and times of a POSIX system in the system use area of directory records.
//!
//! Specifications: IEEE P1281, "System Use Sharing Protocol" (SUSP), and P1282, "Rock Ridge Interchange Protocol" (RRIP), both
//! in version 1.10, which Linux, GRUB and all others read.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::fs::iso9660::format::Both32;

/// SUSP 4.1: what every entry begins with.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    signature: [u8; 2],
    length: u8,
    version: u8,
}

/// SUSP 5.3: others follow; in the first record of the root.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Sp {
    header: Header,
    check: [u8; 2],
    bytes_skipped: u8,
}

/// SUSP 5.1: where more of them lie.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Ce {
    header: Header,
    block: Both32,
    offset: Both32,
    length: Both32,
}

/// SUSP 5.5: which protocol they are of; its name and two texts follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Er {
    header: Header,
    identifier_length: u8,
    descriptor_length: u8,
    source_length: u8,
    extension_version: u8,
}

/// RRIP 4.1.1: mode, links and owner.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Px {
    header: Header,
    mode: Both32,
    links: Both32,
    user: Both32,
    group: Both32,
}

/// RRIP 4.1.6: times, of which this is the last change.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Tf {
    header: Header,
    flags: u8,
    modified: [u8; 7],
}

/// RRIP 4.1.4: the name; it follows.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Nm {
    header: Header,
    flags: u8,
}

const _: () = assert!(size_of::<Sp>() == 7 && size_of::<Ce>() == 28 && size_of::<Er>() == 8);
const _: () = assert!(size_of::<Px>() == 36 && size_of::<Tf>() == 12 && size_of::<Nm>() == 5);

/// RRIP 4.3, word for word as it asks for it.
const IDENTIFIER: &str = "RRIP_1991A";
const DESCRIPTOR: &str =
    "THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS";
const SOURCE: &str = "PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME \
                      DESCRIPTOR FOR CONTACT INFORMATION.";

/// A directory that all may look into.
pub(super) const DIRECTORY: u32 = 0o040_555;
/// A file that all may read.
pub(super) const FILE: u32 = 0o100_444;

/// The entries of one record.
#[derive(Default)]
pub(super) struct SystemUse(Vec<u8>);

impl SystemUse {
    /// Of something with this mode, with so many names, that was changed then.
    pub(super) fn new(mode: u32, links: u32, modified: [u8; 7]) -> Self {
        Self::default().attributes(mode, links, modified)
    }

    /// Of the first record of the root: what is in the others is explained in `block`.
    pub(super) fn of_root(links: u32, modified: [u8; 7], block: u32) -> Self {
        let mut root = Self::default();
        root.push(&Sp { header: header(b"SP", size_of::<Sp>()), check: [0xbe, 0xef], bytes_skipped: 0 }, &[]);
        let (length, header) = (explanation().len() as u32, header(b"CE", size_of::<Ce>()));
        let mut root = root.attributes(DIRECTORY, links, modified);
        root.push(&Ce { header, block: block.into(), offset: 0.into(), length: length.into() }, &[]);
        root
    }

    fn attributes(mut self, mode: u32, links: u32, modified: [u8; 7]) -> Self {
        const MODIFY: u8 = 1 << 1;
        let (header_px, header_tf) = (header(b"PX", size_of::<Px>()), header(b"TF", size_of::<Tf>()));
        let [user, group] = [0.into(); 2];
        self.push(&Px { header: header_px, mode: mode.into(), links: links.into(), user, group }, &[]);
        self.push(&Tf { header: header_tf, flags: MODIFY, modified }, &[]);
        self
    }

    /// The same with a name.
    pub(super) fn named(mut self, name: &str) -> Self {
        let header = header(b"NM", size_of::<Nm>() + name.len());
        self.push(&Nm { header, flags: 0 }, &[name]);
        self
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn push(&mut self, entry: &(impl IntoBytes + Immutable), texts: &[&str]) {
        self.0.extend_from_slice(entry.as_bytes());
        texts.iter().for_each(|text| self.0.extend_from_slice(text.as_bytes()));
    }
}

/// The entry that says which protocol the others are of: too long for a record.
pub(super) fn explanation() -> Vec<u8> {
    let texts = [IDENTIFIER, DESCRIPTOR, SOURCE];
    let [identifier_length, descriptor_length, source_length] = texts.map(|text| text.len() as u8);
    let length = size_of::<Er>() + texts.map(str::len).iter().sum::<usize>();
    let header = header(b"ER", length);
    let mut explanation = SystemUse::default();
    let entry = Er { header, identifier_length, descriptor_length, source_length, extension_version: 1 };
    explanation.push(&entry, &texts);
    explanation.0
}

/// `length` is that of the whole entry, which is under 256 by the limits of names.
fn header(signature: &[u8; 2], length: usize) -> Header {
    Header { signature: *signature, length: length as u8, version: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_explanation_is_as_long_as_it_says() {
        let bytes = explanation();
        assert_eq!(bytes.len(), 237);
        assert_eq!(bytes[..8], [b'E', b'R', 237, 1, 10, 84, 135, 1]);
    }
}
