//! Messages of DHCP: a header as BOOTP has it, and options.
//!
//! ```text
//! header (236 bytes) │ magic │ code │ length │ value │ … │ 255
//! ```

use std::net::Ipv4Addr;

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The header (RFC 2131, figure 1) and the magic cookie of the options.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// [`REQUEST`] or [`REPLY`].
    pub op: u8,
    /// [`ETHERNET`], of all that are known here.
    pub htype: u8,
    /// How many bytes of `chaddr` count.
    pub hlen: u8,
    /// How many relays it has come through.
    pub hops: u8,
    /// A number that the answer repeats.
    pub xid: U32,
    /// Since the client began, in seconds.
    pub secs: U16,
    /// [`BROADCAST`], or 0.
    pub flags: U16,
    /// The address that the client has.
    pub ciaddr: [u8; 4],
    /// The address that it is given.
    pub yiaddr: [u8; 4],
    /// The server that it boots from.
    pub siaddr: [u8; 4],
    /// The relay that it has come through.
    pub giaddr: [u8; 4],
    /// The address of the client's hardware.
    pub chaddr: [u8; 16],
    /// The name of the server that it boots from, ended by a zero.
    pub sname: [u8; 64],
    /// The file that it boots, ended by a zero.
    pub file: [u8; 128],
    /// [`MAGIC`].
    pub magic: U32,
}

const _: () = assert!(size_of::<Header>() == 240);

impl Header {
    /// The header of a message and what stands behind it; `None` if that is no DHCP.
    pub fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        Self::read_from_prefix(bytes).ok().filter(|(header, _)| header.magic == MAGIC)
    }

    /// One without anything but what it is.
    pub fn new(op: u8) -> Self {
        Self { op, htype: ETHERNET, hlen: 6, magic: MAGIC.into(), ..Self::new_zeroed() }
    }
}

/// `op` of what a client sends.
pub const REQUEST: u8 = 1;
/// `op` of what a server sends.
pub const REPLY: u8 = 2;
/// `htype` of addresses of six bytes.
pub const ETHERNET: u8 = 1;
/// What stands before the options (RFC 2131, section 3).
pub const MAGIC: u32 = 0x6382_5363;
/// The answer should be a broadcast: there is no address yet that it could be sent to.
pub const BROADCAST: u16 = 0x8000;
/// Some relays and clients drop what is shorter than a message of BOOTP.
pub const SHORTEST: usize = 300;

/// Codes of options: RFC 2132 where nothing else is said.
#[allow(missing_docs, reason = "they are called as the RFCs call them")]
pub mod option {
    pub const PAD: u8 = 0;
    pub const SUBNET_MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const NAME_SERVERS: u8 = 6;
    pub const HOST_NAME: u8 = 12;
    pub const DOMAIN_NAME: u8 = 15;
    pub const INTERFACE_MTU: u8 = 26;
    pub const VENDOR: u8 = 43;
    pub const REQUESTED_ADDRESS: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const MESSAGE_TYPE: u8 = 53;
    pub const SERVER_ID: u8 = 54;
    pub const PARAMETER_LIST: u8 = 55;
    pub const RENEWAL_TIME: u8 = 58;
    pub const REBINDING_TIME: u8 = 59;
    pub const VENDOR_CLASS: u8 = 60;
    pub const CLIENT_ID: u8 = 61;
    pub const TFTP_SERVER: u8 = 66;
    pub const BOOT_FILE: u8 = 67;
    /// RFC 3004.
    pub const USER_CLASS: u8 = 77;
    /// RFC 4578.
    pub const CLIENT_SYSTEM: u8 = 93;
    /// RFC 4578.
    pub const CLIENT_MACHINE: u8 = 97;
    /// RFC 3442.
    pub const CLASSLESS_ROUTES: u8 = 121;
    /// Etherboot's, and so iPXE's.
    pub const ETHERBOOT: u8 = 175;
    pub const END: u8 = 255;
}

/// What a message is (RFC 2132, section 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "they are called as the RFC calls them")]
pub enum MessageType {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Decline = 4,
    Ack = 5,
    Nak = 6,
    Release = 7,
    Inform = 8,
}

