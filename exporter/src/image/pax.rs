//! Members of a tar in POSIX's pax format: headers, and in front of them extended ones for what those have no room for.
//!
//! Extensions are those that container engines read: `SCHILY.xattr.NAME` for extended attributes, POSIX ACLs among them, and
//! `GNU.sparse.…` for files with holes. Sources: IEEE Std 1003.1-2024, pax; GNU tar manual, "Storing Sparse Files".

use tar::{EntryType, Header};

use crate::error::{Error, Result, show_path};
use crate::tree::{Device, Meta, Time};

/// What members are padded to.
pub(crate) const RECORD: u64 = size_of::<Header>() as u64;
/// What ends an archive.
pub(crate) const END: [u8; 2 * RECORD as usize] = [0; 2 * RECORD as usize];
/// The largest owner in the seven octal digits of a header.
const OWNER_MAX: u64 = 0o777_7777;
/// The largest size, and the latest time, in eleven of them.
const NUMBER_MAX: u64 = 0o777_7777_7777;

/// What a member is.
#[derive(Clone, Copy)]
pub(crate) enum MemberKind<'a> {
    Directory,
    /// A regular file of so many bytes.
    File(u64),
    /// One with holes: so many bytes, and how many the member has, the map of the pieces among them.
    Sparse {
        len: u64,
        stored: u64,
    },
    Symlink(&'a [u8]),
    /// Another name of what has come under this one.
    Link(&'a [u8]),
    Fifo,
    CharDevice(Device),
    BlockDevice(Device),
}

impl MemberKind<'_> {
    fn entry_type(self) -> EntryType {
        match self {
            Self::Directory => EntryType::Directory,
            Self::File(_) | Self::Sparse { .. } => EntryType::Regular,
            Self::Symlink(_) => EntryType::Symlink,
            Self::Link(_) => EntryType::Link,
            Self::Fifo => EntryType::Fifo,
            Self::CharDevice(_) => EntryType::Char,
            Self::BlockDevice(_) => EntryType::Block,
        }
    }

    /// Bytes that follow the header.
    fn size(self) -> u64 {
        match self {
            Self::File(len) => len,
            Self::Sparse { stored, .. } => stored,
            _ => 0,
        }
    }

    fn target(&self) -> &[u8] {
        match self {
            Self::Symlink(target) | Self::Link(target) => target,
            _ => b"",
        }
    }
}

/// Zeroes up to the next record.
pub(crate) fn padding(size: u64) -> &'static [u8] {
    let len = size.next_multiple_of(RECORD) - size;
    END.get(..len as usize).unwrap_or_default()
}

/// The header of a member, behind an extended one for what it has no room for.
///
/// # Errors
/// For the number of a device that tar has no digits for.
pub(crate) fn header(path: &[u8], meta: &Meta, kind: MemberKind<'_>) -> Result<Vec<u8>> {
    let mut records = Records::default();
    let mut header = Header::new_ustar();
    let old = header.as_old_mut();
    match kind {
        MemberKind::Sparse { len, .. } => {
            // Who does not know of holes finds what it has under another name.
            let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
            records.text("path", &[b"GNUSparseFile.0/", name].concat(), &mut old.name);
            records.put(b"GNU.sparse.major", b"1");
            records.put(b"GNU.sparse.minor", b"0");
            records.put(b"GNU.sparse.name", path);
            records.put(b"GNU.sparse.realsize", len.to_string().as_bytes());
        }
        _ => records.text("path", path, &mut old.name),
    }
    records.text("linkpath", kind.target(), &mut old.linkname);
    header.set_uid(records.number("uid", meta.uid.into(), OWNER_MAX));
    header.set_gid(records.number("gid", meta.gid.into(), OWNER_MAX));
    header.set_size(records.number("size", kind.size(), NUMBER_MAX));
    header.set_mtime(records.time(meta.mtime));
    header.set_mode(meta.permissions.into());
    header.set_entry_type(kind.entry_type());
    if let MemberKind::CharDevice(Device { major, minor })
    | MemberKind::BlockDevice(Device { major, minor }) = kind
    {
        let set = header.set_device_major(major).and_then(|()| header.set_device_minor(minor));
        set.map_err(|error| Error::io(show_path(path), "is a device with too large a number", error))?;
    }
    header.set_cksum();
    // Other names share them.
    if !matches!(kind, MemberKind::Link(_)) {
        for (name, value) in &meta.xattrs {
            records.put(&[b"SCHILY.xattr.", &encoded(name)[..]].concat(), value);
        }
    }
    let mut bytes = records.finish();
    bytes.extend(header.as_bytes());
    Ok(bytes)
}

/// The name of an attribute in a keyword, which ends at its first `=`: as GNU tar writes it (its `xattr_encode_keyword`).
fn encoded(name: &[u8]) -> Vec<u8> {
    let encode = |byte: &u8| match byte {
        b'%' => b"%25".to_vec(),
        b'=' => b"%3D".to_vec(),
        &byte => vec![byte],
    };
    name.iter().flat_map(encode).collect()
}

/// The records of an extended header: `LENGTH KEYWORD=VALUE\n`.
#[derive(Default)]
struct Records(Vec<u8>);

impl Records {
    fn put(&mut self, keyword: &[u8], value: &[u8]) {
        // The length counts its own digits.
        let rest = keyword.len() + value.len() + 3;
        let mut len = rest + 1;
        while len != rest + len.to_string().len() {
            len = rest + len.to_string().len();
        }
        self.0.extend(format!("{len} ").bytes());
        self.0.extend([keyword, b"=", value, b"\n"].concat());
    }

    /// A name, in the field of the header if it has room for it.
    fn text(&mut self, keyword: &str, text: &[u8], field: &mut [u8; 100]) {
        let len = text.len().min(field.len());
        field[..len].copy_from_slice(&text[..len]);
        if text.len() > field.len() {
            self.put(keyword.as_bytes(), text);
        }
    }

    /// What to set in the header for a number that has digits enough there up to `max`.
    fn number(&mut self, keyword: &str, number: u64, max: u64) -> u64 {
        if number <= max {
            return number;
        }
        self.put(keyword.as_bytes(), number.to_string().as_bytes());
        0
    }

    /// The same for a time, which there has no fractions and no sign.
    fn time(&mut self, time: Time) -> u64 {
        let seconds = u64::try_from(time.seconds).ok().filter(|&seconds| seconds <= NUMBER_MAX);
        if time.nanoseconds != 0 || seconds.is_none() {
            self.put(b"mtime", decimal(time).as_bytes());
        }
        seconds.unwrap_or(0)
    }

    /// The extended header, if it is needed.
    fn finish(self) -> Vec<u8> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let mut header = Header::new_ustar();
        let name = b"./PaxHeaders/0";
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(self.0.len() as u64);
        header.set_entry_type(EntryType::XHeader);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(self.0);
        bytes.resize(bytes.len().next_multiple_of(RECORD as usize), 0);
        bytes
    }
}

/// Seconds with a fraction. Before 1970 the nanoseconds count from the second below.
fn decimal(time: Time) -> String {
    match (time.seconds, time.nanoseconds) {
        (seconds, 0) => seconds.to_string(),
        (seconds @ ..0, nanoseconds) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
        (seconds, nanoseconds) => format!("{seconds}.{nanoseconds:09}"),
    }
}
