//! What a client sends.

use std::fmt;

use dhcp_message::{ETHERNET, Header, MessageType, Options, REQUEST, option};

use super::super::boot::{BootMethod, Firmware};

/// The address of a network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mac(pub(super) [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// What a client calls itself to get a boot file (option 60).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// PXE, section 2.2.
    Pxe,
    /// UEFI specification, section 24.7.
    Http,
}

impl Class {
    /// The name alone, as servers repeat it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pxe => "PXEClient",
            Self::Http => "HTTPClient",
        }
    }
}

/// A request that can be read.
#[derive(Debug)]
pub(super) struct BootRequest {
    pub(super) header: Header,
    pub(super) kind: MessageType,
    pub(super) options: Options,
}

impl BootRequest {
    /// `None` for all that is no request of a client on the same network: what comes through a relay is none.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > super::LONGEST {
            return None;
        }
        let (header, rest) = Header::read(bytes)?;
        let is_request = header.op == REQUEST && header.htype == ETHERNET && header.hlen == 6;
        if !is_request || header.giaddr != [0; 4] {
            return None;
        }
        let options = Options::read(rest)?;
        Some(Self { header, kind: options.message_type()?, options })
    }

    pub(super) fn mac(&self) -> Mac {
        let [a, b, c, d, e, f, ..] = self.header.chaddr;
        Mac([a, b, c, d, e, f])
    }

    /// `None` of who does not want to be booted.
    pub(super) fn class(&self) -> Option<Class> {
        let text = self.options.get(option::VENDOR_CLASS)?;
        [Class::Pxe, Class::Http].into_iter().find(|class| text.starts_with(class.name().as_bytes()))
    }

    /// The first firmware that is known of those that it says to be; a BIOS if it says nothing (PXE, section 2.2.1).
    pub(super) fn firmware(&self) -> Option<Firmware> {
        let said = self.options.get(option::CLIENT_SYSTEM);
        let (numbers, _) = said.unwrap_or(&[0, 0]).as_chunks();
        let mut known = numbers.iter().filter_map(|number| Firmware::by_number(u16::from_be_bytes(*number)));
        let firmware = known.next()?;
        Some(if self.is_ipxe() { Firmware { kind: BootMethod::Ipxe, ..firmware } } else { firmware })
    }

    /// iPXE says its name as a text, and not as RFC 3004 has it; by option 175 it says what it can do.
    fn is_ipxe(&self) -> bool {
        let names = [&b"iPXE"[..], b"\x04iPXE"];
        self.options.get(option::USER_CLASS).is_some_and(|name| names.contains(&name))
            || self.options.get(option::ETHERBOOT).is_some()
    }

    /// Whether it asks for an option.
    pub(super) fn wants(&self, code: u8) -> bool {
        self.options.get(option::PARAMETER_LIST).is_some_and(|list| list.contains(&code))
    }

    /// What it is called in a line.
    pub(super) fn name(&self) -> String {
        let kind = format!("{:?}", self.kind).to_lowercase();
        match self.class().and_then(|_| self.firmware()) {
            Some(firmware) => format!("{kind} by {}", firmware.name()),
            None => kind,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use dhcp_message::{REPLY, Writer};
    use exporter::spec::Architecture;

    use super::*;

    pub(in super::super) const MAC: Mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]);

    /// A request with these options.
    pub(in super::super) fn message(kind: MessageType, options: &[(u8, &[u8])]) -> Vec<u8> {
        of_header(Header::new(REQUEST), kind, options)
    }

    pub(in super::super) fn of_header(
        mut header: Header,
        kind: MessageType,
        options: &[(u8, &[u8])],
    ) -> Vec<u8> {
        header.xid = 7.into();
        header.chaddr[..6].copy_from_slice(&MAC.0);
        let mut message = Writer::new(&header);
        message.put(option::MESSAGE_TYPE, &[kind as u8]);
        options.iter().for_each(|(code, value)| message.put(*code, value));
        message.end()
    }

    fn request(options: &[(u8, &[u8])]) -> BootRequest {
        BootRequest::read(&message(MessageType::Discover, options)).unwrap()
    }

    #[test]
    fn a_client_says_what_it_boots_by() {
        let name = |options: &[(u8, &[u8])]| request(options).name();
        let pxe = (option::VENDOR_CLASS, &b"PXEClient:Arch:00007:UNDI:003016"[..]);
        assert_eq!(name(&[pxe, (93, &[0, 7])]), "discover by UEFI x86_64");
        assert_eq!(name(&[pxe]), "discover by BIOS");
        assert_eq!(name(&[pxe, (93, &[0, 99, 0, 11])]), "discover by UEFI aarch64");
        assert_eq!(name(&[pxe, (93, &[0, 0]), (77, b"iPXE")]), "discover by iPXE x86_64");
        assert_eq!(name(&[pxe, (93, &[0, 7]), (175, &[])]), "discover by iPXE x86_64");
        let http = (option::VENDOR_CLASS, &b"HTTPClient:Arch:00016"[..]);
        assert_eq!(name(&[http, (93, &[0, 16])]), "discover by UEFI HTTP boot x86_64");
        let firmware = request(&[http, (93, &[0, 16])]).firmware().unwrap();
        assert_eq!(
            firmware,
            Firmware { kind: BootMethod::UefiHttp, architecture: Some(Architecture::X86_64) }
        );
        assert_eq!(name(&[(93, &[0, 7])]), "discover", "it does not want to be booted");
        assert_eq!(request(&[(60, b"MSFT 5.0")]).class(), None);
        assert_eq!(request(&[pxe, (93, &[7])]).firmware(), None, "half a number");
    }

    #[test]
    fn what_is_no_request_of_a_neighbour_is_not_read() {
        let good = message(MessageType::Discover, &[(60, b"PXEClient")]);
        assert!(BootRequest::read(&good).is_some());
        let with = |change: fn(&mut Header)| {
            let mut header = Header::new(REQUEST);
            change(&mut header);
            BootRequest::read(&of_header(header, MessageType::Discover, &[])).is_some()
        };
        assert!(with(|_| ()));
        assert!(!with(|header| header.op = REPLY));
        assert!(!with(|header| header.htype = 6));
        assert!(!with(|header| header.hlen = 16));
        assert!(!with(|header| header.giaddr = [10, 0, 0, 1]), "through a relay");
        assert!(!with(|header| header.magic = 0x6382_5364.into()), "another cookie");
        for len in 0..good.len() {
            let read = BootRequest::read(&good[..len]);
            assert!(len >= 243 || read.is_none(), "{len} bytes are enough");
        }
        assert!(BootRequest::read(&[&good[..], &[0; 1500]].concat()).is_none(), "too long");
        assert!(BootRequest::read(&[&good[..240], &[53, 1, 99, 255]].concat()).is_none(), "no such type");
        assert!(BootRequest::read(&[&good[..240], &[53, 1, 1, 60, 9, b'P']].concat()).is_none(), "cut off");
    }
}
