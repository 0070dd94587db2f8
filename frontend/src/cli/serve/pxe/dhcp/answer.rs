//! What a request is answered.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use dhcp_message::{BROADCAST, Header, MessageType, Options, REPLY, Writer, option};

use super::super::boot::{Boot, BootFile, BootMethod};
use super::super::network::Site;
use super::super::told::{Event, Protocol};
use super::leases::{LEASE, Leases};
use super::range::Range;
use super::request::{BootRequest, Class};
use super::{Port, destination};

/// PXE's own options within option 43 (PXE 2.1, table 2-1).
mod pxe {
    pub(super) const DISCOVERY_CONTROL: u8 = 6;
    /// The boot file is in this message: look for no other server, and show no menu.
    pub(super) const BOOT_FILE_IS_HERE: u8 = 1 << 3;
    pub(super) const BOOT_ITEM: u8 = 71;
}

/// iPXE's within option 175: nobody else has a boot file for it, so it need not wait for one.
const NO_PROXY: [u8; 3] = [176, 1, 1];

/// Who answers for one address.
#[derive(Debug)]
pub(in super::super) struct Responder {
    site: Site,
    boot: Boot,
    /// Of a whole server.
    leases: Option<Mutex<Leases>>,
}

/// What is done about a request.
#[derive(Debug)]
pub(in super::super) struct Answer {
    /// What is sent, and where to.
    pub(in super::super) message: Option<(Vec<u8>, SocketAddrV4)>,
    pub(super) event: Event,
}

/// An answer to a request that is given an address, or one to whom the file alone is told.
struct Reply<'a> {
    request: &'a BootRequest,
    kind: MessageType,
    address: Option<Ipv4Addr>,
    file: Option<&'a BootFile>,
}

impl Responder {
    pub(in super::super) fn new(site: Site, boot: Boot, range: Option<&Range>) -> Self {
        Self { site, boot, leases: range.map(|range| Mutex::new(Leases::new(*range))) }
    }

    /// `None` of what is not for this server.
    pub(in super::super) fn answer(
        &self,
        bytes: &[u8],
        from: SocketAddr,
        port: Port,
        now: Instant,
    ) -> Option<Answer> {
        let to = destination(from, port)?;
        // A neighbour, or one who has no address yet: nobody else can be made to hear of this server.
        if !to.ip().is_broadcast() && !self.site.reaches(*to.ip()) {
            return None;
        }
        let request = BootRequest::read(bytes)?;
        match &self.leases {
            None => self.as_proxy(&request, port, to),
            Some(leases) => {
                let leases = leases.lock().unwrap_or_else(PoisonError::into_inner);
                self.as_server(&request, leases, to, now)
            }
        }
    }

    /// Offers the boot file to who looks for one, and gives it to who asks this server for it.
    fn as_proxy(&self, request: &BootRequest, port: Port, to: SocketAddrV4) -> Option<Answer> {
        use MessageType::{Ack, Discover, Inform, Offer, Request};
        let class = request.class()?;
        let kind = match (port, request.kind) {
            (Port::Server, Discover) => Offer,
            (Port::Boot, Request | Inform) if class == Class::Pxe => Ack,
            _ => return None,
        };
        let Some(file) = self.file(request) else {
            return Some(told(request, "there is no boot file for it".to_owned(), None));
        };
        let text = format!("{} {}", verb(kind), file.text());
        let reply = Reply { request, kind, address: None, file: Some(&file) };
        Some(told(request, text, Some((self.write(&reply), to))))
    }

