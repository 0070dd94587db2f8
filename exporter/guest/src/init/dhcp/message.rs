//! What is asked, and what is answered.

use std::net::Ipv4Addr;

use dhcp_message::{BROADCAST, Header, Options, REPLY, REQUEST, Writer};
pub(super) use dhcp_message::{MessageType, option};

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
            xid: self.xid.into(),
            flags: if self.own.is_some() { 0 } else { BROADCAST }.into(),
            ciaddr: self.own.map_or([0; 4], |own| own.octets()),
            chaddr,
            ..Header::new(REQUEST)
        };
        let mut message = Writer::new(&header);
        message.put(option::MESSAGE_TYPE, &[self.kind as u8]);
        if let Some((address, server)) = self.offered {
            message.put(option::REQUESTED_ADDRESS, &address.octets());
            message.put(option::SERVER_ID, &server.octets());
        }
        if !self.hostname.is_empty() {
            message.put(option::HOST_NAME, self.hostname.as_bytes());
        }
        message.put(
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
        message.end()
    }
}

/// What a server answers.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) kind: MessageType,
    /// The address it gives.
    pub(super) address: Ipv4Addr,
    options: Options,
}

impl Answer {
    /// The answer to the query with `xid` from `mac`; `None` for all else that comes.
    pub(super) fn parse(bytes: &[u8], xid: u32, mac: [u8; 6]) -> Option<Self> {
        let (header, rest) = Header::read(bytes)?;
        let ours = header.op == REPLY && header.xid == xid;
        if !ours || header.chaddr[..6] != mac {
            return None;
        }
        let options = Options::read(rest)?;
        let kind = options.message_type()?;
        let is_servers = matches!(kind, MessageType::Offer | MessageType::Ack | MessageType::Nak);
        is_servers.then(|| Self { kind, address: header.yiaddr.into(), options })
    }

    pub(super) fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.get(code)
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

#[cfg(test)]
pub(super) mod tests {
    use zerocopy::IntoBytes;

    use super::*;

    pub(in super::super) const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

    pub(in super::super) fn answer(kind: u8, options: &[(u8, &[u8])]) -> Vec<u8> {
        let query =
            Query { kind: MessageType::Discover, xid: 7, mac: MAC, own: None, offered: None, hostname: "" }
                .to_bytes();
        let mut header = Header::read(&query).unwrap().0;
        (header.op, header.yiaddr) = (REPLY, [10, 0, 2, 15]);
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
