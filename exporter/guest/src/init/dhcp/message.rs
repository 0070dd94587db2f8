//! Messages: a header as BOOTP has it, and options.
//!
//! ```text
//! header (236 bytes) │ magic │ code │ length │ value │ … │ 255
//! ```

use std::net::Ipv4Addr;

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The header (RFC 2131, figure 1) and the magic cookie of the options.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) op: u8,
    pub(super) htype: u8,
    pub(super) hlen: u8,
    pub(super) hops: u8,
    pub(super) xid: U32,
    pub(super) secs: U16,
    pub(super) flags: U16,
    pub(super) ciaddr: [u8; 4],

    pub(super) yiaddr: [u8; 4],
    pub(super) siaddr: [u8; 4],
    pub(super) giaddr: [u8; 4],
    pub(super) chaddr: [u8; 16],
    pub(super) sname: [u8; 64],
    pub(super) file: [u8; 128],
    pub(super) magic: U32,
}

const _: () = assert!(size_of::<Header>() == 240);

const BOOTREQUEST: u8 = 1;
const BOOTREPLY: u8 = 2;
const ETHERNET: u8 = 1;
const MAGIC: u32 = 0x6382_5363;
/// The answer should be a broadcast: there is no address yet that it could be sent to.
const BROADCAST: u16 = 0x8000;

/// Option codes (RFC 2132; 121: RFC 3442).
pub(super) mod option {
    pub(in super::super) const PAD: u8 = 0;
    pub(in super::super) const SUBNET_MASK: u8 = 1;
    pub(in super::super) const ROUTER: u8 = 3;
    pub(in super::super) const NAME_SERVERS: u8 = 6;
    pub(in super::super) const HOST_NAME: u8 = 12;
    pub(in super::super) const DOMAIN_NAME: u8 = 15;
    pub(in super::super) const INTERFACE_MTU: u8 = 26;
    pub(in super::super) const REQUESTED_ADDRESS: u8 = 50;
    pub(in super::super) const LEASE_TIME: u8 = 51;
    pub(in super::super) const MESSAGE_TYPE: u8 = 53;
    pub(in super::super) const SERVER_ID: u8 = 54;
    pub(in super::super) const PARAMETER_LIST: u8 = 55;
    pub(in super::super) const RENEWAL_TIME: u8 = 58;
    pub(in super::super) const REBINDING_TIME: u8 = 59;
    pub(in super::super) const CLASSLESS_ROUTES: u8 = 121;
    pub(in super::super) const END: u8 = 255;
}

/// Message types (RFC 2132, section 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum MessageType {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Ack = 5,
    Nak = 6,
}

/// What a client sends.
#[derive(Clone, Debug)]
pub(super) struct Query<'a> {
    pub(super) kind: MessageType,
    /// A number that the answer repeats.
    pub(super) xid: u32,
    /// The address of the hardware.
    pub(super) mac: [u8; 6],
    /// The address the interface has; `None` before it has one.
    pub(super) own: Option<Ipv4Addr>,
    /// The address and the server of an offer that is taken.
    pub(super) offered: Option<(Ipv4Addr, Ipv4Addr)>,
    pub(super) hostname: &'a str,
}

impl Query<'_> {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut chaddr = [0; 16];
        chaddr[..6].copy_from_slice(&self.mac);
        let header = Header {
            op: BOOTREQUEST,
            htype: ETHERNET,
            hlen: 6,
            hops: 0,
            xid: self.xid.into(),
            secs: 0.into(),
            flags: if self.own.is_some() { 0 } else { BROADCAST }.into(),
            ciaddr: self.own.map_or([0; 4], |own| own.octets()),
            yiaddr: [0; 4],
            siaddr: [0; 4],
            giaddr: [0; 4],
            chaddr,
            sname: [0; 64],
            file: [0; 128],
            magic: MAGIC.into(),
        };
        let mut bytes = header.as_bytes().to_vec();
        let mut option = |code: u8, value: &[u8]| {
            // No value here comes near the limit, but for a host name, which Linux keeps to 64 bytes.
            let value = &value[..value.len().min(255)];
            bytes.extend([code, value.len() as u8]);
            bytes.extend(value);
        };
        option(option::MESSAGE_TYPE, &[self.kind as u8]);
        if let Some((address, server)) = self.offered {
            option(option::REQUESTED_ADDRESS, &address.octets());
            option(option::SERVER_ID, &server.octets());
        }
        if !self.hostname.is_empty() {
            option(option::HOST_NAME, self.hostname.as_bytes());
        }
        option(
            option::PARAMETER_LIST,
            &[
                option::SUBNET_MASK,
                // Before the router: who gives both means these (RFC 3442).
                option::CLASSLESS_ROUTES,
                option::ROUTER,
                option::NAME_SERVERS,
                option::DOMAIN_NAME,
                option::INTERFACE_MTU,
                option::LEASE_TIME,
                option::RENEWAL_TIME,
                option::REBINDING_TIME,
            ],
        );
        bytes.push(option::END);
        // Some relays drop what is shorter than BOOTP's 300 bytes.
        bytes.resize(bytes.len().max(300), option::PAD);
        bytes
    }
}

