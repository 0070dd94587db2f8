//! Extended headers (IEEE Std 1003.1-2024, pax, "pax Extended Header"): records `LENGTH KEYWORD=VALUE\n`
//! that replace or add to fields of the next header.

use super::super::fault::Fault;
use super::acl;
use crate::tree::{Time, Xattrs};

/// What begins the keywords of ACLs.
const ACL: &[u8] = b"SCHILY.acl.";

/// What ext4 has of an attribute beside its name and value.
const XATTR_ENTRY: usize = 16;

/// What the records of an extended header say.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) mtime: Option<Time>,
    pub(super) device_major: Option<i64>,
    pub(super) device_minor: Option<i64>,
    pub(super) xattrs: Xattrs,
    /// Bytes of them, as ext4 would have them.
    pub(super) xattrs_len: usize,
    pub(super) sparse: Sparse,
}

/// The records `GNU.sparse.…` (GNU tar manual, "Storing Sparse Files").
#[derive(Clone, Debug, Default)]
pub(super) struct Sparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    /// The name, where the other one is made up for programs that don't know sparse files.
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    /// Of versions 0.0 and 0.1: offset and length of each piece in turns.
    pub(super) map: Vec<u64>,
}

impl Records {
    /// The same of a header for all members that follow. The pieces of a sparse file are those of one.
    pub(super) fn parse_global(&mut self, records: &[u8]) -> Result<(), Fault> {
        self.parse(records)?;
        self.sparse = Sparse::default();
        Ok(())
    }

    /// Add the records of a header to what is known.
    pub(super) fn parse(&mut self, mut records: &[u8]) -> Result<(), Fault> {
        let invalid = || Fault::corrupt("an extended header is no list of records");
        while !records.is_empty() {
            let space = records.iter().position(|&byte| byte == b' ').ok_or_else(invalid)?;
            let len = decimal(&records[..space]).and_then(|len| usize::try_from(len).ok());
            let record = len.and_then(|len| records.get(space + 1..len)).ok_or_else(invalid)?;
            let record = record.strip_suffix(b"\n").ok_or_else(invalid)?;
            records = &records[space + 2 + record.len()..];
            let equals = record.iter().position(|&byte| byte == b'=').ok_or_else(invalid)?;
            let (keyword, value) = (&record[..equals], &record[equals + 1..]);
            self.set(keyword, value).ok_or_else(|| {
                let shown = String::from_utf8_lossy(keyword).escape_debug().to_string();
                match keyword.starts_with(ACL) {
                    true => Fault::unsupported(format!(
                        "{shown} has names of users or groups, only numbers can be read"
                    )),
                    false => Fault::corrupt(format!("the record {shown} has no such value")),
                }
            })?;
        }
        Ok(())
    }

    /// `None` if the value is not one for this keyword. An empty value means that there is none.
    fn set(&mut self, keyword: &[u8], value: &[u8]) -> Option<()> {
        let text = (!value.is_empty()).then(|| value.to_vec());
        match keyword {
            b"path" => self.path = text,
            b"linkpath" => self.link_path = text,
            b"size" => self.size = optional(value, decimal)?,
            b"uid" => self.uid = optional(value, signed)?,
            b"gid" => self.gid = optional(value, signed)?,
            b"mtime" => self.mtime = optional(value, time)?,
            b"SCHILY.devmajor" => self.device_major = optional(value, signed)?,
            b"SCHILY.devminor" => self.device_minor = optional(value, signed)?,
            b"SCHILY.acl.access" => self.set_acl(b"system.posix_acl_access", value)?,
            b"SCHILY.acl.default" => self.set_acl(b"system.posix_acl_default", value)?,
            b"GNU.sparse.major" => self.sparse.major = Some(decimal(value)?),
            b"GNU.sparse.minor" => self.sparse.minor = Some(decimal(value)?),
            b"GNU.sparse.name" => self.sparse.name = text,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.real_size = Some(decimal(value)?),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse.map.push(decimal(value)?),
            b"GNU.sparse.map" if !value.is_empty() => {
                self.sparse.map =
                    value.split(|&byte| byte == b',').map(decimal).collect::<Option<Vec<u64>>>()?;
            }
            _ => {
                if let Some(name) = keyword.strip_prefix(b"SCHILY.xattr.")
                    && !name.is_empty()
                {
                    self.set_xattr(&decoded(name), value.into());
                }
            }
        }
        Some(())
    }

    fn set_xattr(&mut self, name: &[u8], value: Box<[u8]>) {
        let len = |value: &[u8]| XATTR_ENTRY + name.len() + value.len();
        self.xattrs_len += len(&value);
        if let Some(old) = self.xattrs.insert(name.into(), value) {
            self.xattrs_len -= len(&old);
        }
    }

