//! Members of an archive, as bytes: the header of POSIX.1-2024 (pax), with an extended header in front of it for what has
//! no room there. The long names of GNU's older format are read, too, since GNU tar writes them.

use std::io::{self, Read, Write};

use tar::{EntryType, Header};

use super::{Failure, Kind, Member, PATH_MAX, RECORDS_MAX, damaged};

/// Bytes of a header, and what contents are padded to.
const RECORD: usize = size_of::<Header>();
/// Where a header has its checksum.
const CHECKSUM: std::ops::Range<usize> = 148..156;
/// Bytes of the name in a header, and of where a link leads.
const NAME_LEN: usize = 100;
/// Numbers up to here have room in a header, in octal digits: lengths, and ids of users and devices.
const LEN_MAX: u64 = 0o77_777_777_777;
const ID_MAX: u32 = 0o7_777_777;
/// Numbers of devices have 12 and 20 bits (`MINORBITS` of linux/kdev_t.h).
const MAJOR_MAX: u32 = 0xfff;
const MINOR_MAX: u32 = 0xf_ffff;
/// Larger files are of no file system.
const FILE_MAX: u64 = 1 << 60;
/// What extended attributes are called in front of their own names.
const XATTR: &[u8] = b"SCHILY.xattr.";

/// Write all of a member but its content.
pub(super) fn write(out: &mut dyn Write, member: &Member) -> io::Result<()> {
    let records = records(member);
    if !records.is_empty() {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        name_into(&mut header.as_old_mut().name, b"pax");
        header.set_mode(0o644);
        header.set_size(records.len() as u64);
        header.set_cksum();
        out.write_all(header.as_bytes())?;
        out.write_all(&records)?;
        pad(out, records.len() as u64)?;
    }
    out.write_all(header(member)?.as_bytes())
}

/// Zeros up to the next header, behind a content of so many bytes.
pub(super) fn pad(out: &mut dyn Write, len: u64) -> io::Result<()> {
    let zeros = [0; RECORD];
    out.write_all(zeros.get(..padding(len)).unwrap_or_default())
}

/// The end of an archive.
pub(super) fn end(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&[0; 2 * RECORD])?;
    out.flush()
}

fn padding(len: u64) -> usize {
    (len.next_multiple_of(RECORD as u64) - len) as usize
}

fn header(member: &Member) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_mode(member.mode);
    header.set_uid(member.uid.min(ID_MAX).into());
    header.set_gid(member.gid.min(ID_MAX).into());
    header.set_mtime(u64::try_from(member.mtime.0).unwrap_or_default().min(LEN_MAX));
    header.set_size(0);
    let old = header.as_old_mut();
    name_into(&mut old.name, &member.path);
    if let Kind::Symlink(to) | Kind::Hardlink(to) = &member.kind {
        name_into(&mut old.linkname, to);
    }
    let kind = match member.kind {
        Kind::File(len) => {
            header.set_size(len.min(LEN_MAX));
            EntryType::Regular
        }
        Kind::Folder => EntryType::Directory,
        Kind::Symlink(_) => EntryType::Symlink,
        Kind::Hardlink(_) => EntryType::Link,
        Kind::Fifo => EntryType::Fifo,
        Kind::Device(is_block, major, minor) => {
            header.set_device_major(major)?;
            header.set_device_minor(minor)?;
            if is_block { EntryType::Block } else { EntryType::Char }
        }
    };
    header.set_entry_type(kind);
    header.set_cksum();
    Ok(header)
}

/// As much of a name as has room; all of it is in a record if that is less.
fn name_into(field: &mut [u8; NAME_LEN], name: &[u8]) {
    field.iter_mut().zip(name).for_each(|(byte, new)| *byte = *new);
}