/// What a server answers.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) kind: MessageType,
    /// The address it gives.
    pub(super) address: Ipv4Addr,
    options: Vec<(u8, Vec<u8>)>,
}

impl Answer {
    /// The answer to the query with `xid` from `mac`; `None` for all else that comes.
    pub(super) fn parse(bytes: &[u8], xid: u32, mac: [u8; 6]) -> Option<Self> {
        let (header, rest) = Header::read_from_prefix(bytes).ok()?;
        let ours = header.op == BOOTREPLY && header.magic == MAGIC && header.xid == xid;
        if !ours || header.chaddr[..6] != mac {
            return None;
        }
        let mut answer =
            Self { kind: MessageType::Nak, address: header.yiaddr.into(), options: parse_options(rest)? };
        answer.kind = match answer.option(option::MESSAGE_TYPE)? {
            [2] => MessageType::Offer,
            [5] => MessageType::Ack,
            [6] => MessageType::Nak,
            _ => return None,
        };
        Some(answer)
    }

    pub(super) fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(known, _)| *known == code).map(|(_, value)| &**value)
    }

    /// An option that is addresses; those of a length that is none are none.
    pub(super) fn addresses(&self, code: u8) -> Vec<Ipv4Addr> {
        let value = self.option(code).unwrap_or_default();
        value.as_chunks().0.iter().map(|octets: &[u8; 4]| Ipv4Addr::from(*octets)).collect()
    }

    /// An option that is a number of seconds.
    pub(super) fn seconds(&self, code: u8) -> Option<u32> {
        Some(u32::from_be_bytes(self.option(code)?.try_into().ok()?))
    }
}

/// An option that comes again goes on (RFC 3396).
fn parse_options(mut bytes: &[u8]) -> Option<Vec<(u8, Vec<u8>)>> {
    let mut options: Vec<(u8, Vec<u8>)> = Vec::new();
    loop {
        bytes = match bytes {
            [] | [option::END, ..] => return Some(options),
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

    pub(in super::super) fn answer(kind: u8, options: &[(u8, &[u8])]) -> Vec<u8> {
        let query =
            Query { kind: MessageType::Discover, xid: 7, mac: MAC, own: None, offered: None, hostname: "" }
                .to_bytes();
        let mut header = Header::read_from_prefix(&query).unwrap().0;
        (header.op, header.yiaddr) = (BOOTREPLY, [10, 0, 2, 15]);
        let mut bytes = header.as_bytes().to_vec();
        for (code, value) in [(option::MESSAGE_TYPE, &[kind][..])].iter().chain(options) {
            bytes.extend([*code, value.len() as u8]);
            bytes.extend(*value);
        }
        bytes.push(option::END);
        bytes
    }

    #[test]
    fn a_query_says_who_asks_and_for_what() {
        let mut query = Query {
            kind: MessageType::Discover,
            xid: 7,
            mac: MAC,
            own: None,
            offered: None,
            hostname: "web",
        };
        let bytes = query.to_bytes();
        assert_eq!(bytes.len(), 300);
        assert_eq!((bytes[0], bytes[10], &bytes[28..34]), (1, 0x80, &MAC[..]));
        assert_eq!(bytes[240..243], [53, 1, 1]);
        assert_eq!(bytes[243..248], *b"\x0c\x03web");
        query.own = Some(Ipv4Addr::new(10, 0, 2, 15));
        query.kind = MessageType::Request;
        let bytes = query.to_bytes();
        assert_eq!((bytes[10], &bytes[12..16]), (0, &[10, 0, 2, 15][..]));
        query.offered = Some((Ipv4Addr::new(10, 0, 2, 15), Ipv4Addr::new(10, 0, 2, 2)));
        assert_eq!(query.to_bytes()[243..255], [50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2]);
    }

    #[test]
    fn only_ones_own_answer_is_read() {
        let bytes = answer(5, &[(6, &[1, 1, 1, 1]), (6, &[2, 2, 2, 2]), (51, &[0, 0, 1, 0])]);
        let parsed = Answer::parse(&bytes, 7, MAC).unwrap();
        assert_eq!((parsed.kind, parsed.address), (MessageType::Ack, Ipv4Addr::new(10, 0, 2, 15)));
        assert_eq!(parsed.addresses(6), [Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(2, 2, 2, 2)]);
        assert_eq!(parsed.seconds(51), Some(256));
        assert_eq!((parsed.seconds(58), parsed.addresses(3)), (None, vec![]));
        assert!(Answer::parse(&bytes, 8, MAC).is_none());
        assert!(Answer::parse(&bytes, 7, [0; 6]).is_none());
        assert!(Answer::parse(&answer(9, &[]), 7, MAC).is_none());
    }

    #[test]
    fn no_bytes_do_harm() {
        let bytes = answer(5, &[(6, &[1, 1, 1, 1]), (121, &[33, 1, 2])]);
        for len in 0..bytes.len() {
            let _ = Answer::parse(&bytes[..len], 7, MAC);
        }
        assert!(Answer::parse(&bytes[..245], 7, MAC).is_none(), "an option that is cut off");
    }
}