    fn set_acl(&mut self, xattr: &[u8], value: &[u8]) -> Option<()> {
        let encoded = acl::encode(value)?;
        if !encoded.is_empty() {
            self.set_xattr(xattr, encoded.into());
        }
        Some(())
    }
}

/// The name of an attribute out of a keyword, in which GNU tar writes `=` as `%3D` and `%` as `%25`.
fn decoded(mut name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    while let Some((&first, after)) = name.split_first() {
        let (byte, rest) = match name {
            [b'%', b'2', b'5', rest @ ..] => (b'%', rest),
            [b'%', b'3', b'D', rest @ ..] => (b'=', rest),
            _ => (first, after),
        };
        bytes.push(byte);
        name = rest;
    }
    bytes
}

fn optional<T>(value: &[u8], parse: impl Fn(&[u8]) -> Option<T>) -> Option<Option<T>> {
    if value.is_empty() { Some(None) } else { parse(value).map(Some) }
}

/// Decimal digits, and nothing else.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

fn signed(value: &[u8]) -> Option<i64> {
    match value.strip_prefix(b"-") {
        Some(digits) => decimal(digits)?.try_into().ok().map(|value: i64| -value),
        None => decimal(value)?.try_into().ok(),
    }
}

/// Seconds with a fraction, which is cut to nanoseconds, downwards also before 1970.
fn time(value: &[u8]) -> Option<Time> {
    let (is_negative, value) = match value.strip_prefix(b"-") {
        Some(value) => (true, value),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |&byte| byte == b'.');
    let whole: i64 = decimal(parts.next()?)?.try_into().ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanoseconds = (0..9)
        .fold(0, |sum, place| sum * 10 + fraction.get(place).map_or(0, |digit| u32::from(digit - b'0')));
    let is_cut = fraction.iter().skip(9).any(|&digit| digit != b'0');
    let (seconds, nanoseconds) = match (is_negative, nanoseconds + u32::from(is_negative && is_cut)) {
        (false, nanoseconds) => (whole, nanoseconds),
        (true, 0) => (-whole, 0),
        (true, nanoseconds) => (-whole - 1, 1_000_000_000 - nanoseconds),
    };
    Some(Time { seconds, nanoseconds })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A record with its length in front, which counts itself.
    pub(in super::super) fn record(keyword: &str, value: &[u8]) -> Vec<u8> {
        let rest = [b" ", keyword.as_bytes(), b"=", value, b"\n"].concat();
        let len = (1..).find(|len: &usize| len.to_string().len() + rest.len() == *len).unwrap();
        [len.to_string().into_bytes(), rest].concat()
    }

    #[test]
    fn values_may_hold_any_byte() {
        let mut records = Records::default();
        let value = record("SCHILY.xattr.user.a", b"\n12 path=evil\n");
        records.parse(&[record("path", b"\xff\n\n"), value].concat()).unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"\xff\n\n"[..]));
        assert_eq!(*records.xattrs[&b"user.a"[..]], *b"\n12 path=evil\n");
    }

    #[test]
    fn names_of_attributes_are_those_that_gnu_tar_writes() {
        for (written, name) in [
            ("user.a%3Db", "user.a=b"),
            ("user.a%253Db", "user.a%3Db"),
            ("user.100%25", "user.100%"),
            ("user.%3d%2%", "user.%3d%2%"),
        ] {
            let mut records = Records::default();
            records.parse(&record(&format!("SCHILY.xattr.{written}"), b"v")).unwrap();
            assert_eq!(*records.xattrs[name.as_bytes()], *b"v", "{written}");
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for records in
            ["x", "5 a=", "6 a=b", "3 a\n", "9 size=x\n", "99 a=b\n", "0 a=b\n", "6  a=b\n", "5 ab\n"]
        {
            assert!(Records::default().parse(records.as_bytes()).is_err(), "{records}");
        }
        Records::default().parse(b"6 a=b\n").unwrap();
    }

    #[test]
    fn an_empty_value_takes_a_value_away() {
        let mut records = Records::default();
        records.parse(b"9 uid=12\n").unwrap();
        records.parse(b"7 uid=\n").unwrap();
        assert_eq!(records.uid, None);
    }

    #[test]
    fn times_are_cut_downwards() {
        for (text, seconds, nanoseconds) in [
            ("1.5", 1, 500_000_000),
            ("1350244992.023960108", 1_350_244_992, 23_960_108),
            ("-1.5", -2, 500_000_000),
            ("-2", -2, 0),
            ("-0.0000000001", -1, 999_999_999),
            ("1.9999999999", 1, 999_999_999),
            ("7.", 7, 0),
        ] {
            assert_eq!(time(text.as_bytes()), Some(Time { seconds, nanoseconds }), "{text}");
        }
        for text in ["", ".5", "1.5.5", "1e5", "+1", "99999999999999999999"] {
            assert_eq!(time(text.as_bytes()), None, "{text}");
        }
    }
}