/// What the header has no room for.
fn records(member: &Member) -> Vec<u8> {
    let mut records = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| record(&mut records, key, value);
    let target = match &member.kind {
        Kind::Symlink(to) | Kind::Hardlink(to) => to.as_slice(),
        _ => b"",
    };
    let names = [(&b"path"[..], &*member.path), (b"linkpath", target)];
    if names.iter().any(|(_, name)| std::str::from_utf8(name).is_err()) {
        add(b"hdrcharset", b"BINARY");
    }
    for (key, name) in names {
        // A name in ASCII is the same for every reader.
        if name.len() > NAME_LEN || !name.is_ascii() {
            add(key, name);
        }
    }
    if let Kind::File(len @ LEN_MAX..) = member.kind {
        add(b"size", len.to_string().as_bytes());
    }
    for (key, id) in [(b"uid", member.uid), (b"gid", member.gid)] {
        if id > ID_MAX {
            add(key, id.to_string().as_bytes());
        }
    }
    let (seconds, nanoseconds) = member.mtime;
    if nanoseconds != 0 || seconds < 0 || seconds as u64 > LEN_MAX {
        add(b"mtime", time(seconds, nanoseconds).as_bytes());
    }
    for (name, value) in &member.xattrs {
        add(&[XATTR, &escaped(name)].concat(), value);
    }
    records
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = 1 + key.len() + 1 + value.len() + 1;
    let mut len = rest;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    records.extend(len.to_string().bytes());
    for part in [b" ", key, b"=", value, b"\n"] {
        records.extend(part);
    }
}

/// A name within a key, which ends at the first `=`: written as GNU tar does.
fn escaped(name: &[u8]) -> Vec<u8> {
    let escape = |byte: &u8| match byte {
        b'%' => b"%25".to_vec(),
        b'=' => b"%3D".to_vec(),
        byte => vec![*byte],
    };
    name.iter().flat_map(escape).collect()
}

fn unescaped(mut key: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    while let Some((first, rest)) = key.split_first() {
        let (byte, rest) = match key {
            [b'%', b'2', b'5', rest @ ..] => (b'%', rest),
            [b'%', b'3', b'D', rest @ ..] => (b'=', rest),
            _ => (*first, rest),
        };
        name.push(byte);
        key = rest;
    }
    name
}

/// A decimal number; before 1970 its fraction counts towards zero.
fn time(seconds: i64, nanoseconds: u32) -> String {
    match (seconds < 0, nanoseconds) {
        (true, 1..) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
        _ => format!("{seconds}.{nanoseconds:09}"),
    }
}

fn parse_time(text: &str) -> Option<(i64, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_negative = whole.starts_with('-');
    let seconds: i64 = whole.parse().ok()?;
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit()).then_some(fraction)?;
    let nanoseconds: u32 = format!("{digits:0<9}").get(..9)?.parse().ok()?;
    match (is_negative, nanoseconds) {
        (true, 1..) => Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds)),
        _ => Some((seconds, nanoseconds)),
    }
}

/// The member that comes next; `None` at the end of the archive. Whoever asks for it has read the content of the one
/// before, and what pads it.
///
/// # Errors
/// If it is damaged, or the archive ends before its end.
pub(super) fn read(from: &mut dyn Read) -> Result<Option<Member>, Failure> {
    let (mut more, mut left) = (Records::default(), RECORDS_MAX);
    loop {
        let Some(header) = read_header(from)? else {
            return Ok(None);
        };
        let len = header.entry_size().map_err(|_| damaged("a member has a length that is no number"))?;
        let kind = header.entry_type();
        use EntryType::{GNULongLink, GNULongName, XGlobalHeader, XHeader};
        if matches!(kind, XHeader | GNULongName | GNULongLink | XGlobalHeader) {
            // All of them together, and no endless row of empty ones.
            left = left
                .checked_sub(len.max(1))
                .ok_or_else(|| damaged("a member has too many attributes, or too long a name"))?;
        }
        match kind {
            EntryType::XHeader => more.take(&read_records(from, len)?)?,
            EntryType::GNULongName => more.path = Some(until_zero(read_records(from, len)?)),
            EntryType::GNULongLink => more.link = Some(until_zero(read_records(from, len)?)),
            // Says something of the archive, which no program needs.
            EntryType::XGlobalHeader => drop(read_records(from, len)?),
            kind => return member(&header, kind, len, more).map(Some),
        }
    }
}

/// Read a whole archive. Each member comes back as it is written.
#[cfg(feature = "fuzz")]
pub(crate) fn members(from: &mut dyn Read) -> Result<(), Failure> {
    while let Some(member) = read(from)? {
        let mut bytes = Vec::new();
        write(&mut bytes, &member)?;
        assert_eq!(read(&mut &bytes[..])?.as_ref(), Some(&member), "it comes back");
        if let Kind::File(len) = member.kind {
            if io::copy(&mut from.take(len), &mut io::sink())? < len {
                return Err(damaged("it ends within a file"));
            }
            skip_padding(from, len)?;
        }
    }
    Ok(())
}

/// Read what pads a content of so many bytes.
pub(super) fn skip_padding(from: &mut dyn Read, len: u64) -> io::Result<()> {
    let mut bytes = [0; RECORD];
    from.read_exact(bytes.get_mut(..padding(len)).unwrap_or_default())
}

