//! Every UUID, GUID and serial number of a disk comes from here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// 32 bytes from which all identity of one disk is derived: same seed, same ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// The seed for some text or bytes that stand for the input.
    pub fn new(input: &[u8]) -> Self {
        Self(Sha256::digest(input).into())
    }

    /// 32 bytes of its own for each `purpose`.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(purpose.as_bytes());
        hasher.finalize().into()
    }

    /// A random-looking UUID (RFC 9562 version 4 layout), in the order it is written as text.
    pub fn uuid(&self, purpose: &str) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.derive(purpose)[..16]);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Uuid(bytes)
    }

    /// A 32-bit serial number (a FAT volume id).
    pub fn serial(&self, purpose: &str) -> u32 {
        let bytes = self.derive(purpose);
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

/// A UUID in text order (big endian).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// The UUID a constant spells; for compile-time constants only, so a wrong digit does not compile.
    pub const fn from_text(text: &str) -> Self {
        let text = text.as_bytes();
        assert!(text.len() == 36);
        let mut bytes = [0; 16];
        let (mut from, mut to) = (0, 0);
        while to < 16 {
            if text[from] == b'-' {
                from += 1;
            }
            bytes[to] = nibble(text[from]) << 4 | nibble(text[from + 1]);
            from += 2;
            to += 1;
        }
        Self(bytes)
    }

    /// The mixed-endian bytes GPT and UEFI store: the first three fields little endian.
    pub fn to_guid_bytes(self) -> [u8; 16] {
        let b = self.0;
        [b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]]
    }

    /// The UUID behind mixed-endian GPT bytes.
    pub fn from_guid_bytes(bytes: [u8; 16]) -> Self {
        Self(Self(bytes).to_guid_bytes())
    }
}

impl FromStr for Uuid {
    type Err = String;

    /// In either case, as it is shown.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_right = |(at, byte): (usize, u8)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        };
        let is_one = text.len() == 36 && text.bytes().enumerate().all(is_right);
        let number = u128::from_str_radix(&text.replace('-', ""), 16).ok().filter(|_| is_one);
        number.map(|number| Self(number.to_be_bytes())).ok_or_else(|| format!("{text:?} is no UUID"))
    }
}

impl TryFrom<String> for Uuid {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Uuid> for String {
    fn from(uuid: Uuid) -> Self {
        uuid.to_string()
    }
}

const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => panic!("not a hexadecimal digit"),
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The identity of a partition, shown as Linux shows it (`PARTUUID`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionId {
    /// Its own, in a GPT.
    Guid(Uuid),
    /// That of the disk and its number, in an MBR.
    Numbered {
        /// The signature of the disk.
        signature: u32,
        /// From 1 on.
        number: u32,
    },
}

impl From<Uuid> for PartitionId {
    fn from(guid: Uuid) -> Self {
        Self::Guid(guid)
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guid(guid) => guid.fmt(f),
            Self::Numbered { signature, number } => write!(f, "{signature:08x}-{number:02x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_guid_order_round_trip() {
        const ESP: Uuid = Uuid::from_text("C12A7328-F81F-11D2-BA4B-00A0C93EC93B");
        assert_eq!(ESP.to_string(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
        assert_eq!(ESP.to_guid_bytes()[..4], [0x28, 0x73, 0x2a, 0xc1]);
        assert_eq!(Uuid::from_guid_bytes(ESP.to_guid_bytes()), ESP);
    }

    #[test]
    fn what_is_shown_is_read_and_nothing_else() {
        let uuid = Seed::new(b"input").uuid("root");
        assert_eq!(uuid.to_string().parse(), Ok(uuid));
        assert_eq!(uuid.to_string().to_uppercase().parse(), Ok(uuid));
        for wrong in ["", "root", "c12a7328f81f11d2ba4b00a0c93ec93b", "c12a7328-f81f-11d2-ba4b-00a0c93ec93x"]
        {
            assert!(wrong.parse::<Uuid>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_purpose_has_its_own_id() {
        let seed = Seed::new(b"input");
        assert_eq!(seed.uuid("root"), seed.uuid("root"));
        assert_ne!(seed.uuid("root"), seed.uuid("esp"));
        assert_ne!(seed.uuid("root"), Seed::new(b"other").uuid("root"));
    }
}