impl MessageType {
    /// That of the value of an option.
    pub fn read(value: &[u8]) -> Option<Self> {
        Some(match value {
            [1] => Self::Discover,
            [2] => Self::Offer,
            [3] => Self::Request,
            [4] => Self::Decline,
            [5] => Self::Ack,
            [6] => Self::Nak,
            [7] => Self::Release,
            [8] => Self::Inform,
            _ => return None,
        })
    }
}

/// The options of a message, by their codes.
#[derive(Debug)]
pub struct Options(Vec<(u8, Vec<u8>)>);

impl Options {
    /// Of the bytes behind the magic cookie; `None` if one is cut off. An option that comes again goes on (RFC 3396).
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut options: Vec<(u8, Vec<u8>)> = Vec::new();
        loop {
            bytes = match bytes {
                [] | [option::END, ..] => return Some(Self(options)),
                [option::PAD, rest @ ..] => rest,
                [code, len, rest @ ..] => {
                    let (value, rest) = rest.split_at_checked((*len).into())?;
                    match options.iter_mut().find(|(known, _)| known == code) {
                        Some((_, known)) => known.extend(value),
                        None => options.push((*code, value.to_vec())),
                    }
                    rest
                }
                [_] => return None,
            };
        }
    }

    /// The value of an option that is there.
    pub fn get(&self, code: u8) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| *known == code).map(|(_, value)| &**value)
    }

    /// What the message is, if that is known.
    pub fn message_type(&self) -> Option<MessageType> {
        MessageType::read(self.get(option::MESSAGE_TYPE)?)
    }

    /// The one address that an option is.
    pub fn address(&self, code: u8) -> Option<Ipv4Addr> {
        let octets: [u8; 4] = self.get(code)?.try_into().ok()?;
        Some(octets.into())
    }
}

/// A message that is being written.
#[derive(Debug)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// One that begins with this header.
    pub fn new(header: &Header) -> Self {
        Self(header.as_bytes().to_vec())
    }

    /// Adds an option; of a value that is longer than 255 bytes the beginning.
    pub fn put(&mut self, code: u8, value: &[u8]) {
        let value = &value[..value.len().min(255)];
        self.0.extend([code, value.len() as u8]);
        self.0.extend(value);
    }

    /// The message, no shorter than [`SHORTEST`].
    pub fn end(mut self) -> Vec<u8> {
        self.0.push(option::END);
        self.0.resize(self.0.len().max(SHORTEST), option::PAD);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_comes_again_goes_on() {
        let options = Options::read(&[0, 6, 2, 1, 1, 53, 1, 3, 6, 1, 2, 54, 4, 10, 0, 0, 1, 255, 9]).unwrap();
        assert_eq!((options.get(6), options.get(9)), (Some(&[1, 1, 2][..]), None));
        assert_eq!(options.message_type(), Some(MessageType::Request));
        assert_eq!(options.address(54), Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(options.address(6), None, "three bytes are no address");
    }

    #[test]
    fn an_option_that_is_cut_off_is_none() {
        assert!(Options::read(&[53, 1]).is_none() && Options::read(&[53]).is_none());
    }

    #[test]
    fn what_is_no_dhcp_has_no_header() {
        let bytes = Writer::new(&Header::new(REPLY)).end();
        let (header, options) = Header::read(&bytes).unwrap();
        assert_eq!((header.op, header.hlen, options.len()), (REPLY, 6, SHORTEST - 240));
        assert!(Header::read(&bytes[..239]).is_none(), "too short");
        let other_cookie = [&bytes[..236], &[0x63, 0x82, 0x53, 0x64], &bytes[240..]].concat();
        assert!(Header::read(&other_cookie).is_none());
    }

    #[test]
    fn types_come_back() {
        let known: Vec<_> = (0..=u8::MAX).filter_map(|byte| MessageType::read(&[byte])).collect();
        assert_eq!(known.iter().map(|kind| *kind as u8).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn a_message_is_as_long_as_one_of_bootp() {
        let mut message = Writer::new(&Header::new(REQUEST));
        message.put(option::MESSAGE_TYPE, &[1]);
        message.put(option::HOST_NAME, &[b'a'; 256]);
        let bytes = message.end();
        assert_eq!(bytes.len(), 240 + 3 + 257 + 1);
        assert_eq!(Writer::new(&Header::new(REQUEST)).end().len(), SHORTEST);
        assert_eq!(bytes[243..245], [option::HOST_NAME, 255]);
    }
}