    /// Gives it an address, and the boot file if it is one that boots (RFC 2131, section 4.3).
    fn as_server(
        &self,
        request: &BootRequest,
        mut leases: MutexGuard<'_, Leases>,
        to: SocketAddrV4,
        now: Instant,
    ) -> Option<Answer> {
        let mac = request.mac();
        let server = request.options.address(option::SERVER_ID);
        let wanted = request.options.address(option::REQUESTED_ADDRESS);
        let own = Some(Ipv4Addr::from(request.header.ciaddr)).filter(|address| !address.is_unspecified());
        if server.is_some_and(|server| server != self.site.address) {
            // It has taken another server's offer.
            leases.release(mac);
            return None;
        }
        match request.kind {
            MessageType::Discover => {
                let Some(address) = leases.offer(mac, wanted, now) else {
                    return Some(told(request, "no address is left".to_owned(), None));
                };
                Some(self.give(request, MessageType::Offer, address, to))
            }
            MessageType::Request => {
                let address = wanted.or(own)?;
                if leases.take(mac, address, now) {
                    return Some(self.give(request, MessageType::Ack, address, to));
                }
                // Of an address that is none of these another server may know more.
                let is_ours = server.is_some() || leases.covers(address) || !self.site.reaches(address);
                is_ours.then(|| self.refuse(request, address))
            }
            MessageType::Inform => {
                let file = self.file(request);
                let reply = Reply { request, kind: MessageType::Ack, address: None, file: file.as_ref() };
                Some(told(request, "told what it can know".to_owned(), Some((self.write(&reply), to))))
            }
            MessageType::Decline => {
                leases.decline(mac, now);
                Some(told(request, "its address is somebody else's".to_owned(), None))
            }
            MessageType::Release => {
                leases.release(mac);
                Some(told(request, "its address is free".to_owned(), None))
            }
            MessageType::Offer | MessageType::Ack | MessageType::Nak => None,
        }
    }

    fn give(&self, request: &BootRequest, kind: MessageType, address: Ipv4Addr, to: SocketAddrV4) -> Answer {
        let file = self.file(request);
        let boots = file.as_ref().map_or(String::new(), |file| format!(" and {}", file.text()));
        let text = format!("{} {address}{boots}", verb(kind));
        let reply = Reply { request, kind, address: Some(address), file: file.as_ref() };
        told(request, text, Some((self.write(&reply), to)))
    }

    /// Everybody hears it: the client may have an address that is none here (RFC 2131, section 4.1).
    fn refuse(&self, request: &BootRequest, address: Ipv4Addr) -> Answer {
        let reply = Reply { request, kind: MessageType::Nak, address: None, file: None };
        let to = SocketAddrV4::new(Ipv4Addr::BROADCAST, super::CLIENT);
        told(request, format!("it cannot have {address}"), Some((self.write(&reply), to)))
    }

    fn file(&self, request: &BootRequest) -> Option<BootFile> {
        request.class()?;
        self.boot.file(request.firmware()?)
    }

    fn write(&self, reply: &Reply<'_>) -> Vec<u8> {
        let Reply { request, kind, address, file } = reply;
        let mut header = Header {
            xid: request.header.xid,
            flags: (request.header.flags.get() & BROADCAST).into(),
            chaddr: request.header.chaddr,
            ciaddr: if *kind == MessageType::Nak { [0; 4] } else { request.header.ciaddr },
            yiaddr: address.map_or([0; 4], |address| address.octets()),
            ..Header::new(REPLY)
        };
        if let Some(file) = file {
            header.siaddr = self.site.address.octets();
            let text = file.text().as_bytes();
            // A zero ends it. The longest is a URL of ours, which has less than half of the room.
            let len = text.len().min(header.file.len() - 1);
            header.file[..len].copy_from_slice(&text[..len]);
        }
        let mut message = Writer::new(&header);
        message.put(option::MESSAGE_TYPE, &[*kind as u8]);
        message.put(option::SERVER_ID, &self.site.address.octets());
        if self.leases.is_some() && *kind != MessageType::Nak {
            message.put(option::SUBNET_MASK, &self.site.netmask.octets());
        }
        if address.is_some() {
            message.put(option::LEASE_TIME, &(LEASE.as_secs() as u32).to_be_bytes());
        }
        if let Some(file) = file {
            self.put_boot_options(&mut message, request, file);
        }
        message.end()
    }