fn read_header(from: &mut dyn Read) -> Result<Option<Header>, Failure> {
    let mut header = Header::new_old();
    from.read_exact(header.as_mut_bytes()).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it ends before its end"),
        _ => Failure::Stream(error),
    })?;
    let bytes = header.as_bytes();
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let counted = |(at, byte): (usize, &u8)| u32::from(if CHECKSUM.contains(&at) { b' ' } else { *byte });
    let sum: u32 = bytes.iter().enumerate().map(counted).sum();
    match header.cksum() {
        Ok(expected) if expected == sum => Ok(Some(header)),
        _ => Err(damaged("it is none, or damaged")),
    }
}

fn read_records(from: &mut dyn Read, len: u64) -> Result<Vec<u8>, Failure> {
    if len > RECORDS_MAX {
        return Err(damaged("a member has too many attributes, or too long a name"));
    }
    let mut bytes = vec![0; len as usize];
    from.read_exact(&mut bytes)?;
    skip_padding(from, len)?;
    Ok(bytes)
}

fn until_zero(mut bytes: Vec<u8>) -> Vec<u8> {
    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(len);
    bytes
}

/// What stands in front of a header, and counts more.
#[derive(Default)]
struct Records {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    len: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<(i64, u32)>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Records {
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let (key, value, rest) = split(bytes).ok_or_else(|| damaged("an extended header is damaged"))?;
            bytes = rest;
            match key {
                b"path" => self.path = Some(value.to_owned()),
                b"linkpath" => self.link = Some(value.to_owned()),
                b"size" => self.len = Some(number(value)?),
                b"uid" => self.uid = Some(number(value)?),
                b"gid" => self.gid = Some(number(value)?),
                b"mtime" => {
                    let time = std::str::from_utf8(value).ok().and_then(parse_time);
                    self.mtime = Some(time.ok_or_else(|| damaged("a time is none"))?);
                }
                _ => {
                    let name = key.strip_prefix(XATTR).map(unescaped).filter(|name| !name.contains(&0));
                    self.xattrs.extend(name.map(|name| (name, value.to_owned())));
                }
            }
        }
        Ok(())
    }
}

/// The key and the value of the first record, and all behind it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let len: usize = std::str::from_utf8(bytes.get(..space)?).ok()?.parse().ok()?;
    let record = bytes.get(..len)?.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((record.get(..equals)?, record.get(equals + 1..)?, bytes.get(len..)?))
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Result<T, Failure> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| damaged("a number is none"))
}

/// A field that its writer has left blank is zero, as tar(1) reads it.
fn blank_or(field: &[u8], number: io::Result<u64>) -> Result<u64, Failure> {
    match field.iter().all(|byte| matches!(byte, 0 | b' ')) {
        true => Ok(0),
        false => number.map_err(|_| damaged("a number is none")),
    }
}