    /// What says that the answer is for one who boots, and how.
    fn put_boot_options(&self, message: &mut Writer, request: &BootRequest, file: &BootFile) {
        let class = request.class();
        // PXE clients take a server that calls itself one of theirs for a proxy, and ask it again on another port.
        if let Some(class) = class.filter(|class| *class == Class::Http || self.leases.is_none()) {
            message.put(option::VENDOR_CLASS, class.name().as_bytes());
        }
        if let Some(machine) = request.options.get(option::CLIENT_MACHINE) {
            message.put(option::CLIENT_MACHINE, machine);
        }
        if request.wants(option::TFTP_SERVER) {
            message.put(option::TFTP_SERVER, self.site.address.to_string().as_bytes());
        }
        if request.wants(option::BOOT_FILE) || matches!(file, BootFile::Http(_)) {
            message.put(option::BOOT_FILE, file.text().as_bytes());
        }
        let kind = request.firmware().map(|firmware| firmware.kind);
        match kind {
            _ if self.leases.is_some() && kind == Some(BootMethod::Ipxe) => {
                message.put(option::ETHERBOOT, &NO_PROXY)
            }
            // Firmware of EDK II forgets the offer of a proxy that has these options, and takes one that has none.
            Some(BootMethod::Bios | BootMethod::Ipxe) if self.leases.is_none() => {
                message.put(option::VENDOR, &discovery(request));
            }
            _ => {}
        }
    }
}

/// The boot file is in this message, and the item of a boot menu is the one that was asked for.
fn discovery(request: &BootRequest) -> Vec<u8> {
    let mut options = vec![pxe::DISCOVERY_CONTROL, 1, pxe::BOOT_FILE_IS_HERE];
    let asked = request.options.get(option::VENDOR).and_then(Options::read);
    if let Some(item @ [_, _, _, _]) = asked.as_ref().and_then(|asked| asked.get(pxe::BOOT_ITEM)) {
        options.extend([pxe::BOOT_ITEM, 4]);
        options.extend(item);
    }
    options.push(option::END);
    options
}

fn verb(kind: MessageType) -> &'static str {
    match kind {
        MessageType::Offer => "offered",
        _ => "given",
    }
}

fn told(request: &BootRequest, answer: String, message: Option<(Vec<u8>, SocketAddrV4)>) -> Answer {
    let event = Event {
        protocol: Protocol::Dhcp,
        client: request.mac().to_string(),
        request: request.name(),
        answer,
        bytes: None,
    };
    Answer { message, event }
}

#[cfg(test)]
mod tests {
    use dhcp_message::REQUEST;

    use super::super::super::boot::tests::boot;
    use super::super::request::tests::{MAC, message, of_header};
    use super::*;