fn member(header: &Header, kind: EntryType, len: u64, more: Records) -> Result<Member, Failure> {
    let wrong = |_: io::Error| damaged("a number is none");
    let fields = header.as_old();
    let id = |field: &[u8], id: io::Result<u64>| {
        u32::try_from(blank_or(field, id)?).map_err(|_| damaged("there are no such users"))
    };
    let path = more.path.unwrap_or_else(|| header.path_bytes().into_owned());
    let link = match more.link {
        Some(link) => link,
        None => header.link_name_bytes().unwrap_or_default().into_owned(),
    };
    if path.contains(&0) || link.contains(&0) || path.len().max(link.len()) >= PATH_MAX {
        return Err(damaged("a name is too long, or has a zero"));
    }
    let device = |is_block| -> Result<Kind, Failure> {
        let major = header.device_major().map_err(wrong)?.unwrap_or_default();
        let minor = header.device_minor().map_err(wrong)?.unwrap_or_default();
        match major <= MAJOR_MAX && minor <= MINOR_MAX {
            true => Ok(Kind::Device(is_block, major, minor)),
            false => Err(damaged("there are no such devices")),
        }
    };
    let len = more.len.unwrap_or(len);
    let kind = match kind {
        EntryType::Regular | EntryType::Continuous if len <= FILE_MAX => Kind::File(len),
        EntryType::Directory => Kind::Folder,
        EntryType::Symlink => Kind::Symlink(link),
        EntryType::Link => Kind::Hardlink(link),
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char => device(false)?,
        EntryType::Block => device(true)?,
        _ => return Err(damaged("a member is of a type that is not known")),
    };
    let uid = more.uid.map_or_else(|| id(&fields.uid, header.uid()), Ok)?;
    let gid = more.gid.map_or_else(|| id(&fields.gid, header.gid()), Ok)?;
    let seconds = blank_or(&fields.mtime, header.mtime())?;
    let seconds = i64::try_from(seconds).map_err(|_| damaged("a time is none"))?;
    let mode = header.mode().map_err(wrong)? & 0o7777;
    Ok(Member { path, kind, mode, uid, gid, mtime: more.mtime.unwrap_or((seconds, 0)), xattrs: more.xattrs })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> Vec<Member> {
        let long = |byte: u8| vec![byte; 3000];
        let xattrs = vec![(b"user.a".to_vec(), b"1\n\0\xff=".to_vec()), (b"user.%=%3D".to_vec(), vec![])];
        let plain = Member { path: b"a".to_vec(), mode: 0o755, ..Member::default() };
        vec![
            plain.clone(),
            Member { path: b"odd \n\xff".to_vec(), kind: Kind::File(0), mode: 0o4755, ..plain.clone() },
            Member { path: long(b'x'), kind: Kind::Symlink(long(b'y')), ..plain.clone() },
            Member { kind: Kind::Hardlink(b"\xc3\xa4".to_vec()), xattrs, ..plain.clone() },
            Member {
                kind: Kind::Device(true, 259, 1 << 19),
                uid: u32::MAX - 1,
                gid: ID_MAX + 1,
                ..plain.clone()
            },
            Member { kind: Kind::Device(false, 1, 3), mtime: (1_700_000_000, 999_999_999), ..plain.clone() },
            Member { kind: Kind::Fifo, mtime: (-2, 5), ..plain.clone() },
            Member { mtime: (i64::MAX, 0), ..plain },
        ]
    }

    #[test]
    fn members_come_back_as_they_were() {
        for member in members() {
            let mut bytes = Vec::new();
            write(&mut bytes, &member).unwrap();
            assert_eq!(bytes.len() % RECORD, 0);
            end(&mut bytes).unwrap();
            let mut rest = &bytes[..];
            assert_eq!(read(&mut rest).unwrap().unwrap(), member);
            assert_eq!(read(&mut rest).unwrap(), None);
        }
        let large = Member { kind: Kind::File(LEN_MAX + 1), path: b"a".to_vec(), ..Member::default() };
        let mut bytes = Vec::new();
        write(&mut bytes, &large).unwrap();
        assert_eq!(read(&mut &bytes[..]).unwrap().unwrap(), large);
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_refused() {
        for member in members() {
            let mut bytes = Vec::new();
            write(&mut bytes, &member).unwrap();
            for len in (0..bytes.len()).step_by(101) {
                assert!(read(&mut &bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
            }
            let at = bytes.len() - RECORD;
            for byte in 0..500 {
                let mut damaged = bytes.clone();
                damaged[at + byte] ^= 4;
                assert!(read(&mut &damaged[..]).is_err(), "byte {byte}");
            }
        }
    }

    #[test]
    fn a_field_left_blank_is_zero_and_one_that_is_no_number_is_refused() {
        let mut header = Header::new_ustar();
        header.set_mode(0o600);
        header.set_size(0);
        header.set_entry_type(EntryType::Regular);
        header.set_cksum();
        let blank = read(&mut header.as_bytes().chain(io::repeat(0))).unwrap().unwrap();
        assert_eq!((blank.uid, blank.gid, blank.mtime, blank.mode), (0, 0, (0, 0), 0o600));
        header.as_old_mut().uid = *b"     -1\0";
        header.set_cksum();
        assert!(read(&mut header.as_bytes().chain(io::repeat(0))).is_err());
    }

    #[test]
    fn records_are_not_believed() {
        for bad in [
            &b"5 a=b\n"[..],
            b"99999999999999999999 a=b\n",
            b"7 a=b\n",
            b"6 abc\n",
            b"a=b\n",
            b"12 uid=-1\n\n\n",
            b"14 mtime=1.x\n\n",
            b"0 ",
            b"3 \n",
        ] {
            assert!(Records::default().take(bad).is_err(), "{}", bad.escape_ascii());
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_size(RECORDS_MAX + 1);
        header.set_cksum();
        assert!(read(&mut header.as_bytes().chain(io::repeat(0))).is_err(), "memory is not taken for it");
    }
}