    const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 68);
    const PXE: (u8, &[u8]) = (option::VENDOR_CLASS, b"PXEClient:Arch:00000:UNDI:002001");
    const HTTP: (u8, &[u8]) = (option::VENDOR_CLASS, b"HTTPClient:Arch:00016:UNDI:003001");

    fn responder(range: Option<&str>) -> Responder {
        let site = Site {
            address: [10, 9, 0, 1].into(),
            netmask: [255, 255, 255, 0].into(),
            device: "br0".to_owned(),
        };
        let range: Option<Range> = range.map(|range| range.parse().unwrap());
        let files = ["grub.pxe", "shimx64.efi", "netboot.efi", "boot.ipxe"];
        Responder::new(site, boot(&files), range.as_ref())
    }

    /// The header, the options and the destination of an answer.
    fn read(answer: Answer) -> Option<(Header, Options, SocketAddrV4)> {
        let (bytes, to) = answer.message?;
        let (header, rest) = Header::read(&bytes)?;
        Some((header, Options::read(rest)?, to))
    }

    fn ask(
        responder: &Responder,
        kind: MessageType,
        options: &[(u8, &[u8])],
        from: SocketAddr,
        port: Port,
    ) -> Option<(Header, Options, SocketAddrV4)> {
        read(responder.answer(&message(kind, options), from, port, Instant::now())?)
    }

    fn file(header: &Header) -> &str {
        std::str::from_utf8(&header.file).unwrap().trim_end_matches('\0')
    }

    #[test]
    fn a_proxy_offers_a_boot_file_and_no_address() {
        let proxy = responder(None);
        let discover =
            |options: &[(u8, &[u8])]| ask(&proxy, MessageType::Discover, options, NOBODY, Port::Server);
        let uuid = [&[0][..], &[7; 16]].concat();
        let (header, options, to) = discover(&[PXE, (97, &uuid), (55, &[66, 67])]).unwrap();
        assert_eq!(to, "255.255.255.255:68".parse().unwrap());
        assert_eq!((header.op, header.xid.get(), &header.chaddr[..6]), (REPLY, 7, &MAC.0[..]));
        assert_eq!((header.yiaddr, header.siaddr, file(&header)), ([0; 4], [10, 9, 0, 1], "grub.pxe"));
        assert_eq!(options.message_type(), Some(MessageType::Offer));
        for (code, value) in [
            (54, &[10, 9, 0, 1][..]),
            (60, b"PXEClient"),
            (97, &uuid),
            (43, &[6, 1, 8, 255]),
            (66, b"10.9.0.1"),
            (67, b"grub.pxe"),
        ] {
            assert_eq!(options.get(code), Some(value), "option {code}");
        }
        for code in [option::LEASE_TIME, option::SUBNET_MASK, option::ROUTER] {
            assert_eq!(options.get(code), None, "option {code}");
        }
        let (header, options, _) = discover(&[PXE, (93, &[0, 7])]).unwrap();
        assert_eq!((file(&header), options.get(43), options.get(67)), ("shimx64.efi", None, None));
        let (header, options, _) = discover(&[HTTP, (93, &[0, 16])]).unwrap();
        let url = "http://10.9.0.1:8080/netboot.efi";
        assert_eq!((file(&header), options.get(67)), (url, Some(url.as_bytes())));
        assert_eq!((options.get(60), options.get(43)), (Some(&b"HTTPClient"[..]), None));
        let (header, ..) = discover(&[PXE, (77, b"iPXE")]).unwrap();
        assert_eq!(file(&header), "http://10.9.0.1:8080/boot.ipxe");
    }

    #[test]
    fn a_proxy_answers_nobody_else() {
        let proxy = responder(None);
        let neighbour: SocketAddr = "10.9.0.50:68".parse().unwrap();
        use MessageType::{Discover, Inform, Release, Request};
        for (kind, options, from, port) in [
            (Discover, &[][..], NOBODY, Port::Server),
            (Discover, &[(60, &b"MSFT 5.0"[..])], NOBODY, Port::Server),
            (Request, &[PXE], NOBODY, Port::Server),
            (Release, &[PXE], NOBODY, Port::Server),
            (Discover, &[PXE], "192.0.2.7:68".parse().unwrap(), Port::Server),
            (Discover, &[PXE], neighbour, Port::Boot),
            (Request, &[], neighbour, Port::Boot),
            (Request, &[HTTP], neighbour, Port::Boot),
            (Inform, &[PXE], "192.0.2.7:4011".parse().unwrap(), Port::Boot),
            (Discover, &[PXE, (93, &[0, 11])], NOBODY, Port::Server),
        ] {
            assert!(ask(&proxy, kind, options, from, port).is_none(), "{kind:?} {options:?}");
        }
        assert!(ask(&proxy, Discover, &[PXE], NOBODY, Port::Server).is_some());
    }

    #[test]
    fn who_asks_once_more_gets_it_where_it_is() {
        let proxy = responder(None);
        let neighbour = "10.9.0.50:1234".parse().unwrap();
        let item = [&[71, 4, 0, 7, 0, 0][..], &[255]].concat();
        let (header, options, to) =
            ask(&proxy, MessageType::Request, &[PXE, (43, &item)], neighbour, Port::Boot).unwrap();
        assert_eq!((to, header.yiaddr), ("10.9.0.50:1234".parse().unwrap(), [0; 4]));
        assert_eq!(options.message_type(), Some(MessageType::Ack));
        assert_eq!(options.get(43), Some(&[6, 1, 8, 71, 4, 0, 7, 0, 0, 255][..]));
        let hostile = [&[71, 200, 1][..]].concat();
        let (_, options, _) =
            ask(&proxy, MessageType::Request, &[PXE, (43, &hostile)], neighbour, Port::Boot).unwrap();
        assert_eq!(options.get(43), Some(&[6, 1, 8, 255][..]));
    }

    #[test]
    fn a_whole_server_gives_addresses_to_everybody() {
        let server = responder(Some("10.9.0.100-10.9.0.100"));
        let ask = |kind, options: &[(u8, &[u8])]| ask(&server, kind, options, NOBODY, Port::Server);
        let (header, options, _) = ask(MessageType::Discover, &[]).unwrap();
        assert_eq!((header.yiaddr, header.siaddr, file(&header)), ([10, 9, 0, 100], [0; 4], ""));
        assert_eq!(options.get(1), Some(&[255, 255, 255, 0][..]));
        assert_eq!((options.get(51), options.get(60)), (Some(&[0, 0, 14, 16][..]), None));
        let taken: [(u8, &[u8]); 4] = [PXE, (77, b"iPXE"), (50, &[10, 9, 0, 100]), (54, &[10, 9, 0, 1])];
        let (header, options, _) = ask(MessageType::Request, &taken).unwrap();
        assert_eq!(options.message_type(), Some(MessageType::Ack));
        assert_eq!((header.yiaddr, header.siaddr), ([10, 9, 0, 100], [10, 9, 0, 1]));
        assert_eq!((options.get(60), options.get(175)), (None, Some(&[176, 1, 1][..])));
        assert!(
            ask(MessageType::Request, &[(50, &[10, 9, 0, 7])]).is_none(),
            "another server may have given it"
        );
        let elsewhere = ask(MessageType::Request, &[(50, &[10, 8, 0, 7])]).unwrap();
        assert_eq!(elsewhere.1.message_type(), Some(MessageType::Nak), "it is not of this network");
        let (header, options, to) =
            ask(MessageType::Request, &[(50, &[10, 9, 0, 7]), (54, &[10, 9, 0, 1])]).unwrap();
        assert_eq!((options.message_type(), header.yiaddr), (Some(MessageType::Nak), [0; 4]));
        assert_eq!((to.ip(), options.get(1)), (&Ipv4Addr::BROADCAST, None));
        assert!(
            ask(MessageType::Request, &[(54, &[10, 9, 0, 2]), (50, &[10, 9, 0, 9])]).is_none(),
            "another server's"
        );
        assert!(ask(MessageType::Request, &[]).is_none(), "for no address");
        assert!(ask(MessageType::Ack, &[]).is_none());
    }

    #[test]
    fn a_machine_keeps_its_address_and_the_next_one_gets_none() {
        let server = responder(Some("10.9.0.100-10.9.0.100"));
        let mut header = Header::new(REQUEST);
        header.ciaddr = [10, 9, 0, 100];
        let renew = of_header(header, MessageType::Request, &[]);
        let from = "10.9.0.100:68".parse().unwrap();
        let (header, options, to) =
            read(server.answer(&renew, from, Port::Server, Instant::now()).unwrap()).unwrap();
        assert_eq!((options.message_type(), to), (Some(MessageType::Ack), "10.9.0.100:68".parse().unwrap()));
        assert_eq!((header.ciaddr, header.yiaddr), ([10, 9, 0, 100], [10, 9, 0, 100]));
        let mut other = message(MessageType::Discover, &[]);
        other[33] = 1;
        let answer = server.answer(&other, NOBODY, Port::Server, Instant::now()).unwrap();
        assert!(answer.message.is_none() && answer.event.answer == "no address is left");
    }
}
